//! A DNS client: many queries in flight over UDP, or one after the other over TCP.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use super::dns::{Query, Reply};

/// How long an answer may take before the query counts as lost.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// Queries in flight: few enough that no receive buffer on loopback overflows.
const WINDOW: usize = 32;

/// Asks over UDP; the answers come in the order of the queries, `None` where there was none.
pub(crate) fn ask_all(server: SocketAddr, queries: &[Query]) -> Vec<Option<Reply>> {
    ask_all_within(server, queries, PATIENCE)
}

/// As [`ask_all`], for queries that may rightly get no answer.
pub(crate) fn ask_all_within(
    server: SocketAddr,
    queries: &[Query],
    patience: Duration,
) -> Vec<Option<Reply>> {
    let mut replies = vec![None; queries.len()];
    let mut by_source: BTreeMap<Option<IpAddr>, Vec<usize>> = BTreeMap::new();
    for (index, query) in queries.iter().enumerate() {
        by_source.entry(query.source).or_default().push(index);
    }
    for (source, indices) in by_source {
        let socket = bind(source, server);
        socket.set_read_timeout(Some(patience)).expect("read timeout");
        for window in indices.chunks(WINDOW) {
            ask_window(&socket, queries, window, &mut replies);
        }
    }
    replies
}

/// Asks once over UDP.
///
/// # Panics
/// Without an answer.
pub(crate) fn ask(server: SocketAddr, query: &Query) -> Reply {
    ask_all(server, std::slice::from_ref(query)).remove(0).unwrap_or_else(|| panic!("{query}: no answer"))
}

/// Asks over one TCP connection, all queries at once (RFC 7766, section 6.2.1.1).
pub(crate) fn ask_all_tcp(server: SocketAddr, queries: &[Query]) -> Vec<Option<Reply>> {
    let mut stream = TcpStream::connect(server).expect("connect");
    stream.set_read_timeout(Some(PATIENCE)).expect("read timeout");
    let mut sent = Vec::new();
    for (index, query) in queries.iter().enumerate() {
        let wire = query.to_wire(id(index));
        sent.extend(u16::try_from(wire.len()).expect("short query").to_be_bytes());
        sent.extend(wire);
    }
    stream.write_all(&sent).expect("send");
    let mut replies = vec![None; queries.len()];
    for _ in queries {
        let mut length = [0; 2];
        stream.read_exact(&mut length).expect("length of an answer");
        let mut wire = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut wire).expect("an answer");
        let reply = Reply::from_wire(&wire).expect("a well-formed answer");
        let index = usize::from(reply.id);
        replies[index] = Some(reply);
    }
    replies
}

/// A UDP socket that talks to one server only, from `source` if given.
pub(crate) fn bind(source: Option<IpAddr>, server: SocketAddr) -> UdpSocket {
    let any = match server {
        SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    };
    let socket = UdpSocket::bind((source.unwrap_or(any), 0)).expect("a socket");
    socket.connect(server).expect("connect");
    socket
}

fn id(index: usize) -> u16 {
    u16::try_from(index % 0x1_0000).expect("16 bits")
}

/// One window: send all, then wait for all. What is lost is sent once more.
fn ask_window(socket: &UdpSocket, queries: &[Query], window: &[usize], replies: &mut [Option<Reply>]) {
    let mut buffer = [0; 65_535];
    for _ in 0..2 {
        let waiting = |replies: &[Option<Reply>]| window.iter().any(|&i| replies[i].is_none());
        for &index in window.iter().filter(|&&i| replies[i].is_none()).collect::<Vec<_>>() {
            // A refused port shows as an error of the next call; it is an answer that never comes.
            let _ = socket.send(&queries[index].to_wire(id(index)));
        }
        while waiting(replies) {
            let Ok(length) = socket.recv(&mut buffer) else { break };
            let Some(reply) = Reply::from_wire(&buffer[..length]) else { continue };
            if let Some(&index) = window.iter().find(|&&i| id(i) == reply.id) {
                replies[index] = Some(reply);
            }
        }
    }
}
