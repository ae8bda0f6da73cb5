//! DNS over QUIC: streams, limits, and what breaks the protocol.

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, ConnectionError, Endpoint, VarInt};

use super::tls::{TestCertificate, client_settings, write};
use super::*;
use crate::metrics::Dropped;

impl TestCertificate {
    pub(super) fn quic(&self, address: &str) -> Listener {
        Listener { address: address.parse().unwrap(), protocol: Protocol::Quic(self.files.clone()) }
    }
}

/// A connection, and the end of it that must be kept.
pub(super) async fn connect(
    server: SocketAddr,
    certificate: &TestCertificate,
    protocol: &[u8],
) -> Result<(Connection, Endpoint), ConnectionError> {
    let any: SocketAddr = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }.parse().unwrap();
    let endpoint = Endpoint::client(any).unwrap();
    let settings = QuicClientConfig::try_from(client_settings(&certificate.made, protocol)).unwrap();
    let settings = quinn::ClientConfig::new(Arc::new(settings));
    let connecting = endpoint.connect_with(settings, server, "ns.example").unwrap();
    Ok((connecting.await?, endpoint))
}

pub(super) async fn send(connection: &Connection, octets: &[u8]) -> Option<Vec<u8>> {
    let (mut sender, mut receiver) = connection.open_bi().await.ok()?;
    sender.write_all(octets).await.ok()?;
    sender.finish().ok()?;
    let received = tokio::time::timeout(PATIENCE, receiver.read_to_end(1 << 17)).await.unwrap();
    let received = received.ok()?;
    let message = read_framed(&mut &*received).expect("a whole reply");
    assert_eq!(received.len(), message.len() + 2);
    Some(message)
}

/// A query with the ID 0 and a whole header, whose reply has so many octets.
pub(super) fn zero(reply_octets: u16) -> Vec<u8> {
    [&query(0, reply_octets)[..], &[0; 8]].concat()
}

