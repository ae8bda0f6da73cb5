//! The relay's replies, read by hickory-proto, against the map of a server in memory.

use std::str::FromStr;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use proptest::prelude::*;
use tokio::time::advance;

use super::reply::{Relay, Transport};
use crate::address::Key;
use crate::client::tests::fake::{APEX, Fake, Fault, NEGATIVE_TTL, TTL, Zone, map_address};
use crate::client::tests::{ranges, run};
use crate::prefix_table::UNLISTED;
use crate::range_record::literal::ListEntry;
use crate::range_record::name::address_text;
use crate::range_record::tests::lists;
use crate::range_record::{Prefix, StateMap, block, key_of};

const DOCUMENTATION: u128 = 0x2001_0db8 << 96;

fn zone(state: u32) -> Zone {
    Zone::new(&[ListEntry { prefix: Prefix::containing(DOCUMENTATION, 32), state }], 800)
}

fn relay(fake: &Fake, stale: u64) -> Relay {
    Relay::new(vec![ranges(fake, stale)], 60)
}

async fn ask_over(relay: &Relay, transport: Transport, name: &str, record_type: RecordType) -> Message {
    let mut query = Message::query();
    query.add_query(Query::query(Name::from_str(name).unwrap(), record_type));
    query.set_edns(Edns::new());
    let reply = relay.respond(&query.to_vec().unwrap(), transport).await.unwrap();
    let reply = Message::from_vec(&reply).unwrap();
    assert_eq!((reply.metadata.id, &reply.queries), (query.metadata.id, &query.queries));
    assert_eq!(reply.edns.is_some(), query.edns.is_some());
    reply
}

async fn ask(relay: &Relay, name: &str, record_type: RecordType) -> Message {
    ask_over(relay, Transport::Udp, &format!("{name}.{APEX}"), record_type).await
}

fn codes(reply: &Message) -> Vec<u8> {
    let code = |record: &hickory_proto::rr::Record| match &record.data {
        RData::A(address) => address.0.octets()[3],
        other => panic!("{other}"),
    };
    reply.answers.iter().map(code).collect()
}

fn texts(reply: &Message) -> Vec<Vec<u8>> {
    let text = |record: &hickory_proto::rr::Record| match &record.data {
        RData::TXT(text) => text.txt_data.concat(),
        other => panic!("{other}"),
    };
    reply.answers.iter().map(text).collect()
}

/// The one SOA and its TTL.
fn soa_ttl(reply: &Message) -> u32 {
    assert_eq!((reply.authorities.len(), reply.authorities[0].record_type()), (1, RecordType::SOA));
    assert_eq!(reply.authorities[0].name, Name::from_str(APEX).unwrap());
    reply.authorities[0].ttl
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn addresses_and_their_parts(
        listings in lists(60),
        random in proptest::collection::vec(any::<u128>(), 4),
        labels in 1..31usize,
    ) {
        let zone = Zone::new(&listings, block::MIN_LIMIT);
        let runs = zone.map.ranges_from(0).flat_map(|run| [run.first, run.last]);
        let keys: Vec<Key> = runs.chain(random).map(key_of).collect();
        let fake = Fake::new(zone);
        run(async {
            let relay = relay(&fake, 0);
            for key in keys {
                let expected = fake.with(|shared| shared.zone.state(key));
                let name = address_text(key);
                let reply = ask(&relay, &name, RecordType::A).await;
                if expected == UNLISTED {
                    // 2.0.0.1 (`1.0.0.2`) may be above what is listed in 2001::/16.
                    let is_part = name.split('.').all(|label| label.len() == 1) && matches!(key, Key::V4(_));
                    assert!(is_part || reply.metadata.response_code == ResponseCode::NXDomain);
                    assert!(reply.answers.is_empty() && soa_ttl(&reply) <= 60);
                } else {
                    assert_eq!(codes(&reply), [expected as u8]);
                    assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
                    assert!(reply.answers.iter().all(|record| record.ttl <= 60 && record.ttl > 0));
                }
                // A name that is not there has nothing below it (RFC 8020).
                let all: Vec<&str> = name.split('.').collect();
                let part = all[all.len() - labels.min(all.len() - 1)..].join(".");
                let reply = ask(&relay, &part, RecordType::A).await;
                // Four labels may be a whole IPv4 address.
                assert!(reply.answers.is_empty() || part.split('.').count() == 4);
                if expected != UNLISTED {
                    assert_eq!(reply.metadata.response_code, ResponseCode::NoError, "{part} above {name}");
                }
            }
        });
    }
}

