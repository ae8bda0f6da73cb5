//! The fast path against `answer::respond`: random zones, packets of every kind, the same bytes.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::access::{Account, AccountId, Beyond, KeyList, KeyTable, Plan, Policy, Rule, Verdict};
use crate::answer::{self, Client, Outcome, Signing};
use crate::config::ReadConfig;
use crate::cookie::{Cookie, Cookies, Secret, Standing};
use crate::dataset::Dataset;
use crate::name::Name;
use crate::prefix_table::Address;
use crate::rate_limit;
use crate::snapshot::Settings;
use crate::wire::tests::{bytes, packet};
use crate::zone::{Status, Zone, ZoneOptions};
use crate::zone_file::diagnostic::Diagnostics;
use crate::zone_file::{Kind, Parser, ReadOptions};

/// When it is.
const TIME: u32 = 1_000_000;

/// Names that nest in each other, in part behind labels that addresses have.
const APEXES: [&str; 8] = [
    "Bl.example",
    "v6.bl.Example",
    "1.bl.example",
    "ff.8.bl.example",
    "b.c",
    "x.1.0.0.2.b.c",
    "example",
    ".",
];

const TEXTS: [&str; 6] = ["", "listed", "see http://bl.example/?$", "$", "a $ b $ c", "LONG"];

/// Addresses that meet again and again: some listed, some beside, those with a meaning of their own.
const V6: [u128; 10] = [
    0x2001_0db8 << 96,
    0x2001_0db8 << 96 | 1,
    0x2001_0db8_0000_0001 << 64 | 0xabcd,
    0x2001_0db8_ffff << 80,
    0xffff_7f00_0002,
    0xffff_7f00_0003,
    0x2002_7f00_0002 << 80 | 5,
    0x2002_0a0b_0c0d << 80,
    0xfe80 << 112 | 0xfedc_ba98,
    u128::MAX,
];
const V4: [u32; 8] =
    [0x7f00_0002, 0x7f00_0003, 0x0a0b_0c0d, 0x0a0b_0c0e, 0x0a63_0001, 0x0100_0002, 0x0200_0001, 0xffff_ffff];

fn list_text(kind: Kind) -> impl Strategy<Value = String> {
    let v6 = (select(&V6), 20u8..=128).prop_map(|(address, length)| {
        let groups = Ipv6Addr::from(address.masked(length)).segments().map(|group| format!("{group:x}"));
        format!("{}/{length}", groups.join(":"))
    });
    let v4 = (select(&V4), 9u8..=32)
        .prop_map(|(address, length)| format!("{}/{length}", Ipv4Addr::from(address.masked(length))));
    let key = match kind {
        Kind::Ip6trie => v6.boxed(),
        Kind::Ip4trie | Kind::Ip4set => v4.boxed(),
        _ => prop_oneof![v6, v4].boxed(),
    };
    let line = (key, 0u8..4, select(&TEXTS)).prop_map(|(key, code, text)| match code {
        0 => format!("!{key}\n"),
        _ => format!("{key} :{code}:{}\n", text.replace("LONG", &"long ".repeat(60))),
    });
    (vec(line, 0..8), any::<bool>(), 0..3).prop_map(|(lines, apex, ttl)| {
        let apex = if apex {
            "$SOA 300 ns.bl.example host.bl.example 7 60 60 60 90\n$NS 900 ns.bl.example 9.b.c\n"
        } else {
            ""
        };
        format!("$TTL {}\n{apex}{}", 100 * ttl + 60, lines.concat())
    })
}

