//! What the fuzz targets do with their input. The ordinary test `tests/fuzz_corpus.rs` does the same
//! with the committed corpus.
//!
//! Run one with `cargo +nightly fuzz run addresses`.

#![allow(dead_code, unreachable_pub, reason = "each target is a program of its own and uses one of these")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use nibbl::address::ReversedName;
use nibbl::answer::{Client, Effort, Signing, Transport, respond};
use nibbl::client::message::{self, Received};
use nibbl::client::{Question, RecordType};
use nibbl::cookie::{Cookie, Cookies, Secret, Standing};
use nibbl::dataset::Dataset;
use nibbl::dnssec::cache::SignatureCache;
use nibbl::dnssec::key_file::KeyFile;
use nibbl::dnssec::key_set::KeySet;
use nibbl::dnssec::signer::ZoneSigner;
use nibbl::dnssec::validity::Validity;
use nibbl::fast::{BUFFER_OCTETS, Exchange, FastPath};
use nibbl::name::Name;
use nibbl::range_record::content::Block;
use nibbl::range_record::value::{ValueRecord, fill_in};
use nibbl::range_record::{Prefix, canonical_address};
use nibbl::server::proxy;
use nibbl::snapshot::{Settings, Snapshot};
use nibbl::value::Template;
use nibbl::zone::{EmptyNonTerminals, RangesOptions, SignedBy, Status, Zone, ZoneOptions};
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

/// Any packet to a server with a zone `bl.example`, and one `signed.example` that is signed: both paths
/// reply alike, within the limit of the client.
pub fn answers(packet: &[u8]) {
    const NOW: u32 = 1_800_000_000;
    if packet.len() > BUFFER_OCTETS {
        return;
    }
    let snapshot = &*SNAPSHOT;
    let fast = FastPath::new(snapshot);
    snapshot.allowance.fill(SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default());
    let client = Client { address: IpAddr::V4(Ipv4Addr::LOCALHOST), transport: Transport::Udp };
    let (mut reply, mut elsewhere) = (Vec::new(), Vec::new());
    let signing = Signing { now: NOW, effort: Effort::Make };
    let expected = respond(snapshot, packet, client, signing, &mut reply);
    assert_eq!(expected.reply, !reply.is_empty());
    assert!(reply.len() <= usize::from(snapshot.settings.udp_size));
    fast.keep(packet, &expected, &reply);
    let mut buffer = [0; BUFFER_OCTETS];
    buffer[..packet.len()].copy_from_slice(packet);
    let mut batch = [Exchange::new(&mut buffer, packet.len(), client, &mut elsewhere)];
    fast.respond(snapshot, NOW, &mut batch);
    match batch[0].outcome() {
        Some(outcome) => assert_eq!(
            (outcome.rcode, outcome.zone, outcome.cookie, batch[0].reply()),
            (expected.rcode, expected.zone, expected.cookie, Some(&*reply))
        ),
        None => assert_eq!(batch[0].packet(), packet, "what is left is left as it was"),
    }
}

static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(|| {
    let list = "$SOA 300 ns.bl.example host.bl.example 7 60 60 60 90\n$NS 900 ns.bl.example\n\
                2001:db8::/32 :2:see $\n!2001:db8:1::/48\n10.11.0.0/16 :3:three\n!10.11.12.0/24\n";
    let options = ZoneOptions {
        ranges: Some(RangesOptions { block_bytes: 800, ttl: 60, clients: Vec::new() }),
        ..ZoneOptions::default()
    };
    let zone = |name: &str| {
        let name = Name::from_text(name.as_bytes()).expect("a name");
        let mut parser = Parser::new(Kind::Ip, &read_options(false));
        parser.file(Path::new("data"), SystemTime::UNIX_EPOCH, &mut list.as_bytes()).expect("a list");
        let (parsed, mut diagnostics) = parser.finish();
        let dataset = Dataset::compile(parsed, &[], 2100, &mut diagnostics).expect("a small list");
        let datasets = vec![Arc::new(dataset)];
        let zone = Zone::new(name, datasets, 0, Status::Serving, options.clone(), &mut diagnostics);
        zone.with_ranges(None, &mut diagnostics)
    };
    let signed = zone("signed.example");
    let key = include_bytes!("corpus/key_file/whole");
    let key = key_file_of(key).expect("a key").timed();
    let keys = KeySet::new(signed.name(), &[key], 3600).expect("a set of keys");
    let cache = Arc::new(SignatureCache::new(1 << 20));
    let signer = Arc::new(ZoneSigner::new(signed.name(), keys, Validity::default(), cache));
    let by = SignedBy { signer, empty_non_terminals: EmptyNonTerminals::Marker };
    let signed = signed.with_signing(nibbl::zone::Signing::By(by));
    let cookies = Some(Cookies::new(Secret::new([7; 16]), Vec::new(), false));
    let settings = Settings { cookies, reply_cache: 1 << 16, ..Settings::default() };
    Snapshot::new(vec![Arc::new(zone("bl.example")), Arc::new(signed)], settings, None)
});

