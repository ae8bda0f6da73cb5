//! DNS over TLS: handshakes, and what is the same as over TCP. Certificates.

use super::*;

/// A certificate for ns.example in a directory of its own.
pub(super) struct TestCertificate {
    directory: tempfile::TempDir,
    pub(super) files: CertificateFiles,
    pub(super) made: rcgen::Certificate,
}

impl TestCertificate {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let [chain, key] = ["chain.pem", "key.pem"].map(|name| directory.path().join(name));
        let files = CertificateFiles { chain, key };
        Self { made: write(&files, 90), directory, files }
    }

    pub(super) fn tls(&self, address: &str) -> Listener {
        Listener { address: address.parse().unwrap(), protocol: Protocol::Tls(self.files.clone()) }
    }
}

/// Writes a new certificate that expires in so many days.
pub(super) fn write(files: &CertificateFiles, days: i64) -> rcgen::Certificate {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(["ns.example".to_owned()]).unwrap();
    parameters.not_after = time::OffsetDateTime::now_utc() + time::Duration::days(days);
    let certificate = parameters.self_signed(&key).unwrap();
    std::fs::write(&files.chain, certificate.pem()).unwrap();
    std::fs::write(&files.key, key.serialize_pem()).unwrap();
    certificate
}

pub(super) fn client_settings(certificate: &rcgen::Certificate, protocol: &[u8]) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut settings = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    settings.alpn_protocols = vec![protocol.to_vec()];
    settings
}

type TlsClient = rustls::StreamOwned<rustls::ClientConnection, TcpStream>;

