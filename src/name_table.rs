//! Domain lists: names and wildcards in canonical order.
//!
//! A name may be listed (or excepted) itself, and all names below it may be. Lookup as in rbldnsd's
//! dnset: the exact name first, listed or excepted; then what the nearest ancestor says of the names
//! below it.
//!
//! The compiled form is a finite-state transducer (the `fst` crate) over canonical keys (see
//! [`Name::key`](crate::name::Name::key)): names share the octets of their parent domains, and often
//! their ends too, so a name takes less than its own text. One walk from the root passes all
//! ancestors of a name, and the keys come out in the order that NSEC asks for. `dataset` has it
//! compiled, `zone` asks.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use fst::raw::{Fst, Output};
use fst::{IntoStreamer, Streamer};

use crate::name::key_octets;
use crate::prefix_table::{State, UNLISTED};

/// An immutable map from names to states.
pub struct NameTable {
    /// From keys to indices in `states`.
    keys: Fst<Box<[u8]>>,
    /// What an entry can say, each combination once, the most frequent first.
    states: Box<[NameStates]>,
}

/// What a list says at one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct NameStates {
    /// Of the name itself.
    pub exact: Option<State>,
    /// Of all names below it, unless an entry in between says otherwise.
    pub below: Option<State>,
}

/// Names to be compiled; keys are kept in one arena.
#[derive(Debug, Default)]
pub struct NameEntries {
    keys: Vec<u8>,
    entries: Vec<NameEntry>,
}

/// One entry of a list of names.
#[derive(Clone, Copy, Debug)]
pub struct NameEntry {
    /// Where the key begins in the arena.
    key_start: u64,
    /// Its length in octets.
    key_length: u16,
    /// Which names it speaks of.
    pub scope: Scope,
    /// The file that the entry was read from, by index in its dataset.
    pub file: u16,
    /// The line that the entry was read from.
    pub line: u32,
    /// The state; `UNLISTED` makes an exception.
    pub state: State,
}

/// Which names an entry speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// `name`: only the name.
    Exact,
    /// `*.name`: only the names below it, at any depth.
    Below,
}

/// What a list says of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameMatch {
    /// The state of the name: `UNLISTED` if nothing lists it, or an exception.
    pub state: State,
    /// How many labels, from the right, the entry that decided has: 2 where `*.x.y` did. 0 where
    /// none did.
    pub labels: usize,
    /// True if any name below this one is listed.
    pub listed_below: bool,
}

/// A line without which the list would say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameRemark {
    /// Its file, by index in the dataset.
    pub file: u16,
    /// The line.
    pub line: u32,
    /// Why it is so.
    pub why: Redundant,
}

/// Why an entry says nothing new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redundant {
    /// An exception where nothing is listed.
    Exception,
    /// The entry before it has the same name and state.
    Repeated,
    /// A wildcard above it has this same state.
    Covered(State),
}

impl NameTable {
    /// Compiles entries in any order.
    ///
    /// The states of several entries with one key and scope are merged by `merge`, which gets them
    /// in the order of their origin (file, line, then the order in which they were added): an
    /// exception among them, or an interned set of values. `remark` hears of lines that say nothing
    /// new, with the key of their name.
    pub fn build(
        mut entries: NameEntries,
        merge: &mut dyn FnMut(&[State]) -> State,
        remark: &mut dyn FnMut(NameRemark, &[u8]),
    ) -> Self {
        entries.sort();
        entries.settle(merge, remark);
        let states = entries.states_by_frequency();
        let index: HashMap<_, _> = states.iter().zip(0..).map(|(&states, index)| (states, index)).collect();
        let mut keys = fst::raw::Builder::memory();
        for (key, states) in entries.names() {
            keys.insert(key, index[&states]).expect("keys in order and a writer that is memory");
        }
        let keys = keys.into_inner().expect("a writer that is memory").into_boxed_slice();
        Self { keys: Fst::new(keys).expect("just built"), states: states.into() }
    }

