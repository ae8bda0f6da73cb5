//! Lookups as text and as JSON.

use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RecordType};
use serde_json::{Value, json};

use crate::client::{Asked, Failure, Listing, Lookup, Source};
use crate::range_record::walk::{Answer, Fallback};
use crate::range_record::{apl, value};

/// How lookups are printed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub(super) json: bool,
    /// Each question, too.
    pub(super) explain: bool,
}

/// What a lookup means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Listed,
    NotListed,
    /// It could not be found out, and why.
    Unknown(String),
}

impl Outcome {
    /// An address that is no code of a list lists nothing: lists answer from 127.0.0.0/8 (RFC 5782,
    /// section 2.3), and those in 127.255.255.0/24 say that they did not answer.
    pub(super) fn of(lookup: &Lookup) -> Self {
        match &lookup.listing {
            Listing::NotListed => Self::NotListed,
            Listing::Unknown => Self::Unknown(reason(lookup)),
            Listing::Listed(Some(said)) if !said.codes.iter().any(|code| is_listing(*code)) => {
                Self::Unknown(said.codes.iter().map(|code| complaint(*code)).collect::<Vec<_>>().join(", "))
            }
            Listing::Listed(_) => Self::Listed,
        }
    }
}

fn is_listing(code: Ipv4Addr) -> bool {
    code.is_loopback() && code.octets()[..3] != [127, 255, 255]
}

fn complaint(code: Ipv4Addr) -> String {
    let meaning = match code.octets() {
        [127, 255, 255, 252] => "the list does not know its own name as it was asked",
        [127, 255, 255, 254] => "the list does not answer public resolvers",
        [127, 255, 255, 255] => "the list was asked too often",
        [127, 255, 255, _] => "the list did not answer",
        _ => "no code of a list",
    };
    format!("{code}: {meaning}")
}

fn reason(lookup: &Lookup) -> String {
    let failed = lookup.asked.iter().rev().find_map(|asked| Some((asked, asked.reply.as_ref().err()?)));
    match failed {
        Some((asked, failure)) => format!("{}: {failure}", asked.question),
        None => "nobody was asked".to_owned(),
    }
}

/// Prints a lookup.
pub(super) fn lookup(
    out: &mut impl Write,
    form: Form,
    subject: &str,
    zone: &Name,
    lookup: &Lookup,
) -> io::Result<()> {
    let zone = zone.to_ascii();
    let zone = zone.trim_end_matches('.');
    if form.json {
        writeln!(out, "{}", object(form, subject, zone, lookup))
    } else {
        text(out, form, subject, zone, lookup)
    }
}

fn text(out: &mut impl Write, form: Form, subject: &str, zone: &str, lookup: &Lookup) -> io::Result<()> {
    let stale = if lookup.is_stale() { " (stale)" } else { "" };
    match (Outcome::of(lookup), &lookup.listing) {
        (Outcome::Unknown(why), _) => writeln!(out, "{subject} {zone} unknown{stale}: {why}")?,
        (Outcome::NotListed, _) => writeln!(out, "{subject} {zone} not listed{stale}")?,
        (Outcome::Listed, Listing::Listed(Some(said))) => {
            let codes = said.codes.iter().map(Ipv4Addr::to_string).collect::<Vec<_>>().join(" ");
            writeln!(out, "{subject} {zone} listed {codes}{stale}")?;
            let of = said.text_address.map(|address| format!(" (of {address})")).unwrap_or_default();
            match &said.texts {
                Some(texts) => {
                    texts.iter().try_for_each(|text| writeln!(out, "    text{of}: {}", printable(text)))?;
                }
                None => writeln!(out, "    text: could not be found out")?,
            }
        }
        (Outcome::Listed, _) => writeln!(out, "{subject} {zone} listed{stale}, with an unknown code")?,
    }
    if let Some(covered) = &lookup.covered {
        writeln!(out, "    range: {covered}")?;
    }
    if form.explain {
        if let Some(why) = lookup.fallback {
            writeln!(out, "    ordinary query: {}", fallback(why))?;
        }
        for asked in &lookup.asked {
            let (answer, ttl, source) = (answer(asked), asked.ttl, source(asked.source));
            writeln!(out, "    {}: {answer} ({ttl} s, {source})", asked.question)?;
        }
    }
    Ok(())
}

