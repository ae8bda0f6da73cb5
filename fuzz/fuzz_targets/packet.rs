//! Any packet, from the reader to the reply: no panic, and the reply keeps to its limit.
#![no_main]

use std::net::{IpAddr, Ipv6Addr};

use libfuzzer_sys::fuzz_target;
use nibbl::answer::{Client, Transport, respond};
use nibbl::snapshot::Snapshot;

fuzz_target!(|packet: &[u8]| {
    let snapshot = Snapshot::default();
    let client = Client { address: IpAddr::V6(Ipv6Addr::LOCALHOST), transport: Transport::Udp };
    let mut reply = Vec::new();
    let outcome = respond(&snapshot, packet, client, &mut reply);
    assert_eq!(outcome.reply, !reply.is_empty());
    assert!(reply.len() <= 512, "no reply without records is longer");
    if outcome.reply {
        assert_eq!(reply[..2], packet[..2]);
        assert_ne!(reply[2] & 0x80, 0);
    }
});
