//! The one pure function that makes every answer.
//!
//! [`respond`] goes in three steps: `query` judges the packet; `decide` finds the zone and what it
//! says, and makes a `Response` of it; `response` puts that down as far as it fits.

mod admission;
mod ahead;
mod response;
mod signed;

use std::borrow::Cow;
use std::net::IpAddr;

use smallvec::{SmallVec, smallvec};

use crate::access::Passage;
use crate::address::{Key, ReversedName};
use crate::cookie::{self, Standing};
use crate::dnssec::record_type::DS;
use crate::query::{self, Asks, Query};
use crate::snapshot::{Glue, Settings, Snapshot, ZoneMatch};
use crate::value::character_strings;
use crate::wire::{self, CookieOption, Question, class, extended_error, rcode, record_type};
use crate::zone::{self, Family, Lookup, RecordSet, RecordSets, Status, View, Zone};
use response::{Owned, Response};

pub use ahead::{sign_ahead, sign_ahead_of_keys};

#[cfg(test)]
mod tests;

/// How a query came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// UDP: the reply is limited by EDNS.
    Udp,
    /// TCP.
    Tcp,
    /// DNS over TLS (RFC 7858).
    Tls,
    /// DNS over QUIC (RFC 9250).
    Quic,
}

impl Transport {
    /// Nobody between client and server can read the messages, only see how long they are.
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::Quic)
    }
}

/// Who asks, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// The source address (an IPv4-mapped one is given as IPv4).
    pub address: IpAddr,
    /// How.
    pub transport: Transport,
}

/// What became of a packet: what the rim counts and logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// False: nothing is to be sent (not a query, or the client is ignored).
    pub reply: bool,
    /// The zone, by its place in the snapshot.
    pub zone: Option<u32>,
    /// The response code, extended ones included.
    pub rcode: u16,
    /// The type asked; 0 where no question was read.
    pub query_type: u16,
    /// The class asked; 0 where no question was read.
    pub query_class: u16,
    /// Records in the answer section.
    pub answers: u16,
    /// The family of the address that was asked about; `None` for any other name.
    pub family: Option<Family>,
    /// What was asked about is listed, if perhaps without a record of the type.
    pub listed: bool,
    /// A NOTIFY from somebody who may: look at the files of `zone` now (of all where it is `None`).
    pub look_again: bool,
    /// The reply was cut for UDP.
    pub truncated: bool,
    /// There is no reply yet, since signatures must be made first.
    pub lacks: Option<Lacking>,
    /// Of a reply with signatures: up to when it may be given again, in seconds since 1970.
    pub holds_until: Option<u32>,
    /// Some of its signatures should be made again, although they hold.
    pub renew: bool,
    /// What access rules made of it, if there are any that concern it.
    pub access: Option<Passage>,
    /// It was granted to the key in the name asked for.
    pub has_key: bool,
    /// Where in the name asked for a label begins that is a key, or may be meant as one: it is for no log.
    pub key: Option<u8>,
    /// What the query's cookie says of its client.
    pub cookie: Standing,
}

impl Outcome {
    /// Whether the answer goes to a client that has shown who it is, and so may ask as much as it likes: rate
    /// limiting leaves it alone.
    pub fn is_exempt(&self) -> bool {
        self.has_key || self.cookie == Standing::Good
    }
}

/// When signatures must hold, and how they are come by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signing {
    /// Seconds since 1970.
    pub now: u32,
    /// How much may be done.
    pub effort: Effort,
}

/// How much may be done for the signatures of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// Those that were made before are taken, and only for positive answers: what a denial needs is
    /// not even looked for.
    Least,
    /// Those that were made before are taken.
    Take,
    /// Those that are missing are made.
    #[default]
    Make,
}

/// What kind of answer signatures are missing for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lacking {
    /// There are records of the type that was asked for.
    Positive,
    /// There are none.
    Negative,
}

/// Answers one packet: appends the reply to `reply`, which the caller has cleared.
pub fn respond(
    snapshot: &Snapshot,
    packet: &[u8],
    client: Client,
    signing: Signing,
    reply: &mut Vec<u8>,
) -> Outcome {
    let Some(query) = query::read(packet) else {
        return Outcome::default();
    };
    let settings = &snapshot.settings;
    let cookie = cookie(settings, &query, client, signing.now);
    let response = match of_cookie(settings, &query, client, cookie) {
        Some(response) => (!snapshot.ignores(client.address)).then_some(response),
        None => decide(snapshot, &query, client, signing),
    };
    match response {
        Some(Response { lacks: lacks @ Some(_), zone, .. }) => {
            let cookie = cookie.map_or(Standing::None, |(standing, _)| standing);
            Outcome { lacks, zone, cookie, ..asked(&query) }
        }
        Some(response) => {
            let outcome = response::write(&response, &query, cookie, settings, client.transport, reply);
            Outcome { key: admission::key(snapshot, &query), ..outcome }
        }
        None => asked(&query),
    }
}

