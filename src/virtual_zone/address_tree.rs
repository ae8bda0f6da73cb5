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

use super::Node;
use crate::name::push_key_label;
use crate::zone::{AddressMap, Family, Found, Prefix, Said};

/// The walk: names in canonical order.
pub(super) struct AddressTree<'z> {
    map: AddressMap<'z>,
    family: Family,
    mount: Vec<u8>,
    /// The numbers of the labels in canonical order: nibbles by value, octets as text (1, 10, 100, 101, …).
    order: Vec<u8>,
    /// What is still to be visited, the next one on top: at most the children of one path.
    steps: Vec<Step>,
}

enum Step {
    /// A prefix; with what is said of all its addresses, if that is the same.
    Prefix(Prefix, Option<Said>),
    /// The name of an IPv4 prefix with one more label, a to f.
    Letter(Prefix, u8),
}

/// The fewest labels of a wildcard of IPv6: names of IPv4 have four labels.
const LABELS_V6: u8 = 4;
/// The nibbles that are no octets.
const LETTERS: std::ops::RangeInclusive<u8> = b'a'..=b'f';

impl<'z> AddressTree<'z> {
    pub(super) fn new(map: AddressMap<'z>, family: Family, mount: Vec<u8>) -> Self {
        let mut order: Vec<u8> = (0..=u8::MAX >> (8 - stride(family))).collect();
        if family == Family::V4 {
            order.sort_by_key(|number| number.to_string());
        }
        Self { map, family, mount, order, steps: vec![Step::Prefix(Prefix::all(family), None)] }
    }

    /// A prefix that is uniform, or whose wildcard cannot say everything.
    fn visit(&mut self, prefix: Prefix, uniform: Option<Said>) -> Node<'z> {
        let nothing = Said::default();
        let (own, below) = match &uniform {
            Some(said) if prefix.is_address() => (said.clone(), nothing),
            Some(said) if !said.is_listed() || says_all(prefix) => (nothing, said.clone()),
            uniform => (nothing, self.descend(prefix, uniform.as_ref())),
        };
        let found = |said| self.map.found(said, prefix);
        Node { key: self.key(prefix), own: found(&own), below: found(&below) }
    }

    /// Plans the visits of the children that differ from the prefix's own wildcard, whose answer it gives.
    fn descend(&mut self, prefix: Prefix, uniform: Option<&Said>) -> Said {
        let children = self.children(prefix, uniform);
        let of_nibbles = self.family == Family::V4 && is_nibbles(prefix);
        // Such a child is a name of its own in any case.
        let costs_nothing = |index: usize| of_nibbles && index < 10;
        let wildcard = match may_carry(prefix) {
            true => wildcard(&children, costs_nothing, if of_nibbles { LETTERS.len() } else { 0 }),
            false => Said::default(),
        };
        if of_nibbles && wildcard.is_listed() {
            self.steps.extend(LETTERS.rev().map(|letter| Step::Letter(prefix, letter)));
        }
        for index in self.order.iter().rev().map(|&number| usize::from(number)) {
            let uniform = &children[index];
            let same = uniform.as_ref().is_some_and(|said| match said.is_listed() {
                true => *said == wildcard && !costs_nothing(index),
                false => !wildcard.is_listed(),
            });
            if !same {
                self.steps.push(Step::Prefix(child(prefix, index), uniform.clone()));
            }
        }
        wildcard
    }

    /// What is said of each child, by number; none where its addresses differ.
    fn children(&self, prefix: Prefix, uniform: Option<&Said>) -> Vec<Option<Said>> {
        let count = 1 << stride(self.family);
        if uniform.is_some() {
            return vec![uniform.cloned(); count];
        }
        let mut children = Vec::with_capacity(count);
        while children.len() < count {
            let run = self.map.run(self.family, child(prefix, children.len()).first);
            let before = children.len();
            while children.len() < count && child(prefix, children.len()).last() <= run.last {
                children.push(Some(run.said.clone()));
            }
            if children.len() == before {
                children.push(None);
            }
        }
        children
    }

    fn key(&self, prefix: Prefix) -> Vec<u8> {
        let mut key = self.mount.clone();
        for label in labels(prefix) {
            match self.family {
                Family::V4 => push_key_label(&mut key, label.to_string().as_bytes()),
                Family::V6 => push_key_label(&mut key, &[b"0123456789abcdef"[usize::from(label)]]),
            }
        }
        key
    }
}

impl<'z> Iterator for AddressTree<'z> {
    type Item = Node<'z>;

    fn next(&mut self) -> Option<Node<'z>> {
        match self.steps.pop()? {
            Step::Prefix(prefix, uniform) => Some(self.visit(prefix, uniform)),
            Step::Letter(prefix, letter) => {
                let mut key = self.key(prefix);
                push_key_label(&mut key, &[letter]);
                let nothing: Found<'z> = self.map.found(&Said::default(), prefix);
                Some(Node { key, own: nothing.clone(), below: nothing })
            }
        }
    }
}

/// The answer of a wildcard that needs the fewest names beside it: the listed one that most uniform
/// children have, if it saves more than it costs, else none. `extra` names come with any wildcard.
fn wildcard(children: &[Option<Said>], costs_nothing: impl Fn(usize) -> bool, extra: usize) -> Said {
    let mut counts: Vec<(&Said, usize)> = Vec::new();
    let mut unlisted = 0;
    for (index, said) in children.iter().enumerate() {
        match said {
            Some(said) if !said.is_listed() => unlisted += 1,
            Some(said) if !costs_nothing(index) => {
                match counts.iter_mut().find(|(known, _)| *known == said) {
                    Some((_, count)) => *count += 1,
                    None => counts.push((said, 1)),
                }
            }
            _ => {}
        }
    }
    // The first of equal ones, so that the order of the data does not matter.
    let most = counts.into_iter().rev().max_by_key(|(_, count)| *count);
    most.filter(|(_, count)| *count > unlisted + 1 + extra).map(|(said, _)| said.clone()).unwrap_or_default()
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
    labels(prefix).all(|label| label < 10)
}

/// Bits of a label.
fn stride(family: Family) -> u8 {
    match family {
        Family::V4 => 8,
        Family::V6 => 4,
    }
}

/// The labels of a prefix as numbers, from the right end of the name.
fn labels(prefix: Prefix) -> impl Iterator<Item = u8> {
    let stride = stride(prefix.family);
    (1..=prefix.length / stride).map(move |count| {
        let rest = prefix.family.bits() - count * stride;
        (prefix.first >> rest) as u8 & (u8::MAX >> (8 - stride))
    })
}

fn child(prefix: Prefix, index: usize) -> Prefix {
    let length = prefix.length + stride(prefix.family);
    let first = prefix.first | (index as u128) << (prefix.family.bits() - length);
    Prefix { family: prefix.family, first, length }
}
