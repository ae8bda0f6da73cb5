//! The one pure function that makes every answer. (Interface fixed; body to be written.)

use std::net::IpAddr;

use crate::snapshot::Snapshot;

/// How a query came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// UDP: the reply is limited by EDNS.
    Udp,
    /// TCP.
    Tcp,
    /// DNS over TLS (RFC 7858).
    Tls,
}

/// Who asks, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// The source address (an IPv4-mapped one is given as IPv4).
    pub address: IpAddr,
    /// How.
    pub transport: Transport,
}

/// What became of a packet: what the rim counts and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// False: nothing is to be sent (not a query, or the client is ignored).
    pub reply: bool,
    /// The zone, by its place in the snapshot.
    pub zone: Option<u32>,
    /// The response code, extended ones included.
    pub rcode: u16,
    /// The type asked; 0 where no question was read.
    pub query_type: u16,
    /// The class asked; 0 where no question was read.
    pub query_class: u16,
    /// Records in the answer section.
    pub answers: u16,
    /// A NOTIFY from somebody who may: look at the files of `zone` now (of all where it is `None`).
    pub look_again: bool,
    /// The reply was cut for UDP.
    pub truncated: bool,
}

/// Answers one packet: appends the reply to `reply`, which the caller has cleared.
pub fn respond(snapshot: &Snapshot, packet: &[u8], client: Client, reply: &mut Vec<u8>) -> Outcome {
    let _ = (snapshot, packet, client, reply);
    todo!()
}
