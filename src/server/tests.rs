//! The transports over real sockets on loopback, with a responder that echoes.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use super::*;
use crate::answer::Transport;
use crate::metrics::ZoneSlot;

/// A failing test ends after this time instead of waiting for ever.
const PATIENCE: Duration = Duration::from_secs(20);

const LOOPBACK: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

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

    fn respond(&self, (): &(), packet: &[u8], client: Client, reply: &mut Vec<u8>) -> Outcome {
        assert!(reply.is_empty());
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
            look_again: false,
            truncated: false,
        }
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
    Listener { address: address.parse().unwrap(), certificate: None }
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
async fn udp_answers_a_batch_from_one_moment() {
    for address in LOOPBACK {
        let responder = Echo::new(fill);
        let bound = Server::bind(&[plain(address)], limits()).unwrap();
        let client = udp_client(bound.addresses()[0]);
        for id in 0..40 {
            client.send(&query(id, 100 + id)).unwrap();
        }
        let server = start(bound, &responder);
        for id in 0..40 {
            assert_eq!(receive(&client).unwrap(), fill(&query(id, 100 + id)).unwrap());
        }
        assert_eq!(responder.moments.load(Ordering::SeqCst), 1);
        let expected = Client { address: client.local_addr().unwrap().ip(), transport: Transport::Udp };
        assert!(responder.clients.lock().unwrap().iter().all(|client| *client == expected));
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn udp_workers_share_an_address() {
    let responder = Echo::new(fill);
    let workers = NonZeroUsize::new(3).unwrap();
    let limits = Limits { udp_workers: workers, pin_workers: true, ..limits() };
    let listeners = [plain(LOOPBACK[0]), plain(LOOPBACK[1])];
    let server = start(Server::bind(&listeners, limits).unwrap(), &responder);
    let clients: Vec<UdpSocket> = (0..60).map(|index| udp_client(server.addresses()[index % 2])).collect();
    for round in 0..10 {
        for (index, client) in clients.iter().enumerate() {
            client.send(&query(round * 100 + index as u16, 1232)).unwrap();
        }
        for (index, client) in clients.iter().enumerate() {
            let expected = fill(&query(round * 100 + index as u16, 1232)).unwrap();
            assert_eq!(receive(client).unwrap(), expected);
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn udp_replies_leave_from_the_address_that_was_asked() {
    let responder = Echo::new(fill);
    let bound = Server::bind(&[plain("0.0.0.0:0"), plain("[::]:0")], limits()).unwrap();
    let ports: Vec<u16> = bound.addresses().iter().map(SocketAddr::port).collect();
    let mut clients: Vec<UdpSocket> =
        (1..=5).map(|last| udp_client((Ipv4Addr::new(127, 0, 0, last), ports[0]).into())).collect();
    clients.push(udp_client(format!("[::1]:{}", ports[1]).parse().unwrap()));
    // All of them twice in one batch, in turn. A connected socket takes replies from its peer only.
    for id in [7, 8] {
        for client in &clients {
            client.send(&query(id, 50)).unwrap();
        }
    }
    let server = start(bound, &responder);
    for client in &clients {
        for id in [7, 8] {
            assert_eq!(receive(client).unwrap(), fill(&query(id, 50)).unwrap());
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn udp_goes_on_after_peers_that_are_gone_and_packets_that_deserve_nothing() {
    let responder = Echo::new(fill);
    let metrics = Metrics::default();
    for address in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
        let bound = Server::bind(&[plain(address)], limits()).unwrap();
        let mut target = bound.addresses()[0];
        if target.ip().is_unspecified() {
            target.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        let client = udp_client(target);
        for id in 0..10 {
            udp_client(target).send(&query(id, 600)).unwrap();
            client.send(&[]).unwrap();
            client.send(&[1, 2, 3]).unwrap();
            // Larger than any UDP packet: the system refuses to send it.
            client.send(&query(id, u16::MAX)).unwrap();
        }
        client.send(&query(99, 600)).unwrap();
        let server = bound.start(responder.clone(), &metrics, None, &Handle::current()).unwrap();
        assert_eq!(receive(&client).unwrap(), fill(&query(99, 600)).unwrap());
        server.stop().await;
    }
    let totals = metrics.totals();
    assert_eq!((totals.unanswered, totals.unsent, totals.transports), (30, 30, [63, 0, 0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn udp_stops_after_it_has_answered_what_came() {
    let responder = Echo::new(fill);
    let bound = Server::bind(&[plain(LOOPBACK[0])], limits()).unwrap();
    let client = udp_client(bound.addresses()[0]);
    for id in 0..150 {
        client.send(&query(id, 30)).unwrap();
    }
    start(bound, &responder).stop().await;
    for id in 0..150 {
        assert_eq!(receive(&client).unwrap(), fill(&query(id, 30)).unwrap());
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
async fn tcp_answers_pipelined_queries_and_one_octet_segments() {
    for address in LOOPBACK {
        let responder = Echo::new(fill);
        let server = start(Server::bind(&[plain(address)], limits()).unwrap(), &responder);
        let mut client = tcp_client(server.addresses()[0]);
        let queries: Vec<u8> = (0..1000).flat_map(|id| framed(&query(id, id % 300))).collect();
        client.write_all(&queries).unwrap();
        for id in 0..1000 {
            assert_eq!(read_framed(&mut client).unwrap(), fill(&query(id, id % 300)).unwrap());
        }
        for octet in framed(&query(5, 2000)) {
            client.write_all(&[octet]).unwrap();
        }
        assert_eq!(read_framed(&mut client).unwrap().len(), 2000);
        // The longest query and the longest reply; then one that is answered by nothing.
        let longest = [&query(9, u16::MAX)[..4], &[0; 65531]].concat();
        assert_eq!(exchange(&mut client, &longest).unwrap().len(), 65535);
        client.write_all(&framed(b"")).unwrap();
        assert_eq!(exchange(&mut client, &query(6, 9)).unwrap().len(), 9);
        let asked = responder.clients.lock().unwrap()[0];
        assert_eq!(asked, Client { address: client.local_addr().unwrap().ip(), transport: Transport::Tcp });
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_answers_after_the_client_has_closed_its_side() {
    let server = start(Server::bind(&[plain(LOOPBACK[0])], limits()).unwrap(), &Echo::new(fill));
    let mut client = tcp_client(server.addresses()[0]);
    let queries: Vec<u8> = (0..200).flat_map(|id| framed(&query(id, 3000))).collect();
    client.write_all(&queries).unwrap();
    client.write_all(&[0]).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    for _ in 0..200 {
        assert_eq!(read_framed(&mut client).unwrap().len(), 3000);
    }
    assert!(closed(&mut client));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_clients_have_a_limit_each() {
    let limits = Limits { tcp_connections_per_client: 2, ..limits() };
    let metrics = Metrics::default();
    let bound = Server::bind(&[plain("127.0.0.1:0")], limits).unwrap();
    let server = bound.start(Echo::new(fill), &metrics, None, &Handle::current()).unwrap();
    let address = server.addresses()[0];
    let mut first = tcp_client(address);
    let mut second = tcp_client(address);
    for client in [&mut first, &mut second] {
        assert!(exchange(client, &query(1, 10)).is_ok());
    }
    assert!(closed(&mut tcp_client(address)));
    assert_eq!(metrics.totals().refused_connections, 1);
    // Another client is not concerned.
    let other = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    other.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into()).unwrap();
    other.connect(&address.into()).unwrap();
    assert!(exchange(&mut TcpStream::from(other), &query(1, 10)).is_ok());
    drop(first);
    while exchange(&mut tcp_client(address), &query(1, 10)).is_err() {}
    assert!(exchange(&mut second, &query(1, 10)).is_ok());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_connections_beyond_the_limit_wait() {
    let responder = Echo::new(fill);
    let limits = Limits { tcp_connections: NonZeroUsize::MIN, ..limits() };
    let server = start(Server::bind(&[plain(LOOPBACK[0])], limits).unwrap(), &responder);
    let mut first = tcp_client(server.addresses()[0]);
    assert!(exchange(&mut first, &query(1, 10)).is_ok());
    let mut second = tcp_client(server.addresses()[0]);
    second.write_all(&framed(&query(2, 20))).unwrap();
    assert!(exchange(&mut first, &query(1, 10)).is_ok());
    assert_eq!(responder.answered(), 2);
    drop(first);
    assert_eq!(read_framed(&mut second).unwrap().len(), 20);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_clients_that_read_nothing_cost_nobody_else_anything() {
    const BIG: u16 = 60_000;
    let responder = Echo::new(fill);
    let server = start(Server::bind(&[plain(LOOPBACK[0])], limits()).unwrap(), &responder);
    let mut slow = tcp_client(server.addresses()[0]);
    let queries: Vec<u8> = (0..1000).flat_map(|id| framed(&query(id, BIG))).collect();
    slow.write_all(&queries).unwrap();
    let mut other = tcp_client(server.addresses()[0]);
    for id in 0..100 {
        assert!(exchange(&mut other, &query(id, 10)).is_ok());
    }
    // No more than the sockets' buffers and the limit of a connection hold.
    assert!(responder.answered() < 100 + 500);
    for _ in 0..1000 {
        assert_eq!(read_framed(&mut slow).unwrap().len(), usize::from(BIG));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_clients_that_stall_or_idle_are_cut_off() {
    let short = Duration::from_millis(50);
    // The stalled client's place is free again once it is cut off.
    let stalling = Limits { tcp_connections_per_client: 1, tcp_write_stall: short, ..limits() };
    let server = start(Server::bind(&[plain(LOOPBACK[0])], stalling).unwrap(), &Echo::new(fill));
    let mut stalled = tcp_client(server.addresses()[0]);
    let queries: Vec<u8> = (0..1000).flat_map(|id| framed(&query(id, 60_000))).collect();
    stalled.write_all(&queries).unwrap();
    while exchange(&mut tcp_client(server.addresses()[0]), &query(1, 10)).is_err() {}
    server.stop().await;

    let idling = Limits { tcp_idle: short, ..limits() };
    let server = start(Server::bind(&[plain(LOOPBACK[0])], idling).unwrap(), &Echo::new(fill));
    assert!(closed(&mut tcp_client(server.addresses()[0])));
    let mut begun = tcp_client(server.addresses()[0]);
    assert!(exchange(&mut begun, &query(1, 10)).is_ok());
    begun.write_all(&[0, 30, 1]).unwrap();
    assert!(closed(&mut begun));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_stops_after_it_has_answered_what_came() {
    let server = start(Server::bind(&[plain(LOOPBACK[1])], limits()).unwrap(), &Echo::new(fill));
    let address = server.addresses()[0];
    let (mut idle, mut busy) = (tcp_client(address), tcp_client(address));
    for client in [&mut idle, &mut busy] {
        assert!(exchange(client, &query(1, 10)).is_ok());
    }
    let queries: Vec<u8> = (0..300).flat_map(|id| framed(&query(id, 100))).collect();
    busy.write_all(&queries).unwrap();
    server.stop().await;
    for _ in 0..300 {
        assert_eq!(read_framed(&mut busy).unwrap().len(), 100);
    }
    assert!(closed(&mut busy) && closed(&mut idle));
    assert!(TcpStream::connect(address).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_counted_and_logged() {
    let directory = tempfile::tempdir().unwrap();
    let target = crate::log::Target { file: Some(directory.path().join("q.log")), unbuffered: false };
    let log = crate::log::QueryLog::start(target, 100).unwrap();
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
    assert_eq!((totals.transports, totals.octets_in, totals.octets_out), ([1, 1, 0], 54, 54));
    let log = std::fs::read_to_string(directory.path().join("q.log")).unwrap();
    assert_eq!(
        log.lines().filter(|line| line.ends_with(" 127.0.0.1 a.example A IN: NOERROR/1/27")).count(),
        2
    );
}

/// A reply with everything that hickory-proto does not know: APL, also an empty one, RP, an unknown
/// type, EDE; a SOA with compressed names; and the question in mixed letter case.
fn rich_reply(query: &[u8]) -> Option<Vec<u8>> {
    let mut reply = query.get(..2)?.to_vec();
    if query.get(2)? & 0x80 != 0 {
        return None;
    }
    if query == BROKEN {
        return Some(b"\0\x09\x81\0\0\x01\0\x01\0\0\0\0".to_vec());
    }
    reply.extend_from_slice(b"\x85\0\0\x01\0\x05\0\x01\0\x01");
    reply.extend_from_slice(b"\x07_rANges\x02bL\x02eX\0\0\x2a\0\x01");
    reply.extend_from_slice(b"\xc0\x0c\0\x2a\0\x01\0\0\x0e\x10\0\x07\0\x01\x18\x83\xc0\0\x02");
    reply.extend_from_slice(b"\xc0\x0c\0\x2a\0\x01\0\0\x0e\x10\0\0");
    reply.extend_from_slice(b"\xc0\x0c\0\x11\0\x01\0\0\x0e\x10\0\x07\x01A\x02eX\0\0");
    reply.extend_from_slice(b"\xc0\x0c\xff\0\0\x01\0\0\x0e\x10\0\x03\xc0\x0c\xff");
    reply.extend_from_slice(b"\xc0\x0c\0\x10\0\x01\0\0\x0e\x10\0\x05\x02\xff\"\x01;");
    reply.extend_from_slice(b"\xc0\x14\0\x06\0\x01\0\0\x0e\x10\0\x1b\x02ns\xc0\x14\xc0\x14");
    reply.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5][..]);
    // OPT: 1232 octets, extended code 1 (BADVERS), DO, EDE 14 "x".
    reply.extend_from_slice(b"\0\0\x29\x04\xd0\x01\0\x80\0\0\x07\0\x0f\0\x03\0\x0ex");
    Some(reply)
}

/// A good query, to which [`rich_reply`] gives a reply that ends too early.
const BROKEN: &[u8] = b"\0\x09\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01";

fn tls_client(address: SocketAddr, certificate: &rcgen::Certificate) -> impl Read + Write + use<> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"dot".to_vec()];
    let name = "ns.example".try_into().unwrap();
    let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    rustls::StreamOwned::new(connection, tcp_client(address))
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_replies_mean_what_the_responder_said() {
    let directory = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["ns.example".to_owned()]).unwrap();
    let certificate =
        Certificate { chain: directory.path().join("chain.pem"), key: directory.path().join("key.pem") };
    std::fs::write(&certificate.chain, made.cert.pem()).unwrap();
    std::fs::write(&certificate.key, made.signing_key.serialize_pem()).unwrap();
    let responder = Echo::new(rich_reply);
    for address in LOOPBACK {
        let listener = Listener { address: address.parse().unwrap(), certificate: Some(certificate.clone()) };
        let server = start(Server::bind(&[listener], limits()).unwrap(), &responder);
        let mut client = tls_client(server.addresses()[0], &made.cert);
        for id in 0..3 {
            let query =
                [&[0, id][..], b"\x01\0\0\x01\0\0\0\0\0\0\x07_rANges\x02bL\x02eX\0\0\x2a\0\x01"].concat();
            // A response gets no answer, and does no harm to the query after it.
            let mut response = query.clone();
            response[2] |= 0x80;
            client.write_all(&framed(&response)).unwrap();
            let received = exchange(&mut client, &query).unwrap();
            let sent = rich_reply(&query).unwrap();
            assert_eq!(received[..12], sent[..12]);
            assert_eq!(received[12..31], sent[12..31], "the question with its letter case");
            let (received_as, sent_as) = (tls::records(&received), tls::records(&sent));
            assert_eq!(received_as.len(), 6);
            assert_eq!(received_as, sent_as);
            // Opaque data, octet by octet: unlike names, they have no letter case to be equal in.
            for opaque in [&b"\0\x07\x01A\x02eX\0\0"[..], b"\0\x03\xc0\x0c\xff", b"\0\x0f\0\x03\0\x0ex"] {
                assert!(received.windows(opaque.len()).any(|octets| octets == opaque), "{received:?}");
            }
        }
        // A reply that hickory-proto cannot read: SERVFAIL rather than silence.
        let bad = exchange(&mut client, BROKEN).unwrap();
        assert_eq!((bad[3] & 15, &bad[..2]), (2, &BROKEN[..2]));
        let asked = *responder.clients.lock().unwrap().last().unwrap();
        assert_eq!(asked.transport, Transport::Tls);
        server.stop().await;
        assert!(TcpStream::connect(address).is_err());
    }
}

#[test]
fn unusable_certificates_are_errors_that_name_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let [chain, key, other, empty] =
        ["chain.pem", "key.pem", "other.pem", "empty.pem"].map(|name| directory.path().join(name));
    let made = rcgen::generate_simple_self_signed(["ns.example".to_owned()]).unwrap();
    let others = rcgen::generate_simple_self_signed(["ns.example".to_owned()]).unwrap();
    std::fs::write(&chain, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::write(&other, others.signing_key.serialize_pem()).unwrap();
    std::fs::write(&empty, "").unwrap();
    let missing = directory.path().join("missing.pem");
    for (chain, key, named) in [
        (&chain, &missing, &missing),
        (&missing, &key, &missing),
        (&chain, &empty, &empty),
        (&empty, &key, &empty),
        (&chain, &other, &chain),
    ] {
        let certificate = Some(Certificate { chain: chain.clone(), key: key.clone() });
        let listener = Listener { address: LOOPBACK[0].parse().unwrap(), certificate };
        let error = Server::bind(&[listener], limits()).unwrap_err().to_string();
        assert!(error.contains(&named.display().to_string()), "{error}");
    }
}
