//! The addresses of a list as names and wildcards: a walk down the tree of nibbles or octets, as far as
//! the answers differ.
//!
//! A prefix whose addresses all have one answer is one name at most: nothing where its parent's wildcard
//! says the same, else a name with a wildcard of its own, or a name with none (an exception). Any other
//! prefix exists in any case, and its wildcard says what is cheapest: the answer of most of its uniform
//! children, if that saves names. Since its other children exist by themselves, the choice is a matter of
//! this prefix alone, and neighbours can be found without a look at the rest of the tree.
//!
//! Decimal and hexadecimal labels meet: `3.0.0.7` begins a name of IPv6, and `*.0.0.3` for 3000::/12 would
//! answer it. So no wildcard of IPv6 has fewer than four labels. An octet of one digit is a nibble as well:
//! below a wildcard of IPv4 whose labels are all of that kind every next nibble exists, 0 to 9 in the
//! same way and a to f without data, so that no name of IPv6 reaches the wildcard. And no family has a
//! wildcard at the apex, which would answer names that are no addresses at all.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::LazyLock;

use smallvec::{SmallVec, smallvec};

use super::Node;
use super::nodes::{self, At, Labels, Nodes, Tree};
use crate::name::push_key_label;
use crate::zone::{AddressMap, Family, Prefix, Said};

/// The addresses of one family.
pub(super) struct AddressTree<'z> {
    map: AddressMap<'z>,
    family: Family,
    /// The levels that were looked at last: those of one name and its neighbours are few, and each is needed
    /// more than once.
    levels: RefCell<Vec<(Prefix, Rc<Level>)>>,
}

/// How many levels are kept.
const MOST_LEVELS: usize = 64;

/// A name of the tree.
#[derive(Clone)]
pub(super) enum Place {
    /// A prefix; with what is said of all its addresses, if that is the same.
    Prefix(Prefix, Option<Said>),
    /// The name of an IPv4 prefix with one more label, a to f.
    Letter(Prefix, u8),
}

/// What is said at a prefix that exists, and which of its children exist.
#[derive(Default)]
struct Level {
    own: Said,
    below: Said,
    /// The children by number, in runs that are alike; none where no child exists.
    runs: Runs,
    /// The first ten children exist in any case, and the letters do.
    of_nibbles: bool,
}

/// Runs of children, each with its last number and what is said of all their addresses: none where they
/// differ, and then the run is one child.
type Runs = SmallVec<[(u8, Option<Said>); 4]>;

/// The fewest labels of a wildcard of IPv6: names of IPv4 have four labels.
const LABELS_V6: u8 = 4;
/// The labels of the nibbles that are no octets.
const LETTERS: &[&[u8; 2]] = &[b"a\0", b"b\0", b"c\0", b"d\0", b"e\0", b"f\0"];

impl<'z> AddressTree<'z> {
    pub(super) fn new(map: AddressMap<'z>, family: Family) -> Self {
        Self { map, family, levels: RefCell::default() }
    }

    /// As [`Self::make_level`], made once.
    fn level(&self, place: &Place) -> Rc<Level> {
        let Place::Prefix(prefix, None) = place else { return Rc::new(self.make_level(place)) };
        let mut levels = self.levels.borrow_mut();
        if let Some((_, level)) = levels.iter().rev().find(|(other, _)| other == prefix) {
            return level.clone();
        }
        let level = Rc::new(self.make_level(place));
        if levels.len() == MOST_LEVELS {
            levels.clear();
        }
        levels.push((*prefix, level.clone()));
        level
    }

    fn make_level(&self, place: &Place) -> Level {
        let Place::Prefix(prefix, uniform) = place else { return Level::default() };
        let prefix = *prefix;
        match uniform {
            Some(said) if prefix.is_address() => Level { own: said.clone(), ..Level::default() },
            Some(said) if !said.is_listed() || says_all(prefix) => {
                Level { below: said.clone(), ..Level::default() }
            }
            Some(said) => level(prefix, smallvec![(last_child(self.family), Some(said.clone()))]),
            None => level(prefix, self.runs(prefix)),
        }
    }

