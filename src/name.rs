//! Domain names in wire form, compared without regard to letter case (RFC 1034, section 3.1).
//!
//! Zone apexes, SOA and NS names, owner names of generic records and the entries of domain lists
//! are all [`Name`]s. The codec of packets works on bytes of its own (`wire`); this type is for
//! names that live as long as a zone. [`Name::key`] is the form that sorts canonically, which is
//! what `name_table` stores.

use std::fmt;

/// A name in uncompressed wire form with the letter case of its source, the root label included:
/// 1 to 255 octets.
#[derive(Clone, Debug)]
pub struct Name(Box<[u8]>);

/// What is wrong with the text of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A label has more than 63 octets (RFC 1035, section 2.3.4).
    #[error("a label is longer than 63 octets")]
    LabelTooLong,
    /// The whole name has more than 255 octets (RFC 1035, section 2.3.4).
    #[error("the name is longer than 255 octets")]
    NameTooLong,
    /// A backslash is followed by nothing, or by a number above 255.
    #[error("bad escape after a backslash")]
    BadEscape,
}

impl Name {
    /// The longest name, in octets of wire form.
    pub const MAX_OCTETS: usize = 255;

    /// The root name.
    pub fn root() -> Self {
        Self(Box::new([0]))
    }

    /// Reads the text form: labels between dots, `\DDD` and `\c` escapes (RFC 1035, section 5.1).
    ///
    /// Empty labels are passed over, as rbldnsd does: `a..b.` is `a.b`.
    pub fn from_text(text: &[u8]) -> Result<Self, NameError> {
        let mut wire = Vec::with_capacity(text.len() + 2);
        let mut label = Vec::with_capacity(63);
        let mut octets = text.iter().copied();
        while let Some(octet) = octets.next() {
            match octet {
                b'.' => push_label(&mut wire, &mut label)?,
                b'\\' => label.push(unescape(&mut octets)?),
                _ => label.push(octet),
            }
        }
        push_label(&mut wire, &mut label)?;
        wire.push(0);
        if wire.len() > Self::MAX_OCTETS {
            return Err(NameError::NameTooLong);
        }
        Ok(Self(wire.into()))
    }

    /// Takes over a name that is already in valid, uncompressed wire form.
    pub(crate) fn from_wire_unchecked(wire: &[u8]) -> Self {
        Self(wire.into())
    }

    /// The wire form, the root label included.
    pub fn wire(&self) -> &[u8] {
        &self.0
    }

    /// True for the root.
    pub fn is_root(&self) -> bool {
        self.0.len() == 1
    }

    /// The labels from left to right, without the root label.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &[u8]> + Clone {
        labels(&self.0).collect::<smallvec::SmallVec<[&[u8]; 8]>>().into_iter()
    }

    /// This name under `suffix`: `www` and `example.org` make `www.example.org`.
    pub fn under(&self, suffix: &Name) -> Result<Self, NameError> {
        let mut wire = self.0[..self.0.len() - 1].to_vec();
        wire.extend_from_slice(&suffix.0);
        if wire.len() > Self::MAX_OCTETS {
            return Err(NameError::NameTooLong);
        }
        Ok(Self(wire.into()))
    }

    /// The name in the wire form with lower-case letters: what hash tables of names are keyed by.
    pub fn lowercase_wire(&self) -> Box<[u8]> {
        self.0.to_ascii_lowercase().into()
    }

    /// The octets that sort as names do in canonical order (RFC 4034, section 6.1): labels from
    /// right to left, in lower case, each ended by 0. A name's key is a prefix of the keys of all
    /// names below it. Octets 0 and 1 inside a label become `1 1` and `1 2`.
    pub fn key(&self) -> Vec<u8> {
        let mut key = Vec::with_capacity(self.0.len());
        for label in self.labels().rev() {
            push_key_label(&mut key, label);
        }
        key
    }
}

/// Appends one label to a canonical key; see [`Name::key`].
pub fn push_key_label(key: &mut Vec<u8>, label: &[u8]) {
    key.extend(key_octets(label));
}

/// The octets that one label has in a canonical key; see [`Name::key`].
pub fn key_octets(label: &[u8]) -> impl Iterator<Item = u8> {
    let octets = label.iter().flat_map(|&octet| match octet {
        0 | 1 => [Some(1), Some(octet + 1)],
        _ => [Some(octet.to_ascii_lowercase()), None],
    });
    octets.flatten().chain([0])
}

/// The name of a canonical key as text; see [`Name::key`].
pub fn key_text(key: &[u8]) -> String {
    let mut text = String::new();
    for label in key.strip_suffix(&[0]).unwrap_or(key).rsplit(|&octet| octet == 0) {
        if !text.is_empty() {
            text.push('.');
        }
        let mut octets = label.iter();
        while let Some(&octet) = octets.next() {
            let octet = if octet == 1 { octets.next().map_or(1, |octet| octet - 1) } else { octet };
            write_label(&[octet], &mut |octet| text.push(char::from(octet)));
        }
    }
    text
}