/// What the server says at the end.
async fn code(connection: &Connection) -> u64 {
    match tokio::time::timeout(PATIENCE, connection.closed()).await.unwrap() {
        ConnectionError::ApplicationClosed(close) => VarInt::into_inner(close.error_code),
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn quic_answers_each_query_on_its_stream() {
    let certificate = TestCertificate::new();
    for address in LOOPBACK {
        let responder = Echo::new(fill);
        let server = start(Server::bind(&[certificate.quic(address)], limits()).unwrap(), &responder);
        let (connection, endpoint) = connect(server.addresses()[0], &certificate, b"doq").await.unwrap();
        let lengths = (2..=u16::MAX).step_by(321);
        let asked: Vec<_> = lengths
            .map(|length| {
                let connection = connection.clone();
                tokio::spawn(async move { (length, send(&connection, &framed(&zero(length))).await) })
            })
            .collect();
        for asked in asked {
            let (length, reply) = asked.await.unwrap();
            assert_eq!(reply, fill(&zero(length)));
        }
        let asked = responder.clients.lock().unwrap()[0];
        let client = endpoint.local_addr().unwrap().ip();
        assert_eq!(asked, Client { address: client, transport: Transport::Quic });
        server.stop().await;
    }
}

/// A client takes no packets of another address than it asks.
#[tokio::test(flavor = "multi_thread")]
async fn quic_replies_leave_from_the_address_that_was_asked() {
    let certificate = TestCertificate::new();
    let listeners = [certificate.quic("0.0.0.0:0"), certificate.quic("[::]:0")];
    let server = start(Server::bind(&listeners, limits()).unwrap(), &Echo::new(fill));
    let [v4, v6] = [0, 1].map(|index: usize| server.addresses()[index].port());
    for asked in [format!("127.0.0.77:{v4}"), format!("[::1]:{v6}")] {
        let (connection, _endpoint) = connect(asked.parse().unwrap(), &certificate, b"doq").await.unwrap();
        assert!(send(&connection, &framed(&zero(3000))).await.is_some());
    }
    server.stop().await;
}

/// New ones are served from the next handshake on.
#[tokio::test(flavor = "multi_thread")]
async fn quic_certificates_are_exchanged() {
    let mut certificate = TestCertificate::new();
    let bound = Server::bind(&[certificate.quic(LOOPBACK[0])], limits()).unwrap();
    let served = bound.certificates()[0].clone();
    let server = start(bound, &Echo::new(fill));
    let address = server.addresses()[0];
    let (open, _endpoint) = connect(address, &certificate, b"doq").await.unwrap();
    let second = write(&certificate.files, 10);
    assert!(served.read_again(std::time::SystemTime::now()).unwrap());
    assert!(connect(address, &certificate, b"doq").await.is_err(), "the first is served no more");
    certificate.made = second;
    assert!(connect(address, &certificate, b"doq").await.is_ok());
    assert!(send(&open, &framed(&zero(30))).await.is_some(), "connections are not concerned");
    server.stop().await;
}

/// RFC 9250, sections 4.2, 4.2.1, 4.3.3, 5.5.2.
#[tokio::test(flavor = "multi_thread")]
async fn quic_connections_that_break_the_protocol_are_closed() {
    const PROTOCOL_ERROR: u64 = 2;
    let certificate = TestCertificate::new();
    let metrics = Metrics::default();
    let bound = Server::bind(&[certificate.quic(LOOPBACK[0])], limits()).unwrap();
    let server = bound.start(Echo::new(fill), &metrics, None, &Handle::current()).unwrap();
    let question = b"\x01a\0\0\x01\0\x01";
    let opt = b"\0\0\x29\x04\xd0\0\0\0\0";
    let keepalive = [&[0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1][..], question, opt, b"\0\x04\0\x0b\0\0"].concat();
    let other = [&[0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1][..], question, opt, b"\0\x04\0\x63\0\0"].concat();
    let with_id = [&[0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], question].concat();
    for (wrong, what) in [
        (framed(&with_id), "an ID"),
        (framed(&keepalive), "edns-tcp-keepalive"),
        ([framed(&zero(9)), framed(&zero(9))].concat(), "two queries"),
        (framed(&zero(9))[..5].to_vec(), "half of a query"),
        (Vec::new(), "nothing"),
        (framed(&[0; 5000]), "more than a query can be"),
    ] {
        let (connection, _endpoint) = connect(server.addresses()[0], &certificate, b"doq").await.unwrap();
        assert!(send(&connection, &framed(&other)).await.is_some(), "{what}");
        assert_eq!(send(&connection, &wrong).await, None, "{what}");
        assert_eq!(code(&connection).await, PROTOCOL_ERROR, "{what}");
    }
    assert_eq!(metrics.totals().sum(|of| of.unanswered), 6);
    let other = connect(server.addresses()[0], &certificate, b"h3").await;
    assert!(other.is_err(), "another protocol");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quic_connections_have_limits() {
    let certificate = TestCertificate::new();
    let limits =
        Limits { tcp_connections_per_client: 8, tcp_connections: NonZeroUsize::new(10).unwrap(), ..limits() };
    let metrics = Metrics::default();
    let bound = Server::bind(&[certificate.quic("127.0.0.1:0")], limits).unwrap();
    let server = bound.start(Echo::new(fill), &metrics, None, &Handle::current()).unwrap();
    let address = server.addresses()[0];
    let mut open = Vec::new();
    // From the third on, clients show their address first.
    for _ in 0..8 {
        open.push(connect(address, &certificate, b"doq").await.unwrap());
    }
    assert!(connect(address, &certificate, b"doq").await.is_err());
    let sum = |figure: fn(&crate::metrics::OriginTotals) -> u64| metrics.totals().sum(figure);
    assert_eq!((sum(|of| of.open_connections), sum(|of| of.refused_connections)), (8, 1));
    for (connection, _) in &open {
        assert!(send(connection, &framed(&zero(30))).await.is_some());
    }
    let (connection, endpoint) = open.pop().unwrap();
    connection.close(VarInt::from_u32(0), b"");
    endpoint.wait_idle().await;
    while connect(address, &certificate, b"doq").await.is_err() {}
    server.stop().await;
}

/// What comes from a port that is refused gets no octet.
#[tokio::test(flavor = "multi_thread")]
async fn quic_takes_nothing_from_refused_ports() {
    let certificate = TestCertificate::new();
    let metrics = Metrics::default();
    let forged = UdpSocket::bind("127.0.0.1:0").unwrap();
    let guard = Guard { refused_ports: vec![forged.local_addr().unwrap().port()], ..Guard::default() };
    let bound = Server::bind(&[certificate.quic("127.0.0.1:0")], limits()).unwrap().guarded(guard);
    let server = bound.start(Echo::new(fill), &metrics, None, &Handle::current()).unwrap();
    let address = server.addresses()[0];
    // What a client sends first, as anybody sees it who listens.
    let listener = UdpSocket::bind("127.0.0.1:0").unwrap();
    let greeting = connect(listener.local_addr().unwrap(), &certificate, b"doq");
    let first = async {
        let mut buffer = [0; 2048];
        tokio::task::spawn_blocking(move || {
            listener.recv(&mut buffer).map(|octets| buffer[..octets].to_vec())
        })
        .await
        .unwrap()
        .unwrap()
    };
    let first = tokio::select! {
        first = first => first,
        _ = greeting => panic!("nobody answers"),
    };
    forged.send_to(&first, address).unwrap();
    while metrics.totals().sum(|of| of.dropped[Dropped::Port as usize]) == 0 {
        tokio::task::yield_now().await;
    }
    // Others are served meanwhile, so there was time for an answer.
    assert!(connect(address, &certificate, b"doq").await.is_ok());
    forged.set_nonblocking(true).unwrap();
    assert_eq!(forged.recv(&mut [0; 2048]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert_eq!(metrics.totals().sum(|of| of.connections), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quic_connections_end_when_idle_and_with_the_server() {
    let certificate = TestCertificate::new();
    let idling = Limits { tcp_idle: Duration::from_millis(200), ..limits() };
    let server = start(Server::bind(&[certificate.quic(LOOPBACK[1])], idling).unwrap(), &Echo::new(fill));
    // On a busy machine a handshake may take too long, too.
    let (idle, _endpoint) = loop {
        if let Ok(connected) = connect(server.addresses()[0], &certificate, b"doq").await {
            break connected;
        }
    };
    match tokio::time::timeout(PATIENCE, idle.closed()).await.unwrap() {
        ConnectionError::ApplicationClosed(close) => assert_eq!(VarInt::into_inner(close.error_code), 0),
        other => assert_eq!(other, ConnectionError::TimedOut),
    }
    server.stop().await;

    let server = start(Server::bind(&[certificate.quic(LOOPBACK[1])], limits()).unwrap(), &Echo::new(fill));
    let (open, _endpoint) = connect(server.addresses()[0], &certificate, b"doq").await.unwrap();
    assert!(send(&open, &framed(&zero(30))).await.is_some());
    server.stop().await;
    assert_eq!(code(&open).await, 0);
}
