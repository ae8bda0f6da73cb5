//! The format's rules as its text says them, word for word and as slow as may be: the oracle of
//! the tests. It asks a map nothing but the state of single addresses and of whole prefixes.

use std::cell::RefCell;
use std::collections::HashMap;

use super::block::Limits;
use super::{Content, Item, Prefix};
use crate::prefix_table::{State, UNLISTED};

/// One listing or exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListEntry {
    pub(crate) prefix: Prefix,
    pub(crate) state: State,
}

/// A list by longest match; of listings of one prefix the first wins.
#[derive(Debug)]
pub(super) struct LiteralMap {
    listings: Vec<ListEntry>,
    /// What was found out before: a concession to the patience of those who run the tests.
    uniform: RefCell<HashMap<Prefix, Option<State>>>,
    states: RefCell<HashMap<Prefix, State>>,
}

impl LiteralMap {
    pub(super) fn new(listings: &[ListEntry]) -> Self {
        Self { listings: listings.to_vec(), uniform: RefCell::default(), states: RefCell::default() }
    }

    pub(super) fn state_at(&self, address: u128) -> State {
        let mut best: Option<ListEntry> = None;
        for listing in &self.listings {
            let longer = best.is_none_or(|best| listing.prefix.length() > best.prefix.length());
            if longer && listing.prefix.contains(address) {
                best = Some(*listing);
            }
        }
        best.map_or(UNLISTED, |listing| listing.state)
    }

    /// The one state of all addresses of a prefix, if they have one.
    pub(super) fn uniform(&self, prefix: Prefix) -> Option<State> {
        *self.uniform.borrow_mut().entry(prefix).or_insert_with(|| self.find_uniform(prefix))
    }

    /// A state can only change where a listing begins, or after one ends.
    fn find_uniform(&self, prefix: Prefix) -> Option<State> {
        let state = self.state_at(prefix.first());
        let inside = self.listings.iter().filter(|listing| prefix.covers(listing.prefix));
        for listing in inside {
            let after = listing.prefix.last().wrapping_add(1);
            let same_after = !prefix.contains(after) || self.state_at(after) == state;
            if self.state_at(listing.prefix.first()) != state || !same_after {
                return None;
            }
        }
        Some(state)
    }

    pub(super) fn mixed(&self, prefix: Prefix) -> bool {
        self.uniform(prefix).is_none()
    }

    fn children(prefix: Prefix) -> impl Iterator<Item = Prefix> {
        (0..16u128).map(move |index| {
            Prefix::containing(prefix.first() | index << (124 - prefix.length()), prefix.length() + 4)
        })
    }

    /// "The state of a mixed prefix is the one that most of its 16 children have (a mixed child
    /// counts with its own state); ties go to "not listed" if it is among them, else to the lowest
    /// child among them."
    pub(super) fn state(&self, prefix: Prefix) -> State {
        if let Some(state) = self.uniform(prefix) {
            return state;
        }
        if let Some(&state) = self.states.borrow().get(&prefix) {
            return state;
        }
        let states: Vec<State> = Self::children(prefix).map(|child| self.state(child)).collect();
        let count = |state| states.iter().filter(|&&other| other == state).count();
        let most = states.iter().map(|&state| count(state)).max().unwrap();
        let state = if count(UNLISTED) == most {
            UNLISTED
        } else {
            *states.iter().find(|&&state| count(state) == most).unwrap()
        };
        self.states.borrow_mut().insert(prefix, state);
        state
    }

    fn uniform_items(&self, prefix: Prefix, state: State) -> Vec<Item<State>> {
        // Of all aligned prefixes inside, of any length, those of one other state that are made of
        // whole children and lie in no larger such prefix.
        let mut items: Vec<Item<State>> = Vec::new();
        for length in prefix.length() + 1..=prefix.length() + 4 {
            for index in 0..1u128 << (length - prefix.length()) {
                let joined = Prefix::containing(prefix.first() | index << (128 - length), length);
                let taken = items.iter().any(|item| item.prefix.covers(joined));
                if let Some(own) = self.uniform(joined).filter(|&own| own != state && !taken) {
                    items.push(item(joined, own));
                }
            }
        }
        items
    }

    /// "An item for its own state if that is not s, then its items."
    pub(super) fn full_form(&self, prefix: Prefix, around: State) -> Vec<Item<State>> {
        let state = self.state(prefix);
        let mut items = Vec::new();
        if state != around {
            items.push(item(prefix, state));
        }
        items.extend(self.uniform_items(prefix, state));
        for child in Self::children(prefix).filter(|&child| self.mixed(child)) {
            items.extend(self.full_form(child, state));
        }
        items
    }

