//! A zone: datasets under one apex, and what they say of a name together.
//!
//! Every dataset of a zone is asked, and all that they say is merged, as in rbldnsd. What rbldnsd
//! gets wrong is kept right here: a name that has no data of its own but something listed below it
//! exists (an empty non-terminal, RFC 8020), so that resolvers which ask label by label
//! (RFC 9156) find every listing.
//!
//! `snapshot` holds the zones of a server; `answer` turns a [`Lookup`] into a message.

mod address_map;
mod apex;
mod delegation;
mod found;
mod list;
mod meaning;
mod range_map;
mod ranges;
#[cfg(test)]
mod ranges_tests;
mod sub_zone;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Bound;
use std::sync::Arc;

use ipnet::IpNet;

pub use address_map::{AddressMap, Family, Prefix, Run, Said};
pub use apex::Apex;
pub use delegation::Delegation;
pub(crate) use found::Subject;
pub use found::{Found, RecordSet, RecordSets};
pub use list::List;
pub(crate) use list::entry_text;
pub use range_map::RangeMap;
pub use ranges::{Block, Ranges};
pub(crate) use sub_zone::{SubZone, SubZones};

use crate::dataset::{Access, AccessTable, ClientAddress, Data, Dataset, GenericSet, Saying, Span};
use crate::dnssec::signer::ZoneSigner;
use crate::name::Name;
use crate::range_record;
use crate::range_record::name::RangesName;
use crate::zone_file::diagnostic::{Diagnostics, Severity};
use delegation::Delegations;
use meaning::TooManyStates;
use sub_zone::same_labels;

/// A zone as it is served.
#[derive(Debug)]
pub struct Zone {
    name: Name,
    status: Status,
    options: ZoneOptions,
    apex: Apex,
    /// The datasets asked for every name.
    list: List,
    /// The combined datasets, each a list by sub-zone: of one dataset only the longest matching
    /// sub-zone is asked.
    combined: Vec<SubZones>,
    /// The range records of the zone itself and of its sub-zones, where there are any.
    ranges: Vec<(SubZone, Arc<Ranges>)>,
    signing: Signing,
    delegations: Delegations,
    /// Its access list.
    access: Option<Arc<Dataset>>,
    /// All its datasets, in the order of the configuration.
    datasets: Vec<Arc<Dataset>>,
    /// From when its data is older than it should be, in seconds since 1970.
    stale_from: Option<u32>,
}

/// How a zone is served; times in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneOptions {
    /// To the letter of rbldnsd: no SOA of our own, the SOA's minimum as negative TTL, TXT cut to
    /// one string of 254 octets.
    pub dropin: bool,
    /// The TTL of what has none of its own: records that nibbl makes itself.
    pub default_ttl: u32,
    /// The TTL of negative answers; `None` takes the lower of the SOA's TTL and minimum (RFC 2308).
    pub negative_ttl: Option<u32>,
    /// The A record of the test entries of RFC 5782, section 5; `None` serves none.
    pub test_value: Option<Ipv4Addr>,
    /// IPv6 names inside 2002::/16 also get what the IPv4 lists say of the embedded address.
    pub six_to_four: bool,
    /// The range records; `None` serves none.
    pub ranges: Option<RangesOptions>,
    /// Where other zones begin inside this one.
    pub delegations: Vec<Delegation>,
}

/// How range records are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangesOptions {
    /// The greatest size of a block in octets, [`MIN_LIMIT`](range_record::block::MIN_LIMIT) to
    /// [`MAX_LIMIT`](range_record::block::MAX_LIMIT).
    pub block_bytes: usize,
    /// The TTL in seconds.
    pub ttl: u32,
    /// The clients that see range records; all where empty.
    pub clients: Vec<IpNet>,
}

impl Default for ZoneOptions {
    fn default() -> Self {
        Self {
            dropin: false,
            default_ttl: 2100,
            negative_ttl: None,
            test_value: Some(Ipv4Addr::new(127, 0, 0, 2)),
            six_to_four: true,
            ranges: None,
            delegations: Vec::new(),
        }
    }
}

/// What a name has that exists only because others below it do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EmptyNonTerminals {
    /// The marker: in a signed zone it then owns an NSEC record, by which resolvers that meet few of
    /// the zone's names answer more of them themselves (RFC 8198). Most names of an IPv6 list are of
    /// this kind.
    #[default]
    Marker,
    /// Nothing: no name is written that need not be.
    Plain,
}