#[test]
fn the_types_of_a_listed_and_an_unlisted_address() {
    let fake = Fake::new(zone(2));
    run(async {
        let relay = relay(&fake, 0);
        let listed = address_text(Key::V6(DOCUMENTATION | 7));
        let text = Zone::texts(2, "2001:db8::7");
        let reply = ask(&relay, &listed, RecordType::A).await;
        assert!(reply.metadata.authoritative && !reply.metadata.truncation);
        assert_eq!((codes(&reply), reply.answers[0].ttl), (vec![2], 60));
        assert_eq!(texts(&ask(&relay, &listed, RecordType::TXT).await), text);
        assert_eq!(codes(&ask(&relay, &listed, RecordType::ANY).await), [2]);
        let whole = format!("{listed}.{APEX}");
        let any = ask_over(&relay, Transport::Tcp, &whole, RecordType::ANY).await;
        assert_eq!(any.answers.len(), 2);
        let nodata = ask(&relay, &listed, RecordType::MX).await;
        assert_eq!((nodata.metadata.response_code, soa_ttl(&nodata)), (ResponseCode::NoError, 60));
        let unlisted = address_text(Key::V6(1));
        for record_type in [RecordType::A, RecordType::TXT, RecordType::ANY, RecordType::MX] {
            let reply = ask(&relay, &unlisted, record_type).await;
            assert_eq!((reply.metadata.response_code, soa_ttl(&reply)), (ResponseCode::NXDomain, 60));
        }
        // The root, its values, the SOA.
        assert_eq!(fake.asked(), 3);
        // As in the question.
        let upper = ask(&relay, &listed.to_uppercase(), RecordType::A).await;
        assert!(
            upper.answers[0]
                .name
                .eq_case(&Name::from_str(&format!("{}.{APEX}", listed.to_uppercase())).unwrap())
        );
    });
}

/// Blocks know nothing of the hosts of a zone, whose names may look like parts of addresses.
#[test]
fn hosts_that_look_like_parts_of_addresses() {
    let mut zone = zone(2);
    zone.hosts = vec!["a", "2", "1", "d.c"];
    let fake = Fake::new(zone);
    run(async {
        let relay = relay(&fake, 0);
        for host in ["a", "A", "2", "1", "d.c"] {
            assert_eq!(codes(&ask(&relay, host, RecordType::A).await), [53], "{host}");
            let other = ask(&relay, host, RecordType::MX).await;
            assert_eq!(other.metadata.response_code, ResponseCode::NoError, "{host}");
        }
        for (name, expected) in [
            ("c", ResponseCode::NoError),
            ("0.2", ResponseCode::NoError),
            ("e.c", ResponseCode::NXDomain),
            ("b", ResponseCode::NXDomain),
            ("d.b", ResponseCode::NXDomain),
            ("3.2.10", ResponseCode::NXDomain),
            ("9.b.d.0.1.0.0.2", ResponseCode::NXDomain),
        ] {
            let reply = ask(&relay, name, RecordType::A).await;
            assert_eq!((reply.metadata.response_code, soa_ttl(&reply)), (expected, 60), "{name}");
        }
    });
}

/// All names on the way to addresses, as minimising resolvers ask them.
#[test]
fn names_on_the_way_to_unlisted_addresses_cost_little() {
    let fake = Fake::new(zone(2));
    run(async {
        let relay = relay(&fake, 0);
        for host in 0..100u128 {
            for key in [
                Key::V6((DOCUMENTATION | (host * 0x1_0001) << 60) + (1 << 96)),
                Key::V4(0x0a00_0000 + host as u32 * 99_991),
            ] {
                let name = address_text(key);
                let labels: Vec<&str> = name.split('.').collect();
                for part in (1..labels.len()).rev() {
                    ask(&relay, &labels[part..].join("."), RecordType::A).await;
                }
                let reply = ask(&relay, &name, RecordType::A).await;
                assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
            }
        }
        // The root, the SOA, `2`, and the first octet of the IPv4 addresses.
        assert_eq!(fake.asked(), 4);
    });
}

#[test]
fn other_names_are_asked_upstream() {
    let fake = Fake::new(zone(2));
    run(async {
        let relay = relay(&fake, 0);
        let reply = ask_over(&relay, Transport::Udp, APEX, RecordType::SOA).await;
        assert_eq!((reply.answers[0].record_type(), reply.answers[0].ttl), (RecordType::SOA, 60));
        let reply = ask(&relay, "example.org", RecordType::A).await;
        assert_eq!((reply.metadata.response_code, soa_ttl(&reply)), (ResponseCode::NXDomain, 60));
        let block = ask(&relay, "_ranges", RecordType::from(42)).await;
        assert_eq!(block.answers.len(), 1);
        for (name, record_type) in
            [("bl.test.", RecordType::A), (APEX, RecordType::AXFR), (".", RecordType::NS)]
        {
            let reply = ask_over(&relay, Transport::Tcp, name, record_type).await;
            assert_eq!(reply.metadata.response_code, ResponseCode::Refused);
        }
    });
}