/// Tells the client of a packet that [lacks](Outcome::lacks) signatures to come back over TCP, where
/// there is time to make them. `now` is in seconds since 1970.
pub fn put_off(
    snapshot: &Snapshot,
    packet: &[u8],
    client: Client,
    now: u32,
    outcome: &Outcome,
    reply: &mut Vec<u8>,
) -> Outcome {
    let Some(query) = query::read(packet) else {
        return Outcome::default();
    };
    let response =
        Response { zone: outcome.zone, authoritative: true, truncated: true, ..Response::default() };
    let cookie = cookie(&snapshot.settings, &query, client, now);
    let outcome = response::write(&response, &query, cookie, &snapshot.settings, Transport::Udp, reply);
    Outcome { key: admission::key(snapshot, &query), ..outcome }
}

/// What a query's cookie says of its client, and the one that it is answered with.
fn cookie(settings: &Settings, query: &Query<'_>, client: Client, now: u32) -> Option<cookie::Answered> {
    match query.edns?.cookie {
        CookieOption::Present(cookie) => Some(settings.cookies.as_ref()?.answer(cookie, client.address, now)),
        CookieOption::Absent | CookieOption::Malformed => None,
    }
}

/// What a query is answered on account of its cookie, if that settles it (RFC 7873, sections 5.2 and 5.4).
fn of_cookie<'s>(
    settings: &Settings,
    query: &Query<'_>,
    client: Client,
    cookie: Option<cookie::Answered>,
) -> Option<Response<'s>> {
    let required = settings.cookies.as_ref()?.required && client.transport == Transport::Udp;
    let rcode =
        match (&query.asks, query.edns?.cookie, cookie.map_or(Standing::None, |(standing, _)| standing)) {
            (Asks::Nothing { rcode, .. }, ..) if *rcode != rcode::NOERROR => return None,
            (_, CookieOption::Malformed, _) => rcode::FORMERR,
            // Who asks nothing but whether a cookie is good is told.
            (Asks::Nothing { .. }, _, Standing::Bad) => rcode::BADCOOKIE,
            (Asks::Records(_) | Asks::LookAgain(_), _, Standing::New | Standing::Bad) if required => {
                rcode::BADCOOKIE
            }
            _ => return None,
        };
    Some(Response { rcode, ..Response::default() })
}

/// What a query is answered; `None` is no reply.
fn decide<'s>(
    snapshot: &'s Snapshot,
    query: &Query<'_>,
    client: Client,
    signing: Signing,
) -> Option<Response<'s>> {
    let settings = &snapshot.settings;
    let response = match &query.asks {
        Asks::Records(question) if question.class == class::IN => match zone_of(snapshot, question) {
            Some(found) => return in_zone(snapshot, found, query, question, client, signing),
            None => refused(extended_error::NOT_AUTHORITATIVE),
        },
        Asks::Records(question) => of_server(settings, question),
        Asks::LookAgain(question) if may_notify(settings, question, client.address) => {
            let zone = zone_of(snapshot, question).map(|found| found.index as u32);
            return Some(Response { zone, authoritative: true, look_again: true, ..Response::default() });
        }
        Asks::LookAgain(_) => refused(extended_error::PROHIBITED),
        Asks::Nothing { rcode, .. } => {
            let error = (*rcode == rcode::NOTIMP).then_some(extended_error::NOT_SUPPORTED);
            Response { rcode: *rcode, error, ..Response::default() }
        }
    };
    (!snapshot.ignores(client.address)).then_some(response)
}

fn zone_of<'s>(snapshot: &'s Snapshot, question: &Question<'_>) -> Option<ZoneMatch<'s>> {
    let (name, offsets) = (question.lowercase_name(), question.label_offsets());
    let found = snapshot.zone_of(name, offsets)?;
    if question.record_type == DS && found.apex_labels == offsets.len() {
        // Where a zone begins, DS is a record of the signed zone above (RFC 4035, section 3.1.4.1).
        let above = snapshot.zone_of(name, &offsets[1..]);
        return Some(
            above.filter(|above| !matches!(above.zone.signing(), zone::Signing::None)).unwrap_or(found),
        );
    }
    Some(found)
}

