//! Datasets that are asked together: those of a zone, or those of one sub-zone of a combined
//! dataset. Decides which of them a name concerns, and whether anything is listed below it.

use std::net::Ipv4Addr;
use std::sync::Arc;

use smallvec::SmallVec;

use super::found::{Found, Subject};
use super::{View, ZoneOptions};
use crate::address::{self, Key, MAPPED, MAPPED_LAST, ReversedName};
use crate::dataset::{AddressList, Data, Dataset, GenericTable, NameList, Saying, TEST_V4, TEST_V6};
use crate::name::{Name, write_label};
use crate::prefix_table::{Address, UNLISTED};
use crate::value::{Value, Variables};
use crate::zone_file::diagnostic::{Diagnostics, Severity};

/// Datasets that are asked together.
#[derive(Debug)]
pub struct List {
    datasets: Vec<Arc<Dataset>>,
    /// Some dataset is about IPv4: IPv4-mapped names are asked there, and only there.
    about_v4: bool,
    about_v6: bool,
    about_names: bool,
    six_to_four: bool,
    /// rbldnsd's letter for complete keys.
    dropin: bool,
    /// The test entries that no data contradicts.
    tests: Tests,
}

/// The test entries of RFC 5782, section 5.
#[derive(Debug, Default)]
struct Tests {
    /// 127.0.0.2 and ::ffff:7f00:2.
    address: Option<Saying>,
    /// TEST.
    name: Option<Saying>,
    ttl: u32,
}

impl List {
    pub(super) fn new(datasets: Vec<Arc<Dataset>>, options: &ZoneOptions) -> Self {
        let about = |what: fn(&Data) -> bool| datasets.iter().any(|dataset| what(&dataset.data));
        let mut list = Self {
            about_v4: about(|data| matches!(data, Data::Addresses(AddressList { v4: Some(_), .. }))),
            about_v6: about(|data| matches!(data, Data::Addresses(AddressList { v6: Some(_), .. }))),
            about_names: about(|data| matches!(data, Data::Names(_))),
            six_to_four: options.six_to_four,
            dropin: options.dropin,
            tests: Tests { ttl: options.default_ttl, ..Default::default() },
            datasets,
        };
        if let Some(value) = options.test_value {
            list.add_test_entries(value);
        }
        list
    }

    fn add_test_entries(&mut self, value: Ipv4Addr) {
        let text = Some(b"test entry"[..].into());
        let saying = Saying::new(&Value { address: value, text }, &Variables::default());
        if (self.about_v4 || self.about_v6) && !self.addresses().any(|data| data.test_excluded) {
            self.tests.address = Some(saying.clone());
        }
        if self.about_names && !self.names().any(|data| data.test_excluded) {
            self.tests.name = Some(saying);
        }
    }

    /// Warns of data that contradicts the test entries (RFC 5782, section 5).
    pub(super) fn check_test_entries(&self, zone: &Name, diagnostics: &mut Diagnostics) {
        let mut warn =
            |message: &str| diagnostics.push_plain(Severity::Warning, format!("zone {zone}: {message}"));
        if self.addresses().any(|data| data.test_excluded) {
            warn(
                "an exception covers the test entry 127.0.0.2 or ::ffff:7f00:2, which every list should hold",
            );
        }
        if self.names().any(|data| data.test_excluded) {
            warn("an exception covers the test entry TEST, which every domain list should hold");
        }
        if self.addresses().any(|data| state_v4(data, TEST_V4 - 1) != UNLISTED) {
            warn("127.0.0.1 is listed, which no list should hold");
        }
        if self.addresses().any(|data| state_v6(data, TEST_V6 - 1) != UNLISTED) {
            warn("::ffff:7f00:1 is listed, which no list should hold");
        }
        if self.names().any(|data| data.table.lookup(&[b"invalid"]).state != UNLISTED) {
            warn("INVALID is listed, which no domain list should hold");
        }
    }

