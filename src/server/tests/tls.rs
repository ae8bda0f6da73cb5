//! DNS over TLS: what passes through hickory-proto, and certificates.

use super::*;
use crate::server::tls::records;

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
            let (received_as, sent_as) = (records(&received), records(&sent));
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
