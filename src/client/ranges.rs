//! Lookups in one zone: a [`Walk`] through its range records, driven by [`Answers`].

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RecordType};

use super::answers::{Answers, Asked, Patience, Source};
use super::upstream::{Failure, Question};
use crate::address::{Key, MAPPED, mapped};
use crate::range_record::name::MAX_APEX_OCTETS;
use crate::range_record::value;
use crate::range_record::walk::{self, Answer, Fallback, Step, Verdict, Walk};
use crate::range_record::{Prefix, key_of};

/// A zone whose listings can be looked up.
#[derive(Clone)]
pub struct Ranges {
    apex: Name,
    answers: Arc<Answers>,
    pub(super) plain: bool,
}

/// What a lookup found out, and what it cost.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// Listed or not.
    pub listing: Listing,
    /// The addresses around the one looked up for which the same item of a block decides.
    pub covered: Option<Covered>,
    /// Why the ordinary query was asked, if it was.
    pub fallback: Option<Fallback>,
    /// How long this holds, in seconds: the least of all answers that it is made of.
    pub ttl: u64,
    /// The questions in their order, and where the answers came from.
    pub asked: Vec<Asked>,
}

/// Listed or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// Listed. What it says is `None` where it could not be found out.
    Listed(Option<Said>),
    /// Not listed.
    NotListed,
    /// It could not be found out.
    Unknown,
}

/// What a listing says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The codes: its A records.
    pub codes: Vec<Ipv4Addr>,
    /// Its texts; `None` where they were not asked for, or could not be found out.
    pub texts: Option<Vec<Vec<u8>>>,
    /// The address that the texts speak of, if not the one looked up: all addresses of a range share
    /// the texts of one.
    pub text_address: Option<IpAddr>,
}

/// A range of addresses of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Covered {
    /// The first address.
    pub first: IpAddr,
    /// The last address, inclusive.
    pub last: IpAddr,
}

/// What lies below a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Below {
    /// No listing.
    Nothing,
    /// Perhaps a listing.
    Something,
    /// The range records do not tell.
    Unknown,
}

impl Ranges {
    /// The zone with this apex, asked through `answers`, which zones may share.
    pub fn new(mut apex: Name, answers: Arc<Answers>) -> Self {
        apex.set_fqdn(true);
        // hickory-proto's length leaves out the root label, which has an octet too.
        let plain = apex.len() + 1 > MAX_APEX_OCTETS;
        Self { apex, answers, plain }
    }

    /// The same zone by ordinary queries alone.
    pub fn plain(self) -> Self {
        Self { plain: true, ..self }
    }

    /// The zone's name.
    pub fn apex(&self) -> &Name {
        &self.apex
    }

    /// Looks an address up; `texts` says whether its texts matter.
    pub async fn lookup(&self, address: IpAddr, texts: bool) -> Lookup {
        self.lookup_within(address, texts, Patience::begin()).await
    }

    /// Looks an address up on behalf of a query that has begun.
    pub(super) async fn lookup_within(&self, address: IpAddr, texts: bool, patience: Patience) -> Lookup {
        let key = match address {
            IpAddr::V4(address) => Key::V4(address.to_bits()),
            IpAddr::V6(address) => Key::V6(address.to_bits()),
        };
        let mut walk = if self.plain { Walk::plain(key, texts) } else { Walk::new(key, texts) };
        let mut asked = Vec::new();
        loop {
            match walk.step() {
                Step::Done(verdict) => return Lookup::of_address(key, verdict, asked),
                Step::Ask(question) => {
                    let answered = self.ask(&question.name(), question.record_type().into(), patience).await;
                    walk.answer(answered.answer());
                    asked.push(answered);
                }
            }
        }
    }

    /// Looks a domain name up, which ranges know nothing of.
    pub async fn lookup_name(&self, name: &Name, texts: bool) -> Lookup {
        let text = name.to_ascii();
        let patience = Patience::begin();
        let addresses = self.ask(&text, RecordType::A, patience).await;
        let codes = match addresses.answer() {
            Answer::Records(records) => codes(records),
            Answer::NoRecords | Answer::Failed => Vec::new(),
        };
        let known = matches!(addresses.answer(), Answer::NoRecords);
        let mut asked = vec![addresses];
        if codes.is_empty() {
            let listing = if known { Listing::NotListed } else { Listing::Unknown };
            return Lookup::new(listing, asked);
        }
        let mut said = Said { codes, texts: None, text_address: None };
        if texts {
            let answered = self.ask(&text, RecordType::TXT, patience).await;
            said.texts = match answered.answer() {
                Answer::Records(records) => {
                    Some(records.iter().filter_map(|rdata| Some(value::strings(rdata)?.concat())).collect())
                }
                Answer::NoRecords => Some(Vec::new()),
                Answer::Failed => None,
            };
            asked.push(answered);
        }
        Lookup::new(Listing::Listed(Some(said)), asked)
    }

    /// Asks for the records of a name, given without the apex.
    pub async fn ask(&self, name: &str, record_type: RecordType, patience: Patience) -> Asked {
        match self.under_apex(name) {
            Some(name) => self.ask_whole(name, record_type, patience).await,
            None => Asked {
                question: Arc::new(Question { name: self.apex.clone(), record_type }),
                reply: Err(Failure::NameTooLong),
                ttl: 0,
                source: Source::Cache,
            },
        }
    }

    /// Asks for the records of a whole name.
    pub(super) async fn ask_whole(&self, name: Name, record_type: RecordType, patience: Patience) -> Asked {
        let asked = self.answers.ask(&self.apex, Question { name, record_type }, patience).await;
        match self.doubt(&asked, patience).await {
            Some(failure) => Asked { reply: Err(failure), ..asked },
            None => asked,
        }
    }

