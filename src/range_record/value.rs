//! The TXT records beside a block: what its listed items say, for all items of one state at once.
//!
//! A record has three character-strings: which listed items it speaks of, the A records, and the
//! text with `$` still in it (further strings where it is long; no third string where there is no
//! text). A state that one record cannot tell (two texts, say) has none, nor has one that would
//! take the records over the limit: clients ask for it at the item's canonical address.

use std::net::Ipv4Addr;

use super::{Content, Item};
use crate::prefix_table::State;

/// The greatest length of a character-string (RFC 1035, section 3.3).
const MAX_STRING: usize = 255;
/// What every record after the first costs a message beside its rdata: a compressed owner name,
/// type, class, TTL and length.
const RECORD_OVERHEAD: usize = 12;

/// What listed items say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The A records.
    pub addresses: Vec<Ipv4Addr>,
    /// The text, in which `$` stands for the address that is asked and `$$` for a dollar sign.
    pub text: Option<Vec<u8>>,
}

/// A record as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueRecord {
    /// The listed items that it speaks of: `None` is all, else first and last numbers.
    items: Option<Vec<(u32, u32)>>,
    /// What they say.
    pub value: Value,
}

/// The rdata of the TXT records of a block, in the order of each state's first item.
///
/// `value_of` gives the value of a state, `None` where one record cannot tell it. The whole RRset
/// takes at most `limit` octets.
pub fn write(
    items: &[Item<State>],
    limit: usize,
    mut value_of: impl FnMut(State) -> Option<Value>,
) -> Vec<Vec<u8>> {
    let listed: Vec<State> = items
        .iter()
        .filter_map(|item| match item.content {
            Content::Listed(state) => Some(state),
            _ => None,
        })
        .collect();
    let mut seen = std::collections::HashSet::new();
    let mut records = Vec::new();
    let mut octets = 0;
    for &state in listed.iter().filter(|&&state| seen.insert(state)) {
        let Some(rdata) = value_of(state).and_then(|value| write_record(&selector(&listed, state), &value))
        else {
            continue;
        };
        let overhead = if records.is_empty() { 0 } else { RECORD_OVERHEAD };
        octets += overhead + rdata.len();
        if octets > limit {
            break;
        }
        records.push(rdata);
    }
    records
}

/// Which of the listed items have a state: `*` for all, else as in `0-41,45`.
fn selector(listed: &[State], state: State) -> String {
    if listed.iter().all(|&other| other == state) {
        return "*".to_owned();
    }
    let mut parts = Vec::new();
    let mut number = 0;
    for same in listed.chunk_by(|a, b| a == b) {
        let last = number + same.len() - 1;
        if same[0] == state {
            parts.push(if same.len() == 1 { number.to_string() } else { format!("{number}-{last}") });
        }
        number = last + 1;
    }
    parts.join(",")
}

fn write_record(selector: &str, value: &Value) -> Option<Vec<u8>> {
    let addresses = value.addresses.iter().map(Ipv4Addr::to_string).collect::<Vec<_>>().join(",");
    let mut rdata = Vec::new();
    for string in [selector.as_bytes(), addresses.as_bytes()] {
        if string.len() > MAX_STRING {
            return None;
        }
        push_string(&mut rdata, string);
    }
    if let Some(text) = &value.text {
        if text.is_empty() {
            push_string(&mut rdata, b"");
        }
        text.chunks(MAX_STRING).for_each(|chunk| push_string(&mut rdata, chunk));
    }
    Some(rdata)
}

fn push_string(rdata: &mut Vec<u8>, string: &[u8]) {
    rdata.push(string.len() as u8);
    rdata.extend_from_slice(string);
}

/// The character-strings of a TXT record; `None` if the rdata ends inside one.
pub fn strings(mut rdata: &[u8]) -> Option<Vec<&[u8]>> {
    let mut strings = Vec::new();
    while let Some((&length, rest)) = rdata.split_first() {
        strings.push(rest.get(..length.into())?);
        rdata = &rest[usize::from(length)..];
    }
    Some(strings)
}

impl ValueRecord {
    /// Reads the rdata of a TXT record; `None` if it is none of these.
    pub fn read(rdata: &[u8]) -> Option<Self> {
        let strings = strings(rdata)?;
        let [items, addresses, text @ ..] = &strings[..] else { return None };
        Some(Self {
            items: read_selector(std::str::from_utf8(items).ok()?)?,
            value: Value {
                addresses: std::str::from_utf8(addresses)
                    .ok()?
                    .split(',')
                    .map(|address| address.parse().ok())
                    .collect::<Option<_>>()?,
                text: (!text.is_empty()).then(|| text.concat()),
            },
        })
    }

    /// True if the record speaks of the listed item with this number.
    pub fn names(&self, number: u32) -> bool {
        let Some(items) = &self.items else { return true };
        items.iter().any(|&(first, last)| (first..=last).contains(&number))
    }
}

