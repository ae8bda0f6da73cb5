//! One query in, one reply out: what the zone's own server would say, out of range records.
//!
//! | name | answer |
//! |---|---|
//! | complete address | A, TXT or both by a lookup; NODATA for other types; NXDOMAIN where not listed |
//! | part of an address | NODATA where a block says that something below is listed, else NXDOMAIN |
//! | one label | what the upstream says, even if it is part of an address |
//! | any other name | what the upstream says |
//!
//! What cannot be found out is SERVFAIL: a listing is never made up, nor is its absence.
//!
//! Complete addresses are the list's: generic records at their names are not asked for, since whoever
//! asks A and AAAA of every address would then cost a question for each.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RecordType};
use smallvec::SmallVec;

use crate::address::{Key, MAPPED, MAPPED_LENGTH, ReversedName};
use crate::client::ranges::Below;
use crate::client::{Asked, Listing, Lookup, Patience, Ranges, Source};
use crate::name::labels;
use crate::query::{self, Asks, Query};
use crate::range_record::Prefix;
use crate::range_record::walk::Answer;
use crate::value::character_strings;
use crate::wire::{Opt, Owner, Question, Section, Writer, class, extended_error, rcode, record_type};
use crate::zone::RecordSet;

/// The TTL of stale answers, in seconds (RFC 8767, section 4).
const STALE_TTL: u32 = 30;
/// The largest UDP message in either direction.
const UDP_SIZE: u16 = 1232;
const UDP_SIZE_WITHOUT_EDNS: u16 = 512;

/// How a query came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

/// The zones, and how they are answered for.
pub(super) struct Relay {
    zones: Vec<Zone>,
    /// The highest TTL of answers, in seconds.
    max_ttl: u32,
}

struct Zone {
    /// In wire form.
    apex: Vec<u8>,
    labels: usize,
    ranges: Ranges,
}

/// A reply, not yet fitted into a packet.
#[derive(Default)]
struct Response {
    rcode: u16,
    authoritative: bool,
    error: Option<u16>,
    answers: Vec<RecordSet<'static>>,
    /// The SOA of the zone, with what is not there.
    soa: Option<RecordSet<'static>>,
    apex_labels: usize,
}

impl Relay {
    pub(super) fn new(zones: Vec<Ranges>, max_ttl: u32) -> Self {
        let zone = |ranges: Ranges| {
            let apex = wire(ranges.apex());
            Zone { labels: labels(&apex).count(), apex, ranges }
        };
        let mut zones: Vec<Zone> = zones.into_iter().map(zone).collect();
        // Of zones inside one another the innermost answers.
        zones.sort_by_key(|zone| std::cmp::Reverse(zone.labels));
        Self { zones, max_ttl }
    }

    /// Answers a packet; `None` is no reply.
    pub(super) async fn respond(&self, packet: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let query = query::read(packet)?;
        let response = match &query.asks {
            Asks::Records(question) => self.records(question, transport).await,
            Asks::LookAgain(_) => Response::refused(),
            Asks::Nothing { rcode, .. } => Response { rcode: *rcode, ..Response::default() },
        };
        Some(response.write(&query, transport))
    }

    async fn records(&self, question: &Question<'_>, transport: Transport) -> Response {
        let zone = self.zones.iter().find(|zone| question.find_suffix(&zone.apex).is_some());
        let Some(zone) = zone.filter(|_| question.class == class::IN) else { return Response::refused() };
        // Of the types that no data has (128 to 255), ANY alone has a meaning here.
        if (128..=254).contains(&question.record_type) || question.record_type == record_type::OPT {
            return Response::refused();
        }
        let left: SmallVec<[&[u8]; 36]> =
            question.labels().take(question.labels().len() - zone.labels).collect();
        let reversed = ReversedName::read(&left);
        let patience = Patience::begin();
        let response = if let Some(key) = reversed.key() {
            self.of_address(zone, key, reversed, (question.record_type, transport), patience).await
        } else {
            match self.of_part(zone, &left, question, patience).await {
                Some(response) => response,
                None => self.of_name(zone, question, patience).await,
            }
        };
        Response { apex_labels: zone.labels, ..response }
    }