/// A question in class IN for a name inside a zone.
fn in_zone<'s>(
    snapshot: &'s Snapshot,
    found: ZoneMatch<'s>,
    query: &Query<'_>,
    question: &Question<'_>,
    client: Client,
    signing: Signing,
) -> Option<Response<'s>> {
    let view = snapshot.view(found.zone, client.address);
    if matches!(view, View::Ignore) {
        return None;
    }
    let left = question.label_offsets().len() - found.apex_labels;
    let labels: Labels<'_> = question.labels().take(left).collect();
    // Whatever is said, it is said by this zone and of this name.
    let finish = |response: Response<'s>, labels: &[&[u8]]| {
        let stale = found.zone.is_stale(signing.now).then(|| wire::stale(response.rcode));
        let (zone, error) = (Some(found.index as u32), response.error.or(stale));
        Response { zone, apex_labels: found.apex_labels, family: family(labels), error, ..response }
    };
    let admitted = match withheld(&view, found.zone.status(), question.record_type) {
        Some(response) => Err(response),
        None => admission::admit(snapshot, &found, question, &labels, client, view),
    };
    let admitted = match admitted {
        Ok(admitted) => admitted,
        Err(response) => return Some(finish(response, &labels)),
    };
    let has_key = admitted.is_granted() && admitted.labels < labels.len();
    let (labels, view) = (&labels[..admitted.labels], &admitted.view);
    let response = match found.zone.signing() {
        zone::Signing::None => from_data(snapshot, found, view, question, labels, client.transport),
        zone::Signing::Impossible => server_failure(extended_error::NOT_READY),
        zone::Signing::By(by) => {
            let asked = signed::Asked {
                snapshot,
                zone: found.zone,
                by,
                question,
                labels,
                dnssec_ok: query.edns.is_some_and(|edns| edns.dnssec_ok),
                transport: client.transport,
                signing,
            };
            signed::answer(&asked, view)
        }
    };
    if response.lacks.is_some() {
        // It is asked again once they are made.
        admitted.give_back(snapshot);
    }
    Some(Response { access: admitted.access, has_key, ..finish(response, labels) })
}

/// The labels of a name left of the apex.
type Labels<'q> = SmallVec<[&'q [u8]; 36]>;

/// The family of the address that a name begins with. Behind it there may be the labels of a sub-zone.
fn family(labels: &[&[u8]]) -> Option<Family> {
    let is_digits = |label: &&&[u8]| label.len() <= 3 && label.iter().all(u8::is_ascii_hexdigit);
    let digits = labels.iter().take_while(is_digits).count();
    match ReversedName::read(&labels[..digits]).key()? {
        Key::V4(_) => Some(Family::V4),
        Key::V6(_) => Some(Family::V6),
    }
}

/// Why a zone does not answer from its data, if it does not.
fn withheld<'s>(view: &View<'_>, status: Status, wanted: u16) -> Option<Response<'s>> {
    match (view, status, wanted) {
        (View::Refuse, ..) => Some(refused(extended_error::PROHIBITED)),
        (_, Status::NeverLoaded | Status::Unsigned, _) => Some(server_failure(extended_error::NOT_READY)),
        (_, Status::Expired, _) => Some(server_failure(extended_error::INVALID_DATA)),
        (_, Status::Serving, record_type::AXFR | record_type::IXFR) => {
            Some(refused(extended_error::PROHIBITED))
        }
        (_, Status::Serving, _) => None,
    }
}

/// What the data of a zone says.
fn from_data<'s>(
    snapshot: &'s Snapshot,
    found: ZoneMatch<'s>,
    view: &View<'s>,
    question: &Question<'_>,
    labels: &[&[u8]],
    transport: Transport,
) -> Response<'s> {
    let zone: &'s Zone = found.zone;
    let mut listed = false;
    let code = match snapshot.lookup(zone, question.lowercase_name(), labels, view) {
        Lookup::Found(mut data) => {
            listed = data.is_listed();
            let may = |octets| snapshot.allowance.take(octets, transport != Transport::Udp);
            if !data.prepare(question.record_type, may) {
                return busy(transport);
            }
            let settings = &snapshot.settings;
            let whole_any = settings.dropin || transport != Transport::Udp;
            let answers = select(|wanted| data.records(wanted), question.record_type, whole_any);
            if !answers.is_empty() {
                let response = Response { authoritative: true, answers, listed, ..Response::default() };
                let glue = snapshot.glue(found.index);
                return add_name_servers(
                    settings,
                    response,
                    labels.is_empty(),
                    zone.apex().name_servers(),
                    glue,
                );
            }
            rcode::NOERROR
        }
        Lookup::NoData => rcode::NOERROR,
        Lookup::NxDomain => rcode::NXDOMAIN,
    };
    Response { rcode: code, listed, ..no_data(zone) }
}

