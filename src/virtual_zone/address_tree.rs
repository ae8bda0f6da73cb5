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
struct Level {
    own: Said,
    below: Said,
    /// The children by number, in runs that are alike; none where no child exists.
    runs: Runs,
    /// Whether they exist, by number.
    exists: [bool; 256],
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
        let nothing = Said::default();
        let Place::Prefix(prefix, uniform) = place else { return Level::leaf(nothing.clone(), nothing) };
        let prefix = *prefix;
        match uniform {
            Some(said) if prefix.is_address() => Level::leaf(said.clone(), nothing),
            Some(said) if !said.is_listed() || says_all(prefix) => Level::leaf(nothing, said.clone()),
            Some(said) => Level::new(prefix, smallvec![(last_child(self.family), Some(said.clone()))]),
            None => Level::new(prefix, self.runs(prefix)),
        }
    }

    /// The child with a number, if its addresses differ: then it exists, and its neighbours need not be
    /// looked at. Left out are places that may have letters.
    fn mixed_child(&self, place: &Place, number: u8) -> Option<(Labels, Place)> {
        let Place::Prefix(prefix, None) = place else { return None };
        let may_have_letters = prefix.family == Family::V4 && is_nibbles(*prefix);
        if may_have_letters || self.levels.borrow().iter().any(|(known, _)| known == prefix) {
            return None;
        }
        let child = child(*prefix, number.into());
        let is_mixed = self.map.run(self.family, child.first).last < child.last();
        is_mixed.then(|| (label(self.family, number).into(), Place::Prefix(child, None)))
    }

    /// The children of a prefix of which not all is the same.
    fn runs(&self, prefix: Prefix) -> Runs {
        if prefix.family == Family::V4 && prefix.length + stride(prefix.family) == prefix.family.bits() {
            // Addresses, of which one run follows another.
            let runs =
                self.map.runs_v4(prefix.first as u32).map(|run| (run.last.min(prefix.last()), run.said));
            let mut more = true;
            let runs = runs.take_while(|(last, _)| std::mem::replace(&mut more, *last < prefix.last()));
            return runs.map(|(last, said)| (last as u8, Some(said))).collect();
        }
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
            let children = level.children(tree.family).rev();
            places.extend(children.map(|(label, number)| level.place(&place, label, number)));
            Some(tree.node_of(tree.key(&place), &place, &level))
        }))
    }

    fn at(&self, key: &[u8]) -> At<'z> {
        nodes::at(self, key)
    }

    fn last_before(&self, bound: &[u8], than: &[u8]) -> Option<Vec<u8>> {
        nodes::last_before(self, bound, than)
    }

    fn first_from(&self, bound: &[u8]) -> Option<Vec<u8>> {
        nodes::first_from(self, bound)
    }

    fn encloser(&self, key: &[u8]) -> Option<usize> {
        self.path(key).last().map(|(length, _)| *length)
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
        let is_before = |label: &[u8]| bound.is_none_or(|bound| *label < *bound);
        let last = order(self.family).iter().rev().find(|number| is_before(label(self.family, **number)));
        last.and_then(|number| self.mixed_child(place, *number)).or_else(|| {
            let level = self.level(place);
            let (label, number) = level.children(self.family).rev().find(|(label, _)| is_before(label))?;
            Some((label.into(), level.place(place, label, number)))
        })
    }

    fn first_child(&self, place: &Place, bound: &[u8]) -> Option<(Labels, Place)> {
        let first = order(self.family).iter().find(|number| *label(self.family, **number) >= *bound);
        first.and_then(|number| self.mixed_child(place, *number)).or_else(|| {
            let level = self.level(place);
            let (label, number) = level.children(self.family).find(|(label, _)| **label >= *bound)?;
            Some((label.into(), level.place(place, label, number)))
        })
    }

    fn node(&self, key: &[u8], place: &Place) -> Node<'z> {
        self.node_of(key.to_vec(), place, &self.level(place))
    }
}

impl Level {
    /// A prefix whose wildcard cannot say everything, given its children.
    fn new(prefix: Prefix, runs: Runs) -> Self {
        let of_nibbles = prefix.family == Family::V4 && is_nibbles(prefix);
        let below = if may_carry(prefix) { wildcard(&runs, of_nibbles) } else { Said::default() };
        let mut exists = [false; 256];
        let mut begin = 0;
        for (last, uniform) in &runs {
            let end = usize::from(*last) + 1;
            let differs =
                uniform.as_ref().is_none_or(|said| *said != below && (said.is_listed() || below.is_listed()));
            exists[begin..end].fill(differs);
            if of_nibbles && uniform.as_ref().is_some_and(Said::is_listed) {
                exists[begin.min(10)..end.min(10)].fill(true);
            }
            begin = end;
        }
        Self { own: Said::default(), below, runs, exists, of_nibbles }
    }

    /// A prefix without children.
    fn leaf(own: Said, below: Said) -> Self {
        Self { own, below, runs: Runs::new(), exists: [false; 256], of_nibbles: false }
    }

    /// The labels of the children that exist, in canonical order, each with its number unless it is a letter.
    fn children(&self, family: Family) -> impl DoubleEndedIterator<Item = (&'static [u8], Option<u8>)> {
        let numbers = if self.runs.is_empty() { &[] } else { order(family) };
        let numbers = numbers.iter().filter(|number| self.exists[usize::from(**number)]);
        let letters = if self.has_letters() { LETTERS } else { &[] };
        let numbered = numbers.map(move |&number| (label(family, number), Some(number)));
        numbered.chain(letters.iter().map(|letter| (&letter[..], None)))
    }

    /// The child of `above` with a label, if it exists.
    fn child(&self, above: &Place, label: &[u8]) -> Option<Place> {
        let (Place::Prefix(prefix, _) | Place::Letter(prefix, _)) = above;
        let number = number(prefix.family, label);
        let exists = match number {
            Some(number) => self.exists[usize::from(number)],
            None => self.has_letters() && LETTERS.iter().any(|letter| **letter == *label),
        };
        exists.then(|| self.place(above, label, number))
    }

    /// The child with a label and number, which exists.
    fn place(&self, above: &Place, label: &[u8], number: Option<u8>) -> Place {
        let (Place::Prefix(prefix, _) | Place::Letter(prefix, _)) = *above;
        let Some(number) = number else { return Place::Letter(prefix, label[0]) };
        let run = self.runs.get(self.runs.partition_point(|(last, _)| *last < number));
        Place::Prefix(child(prefix, number.into()), run.and_then(|(_, uniform)| uniform.clone()))
    }

    fn has_letters(&self) -> bool {
        self.of_nibbles && self.below.is_listed()
    }
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