pub(super) fn dataset_text() -> impl Strategy<Value = (Kind, String)> {
    let lists = select(vec![Kind::Ip6trie, Kind::Ip6trie, Kind::Ip, Kind::Ip4trie, Kind::Ip4set])
        .prop_flat_map(|kind| list_text(kind).prop_map(move |text| (kind, text)));
    // Some stand among addresses, some only sort there.
    let owners = select(vec![
        "@",
        "ns",
        "a",
        "2.0.0.127",
        "x.4.0.0.10",
        "c.b.a",
        "2nd.10",
        "1234.10",
        "0x.10",
        "x.10",
    ]);
    let generic = vec(owners, 0..3).prop_map(|owners| {
        let lines = owners.iter().map(|owner| format!("{owner} 60 A 192.0.2.7\n"));
        (Kind::Generic, lines.collect::<String>())
    });
    let acl = (select(vec![":refuse", ":ignore", ":empty", ":pass", ":9:always $"]), 30u8..=32)
        .prop_map(|(action, length)| (Kind::Acl, format!("192.0.2.4/{length} {action}\n")));
    let names = Just((Kind::Dnset, "*.2.0.0.127\n4.3.2.10\n".to_string()));
    prop_oneof![12 => lists, 2 => generic, 2 => acl, 1 => names]
}

fn dataset((kind, text): &(Kind, String)) -> Arc<Dataset> {
    let path = Path::new("data");
    let options =
        ReadOptions { accept_host_bits: true, ..ReadConfig::default().options(SystemTime::UNIX_EPOCH) };
    let mut parser = Parser::new(*kind, &options);
    parser.file(path, SystemTime::UNIX_EPOCH, &mut text.as_bytes()).unwrap();
    let (parsed, mut diagnostics) = parser.finish();
    assert_eq!(diagnostics.errors(), 0, "{kind:?}\n{text}{:?}", diagnostics.kept());
    Arc::new(Dataset::compile(parsed, &[Arc::new(path.into())], 2100, &mut diagnostics).unwrap())
}

pub(super) fn zone(
    apex: &str,
    datasets: &[(Kind, String)],
    status: Status,
    options: &ZoneOptions,
) -> Arc<Zone> {
    let name = Name::from_text(apex.as_bytes()).unwrap();
    let datasets = datasets.iter().map(dataset).collect();
    Arc::new(Zone::new(name, datasets, 0, status, options.clone(), &mut Diagnostics::default()))
}

fn snapshot() -> impl Strategy<Value = Snapshot> {
    let status = prop_oneof![9 => Just(Status::Serving), 1 => Just(Status::Expired)];
    let content = (vec(dataset_text(), 0..4), status);
    let apexes = proptest::sample::subsequence(APEXES.to_vec(), 1..4);
    let options = (any::<[bool; 4]>(), 512u16..1400);
    let access =
        prop::option::weighted(0.2, Just((Kind::Acl, "192.0.2.0/24 :refuse\n192.0.2.4 :pass\n".to_string())));
    (apexes, vec(content, 4), options, access, (identity(), cookies(), stale_from(TIME))).prop_map(
        |(apexes, contents, (flags, udp_size), access, (identity, cookies, stale_from))| {
            let [dropin, minimal, six_to_four, tests] = flags;
            let options = ZoneOptions {
                dropin,
                six_to_four,
                test_value: tests.then_some(Ipv4Addr::new(127, 0, 0, 2)),
                ..Default::default()
            };
            let zone = |(apex, (datasets, status)): (&&str, (Vec<_>, _))| {
                let zone = zone(apex, &datasets, status, &options);
                Arc::new(Arc::into_inner(zone).unwrap().stale_from(stale_from))
            };
            let zones = apexes.iter().zip(contents).map(zone).collect();
            let settings = Settings { dropin, minimal, udp_size, identity, cookies, ..Settings::default() };
            Snapshot::new(zones, settings, access.as_ref().map(dataset))
        },
    )
}

pub(super) fn cookies() -> impl Strategy<Value = Option<Cookies>> {
    prop::option::weighted(0.7, any::<bool>().prop_map(|required| Cookies::new(SECRET, vec![], required)))
}

/// From when data is stale: never, or about now.
pub(super) fn stale_from(now: u32) -> impl Strategy<Value = Option<u32>> {
    prop::option::weighted(0.3, now - 1..now + 1)
}

pub(super) fn identity() -> impl Strategy<Value = Option<String>> {
    prop::option::weighted(0.3, Just("ns1.example".to_string()))
}