/// Whether a zone is signed.
#[derive(Clone, Debug, Default)]
pub enum Signing {
    /// It is not, and need not be.
    #[default]
    None,
    /// It is; see [`SignedBy`].
    By(SignedBy),
    /// It is to be, and cannot be: SERVFAIL, for an answer without signatures would not be believed.
    Impossible,
}

/// How a zone is signed.
#[derive(Clone, Debug)]
pub struct SignedBy {
    /// The keys, and the signatures that were made.
    pub signer: Arc<ZoneSigner>,
    /// What empty non-terminals have.
    pub empty_non_terminals: EmptyNonTerminals,
}

/// Whether a zone can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It has data.
    Serving,
    /// It was never loaded: SERVFAIL with EDE 14.
    NeverLoaded,
    /// Its `$TIMESTAMP` has expired: SERVFAIL with EDE 24.
    Expired,
    /// It has data, is to be signed and cannot be ([`Signing::Impossible`]): SERVFAIL with EDE 14.
    Unsigned,
}

/// How much of a zone a client sees (acl).
#[derive(Clone, Debug)]
pub enum View<'z> {
    /// Everything.
    Data,
    /// Everything but range records.
    WithoutRanges,
    /// Nothing is answered at all.
    Ignore,
    /// REFUSED, whatever is asked.
    Refuse,
    /// Nothing listed, but the apex and generic records.
    Empty,
    /// Every complete key listed with one value.
    Always(Always<'z>),
}

/// The value of [`View::Always`].
#[derive(Clone, Copy, Debug)]
pub struct Always<'z> {
    /// What is said.
    pub saying: &'z Saying,
    /// The TTL in seconds.
    pub ttl: u32,
    /// The client, whose address `$` stands for.
    pub client: IpAddr,
}

/// What a zone says of a name.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "made once a question, on the stack")]
pub enum Lookup<'z> {
    /// The name has data, perhaps not of the type that is asked.
    Found(Found<'z>),
    /// The name has no data, but a name below it has: an empty non-terminal.
    NoData,
    /// Neither the name nor any name below it has data (RFC 8020).
    NxDomain,
}

impl Zone {
    /// Puts a zone together; warnings about it as a whole go to `diagnostics`. `modified` is the
    /// newest modification time of its files, in seconds since 1970: the serial of a SOA that
    /// names none.
    pub fn new(
        name: Name,
        datasets: Vec<Arc<Dataset>>,
        modified: u64,
        status: Status,
        options: ZoneOptions,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let apex = Apex::new(&name, &datasets, modified, &options, diagnostics);
        let mut plain = Vec::new();
        let mut combined = Vec::new();
        let mut access = None;
        for dataset in &datasets {
            match &dataset.data {
                Data::Combined(sections) => {
                    let mut sub_zones = BTreeMap::<_, Vec<_>>::new();
                    for section in sections {
                        for sub_zone in &section.sub_zones {
                            sub_zones
                                .entry(sub_zone::key(sub_zone))
                                .or_default()
                                .push(section.dataset.clone());
                        }
                    }
                    let lists =
                        sub_zones.into_iter().map(|(key, datasets)| (key, List::new(datasets, &options)));
                    combined.push(lists.collect::<SubZones>());
                }
                Data::Access(_) => access = access.or_else(|| Some(dataset.clone())),
                _ => plain.push(dataset.clone()),
            }
        }
        let list = List::new(plain, &options);
        for list in combined.iter().flat_map(BTreeMap::values).chain([&list]) {
            list.check_test_entries(&name, diagnostics);
        }
        let (ranges, signing) = (Vec::new(), Signing::None);
        let delegations = delegation::records(&options.delegations, options.default_ttl);
        let stale_from = None;
        Self {
            name,
            status,
            options,
            apex,
            list,
            combined,
            ranges,
            signing,
            delegations,
            access,
            datasets,
            stale_from,
        }
    }