#[test]
fn without_range_records_every_name_is_asked_upstream() {
    let mut zone = zone(2);
    zone.ranges = false;
    let fake = Fake::new(zone);
    run(async {
        let relay = relay(&fake, 0);
        let name = address_text(Key::V6(DOCUMENTATION | 7));
        assert_eq!(codes(&ask(&relay, &name, RecordType::A).await), [2]);
        let part = ask(&relay, "8.b.d.0.1.0.0.2", RecordType::A).await;
        assert_eq!(part.metadata.response_code, ResponseCode::NoError);
        let other = ask(&relay, "9.b.d.0.1.0.0.2", RecordType::A).await;
        assert_eq!((other.metadata.response_code, soa_ttl(&other)), (ResponseCode::NXDomain, 60));
    });
}

#[test]
fn ttls_are_what_remains() {
    let fake = Fake::new(zone(1));
    run(async {
        let name = address_text(Key::V6(DOCUMENTATION));
        let relay = relay(&fake, 0);
        assert_eq!(ask(&relay, &name, RecordType::A).await.answers[0].ttl, 60);
        advance(Duration::from_secs(u64::from(TTL) - 20)).await;
        assert_eq!(ask(&relay, &name, RecordType::A).await.answers[0].ttl, 20);
        let unlisted = ask(&relay, &address_text(Key::V4(1)), RecordType::A).await;
        assert_eq!(soa_ttl(&unlisted), 20);
        let uncapped = Relay::new(vec![ranges(&fake, 0)], u32::MAX);
        assert_eq!(ask(&uncapped, &name, RecordType::A).await.answers[0].ttl, TTL);
        assert_eq!(soa_ttl(&ask(&uncapped, "example.org", RecordType::A).await), NEGATIVE_TTL);
        let uncached = Relay::new(vec![ranges(&fake, 0)], 0);
        assert_eq!(ask(&uncached, &name, RecordType::A).await.answers[0].ttl, 0);
        assert_eq!(soa_ttl(&ask(&uncached, &address_text(Key::V4(1)), RecordType::A).await), 0);
    });
}

#[test]
fn stale_answers_while_nobody_can_be_asked() {
    let fake = Fake::new(zone(1));
    run(async {
        let (listed, unlisted) = (address_text(Key::V6(DOCUMENTATION)), address_text(Key::V4(1)));
        let (strict, lenient) = (relay(&fake, 0), relay(&fake, 3600));
        for relay in [&strict, &lenient] {
            ask(relay, &unlisted, RecordType::A).await;
            assert_eq!(codes(&ask(relay, &listed, RecordType::A).await), [1]);
        }
        fake.with(|shared| shared.faults = Box::new(|_| Fault::Drop));
        advance(Duration::from_secs(u64::from(TTL))).await;
        for name in [&listed, &unlisted] {
            let reply = ask(&strict, name, RecordType::A).await;
            assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
            assert!(reply.answers.is_empty());
        }
        let reply = ask(&lenient, &listed, RecordType::A).await;
        assert_eq!((codes(&reply), reply.answers[0].ttl), (vec![1], 30));
        let reply = ask(&lenient, &unlisted, RecordType::A).await;
        assert_eq!((reply.metadata.response_code, soa_ttl(&reply)), (ResponseCode::NXDomain, 30));
        // A listing that was never seen is not made up.
        let never = address_text(Key::V6(crate::address::MAPPED | 0x7f00_0002));
        let reply = ask(&lenient, &never, RecordType::A).await;
        assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    });
}

#[test]
fn packets_that_are_no_queries() {
    let fake = Fake::new(zone(1));
    run(async {
        let relay = relay(&fake, 0);
        assert!(relay.respond(b"", Transport::Udp).await.is_none());
        assert!(relay.respond(&[0xff; 12], Transport::Udp).await.is_none());
        let reply = relay.respond(&[0; 12], Transport::Udp).await.unwrap();
        assert_eq!(Message::from_vec(&reply).unwrap().metadata.response_code, ResponseCode::FormErr);
        let mut packet = Message::query().to_vec().unwrap();
        for octet in 0..=255 {
            packet.push(octet);
            let _ = relay.respond(&packet, Transport::Tcp).await;
        }
        assert_eq!(fake.asked(), 0);
    });
}

#[test]
fn what_does_not_fit_is_cut() {
    let fake = Fake::new(zone(2));
    run(async {
        let relay = relay(&fake, 0);
        let mut query = Message::query();
        let name = format!("{}.{APEX}", address_text(Key::V6(map_address(Key::V6(DOCUMENTATION)))));
        query.add_query(Query::query(Name::from_str(&name).unwrap(), RecordType::TXT));
        let packet = query.to_vec().unwrap();
        // 280 octets of text fit.
        let reply = Message::from_vec(&relay.respond(&packet, Transport::Udp).await.unwrap()).unwrap();
        assert!(!reply.metadata.truncation && reply.answers.len() == 1 && reply.edns.is_none());
    });
}
