//! All zones at one moment, published as one value: a query loads the current snapshot once and
//! answers from it to the end, whatever is reloaded meanwhile.
//!
//! `reload` makes snapshots and stores them in the server's `ArcSwap`; `answer` reads them.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::access::{Gate, KeyTable, Policy};
use crate::allowance::Allowance;
use crate::cookie::Cookies;
use crate::dataset::{Access, AccessTable, ClientAddress, Dataset, Span};
use crate::name::{Name, labels};
use crate::zone::{Always, Lookup, RecordSet, Signing, View, Zone, access_table};

/// All zones and what the server says of itself.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// What the server says besides its zones.
    pub settings: Settings,
    zones: Vec<Arc<Zone>>,
    /// The index of each zone, by its name in wire form and lower case.
    by_name: HashMap<Box<[u8]>, usize>,
    /// The most labels that a zone's name has.
    most_labels: usize,
    /// The names strictly between a zone and a zone nested in it: they exist.
    above_nested: HashSet<Box<[u8]>>,
    /// Of each zone, the addresses of its name servers that the zones know.
    glue: Vec<Vec<Glue>>,
    /// The access list of the whole server.
    access: Option<Arc<Dataset>>,
    /// Who may ask how much.
    gate: Gate,
    /// Range records are not shown, since that list changes what clients are answered.
    hides_ranges: bool,
    /// How many blocks of range records may be made.
    pub allowance: Allowance,
}

/// The addresses of a name server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glue {
    /// Its name in wire form.
    pub owner: Box<[u8]>,
    /// Its A or AAAA records.
    pub records: RecordSet<'static>,
}

/// How answers are made, zones apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The letter of rbldnsd: ANY in full over UDP.
    pub dropin: bool,
    /// NS and glue are left out of positive answers (rbldnsd's `-a`).
    pub minimal: bool,
    /// The largest UDP response in octets, 512 to 4096; 1232 by default.
    pub udp_size: u16,
    /// TXT of version.bind and version.server in class CH; `None` refuses.
    pub version: Option<String>,
    /// TXT of id.server and hostname.bind in class CH, which `None` refuses, and NSID (RFC 5001).
    pub identity: Option<String>,
    /// How cookies are made and checked; `None` passes over them.
    pub cookies: Option<Cookies>,
    /// Octets of memory for replies of signed zones that are given again.
    pub reply_cache: usize,
    /// Who may send NOTIFY.
    pub notify_from: Vec<IpNet>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dropin: false,
            minimal: true,
            udp_size: 1232,
            version: Some(format!("nibbl {}", env!("CARGO_PKG_VERSION"))),
            identity: None,
            cookies: None,
            reply_cache: 32 << 20,
            notify_from: Vec::new(),
        }
    }
}

/// A zone found for a name.
#[derive(Clone, Copy, Debug)]
pub struct ZoneMatch<'s> {
    /// The zone.
    pub zone: &'s Arc<Zone>,
    /// Its place in [`Snapshot::zones`]: what counters are kept by.
    pub index: usize,
    /// How many labels the apex has.
    pub apex_labels: usize,
}

impl Snapshot {
    /// Puts zones with distinct names together.
    pub fn new(zones: Vec<Arc<Zone>>, settings: Settings, access: Option<Arc<Dataset>>) -> Self {
        let by_name: HashMap<_, _> =
            zones.iter().enumerate().map(|(index, zone)| (zone.name().lowercase_wire(), index)).collect();
        let most_labels = zones.iter().map(|zone| zone.name().labels().count()).max().unwrap_or(0);
        let mut above_nested = HashSet::new();
        for zone in &zones {
            let wire = zone.name().lowercase_wire();
            let ancestors: Vec<&[u8]> = ancestors(&wire).collect();
            if let Some(depth) = ancestors.iter().position(|&name| by_name.contains_key(name)) {
                above_nested.extend(ancestors[..depth].iter().map(|&name| name.into()));
            }
        }
        let hides_ranges = access.as_deref().and_then(access_table).is_some_and(AccessTable::changes_answers);
        let mut snapshot = Self {
            settings,
            zones,
            by_name,
            most_labels,
            above_nested,
            glue: Vec::new(),
            access,
            gate: Gate::default(),
            hides_ranges,
            allowance: Allowance::default(),
        };
        snapshot.glue = snapshot.zones.iter().map(|zone| snapshot.find_glue(zone.apex().hosts())).collect();
        snapshot
    }

    /// With rules for who may ask how much. Without `keys`, nobody may where they are needed.
    pub fn with_gate(self, policy: &Arc<Policy>, keys: Option<&Arc<KeyTable>>) -> Self {
        let gate = Gate::new(policy, keys, self.zones.iter().map(|zone| zone.name()));
        Self { gate, ..self }
    }

    /// Who may ask how much.
    #[inline]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// All zones, in the order of the configuration.
    pub fn zones(&self) -> &[Arc<Zone>] {
        &self.zones
    }

