//! What is taken, and how often the same is answered.

use super::tls::{TestCertificate, client_settings};
use super::*;
use crate::metrics::{Dropped, Limited};
use crate::rate_limit::{Mode, RateLimit};

/// A question that `echo` answers with a record.
const QUESTION: &[u8] = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x01a\x07example\0\0\x01\0\x01";

/// A reply with one record.
fn echo(query: &[u8]) -> Option<Vec<u8>> {
    let mut reply = query.to_vec();
    (reply[2], reply[7]) = (0x84, 1);
    reply.extend_from_slice(b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04\x7f\0\0\x02");
    Some(reply)
}

/// What a client got that sent a question so many times: whole answers, empty ones with TC; and the
/// counters.
async fn asked(limit: RateLimit, times: usize) -> ([usize; 2], [u64; 3], u64) {
    let metrics = Metrics::default();
    let guard = Guard { rate_limit: limit, ..Guard::default() };
    let bound = Server::bind(&[plain(LOOPBACK[0])], limits()).unwrap().guarded(guard);
    let client = udp_client(bound.addresses()[0]);
    for _ in 0..times {
        client.send(QUESTION).unwrap();
    }
    let server = bound.start(Echo::new(echo), &metrics, None, &Handle::current()).unwrap();
    // It answers all that came before it stops.
    server.stop().await;
    client.set_nonblocking(true).unwrap();
    let mut got = [0; 2];
    while let Ok(reply) = receive(&client) {
        let cut = [&b"\0\x07\x86\0"[..], &QUESTION[4..]].concat();
        assert!(reply == cut || reply == echo(QUESTION).unwrap(), "{reply:02x?}");
        got[usize::from(reply == cut)] += 1;
    }
    let totals = metrics.totals();
    let limited = Limited::ALL.map(|what| totals.sum(|origin| origin.limited[what as usize]));
    (got, limited, totals.count(|_| true))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_answer_is_limited() {
    // One answer a second, ten at once.
    let window = Duration::from_secs(10);
    let limit = |mode, slip| RateLimit { mode, per_second: 1, window, slip, ..RateLimit::default() };
    assert_eq!(asked(limit(Mode::Off, 2), 30).await, ([30, 0], [0, 0, 0], 30));
    assert_eq!(asked(limit(Mode::Count, 2), 30).await, ([30, 0], [20, 0, 0], 30));
    assert_eq!(asked(limit(Mode::On, 2), 30).await, ([10, 10], [0, 10, 10], 20));
    assert_eq!(asked(limit(Mode::On, 1), 30).await, ([10, 20], [0, 20, 0], 30));
    assert_eq!(asked(limit(Mode::On, 0), 30).await, ([10, 0], [0, 0, 20], 10));
    let exempt = vec!["127.0.0.0/8".parse().unwrap()];
    assert_eq!(asked(RateLimit { exempt, ..limit(Mode::On, 2) }, 30).await, ([30, 0], [0, 0, 0], 30));
}

/// What was dropped, over UDP and over TCP.
fn dropped(metrics: &Metrics, reason: Dropped) -> [u64; 2] {
    let totals = metrics.totals();
    [Transport::Udp, Transport::Tcp].map(|transport| {
        let of = totals.origins.iter().filter(|(origin, _)| origin.transport == transport);
        of.map(|(_, counted)| counted.dropped[reason as usize]).sum()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_ports_get_nothing() {
    let metrics = Metrics::default();
    let [refused, taken] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    let guard = Guard { refused_ports: vec![refused.local_addr().unwrap().port(), 19], ..Guard::default() };
    let bound = Server::bind(&[plain(LOOPBACK[0])], limits()).unwrap().guarded(guard);
    for socket in [&refused, &taken] {
        socket.send_to(&query(7, 100), bound.addresses()[0]).unwrap();
        socket.set_nonblocking(true).unwrap();
    }
    bound.start(Echo::new(fill), &metrics, None, &Handle::current()).unwrap().stop().await;
    assert!(receive(&taken).is_ok() && receive(&refused).is_err());
    assert_eq!(dropped(&metrics, Dropped::Port), [1, 0]);
    let sources = Sources::new(&Guard { refused_ports: vec![1023, 1024, 40_000], ..Guard::default() });
    let takes = |port: u16| {
        let counters = metrics.worker(Origin { transport: Transport::Udp, client: Family::V4 });
        let mut buffer = [0; crate::fast::BUFFER_OCTETS];
        sources.take((Ipv4Addr::LOCALHOST.into(), port), &mut buffer, 0, &counters).is_some()
    };
    let refused: Vec<u16> = (0..=u16::MAX).filter(|&port| !takes(port)).collect();
    assert_eq!(refused, [0, 1023, 1024, 40_000]);
}

/// The header comes before the handshake, which may come with it.
#[tokio::test(flavor = "multi_thread")]
async fn proxies_pass_encrypted_connections_on() {
    use crate::server::proxy::tests::header;
    let certificate = TestCertificate::new();
    let responder = Echo::new(fill);
    let guard = Guard { proxies: vec!["127.0.0.1/32".parse().unwrap()], ..Guard::default() };
    let bound = Server::bind(&[certificate.tls("127.0.0.1:0")], limits()).unwrap().guarded(guard);
    let server = start(bound, &responder);
    let client: std::net::IpAddr = "2001:db8::1".parse().unwrap();
    let mut stream = tcp_client(server.addresses()[0]);
    let settings = Arc::new(client_settings(&certificate.made, b"dot"));
    let mut connection = rustls::ClientConnection::new(settings, "ns.example".try_into().unwrap()).unwrap();
    let mut first = header(client, b"");
    connection.write_tls(&mut first).unwrap();
    stream.write_all(&first).unwrap();
    let mut secured = rustls::StreamOwned::new(connection, stream);
    assert_eq!(exchange(&mut secured, &query(5, 700)).unwrap(), fill(&query(5, 700)).unwrap());
    let asked = *responder.clients.lock().unwrap().last().unwrap();
    assert_eq!(asked, Client { address: client, transport: Transport::Tls });
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_get_no_connection_over_quic() {
    let certificate = TestCertificate::new();
    let metrics = Metrics::default();
    let guard = Guard { proxies: vec!["127.0.0.1/32".parse().unwrap()], ..Guard::default() };
    let bound = Server::bind(&[certificate.quic("127.0.0.1:0")], limits()).unwrap().guarded(guard);
    let server = bound.start(Echo::new(fill), &metrics, None, &Handle::current()).unwrap();
    let address = server.addresses()[0];
    let connecting = tokio::spawn(async move { quic::connect(address, &certificate, b"doq").await.is_ok() });
    while metrics.totals().sum(|origin| origin.dropped[Dropped::Proxy as usize]) == 0 {
        tokio::task::yield_now().await;
    }
    assert!(!connecting.is_finished());
    connecting.abort();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_say_for_whom_they_ask() {
    use crate::server::proxy::tests::header;
    let (responder, metrics) = (Echo::new(fill), Metrics::default());
    let guard = Guard { proxies: vec!["127.0.0.2/32".parse().unwrap()], ..Guard::default() };
    let limits = Limits { tcp_connections_per_client: 1, ..limits() };
    let bound = Server::bind(&[plain("0.0.0.0:0")], limits).unwrap().guarded(guard);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, bound.addresses()[0].port()));
    let server = bound.start(responder.clone(), &metrics, None, &Handle::current()).unwrap();
    let from = |last| {
        let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, last), 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect(address).unwrap();
        socket
    };
    let (proxy, other) = (from(2), from(1));
    let clients: [std::net::IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
    for client in clients {
        proxy.send(&[&header(client, b""), &query(5, 700)[..]].concat()).unwrap();
        assert_eq!(receive(&proxy).unwrap(), fill(&query(5, 700)).unwrap());
        assert_eq!(responder.clients.lock().unwrap().last().unwrap().address, client);
    }
    // From a port that is refused of everybody.
    let mut reflector = header(clients[0], b"");
    reflector[24..26].copy_from_slice(&19_u16.to_be_bytes());
    proxy.send(&[&reflector, &query(5, 700)[..]].concat()).unwrap();
    // Without a header; and with one from somebody who is no proxy, which is no query either.
    proxy.send(&query(5, 700)).unwrap();
    other.send(&query(6, 700)).unwrap();
    assert_eq!(receive(&other).unwrap(), fill(&query(6, 700)).unwrap());
    assert_eq!([Dropped::Proxy, Dropped::Port].map(|why| dropped(&metrics, why)), [[1, 0]; 2]);

    // Over TCP the limit of connections is the client's, not the proxy's.
    let connect = |last| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0)).into()).unwrap();
        socket.connect(&address.into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    let mut streams = clients.map(|client| {
        let mut stream = connect(2);
        let header = header(client, b"\x04\0\x01x");
        let (begin, end) = header.split_at(20);
        stream.write_all(begin).unwrap();
        stream.write_all(&[end, &framed(&query(5, 700))[..]].concat()).unwrap();
        assert_eq!(read_framed(&mut stream).unwrap(), fill(&query(5, 700)).unwrap());
        assert_eq!(responder.clients.lock().unwrap().last().unwrap().address, client);
        stream
    });
    assert_eq!(exchange(&mut streams[0], &query(3, 70)).unwrap(), fill(&query(3, 70)).unwrap());
    let mut second = connect(2);
    second.write_all(&header(clients[0], b"")).unwrap();
    assert!(closed(&mut second));
    let mut without = connect(2);
    without.write_all(&framed(&query(5, 700))).unwrap();
    assert!(closed(&mut without));
    assert_eq!(exchange(&mut connect(1), &query(3, 70)).unwrap(), fill(&query(3, 70)).unwrap());
    server.stop().await;
    assert_eq!(dropped(&metrics, Dropped::Proxy), [1, 1]);
    assert_eq!(metrics.totals().sum(|origin| origin.refused_connections), 1);
}