    /// Adds what the datasets say of a name, given by its labels left of the (sub-)zone, and tells
    /// whether anything lies below it.
    pub(super) fn search<'z>(&'z self, labels: &[&[u8]], view: &View<'z>, found: &mut Found<'z>) -> bool {
        let mut below = self.search_generic(labels, found);
        if labels.is_empty() {
            return true;
        }
        let reversed = ReversedName::read(labels);
        match view {
            View::Data | View::WithoutRanges => {
                if let Some(key) = reversed.key() {
                    self.search_key(key, found);
                }
                below |= self.listed_below(&reversed);
                below |= self.search_names(labels, found);
            }
            View::Always(always) => {
                let concerned = match reversed.key() {
                    Some(Key::V4(_)) => self.about_v4,
                    Some(Key::V6(address)) => {
                        self.about_v6 || self.about_v4 && (self.embedded(address).is_some())
                    }
                    None => false,
                };
                if concerned || self.about_names {
                    found.push_always(always);
                }
                below |= self.about_names
                    || self.about_v4 && reversed.v4.is_some_and(|(_, length)| length < 32)
                    || self.about_v6 && reversed.v6.is_some_and(|(_, length)| length < 128);
            }
            View::Empty | View::Ignore | View::Refuse => {}
        }
        below
    }

    fn search_key<'z>(&'z self, key: Key, found: &mut Found<'z>) {
        match key {
            Key::V4(address) => self.search_v4(address, found),
            Key::V6(address) => match address::mapped(address) {
                Some(v4) if self.about_v4 => self.search_v4(v4, found),
                _ => {
                    self.search_v6(address, found);
                    if let Some(v4) = address::six_to_four(address).filter(|_| self.six_to_four) {
                        self.search_data_v4(v4, found);
                    }
                }
            },
        }
    }

    fn search_v4<'z>(&'z self, address: u32, found: &mut Found<'z>) {
        self.search_data_v4(address, found);
        if address == TEST_V4 && !found.is_listed() {
            self.push_test(&self.tests.address, Subject::v4(address), found);
        }
    }

    fn search_data_v4<'z>(&'z self, address: u32, found: &mut Found<'z>) {
        for data in self.addresses() {
            let state = state_v4(data, address);
            if state != UNLISTED {
                found.push_state(&data.listing, state, &Subject::v4(address));
            }
        }
    }

    fn search_v6<'z>(&'z self, address: u128, found: &mut Found<'z>) {
        for data in self.addresses() {
            let state = state_v6(data, address);
            if state != UNLISTED {
                found.push_state(&data.listing, state, &Subject::v6(address));
            }
        }
        if address == TEST_V6 && !found.is_listed() {
            self.push_test(&self.tests.address, Subject::v6(address), found);
        }
    }

    fn search_names<'z>(&'z self, labels: &[&[u8]], found: &mut Found<'z>) -> bool {
        let mut below = false;
        let listed_before = found.is_listed();
        for data in self.names() {
            let answer = data.table.lookup(labels);
            below |= answer.listed_below;
            if answer.state != UNLISTED {
                let entry = &labels[labels.len() - answer.labels..];
                found.push_state(&data.listing, answer.state, &Subject::Name(entry_text(entry)));
            }
        }
        if let [label] = labels
            && label.eq_ignore_ascii_case(b"test")
            && found.is_listed() == listed_before
        {
            self.push_test(&self.tests.name, Subject::Name(entry_text(labels)), found);
        }
        below
    }

    fn search_generic<'z>(&'z self, labels: &[&[u8]], found: &mut Found<'z>) -> bool {
        let mut below = false;
        for dataset in &self.datasets {
            if let Data::Generic(table) = &dataset.data {
                let (sets, listed_below) = table.lookup(labels);
                found.push_generic(sets);
                below |= listed_below;
            }
        }
        below
    }

    fn push_test<'z>(&self, saying: &'z Option<Saying>, subject: Subject, found: &mut Found<'z>) {
        if let Some(saying) = saying {
            found.push_saying(saying, self.tests.ttl, subject);
        }
    }

    /// True if any complete key below a partial one is listed.
    fn listed_below(&self, reversed: &ReversedName) -> bool {
        let v4 = reversed.v4.is_some_and(|(first, length)| length < 32 && self.any_v4(first, length));
        v4 || reversed.v6.is_some_and(|(first, length)| {
            // Four digits are a whole IPv4 address, too. To rbldnsd 0.0.0.0 does not exist, though
            // it lies above the IPv4-mapped names; above an IPv6 listing it must exist all the same.
            let by_letter = self.dropin && matches!(reversed.key(), Some(Key::V4(_)));
            match length {
                128 => false,
                _ if by_letter => self.any_data_v6(first, first.last_of(length)),
                _ => self.any_v6(first, length),
            }
        })
    }

    fn any_v4(&self, first: u32, length: u8) -> bool {
        let last = first.last_of(length);
        self.tests.address.is_some() && (first..=last).contains(&TEST_V4) || self.any_data_v4(first, last)
    }

    fn any_data_v4(&self, first: u32, last: u32) -> bool {
        self.addresses().any(|data| data.v4.as_ref().is_some_and(|table| table.any_listed(first, last)))
    }

    fn any_v6(&self, first: u128, length: u8) -> bool {
        let last = first.last_of(length);
        if self.tests.address.is_some() && (first..=last).contains(&TEST_V6) {
            return true;
        }
        if !self.about_v4 {
            return self.any_data_v6(first, last);
        }
        // The IPv4-mapped addresses are those of the IPv4 lists; whatever the IPv6 lists hold
        // there is out of reach.
        let mapped = match (first <= MAPPED, MAPPED_LAST <= last) {
            (true, true) => self.any_data_v4(u32::MIN, u32::MAX),
            _ if first >= MAPPED && last <= MAPPED_LAST => self.any_data_v4(first as u32, last as u32),
            _ => false,
        };
        let before = first < MAPPED && self.any_data_v6(first, last.min(MAPPED - 1));
        let after = last > MAPPED_LAST && self.any_data_v6(first.max(MAPPED_LAST + 1), last);
        mapped || before || after || self.six_to_four && self.any_six_to_four(first, length)
    }

    fn any_data_v6(&self, first: u128, last: u128) -> bool {
        self.addresses().any(|data| data.v6.as_ref().is_some_and(|table| table.any_listed(first, last)))
    }

    /// True if an IPv4 list holds an address whose 6to4 form lies in the prefix.
    fn any_six_to_four(&self, first: u128, length: u8) -> bool {
        let (base, base_length) = (address::SIX_TO_FOUR, address::SIX_TO_FOUR_LENGTH);
        if length <= base_length {
            return base.masked(length) == first && self.any_data_v4(u32::MIN, u32::MAX);
        }
        address::six_to_four(first)
            .is_some_and(|v4| self.any_data_v4(v4, v4.last_of((length - base_length).min(32))))
    }

    /// The IPv4 address that an IPv6 one is also looked up as.
    fn embedded(&self, address: u128) -> Option<u32> {
        address::mapped(address).or_else(|| address::six_to_four(address).filter(|_| self.six_to_four))
    }

    /// The datasets about addresses.
    pub(super) fn address_datasets(&self) -> impl Iterator<Item = &Arc<Dataset>> {
        self.datasets.iter().filter(|dataset| matches!(dataset.data, Data::Addresses(_)))
    }

    /// The test entry of address lists, unless the data contradicts it, and its TTL.
    pub(super) fn test_entry(&self) -> Option<(&Saying, u32)> {
        self.tests.address.as_ref().map(|saying| (saying, self.tests.ttl))
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = &AddressList> {
        self.datasets.iter().filter_map(|dataset| match &dataset.data {
            Data::Addresses(list) => Some(list),
            _ => None,
        })
    }

    pub(super) fn push_test_address<'z>(&'z self, subject: Subject, found: &mut Found<'z>) {
        self.push_test(&self.tests.address, subject, found);
    }

    /// Some dataset is about IPv4.
    pub(super) fn about_v4(&self) -> bool {
        self.about_v4
    }

    /// Some dataset is about addresses.
    pub(crate) fn has_addresses(&self) -> bool {
        self.about_v4 || self.about_v6
    }

    /// IPv6 names inside 2002::/16 also get what the IPv4 lists say of the embedded address.
    pub(super) fn has_six_to_four(&self) -> bool {
        self.six_to_four
    }

    /// The test entries 127.0.0.2 and ::ffff:7f00:2 are served where no data says otherwise.
    pub(super) fn serves_test_address(&self) -> bool {
        self.tests.address.is_some()
    }

    /// What the test entry TEST of a domain list has, unless data lists it.
    pub(crate) fn test_name<'z>(&'z self, found: &mut Found<'z>) {
        if self.names().all(|data| data.table.lookup(&[b"test"]).state == UNLISTED) {
            self.push_test(&self.tests.name, Subject::Name(entry_text(&[b"test"])), found);
        }
    }

    /// The records of any type, a table for each generic dataset.
    pub(crate) fn generic(&self) -> impl Iterator<Item = &GenericTable> {
        self.datasets.iter().filter_map(|dataset| match &dataset.data {
            Data::Generic(table) => Some(table),
            _ => None,
        })
    }

    /// The domain lists.
    pub(crate) fn names(&self) -> impl Iterator<Item = &NameList> {
        self.datasets.iter().filter_map(|dataset| match &dataset.data {
            Data::Names(list) => Some(list),
            _ => None,
        })
    }
}

fn state_v4(data: &AddressList, address: u32) -> u32 {
    data.v4.as_ref().map_or(UNLISTED, |table| table.lookup(address))
}

fn state_v6(data: &AddressList, address: u128) -> u32 {
    data.v6.as_ref().map_or(UNLISTED, |table| table.lookup(address))
}

/// A name of a domain list as `$` shows it: lower case, special octets escaped.
pub(crate) fn entry_text(labels: &[&[u8]]) -> SmallVec<[u8; 32]> {
    let mut text = SmallVec::new();
    for (index, label) in labels.iter().enumerate() {
        if index > 0 {
            text.push(b'.');
        }
        write_label(&label.to_ascii_lowercase(), &mut |octet| text.push(octet));
    }
    text
}