    /// What the list says of the name with the given labels, left to right, in any letter case.
    pub fn lookup(&self, labels: &[&[u8]]) -> NameMatch {
        let mut node = self.keys.root();
        let mut output = Output::zero();
        let mut nearest = (UNLISTED, 0); // what an ancestor says of the names below it
        for (depth, label) in labels.iter().rev().enumerate() {
            if node.is_final()
                && let Some(state) = self.states_at(output.cat(node.final_output())).below
            {
                nearest = (state, depth);
            }
            for octet in key_octets(label) {
                let Some(place) = node.find_input(octet) else {
                    let (state, labels) = nearest;
                    return NameMatch { state, labels, listed_below: state != UNLISTED };
                };
                let transition = node.transition(place);
                output = output.cat(transition.out);
                node = self.keys.node(transition.addr);
            }
        }
        let here = match node.is_final() {
            true => self.states_at(output.cat(node.final_output())),
            false => NameStates::default(),
        };
        let (state, decided) = here.exact.map_or(nearest, |state| (state, labels.len()));
        // A deeper key lists something: of the keys directly below here one without listing would
        // be an exception from nothing, which `settle` drops.
        let listed_below = here.below.unwrap_or(nearest.0) != UNLISTED || !node.is_empty();
        NameMatch { state, labels: decided, listed_below }
    }

    /// All entries in canonical order, from the one with the key `start` or the next after it on.
    pub fn entries_from(&self, start: &[u8]) -> impl Iterator<Item = (Vec<u8>, NameStates)> + '_ {
        let mut stream = self.keys.range().ge(start).into_stream();
        std::iter::from_fn(move || stream.next().map(|(key, output)| (key.to_vec(), self.states_at(output))))
    }

    /// The entry with a key, if there is one; and the nearest entry above it that speaks of the names
    /// below, given by the length of its key, with what it says of them.
    pub fn entry(&self, key: &[u8]) -> (Option<NameStates>, Option<(usize, State)>) {
        let mut node = self.keys.root();
        let mut output = Output::zero();
        let mut above = None;
        for (length, &octet) in key.iter().enumerate() {
            if node.is_final()
                && let Some(state) = self.states_at(output.cat(node.final_output())).below
            {
                above = Some((length, state));
            }
            let Some(place) = node.find_input(octet) else { return (None, above) };
            let transition = node.transition(place);
            output = output.cat(transition.out);
            node = self.keys.node(transition.addr);
        }
        (node.is_final().then(|| self.states_at(output.cat(node.final_output()))), above)
    }

    /// The last key before `bound`.
    pub fn last_before(&self, bound: &[u8]) -> Option<Vec<u8>> {
        let mut node = self.keys.root();
        // How many octets of `bound` the key begins with, and the transition that it goes on with.
        let mut last = None;
        for (length, &octet) in bound.iter().enumerate() {
            let lower = node.transitions().take_while(|transition| transition.inp < octet).last();
            if lower.is_some() || node.is_final() {
                last = Some((length, lower));
            }
            let Some(place) = node.find_input(octet) else { break };
            node = self.keys.node(node.transition(place).addr);
        }
        let (length, mut transition) = last?;
        let mut key = bound[..length].to_vec();
        while let Some(fst::raw::Transition { inp, addr, .. }) = transition {
            key.push(inp);
            let node = self.keys.node(addr);
            transition = node.len().checked_sub(1).map(|place| node.transition(place));
        }
        Some(key)
    }

    /// The memory that the table holds, in octets.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.keys.size() + size_of_val(&*self.states)
    }

    /// How many names have entries.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// True if nothing is listed.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    fn states_at(&self, output: Output) -> NameStates {
        self.states[output.value() as usize]
    }
}

impl Default for NameTable {
    fn default() -> Self {
        Self::build(NameEntries::default(), &mut |_| UNLISTED, &mut |_, _| ())
    }
}

impl std::fmt::Debug for NameTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NameTable").field("names", &self.len()).finish_non_exhaustive()
    }
}

impl NameEntries {
    /// Adds an entry under a canonical key (see [`crate::name::Name::key`]). `*.name` and `.name`
    /// are entries of scope `Below`, the latter besides one of scope `Exact`. A key has at most 64 KiB,
    /// which no name's comes near.
    pub fn push(&mut self, key: &[u8], scope: Scope, state: State, file: u16, line: u32) {
        self.entries.push(NameEntry {
            key_start: self.keys.len() as u64,
            key_length: key.len() as u16,
            scope,
            file,
            line,
            state,
        });
        self.keys.extend_from_slice(key);
    }

    /// Adds all entries of another list behind these, their states changed by `state`.
    pub fn append(&mut self, other: Self, state: impl Fn(State) -> State) {
        let start = self.keys.len() as u64;
        self.keys.extend_from_slice(&other.keys);
        self.entries.extend(other.entries.into_iter().map(|entry| NameEntry {
            key_start: start + entry.key_start,
            state: state(entry.state),
            ..entry
        }));
    }