    /// The children of a prefix of which not all is the same.
    fn runs(&self, prefix: Prefix) -> Runs {
        let mut runs = Runs::new();
        let rest = self.family.bits() - prefix.length - stride(self.family);
        let count = usize::from(last_child(self.family)) + 1;
        let mut index = 0;
        while index < count {
            let run = self.map.run(self.family, child(prefix, index).first);
            let end = match run.last < prefix.last() {
                true => ((run.last - prefix.first + 1) >> rest) as usize,
                false => count,
            };
            let said = (end > index).then_some(run.said);
            index = end.max(index + 1);
            runs.push(((index - 1) as u8, said));
        }
        runs
    }

    fn key(&self, place: &Place) -> Vec<u8> {
        let (Place::Prefix(prefix, _) | Place::Letter(prefix, _)) = place;
        let mut key = Vec::new();
        for number in numbers(*prefix) {
            key.extend_from_slice(label(self.family, number));
        }
        if let Place::Letter(_, letter) = place {
            push_key_label(&mut key, &[*letter]);
        }
        key
    }

    fn node_of(&self, key: Vec<u8>, place: &Place, level: &Level) -> Node<'z> {
        let (Place::Prefix(prefix, _) | Place::Letter(prefix, _)) = place;
        let found = |said| self.map.found(said, *prefix);
        Node { key, own: found(&level.own), below: found(&level.below) }
    }
}

impl<'z> Nodes<'z> for AddressTree<'z> {
    fn walk(&self) -> Box<dyn Iterator<Item = Node<'z>> + 'z> {
        let tree = Self::new(self.map.clone(), self.family);
        // What is still to be visited, the next one on top: at most the children of one path.
        let mut places = vec![root(self.family)];
        Box::new(std::iter::from_fn(move || {
            let place = places.pop()?;
            let level = tree.make_level(&place);
            places.extend(level.children(&place).rev().map(|(_, child)| child));
            Some(tree.node_of(tree.key(&place), &place, &level))
        }))
    }

    fn at(&self, key: &[u8]) -> At<'z> {
        nodes::at(self, key)
    }

    fn last_before(&self, bound: &[u8]) -> Option<Vec<u8>> {
        nodes::last_before(self, bound)
    }

    fn first_from(&self, bound: &[u8]) -> Option<Vec<u8>> {
        nodes::first_from(self, bound)
    }
}

impl<'z> Tree<'z> for AddressTree<'z> {
    type Place = Place;

    fn root(&self) -> Place {
        root(self.family)
    }

    /// A prefix of whose addresses not all have the same answer exists, and so do all above it: only
    /// below the last of them is there anything to be looked up.
    fn path(&self, bound: &[u8]) -> Vec<(usize, Place)> {
        let mut mixed = read(self.family, bound);
        let run = self.map.run(self.family, mixed.first);
        while mixed.length > 0 && run.first <= mixed.first && mixed.last() <= run.last {
            mixed = parent(mixed);
        }
        let mut path = vec![(0, root(self.family))];
        let (mut length, mut prefix) = (0, Prefix::all(self.family));
        for number in numbers(mixed) {
            length += label(self.family, number).len();
            prefix = child(prefix, number.into());
            path.push((length, Place::Prefix(prefix, None)));
        }
        for label in bound[length..].split_inclusive(|&octet| octet == 0) {
            let next = path.last().and_then(|(_, place)| self.level(place).child(place, label));
            let Some(place) = next else { break };
            length += label.len();
            path.push((length, place));
        }
        path
    }

    fn last_child(&self, place: &Place, bound: Option<&[u8]>) -> Option<(Labels, Place)> {
        let level = self.level(place);
        let mut children = level.children(place).rev();
        children.find(|(label, _)| bound.is_none_or(|bound| label < &bound)).map(owned)
    }

    fn first_child(&self, place: &Place, bound: &[u8]) -> Option<(Labels, Place)> {
        self.level(place).children(place).find(|(label, _)| *label >= bound).map(owned)
    }

    fn node(&self, key: &[u8], place: &Place) -> Node<'z> {
        self.node_of(key.to_vec(), place, &self.level(place))
    }
}