    /// Adds the range records that the options ask for, of the zone itself and of every sub-zone.
    /// Those of `before`, the zone as it was, are taken over where their data are the same, with
    /// the blocks that they have made.
    pub fn with_ranges(self, before: Option<&Zone>, diagnostics: &mut Diagnostics) -> Self {
        let Some(options) = &self.options.ranges else { return self };
        let mut note = |severity, message: &str| {
            diagnostics.push_plain(severity, format!("zone {}: {message}", self.name));
        };
        if self.answers_by_client() {
            note(
                Severity::Error,
                "no range records, since its access list changes what clients are answered (other than by \
                 ignoring or refusing them)",
            );
            return self;
        }
        if self.name.wire().len() > range_record::name::MAX_APEX_OCTETS {
            note(Severity::Warning, "no range records, since its name is longer than 185 octets");
            return self;
        }
        let before = before.filter(|before| before.options == self.options);
        let mut sub_zones: BTreeSet<&SubZone> = self.combined.iter().flat_map(BTreeMap::keys).collect();
        let itself = SubZone::new();
        sub_zones.insert(&itself);
        let mut all = Vec::new();
        for sub_zone in sub_zones {
            let lists = self.lists_of(sub_zone);
            let old = before.and_then(|zone| zone.ranges.iter().find(|(name, _)| name == sub_zone));
            let ranges = match old.filter(|(_, ranges)| ranges.are_of(&lists)) {
                Some((_, ranges)) => Ok(Some(ranges.clone())),
                None => Ranges::new(&lists, &self.options, options).map(|ranges| ranges.map(Arc::new)),
            };
            match ranges {
                Ok(ranges) => all.extend(ranges.map(|ranges| (sub_zone.clone(), ranges))),
                Err(TooManyStates) => note(Severity::Warning, "no range records: too many distinct values"),
            }
        }
        Self { ranges: all, ..self }
    }

    /// Says from when the data is older than it should be, in seconds since 1970.
    pub fn stale_from(self, time: Option<u32>) -> Self {
        Self { stale_from: time, ..self }
    }

    /// Whether the data is older than it should be at a time, in seconds since 1970.
    #[inline(always)]
    pub fn is_stale(&self, now: u32) -> bool {
        self.stale_from.is_some_and(|time| time < now)
    }

    /// Signs the zone, or says that it should be.
    pub fn with_signing(self, signing: Signing) -> Self {
        Self { signing, ..self }
    }

    /// Whether it is signed.
    pub fn signing(&self) -> &Signing {
        &self.signing
    }

    /// The lists that are asked for complete keys of the zone itself or of a sub-zone.
    fn lists_of(&self, sub_zone: &SubZone) -> Vec<&List> {
        let itself = sub_zone.is_empty().then_some(&self.list);
        itself.into_iter().chain(self.combined.iter().filter_map(|lists| lists.get(sub_zone))).collect()
    }

    /// The zone's name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Whether it can answer.
    pub fn status(&self) -> Status {
        match (self.status, &self.signing) {
            (Status::Serving, Signing::Impossible) => Status::Unsigned,
            (status, _) => status,
        }
    }

    /// SOA and NS.
    pub fn apex(&self) -> &Apex {
        &self.apex
    }

    /// Its datasets, in the order of the configuration.
    pub fn datasets(&self) -> &[Arc<Dataset>] {
        &self.datasets
    }

    /// The memory of its data and of its range records, in octets; zones may share data.
    pub fn memory(&self) -> usize {
        let data = self.datasets.iter().map(|dataset| dataset.summary.bytes);
        data.chain(self.ranges.iter().map(|(_, ranges)| ranges.memory())).sum()
    }

    /// Its options.
    pub fn options(&self) -> &ZoneOptions {
        &self.options
    }

    /// The list that is asked for every name.
    pub(crate) fn list(&self) -> &List {
        &self.list
    }

    /// The lists of each combined dataset.
    pub(crate) fn combined(&self) -> &[SubZones] {
        &self.combined
    }

    /// The cuts, where other zones begin: the keys of their names in canonical order, and the NS and DS
    /// records.
    pub(crate) fn delegations(&self) -> impl Iterator<Item = (&[u8], &[GenericSet])> {
        self.delegations.iter().map(|(cut, sets)| (&**cut, &sets[..]))
    }

    /// The cut that a key lies below.
    pub(crate) fn delegation_above(&self, key: &[u8]) -> Option<(&[u8], &[GenericSet])> {
        // No cut is below another, so it is the last one before.
        let before = (Bound::Unbounded, Bound::Excluded(key));
        let (cut, sets) = self.delegations.range::<[u8], _>(before).next_back()?;
        key.starts_with(cut).then_some((&**cut, &sets[..]))
    }

