//! Domain lists: names and wildcards in canonical order. (Interface fixed; bodies to be written.)
//!
//! A name may be listed (or excluded) itself, and all names below it may be. Lookup as in rbldnsd's
//! dnset: the exact name first, listed or excluded; then what the nearest ancestor says of the names
//! below it.

use crate::prefix_table::{State, UNLISTED};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// How many labels, from the right, the entry that decided has.
    pub labels: usize,
    /// True if any name below this one is listed.
    pub listed_below: bool,
}

/// What the builder noticed about an entry: `line` of `file` repeats a key (with another state, if
/// `differs`), or says nothing new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameRemark {
    /// An exception where nothing is listed.
    Redundant {
        /// File index.
        file: u16,
        /// Line.
        line: u32,
    },
}

impl NameEntries {
    /// Adds an entry under a canonical key (see [`crate::name::Name::key`]). `*.name` and `.name`
    /// are entries of scope `Below`, the latter besides one of scope `Exact`.
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

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// An immutable map from names to states.
#[derive(Debug, Default)]
pub struct NameTable;

impl NameTable {
    /// Compiles entries in any order.
    ///
    /// The states of several entries with one key and scope are merged by `merge`, which gets them
    /// in the order of their origin: an exception among them, or an interned set of values.
    pub fn build(
        entries: NameEntries,
        merge: &mut dyn FnMut(&[State]) -> State,
        remark: &mut dyn FnMut(NameRemark),
    ) -> Self {
        let _ = (entries, merge, remark, UNLISTED);
        todo!()
    }

    /// What the list says of the name with the given labels, left to right, in any letter case.
    pub fn lookup(&self, labels: &[&[u8]]) -> NameMatch {
        let _ = labels;
        todo!()
    }

    /// The memory that the table holds, in octets.
    pub fn bytes(&self) -> usize {
        todo!()
    }

    /// True if nothing is listed.
    pub fn is_empty(&self) -> bool {
        todo!()
    }
}
