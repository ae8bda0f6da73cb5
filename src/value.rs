//! What a listing says: an A record and a text, interned, since a list of millions of prefixes
//! has few distinct values; and the templates that make a TXT record of the text.
//!
//! `zone_file` interns values while it reads; `dataset` turns them into templates once all
//! variables of the dataset are known (rbldnsd looks variables up when it answers, so a definition
//! also acts on the entries above it).

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::net::Ipv4Addr;

use smallvec::SmallVec;

/// The value of an entry as its line gives it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Value {
    /// The A record.
    pub address: Ipv4Addr,
    /// The text before any substitution; `None` where the entry has no TXT.
    pub text: Option<Box<[u8]>>,
}

/// Index of a value in its [`ValueTable`].
pub type ValueId = u32;

/// The distinct values of one dataset, in the order of their first use.
#[derive(Default)]
pub struct ValueTable {
    values: Vec<Value>,
    /// The ids of the values that have a hash: the values themselves are held once.
    ids: HashMap<u64, SmallVec<[ValueId; 1]>, BuildHasherDefault<Hashed>>,
    hasher: RandomState,
}

/// Takes a number that is a hash already.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, octets: &[u8]) {
        octets.iter().for_each(|&octet| self.0 = self.0.rotate_left(8) ^ u64::from(octet));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl ValueTable {
    /// The id of a value equal to `value`, added if it is new. `None` when there are more than
    /// `u32::MAX - 1` distinct values.
    pub fn intern(&mut self, value: Value) -> Option<ValueId> {
        self.intern_parts(value.address, value.text.as_deref())
    }

    /// As [`Self::intern`], without an allocation where the value is known.
    pub fn intern_parts(&mut self, address: Ipv4Addr, text: Option<&[u8]>) -> Option<ValueId> {
        let same_hash = self.ids.entry(self.hasher.hash_one((address.to_bits(), text))).or_default();
        let known = same_hash.iter().copied().find(|&id| {
            let value = &self.values[id as usize];
            value.address == address && value.text.as_deref() == text
        });
        if known.is_some() {
            return known;
        }
        let id = ValueId::try_from(self.values.len()).ok().filter(|&id| id < ValueId::MAX - 1)?;
        self.values.push(Value { address, text: text.map(Box::from) });
        same_hash.push(id);
        Some(id)
    }

    /// The values, by id, given away; the table is empty then.
    pub fn drain(&mut self) -> impl Iterator<Item = Value> {
        self.ids.clear();
        self.values.drain(..)
    }

    /// The values, by id.
    pub fn values(&self) -> &[Value] {
        &self.values
    }
}

impl fmt::Debug for ValueTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.values).finish()
    }
}

/// `$0` to `$9` and the base template `$=` of a dataset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables {
    /// `$0` to `$9`; the first definition of each wins.
    pub numbered: [Option<Box<[u8]>>; 10],
    /// `$=`: the text of every entry, in which `$=` stands for the entry's own.
    pub base: Option<Box<[u8]>>,
}

/// A text with its variables filled in, but not yet the address of the query.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Template {
    /// The literal text between the places where the address (or the matching name) goes: one
    /// piece more than there are places.
    pieces: Box<[Box<[u8]>]>,
}

impl Template {
    /// The longest text that a template gives without its addresses, in octets. Variables may name
    /// as much as a line has room for, as often as it has: a few lines could ask for gigabytes.
    /// A TXT record has room for 65,535 octets; what is longer is cut here.
    pub const LONGEST: usize = 32 * 1024;

    /// How many places for the address a template may have; further ones are left out.
    pub const MOST_PLACES: usize = 256;