/// What cookies in tests are made with.
const SECRET: Secret = Secret::new(*b"Not very secret.");

/// A COOKIE option: of the client alone, a good one of the client that tests have most, bad ones.
fn cookie_option() -> impl Strategy<Value = Vec<u8>> {
    let times = select(vec![0u32, 1, 600, 0u32.wrapping_sub(1000), 0u32.wrapping_sub(3000), 1 << 31]);
    let made = (times, select(vec![TIME, signed_tests::NOW])).prop_map(|(late, now)| {
        let cookie = Cookie { client: *b"12345678", server: None };
        let cookies = Cookies::new(SECRET, vec![], false);
        cookies.answer(cookie, client(4).address, now.wrapping_add(late)).1.to_vec()
    });
    let other = prop_oneof![Just(8usize), Just(24), 0usize..50].prop_map(|octets| vec![7; octets]);
    prop_oneof![made, other].prop_map(|data| [&[0, 10, 0, data.len() as u8][..], &data].concat())
}

/// Plans that always allow or never: what they say does not depend on what was asked before.
fn policy(apexes: &[&str], keyed: u8, rules: &[(u8, u8)]) -> Policy {
    let name = |apex: &&str| Name::from_text(apex.as_bytes()).unwrap();
    let never = |name, beyond| Plan { daily: Some(0), beyond, ..Plan::new(name) };
    let address = Ipv4Addr::new(127, 255, 255, 255);
    let plans = vec![
        Plan::new("all"),
        Plan { text: Some("pay".into()), ..never("refuse", Beyond::Refuse) },
        never("not listed", Beyond::NotListed),
        never("listed", Beyond::listed(address, Some("over $"))),
        Plan { zones: Some(vec![name(&apexes[0])]), ..Plan::new("first") },
    ];
    let keyed = apexes.iter().enumerate().filter(|(place, _)| keyed >> place & 1 == 1);
    let keyed = keyed.map(|(_, apex)| name(apex)).collect();
    let rules: Vec<Rule> = rules
        .iter()
        .map(|&(length, plan)| Rule { clients: format!("192.0.2.4/{}", 29 + length).parse().unwrap(), plan })
        .collect();
    Policy::new(plans, keyed, Some("whose?".into()), &rules, Account::unsaved)
}

/// A key for each plan, but not in the letter case of questions.
fn keys() -> KeyTable {
    let keys = (0..5).map(|plan| (AccountId::of_key(format!("Key-{plan}-key").as_bytes()), plan));
    KeyTable::new(&KeyList { keys: keys.collect() }, &KeyTable::default(), Account::unsaved)
}

/// A snapshot with access rules for some of its zones, or none.
fn judged_snapshot() -> impl Strategy<Value = Snapshot> {
    let rules = vec((0u8..4, 0u8..5), 0..3);
    let keyed = prop_oneof![1 => Just(0u8), 2 => any::<u8>()];
    (snapshot(), keyed, rules, 0..8).prop_map(|(snapshot, keyed, rules, keys_read)| {
        let apexes: Vec<String> = snapshot.zones().iter().map(|zone| zone.name().to_string()).collect();
        let apexes: Vec<&str> = apexes.iter().map(String::as_str).collect();
        let keys = Arc::new(keys());
        let policy = Arc::new(policy(&apexes, keyed, &rules));
        snapshot.with_gate(&policy, Some(&keys).filter(|_| keys_read > 0))
    })
}

/// The labels of an address, some of them left out or too many.
fn key_labels() -> impl Strategy<Value = Vec<String>> {
    let v6 = (select(&V6), prop_oneof![3 => Just(0u128), 1 => 0u128..4]).prop_map(|(address, more)| {
        (0..32).map(|place| format!("{:x}", (address ^ more) >> (4 * place) & 0xf)).collect::<Vec<_>>()
    });
    let v4 = (select(&V4), 0u32..2, any::<bool>()).prop_map(|(address, more, zeros)| {
        let octets = (address ^ more).to_le_bytes();
        octets.map(|octet| if zeros { format!("{octet:03}") } else { octet.to_string() }).to_vec()
    });
    let dropped = prop_oneof![9 => Just(0usize), 1 => 0usize..34];
    let front = prop_oneof![9 => Just(""), 1 => select(vec!["x", "1", "256", "0g"])];
    (prop_oneof![3 => v6, 2 => v4], dropped, front).prop_map(|(labels, dropped, front)| {
        let front = (!front.is_empty()).then(|| front.to_string());
        front.into_iter().chain(labels.into_iter().skip(dropped)).collect()
    })
}