fn owned((label, place): (&[u8], Place)) -> (Labels, Place) {
    (label.into(), place)
}

impl Level {
    /// The children that exist, in canonical order, each with its label.
    fn children(&self, place: &Place) -> impl DoubleEndedIterator<Item = (&'static [u8], Place)> {
        let (Place::Prefix(prefix, _) | Place::Letter(prefix, _)) = *place;
        let numbers = if self.runs.is_empty() { &[] } else { order(prefix.family) };
        let children = numbers
            .iter()
            .filter_map(move |&number| Some((label(prefix.family, number), self.numbered(prefix, number)?)));
        let letters = if self.has_letters() { LETTERS } else { &[] };
        let letters = letters.iter().map(move |label| (&label[..], Place::Letter(prefix, label[0])));
        children.chain(letters)
    }

    /// The child with a label, if it exists.
    fn child(&self, place: &Place, label: &[u8]) -> Option<Place> {
        let (Place::Prefix(prefix, _) | Place::Letter(prefix, _)) = *place;
        match number(prefix.family, label) {
            Some(number) => self.numbered(prefix, number),
            None => {
                let letters = LETTERS.iter().filter(|_| self.has_letters());
                letters
                    .filter(|letter| ***letter == *label)
                    .map(|label| Place::Letter(prefix, label[0]))
                    .next()
            }
        }
    }

    fn numbered(&self, prefix: Prefix, number: u8) -> Option<Place> {
        let (_, uniform) = self.runs.get(self.runs.partition_point(|(last, _)| *last < number))?;
        let same = uniform.as_ref().is_some_and(|said| match said.is_listed() {
            true => *said == self.below && !(self.of_nibbles && number < 10),
            false => !self.below.is_listed(),
        });
        (!same).then(|| Place::Prefix(child(prefix, number.into()), uniform.clone()))
    }

    fn has_letters(&self) -> bool {
        self.of_nibbles && self.below.is_listed()
    }
}

/// A prefix whose wildcard cannot say everything, given its children.
fn level(prefix: Prefix, runs: Runs) -> Level {
    let of_nibbles = prefix.family == Family::V4 && is_nibbles(prefix);
    let below = if may_carry(prefix) { wildcard(&runs, of_nibbles) } else { Said::default() };
    Level { own: Said::default(), below, runs, of_nibbles }
}

/// The prefix of all addresses: it exists in any case, and is looked at as if it were mixed.
fn root(family: Family) -> Place {
    Place::Prefix(Prefix::all(family), None)
}

/// The answer of a wildcard that needs the fewest names beside it: the listed one that most uniform
/// children have, if it saves more than it costs, else none. Where labels are nibbles as well, the first ten
/// children are names of their own in any case, and the letters come with any wildcard.
fn wildcard(runs: &Runs, of_nibbles: bool) -> Said {
    let mut counts: SmallVec<[(&Said, usize); 4]> = SmallVec::new();
    let mut unlisted = 0;
    let mut begin = 0;
    for (last, said) in runs {
        let end = usize::from(*last) + 1;
        let saved = end - begin.max(if of_nibbles { end.min(10) } else { 0 });
        match said {
            Some(said) if !said.is_listed() => unlisted += end - begin,
            Some(said) if saved > 0 => match counts.iter_mut().find(|(known, _)| *known == said) {
                Some((_, count)) => *count += saved,
                None => counts.push((said, saved)),
            },
            _ => {}
        }
        begin = end;
    }
    let cost = unlisted + 1 + if of_nibbles { LETTERS.len() } else { 0 };
    // The first of equal ones, so that the order of the data does not matter.
    let most = counts.into_iter().rev().max_by_key(|(_, count)| *count);
    most.filter(|(_, count)| *count > cost).map(|(said, _)| said.clone()).unwrap_or_default()
}

