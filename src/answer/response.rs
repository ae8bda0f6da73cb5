//! The content of a reply, and how it is fitted into a packet. A [`Response`] is all that [`write()`]
//! knows: no rule about zones hides in the layout of packets.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::{Lacking, Outcome, Transport, asked};
use crate::access::Passage;
use crate::cookie::{self, Standing};
use crate::query::Query;
use crate::snapshot::{Glue, Settings};
use crate::wire::{DoesNotFit, Opt, Owner, Section, Writer};
use crate::zone::{Family, RecordSet, RecordSets};

/// The content of a reply, not yet fitted into a packet.
#[derive(Clone, Debug, Default)]
pub(super) struct Response<'s> {
    /// The zone, by its place in the snapshot.
    pub(super) zone: Option<u32>,
    pub(super) rcode: u16,
    pub(super) authoritative: bool,
    /// The info-code of an Extended DNS Error.
    pub(super) error: Option<u16>,
    /// What is said to people beside it.
    pub(super) error_text: &'s str,
    /// Owned by the name in the question.
    pub(super) answers: RecordSets<'s>,
    /// SOA, NS, the records that prove a denial.
    pub(super) authority: SmallVec<[Owned<'s>; 1]>,
    /// How many labels the apex has.
    pub(super) apex_labels: usize,
    /// Addresses of name servers.
    pub(super) glue: &'s [Glue],
    /// As in [`Outcome`].
    pub(super) family: Option<Family>,
    pub(super) listed: bool,
    pub(super) look_again: bool,
    /// Nothing is sent but TC.
    pub(super) truncated: bool,
    /// All records or none: where some do not fit, nothing is sent but TC (RFC 4035, section 3.1.1).
    pub(super) whole: bool,
    /// See [`Outcome::access`] and [`Outcome::has_key`].
    pub(super) access: Option<Passage>,
    pub(super) has_key: bool,
    /// See [`Outcome::lacks`].
    pub(super) lacks: Option<Lacking>,
    /// See [`Outcome::holds_until`].
    pub(super) holds_until: Option<u32>,
    /// See [`Outcome::renew`].
    pub(super) renew: bool,
}

/// An RRset and its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owned<'s> {
    pub(super) owner: OwnerName<'s>,
    pub(super) set: RecordSet<'s>,
}

/// Who owns an RRset of the authority section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OwnerName<'s> {
    /// The zone's apex.
    Apex,
    /// Any name, in wire form.
    Name(Cow<'s, [u8]>),
}

impl<'s> Owned<'s> {
    /// An RRset of the apex.
    pub(super) fn by_apex(set: RecordSet<'s>) -> Self {
        Self { owner: OwnerName::Apex, set }
    }
}

/// Puts a response down as far as it fits: whole RRsets; TC where the answer section is not whole,
/// which then goes without the other sections; of these, what does not fit is left out silently.
pub(super) fn write(
    response: &Response<'_>,
    query: &Query<'_>,
    cookie: Option<cookie::Answered>,
    settings: &Settings,
    transport: Transport,
    reply: &mut Vec<u8>,
) -> Outcome {
    let opt = query.edns.map(|edns| Opt {
        udp_size: settings.udp_size,
        dnssec_ok: edns.dnssec_ok,
        cookie: cookie.map(|(_, cookie)| cookie),
        nsid: settings.identity.as_deref().filter(|_| edns.nsid).map(str::as_bytes),
        error: response.error,
        error_text: response.error_text,
        // RFC 7830, section 4: only in reply to a padded query; and where padding hides anything.
        padded: edns.padding && transport.is_encrypted(),
    });
    let limit = reply_limit(settings, query, transport);
    let mut writer = Writer::new(reply, query.header, query.question(), opt, limit);
    let mut outcome = Outcome {
        reply: true,
        zone: response.zone,
        rcode: response.rcode,
        family: response.family,
        listed: response.listed,
        look_again: response.look_again,
        holds_until: response.holds_until,
        renew: response.renew,
        access: response.access,
        has_key: response.has_key,
        cookie: cookie.map_or(Standing::None, |(standing, _)| standing),
        ..asked(query)
    };
    let written = match response.truncated {
        true => Err(DoesNotFit),
        false => write_answers(&mut writer, response, &mut outcome),
    };
    let rest = written.and_then(|()| write_rest(&mut writer, response));
    if written.is_err() || response.whole && rest.is_err() {
        outcome.truncated = true;
        writer.truncate();
        if response.whole {
            outcome.answers = 0;
            writer.remove_records();
        }
    }
    writer.finish(response.authoritative, response.rcode);
    outcome
}

fn write_answers(
    writer: &mut Writer<'_>,
    response: &Response<'_>,
    outcome: &mut Outcome,
) -> Result<(), DoesNotFit> {
    for set in &response.answers {
        writer.record_set(Section::Answer, Owner::Question, set)?;
        outcome.answers += set.rdata.len() as u16;
    }
    Ok(())
}

/// The sections that a client can do without, unless the reply is to be whole. Glue without room for
/// the NS that it belongs to is of no use.
fn write_rest(writer: &mut Writer<'_>, response: &Response<'_>) -> Result<(), DoesNotFit> {
    for Owned { owner, set } in &response.authority {
        let owner = match owner {
            OwnerName::Apex => Owner::Suffix(response.apex_labels),
            OwnerName::Name(name) => Owner::Name(name),
        };
        writer.record_set(Section::Authority, owner, set)?;
    }
    for Glue { owner, records } in response.glue {
        writer.record_set(Section::Additional, Owner::Name(owner), records)?;
    }
    Ok(())
}

/// The most octets that a reply may have (RFC 1035, section 4.2; RFC 6891, section 6.2.5).
pub(super) fn reply_limit(settings: &Settings, query: &Query<'_>, transport: Transport) -> usize {
    const WITHOUT_EDNS: u16 = 512;
    let limit = match (transport, query.edns) {
        (Transport::Udp, Some(edns)) => edns.udp_size.min(settings.udp_size).max(WITHOUT_EDNS),
        (Transport::Udp, None) => WITHOUT_EDNS,
        (Transport::Tcp | Transport::Tls | Transport::Quic, _) => u16::MAX,
    };
    usize::from(limit)
}