fn object(form: Form, subject: &str, zone: &str, lookup: &Lookup) -> Value {
    let said = match &lookup.listing {
        Listing::Listed(said) => said.as_ref(),
        Listing::NotListed | Listing::Unknown => None,
    };
    let (listed, error) = match Outcome::of(lookup) {
        Outcome::Listed => (json!(true), None),
        Outcome::NotListed => (json!(false), None),
        Outcome::Unknown(why) => (Value::Null, Some(why)),
    };
    let texts = said.and_then(|said| said.texts.as_ref());
    let texts = texts.map(|texts| texts.iter().map(|text| String::from_utf8_lossy(text)).collect::<Vec<_>>());
    let mut object = json!({
        "subject": subject,
        "zone": zone,
        "listed": listed,
        "codes": said.map(|said| &said.codes),
        "texts": texts,
        "text_address": said.and_then(|said| said.text_address),
        "range": lookup.covered.map(|covered| json!({
            "first": covered.first,
            "last": covered.last,
            "prefix": covered.prefix_length().map(|length| format!("{}/{length}", covered.first)),
        })),
        "ttl": lookup.ttl,
        "stale": lookup.is_stale(),
        "error": error,
        "fallback": lookup.fallback.map(fallback),
        "questions_asked": lookup.questions_asked(),
    });
    if form.explain {
        object["questions"] = lookup
            .asked
            .iter()
            .map(|asked| {
                json!({
                    "question": asked.question.to_string(),
                    "answer": answer(asked),
                    "ttl": asked.ttl,
                    "source": source(asked.source),
                })
            })
            .collect();
    }
    object
}

fn source(source: Source) -> &'static str {
    match source {
        Source::Cache => "kept",
        Source::Shared => "asked by another lookup",
        Source::Asked => "asked",
        Source::Stale => "kept, stale",
    }
}

fn fallback(why: Fallback) -> String {
    match why {
        Fallback::Mapped => "an IPv4-mapped address".to_owned(),
        Fallback::NoBlock(prefix) => format!("no block of {prefix}"),
        Fallback::NoAnswer(prefix) => format!("no answer for the block of {prefix}"),
        Fallback::Malformed(prefix, why) => format!("the block of {prefix} is malformed: {why}"),
        Fallback::TooManyBlocks => "more blocks than nibbles".to_owned(),
        Fallback::NoValue(address) => format!("no value at {}", Ipv6Addr::from_bits(address)),
    }
}

fn answer(asked: &Asked) -> String {
    let reply = match &asked.reply {
        Ok(reply) => reply,
        Err(failure) => return failure.to_string(),
    };
    match &reply.answer {
        Answer::Records(records) if records.iter().all(|rdata| rdata.is_empty()) => "(empty)".to_owned(),
        Answer::Records(records) => {
            let shown = records.iter().map(|rdata| record(asked.question.record_type, rdata));
            shown.collect::<Vec<_>>().join(" | ")
        }
        Answer::NoRecords if reply.rcode == ResponseCode::NXDomain => "NXDOMAIN".to_owned(),
        Answer::NoRecords => "no such records".to_owned(),
        Answer::Failed => Failure::Unreadable.to_string(),
    }
}

fn record(record_type: RecordType, rdata: &[u8]) -> String {
    let known = match u16::from(record_type) {
        apl::TYPE => apl::read(rdata).ok().map(|items| apl::text(&items)),
        1 => <[u8; 4]>::try_from(rdata).ok().map(|octets| Ipv4Addr::from(octets).to_string()),
        16 => value::strings(rdata).map(|strings| {
            let quoted = strings.iter().map(|string| format!("\"{}\"", printable(string)));
            quoted.collect::<Vec<_>>().join(" ")
        }),
        _ => None,
    };
    // RFC 3597, section 5.
    known.unwrap_or_else(|| {
        let octets: String = rdata.iter().map(|octet| format!("{octet:02x}")).collect();
        format!("\\# {} {octets}", rdata.len())
    })
}

