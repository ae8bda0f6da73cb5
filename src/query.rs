//! A packet from outside, judged: a question to answer, or the response code that settles it.
//!
//! The checks that need no zone, in their order: QR, length, operation code, QDCOUNT, question, OPT.
//! `answer` makes the rest: class, zone, transfer types.

use crate::wire::{Edns, Header, Message, Question, opcode, rcode, record_type};

/// A packet that gets a reply.
#[derive(Clone, Debug)]
pub struct Query<'p> {
    /// Its header.
    pub header: Header,
    /// Its OPT record: the reply has one exactly when this is there.
    pub edns: Option<Edns>,
    /// What it asks.
    pub asks: Asks<'p>,
}

/// What a packet asks.
#[derive(Clone, Debug)]
pub enum Asks<'p> {
    /// For records.
    Records(Question<'p>),
    /// To look whether a zone has changed: NOTIFY (RFC 1996).
    LookAgain(Question<'p>),
    /// Nothing that needs a zone: the response code is all of the reply.
    Nothing {
        /// The code.
        rcode: u16,
        /// The question, echoed where it could be read.
        question: Option<Question<'p>>,
    },
}

/// Reads and judges a packet. `None` gets no reply at all: it is a response, or less than a header.
pub fn read(packet: &[u8]) -> Option<Query<'_>> {
    let message = Message::read(packet).filter(|message| !message.header.is_response())?;
    let (header, edns) = (message.header, message.edns);
    Some(Query { header, edns, asks: judge(message) })
}

fn judge(message: Message<'_>) -> Asks<'_> {
    let Message { header, question, edns, malformed } = message;
    let settled = |rcode, question| Asks::Nothing { rcode, question };
    let operation = header.opcode();
    if !matches!(operation, opcode::QUERY | opcode::NOTIFY) {
        return settled(rcode::NOTIMP, question);
    }
    // RFC 7873, section 5.4: a client that wants nothing but a cookie.
    let only_cookie =
        operation == opcode::QUERY && header.questions == 0 && edns.is_some_and(|edns| edns.cookie);
    if malformed || (header.questions != 1 && !only_cookie) {
        return settled(rcode::FORMERR, question);
    }
    if edns.is_some_and(|edns| edns.version > 0) {
        return settled(rcode::BADVERS, question);
    }
    match (question, operation) {
        (None, _) => settled(rcode::NOERROR, None),
        (Some(question), opcode::QUERY) => Asks::Records(question),
        // RFC 1996 gives NOTIFY a meaning for SOA alone.
        (Some(question), _) if question.record_type == record_type::SOA => Asks::LookAgain(question),
        (question, _) => settled(rcode::FORMERR, question),
    }
}

impl<'p> Query<'p> {
    /// The question, where there is one.
    pub fn question(&self) -> Option<&Question<'p>> {
        match &self.asks {
            Asks::Records(question) | Asks::LookAgain(question) => Some(question),
            Asks::Nothing { question, .. } => question.as_ref(),
        }
    }
}
