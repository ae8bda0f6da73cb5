//! SOA and NS of a zone: from its data, or (SOA only) made up so that negative answers can be
//! cached and resolvers do not take the zone for broken.

use std::borrow::Cow;
use std::sync::Arc;

use smallvec::SmallVec;

use super::{RecordSet, ZoneOptions};
use crate::dataset::Dataset;
use crate::name::Name;
use crate::zone_file::diagnostic::{Diagnostics, Severity};
use crate::zone_file::{NameServers, Soa};

const NS: u16 = 2;
const SOA: u16 = 6;

/// The minimum of a SOA that is made up, in seconds: how long an answer "not listed" is kept.
const MADE_UP_MINIMUM: u32 = 300;

/// SOA and NS of a zone.
#[derive(Debug)]
pub struct Apex {
    soa: Option<Record>,
    negative_ttl: u32,
    serial: u32,
    name_server_ttl: u32,
    name_servers: Vec<Name>,
}

#[derive(Debug)]
struct Record {
    ttl: u32,
    minimum: u32,
    rdata: Box<[u8]>,
}

impl Apex {
    pub(super) fn new(
        zone: &Name,
        datasets: &[Arc<Dataset>],
        modified: u64,
        options: &ZoneOptions,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let name_servers = datasets.iter().find_map(|dataset| dataset.name_servers.clone());
        let mut warn =
            |message: &str| diagnostics.push_plain(Severity::Warning, format!("zone {zone}: {message}"));
        if name_servers.is_none() && !datasets.is_empty() {
            warn("no $NS: resolvers cannot check the delegation");
        }
        let NameServers { ttl: name_server_ttl, hosts } =
            name_servers.unwrap_or(NameServers { ttl: 0, hosts: Vec::new() });
        let soa = datasets.iter().find_map(|dataset| dataset.soa.clone()).or_else(|| {
            if !datasets.is_empty() {
                let what = if options.dropin { "negative answers have none" } else { "one is made up" };
                warn(&format!("no $SOA: {what}"));
            }
            (!options.dropin).then(|| made_up(zone, hosts.first(), options.default_ttl))
        });
        let soa = soa.map(|soa| match soa.serial {
            0 => Soa { serial: modified as u32, ..soa },
            _ => soa,
        });
        let negative_ttl = soa.as_ref().map_or(0, |soa| match (options.dropin, options.negative_ttl) {
            (_, Some(ttl)) => ttl,
            (true, None) => soa.minimum,
            (false, None) => soa.minimum.min(soa.ttl),
        });
        Self {
            serial: soa.as_ref().map_or(0, |soa| soa.serial),
            soa: soa.map(|soa| Record { ttl: soa.ttl, minimum: soa.minimum, rdata: soa_rdata(&soa) }),
            negative_ttl,
            name_server_ttl,
            name_servers: hosts,
        }
    }

    /// The SOA record. None in drop-in mode where the data has none.
    pub fn soa(&self) -> Option<RecordSet<'_>> {
        self.soa.as_ref().map(|soa| set(SOA, soa.ttl, [&soa.rdata[..]].into_iter()))
    }

    /// The SOA record with the TTL of negative answers (RFC 2308, section 5).
    pub fn negative_soa(&self) -> Option<RecordSet<'_>> {
        self.soa().map(|soa| RecordSet { ttl: self.negative_ttl, ..soa })
    }

    /// The TTL of NSEC records in seconds: the lower of the SOA's TTL and minimum (RFC 9077, section 3),
    /// and no more than what negative answers have. 0 without a SOA.
    pub fn nsec_ttl(&self) -> u32 {
        self.soa.as_ref().map_or(0, |soa| soa.ttl.min(soa.minimum).min(self.negative_ttl))
    }

    /// The NS records, if there are any.
    pub fn name_servers(&self) -> Option<RecordSet<'_>> {
        let hosts = self.name_servers.iter().map(Name::wire);
        (!self.name_servers.is_empty()).then(|| set(NS, self.name_server_ttl, hosts))
    }

    /// The hosts of the NS records.
    pub fn hosts(&self) -> &[Name] {
        &self.name_servers
    }

    /// The SOA's serial; 0 without a SOA.
    pub fn serial(&self) -> u32 {
        self.serial
    }
}

fn made_up(zone: &Name, host: Option<&Name>, ttl: u32) -> Soa {
    let mailbox = Name::from_text(b"hostmaster").and_then(|name| name.under(zone));
    Soa {
        ttl,
        primary: host.unwrap_or(zone).clone(),
        mailbox: mailbox.unwrap_or_else(|_| zone.clone()),
        serial: 0,
        refresh: 3600,
        retry: 600,
        expire: 604_800,
        minimum: MADE_UP_MINIMUM,
    }
}

fn soa_rdata(soa: &Soa) -> Box<[u8]> {
    let mut rdata = [soa.primary.wire(), soa.mailbox.wire()].concat();
    for number in [soa.serial, soa.refresh, soa.retry, soa.expire, soa.minimum] {
        rdata.extend_from_slice(&number.to_be_bytes());
    }
    rdata.into()
}

fn set<'z>(record_type: u16, ttl: u32, rdata: impl Iterator<Item = &'z [u8]>) -> RecordSet<'z> {
    RecordSet { record_type, ttl, rdata: rdata.map(Cow::Borrowed).collect::<SmallVec<_>>() }
}