/// Text from outside, safe on a terminal.
fn printable(text: &[u8]) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    String::from_utf8_lossy(text).chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::client::{Covered, Question, Reply, Said};
    use crate::range_record::Prefix;

    fn listed(codes: &[[u8; 4]]) -> Lookup {
        let codes = codes.iter().map(|&code| code.into()).collect();
        let said = Said { codes, texts: Some(vec![b"a \x1b[1m".to_vec()]), text_address: None };
        Lookup { listing: Listing::Listed(Some(said)), ..Lookup::unknown() }
    }

    fn shown(json: bool, found: &Lookup) -> String {
        let mut out = Vec::new();
        let form = Form { json, explain: true };
        lookup(&mut out, form, "192.0.2.1", &Name::from_ascii("bl.example.").unwrap(), found).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn codes_that_list_nothing() {
        for (codes, expected) in [
            (&[[127, 0, 0, 2]][..], true),
            (&[[127, 255, 255, 254]], false),
            (&[[203, 0, 113, 7]], false),
            (&[[203, 0, 113, 7], [127, 0, 1, 4]], true),
        ] {
            let outcome = Outcome::of(&listed(codes));
            assert_eq!(outcome == Outcome::Listed, expected, "{outcome:?}");
        }
        assert!(
            shown(false, &listed(&[[127, 255, 255, 254]])).contains("unknown: 127.255.255.254: the list")
        );
    }

    #[test]
    fn text_and_json() {
        let reply =
            |answer| Ok(Arc::new(Reply { rcode: ResponseCode::NoError, answer, ttl: 7, denied_by: None }));
        let asked = |record_type: u16, reply| Asked {
            question: Arc::new(Question {
                name: Name::from_ascii("_ranges.bl.example.").unwrap(),
                record_type: record_type.into(),
            }),
            reply,
            ttl: 7,
            source: Source::Asked,
        };
        let items = apl::write(&[apl::AplItem::new(Prefix::containing(0x2001_0db8 << 96, 32), true)]);
        let found = Lookup {
            covered: Some(Covered {
                first: "192.0.2.0".parse().unwrap(),
                last: "192.0.2.255".parse().unwrap(),
            }),
            fallback: Some(Fallback::NoBlock(Prefix::ROOT)),
            asked: vec![
                asked(42, reply(Answer::Records(vec![items.into()]))),
                asked(16, reply(Answer::NoRecords)),
                asked(1, Err(Failure::Rcode(ResponseCode::ServFail))),
                asked(42, reply(Answer::Records(vec![Box::from([9])]))),
            ],
            ..listed(&[[127, 0, 0, 2]])
        };
        assert_eq!(
            shown(false, &found),
            "192.0.2.1 bl.example listed 127.0.0.2\n    text: a \\u{1b}[1m\n    range: 192.0.2.0/24\n    \
             ordinary query: no block of ::/0\n    \
             _ranges.bl.example. APL: !2:2001:db8::/32 (7 s, asked)\n    \
             _ranges.bl.example. TXT: no such records (7 s, asked)\n    \
             _ranges.bl.example. A: SERVFAIL (7 s, asked)\n    \
             _ranges.bl.example. APL: \\# 1 09 (7 s, asked)\n"
        );
        let object: Value = serde_json::from_str(&shown(true, &found)).unwrap();
        assert_eq!(object["listed"], json!(true));
        assert_eq!(object["codes"], json!(["127.0.0.2"]));
        assert_eq!(object["range"]["prefix"], json!("192.0.2.0/24"));
        assert_eq!(
            (&object["questions_asked"], &object["questions"][1]["answer"]),
            (&json!(4), &json!("no such records"))
        );
    }
}