    async fn of_address(
        &self,
        zone: &Zone,
        key: Key,
        reversed: ReversedName,
        (wanted, transport): (u16, Transport),
        patience: Patience,
    ) -> Response {
        let address: IpAddr = match key {
            Key::V4(address) => Ipv4Addr::from_bits(address).into(),
            Key::V6(address) => Ipv6Addr::from_bits(address).into(),
        };
        // RFC 8482: over UDP one RRset is answer enough to ANY.
        let whole_any = wanted == record_type::ANY && transport == Transport::Tcp;
        let texts = wanted == record_type::TXT || whole_any;
        let lookup = zone.ranges.lookup_within(address, texts, patience).await;
        let ttl = self.ttl(&lookup);
        let said = match &lookup.listing {
            Listing::Listed(Some(said)) => said,
            Listing::NotListed => {
                let rcode = absence(zone, &lookup, reversed, patience).await;
                return self.without(zone, rcode, ttl, patience).await;
            }
            Listing::Listed(None) | Listing::Unknown => return Response::failed(),
        };
        let mut answers = Vec::new();
        if matches!(wanted, record_type::A | record_type::ANY) {
            let rdata = said.codes.iter().map(|code| code.octets().to_vec());
            answers.extend(set(record_type::A, ttl, rdata));
        }
        if texts {
            let Some(texts) = &said.texts else { return Response::failed() };
            answers.extend(set(record_type::TXT, ttl, texts.iter().map(|text| character_strings(text))));
        }
        if answers.is_empty() {
            return self.without(zone, rcode::NOERROR, ttl, patience).await;
        }
        Response { authoritative: true, answers, ..Response::default() }
    }

    /// A name that minimising resolvers ask on the way to an address (RFC 9156); `None` where it is
    /// none, or the blocks do not tell.
    ///
    /// Blocks know nothing of generic records and domain lists: `a` may be a host of the zone, `b.a`
    /// another. The upstream knows, but must not be asked for all the names on the way to the addresses
    /// of a sweep. So it is asked for last labels alone, of which there are 16 and 256: below one that does
    /// not exist there is nothing (RFC 8020), and longer names below one with listings (`8.b.d.0.1.0.0.2`)
    /// are taken for what they look like.
    async fn of_part(
        &self,
        zone: &Zone,
        left: &[&[u8]],
        question: &Question<'_>,
        patience: Patience,
    ) -> Option<Response> {
        let (listed, holds) = below(zone, left, patience).await?;
        let ttl = u32::try_from(holds).unwrap_or(u32::MAX).min(self.max_ttl);
        if listed == Below::Something {
            if let [_] = left {
                let own = self.of_name(zone, question, patience).await;
                if !own.answers.is_empty() {
                    return Some(own);
                }
            }
            return Some(self.without(zone, rcode::NOERROR, ttl, patience).await);
        }
        let (&last, rest) = left.split_last()?;
        if rest.is_empty() {
            return Some(self.of_name(zone, question, patience).await);
        }
        if !matches!(below(zone, &[last], patience).await, Some((Below::Nothing, _))) {
            return Some(self.without(zone, rcode::NXDOMAIN, ttl, patience).await);
        }
        let asked = zone.ranges.ask(&String::from_utf8_lossy(last), RecordType::A, patience).await;
        let Ok(reply) = &asked.reply else { return Some(Response::failed()) };
        if reply.rcode != ResponseCode::NXDomain {
            return Some(self.of_name(zone, question, patience).await);
        }
        let ttl = ttl.min(self.ttl_of(asked.ttl, asked.source == Source::Stale));
        Some(self.without(zone, rcode::NXDOMAIN, ttl, patience).await)
    }

    async fn of_name(&self, zone: &Zone, question: &Question<'_>, patience: Patience) -> Response {
        let wanted = match question.record_type {
            // RFC 8482: one RRset.
            record_type::ANY if question.labels().len() == zone.labels => record_type::SOA,
            record_type::ANY => record_type::A,
            other => other,
        };
        let Ok(mut name) = Name::from_labels(labels(question.name())) else { return Response::failed() };
        name.set_fqdn(true);
        let asked = zone.ranges.ask_whole(name, RecordType::from(wanted), patience).await;
        let ttl = self.ttl_of(asked.ttl, asked.source == Source::Stale);
        let Ok(reply) = &asked.reply else { return Response::failed() };
        match &reply.answer {
            Answer::Records(records) => {
                let answers = set(wanted, ttl, records.iter().map(|rdata| rdata.to_vec()));
                Response {
                    authoritative: true,
                    answers: answers.into_iter().collect(),
                    ..Response::default()
                }
            }
            Answer::NoRecords if reply.rcode == ResponseCode::NXDomain => {
                self.without(zone, rcode::NXDOMAIN, ttl, patience).await
            }
            Answer::NoRecords => self.without(zone, rcode::NOERROR, ttl, patience).await,
            Answer::Failed => Response::failed(),
        }
    }

    /// NXDOMAIN or NODATA that holds for `ttl` seconds (RFC 2308, section 5).
    async fn without(&self, zone: &Zone, rcode: u16, ttl: u32, patience: Patience) -> Response {
        let asked = zone.ranges.ask("", RecordType::SOA, patience).await;
        Response { rcode, authoritative: true, soa: soa(&asked, ttl), ..Response::default() }
    }

    fn ttl(&self, lookup: &Lookup) -> u32 {
        self.ttl_of(lookup.ttl, lookup.is_stale())
    }

