//! What a listing says: an A record and a text, interned, since a list of millions of prefixes
//! has few distinct values; and the templates that make a TXT record of the text.
//!
//! `zone_file` interns values while it reads; `dataset` turns them into templates once all
//! variables of the dataset are known (rbldnsd looks variables up when it answers, so a definition
//! also acts on the entries above it).

use std::collections::HashMap;
use std::net::Ipv4Addr;

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
#[derive(Debug, Default)]
pub struct ValueTable {
    values: Vec<Value>,
    ids: HashMap<Value, ValueId>,
}

impl ValueTable {
    /// The id of a value equal to `value`, added if it is new. `None` when there are more than
    /// `u32::MAX - 1` distinct values.
    pub fn intern(&mut self, value: Value) -> Option<ValueId> {
        if let Some(&id) = self.ids.get(&value) {
            return Some(id);
        }
        let id = ValueId::try_from(self.values.len()).ok().filter(|&id| id < ValueId::MAX - 1)?;
        self.values.push(value.clone());
        self.ids.insert(value, id);
        Some(id)
    }

    /// The values, by id.
    pub fn values(&self) -> &[Value] {
        &self.values
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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Template {
    /// The literal text between the places where the address (or the matching name) goes: one
    /// piece more than there are places.
    pieces: Box<[Box<[u8]>]>,
}

impl Template {
    /// Compiles the text of an entry. (Body to be written.)
    pub fn compile(text: Option<&[u8]>, variables: &Variables) -> Option<Self> {
        let _ = (text, variables);
        todo!()
    }

    /// Appends the text with `key` in the places of `$`.
    pub fn expand(&self, key: &[u8], out: &mut Vec<u8>) {
        let _ = (key, out);
        todo!()
    }

    /// True if the text has no place for a key.
    pub fn is_literal(&self) -> bool {
        todo!()
    }

    /// The memory that the template holds beside itself, in octets.
    pub fn bytes(&self) -> usize {
        todo!()
    }
}
