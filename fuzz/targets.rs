//! What the fuzz targets do with their input. The ordinary test `tests/fuzz_corpus.rs` does the same
//! with the committed corpus.
//!
//! Run one with `cargo +nightly fuzz run addresses`.

#![allow(dead_code, unreachable_pub, reason = "each target is a program of its own and uses one of these")]

use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::time::{Duration, SystemTime};

use nibbl::address::ReversedName;
use nibbl::answer::{Client, Signing, Transport, respond};
use nibbl::cookie::{Cookies, Secret};
use nibbl::range_record::content::Block;
use nibbl::range_record::value::{ValueRecord, fill_in};
use nibbl::range_record::{Prefix, canonical_address};
use nibbl::snapshot::{Settings, Snapshot};
use nibbl::value::Template;
use nibbl::zone_file::{Content, Kind, Parsed, Parser, ReadOptions};

/// The lists of addresses, one kind after the other.
pub fn addresses(data: &[u8]) {
    for kind in [Kind::Ip, Kind::Ip4set, Kind::Ip4tset, Kind::Ip4trie, Kind::Ip6tset, Kind::Ip6trie] {
        dataset(kind, data);
    }
}

/// Lists of names.
pub fn names(data: &[u8]) {
    dataset(Kind::Dnset, data);
}

/// Records of any type.
pub fn generic(data: &[u8]) {
    dataset(Kind::Generic, data);
}

/// Sections of all types.
pub fn combined(data: &[u8]) {
    dataset(Kind::Combined, data);
}

/// Access rules.
pub fn acl(data: &[u8]) {
    dataset(Kind::Acl, data);
}

/// Any packet, from the reader to the reply: the reply keeps to its limit.
pub fn packet(packet: &[u8]) {
    let cookies = Some(Cookies::new(Secret::new([7; 16]), Vec::new(), false));
    let settings = Settings { cookies, identity: Some("n".repeat(255)), ..Settings::default() };
    packet_to(&Snapshot::default(), packet);
    packet_to(&Snapshot::new(Vec::new(), settings, None), packet);
}

fn packet_to(snapshot: &Snapshot, packet: &[u8]) {
    let client = Client { address: IpAddr::V6(Ipv6Addr::LOCALHOST), transport: Transport::Udp };
    let mut reply = Vec::new();
    let outcome = respond(snapshot, packet, client, Signing::default(), &mut reply);
    assert_eq!(outcome.reply, !reply.is_empty());
    assert!(reply.len() <= 512, "no reply without records is longer");
    if outcome.reply {
        assert_eq!(reply[..2], packet[..2]);
        assert_ne!(reply[2] & 0x80, 0);
    }
}

/// The reader of APL rdata, and of blocks and values on top of it: what the codec reads it writes
/// alike.
pub fn apl(data: &[u8]) {
    if let Ok(items) = nibbl::range_record::apl::read(data) {
        assert_eq!(nibbl::range_record::apl::write(&items), data);
        let _ = nibbl::range_record::apl::text(&items);
    }
    if let Ok(block) = Block::read(Prefix::ROOT, data) {
        for (index, item) in block.items().iter().enumerate() {
            for address in [item.prefix.first(), item.prefix.last()] {
                let decision = block.decide(address);
                assert!(decision.first <= address && address <= decision.last);
            }
            let _ = canonical_address(block.items(), index);
        }
    }
    if let Some(text) = ValueRecord::read(data).and_then(|record| record.value.text) {
        let _ = fill_in(&text, "192.0.2.1");
    }
}

/// `nibbl.toml`.
pub fn config(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = nibbl::config::file::parse(text, Path::new("nibbl.toml"), None);
    }
}

/// Reversed names: the input is a name in wire form.
pub fn reversed_name(data: &[u8]) {
    let labels: Vec<&[u8]> = nibbl::name::labels(data).collect();
    let read = ReversedName::read(&labels);
    assert!(read.v4.is_none_or(|(_, length)| usize::from(length) == 8 * labels.len()));
    assert!(read.v6.is_none_or(|(_, length)| usize::from(length) == 4 * labels.len()));
    let _ = read.key();
}

/// Reads a file as two files of one dataset, in both modes.
fn dataset(kind: Kind, data: &[u8]) {
    for dropin in [false, true] {
        let options = ReadOptions {
            dropin,
            accept_host_bits: dropin,
            decompress: true,
            default_ttl: 2100,
            min_ttl: 0,
            max_ttl: 0,
            widest_v6: 19,
            widest_v4: 8,
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        };
        let mut parser = Parser::new(kind, &options);
        for _ in 0..2 {
            if let Err(failure) = parser.file(Path::new("data"), options.now, &mut &data[..]) {
                assert!(!failure.to_string().is_empty());
                break;
            }
        }
        let (parsed, diagnostics) = parser.finish();
        for found in diagnostics.kept() {
            assert!(found.to_string().starts_with("data:"));
        }
        use_values(&parsed);
    }
}

fn use_values(parsed: &Parsed) {
    let mut text = Vec::new();
    for value in parsed.values.values() {
        if let Some(template) = Template::compile(value.text.as_deref(), &parsed.specials.variables) {
            text.clear();
            template.expand(b"2001:db8::1", &mut text);
            let _ = template.source();
        }
    }
    if let Content::Combined(sections) = &parsed.content {
        for section in sections {
            use_values(&section.parsed);
        }
    }
}