    /// Makes the template of an entry whose own text is `text`. `None` where it gets no TXT.
    ///
    /// `$` is a place for the address, `$$` a dollar sign, `$0` to `$9` a variable (an undefined one
    /// stays as it is written), `$=` the entry's own text as it is written, or the address where it
    /// has none. With a base template that is the text of every entry, and `$=` in it means
    /// the entry's; an entry opts out by an `=` in front of its text. One pass: a `$` inside a
    /// variable is only a dollar sign.
    pub fn compile(text: Option<&[u8]>, variables: &Variables) -> Option<Self> {
        let (pattern, own) = match (text, variables.base.as_deref()) {
            (Some([b'=', rest @ ..]), _) => (rest, Some(rest)),
            (_, Some(base)) => (base, text),
            (Some(text), None) => (text, Some(text)),
            (None, None) => return None,
        };
        let mut made = Pieces::default();
        let mut rest = pattern;
        while let Some(dollar) = memchr::memchr(b'$', rest) {
            made.literal(&rest[..dollar]);
            rest = &rest[dollar + 1..];
            let Some((&next, after)) = rest.split_first() else {
                made.place();
                break;
            };
            match next {
                b'$' => made.literal(b"$"),
                b'=' => match own {
                    None | Some([]) => made.place(),
                    Some(own) => made.literal(own),
                },
                b'0'..=b'9' => match &variables.numbered[usize::from(next - b'0')] {
                    Some(variable) => made.literal(variable),
                    None => made.literal(&[b'$', next]),
                },
                _ => {
                    made.place();
                    continue;
                }
            }
            rest = after;
        }
        made.literal(rest);
        made.finish()
    }

    /// Appends the text with `key_text`, the address (or matching name) as text, in its places.
    pub fn expand(&self, key_text: &[u8], out: &mut Vec<u8>) {
        self.pieces(key_text).for_each(|piece| out.extend_from_slice(piece));
    }

    /// What the text with `key_text` in its places is made of, in its order.
    pub fn pieces<'t>(&'t self, key_text: &'t [u8]) -> impl Iterator<Item = &'t [u8]> {
        let (first, others) =
            self.pieces.split_first().map_or((&[][..], &[][..]), |(first, others)| (&**first, others));
        std::iter::once(first).chain(others.iter().flat_map(move |piece| [key_text, piece]))
    }

    /// Octets of the text with a key text of so many octets in its places.
    pub fn octets(&self, key_octets: usize) -> usize {
        let places = self.pieces.len().saturating_sub(1);
        places * key_octets + self.pieces.iter().map(|piece| piece.len()).sum::<usize>()
    }

    /// True if the text is the same for every address.
    pub fn is_literal(&self) -> bool {
        self.pieces.len() <= 1
    }

    /// The memory that the template holds beside itself, in octets.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.pieces) + self.pieces.iter().map(|piece| piece.len()).sum::<usize>()
    }

    /// The text for whoever fills in the address: `$` where it goes, and `$$` for a dollar sign.
    ///
    /// `None` where that cannot be written: a place or a dollar sign right behind a place (which
    /// only a variable or `$=` can bring about) would be read another way.
    pub fn source(&self) -> Option<Vec<u8>> {
        let mut source = Vec::new();
        for (index, piece) in self.pieces.iter().enumerate() {
            if index > 0 {
                source.push(b'$');
                let before_a_place = piece.is_empty() && index + 1 < self.pieces.len();
                if piece.starts_with(b"$") || before_a_place {
                    return None;
                }
            }
            for &octet in piece {
                source.extend_from_slice(if octet == b'$' { b"$$" } else { std::slice::from_ref(&octet) });
            }
        }
        Some(source)
    }
}

/// Rdata of a TXT record: the text in strings of at most 255 octets (RFC 1035, section 3.3.14).
pub fn character_strings(text: &[u8]) -> Vec<u8> {
    let mut rdata = Vec::with_capacity(text.len() + 1 + text.len() / 255);
    let strings = text.chunks(255).chain(text.is_empty().then_some(text));
    for string in strings {
        rdata.push(string.len() as u8);
        rdata.extend_from_slice(string);
    }
    rdata
}

/// A template in the making.
#[derive(Default)]
struct Pieces {
    done: Vec<Box<[u8]>>,
    last: Vec<u8>,
    octets: usize,
}

impl Pieces {
    fn literal(&mut self, text: &[u8]) {
        let kept = &text[..text.len().min(Template::LONGEST - self.octets)];
        self.octets += kept.len();
        self.last.extend_from_slice(kept);
    }

