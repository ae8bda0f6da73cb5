//! The map from every address to what a list says of it: all its datasets together, the test
//! entries, and IPv4 as it is seen through IPv6 names.
//!
//! A query asks the datasets one after the other; whoever needs whole prefixes (exports, NSEC) asks
//! this map for the run of addresses round one of them that all have the same answer. Both families
//! are numbers of 128 bits here; those of IPv4 use the low 32.

use std::net::{Ipv4Addr, Ipv6Addr};

use smallvec::SmallVec;

use super::Found;
use super::found::Subject;
use super::list::List;
use crate::address::{self, MAPPED, MAPPED_LAST, SIX_TO_FOUR};
use crate::dataset::{AddressList, TEST_V4, TEST_V6};
use crate::prefix_table::{Address, PrefixTable, Range, State, UNLISTED};

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4, named by four octets.
    V4,
    /// IPv6, named by 32 nibbles.
    V6,
}

/// A prefix of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    /// The family.
    pub family: Family,
    /// The first address; the bits after `length` are clear.
    pub first: u128,
    /// The length in bits, 0 to 32 or 128.
    pub length: u8,
}

/// What the lists say of an address: the state in each of their tables, and at the end of each
/// list's 1 for its test entry. Equal answers nearly always are equal values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Said(SmallVec<[State; 6]>);

/// A run of addresses of which the same is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first address.
    pub first: u128,
    /// The last address, inclusive.
    pub last: u128,
    /// What is said of all of them.
    pub said: Said,
}

/// The map of one list, or of several that are asked together.
#[derive(Clone, Debug)]
pub struct AddressMap<'z> {
    lists: SmallVec<[Member<'z>; 1]>,
    dropin: bool,
}

/// A list with its tables at hand.
#[derive(Clone, Debug)]
struct Member<'z> {
    list: &'z List,
    tables: SmallVec<[&'z AddressList; 2]>,
    /// The test entry 127.0.0.2 is served, and no data lists the address.
    test_v4: bool,
    /// The test entry ::ffff:7f00:2 is served as an IPv6 address of its own.
    test_v6: bool,
}

/// The last address of 2002::/16.
const SIX_TO_FOUR_LAST: u128 = SIX_TO_FOUR | u128::MAX >> address::SIX_TO_FOUR_LENGTH;

impl Family {
    /// Bits of an address: 32 or 128.
    pub fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// The highest address.
    pub fn last(self) -> u128 {
        match self {
            Self::V4 => u32::MAX.into(),
            Self::V6 => u128::MAX,
        }
    }
}

impl Prefix {
    /// The prefix of all addresses of a family.
    pub fn all(family: Family) -> Self {
        Self { family, first: 0, length: 0 }
    }

    /// The longest prefix that contains two addresses of a family.
    pub fn common(family: Family, first: u128, last: u128) -> Self {
        let length = (first ^ last).leading_zeros() as u8 - (128 - family.bits());
        Self { family, first: first & !low_bits(family.bits() - length), length }
    }

    /// The last address, inclusive.
    pub fn last(self) -> u128 {
        self.first | low_bits(self.family.bits() - self.length)
    }

    /// True if it is one address.
    pub fn is_address(self) -> bool {
        self.length == self.family.bits()
    }
}

/// `first/length`, IPv6 with hexadecimal groups only; an address alone without its length.
impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&Subject::prefix(*self).text()))
    }
}

impl Said {
    /// True if anything is listed.
    pub fn is_listed(&self) -> bool {
        self.0.iter().any(|&state| state != UNLISTED)
    }
}

impl<'z> AddressMap<'z> {
    pub(super) fn new(lists: impl IntoIterator<Item = &'z List>, dropin: bool) -> Self {
        Self { lists: lists.into_iter().map(Member::new).collect(), dropin }
    }

    /// The run of addresses round this one of which the same is said: as wide as it can be.
    pub fn run(&self, family: Family, address: u128) -> Run {
        let mut run = self.raw(family, address);
        if family == Family::V6 {
            // Where IPv4 begins and ends inside IPv6 nothing need change.
            while is_seam(run.last.wrapping_add(1)) {
                let next = self.raw(family, run.last + 1);
                if next.said != run.said {
                    break;
                }
                run.last = next.last;
            }
            while is_seam(run.first) {
                let before = self.raw(family, run.first - 1);
                if before.said != run.said {
                    break;
                }
                run.first = before.first;
            }
        }
        run
    }