    /// The zone whose apex is the longest suffix of a name: `wire` is the name in wire form and in
    /// lower case, `offsets` says where each of its labels begins, left to right (without the root).
    pub fn zone_of(&self, wire: &[u8], offsets: &[u8]) -> Option<ZoneMatch<'_>> {
        let candidates = offsets.len().min(self.most_labels);
        (1..=candidates).rev().find_map(|apex_labels| {
            let apex = wire.get(usize::from(offsets[offsets.len() - apex_labels])..)?;
            let index = *self.by_name.get(apex)?;
            Some(ZoneMatch { zone: &self.zones[index], index, apex_labels })
        })
    }

    /// A line for each zone whose range records nobody sees: see [`Snapshot::without_ranges`].
    pub fn withheld_ranges(&self) -> impl Iterator<Item = String> {
        const WHY: &str = "the server's access list changes answers by client, and range records are for all";
        self.without_ranges().map(|zone| format!("zone {}: no range records: {WHY}", zone.name()))
    }

    /// A line for each signed zone of which some clients see nothing: see [`Self::without_ranges`].
    pub fn withheld_signatures(&self) -> impl Iterator<Item = String> {
        const WHY: &str = "the server's access list changes answers by client, and signatures are for all";
        let signed = self.zones.iter().filter(|zone| !matches!(zone.signing(), Signing::None));
        let signed = signed.filter(|_| self.hides_ranges);
        signed.map(|zone| format!("zone {}: refused to those clients, for it is signed: {WHY}", zone.name()))
    }

    /// What the zone says of the name: as [`Zone::lookup`], with the zones nested in it as names
    /// that exist. `wire` is the whole name in wire form and in lower case.
    pub fn lookup<'s>(&self, zone: &'s Zone, wire: &[u8], labels: &[&[u8]], view: &View<'s>) -> Lookup<'s> {
        match zone.lookup(labels, view) {
            Lookup::NxDomain if self.above_nested.contains(wire) => Lookup::NoData,
            lookup => lookup,
        }
    }

    /// What a client sees of a zone: the server's and the zone's access lists together. The
    /// stricter of the two holds, and the server's value before the zone's.
    pub fn view<'s>(&'s self, zone: &'s Zone, client: IpAddr) -> View<'s> {
        let (global, global_ttl) =
            self.access_table().map_or((&Access::Pass, 0), |t| (t.access(client), t.ttl));
        let (own, own_ttl) = zone.access(client);
        match (global, own) {
            (Access::Ignore, _) | (_, Access::Ignore) => View::Ignore,
            (Access::Refuse, _) | (_, Access::Refuse) => View::Refuse,
            (Access::Empty, _) | (_, Access::Empty) => View::Empty,
            (Access::Always(saying), _) => View::Always(Always { saying, ttl: global_ttl, client }),
            (_, Access::Always(saying)) => View::Always(Always { saying, ttl: own_ttl, client }),
            (Access::Pass, Access::Pass) if self.hides_ranges || !zone.shows_ranges(client) => {
                View::WithoutRanges
            }
            (Access::Pass, Access::Pass) => View::Data,
        }
    }

    /// Clients whom the access lists give the data of a zone, with range records or without, and a certain one
    /// among them; `None` if that does not get it.
    pub fn audience<A: ClientAddress>(&self, zone: &Zone, client: A) -> Option<Span<A>> {
        let global = self.access_table().map_or(Some(Span::ALL), |table| table.passing(client))?;
        Some(global.and(zone.audience(client)?))
    }

    /// True if the server has an access list, besides those of zones.
    pub fn has_access_list(&self) -> bool {
        self.access.is_some()
    }

    /// The zones whose range records are not shown, since the server's access list changes what
    /// clients are answered other than by ignoring or refusing them.
    pub fn without_ranges(&self) -> impl Iterator<Item = &Zone> {
        self.zones.iter().map(|zone| &**zone).filter(|zone| self.hides_ranges && zone.has_ranges())
    }

    /// Whether questions that concern no zone get no reply (class CH: only a global "ignore" counts).
    pub fn ignores(&self, client: IpAddr) -> bool {
        self.access_table().is_some_and(|table| *table.access(client) == Access::Ignore)
    }

    /// The addresses of a zone's name servers, for the zone at `index`.
    pub fn glue(&self, index: usize) -> &[Glue] {
        &self.glue[index]
    }

    fn access_table(&self) -> Option<&AccessTable> {
        self.access.as_deref().and_then(access_table)
    }

    fn find_glue(&self, hosts: &[Name]) -> Vec<Glue> {
        const A: u16 = 1;
        const AAAA: u16 = 28;
        let mut glue = Vec::new();
        for host in hosts {
            let wire = host.lowercase_wire();
            let offsets: Vec<u8> = label_offsets(&wire).collect();
            let Some(ZoneMatch { zone, apex_labels, .. }) = self.zone_of(&wire, &offsets) else { continue };
            let labels: Vec<&[u8]> = labels(&wire).collect();
            let Lookup::Found(found) = zone.lookup(&labels[..labels.len() - apex_labels], &View::Data) else {
                continue;
            };
            for records in [A, AAAA].into_iter().flat_map(|wanted| found.records(wanted)) {
                let rdata = records.rdata.iter().map(|rdata| rdata.to_vec().into()).collect();
                glue.push(Glue { owner: host.wire().into(), records: RecordSet { rdata, ..records } });
            }
        }
        glue
    }
}

/// Where the labels of a name begin, left to right, without the root.
fn label_offsets(wire: &[u8]) -> impl Iterator<Item = u8> {
    labels(wire).scan(0u8, |next, label| {
        let offset = *next;
        *next = offset.saturating_add(1 + label.len() as u8);
        Some(offset)
    })
}

/// The names above a name, from its parent to the root.
fn ancestors(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    label_offsets(wire).skip(1).map(|offset| &wire[usize::from(offset)..]).chain([&[0u8][..]])
}