fn opt() -> impl Strategy<Value = Vec<u8>> {
    let options = prop_oneof![
        3 => Just(vec![]),
        3 => vec(cookie_option(), 1..3).prop_map(|options| options.concat()),
        1 => cookie_option().prop_map(|cookie| [b"\0\x03\0\0", &cookie[..]].concat()),
        1 => cookie_option().prop_map(|cookie| [&cookie[..], b"\0\x0c\0\x02\0\0"].concat()),
        1 => Just(b"\0\x0f\0\0\0\x03\0\x01x".to_vec()),
        1 => Just(b"\0\x0f\0\x09x".to_vec()),
    ];
    let version = prop_oneof![9 => Just(0u8), 1 => any::<u8>()];
    (any::<u16>(), version, any::<u16>(), options).prop_map(|(size, version, flags, options)| {
        let length = options.len() as u16;
        let fixed = [
            &b"\0\0\x29"[..],
            &size.to_be_bytes(),
            &[7, version],
            &flags.to_be_bytes(),
            &length.to_be_bytes(),
        ];
        [&fixed.concat()[..], &options].concat()
    })
}

/// A question of the plain form, or one a little off it.
pub(super) fn question(apexes: Vec<&'static str>) -> impl Strategy<Value = Vec<u8>> {
    let usual = select(vec![1u16, 1, 1, 16, 16, 16, 2, 6, 28, 252, 255, 65280]);
    let record_type = prop_oneof![9 => usual, 1 => any::<u16>()];
    let class = prop_oneof![15 => Just(1u16), 1 => 0u16..5];
    let apex = prop_oneof![12 => select(apexes), 1 => Just("elsewhere")];
    let flags = prop_oneof![4 => Just(0x0100u16), 1 => any::<u16>().prop_map(|flags| flags & 0x07ff), 1 => any::<u16>()];
    let rest = (prop::option::of(opt()), prop_oneof![8 => Just(0usize), 1 => 1usize..5]);
    let between = select(vec![
        "",
        "",
        "",
        "",
        "key-0-key.",
        "KEY-1-key.",
        "key-2-KEY.",
        "key-3-key.",
        "key-4-key.",
        "nobodys-key.",
        "short.",
    ]);
    let edits = prop_oneof![6 => Just(vec![]), 1 => vec((any::<Index>(), any::<u8>()), 1..3)];
    (key_labels(), (between, apex), any::<u64>(), (record_type, class, flags), rest, edits).prop_map(
        |(key, (between, apex), letter_case, (record_type, class, flags), (opt, trailing), edits)| {
            let mut name = String::new();
            key.iter().for_each(|label| write!(name, "{label}.").unwrap());
            let mut name = Name::from_text((name + between + apex).as_bytes()).unwrap().wire().to_vec();
            for (place, octet) in name.iter_mut().enumerate() {
                if letter_case >> (place % 64) & 1 == 1 && octet.is_ascii_alphabetic() {
                    *octet ^= 0x20;
                }
            }
            name.extend([record_type, class].map(u16::to_be_bytes).concat());
            let opt = opt.unwrap_or_default();
            let mut packet =
                packet(flags, [1, 0, 0, u16::from(!opt.is_empty())], &[&name, &opt, &vec![0; trailing]]);
            for (index, octet) in edits {
                let place = index.index(packet.len());
                packet[place] = octet;
            }
            packet
        },
    )
}

