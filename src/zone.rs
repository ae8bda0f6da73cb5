//! A zone: datasets under one apex, and what they say of a name. (Interface fixed; in work by the lead.)

use std::borrow::Cow;
use std::net::IpAddr;

use smallvec::SmallVec;

use crate::name::Name;

/// All records of one type at one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordSet<'z> {
    /// The type code.
    pub record_type: u16,
    /// The TTL in seconds.
    pub ttl: u32,
    /// The rdata of each record, in wire form without compression; never empty.
    pub rdata: SmallVec<[Cow<'z, [u8]>; 1]>,
}

/// The records of an answer, the types in the order in which ANY lists them.
pub type RecordSets<'z> = SmallVec<[RecordSet<'z>; 2]>;

/// A zone as it is served.
#[derive(Debug)]
pub struct Zone {}

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
}

/// How much of a zone a client sees (acl).
#[derive(Clone, Debug)]
pub enum View<'z> {
    /// Everything.
    Data,
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
#[derive(Clone, Debug)]
pub struct Always<'z> {
    marker: std::marker::PhantomData<&'z ()>,
}

/// What a zone says of a name.
#[derive(Clone, Debug)]
pub enum Lookup<'z> {
    /// The name has data, perhaps not of the type that is asked.
    Found(Found<'z>),
    /// The name has no data, but a name below it has: an empty non-terminal.
    NoData,
    /// Neither the name nor any name below it has data (RFC 8020).
    NxDomain,
}

/// The data of a name, its texts not yet made.
#[derive(Clone, Debug)]
pub struct Found<'z> {
    marker: std::marker::PhantomData<&'z ()>,
}

impl<'z> Found<'z> {
    /// The records of type `wanted`; of all types for ANY (255). Empty is NODATA.
    pub fn records(&self, wanted: u16) -> RecordSets<'z> {
        let _ = wanted;
        todo!()
    }
}

impl Zone {
    /// The zone's name.
    pub fn apex(&self) -> &Name {
        todo!()
    }

    /// Whether it can answer.
    pub fn status(&self) -> Status {
        todo!()
    }

    /// What the zone says of a name, given by its labels left of the apex, left to right and in any
    /// letter case; no label is the apex itself.
    pub fn lookup<'z>(&'z self, labels: &[&[u8]], view: &View<'z>) -> Lookup<'z> {
        let _ = (labels, view);
        todo!()
    }

    /// The SOA record with the TTL of negative answers (RFC 2308, section 5); its owner is the apex.
    /// None only in drop-in mode.
    pub fn negative_soa(&self) -> Option<RecordSet<'_>> {
        todo!()
    }

    /// The NS records at the apex, if there are any.
    pub fn name_servers(&self) -> Option<RecordSet<'_>> {
        todo!()
    }

    /// The addresses of those name servers that the served zones know: owner in wire form, and its
    /// A or AAAA records.
    pub fn glue(&self) -> &[(Box<[u8]>, RecordSet<'static>)] {
        todo!()
    }
}

const _: Option<IpAddr> = None;