fn read_selector(text: &str) -> Option<Option<Vec<(u32, u32)>>> {
    if text == "*" {
        return Some(None);
    }
    let number = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?;
    let part = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some((number(first)?, number(last)?))
    };
    text.split(',').map(part).collect::<Option<Vec<_>>>().map(Some)
}

/// Puts an address into a text: `$` is the address, `$$` a dollar sign.
pub fn fill_in(text: &[u8], address: &str) -> Vec<u8> {
    let mut filled = Vec::with_capacity(text.len() + address.len());
    let mut octets = text.iter().copied().peekable();
    while let Some(octet) = octets.next() {
        match octet {
            b'$' if octets.next_if_eq(&b'$').is_some() => filled.push(b'$'),
            b'$' => filled.extend_from_slice(address.as_bytes()),
            _ => filled.push(octet),
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::range_record::Prefix;
    use proptest::prelude::*;

    fn items(states: &[State]) -> Vec<Item<State>> {
        let item = |(index, &state): (usize, &State)| Item {
            prefix: Prefix::containing((index as u128) << 64, 64),
            content: match state {
                0 => Content::NotListed,
                9 => Content::Mixed,
                state => Content::Listed(state),
            },
        };
        states.iter().enumerate().map(item).collect()
    }

    fn value(state: State) -> Value {
        let text = (state > 1).then(|| vec![b'x'; 150 * state as usize]);
        Value { addresses: vec![Ipv4Addr::new(127, 0, 0, state as u8)], text }
    }

    fn strings_of(records: &[Vec<u8>]) -> Vec<(String, usize)> {
        let shown = |record: &Vec<u8>| {
            let strings = strings(record).unwrap();
            (String::from_utf8(strings[0].to_vec()).unwrap(), strings.len())
        };
        records.iter().map(shown).collect()
    }

    #[test]
    fn which_records_there_are() {
        let written = |states: &[State], limit| strings_of(&write(&items(states), limit, |s| Some(value(s))));
        assert_eq!(written(&[], 800), []);
        assert_eq!(written(&[0, 9], 800), []);
        assert_eq!(written(&[1, 0, 1, 9], 800), [("*".to_owned(), 2)]);
        assert_eq!(written(&[2, 0, 2, 9, 1, 2, 1], 800), [("0-1,3".to_owned(), 4), ("2,4".to_owned(), 2)]);
        // As long as all fit: one that does not ends the list.
        assert_eq!(written(&[2, 1, 3, 1], 400), [("0".to_owned(), 4), ("1,3".to_owned(), 2)]);
        assert_eq!(written(&[1, 3, 2], 400), [("0".to_owned(), 2)]);
        // One that a record cannot tell is passed over.
        let told = write(&items(&[1, 3, 2]), 800, |state| (state != 1).then(|| value(state)));
        assert_eq!(strings_of(&told), [("1".to_owned(), 4), ("2".to_owned(), 4)]);
    }

    #[test]
    fn what_is_no_value_record() {
        for strings in [
            &["*"][..],
            &["", "127.0.0.2"],
            &["1-", "127.0.0.2"],
            &["+1", "127.0.0.2"],
            &["1,,2", "127.0.0.2"],
            &["99999999999", "127.0.0.2"],
            &["*", ""],
            &["*", "127.0.0"],
            &["v=spf1 -all", "x"],
        ] {
            let mut rdata = Vec::new();
            strings.iter().for_each(|string| push_string(&mut rdata, string.as_bytes()));
            assert_eq!(ValueRecord::read(&rdata), None, "{strings:?}");
        }
        assert_eq!(ValueRecord::read(b""), None);
        assert_eq!(ValueRecord::read(b"\x05*"), None);
    }

    #[test]
    fn texts_are_filled_in() {
        assert_eq!(fill_in(b"see http://x/?$ for $$5 $", "::1"), b"see http://x/?::1 for $5 ::1");
        assert_eq!(fill_in(b"$$$", "a"), b"$a");
    }

    proptest! {
        #[test]
        fn every_item_has_its_value(states in proptest::collection::vec(0..6u32, 0..40), limit in 0..4000usize) {
            let records = write(&items(&states), limit, |state| Some(value(state)));
            let read: Vec<ValueRecord> = records.iter().map(|rdata| ValueRecord::read(rdata).unwrap()).collect();
            let listed = states.iter().filter(|&&state| state != 0);
            for (number, &state) in listed.enumerate() {
                let mut naming = read.iter().filter(|record| record.names(number as u32));
                if let Some(record) = naming.next() {
                    prop_assert_eq!(&record.value, &value(state));
                }
                prop_assert!(naming.next().is_none());
            }
        }

        #[test]
        fn anything_may_be_read(rdata in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(record) = ValueRecord::read(&rdata) {
                prop_assert!(!record.value.addresses.is_empty());
            }
        }
    }
}