/// The outcomes of the fast path; every reply of it is that of the general path, and what it leaves
/// out it leaves as it was.
fn check(snapshot: &Snapshot, packets: &[(Vec<u8>, Client)]) -> Vec<Option<Outcome>> {
    // What an earlier packet left behind must not count.
    let mut buffers: Vec<Buffer> = packets.iter().rev().map(|(packet, _)| filled(packet)).collect();
    for (buffer, (packet, _)) in buffers.iter_mut().zip(packets) {
        buffer[..packet.len()].copy_from_slice(packet);
    }
    let mut elsewhere = vec![Vec::new(); packets.len()];
    let places = buffers.iter_mut().zip(&mut elsewhere);
    let mut batch: Vec<Exchange<'_>> = packets
        .iter()
        .zip(places)
        .map(|((packet, client), (buffer, elsewhere))| {
            Exchange::new(buffer, packet.len(), *client, elsewhere)
        })
        .collect();
    FastPath::new(snapshot).respond(snapshot, TIME, &mut batch);
    for (exchange, (packet, client)) in batch.iter().zip(packets) {
        let Some(outcome) = exchange.outcome() else {
            assert_eq!(exchange.packet(), packet, "was changed");
            continue;
        };
        let mut expected = Vec::new();
        let signing = Signing { now: TIME, ..Signing::default() };
        let outcome_expected = answer::respond(snapshot, packet, *client, signing, &mut expected);
        assert_eq!(*outcome, outcome_expected, "{packet:02x?}");
        assert_eq!(exchange.reply(), Some(&expected[..]), "{packet:02x?}");
        let answer = rate_limit::answer(outcome, rate_limit::of_packet(packet, outcome.zone));
        assert_eq!(exchange.answer(outcome), answer, "{packet:02x?}: of two identities");
    }
    batch.iter().map(|exchange| exchange.outcome().copied()).collect()
}

/// A buffer full of the last octets of a packet.
pub(super) fn filled(packet: &[u8]) -> Buffer {
    let mut octets = packet.iter().copied().cycle().skip(packet.len() / 2);
    std::array::from_fn(|_| octets.next().unwrap_or(0xff))
}

pub(super) fn client(last: u8) -> Client {
    Client { address: [192, 0, 2, last].into(), transport: Transport::Udp }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn both_paths_give_the_same_bytes(
        snapshot in judged_snapshot(),
        packets in vec((prop_oneof![9 => question(APEXES.to_vec()), 1 => bytes()], (4u8..7).prop_map(client)), 1..100),
    ) {
        check(&snapshot, &packets);
    }
}

/// A question for a name given as text, with OPT or without.
pub(super) fn ask(name: &str, record_type: u8, edns: bool) -> (Vec<u8>, Client) {
    let name = Name::from_text(name.as_bytes()).unwrap();
    let opt: &[u8] = if edns { b"\0\0\x29\x10\0\0\0\x80\0\0\0" } else { b"" };
    let question = [name.wire(), &[0, record_type, 0, 1]].concat();
    (packet(0x0100, [1, 0, 0, edns.into()], &[&question, opt]), client(4))
}

pub(super) fn reversed(address: u128) -> String {
    (0..32).map(|place| format!("{:X}.", address >> (4 * place) & 0xf)).collect()
}