    fn ttl_of(&self, holds: u64, stale: bool) -> u32 {
        let ttl = if stale { STALE_TTL } else { u32::try_from(holds).unwrap_or(u32::MAX) };
        ttl.min(self.max_ttl)
    }
}

impl Response {
    fn refused() -> Self {
        let error = Some(extended_error::NOT_AUTHORITATIVE);
        Self { rcode: rcode::REFUSED, error, ..Self::default() }
    }

    fn failed() -> Self {
        Self { rcode: rcode::SERVFAIL, ..Self::default() }
    }

    /// Whole RRsets as far as they fit, TC where they do not.
    fn write(&self, query: &Query<'_>, transport: Transport) -> Vec<u8> {
        let opt = query.edns.map(|edns| Opt {
            udp_size: UDP_SIZE,
            dnssec_ok: edns.dnssec_ok,
            cookie: None,
            nsid: None,
            error: self.error,
            error_text: "",
            padded: false,
        });
        let limit = match (transport, query.edns) {
            (Transport::Udp, Some(edns)) => edns.udp_size.clamp(UDP_SIZE_WITHOUT_EDNS, UDP_SIZE),
            (Transport::Udp, None) => UDP_SIZE_WITHOUT_EDNS,
            (Transport::Tcp, _) => u16::MAX,
        };
        let mut packet = Vec::new();
        let mut writer = Writer::new(&mut packet, query.header, query.question(), opt, limit.into());
        let mut answers = self.answers.iter();
        if answers.any(|set| writer.record_set(Section::Answer, Owner::Question, set).is_err()) {
            writer.truncate();
        } else if let Some(soa) = &self.soa {
            // Without room for it the answer is not cached, and no worse.
            let _ = writer.record_set(Section::Authority, Owner::Suffix(self.apex_labels), soa);
        }
        writer.finish(self.authoritative, self.rcode);
        packet
    }
}

/// What is listed below a part of an address, given by its labels left of the apex, and how long that holds;
/// `None` where they are no part of an address, or the blocks do not tell.
async fn below(zone: &Zone, left: &[&[u8]], patience: Patience) -> Option<(Below, u64)> {
    let reversed = ReversedName::read(left);
    let v4 = reversed
        .v4
        .map(|(address, length)| Prefix::containing(MAPPED | u128::from(address), MAPPED_LENGTH + length));
    let v6 = reversed.v6.map(|(address, length)| Prefix::containing(address, length));
    let mut all: Option<(Below, u64)> = None;
    // The same name can be part of addresses of both families.
    for prefix in v4.into_iter().chain(v6) {
        let (part, holds) = zone.ranges.below(prefix, patience).await;
        all = match (part, all) {
            (Below::Unknown, _) => return None,
            (part, None) => Some((part, holds)),
            (part, Some((Below::Nothing, ttl))) => Some((part, ttl.min(holds))),
            (_, Some((below, ttl))) => Some((below, ttl.min(holds))),
        };
    }
    all
}

/// The code for an address that is not listed. 2.0.0.1 (`1.0.0.2`) is also part of 2001::/16, where
/// something may be listed.
async fn absence(zone: &Zone, lookup: &Lookup, reversed: ReversedName, patience: Patience) -> u16 {
    if lookup.covered.is_none() {
        // The upstream was asked for the name itself.
        let reply = lookup.asked.last().and_then(|asked| asked.reply.as_ref().ok());
        let exists = reply.is_none_or(|reply| reply.rcode != ResponseCode::NXDomain);
        return if exists { rcode::NOERROR } else { rcode::NXDOMAIN };
    }
    match reversed.v6 {
        Some((address, length @ ..128)) => {
            match zone.ranges.below(Prefix::containing(address, length), patience).await {
                (Below::Nothing, _) => rcode::NXDOMAIN,
                (Below::Something | Below::Unknown, _) => rcode::NOERROR,
            }
        }
        _ => rcode::NXDOMAIN,
    }
}

fn set(record_type: u16, ttl: u32, rdata: impl Iterator<Item = Vec<u8>>) -> Option<RecordSet<'static>> {
    let rdata: SmallVec<[Cow<'static, [u8]>; 1]> = rdata.map(Cow::Owned).collect();
    (!rdata.is_empty()).then_some(RecordSet { record_type, ttl, rdata })
}

/// The zone's SOA as an answer holds it that is good for `ttl` seconds; none where it is not known.
fn soa(asked: &Asked, ttl: u32) -> Option<RecordSet<'static>> {
    match asked.answer() {
        Answer::Records(records) => {
            set(record_type::SOA, ttl, records.iter().take(1).map(|rdata| rdata.to_vec()))
        }
        Answer::NoRecords | Answer::Failed => None,
    }
}

fn wire(name: &Name) -> Vec<u8> {
    let mut wire: Vec<u8> =
        name.iter().flat_map(|label| [label.len() as u8].into_iter().chain(label.iter().copied())).collect();
    wire.push(0);
    wire
}