    /// The entries with their keys, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &NameEntry)> {
        self.entries.iter().map(|entry| (key_of(&self.keys, entry), entry))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Sorts by key and scope, the entries that have both in common by origin. The keys stay where
    /// they are; a later place in the arena means a later `push`.
    fn sort(&mut self) {
        let keys = &self.keys;
        self.entries.sort_unstable_by(|a, b| {
            let rest = |entry: &NameEntry| (entry.scope, entry.file, entry.line, entry.key_start);
            key_of(keys, a).cmp(key_of(keys, b)).then_with(|| rest(a).cmp(&rest(b)))
        });
    }

    /// Leaves one entry of each key and scope, and no exception where nothing is listed.
    fn settle(
        &mut self,
        merge: &mut dyn FnMut(&[State]) -> State,
        remark: &mut dyn FnMut(NameRemark, &[u8]),
    ) {
        let Self { keys, entries } = self;
        let mut notes = Vec::new(); // of the entries of one key, of which a line may have made two
        let mut ancestors: Vec<NameEntry> = Vec::new(); // of scope `Below`, each below the one before
        let mut states = Vec::new();
        let (mut kept, mut start) = (0, 0);
        while start < entries.len() {
            let first = entries[start];
            let (key, scope) = (key_of(keys, &first), first.scope);
            let same = |entry: &&NameEntry| entry.scope == scope && key_of(keys, entry) == key;
            let length = entries[start..].iter().take_while(same).count();
            let group = &entries[start..start + length];
            start += length;
            states.clear();
            states.extend(group.iter().map(|entry| entry.state));
            let state = if let [state] = states[..] { state } else { merge(&states) };
            let is_last_of_key = entries.get(start).is_none_or(|next| key_of(keys, next) != key);

            while ancestors.pop_if(|ancestor| !key.starts_with(key_of(keys, ancestor))).is_some() {}
            let inherited = ancestors.last().map_or(UNLISTED, |ancestor| ancestor.state);
            let excepts_nothing = inherited == UNLISTED && states.iter().all(|&state| state == UNLISTED);
            let why = |place: usize| match states[place] {
                UNLISTED if excepts_nothing => Some(Redundant::Exception),
                own if place > 0 && own == states[place - 1] => Some(Redundant::Repeated),
                own if own != UNLISTED && own == state && own == inherited => Some(Redundant::Covered(own)),
                _ => None,
            };
            notes.extend(group.iter().enumerate().map(|(place, entry)| (entry.file, entry.line, why(place))));
            if is_last_of_key {
                report(&mut notes, &mut |line| remark(line, key));
            }
            if state == UNLISTED && inherited == UNLISTED {
                continue;
            }
            let entry = NameEntry { state, ..first };
            if scope == Scope::Below {
                ancestors.push(entry);
            }
            entries[kept] = entry;
            kept += 1;
        }
        entries.truncate(kept);
    }

    /// The distinct combinations of states, the most frequent first: its index 0 costs no output
    /// in the transducer.
    fn states_by_frequency(&self) -> Vec<NameStates> {
        let mut counts: HashMap<NameStates, usize> = HashMap::new();
        for (_, states) in self.names() {
            *counts.entry(states).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts
            .sort_unstable_by_key(|&(states, count)| (std::cmp::Reverse(count), states.exact, states.below));
        counts.into_iter().map(|(states, _)| states).collect()
    }

    /// The names in order, once [`Self::settle`] has left at most one entry of each scope.
    fn names(&self) -> impl Iterator<Item = (&[u8], NameStates)> {
        self.entries.chunk_by(|a, b| key_of(&self.keys, a) == key_of(&self.keys, b)).map(|entries| {
            let state = |scope| entries.iter().find(|entry| entry.scope == scope).map(|entry| entry.state);
            let states = NameStates { exact: state(Scope::Exact), below: state(Scope::Below) };
            (key_of(&self.keys, &entries[0]), states)
        })
    }
}

/// Reports the lines of which no entry says anything new.
fn report(notes: &mut Vec<(u16, u32, Option<Redundant>)>, remark: &mut dyn FnMut(NameRemark)) {
    notes.sort_by_key(|&(file, line, _)| (file, line));
    for of_line in notes.chunk_by(|one, other| (one.0, one.1) == (other.0, other.1)) {
        let (file, line, why) = of_line[0];
        if let Some(why) = why.filter(|_| of_line.iter().all(|(.., why)| why.is_some())) {
            remark(NameRemark { file, line, why });
        }
    }
    notes.clear();
}

fn key_of<'k>(keys: &'k [u8], entry: &NameEntry) -> &'k [u8] {
    let start = entry.key_start as usize;
    &keys[start..start + usize::from(entry.key_length)]
}
