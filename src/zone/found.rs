//! The data of a name: which listings and records were met, and the RRsets made of them.

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use hickory_proto::rr::RecordType;
use smallvec::SmallVec;

use super::{Always, Apex, Block, Ranges};
use crate::dataset::{GenericSet, Listing, Saying};
use crate::prefix_table::State;
use crate::range_record::{Prefix, apl};
use crate::value::character_strings;

const A: u16 = 1;
const TXT: u16 = 16;
const ANY: u16 = 255;

/// The longest text in drop-in mode, in octets.
pub(super) const LONGEST_DROPIN_TEXT: usize = 254;

/// All records of one type at one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordSet<'z> {
    /// The type code.
    pub record_type: u16,
    /// The TTL in seconds: the lowest of all that contribute (RFC 2181, section 5.2).
    pub ttl: u32,
    /// The rdata of each record, in wire form without compression; never empty.
    pub rdata: SmallVec<[Cow<'z, [u8]>; 1]>,
}

/// The records of an answer, the types in the order in which ANY lists them: A and TXT, then the
/// others as met.
pub type RecordSets<'z> = SmallVec<[RecordSet<'z>; 2]>;

/// The data of a name, its texts not yet made.
#[derive(Clone, Debug)]
pub struct Found<'z> {
    listings: SmallVec<[Hit<'z>; 2]>,
    generic: SmallVec<[&'z GenericSet; 2]>,
    apex: Option<&'z Apex>,
    block: Option<BlockName<'z>>,
    /// TXT is one string of at most 254 octets, as rbldnsd makes it.
    dropin: bool,
}

/// The name of a block of range records.
#[derive(Clone, Debug)]
struct BlockName<'z> {
    ranges: &'z Ranges,
    prefix: Prefix,
    /// The block, once it is needed.
    made: Option<Arc<Block>>,
}

/// A listing that was met.
#[derive(Clone, Debug)]
struct Hit<'z> {
    saying: &'z Saying,
    ttl: u32,
    subject: Subject,
}

/// What `$` stands for in the text of a listing.
#[derive(Clone, Debug)]
pub(crate) enum Subject {
    /// The address asked (of an acl: the client's).
    Address(IpAddr),
    /// The first address of a prefix, and its length, where a record speaks of all its addresses.
    Prefix(IpAddr, u8),
    /// The name of the entry that matched, as text.
    Name(SmallVec<[u8; 32]>),
}

impl Subject {
    pub(super) fn v4(address: u32) -> Self {
        Self::Address(Ipv4Addr::from(address).into())
    }

    pub(super) fn v6(address: u128) -> Self {
        Self::Address(Ipv6Addr::from(address).into())
    }

    fn write(&self, out: &mut SmallVec<[u8; 48]>) {
        use std::io::Write;
        match self {
            Self::Address(address) => write_address(*address, out),
            Self::Prefix(address, length) => {
                write_address(*address, out);
                drop(write!(out, "/{length}"));
            }
            Self::Name(name) => out.extend_from_slice(name),
        }
    }

    pub(super) fn text(&self) -> SmallVec<[u8; 48]> {
        let mut text = SmallVec::new();
        self.write(&mut text);
        text
    }
}

/// IPv6 text with hexadecimal groups only, as rbldnsd writes it: `::ffff:7f00:2`, where the
/// standard library writes `::ffff:127.0.0.2`.
fn write_address(address: IpAddr, out: &mut SmallVec<[u8; 48]>) {
    use std::io::Write;
    match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            let [.., high, low] = v6.segments();
            drop(write!(out, "::ffff:{high:x}:{low:x}"));
        }
        _ => drop(write!(out, "{address}")),
    }
}

impl<'z> Found<'z> {
    pub(crate) fn new(dropin: bool) -> Self {
        Self { listings: SmallVec::new(), generic: SmallVec::new(), apex: None, block: None, dropin }
    }

    /// Adds all that another name of the same zone has.
    pub(crate) fn extend(&mut self, other: Self) {
        self.listings.extend(other.listings);
        self.generic.extend(other.generic);
        self.apex = self.apex.or(other.apex);
        self.block = self.block.take().or(other.block);
    }

    pub(crate) fn push_state(&mut self, listing: &'z Listing, state: State, subject: &Subject) {
        let ttl = listing.ttl;
        self.listings.extend(listing.sayings(state).map(|saying| Hit {
            saying,
            ttl,
            subject: subject.clone(),
        }));
    }

    pub(super) fn push_saying(&mut self, saying: &'z Saying, ttl: u32, subject: Subject) {
        self.listings.push(Hit { saying, ttl, subject });
    }

    pub(super) fn push_always(&mut self, always: &Always<'z>) {
        self.push_saying(always.saying, always.ttl, Subject::Address(always.client));
    }

    pub(crate) fn push_generic(&mut self, sets: &'z [GenericSet]) {
        self.generic.extend(sets);
    }

    pub(crate) fn push_apex(&mut self, apex: &'z Apex) {
        self.apex = Some(apex);
    }

