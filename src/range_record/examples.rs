//! Makes the worked examples of docs/range-records.md, and holds the document to them. Where one
//! differs, the failing test prints it as it should be.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use super::literal::ListEntry;
use super::measure::Summary;
use super::tests::runs;
use super::value::Value;
use super::walk::{Answer, Listing, Step, Walk};
use super::*;
use crate::prefix_table::UNLISTED;

pub(super) const DOCUMENT: &str = include_str!("../../docs/range-records.md");

fn entry(text: &str, state: State) -> ListEntry {
    let (address, length) = text.split_once('/').unwrap();
    let length: u8 = length.parse().unwrap();
    let prefix = match address.parse().unwrap() {
        IpAddr::V4(address) => Prefix::containing(
            address::MAPPED | u128::from(address.to_bits()),
            address::MAPPED_LENGTH + length,
        ),
        IpAddr::V6(address) => Prefix::containing(address.to_bits(), length),
    };
    ListEntry { prefix, state }
}

/// State 1 has a text with the address in it; state 2 has none; state 3 has two texts, which a
/// block cannot tell.
fn value(state: State) -> Option<Value> {
    let text = (state == 1).then(|| b"see https://bl.example/?$".to_vec());
    (state != 3).then(|| Value { addresses: vec![Ipv4Addr::new(127, 0, 0, 1 + state as u8)], text })
}

struct Zone {
    map: Runs,
    summary: Summary,
}

impl Zone {
    fn new(list: &[ListEntry]) -> Self {
        let map = runs(list);
        Self { summary: Summary::new(&map), map }
    }

    fn block(&self, prefix: Prefix) -> Vec<Item<State>> {
        block::pack(&self.map, &self.summary, prefix, block::MIN_LIMIT).unwrap()
    }

    /// The records of a block as in a zone file.
    fn records(&self, prefix: Prefix) -> String {
        let items = self.block(prefix);
        let rdata = block::rdata(&items);
        let owner = name::block_text(prefix);
        let listed = apl::read(&rdata).unwrap();
        let mut text = format!("; block of {prefix}: {} octets\n", rdata.len());
        let mut line = format!("{owner} APL (");
        for item in listed {
            let item = item.to_string();
            if line.len() + 1 + item.len() > 98 {
                writeln!(text, "{line}").unwrap();
                line = "   ".to_owned();
            }
            write!(line, " {item}").unwrap();
        }
        writeln!(text, "{line} )").unwrap();
        for record in value::write(&items, block::MIN_LIMIT, value) {
            let strings = value::strings(&record).unwrap();
            let shown = strings.iter().map(|string| format!("\"{}\"", String::from_utf8_lossy(string)));
            writeln!(text, "{owner} TXT {}", shown.collect::<Vec<_>>().join(" ")).unwrap();
        }
        text
    }

    /// The questions of a lookup, and what it ends in.
    fn lookup(&self, address: &str) -> String {
        let key = match address.parse().unwrap() {
            IpAddr::V4(address) => Key::V4(address.to_bits()),
            IpAddr::V6(address) => Key::V6(address.to_bits()),
        };
        let mut walk = Walk::new(key, true);
        let mut text = format!("{address}\n");
        let verdict = loop {
            let question = match walk.step() {
                Step::Ask(question) => question,
                Step::Done(verdict) => break verdict,
            };
            let of_type = match question.record_type() {
                1 => "A",
                16 => "TXT",
                _ => "APL",
            };
            writeln!(text, "  {} {of_type}", question.name()).unwrap();
            walk.answer(&self.answer(question));
        };
        let what = match verdict.listing {
            Listing::Listed(Some(said)) => {
                let texts = said.texts.unwrap().into_iter().map(|text| String::from_utf8(text).unwrap());
                let texts: Vec<String> = texts.map(|text| format!(" \"{text}\"")).collect();
                format!("listed {:?}{}", said.addresses, texts.concat())
            }
            other => format!("{other:?}"),
        };
        let (first, last) = verdict.covered.unwrap();
        let shown = |address| match key_of(address) {
            Key::V4(address) => IpAddr::V4(Ipv4Addr::from_bits(address)),
            Key::V6(address) => IpAddr::V6(std::net::Ipv6Addr::from_bits(address)),
        };
        writeln!(text, "  -> {what}, like all from {} to {}", shown(first), shown(last)).unwrap();
        text
    }

    fn answer(&self, question: walk::Question) -> Answer {
        use walk::Question;
        let state = |key| match key {
            Key::V4(address) => state_at(&self.map, address::MAPPED | u128::from(address)),
            Key::V6(address) => state_at(&self.map, address),
        };
        let records: Vec<Vec<u8>> = match question {
            Question::Items(prefix) => vec![block::rdata(&self.block(prefix))],
            Question::Values(prefix) => value::write(&self.block(prefix), block::MIN_LIMIT, value),
            Question::Addresses(key) => vec![vec![127, 0, 0, 1 + state(key) as u8]],
            Question::Texts(_) => vec![b"\x06dialup".to_vec(), b"\x06policy".to_vec()],
        };
        match records.is_empty() {
            true => Answer::NoRecords,
            false => Answer::Records(records.into_iter().map(Into::into).collect()),
        }
    }
}

fn small() -> Zone {
    Zone::new(&[
        entry("2001:db8::/32", 1),
        entry("2001:db8:1::/48", UNLISTED),
        entry("2001:db8:1:5::/64", 2),
        entry("2001:db8:8000::/35", 3),
        entry("192.0.2.0/24", 2),
        entry("192.0.2.128/26", UNLISTED),
    ])
}

fn large() -> Zone {
    let listings = (0..110u128).map(|index| {
        let subnet = (index * 0x0257) & 0xffff;
        ListEntry { prefix: Prefix::containing(0x2001_0db8 << 96 | subnet << 80, 48), state: 1 }
    });
    Zone::new(&listings.collect::<Vec<_>>())
}

fn hex(rdata: &[u8]) -> String {
    rdata.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// The examples by name.
fn examples() -> Vec<(&'static str, String)> {
    let (small, large) = (small(), large());
    let deeper = large.block(Prefix::ROOT).into_iter().find(|item| item.content == Content::Mixed).unwrap();
    let rdata = |text: &str| {
        let items = [false, true].map(|negated| apl::AplItem::new(entry(text, UNLISTED).prefix, negated));
        items.map(|item| format!("{item} = {}\n", hex(&apl::write(&[item])))).concat()
    };
    vec![
        ("items", rdata("192.0.2.0/24") + &rdata("2001:db8::/32") + &rdata("::/0")),
        ("small", small.records(Prefix::ROOT)),
        (
            "small-lookups",
            [
                "2001:db8::25",
                "2001:db8:1:5::1",
                "2001:db8:1::1",
                "2001:db8:9000::1",
                "192.0.2.200",
                "198.51.100.1",
            ]
            .map(|address| small.lookup(address))
            .concat(),
        ),
        ("large", large.records(Prefix::ROOT)),
        ("large-deeper", large.records(deeper.prefix)),
        ("large-lookup", large.lookup(&format!("{}", std::net::Ipv6Addr::from_bits(deeper.prefix.last())))),
    ]
}

#[test]
fn the_document_shows_what_the_code_makes() {
    let wrong: String = examples()
        .into_iter()
        .map(|(name, text)| format!("<!-- example: {name} -->\n```text\n{text}```\n"))
        .filter(|example| !DOCUMENT.contains(example))
        .collect();
    assert!(wrong.is_empty(), "docs/range-records.md should have\n\n{wrong}");
}
