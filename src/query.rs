//! A packet from outside, judged: a question to answer, or the response code that settles it.
//!
//! The checks that need no zone, in their order: QR, length, operation code, QDCOUNT, question, OPT.
//! `answer` makes the rest: class, zone, transfer types.

use crate::wire::{CookieOption, Edns, Header, Message, Question, opcode, rcode, record_type};

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
    let only_cookie = operation == opcode::QUERY
        && header.questions == 0
        && edns.is_some_and(|edns| edns.cookie != CookieOption::Absent);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tests::{OPT, OPT_COOKIE, OPT_VERSION_1, QUESTION, RECORD, corpus, packet};

    /// What becomes of a packet: the name of an operation, or the code that settles it.
    fn verdict(packet: &[u8]) -> &'static str {
        match read(packet).map(|query| query.asks) {
            None => "nothing",
            Some(Asks::Records(_)) => "records",
            Some(Asks::LookAgain(_)) => "look again",
            Some(Asks::Nothing { rcode, question }) => match (rcode, question.is_some()) {
                (rcode::NOERROR, false) => "NOERROR",
                (rcode::FORMERR, true) => "FORMERR with question",
                (rcode::FORMERR, false) => "FORMERR",
                (rcode::NOTIMP, true) => "NOTIMP with question",
                (rcode::NOTIMP, false) => "NOTIMP",
                (rcode::BADVERS, true) => "BADVERS with question",
                other => panic!("{other:?}"),
            },
        }
    }

    #[test]
    fn checks_in_their_order() {
        let soa: &[u8] = b"\x01a\0\0\x06\0\x01";
        let pointer: &[u8] = b"\xc0\x0c\0\x01\0\x01";
        for (expected, flags, counts, body) in [
            ("records", 0, [1, 0, 0, 0], vec![QUESTION]),
            ("records", 0x07ff, [1, 0, 0, 0], vec![QUESTION]),
            ("records", 0, [1, 1, 1, 2], vec![QUESTION, RECORD, RECORD, RECORD, OPT]),
            ("nothing", 0x8000, [1, 0, 0, 0], vec![QUESTION]),
            // The operation comes before all that follows it.
            ("NOTIMP", 0x7800, [0, 0, 0, 0], vec![]),
            ("NOTIMP", 0x0800, [2, 0, 0, 0], vec![QUESTION, QUESTION]),
            ("NOTIMP", 0x1000, [1, 0, 0, 0], vec![pointer]),
            ("NOTIMP with question", 0x2800, [1, 0, 1, 0], vec![QUESTION, RECORD]),
            ("NOTIMP with question", 0x2800, [1, 0, 0, 1], vec![QUESTION, OPT_VERSION_1]),
            // QDCOUNT
            ("FORMERR", 0, [0, 0, 0, 0], vec![]),
            ("FORMERR", 0, [0, 0, 0, 1], vec![OPT]),
            ("FORMERR", 0, [2, 0, 0, 0], vec![QUESTION, QUESTION]),
            ("FORMERR", 0, [2, 0, 0, 1], vec![QUESTION, QUESTION, OPT_COOKIE]),
            ("NOERROR", 0, [0, 0, 0, 1], vec![OPT_COOKIE]),
            ("FORMERR", 0, [0, 0, 0, 2], vec![OPT_COOKIE, OPT]),
            ("FORMERR", 0x2000, [0, 0, 0, 1], vec![OPT_COOKIE]),
            // the question, the records
            ("FORMERR", 0, [1, 0, 0, 0], vec![pointer]),
            ("FORMERR", 0, [1, 0, 0, 0], vec![&QUESTION[..9]]),
            ("FORMERR with question", 0, [1, 1, 0, 0], vec![QUESTION]),
            ("FORMERR with question", 0, [1, 0, 0, 2], vec![QUESTION, OPT, OPT]),
            ("FORMERR with question", 0, [1, 0, 0, 2], vec![QUESTION, OPT_VERSION_1, OPT]),
            // OPT
            ("BADVERS with question", 0, [1, 0, 0, 1], vec![QUESTION, OPT_VERSION_1]),
            // NOTIFY
            ("look again", 0x2400, [1, 0, 0, 0], vec![soa]),
            ("look again", 0x2000, [1, 1, 0, 1], vec![soa, RECORD, OPT]),
            ("FORMERR with question", 0x2400, [1, 0, 0, 0], vec![QUESTION]),
            ("BADVERS with question", 0x2400, [1, 0, 0, 1], vec![soa, OPT_VERSION_1]),
        ] {
            let packet = packet(flags, counts, &body);
            assert_eq!(verdict(&packet), expected, "{packet:02x?}");
        }
    }

    #[test]
    fn less_than_a_header_gets_nothing() {
        let whole = packet(0, [0; 4], &[]);
        for length in 0..12 {
            assert!(read(&whole[..length]).is_none());
        }
        assert_eq!(verdict(&whole), "FORMERR");
    }

    #[test]
    fn edns_is_known_even_where_the_rest_is_refused() {
        for packet in [
            packet(0, [1, 0, 0, 2], &[QUESTION, OPT, OPT]),
            packet(0, [2, 0, 0, 1], &[QUESTION, QUESTION, OPT]),
            packet(0x7800, [1, 0, 0, 1], &[QUESTION, OPT]),
        ] {
            assert_eq!(read(&packet).unwrap().edns.unwrap().udp_size, 1232);
        }
    }

    #[test]
    fn the_corpus_and_all_its_beginnings() {
        for packet in corpus() {
            for length in 0..=packet.len() {
                let query = read(&packet[..length]);
                assert!(query.is_none_or(|query| length >= 12 && query.header.flags & 0x8000 == 0));
            }
        }
    }
}