/// The RRsets of a name that answer a question for `wanted`; none is NODATA.
fn select<'s>(records: impl Fn(u16) -> RecordSets<'s>, wanted: u16, whole_any: bool) -> RecordSets<'s> {
    let mut sets = records(wanted);
    if wanted == record_type::ANY {
        if !whole_any {
            // RFC 8482, section 4.1: one RRset. A is the lowest type there is.
            let lowest = sets.into_iter().min_by_key(|set| set.record_type);
            sets = lowest.into_iter().collect();
        }
    } else if sets.is_empty() {
        // RFC 1034, section 4.3.2, step 3a: an alias answers for every other type. The resolver
        // follows it.
        sets = records(record_type::CNAME);
    }
    sets
}

/// Adds NS and glue to a positive answer, unless answers are minimal. NS that are the answer are
/// not repeated, but in drop-in mode, as rbldnsd does.
fn add_name_servers<'s>(
    settings: &Settings,
    response: Response<'s>,
    at_apex: bool,
    name_servers: Option<RecordSet<'s>>,
    glue: &'s [Glue],
) -> Response<'s> {
    if settings.minimal {
        return response;
    }
    let are_answer = at_apex && response.answers.iter().any(|set| set.record_type == record_type::NS);
    let glue = if name_servers.is_some() { glue } else { &[] };
    let authority =
        name_servers.filter(|_| settings.dropin || !are_answer).map(Owned::by_apex).into_iter().collect();
    Response { authority, glue, ..response }
}

/// What the server says of itself in class CH; every other class is refused.
fn of_server<'s>(settings: &'s Settings, question: &Question<'_>) -> Response<'s> {
    let text = match (question.class, question.record_type, question.lowercase_name()) {
        (class::CH, record_type::TXT, b"\x07version\x04bind\0" | b"\x07version\x06server\0") => {
            &settings.version
        }
        (class::CH, record_type::TXT, b"\x02id\x06server\0" | b"\x08hostname\x04bind\0") => {
            &settings.identity
        }
        _ => &None,
    };
    let Some(text) = text else { return refused(extended_error::NOT_SUPPORTED) };
    let rdata = smallvec![Cow::Owned(character_strings(text.as_bytes()))];
    let answers = smallvec![RecordSet { record_type: record_type::TXT, ttl: 0, rdata }];
    Response { answers, ..Response::default() }
}

fn may_notify(settings: &Settings, question: &Question<'_>, client: IpAddr) -> bool {
    question.class == class::IN && settings.notify_from.iter().any(|clients| clients.contains(&client))
}

fn refused<'s>(error: u16) -> Response<'s> {
    Response { rcode: rcode::REFUSED, error: Some(error), ..Response::default() }
}

/// There is no data at the name, but the name is there.
fn no_data<'s>(zone: &'s Zone) -> Response<'s> {
    Response {
        authoritative: true,
        authority: zone.apex().negative_soa().map(Owned::by_apex).into_iter().collect(),
        ..Response::default()
    }
}

fn server_failure<'s>(error: u16) -> Response<'s> {
    Response { rcode: rcode::SERVFAIL, error: Some(error), ..Response::default() }
}

/// There is no time now to make the records. Over UDP, where anyone can ask in the name of others,
/// an empty reply with TC: who asks in earnest comes back over TCP. There SERVFAIL, on which a
/// client of range records asks the ordinary query; a resolver keeps it for seconds (RFC 9520,
/// section 3.2) and not, as NXDOMAIN, for the negative TTL.
fn busy<'s>(transport: Transport) -> Response<'s> {
    match transport {
        Transport::Udp => Response { authoritative: true, truncated: true, ..Response::default() },
        Transport::Tcp | Transport::Tls | Transport::Quic => server_failure(extended_error::OTHER),
    }
}

/// An outcome that says what was asked and nothing more.
fn asked(query: &Query<'_>) -> Outcome {
    let (query_type, query_class) =
        query.question().map_or((0, 0), |question| (question.record_type, question.class));
    Outcome { query_type, query_class, ..Outcome::default() }
}