    /// Adds the block of a prefix, which is `made` if it has been already.
    pub(crate) fn push_block(&mut self, ranges: &'z Ranges, prefix: Prefix, made: Option<Arc<Block>>) {
        self.block = Some(BlockName { ranges, prefix, made });
    }

    /// Makes ready what takes longer than an ordinary answer, if [`Self::records`] for `wanted` will
    /// need it: a block that is not in memory. `may` is asked whether there is time to make one of
    /// that many octets at most; if not, the result is false and the records are not to be asked for.
    pub fn prepare(&mut self, wanted: u16, may: impl FnOnce(usize) -> bool) -> bool {
        let Some(block) = self.block.as_mut().filter(|_| matches!(wanted, apl::TYPE | TXT | ANY)) else {
            return true;
        };
        block.made = block.ranges.block_if(block.prefix, may);
        block.made.is_some()
    }

    /// True if a listing was met: the name is listed, not only a name with records.
    pub fn is_listed(&self) -> bool {
        !self.listings.is_empty()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.listings.is_empty() && self.generic.is_empty() && self.apex.is_none() && self.block.is_none()
    }

    /// True if [`Self::records`] has any, of whatever type.
    pub(crate) fn has_records(&self) -> bool {
        let of_apex = |apex: &Apex| apex.soa().is_some() || apex.name_servers().is_some();
        self.is_listed() || !self.generic.is_empty() || self.block.is_some() || self.apex.is_some_and(of_apex)
    }

    /// The records of type `wanted`; of all types for ANY (255). Empty is NODATA.
    pub fn records(&self, wanted: u16) -> RecordSets<'z> {
        let mut sets = RecordSets::new();
        if matches!(wanted, A | ANY) {
            for hit in &self.listings {
                add(&mut sets, A, hit.ttl, Cow::Borrowed(&hit.saying.address[..]));
            }
        }
        if matches!(wanted, TXT | ANY) {
            for hit in &self.listings {
                if let Some(rdata) = self.text(hit) {
                    add(&mut sets, TXT, hit.ttl, rdata);
                }
            }
        }
        for set in &self.generic {
            if wanted == set.record_type || wanted == ANY {
                for rdata in &set.rdata {
                    add(&mut sets, set.record_type, set.ttl, Cow::Borrowed(rdata));
                }
            }
        }
        if let Some(block) = &self.block {
            block.add_records(wanted, &mut sets);
        }
        if let Some(apex) = self.apex {
            let own = [(RecordType::SOA, apex.soa()), (RecordType::NS, apex.name_servers())];
            for (record_type, set) in own {
                if let Some(set) = set
                    && (wanted == u16::from(record_type) || wanted == ANY)
                {
                    for rdata in set.rdata {
                        add(&mut sets, set.record_type, set.ttl, rdata);
                    }
                }
            }
        }
        sets.iter_mut().for_each(|set| keep_distinct(&mut set.rdata));
        sets
    }

    /// The rdata of a listing's TXT record.
    fn text(&self, hit: &Hit<'z>) -> Option<Cow<'z, [u8]>> {
        let template = hit.saying.text.as_ref()?;
        let key = if template.is_literal() { SmallVec::new() } else { hit.subject.text() };
        let mut text = Vec::with_capacity(64);
        template.expand(&key, &mut text);
        if self.dropin {
            text.truncate(LONGEST_DROPIN_TEXT);
        }
        Some(Cow::Owned(character_strings(&text)))
    }
}

impl BlockName<'_> {
    fn add_records(&self, wanted: u16, sets: &mut RecordSets<'_>) {
        if !matches!(wanted, apl::TYPE | TXT | ANY) {
            return;
        }
        let Some(block) = self.made.clone().or_else(|| self.ranges.block(self.prefix)) else { return };
        let ttl = self.ranges.ttl();
        if matches!(wanted, TXT | ANY) {
            for rdata in &block.values {
                add(sets, TXT, ttl, Cow::Owned(rdata.to_vec()));
            }
        }
        if matches!(wanted, apl::TYPE | ANY) {
            add(sets, apl::TYPE, ttl, Cow::Owned(block.items.to_vec()));
        }
    }
}

/// Leaves each record once, the first of equal ones, in their order.
fn keep_distinct(records: &mut SmallVec<[Cow<'_, [u8]>; 1]>) {
    /// As many are compared with each other before it is worth hashing them.
    const FEW: usize = 16;
    if records.len() <= FEW {
        let mut kept = 0;
        for place in 0..records.len() {
            if !records[..kept].contains(&records[place]) {
                records.swap(kept, place);
                kept += 1;
            }
        }
        return records.truncate(kept);
    }
    let mut met = HashSet::with_capacity(records.len());
    records.retain(|record| met.insert(record.clone()));
}

/// Adds a record to the set of its type, and lowers that set's TTL.
fn add<'z>(sets: &mut RecordSets<'z>, record_type: u16, ttl: u32, rdata: Cow<'z, [u8]>) {
    match sets.iter_mut().find(|set| set.record_type == record_type) {
        Some(set) => {
            set.ttl = set.ttl.min(ttl);
            set.rdata.push(rdata);
        }
        None => sets.push(RecordSet { record_type, ttl, rdata: [rdata].into_iter().collect() }),
    }
}