    /// Why a zone above this one is not to be believed that something is not there: below a name that does
    /// not exist nothing is listed, and nothing is known either. Lists may be names inside a zone, as
    /// sub-zones of a combined dataset are, so the apex itself is asked for.
    async fn doubt(&self, asked: &Asked, patience: Patience) -> Option<Failure> {
        let denied_by = asked.reply.as_ref().ok()?.denied_by.as_ref()?;
        if *denied_by == self.apex || !denied_by.zone_of(&self.apex) {
            return None;
        }
        let apex = Question { name: self.apex.clone(), record_type: RecordType::SOA };
        match self.answers.ask(&self.apex, apex, patience).await.reply {
            Ok(reply) if reply.rcode == ResponseCode::NXDomain => Some(Failure::NoSuchZone),
            Ok(_) => None,
            Err(failure) => Some(failure),
        }
    }

    fn under_apex(&self, name: &str) -> Option<Name> {
        if name.is_empty() {
            return Some(self.apex.clone());
        }
        let mut name = Name::from_ascii(name).ok()?;
        name.set_fqdn(false);
        name.append_name(&self.apex).ok()
    }

    /// Whether anything is listed below a prefix, as far as blocks tell.
    pub(super) async fn below(&self, prefix: Prefix, patience: Patience) -> (Below, u64) {
        let mapped_part = mapped(prefix.first()).is_some() || prefix.contains(MAPPED);
        let is_v4 = prefix.length() >= 96 && mapped_part;
        if self.plain || (mapped_part && !is_v4) {
            return (Below::Unknown, 0);
        }
        let mut walk = Walk::new(key_of(prefix.first()), false);
        let mut ttl = u64::MAX;
        while let Step::Ask(question @ walk::Question::Items(block)) = walk.step() {
            if prefix.covers(block) {
                // Its addresses, and so those of the prefix, have several states.
                return (Below::Something, ttl);
            }
            let answered = self.ask(&question.name(), question.record_type().into(), patience).await;
            ttl = ttl.min(answered.ttl);
            walk.answer(answered.answer());
        }
        let below = match walk.step() {
            Step::Done(Verdict {
                listing: walk::Listing::NotListed, covered: Some((first, last)), ..
            }) if first <= prefix.first() && prefix.last() <= last => Below::Nothing,
            Step::Ask(walk::Question::Addresses(_)) => Below::Unknown,
            _ => Below::Something,
        };
        (below, ttl)
    }
}

impl Lookup {
    fn new(listing: Listing, asked: Vec<Asked>) -> Self {
        let ttl = asked.iter().filter(|asked| asked.reply.is_ok()).map(|asked| asked.ttl).min();
        Self { listing, covered: None, fallback: None, ttl: ttl.unwrap_or(0), asked }
    }

    fn of_address(key: Key, verdict: Verdict, asked: Vec<Asked>) -> Self {
        let listing = match verdict.listing {
            walk::Listing::Listed(said) => Listing::Listed(said.map(|said| Said {
                codes: said.addresses,
                texts: said.texts,
                text_address: (said.text_address != key).then(|| ip_address(said.text_address)),
            })),
            walk::Listing::NotListed => Listing::NotListed,
            walk::Listing::Unknown => Listing::Unknown,
        };
        let covered = verdict.covered.map(|(first, last)| Covered::new(key, first, last));
        Self { covered, fallback: verdict.fallback, ..Self::new(listing, asked) }
    }

    /// A lookup that nothing came of.
    pub(super) fn unknown() -> Self {
        Self::new(Listing::Unknown, Vec::new())
    }

    /// True if an answer that it is made of has expired.
    pub fn is_stale(&self) -> bool {
        self.asked.iter().any(|asked| asked.source == Source::Stale)
    }

    /// How many questions were put to the upstream for this lookup.
    pub fn questions_asked(&self) -> usize {
        self.asked.iter().filter(|asked| asked.source == Source::Asked).count()
    }
}

impl Covered {
    /// The part of a range of the map that has the family of the address looked up.
    fn new(key: Key, first: u128, last: u128) -> Self {
        match key {
            Key::V4(_) => Self {
                first: ip_address(Key::V4(mapped(first).unwrap_or(0))),
                last: ip_address(Key::V4(mapped(last).unwrap_or(u32::MAX))),
            },
            Key::V6(_) => Self { first: ip_address(Key::V6(first)), last: ip_address(Key::V6(last)) },
        }
    }

    /// The length of the prefix that it is, if it is one.
    pub fn prefix_length(&self) -> Option<u32> {
        let (first, last, bits) = match (self.first, self.last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => (first.to_bits().into(), last.to_bits().into(), 32),
            (IpAddr::V6(first), IpAddr::V6(last)) => (first.to_bits(), last.to_bits(), 128),
            _ => return None,
        };
        let host: u128 = first ^ last;
        let host_bits = 128 - host.leading_zeros();
        (host & host.wrapping_add(1) == 0 && first & host == 0).then_some(bits - host_bits)
    }
}

/// A prefix where it is one, else the first and the last address.
impl fmt::Display for Covered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix_length() {
            Some(length) => write!(f, "{}/{length}", self.first),
            None => write!(f, "{} - {}", self.first, self.last),
        }
    }
}

/// The addresses in A records.
pub(super) fn codes(records: &[Box<[u8]>]) -> Vec<Ipv4Addr> {
    records.iter().filter_map(|rdata| <[u8; 4]>::try_from(&**rdata).ok()).map(Ipv4Addr::from).collect()
}

fn ip_address(key: Key) -> IpAddr {
    match key {
        Key::V4(address) => Ipv4Addr::from_bits(address).into(),
        Key::V6(address) => Ipv6Addr::from_bits(address).into(),
    }
}