    /// The runs of IPv4 addresses from the one round `first` on, in order; the first of them begins there.
    /// What [`Self::run`] finds from each to the next takes longer.
    pub fn runs_v4(&self, first: u32) -> impl Iterator<Item = Run> + '_ {
        let tables = self.lists.iter().flat_map(|member| &member.tables);
        let mut cursors: SmallVec<[_; 2]> =
            tables.map(|data| data.v4.as_ref().map(|table| table.ranges_from(first).peekable())).collect();
        let mut next = Some(first);
        std::iter::from_fn(move || {
            let first = next?;
            let mut run = Run { first: first.into(), last: u32::MAX.into(), said: Said::default() };
            let mut cursors = cursors.iter_mut();
            for member in &self.lists {
                for cursor in cursors.by_ref().take(member.tables.len()) {
                    let mut state = UNLISTED;
                    if let Some(ranges) = cursor {
                        while ranges.next_if(|range| range.last < first).is_some() {}
                        if let Some(range) = ranges.peek() {
                            run.last = run.last.min(range.last.into());
                            state = range.state;
                        }
                    }
                    run.said.0.extend([UNLISTED, state]);
                }
                if member.test_v4 {
                    run.last = run.last.min(round(TEST_V4, first).last.into());
                }
                run.said.0.push(State::from(member.test_v4 && first == TEST_V4));
            }
            next = (run.last as u32).checked_add(1);
            Some(run)
        })
    }

    /// What is said of the addresses of a prefix, for which its text stands where a text asks for
    /// the address.
    pub fn found(&self, said: &Said, prefix: Prefix) -> Found<'z> {
        let mut found = Found::new(self.dropin);
        let mut states = said.0.iter().copied();
        for member in &self.lists {
            let mut next = || states.next().unwrap_or(UNLISTED);
            let own: SmallVec<[(State, State); 2]> = member.tables.iter().map(|_| (next(), next())).collect();
            let subject = Subject::prefix(prefix);
            for (data, (v6, _)) in member.tables.iter().zip(&own) {
                found.push_state(&data.listing, *v6, &subject);
            }
            let subject = Subject::prefix(embedded(prefix));
            for (data, (_, v4)) in member.tables.iter().zip(&own) {
                found.push_state(&data.listing, *v4, &subject);
            }
            if next() != UNLISTED {
                member.list.push_test_address(Subject::prefix(embedded(prefix)), &mut found);
            }
        }
        found
    }

    /// As [`Self::run`], but it may end where nothing changes.
    fn raw(&self, family: Family, address: u128) -> Run {
        let mut run = Run { first: 0, last: family.last(), said: Said::default() };
        for member in &self.lists {
            match (family, member.list.about_v4().then(|| address::mapped(address)).flatten()) {
                (Family::V4, _) => member.v4(address as u32, true, &mut run, u128::from, u128::from),
                (Family::V6, Some(v4)) => {
                    let map = |v4: u32| MAPPED | u128::from(v4);
                    member.v4(v4, true, &mut run, map, map);
                }
                (Family::V6, None) => member.v6(address, &mut run),
            }
        }
        run
    }
}

impl<'z> Member<'z> {
    fn new(list: &'z List) -> Self {
        let tables: SmallVec<[&AddressList; 2]> = list.addresses().collect();
        let free = |listed: bool| list.serves_test_address() && !listed;
        let test_v4 = free(tables.iter().any(|data| state(data.v4.as_ref(), TEST_V4) != UNLISTED));
        let test_v6 = free(tables.iter().any(|data| state(data.v6.as_ref(), TEST_V6) != UNLISTED));
        Self { list, tables, test_v4, test_v6: test_v6 && !list.about_v4() }
    }

    /// Narrows a run to the addresses that are like this one in the IPv4 tables, whose first and
    /// last addresses are placed among the run's by two functions.
    fn v4(
        &self,
        address: u32,
        with_test: bool,
        run: &mut Run,
        first: impl Fn(u32) -> u128,
        last: impl Fn(u32) -> u128,
    ) {
        let mut narrow = |range: Range<u32>| run.narrow(first(range.first), last(range.last));
        let mut states = SmallVec::<[State; 6]>::new();
        for data in &self.tables {
            let range = range(data.v4.as_ref(), address);
            narrow(range);
            states.extend([UNLISTED, range.state]);
        }
        let test = with_test && self.test_v4;
        states.push(State::from(test && address == TEST_V4));
        narrow(Range { first: 0, last: u32::MAX, state: UNLISTED });
        if test {
            narrow(round(TEST_V4, address));
        }
        run.said.0.extend(states);
    }

