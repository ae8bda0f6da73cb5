//! The transports over real sockets on loopback, with a responder that echoes.

mod guard;
mod quic;
mod signed;
mod tcp;
mod tls;
mod udp;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use super::*;
use crate::answer::{Client, Effort, Lacking, Outcome};
use crate::metrics::ZoneSlot;

/// A failing test ends after this time instead of waiting for ever.
const PATIENCE: Duration = Duration::from_secs(20);

const LOOPBACK: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

/// How a query ends whose reply takes signatures.
const SIGNED: &[u8] = b"signed";

/// Replies to queries with what `reply` makes of them, and remembers who asked.
struct Echo {
    moments: AtomicUsize,
    clients: Mutex<Vec<Client>>,
    reply: fn(&[u8]) -> Option<Vec<u8>>,
}

impl Echo {
    fn new(reply: fn(&[u8]) -> Option<Vec<u8>>) -> Arc<Self> {
        Arc::new(Self { moments: AtomicUsize::new(0), clients: Mutex::default(), reply })
    }

    fn answered(&self) -> usize {
        self.clients.lock().unwrap().len()
    }
}

impl Responder for Echo {
    type Moment = ();

    fn moment(&self) {
        self.moments.fetch_add(1, Ordering::SeqCst);
    }

    fn respond(
        &self,
        (): &(),
        packet: &[u8],
        client: Client,
        effort: Effort,
        reply: &mut Vec<u8>,
    ) -> Outcome {
        assert!(reply.is_empty());
        if packet.ends_with(SIGNED) && effort != Effort::Make {
            return Outcome { lacks: Some(Lacking::Positive), ..Outcome::default() };
        }
        let made = (self.reply)(packet);
        if let Some(made) = &made {
            self.clients.lock().unwrap().push(client);
            reply.extend_from_slice(made);
        }
        Outcome {
            reply: made.is_some(),
            zone: Some(0),
            rcode: 0,
            query_type: 1,
            query_class: 1,
            answers: 1,
            ..Outcome::default()
        }
    }

    fn put_off(&self, (): &(), packet: &[u8], _: Client, _lacking: &Outcome, reply: &mut Vec<u8>) -> Outcome {
        reply.extend_from_slice(&packet[..2]);
        Outcome { reply: true, truncated: true, ..Outcome::default() }
    }

    fn zone_slot(&self, (): &(), _zone: u32) -> Option<ZoneSlot> {
        None
    }
}

/// A query: an id, then the octets of its reply, then something to tell queries apart by length.
fn query(id: u16, reply_octets: u16) -> Vec<u8> {
    let mut query = id.to_be_bytes().to_vec();
    query.extend_from_slice(&reply_octets.to_be_bytes());
    query.extend(std::iter::repeat_n(b'x', usize::from(id % 7)));
    query
}

/// The reply to such a query: its id, filled up. Nothing for a query of the wrong form.
fn fill(query: &[u8]) -> Option<Vec<u8>> {
    let (head, _) = query.split_first_chunk::<4>()?;
    let mut reply = head[..2].to_vec();
    reply.resize(usize::from(u16::from_be_bytes([head[2], head[3]])).max(2), 0);
    Some(reply)
}

fn plain(address: &str) -> Listener {
    Listener { address: address.parse().unwrap(), protocol: Protocol::Plain }
}

fn limits() -> Limits {
    Limits {
        udp_workers: NonZeroUsize::MIN,
        tcp_idle: PATIENCE,
        tcp_write_stall: PATIENCE,
        ..Limits::default()
    }
}

fn start(bound: Bound, responder: &Arc<Echo>) -> Server {
    bound.start(responder.clone(), &Metrics::default(), None, &Handle::current()).unwrap()
}

fn udp_client(server: SocketAddr) -> UdpSocket {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn receive(socket: &UdpSocket) -> io::Result<Vec<u8>> {
    let mut packet = vec![0; 65536];
    let octets = socket.recv(&mut packet)?;
    packet.truncate(octets);
    Ok(packet)
}

fn tcp_client(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(server).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

fn read_framed(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut message)?;
    Ok(message)
}

fn exchange(stream: &mut (impl Read + Write), query: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(&framed(query))?;
    read_framed(stream)
}

/// The other side has closed, with or without a reset.
fn closed(stream: &mut impl Read) -> bool {
    match stream.read(&mut [0]) {
        Ok(octets) => octets == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_address_is_an_error_that_names_it() {
    let workers = NonZeroUsize::new(2).unwrap();
    let bound = Server::bind(&[plain(LOOPBACK[0])], Limits { udp_workers: workers, ..limits() }).unwrap();
    let address = bound.addresses()[0];
    let error = Server::bind(&[plain(&address.to_string())], limits()).unwrap_err();
    assert!(error.to_string().starts_with(&format!("{address}: cannot listen on TCP: ")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_server_gives_its_addresses_back() {
    let server = start(Server::bind(&[plain(LOOPBACK[0])], limits()).unwrap(), &Echo::new(fill));
    let again = plain(&server.addresses()[0].to_string());
    drop(server);
    while Server::bind(std::slice::from_ref(&again), limits()).is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_counted_and_logged() {
    let directory = tempfile::tempdir().unwrap();
    let target = crate::query_log::Target::new(Some(directory.path().join("q.log")));
    let log = crate::query_log::QueryLog::start(target, 100).unwrap();
    let metrics = Metrics::default();
    let bound = Server::bind(&[plain(LOOPBACK[0])], limits()).unwrap();
    let server = bound
        .start(Echo::new(|query| Some(query.to_vec())), &metrics, Some(log.sink()), &Handle::current())
        .unwrap();
    let address = server.addresses()[0];
    let packet = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x01a\x07example\0\0\x01\0\x01";
    let client = udp_client(address);
    client.send(packet).unwrap();
    assert_eq!(receive(&client).unwrap(), packet);
    assert_eq!(exchange(&mut tcp_client(address), packet).unwrap(), packet);
    server.stop().await;
    drop(log);
    let totals = metrics.totals();
    let came = |transport| totals.count(|labels| labels.origin.transport == transport);
    assert_eq!([Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Quic].map(came), [1, 1, 0, 0]);
    assert_eq!((totals.elsewhere.octets_in, totals.elsewhere.octets_out), (54, 54));
    assert_eq!(totals.sum(|origin| origin.connections), 1);
    let log = std::fs::read_to_string(directory.path().join("q.log")).unwrap();
    assert_eq!(
        log.lines().filter(|line| line.ends_with(" 127.0.0.1 a.example A IN: NOERROR/1/27")).count(),
        2
    );
}