    /// The longest mixed prefix outside of which `child` has `state` throughout.
    fn written_at(&self, child: Prefix, state: State) -> Prefix {
        let only_inside = |prefix: &Prefix| {
            // All children on the way down, other than the one that is taken, have the state.
            (child.length()..prefix.length()).step_by(4).all(|length| {
                Self::children(Prefix::containing(prefix.first(), length))
                    .filter(|other| !other.covers(*prefix))
                    .all(|other| self.uniform(other) == Some(state))
            })
        };
        let mut best = child;
        while let Some(inner) =
            Self::children(best).filter(|inner| inner.length() < 128 && self.mixed(*inner)).find(only_inside)
        {
            best = inner;
        }
        best
    }

    fn children_form(&self, prefix: Prefix, state: State) -> Vec<Item<State>> {
        let mut items = self.uniform_items(prefix, state);
        for child in Self::children(prefix).filter(|&child| self.mixed(child)) {
            items.push(Item { prefix: self.written_at(child, state), content: Content::Mixed });
        }
        items
    }

    /// The block of a prefix, by rules 1 to 4.
    pub(super) fn block(&self, prefix: Prefix, limits: Limits) -> Option<Vec<Item<State>>> {
        if let Some(state) = self.uniform(prefix) {
            let root = (state != UNLISTED).then(|| item(prefix, state)).into_iter().collect();
            return (prefix == Prefix::ROOT).then_some(root);
        }
        // Rule 1.
        let mut block = self.full_form(prefix, UNLISTED);
        if !fits(&block, limits) {
            // Rule 2.
            let state = self.state(prefix);
            block = Vec::from_iter((state != UNLISTED).then(|| item(prefix, state)));
            block.extend(self.children_form(prefix, state));
            while let Some(next) =
                self.rule_3(&block, state, limits).or_else(|| self.rule_4(&block, state, limits))
            {
                block = next;
            }
        }
        block.sort();
        Some(block)
    }

    fn rule_3(&self, block: &[Item<State>], state: State, limits: Limits) -> Option<Vec<Item<State>>> {
        let full = |mixed: &Item<State>| self.full_form(mixed.prefix, state);
        let put = |mixed: &Item<State>| replaced(block, mixed, full(mixed));
        let fitting = mixed_items(block).filter(|mixed| fits(&put(mixed), limits));
        fitting.min_by_key(|mixed| (octets(&full(mixed)), mixed.prefix)).map(put)
    }

    fn rule_4(&self, block: &[Item<State>], state: State, limits: Limits) -> Option<Vec<Item<State>>> {
        let items = |mixed: &Item<State>| self.full_form(mixed.prefix, self.state(mixed.prefix)).len();
        let mut candidates: Vec<_> =
            mixed_items(block).filter(|mixed| self.state(mixed.prefix) == state).collect();
        candidates.sort_by_key(|mixed| (std::cmp::Reverse(items(mixed)), mixed.prefix));
        let most = limits.items as usize;
        candidates
            .into_iter()
            .map(|mixed| (mixed, replaced(block, mixed, self.children_form(mixed.prefix, state))))
            .filter(|(_, block)| fits(block, limits))
            .find(|(mixed, block)| items(mixed) > most * 3 / 2 || apl_items(block) <= most / 2)
            .map(|(_, block)| block)
    }
}

fn item(prefix: Prefix, state: State) -> Item<State> {
    Item { prefix, content: if state == UNLISTED { Content::NotListed } else { Content::Listed(state) } }
}

fn mixed_items(block: &[Item<State>]) -> impl Iterator<Item = &Item<State>> {
    block.iter().filter(|item| item.content == Content::Mixed)
}

fn replaced(block: &[Item<State>], mixed: &Item<State>, by: Vec<Item<State>>) -> Vec<Item<State>> {
    block.iter().filter(|&item| item != mixed).copied().chain(by).collect()
}

fn fits(items: &[Item<State>], limits: Limits) -> bool {
    apl_items(items) <= limits.items as usize && octets(items) <= limits.octets
}

/// Items of the APL record, which has a mixed one twice.
fn apl_items(items: &[Item<State>]) -> usize {
    items.len() + mixed_items(items).count()
}

/// Octets of the rdata: a header of four for each item, and its address without the zero octets at
/// its end.
pub(super) fn octets(items: &[Item<State>]) -> usize {
    let octets = |item: &Item<State>| {
        let first = item.prefix.first().to_be_bytes();
        let ipv4 = item.prefix.length() >= 96 && first[..12] == *b"\0\0\0\0\0\0\0\0\0\0\xff\xff";
        let address = if ipv4 { &first[12..] } else { &first[..] };
        let zeros = address.iter().rev().take_while(|&&octet| octet == 0).count();
        let times = if item.content == Content::Mixed { 2 } else { 1 };
        times * (4 + address.len() - zeros)
    };
    items.iter().map(octets).sum()
}
