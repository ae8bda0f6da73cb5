//! What an answered query is counted by: a place in a zone's table of counters, and the words for it.

use crate::answer::{Outcome, Transport};
use crate::wire::rcode;
use crate::zone::Family;

/// How the clients of a worker come: one transport, over one version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The transport.
    pub transport: Transport,
    /// The version of IP.
    pub client: Family,
}

impl Origin {
    /// `udp`, `tcp`, `tls` or `quic`.
    pub fn transport(&self) -> &'static str {
        match self.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
            Transport::Quic => "quic",
        }
    }

    /// `ipv4` or `ipv6`.
    pub fn client(&self) -> &'static str {
        family_name(Some(self.client))
    }
}

/// What the answered queries of one counter have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels {
    /// How they came.
    pub origin: Origin,
    /// The family of the address that was asked about; `None` for any other name.
    pub family: Option<Family>,
    /// The place of the type in [`TYPES`]; one more for all other types.
    record_type: usize,
    /// What was answered.
    pub answer: Answer,
}

impl Labels {
    /// `ipv4`, `ipv6`, or `name`.
    pub fn family(&self) -> &'static str {
        family_name(self.family)
    }

    /// The mnemonic of the type, or `other`.
    pub fn record_type(&self) -> &'static str {
        TYPES.get(self.record_type).map_or("other", |(_, name)| name)
    }
}

fn family_name(family: Option<Family>) -> &'static str {
    match family {
        Some(Family::V4) => "ipv4",
        Some(Family::V6) => "ipv6",
        None => "name",
    }
}

/// What a query was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// NOERROR: what was asked about is listed, if perhaps without a record of the type.
    Listed,
    /// NOERROR: other data than a listing, or none.
    NoError,
    /// NXDOMAIN.
    NxDomain,
    /// REFUSED.
    Refused,
    /// SERVFAIL.
    ServFail,
    /// FORMERR.
    FormErr,
    /// NOTIMP.
    NotImp,
    /// Any other code.
    Other,
}

impl Answer {
    const ALL: [Self; ANSWERS] = [
        Self::Listed,
        Self::NoError,
        Self::NxDomain,
        Self::Refused,
        Self::ServFail,
        Self::FormErr,
        Self::NotImp,
        Self::Other,
    ];

    /// The mnemonic of the response code, or `other`.
    pub fn rcode(self) -> &'static str {
        match self {
            Self::Listed | Self::NoError => "NOERROR",
            Self::NxDomain => "NXDOMAIN",
            Self::Refused => "REFUSED",
            Self::ServFail => "SERVFAIL",
            Self::FormErr => "FORMERR",
            Self::NotImp => "NOTIMP",
            Self::Other => "other",
        }
    }

    /// By response code, the last for all that follow; then the same for what is listed.
    const BY_OUTCOME: [Self; 2 * ANSWERS] = {
        let mut answers = [Self::Listed; 2 * ANSWERS];
        let mut code = 0;
        while code < ANSWERS {
            answers[code] = Self::Other;
            code += 1;
        }
        answers[rcode::NOERROR as usize] = Self::NoError;
        answers[rcode::FORMERR as usize] = Self::FormErr;
        answers[rcode::SERVFAIL as usize] = Self::ServFail;
        answers[rcode::NXDOMAIN as usize] = Self::NxDomain;
        answers[rcode::NOTIMP as usize] = Self::NotImp;
        answers[rcode::REFUSED as usize] = Self::Refused;
        answers
    };
}

/// What became of an answer over the rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limited {
    /// It was given: the limit only counts.
    Counted,
    /// It was given without records, with TC.
    Slipped,
    /// It was not given.
    Dropped,
}

impl Limited {
    /// All, in the order of their counters.
    pub const ALL: [Self; 3] = [Self::Counted, Self::Slipped, Self::Dropped];

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Slipped => "slipped",
            Self::Dropped => "dropped",
        }
    }
}