#[test]
fn what_is_plain_takes_the_fast_path() {
    let list = (Kind::Ip, "$SOA 300 ns.b host.b 7 60 60 60 90\n2001:db8::/32 :2:see $\n!2001:db8:1::/48\n10.11.0.0/16 :3:three\n".to_string());
    let generic = (Kind::Generic, "@ A 192.0.2.1\nns A 192.0.2.2\n".to_string());
    let access = (Kind::Acl, "192.0.2.5 :refuse\n192.0.2.6 :empty\n".to_string());
    let options = ZoneOptions::default();
    let zones = vec![
        zone("bl.example", &[list.clone(), generic, access], Status::Serving, &options),
        zone("db.example", std::slice::from_ref(&list), Status::Serving, &options),
        zone(
            "other.example",
            &[list, (Kind::Dnset, "spam.example\n".to_string())],
            Status::Serving,
            &options,
        ),
    ];
    let snapshot = Snapshot::new(zones, Settings::default(), None);
    let listed = 0x2001_0db8 << 96 | 0xabcd;
    let unlisted = 0x2001_0db8_0001 << 80;
    for (name, record_type, expected) in [
        (reversed(listed) + "bl.example", 1, Some((0, 1))),
        (reversed(listed) + "DB.example", 16, Some((0, 1))),
        (reversed(listed) + "bL.example", 28, Some((0, 0))),
        (reversed(unlisted) + "bl.example", 1, Some((3, 0))),
        ("13.12.11.10.bl.example".into(), 1, Some((0, 1))),
        ("13.12.11.10.bl.example".into(), 16, Some((0, 1))),
        ("13.12.12.10.bl.example".into(), 1, Some((3, 0))),
        // Left to the general path: ANY, partial names, test entries, names that may be of either
        // family, zones that are more than addresses, no zone at all.
        (reversed(listed) + "bl.example", 255, None),
        (reversed(listed)[2..].to_string() + "bl.example", 1, None),
        ("2.0.0.127.bl.example".into(), 1, None),
        (reversed(0xffff_7f00_0002) + "bl.example", 1, None),
        ("1.0.0.2.bl.example".into(), 1, None),
        (reversed(listed) + "other.example", 1, None),
        (reversed(listed) + "elsewhere", 1, None),
        ("bl.example".into(), 6, None),
    ] {
        for edns in [false, true] {
            let outcomes = check(&snapshot, &[ask(&name, record_type, edns)]);
            let taken = outcomes[0].map(|outcome| (outcome.rcode, outcome.answers));
            assert_eq!(taken, expected, "{name} {record_type}");
        }
    }
    // Cookies do not make a question any less plain, unless they are to be good and are not.
    let name = Name::from_text((reversed(listed) + "db.example").as_bytes()).unwrap();
    let with_cookie = |data: &[u8]| {
        let length = data.len() as u8;
        let opt = [b"\0\0\x29\x10\0\0\0\0\0\0", &[length + 4, 0, 10, 0, length][..], data].concat();
        (packet(0, [1, 0, 0, 1], &[name.wire(), &[0, 1, 0, 1], &opt]), client(4))
    };
    let cookies = Cookies::new(SECRET, vec![], false);
    let (_, good) = cookies.answer(Cookie { client: [1; 8], server: None }, client(4).address, TIME);
    for (required, data, expected) in [
        (false, &[1; 8][..], Some(Standing::New)),
        (false, &[1; 24], Some(Standing::Bad)),
        (false, &good, Some(Standing::Good)),
        (false, &[1; 16], None),
        (false, &[1; 7], None),
        (true, &good, Some(Standing::Good)),
        (true, &[1; 8], None),
    ] {
        let mut snapshot = Snapshot::new(snapshot.zones().to_vec(), Settings::default(), None);
        snapshot.settings.cookies = Some(Cookies::new(SECRET, vec![], required));
        let outcomes = check(&snapshot, &[with_cookie(data)]);
        assert_eq!(outcomes[0].map(|outcome| outcome.cookie), expected, "{required} {data:?}");
    }
    let (packet, _) = ask(&(reversed(listed) + "bl.example"), 1, true);
    let clients = [4, 5, 6, 4].map(|last| (packet.clone(), client(last)));
    let taken: Vec<bool> = check(&snapshot, &clients).iter().map(Option::is_some).collect();
    assert_eq!(taken, [true, false, false, true]);
}