/// True if the prefix may have a wildcard.
fn may_carry(prefix: Prefix) -> bool {
    let least = match prefix.family {
        Family::V4 => 1,
        Family::V6 => LABELS_V6,
    };
    prefix.length / stride(prefix.family) >= least
}

/// True if a wildcard alone can say one thing of all addresses of the prefix.
fn says_all(prefix: Prefix) -> bool {
    may_carry(prefix) && !(prefix.family == Family::V4 && is_nibbles(prefix))
}

/// True if all labels of an IPv4 prefix have one digit.
fn is_nibbles(prefix: Prefix) -> bool {
    numbers(prefix).all(|number| number < 10)
}

/// Bits of a label.
fn stride(family: Family) -> u8 {
    match family {
        Family::V4 => 8,
        Family::V6 => 4,
    }
}

/// The numbers of all labels in canonical order: nibbles by value, octets as text (1, 10, 100, 101, …).
fn order(family: Family) -> &'static [u8] {
    static OCTETS: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut octets: Vec<u8> = (0..=u8::MAX).collect();
        octets.sort_by_key(|octet| octet.to_string());
        octets
    });
    match family {
        Family::V4 => &OCTETS,
        Family::V6 => &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    }
}

/// A label as it stands in a key.
fn label(family: Family, number: u8) -> &'static [u8] {
    static OCTETS: LazyLock<Vec<String>> =
        LazyLock::new(|| (0..=u8::MAX).map(|octet| format!("{octet}\0")).collect());
    let number = usize::from(number);
    match family {
        Family::V4 => OCTETS[number].as_bytes(),
        Family::V6 => {
            &b"0\x001\x002\x003\x004\x005\x006\x007\x008\x009\0a\0b\0c\0d\0e\0f\0"[2 * number..][..2]
        }
    }
}

/// The greatest number of a label.
fn last_child(family: Family) -> u8 {
    u8::MAX >> (8 - stride(family))
}

/// The labels of a prefix as numbers, from the right end of the name.
fn numbers(prefix: Prefix) -> impl Iterator<Item = u8> {
    let stride = stride(prefix.family);
    (1..=prefix.length / stride).map(move |count| {
        let rest = prefix.family.bits() - count * stride;
        (prefix.first >> rest) as u8 & (u8::MAX >> (8 - stride))
    })
}

/// The number that a label of a key stands for, if that is how it would be written.
fn number(family: Family, text: &[u8]) -> Option<u8> {
    match (family, text) {
        (Family::V6, [digit @ (b'0'..=b'9' | b'a'..=b'f'), 0]) => {
            char::from(*digit).to_digit(16)?.try_into().ok()
        }
        (Family::V4, [digits @ .., 0]) if digits == b"0" || !digits.starts_with(b"0") => {
            let digits = digits.iter().all(u8::is_ascii_digit).then_some(digits)?;
            std::str::from_utf8(digits).ok()?.parse().ok()
        }
        _ => None,
    }
}

/// The prefix that the labels of a key name, as far as they are labels of addresses.
fn read(family: Family, key: &[u8]) -> Prefix {
    let labels = key.split_inclusive(|&octet| octet == 0);
    let numbers = labels.map_while(|label| number(family, label));
    numbers
        .take(usize::from(family.bits() / stride(family)))
        .fold(Prefix::all(family), |prefix, number| child(prefix, number.into()))
}

fn child(prefix: Prefix, index: usize) -> Prefix {
    let length = prefix.length + stride(prefix.family);
    let first = prefix.first | (index as u128) << (prefix.family.bits() - length);
    Prefix { family: prefix.family, first, length }
}

fn parent(prefix: Prefix) -> Prefix {
    let length = prefix.length - stride(prefix.family);
    let rest = prefix.family.bits() - length;
    let first = prefix.first.checked_shr(rest.into()).unwrap_or(0).checked_shl(rest.into()).unwrap_or(0);
    Prefix { family: prefix.family, first, length }
}