    fn v6(&self, address: u128, run: &mut Run) {
        let about_v4 = self.list.about_v4();
        if about_v4 {
            match address < MAPPED {
                true => run.narrow(0, MAPPED - 1),
                false => run.narrow(MAPPED_LAST + 1, u128::MAX),
            }
        }
        if self.test_v6 {
            let range = round(TEST_V6, address);
            run.narrow(range.first, range.last);
        }
        let mut states = SmallVec::<[State; 6]>::new();
        for data in &self.tables {
            let range = range(data.v6.as_ref(), address);
            run.narrow(range.first, range.last);
            states.extend([range.state, UNLISTED]);
        }
        states.push(State::from(self.test_v6 && address == TEST_V6));
        if about_v4 && self.list.has_six_to_four() {
            match address::six_to_four(address) {
                Some(v4) => {
                    let mut seen = Run { first: 0, last: u128::MAX, said: Said::default() };
                    let first = |v4: u32| SIX_TO_FOUR | u128::from(v4) << 80;
                    self.v4(v4, false, &mut seen, first, |v4| first(v4) | low_bits(80));
                    run.narrow(seen.first, seen.last);
                    for (state, embedded) in states.iter_mut().zip(seen.said.0) {
                        *state = (*state).max(embedded);
                    }
                }
                None if address < SIX_TO_FOUR => run.narrow(0, SIX_TO_FOUR - 1),
                None => run.narrow(SIX_TO_FOUR_LAST + 1, u128::MAX),
            }
        }
        run.said.0.extend(states);
    }
}

impl Run {
    fn narrow(&mut self, first: u128, last: u128) {
        self.first = self.first.max(first);
        self.last = self.last.min(last);
    }
}

/// The IPv4 prefix that an IPv6 prefix stands for; any other stands for itself.
fn embedded(prefix: Prefix) -> Prefix {
    let Prefix { family, first, length } = prefix;
    let (v4, before) = match (family, address::mapped(first), address::six_to_four(first)) {
        (Family::V6, Some(v4), _) => (v4, address::MAPPED_LENGTH),
        (Family::V6, _, Some(v4)) => (v4, address::SIX_TO_FOUR_LENGTH),
        _ => return prefix,
    };
    match length.checked_sub(before) {
        Some(length) => Prefix { family: Family::V4, first: v4.into(), length: length.min(32) },
        None => prefix,
    }
}

fn is_seam(first: u128) -> bool {
    [MAPPED, MAPPED_LAST + 1, SIX_TO_FOUR, SIX_TO_FOUR_LAST + 1].contains(&first)
}

/// The run of addresses round `address` that contains `single` only where that is `address`.
fn round<A: Address>(single: A, address: A) -> Range<A> {
    let (first, last) = match address.cmp(&single) {
        std::cmp::Ordering::Less => (A::MIN, single.predecessor().unwrap_or(A::MIN)),
        std::cmp::Ordering::Equal => (single, single),
        std::cmp::Ordering::Greater => (single.successor().unwrap_or(A::MAX), A::MAX),
    };
    Range { first, last, state: UNLISTED }
}

fn range<A: Address>(table: Option<&PrefixTable<A>>, address: A) -> Range<A> {
    let nothing = Range { first: A::MIN, last: A::MAX, state: UNLISTED };
    table.map_or(nothing, |table| table.range(address))
}

fn state<A: Address>(table: Option<&PrefixTable<A>>, address: A) -> State {
    table.map_or(UNLISTED, |table| table.lookup(address))
}

/// The number of which the last `count` (0 to 128) bits are set.
fn low_bits(count: u8) -> u128 {
    u128::MAX.checked_shr(128 - u32::from(count)).unwrap_or(0)
}

impl Subject {
    /// A prefix as a text shows it.
    fn prefix(prefix: Prefix) -> Self {
        let address = match prefix.family {
            Family::V4 => Ipv4Addr::from(prefix.first as u32).into(),
            Family::V6 => Ipv6Addr::from(prefix.first).into(),
        };
        match prefix.is_address() {
            true => Self::Address(address),
            false => Self::Prefix(address, prefix.length),
        }
    }
}