#[test]
fn keys_and_rules_take_the_fast_path() {
    let list = (Kind::Ip, "$SOA 300 ns.b host.b 7 60 60 60 90\n2001:db8::/32 :2:see $\n".to_string());
    let options = ZoneOptions::default();
    let apexes = ["bl.example", "dq.example"];
    let zones = apexes
        .iter()
        .map(|apex| zone(apex, std::slice::from_ref(&list), Status::Serving, &options))
        .collect();
    let policy = Arc::new(policy(&apexes, 2, &[(0, 0), (3, 1)]));
    let keys = Arc::new(keys());
    let snapshot = Snapshot::new(zones, Settings::default(), None).with_gate(&policy, Some(&keys));
    let listed = reversed(0x2001_0db8 << 96 | 0xabcd);
    for (name, last, expected) in [
        ("key-0-KEY.dq.example", 4, Some((0, Verdict::Granted))),
        ("Key-1-key.Dq.example", 9, Some((5, Verdict::Daily))),
        ("key-4-key.dq.example", 9, Some((5, Verdict::NotInPlan))),
        ("key-5-key.dq.example", 9, Some((5, Verdict::UnknownKey))),
        ("bl.example", 5, Some((0, Verdict::Granted))),
        ("bl.example", 4, Some((5, Verdict::Daily))),
        // Left to the general path: what is said in place of the data, names without a key.
        ("key-2-key.dq.example", 4, None),
        ("key-3-key.dq.example", 4, None),
        ("dq.example", 5, None),
        ("key-0-key.bl.example", 5, None),
    ] {
        for edns in [false, true] {
            let (packet, _) = ask(&(listed.clone() + name), 16, edns);
            let outcomes = check(&snapshot, &[(packet, client(last))]);
            let taken = outcomes[0].map(|outcome| (outcome.rcode, outcome.access.unwrap().verdict));
            assert_eq!(taken, expected, "{name}");
            assert_eq!(
                outcomes[0].and_then(|outcome| outcome.key).is_some(),
                name.contains("ey-") && taken.is_some()
            );
        }
    }
    let (packet, _) = ask(&(listed + "bl.example"), 16, true);
    let outcomes = check(&snapshot, &[(packet, client(17))]);
    assert_eq!(outcomes[0].map(|outcome| (outcome.rcode, outcome.access)), Some((0, None)), "no rule");
}

#[test]
fn each_question_counts_once() {
    let lists = [
        (Kind::Ip, "2001:db8::/32 :2:one\n".to_string()),
        (Kind::Ip, "2001:db8:1::/48 :3:two\n".to_string()),
    ];
    let zones = vec![zone("dq.example", &lists, Status::Serving, &ZoneOptions::default())];
    let keys = Arc::new(keys());
    let policy = Arc::new(policy(&["dq.example"], 1, &[]));
    let snapshot = Snapshot::new(zones, Settings::default(), None).with_gate(&policy, Some(&keys));
    // The second is said by two datasets, which the fast path does not merge.
    let packets = [0x2001_0db8_0002u128 << 80, 0x2001_0db8_0001 << 80, 0x2001_0db9 << 96]
        .map(|address| ask(&(reversed(address) + "key-0-key.dq.example"), 1, true));
    let mut buffers: Vec<Buffer> = packets.iter().map(|(packet, _)| filled(packet)).collect();
    for (buffer, (packet, _)) in buffers.iter_mut().zip(&packets) {
        buffer[..packet.len()].copy_from_slice(packet);
    }
    let mut elsewhere = vec![Vec::new(); packets.len()];
    let mut batch: Vec<Exchange<'_>> = (buffers.iter_mut().zip(&mut elsewhere).zip(&packets))
        .map(|((buffer, elsewhere), (packet, client))| {
            Exchange::new(buffer, packet.len(), *client, elsewhere)
        })
        .collect();
    FastPath::new(&snapshot).respond(&snapshot, 0, &mut batch);
    let answered: Vec<bool> = batch.iter().map(|exchange| exchange.outcome().is_some()).collect();
    assert_eq!(answered, [true, false, true]);
    let account = keys.find(AccountId::of_key(b"key-0-key")).unwrap().account;
    assert_eq!(account.usage().granted, 2);
    let (packet, client) = &packets[1];
    let outcome = answer::respond(&snapshot, packet, *client, Signing::default(), &mut Vec::new());
    assert_eq!((outcome.answers, account.usage().granted), (2, 3));
}