/// Why a packet, or a connection, was dropped unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// It came from a port that is refused.
    Port,
    /// It came from a proxy that does not say for whom it asks.
    Proxy,
}

impl Dropped {
    /// All, in the order of their counters.
    pub const ALL: [Self; 2] = [Self::Port, Self::Proxy];

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Port => "port",
            Self::Proxy => "proxy",
        }
    }
}

/// The types that are counted one by one.
const TYPES: [(u16, &str); TYPES_AND_OTHER - 1] = [
    (1, "A"),
    (2, "NS"),
    (5, "CNAME"),
    (6, "SOA"),
    (12, "PTR"),
    (15, "MX"),
    (16, "TXT"),
    (28, "AAAA"),
    (42, "APL"),
    (43, "DS"),
    (48, "DNSKEY"),
    (65, "HTTPS"),
    (251, "IXFR"),
    (252, "AXFR"),
    (255, "ANY"),
];

/// The places in [`TYPES`] by type code; all codes from 256 are others.
const TYPE_PLACES: [u8; 256] = {
    let mut places = [TYPES.len() as u8; 256];
    let mut place = 0;
    while place < TYPES.len() {
        places[TYPES[place].0 as usize] = place as u8;
        place += 1;
    }
    places
};

const ANSWERS: usize = 8;
const TYPES_AND_OTHER: usize = 16;
/// One is never used: tables have a power of two of places.
const FAMILIES: usize = 4;
/// The place of names that are no address, behind those of the families.
const NO_FAMILY: usize = 2;

/// Counters of a table.
pub(super) const CELLS: usize = FAMILIES * TYPES_AND_OTHER * ANSWERS;

/// The place in a table for the query with this outcome.
#[inline(always)]
pub(super) fn cell(outcome: &Outcome) -> usize {
    let family = outcome.family.map_or(NO_FAMILY, |family| family as usize);
    let record_type = match u8::try_from(outcome.query_type) {
        Ok(code) => TYPE_PLACES[usize::from(code)].into(),
        Err(_) => TYPES.len(),
    };
    let code = usize::from(outcome.rcode).min(ANSWERS - 1);
    // Found without a branch: nobody can foretell which way it would go.
    let answer = Answer::BY_OUTCOME[usize::from(outcome.listed) * ANSWERS + code];
    (family * TYPES_AND_OTHER + record_type) * ANSWERS + answer as usize
}

/// What a place in a table of a worker stands for.
pub(super) fn labels(origin: Origin, cell: usize) -> Labels {
    Labels {
        origin,
        family: match cell / (TYPES_AND_OTHER * ANSWERS) {
            0 => Some(Family::V4),
            1 => Some(Family::V6),
            _ => None,
        },
        record_type: cell / ANSWERS % TYPES_AND_OTHER,
        answer: Answer::ALL[cell % ANSWERS],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_a_place_of_its_own() {
        let origin = Origin { transport: Transport::Udp, client: Family::V4 };
        let mut seen = std::collections::HashSet::new();
        for family in [None, Some(Family::V4), Some(Family::V6)] {
            for (query_type, type_name) in TYPES.into_iter().chain([(257, "other")]) {
                for (rcode, listed, name) in [
                    (0, true, "NOERROR"),
                    (0, false, "NOERROR"),
                    (1, false, "FORMERR"),
                    (2, false, "SERVFAIL"),
                    (3, false, "NXDOMAIN"),
                    (4, false, "NOTIMP"),
                    (5, false, "REFUSED"),
                    (16, false, "other"),
                ] {
                    let cell = cell(&Outcome { family, query_type, rcode, listed, ..Outcome::default() });
                    assert!(cell < CELLS && seen.insert(cell));
                    let labels = labels(origin, cell);
                    assert_eq!((labels.family, labels.record_type()), (family, type_name));
                    assert_eq!((labels.answer.rcode(), labels.answer == Answer::Listed), (name, listed));
                }
            }
        }
    }
}
