//! What the states of a table mean: the values of a dataset with their texts made ready.

use std::collections::HashMap;

use crate::prefix_table::{State, UNLISTED};
use crate::value::{Template, Value, Variables};

/// The meaning of states, and the TTL of what they say.
///
/// State 0 is "not listed" and state `n` up to the number of values is the value `n - 1`, as
/// `zone_file` numbers them; the states above are sets of several values (ip4set, dnset).
#[derive(Debug)]
pub struct Listing {
    /// The TTL of all records, in seconds.
    pub ttl: u32,
    sayings: Box<[Saying]>,
    sets: Vec<Box<[State]>>,
    set_states: HashMap<Box<[State]>, State>,
    /// How many values were left out because their key has [`MOST_VALUES`].
    left_out: u64,
}

/// The most values of one key: no message of 65,535 octets has room for so many A records.
pub(super) const MOST_VALUES: usize = 4096;

/// One value, ready to be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saying {
    /// The rdata of the A record.
    pub address: [u8; 4],
    /// The text of the TXT record, if there is one.
    pub text: Option<Template>,
}

impl Saying {
    /// Makes a value's text ready.
    pub fn new(value: &Value, variables: &Variables) -> Self {
        Self { address: value.address.octets(), text: Template::compile(value.text.as_deref(), variables) }
    }
}

impl Listing {
    pub(super) fn new(values: &[Value], variables: &Variables, ttl: u32) -> Self {
        let sayings = values.iter().map(|value| Saying::new(value, variables)).collect();
        Self { ttl, sayings, sets: Vec::new(), set_states: HashMap::new(), left_out: 0 }
    }

    /// What a state says, in the order of its entries; nothing where it is "not listed".
    pub fn sayings(&self, state: State) -> impl Iterator<Item = &Saying> {
        let index = state as usize;
        let set = match index.checked_sub(self.sayings.len() + 1) {
            Some(set) => &self.sets[set][..],
            None => &[],
        };
        let single = (index > 0 && set.is_empty()).then(|| &self.sayings[index - 1]);
        single.into_iter().chain(set.iter().map(|&state| &self.sayings[state as usize - 1]))
    }

    /// What a state says, where that is exactly one thing.
    pub fn only_saying(&self, state: State) -> Option<&Saying> {
        self.sayings.get((state as usize).checked_sub(1)?)
    }

    /// How many states there are beside "not listed": 1 up to this number.
    pub fn states(&self) -> State {
        (self.sayings.len() + self.sets.len()) as State
    }

    /// The state of a key that several entries name: an exception wins, else all values are said,
    /// each once, up to [`MOST_VALUES`] of them.
    pub(super) fn union(&mut self, states: &[State]) -> State {
        if let [state] = states {
            return *state;
        }
        if states.contains(&UNLISTED) {
            return UNLISTED;
        }
        let mut distinct = Vec::with_capacity(states.len().min(MOST_VALUES));
        for &state in states {
            if distinct.contains(&state) {
                continue;
            }
            match distinct.len() {
                MOST_VALUES => self.left_out += 1,
                _ => distinct.push(state),
            }
        }
        if let [state] = distinct[..] {
            return state;
        }
        if let Some(&state) = self.set_states.get(&distinct[..]) {
            return state;
        }
        // Values and sets are fewer than the entries, and those have 32-bit indices.
        let state = (self.sayings.len() + self.sets.len() + 1) as State;
        let set: Box<[State]> = distinct.into();
        self.sets.push(set.clone());
        self.set_states.insert(set, state);
        state
    }

    /// How many values [`Self::union`] left out.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// True if some text of a state depends on the key by which it was found.
    pub(super) fn names_the_key(&self, state: State) -> bool {
        self.sayings(state).any(|saying| saying.text.as_ref().is_some_and(|text| !text.is_literal()))
    }

    pub(super) fn bytes(&self) -> usize {
        let texts: usize =
            self.sayings.iter().filter_map(|saying| saying.text.as_ref()).map(Template::bytes).sum();
        let sets: usize = self.sets.iter().map(|set| size_of_val(&**set) + size_of::<Box<[State]>>()).sum();
        size_of_val(&*self.sayings) + texts + 2 * sets
    }
}