    /// What the zone's own lists say of addresses, those of sub-zones left out.
    pub fn addresses(&self) -> AddressMap<'_> {
        let own = self.combined.iter().filter_map(|sub_zones| sub_zones.get(&[][..]));
        self.address_map([&self.list].into_iter().chain(own))
    }

    /// The map of some of its lists.
    pub(crate) fn address_map<'z>(&'z self, lists: impl IntoIterator<Item = &'z List>) -> AddressMap<'z> {
        AddressMap::new(lists, self.options.dropin)
    }

    /// True if the zone has an access list.
    pub fn has_access_list(&self) -> bool {
        self.access.is_some()
    }

    /// The range records of the zone itself, if it has any.
    pub fn ranges(&self) -> Option<&Arc<Ranges>> {
        self.ranges.iter().find(|(sub_zone, _)| sub_zone.is_empty()).map(|(_, ranges)| ranges)
    }

    /// The range records of the zone itself and of its sub-zones.
    pub(crate) fn all_ranges(&self) -> impl Iterator<Item = (&SubZone, &Ranges)> {
        self.ranges.iter().map(|(sub_zone, ranges)| (sub_zone, &**ranges))
    }

    /// True if a client that sees the data also sees range records, or there are none.
    pub fn shows_ranges(&self, client: IpAddr) -> bool {
        self.ranges.is_empty()
            || self.options.ranges.as_ref().is_none_or(|RangesOptions { clients, .. }| {
                clients.is_empty() || clients.iter().any(|network| network.contains(&client))
            })
    }

    /// True if its access list changes what clients are answered, other than by ignoring or refusing them.
    pub fn answers_by_client(&self) -> bool {
        self.access.as_deref().and_then(access_table).is_some_and(AccessTable::changes_answers)
    }

    /// True if it has range records.
    pub fn has_ranges(&self) -> bool {
        !self.ranges.is_empty()
    }

    /// Clients whom its access list gives the data, and a certain one among them; `None` if that does not get it.
    pub fn audience<A: ClientAddress>(&self, client: A) -> Option<Span<A>> {
        let table = self.access.as_deref().and_then(access_table);
        table.map_or(Some(Span::ALL), |table| table.passing(client))
    }

    /// What its access list gives a client.
    pub fn access(&self, client: IpAddr) -> (&Access, u32) {
        let table = self.access.as_deref().and_then(access_table);
        table.map_or((&Access::Pass, 0), |table| (table.access(client), table.ttl))
    }

    /// What the zone says of a name, given by its labels left of the apex, left to right and in any
    /// letter case; no label is the apex itself.
    pub fn lookup<'z>(&'z self, labels: &[&[u8]], view: &View<'z>) -> Lookup<'z> {
        let mut found = Found::new(self.options.dropin);
        if matches!(view, View::Data)
            && let Some((ranges, name)) = self.ranges_name(labels)
        {
            return match name {
                RangesName::Block(prefix) if ranges.has_block(prefix) => {
                    found.push_block(ranges, prefix, None);
                    Lookup::Found(found)
                }
                _ => Lookup::NxDomain,
            };
        }
        let mut below = self.list.search(labels, view, &mut found);
        let mut exists = labels.is_empty();
        if exists {
            found.push_apex(&self.apex);
        }
        for sub_zones in &self.combined {
            let (sub_zone, sub_zone_below) = sub_zone::longest_suffix(sub_zones, labels);
            below |= sub_zone_below;
            if let Some((length, list)) = sub_zone {
                exists |= length == labels.len();
                below |= list.search(&labels[..labels.len() - length], view, &mut found);
            }
        }
        match (found.is_empty() && !exists, below) {
            (false, _) => Lookup::Found(found),
            (true, true) => Lookup::NoData,
            (true, false) => Lookup::NxDomain,
        }
    }
}

impl Zone {
    /// Reads a name at or below `_ranges` of the zone or of a sub-zone. It means nothing else there:
    /// domain lists and generic records are not asked.
    fn ranges_name(&self, labels: &[&[u8]]) -> Option<(&Ranges, RangesName)> {
        self.ranges.iter().find_map(|(sub_zone, ranges)| {
            let (left, right) = labels.split_at_checked(labels.len().checked_sub(sub_zone.len())?)?;
            let name = same_labels(right, sub_zone).then(|| range_record::name::parse(left))??;
            Some((&**ranges, name))
        })
    }
}

impl Always<'_> {
    /// The client's address as text.
    pub fn client_text(&self) -> String {
        self.client.to_string()
    }
}

/// The table of an acl dataset.
pub fn access_table(dataset: &Dataset) -> Option<&AccessTable> {
    match &dataset.data {
        Data::Access(table) => Some(table),
        _ => None,
    }
}
