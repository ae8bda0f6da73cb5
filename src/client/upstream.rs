//! Who is asked: [`Upstream`], with the words of questions and replies. [`Resolver`] is the one over
//! the network.
//!
//! [`Resolver`]: super::resolver::Resolver

use std::fmt;
use std::io;

use async_trait::async_trait;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RecordType};

use crate::range_record::walk::Answer;

/// A name and a type, in class IN.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// The whole name.
    pub name: Name,
    /// The type.
    pub record_type: RecordType,
}

/// An answer that a server gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// `NoError` or `NXDomain`; everything else is a [`Failure`].
    pub rcode: ResponseCode,
    /// The rdata of the records that were asked for, or that there are none.
    pub answer: Answer,
    /// How long this holds, in seconds; 0 where it must not be kept.
    pub ttl: u32,
    /// The zone that says that there are no such records: the owner of the SOA that came with that.
    pub denied_by: Option<Name>,
}

/// Why nothing could be learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No reply came in time.
    #[error("no reply")]
    NoReply,
    /// The question could not be sent.
    #[error("cannot be reached: {0}")]
    Unreachable(io::ErrorKind),
    /// The server says that it does not answer.
    #[error("{}", code(.0))]
    Rcode(ResponseCode),
    /// The server refers to others.
    #[error("refers to other servers")]
    Referral,
    /// The name of the zone does not exist.
    #[error("no such zone")]
    NoSuchZone,
    /// The reply cannot be read.
    #[error("the reply cannot be read")]
    Unreadable,
    /// The name is longer than names can be.
    #[error("the name is too long")]
    NameTooLong,
    /// Nothing was asked: earlier questions of this type about the zone got no reply.
    #[error("not asked, since there was no reply a moment ago")]
    Silent,
}

impl Failure {
    /// True if nobody answered for as long as one waits. A host that cannot be reached says so at once.
    pub fn is_silence(self) -> bool {
        self == Self::NoReply
    }
}

fn code(code: &ResponseCode) -> String {
    match code {
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        ResponseCode::FormErr => "FORMERR".to_owned(),
        ResponseCode::NotImp => "NOTIMP".to_owned(),
        other => format!("response code {}", u16::from(*other)),
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.record_type {
            RecordType::Unknown(crate::range_record::apl::TYPE) => write!(f, "{} APL", self.name),
            other => write!(f, "{} {other}", self.name),
        }
    }
}

/// Who answers questions: a resolver, or a server that knows the zone.
#[async_trait]
pub trait Upstream: Send + Sync + 'static {
    /// Asks and waits for the answer, for a bounded time.
    async fn ask(&self, question: &Question) -> Result<Reply, Failure>;
}
