//! The codec of DNS messages, as far as an authoritative server needs it: one question and OPT in,
//! whole RRsets out (RFC 1035, section 4; RFC 6891).
//!
//! It is our own because it is the hot path: the reader takes the one question apart where it stands
//! in the packet and skips every other record by its length; the writer appends to the caller's
//! buffer. Neither allocates. hickory-proto is the oracle that the tests hold both against.
//!
//! `query` judges what `reader` found; `answer` decides what `writer` puts down.

mod cut;
mod reader;
mod writer;

#[cfg(test)]
pub(crate) mod tests;

pub use cut::cut;
pub use reader::{CookieOption, Edns, Header, Message, Question};
pub use writer::{DoesNotFit, Opt, Owner, PADDED_TO, Section, Writer};

/// Octets of the header of a message (RFC 1035, section 4.1.1).
pub const HEADER_OCTETS: usize = 12;

/// The type codes that answers depend on; all others are ordinary (RFC 3597).
pub mod record_type {
    /// An IPv4 address.
    pub const A: u16 = 1;
    /// A name server.
    pub const NS: u16 = 2;
    /// An alias.
    pub const CNAME: u16 = 5;
    /// The start of authority.
    pub const SOA: u16 = 6;
    /// Text.
    pub const TXT: u16 = 16;
    /// The pseudo-record of EDNS (RFC 6891).
    pub const OPT: u16 = 41;
    /// An incremental transfer (RFC 1995).
    pub const IXFR: u16 = 251;
    /// A whole transfer (RFC 5936).
    pub const AXFR: u16 = 252;
    /// All types at a name (RFC 8482).
    pub const ANY: u16 = 255;
}

/// Class codes.
pub mod class {
    /// The Internet.
    pub const IN: u16 = 1;
    /// Chaos, where servers speak of themselves.
    pub const CH: u16 = 3;
}

/// Operation codes.
pub mod opcode {
    /// A question.
    pub const QUERY: u16 = 0;
    /// "A zone has changed" (RFC 1996).
    pub const NOTIFY: u16 = 4;
}

/// Response codes, extended ones included.
pub mod rcode {
    /// No error.
    pub const NOERROR: u16 = 0;
    /// The query does not parse.
    pub const FORMERR: u16 = 1;
    /// The zone cannot be answered from now.
    pub const SERVFAIL: u16 = 2;
    /// The name does not exist, nor does any below it (RFC 8020).
    pub const NXDOMAIN: u16 = 3;
    /// The operation is not known here.
    pub const NOTIMP: u16 = 4;
    /// Not answered, by policy.
    pub const REFUSED: u16 = 5;
    /// An EDNS version above 0 (RFC 6891, section 6.1.3).
    pub const BADVERS: u16 = 16;
    /// The cookie is not good, and the query is to come again with the one in the reply (RFC 7873, section 8).
    pub const BADCOOKIE: u16 = 23;
}

/// Codes of EDNS options.
pub mod option_code {
    /// Which server answers (RFC 5001).
    pub const NSID: u16 = 3;
    /// See [`crate::cookie`] (RFC 7873).
    pub const COOKIE: u16 = 10;
    /// How long a TCP connection stays open (RFC 7828).
    pub const KEEPALIVE: u16 = 11;
    /// Octets that say nothing (RFC 7830).
    pub const PADDING: u16 = 12;
    /// Why an answer is as it is (RFC 8914).
    pub const EXTENDED_DNS_ERROR: u16 = 15;
}

/// Info-codes of Extended DNS Errors (RFC 8914, section 4).
pub mod extended_error {
    /// None of the other codes says it.
    pub const OTHER: u16 = 0;
    /// The answer is from data that is older than it should be.
    pub const STALE_ANSWER: u16 = 3;
    /// The zone was never loaded.
    pub const NOT_READY: u16 = 14;
    /// This client may not.
    pub const PROHIBITED: u16 = 18;
    /// As [`STALE_ANSWER`], where the answer is NXDOMAIN.
    pub const STALE_NXDOMAIN: u16 = 19;
    /// The name is in no zone of this server.
    pub const NOT_AUTHORITATIVE: u16 = 20;
    /// The server does not do what is asked.
    pub const NOT_SUPPORTED: u16 = 21;
    /// The zone's data has expired.
    pub const INVALID_DATA: u16 = 24;
}

/// The info-code of an answer from data that is older than it should be.
#[inline(always)]
pub fn stale(rcode: u16) -> u16 {
    if rcode == rcode::NXDOMAIN { extended_error::STALE_NXDOMAIN } else { extended_error::STALE_ANSWER }
}

/// Bits of the header's second 16-bit word (RFC 1035, section 4.1.1; RFC 4035, section 3.2.2).
pub mod flag {
    /// QR: a response.
    pub const RESPONSE: u16 = 0x8000;
    /// AA: an authoritative answer.
    pub const AUTHORITATIVE: u16 = 0x0400;
    /// TC: cut to fit.
    pub const TRUNCATED: u16 = 0x0200;
    /// RD: recursion desired.
    pub const RECURSION_DESIRED: u16 = 0x0100;
    /// CD: checking disabled.
    pub const CHECKING_DISABLED: u16 = 0x0010;
    /// The four bits of the operation code.
    pub const OPCODE: u16 = 0x7800;
}