    fn place(&mut self) {
        if self.done.len() < Template::MOST_PLACES {
            self.done.push(std::mem::take(&mut self.last).into());
        }
    }

    /// `None` if nothing is left to say: an entry text of `=` alone is no TXT.
    fn finish(mut self) -> Option<Template> {
        if self.done.is_empty() && self.last.is_empty() {
            return None;
        }
        self.done.push(self.last.into());
        Some(Template { pieces: self.done.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn variables(base: Option<&str>) -> Variables {
        let mut variables = Variables { base: base.map(|text| text.as_bytes().into()), ..Default::default() };
        variables.numbered[1] = Some(b"one $ $$".to_vec().into());
        variables
    }

    fn expanded(text: Option<&str>, base: Option<&str>) -> Option<String> {
        let template = Template::compile(text.map(str::as_bytes), &variables(base))?;
        let mut out = Vec::new();
        template.expand(b"1.2.3.4", &mut out);
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn texts() {
        for (text, base, expected) in [
            (None, None, None),
            (Some("plain"), None, Some("plain")),
            (Some("a $ b"), None, Some("a 1.2.3.4 b")),
            (Some("$"), None, Some("1.2.3.4")),
            (Some("$x"), None, Some("1.2.3.4x")),
            (Some("$$ $$$"), None, Some("$ $1.2.3.4")),
            (Some("$1/$2/$19"), None, Some("one $ $$/$2/one $ $$9")),
            (Some("a $= b"), None, Some("a a $= b b")),
            (Some("=x $="), None, Some("x x $=")),
            (Some("="), None, None),
            (Some("foo $"), Some("base $= [$]"), Some("base foo $ [1.2.3.4]")),
            (Some("=opt $ $="), Some("base $= [$]"), Some("opt 1.2.3.4 opt $ $=")),
            (Some("="), Some("base"), None),
            (None, Some("base $= [$]"), Some("base 1.2.3.4 [1.2.3.4]")),
        ] {
            assert_eq!(expanded(text, base).as_deref(), expected, "{text:?} with {base:?}");
        }
    }

    #[test]
    fn nothing_grows_without_bound() {
        let mut variables = Variables::default();
        variables.numbered[0] = Some(vec![b'x'; 32 * 1024].into());
        let template = Template::compile(Some(&b"$0$".repeat(8000)), &variables).unwrap();
        let mut out = Vec::new();
        template.expand(&[b'k'; 39], &mut out);
        assert!(out.len() <= Template::LONGEST + 39 * Template::MOST_PLACES);
    }

    #[test]
    fn equal_values_have_one_id() {
        let mut table = ValueTable::default();
        let (a, b) = (Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3));
        let ids = [(a, None), (a, Some("x")), (b, Some("x")), (a, None), (b, Some("x")), (a, Some(""))]
            .map(|(address, text)| table.intern_parts(address, text.map(str::as_bytes)).unwrap());
        assert_eq!(ids, [0, 1, 2, 0, 2, 3]);
        assert_eq!(table.values().len(), 4);
        let again = table.values()[2].clone();
        assert_eq!(table.intern(again), Some(2));
    }

    proptest! {
        #[test]
        fn the_source_says_the_same(text in "[$=a-c0-3]{0,20}", base in prop::option::of("[$=a-c0-3]{0,20}")) {
            let base = base.map(|base| base.into_bytes().into());
            let Some(template) = Template::compile(Some(text.as_bytes()), &Variables { base, ..variables(None) })
            else { return Ok(()) };
            let Some(source) = template.source() else { return Ok(()) };
            let (mut filled, mut source) = (Vec::new(), source.into_iter().peekable());
            while let Some(octet) = source.next() {
                match octet {
                    b'$' if source.next_if_eq(&b'$').is_some() => filled.push(b'$'),
                    b'$' => filled.extend_from_slice(b"KEY"),
                    _ => filled.push(octet),
                }
            }
            let mut expanded = Vec::new();
            template.expand(b"KEY", &mut expanded);
            prop_assert_eq!(filled, expanded);
        }
    }
}
