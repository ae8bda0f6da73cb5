//! Questions to packets, and packets to what they answer.
//!
//! hickory-proto reads and writes them, but record by record: as a whole it refuses a message with an
//! empty record, which is what the root block of an empty list is. A record's rdata is handed on as
//! octets, since APL is a type that it does not know.

use hickory_proto::ProtoError;
use hickory_proto::op::{Edns, Header, Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{
    BinDecodable, BinDecoder, BinEncodable, BinEncoder, DecodeError, NameEncoding,
};

use super::upstream::{Failure, Question, Reply};
use crate::range_record::walk::Answer;
use crate::wire::{self, class, flag, opcode};

/// The largest UDP reply that is asked for: what fits every path without fragments.
const UDP_SIZE: u16 = 1232;
/// No answer is kept for longer, in seconds (RFC 8767, section 4).
const MAX_TTL: u32 = 7 * 86_400;
/// How many aliases are followed inside one reply.
const MAX_ALIASES: usize = 8;

/// A query as it is sent.
pub(super) struct Packet {
    /// What tells its reply.
    pub(super) id: u16,
    /// The octets.
    pub(super) octets: Vec<u8>,
}

/// What a packet from a server is.
#[derive(Debug)]
pub enum Received {
    /// No reply to the question: it is passed over.
    Alien,
    /// A reply that was cut (TC): the whole one comes over TCP.
    Truncated,
    /// The reply.
    Reply(Result<Reply, Failure>),
}

/// Writes a query with a random id.
pub(super) fn query(question: &Question) -> Result<Packet, ProtoError> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(question.name.clone(), question.record_type));
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_SIZE);
    message.set_edns(edns);
    Ok(Packet { id: message.metadata.id, octets: message.to_vec()? })
}

/// Reads what came back; only what has the query's id and question is a reply to it.
pub fn read(packet: &[u8], id: u16, question: &Question) -> Received {
    let Some(outline) = wire::Message::read(packet) else { return Received::Alien };
    let header = outline.header;
    if header.id != id || !header.is_response() || header.opcode() != opcode::QUERY {
        return Received::Alien;
    }
    let rcode = ResponseCode::from_low((header.flags & 0xf) as u8);
    match &outline.question {
        Some(asked) if is_same(asked, question) => {}
        // Some servers send no more than a header with their refusal.
        None if header.questions == 0 && is_refusal(rcode) => {
            return Received::Reply(Err(Failure::Rcode(rcode)));
        }
        _ => return Received::Alien,
    }
    if header.flags & flag::TRUNCATED != 0 {
        return Received::Truncated;
    }
    Received::Reply(match Sections::read(packet) {
        Ok(sections) => reply(&sections, question),
        Err(_) => Err(Failure::Unreadable),
    })
}

fn is_same(asked: &wire::Question<'_>, question: &Question) -> bool {
    let name = question.name.to_bytes().unwrap_or_default();
    asked.class == class::IN
        && asked.record_type == u16::from(question.record_type)
        && asked.name().eq_ignore_ascii_case(&name)
}

fn is_refusal(rcode: ResponseCode) -> bool {
    !matches!(rcode, ResponseCode::NoError | ResponseCode::NXDomain)
}

/// What matters of a reply.
struct Sections {
    rcode: ResponseCode,
    authoritative: bool,
    answers: Vec<Record>,
    authorities: Vec<Record>,
}

impl Sections {
    fn read(packet: &[u8]) -> Result<Self, DecodeError> {
        let mut decoder = BinDecoder::new(packet);
        let Header { metadata, counts } = Header::read(&mut decoder)?;
        for _ in 0..counts.queries {
            Query::read(&mut decoder)?;
        }
        let mut section =
            |count| (0..count).map(|_| Record::read(&mut decoder)).collect::<Result<Vec<_>, _>>();
        let (answers, authorities) = (section(counts.answers)?, section(counts.authorities)?);
        let additionals = section(counts.additionals)?;
        let opt = additionals.iter().find(|record| record.record_type() == RecordType::OPT);
        // RFC 6891, section 6.1.3: the upper bits of the code stand where other records have a TTL.
        let upper = opt.map_or(0, |opt| (opt.ttl >> 24) as u8);
        let rcode = ResponseCode::from(upper, metadata.response_code.low());
        Ok(Self { rcode, authoritative: metadata.authoritative, answers, authorities })
    }
}

fn reply(message: &Sections, question: &Question) -> Result<Reply, Failure> {
    let rcode = message.rcode;
    if is_refusal(rcode) {
        return Err(Failure::Rcode(rcode));
    }
    let (owner, alias_ttl) = canonical_name(&message.answers, &question.name);
    let records = || {
        let wanted = |record: &&Record| record.record_type() == question.record_type && record.name == *owner;
        message.answers.iter().filter(wanted)
    };
    let lowest = records().map(|record| ttl(record.ttl)).chain([alias_ttl]).min().unwrap_or(0);
    let rdata: Option<Vec<Box<[u8]>>> = records().map(|record| octets(&record.data)).collect();
    let rdata = rdata.ok_or(Failure::Unreadable)?;
    if !rdata.is_empty() {
        return Ok(Reply { rcode, answer: Answer::Records(rdata), ttl: lowest, denied_by: None });
    }
    let soa = message.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some((ttl(record.ttl).min(ttl(soa.minimum)), record.name.clone())),
        _ => None,
    });
    // RFC 2308, section 2.2: name servers and no SOA are a referral, which answers nothing.
    let referral = message.authorities.iter().any(|record| record.record_type() == RecordType::NS);
    if rcode == ResponseCode::NoError && soa.is_none() && referral && !message.authoritative {
        return Err(Failure::Referral);
    }
    // Without SOA nothing says how long the answer holds (RFC 2308, section 5).
    let (ttl, denied_by) = soa.map_or((0, None), |(ttl, owner)| (ttl.min(alias_ttl), Some(owner)));
    Ok(Reply { rcode, answer: Answer::NoRecords, ttl, denied_by })
}

/// Where the aliases in a reply lead, and the lowest of their TTLs.
fn canonical_name<'m>(answers: &'m [Record], name: &'m Name) -> (&'m Name, u32) {
    let (mut owner, mut lowest) = (name, MAX_TTL);
    for _ in 0..MAX_ALIASES {
        let alias = answers.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == *owner => Some((&target.0, record.ttl)),
            _ => None,
        });
        let Some((target, alias_ttl)) = alias else { break };
        owner = target;
        lowest = lowest.min(ttl(alias_ttl));
    }
    (owner, lowest)
}

/// A TTL with the top bit set is 0 (RFC 2181, section 8).
fn ttl(seconds: u32) -> u32 {
    if seconds > i32::MAX as u32 { 0 } else { seconds.min(MAX_TTL) }
}

/// The rdata without compression. hickory-proto takes a record without octets for one of an update.
fn octets(data: &RData) -> Option<Box<[u8]>> {
    let mut octets = Vec::new();
    if !matches!(data, RData::Update0(_)) {
        let mut encoder = BinEncoder::new(&mut octets);
        encoder.set_name_encoding(NameEncoding::Uncompressed);
        data.emit(&mut encoder).ok()?;
    }
    Some(octets.into())
}