/// The header of the PROXY protocol: a connection gives it in parts, and reads what a packet would.
pub fn proxied(data: &[u8]) {
    let said = proxy::read(data);
    assert!(said.is_ok_and(|said| said.octets <= data.len()) || said.is_err());
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut rest = data;
    let received = runtime.block_on(proxy::receive(&mut rest));
    match (&said, received) {
        (Ok(said), Ok(received)) => {
            assert_eq!((received, rest.len()), (*said, data.len() - said.octets), "not an octet more");
        }
        (Err(_), Err(_)) => {}
        (_, received) => panic!("a packet says {said:?}, a connection {received:?}"),
    }
}

/// The data of a COOKIE option: what it is answered with is good.
pub fn cookie(data: &[u8]) {
    const NOW: u32 = 1_800_000_000;
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let cookies = Cookies::new(Secret::new([7; 16]), vec![Secret::new([8; 16])], true);
    let Some(cookie) = Cookie::read(data) else { return };
    let (standing, answer) = cookies.answer(cookie, address, NOW);
    assert_eq!(standing == Standing::New, data.len() == 8);
    assert_eq!(answer[..8], data[..8]);
    let again = Cookie::read(&answer).expect("a cookie of the server");
    assert_eq!(cookies.answer(again, address, NOW), (Standing::Good, answer));
}

/// The file of cookies' secrets.
pub fn secrets(data: &[u8]) {
    match nibbl::cookie::file::parse(data, Path::new("secrets")) {
        Ok((_, others)) => assert!(33 * others.len() < data.len()),
        Err(error) => assert!(error.to_string().starts_with("secrets:")),
    }
}

/// The files of a key, the private one behind a NUL.
pub fn key_file(data: &[u8]) {
    let _ = key_file_of(data);
}

fn key_file_of(data: &[u8]) -> Option<KeyFile> {
    let (text, private) = std::str::from_utf8(data).ok()?.split_once('\0')?;
    let zone = Name::from_text(b"signed.example").ok()?;
    KeyFile::parse("Ksigned.example.+015+33146.key".into(), &zone, text, private).ok()
}

/// What a server replies to `nibbl lookup`, whatever it asked.
pub fn reply(packet: &[u8]) {
    let id = packet.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
    for record_type in [RecordType::A, RecordType::TXT, RecordType::Unknown(42)] {
        let name = nibbl::client::Name::from_ascii("x.bl.example.").expect("a name");
        match message::read(packet, id, &Question { name, record_type }) {
            Received::Reply(Ok(reply)) => assert!(reply.ttl <= 7 * 86_400),
            Received::Reply(Err(_)) | Received::Alien | Received::Truncated => {}
        }
    }
}

/// A line of the control socket.
pub fn control(data: &[u8]) {
    if let Ok(nibbl::control::Request::Reload { zones, .. }) = serde_json::from_slice(data) {
        zones.iter().for_each(|zone| drop(nibbl::config::spec::zone_name(zone)));
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
        let options = read_options(dropin);
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

fn read_options(dropin: bool) -> ReadOptions {
    ReadOptions {
        dropin,
        accept_host_bits: dropin,
        decompress: true,
        default_ttl: 2100,
        min_ttl: 0,
        max_ttl: 0,
        widest_v6: 19,
        widest_v4: 8,
        now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
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