/// The name of a canonical key under `apex` in wire form; see [`Name::key`].
pub fn key_wire(key: &[u8], apex: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(key.len() + apex.len());
    for label in key.strip_suffix(&[0]).map(|key| key.rsplit(|&octet| octet == 0)).into_iter().flatten() {
        let start = wire.len();
        wire.push(0);
        let mut octets = label.iter();
        while let Some(&octet) = octets.next() {
            wire.push(if octet == 1 { octets.next().map_or(1, |octet| octet - 1) } else { octet });
        }
        // A label has at most 63 octets.
        wire[start] = (wire.len() - start - 1) as u8;
    }
    wire.extend_from_slice(apex);
    wire
}

/// The labels of a name in uncompressed wire form, left to right, without the root label.
pub fn labels(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = wire;
    std::iter::from_fn(move || {
        let (&length, tail) = rest.split_first()?;
        if length == 0 || tail.len() < usize::from(length) {
            return None;
        }
        let (label, tail) = tail.split_at(usize::from(length));
        rest = tail;
        Some(label)
    })
}

fn push_label(wire: &mut Vec<u8>, label: &mut Vec<u8>) -> Result<(), NameError> {
    if label.is_empty() {
        return Ok(());
    }
    let length = u8::try_from(label.len()).ok().filter(|&n| n <= 63).ok_or(NameError::LabelTooLong)?;
    wire.push(length);
    wire.append(label);
    Ok(())
}

fn unescape(octets: &mut impl Iterator<Item = u8>) -> Result<u8, NameError> {
    let first = octets.next().ok_or(NameError::BadEscape)?;
    if !first.is_ascii_digit() {
        return Ok(first);
    }
    let mut value = u16::from(first - b'0');
    for _ in 0..2 {
        let digit = octets.next().filter(u8::is_ascii_digit).ok_or(NameError::BadEscape)?;
        value = value * 10 + u16::from(digit - b'0');
    }
    u8::try_from(value).map_err(|_| NameError::BadEscape)
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Name {}

impl std::hash::Hash for Name {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.lowercase_wire().hash(state);
    }
}

/// The text form without the final dot (`.` for the root), special octets escaped.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        for (index, label) in self.labels().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            let mut text = String::with_capacity(label.len());
            write_label(label, &mut |octet| text.push(char::from(octet)));
            f.write_str(&text)?;
        }
        Ok(())
    }
}

/// Writes a label as text, ASCII octets only: what has a meaning in zone files gets a backslash,
/// what cannot be printed becomes `\DDD` (RFC 1035, section 5.1).
pub fn write_label(label: &[u8], out: &mut impl FnMut(u8)) {
    for &octet in label {
        match octet {
            b'.' | b'"' | b'\\' | b';' | b'@' | b'$' => {
                out(b'\\');
                out(octet);
            }
            0x21..=0x7e => out(octet),
            _ => format!("\\{octet:03}").bytes().for_each(&mut *out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::from_text(text.as_bytes()).unwrap()
    }

    #[test]
    fn text_and_back() {
        for (text, shown) in [
            ("bl.example", "bl.example"),
            ("..a..b.", "a.b"),
            (".", "."),
            (r"a\.b.c", r"a\.b.c"),
            (r"\065x", "Ax"),
            (r"\000", r"\000"),
        ] {
            assert_eq!(name(text).to_string(), shown);
        }
        assert_eq!(Name::from_text(b"a\\"), Err(NameError::BadEscape));
        assert_eq!(Name::from_text(b"\\256"), Err(NameError::BadEscape));
        assert_eq!(Name::from_text(&[b'a'; 64]), Err(NameError::LabelTooLong));
        assert_eq!(Name::from_text("a.".repeat(128).as_bytes()), Err(NameError::NameTooLong));
    }

    #[test]
    fn keys_sort_canonically() {
        // The example of RFC 4034, section 6.1.
        let sorted = [
            "example",
            "a.example",
            "yljkjljk.a.example",
            "Z.a.example",
            "zABC.a.EXAMPLE",
            "z.example",
            r"\001.z.example",
            "*.z.example",
            r"\200.z.example",
        ];
        for pair in sorted.windows(2) {
            assert!(name(pair[0]).key() < name(pair[1]).key(), "{} < {}", pair[0], pair[1]);
        }
        assert_eq!(key_wire(&[], name("b.x").wire()), name("b.x").wire());
        assert!(name("a.example").key().starts_with(&name("example").key()));
        for text in ["www.example", r"\001\000.\200\002.example", "*"] {
            assert_eq!(key_text(&name(text).key()), text);
            let under = name(text).under(&name("b.x")).unwrap();
            assert_eq!(key_wire(&name(text).key(), name("b.x").wire()), under.wire());
        }
    }
}