fn tls_client(address: SocketAddr, certificate: &rcgen::Certificate) -> TlsClient {
    let name = "ns.example".try_into().unwrap();
    let settings = client_settings(certificate, b"dot");
    let connection = rustls::ClientConnection::new(Arc::new(settings), name).unwrap();
    rustls::StreamOwned::new(connection, tcp_client(address))
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_answers_pipelined_queries() {
    let certificate = TestCertificate::new();
    for address in LOOPBACK {
        let responder = Echo::new(fill);
        let server = start(Server::bind(&[certificate.tls(address)], limits()).unwrap(), &responder);
        let mut client = tls_client(server.addresses()[0], &certificate.made);
        let queries: Vec<u8> = (0..300).flat_map(|id| framed(&query(id, 3000))).collect();
        client.write_all(&queries).unwrap();
        for id in 0..300 {
            assert_eq!(read_framed(&mut client).unwrap(), fill(&query(id, 3000)).unwrap());
        }
        let longest = [&query(9, u16::MAX)[..4], &[0; 65531]].concat();
        assert_eq!(exchange(&mut client, &longest).unwrap().len(), 65535);
        let asked = *responder.clients.lock().unwrap().last().unwrap();
        assert_eq!(
            asked,
            Client { address: client.sock.local_addr().unwrap().ip(), transport: Transport::Tls }
        );
        client.conn.send_close_notify();
        client.flush().unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "an end with a word");
        server.stop().await;
        assert!(TcpStream::connect(address).is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_connections_have_the_limits_of_tcp() {
    let certificate = TestCertificate::new();
    let limits =
        Limits { tcp_connections_per_client: 2, tcp_connections: NonZeroUsize::new(3).unwrap(), ..limits() };
    let metrics = Metrics::default();
    let bound = Server::bind(&[certificate.tls("127.0.0.1:0")], limits).unwrap();
    let server = bound.start(Echo::new(fill), &metrics, None, &Handle::current()).unwrap();
    let address = server.addresses()[0];
    // Also one that says nothing has a place.
    let mute = tcp_client(address);
    let mut first = tls_client(address, &certificate.made);
    assert!(exchange(&mut first, &query(1, 10)).is_ok());
    assert!(closed(&mut tcp_client(address)));
    assert_eq!(metrics.totals().sum(|origin| origin.refused_connections), 1);
    drop(mute);
    let mut second = tls_client(address, &certificate.made);
    while exchange(&mut second, &query(1, 10)).is_err() {
        second = tls_client(address, &certificate.made);
    }
    assert!(exchange(&mut first, &query(2, 10)).is_ok());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_clients_that_stall_idle_or_talk_nonsense_are_cut_off() {
    let certificate = TestCertificate::new();
    let short = Duration::from_millis(50);
    let stalling = Limits { tcp_connections_per_client: 1, tcp_write_stall: short, ..limits() };
    let server = start(Server::bind(&[certificate.tls(LOOPBACK[0])], stalling).unwrap(), &Echo::new(fill));
    let mut stalled = tls_client(server.addresses()[0], &certificate.made);
    let queries: Vec<u8> = (0..1000).flat_map(|id| framed(&query(id, 60_000))).collect();
    stalled.write_all(&queries).unwrap();
    let again = || exchange(&mut tls_client(server.addresses()[0], &certificate.made), &query(1, 10));
    while again().is_err() {}
    server.stop().await;

    let idling = Limits { tcp_idle: short, ..limits() };
    let server = start(Server::bind(&[certificate.tls(LOOPBACK[0])], idling).unwrap(), &Echo::new(fill));
    assert!(closed(&mut tcp_client(server.addresses()[0])), "no handshake");
    let mut idle = tls_client(server.addresses()[0], &certificate.made);
    assert!(exchange(&mut idle, &query(1, 10)).is_ok());
    assert!(closed(&mut idle.sock), "no query");
    let mut plain = tcp_client(server.addresses()[0]);
    plain.write_all(&framed(&query(1, 10))).unwrap();
    let mut alert = Vec::new();
    let _ = plain.read_to_end(&mut alert);
    assert!(alert.len() < 12, "an alert at most: {alert:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_stops_after_it_has_answered_what_came() {
    let certificate = TestCertificate::new();
    let server = start(Server::bind(&[certificate.tls(LOOPBACK[1])], limits()).unwrap(), &Echo::new(fill));
    let address = server.addresses()[0];
    let _mute = tcp_client(address);
    let mut busy = tls_client(address, &certificate.made);
    assert!(exchange(&mut busy, &query(1, 10)).is_ok());
    let queries: Vec<u8> = (0..300).flat_map(|id| framed(&query(id, 100))).collect();
    busy.write_all(&queries).unwrap();
    server.stop().await;
    for _ in 0..300 {
        assert_eq!(read_framed(&mut busy).unwrap().len(), 100);
    }
    assert_eq!(busy.read(&mut [0]).unwrap(), 0);
    assert!(TcpStream::connect(address).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_served_and_a_bad_one_is_not() {
    let certificate = TestCertificate::new();
    let listeners = [certificate.tls(LOOPBACK[0]), certificate.tls(LOOPBACK[1])];
    let bound = Server::bind(&listeners, limits()).unwrap();
    let [served] = bound.certificates() else { panic!("the files are the same") };
    let served = served.clone();
    let server = start(bound, &Echo::new(fill));
    let works = |made: &rcgen::Certificate| {
        let asked = |address| exchange(&mut tls_client(address, made), &query(1, 10)).is_ok();
        let [one, other] = [0, 1].map(|index| asked(server.addresses()[index]));
        assert_eq!(one, other);
        one
    };
    let now = std::time::SystemTime::now();
    let first = &certificate.made;
    assert!(works(first));
    assert!(!served.read_again(now).unwrap());
    let before = served.validity();

    let day = Duration::from_secs(86_400);
    assert!(before.begins < now && (now + 89 * day..now + 91 * day).contains(&before.expires));
    std::fs::write(&certificate.files.key, "nothing").unwrap();
    assert!(served.read_again(now).unwrap_err().to_string().contains("key.pem"));
    write(&certificate.files, -1);
    let expired = served.read_again(now).unwrap_err().to_string();
    assert!(expired.ends_with("chain.pem: the certificate has expired"), "{expired}");
    assert_eq!(served.validity(), before);
    assert!(works(first));

    let mut open = tls_client(server.addresses()[0], first);
    assert!(exchange(&mut open, &query(1, 10)).is_ok());
    let second = write(&certificate.files, 10);
    assert!(served.read_again(now).unwrap());
    assert!(works(&second) && !works(first));
    assert!(exchange(&mut open, &query(1, 10)).is_ok(), "connections are not concerned");
    assert!(served.validity().expires < before.expires);
    drop(certificate.directory);
    assert!(served.read_again(now).is_err());
    assert!(works(&second));
    server.stop().await;
}

#[test]
fn unusable_certificates_are_errors_that_name_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let [chain, key, other, empty] =
        ["chain.pem", "key.pem", "other.pem", "empty.pem"].map(|name| directory.path().join(name));
    write(&CertificateFiles { chain: other.clone(), key: other.clone() }, 1);
    write(&CertificateFiles { chain: chain.clone(), key: key.clone() }, 1);
    std::fs::write(&empty, "").unwrap();
    let missing = directory.path().join("missing.pem");
    for (chain, key, named) in [
        (&chain, &missing, &missing),
        (&missing, &key, &missing),
        (&chain, &empty, &empty),
        (&empty, &key, &empty),
        (&chain, &other, &chain),
    ] {
        let files = CertificateFiles { chain: chain.clone(), key: key.clone() };
        for protocol in [Protocol::Tls(files.clone()), Protocol::Quic(files)] {
            let listener = Listener { address: LOOPBACK[0].parse().unwrap(), protocol };
            let error = Server::bind(&[listener], limits()).unwrap_err().to_string();
            assert!(error.contains(&named.display().to_string()), "{error}");
        }
    }
}
