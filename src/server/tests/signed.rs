//! Replies that wait for signatures.

use super::quic::{connect, send, zero};
use super::tls::TestCertificate;
use super::*;
use crate::metrics::Limited;
use crate::rate_limit::{Mode, RateLimit};

fn signing(workers: usize) -> Limits {
    Limits { signing: SigningLimits { workers, rate: None }, ..limits() }
}

fn signed(id: u16) -> Vec<u8> {
    [&query(id, 100)[..4], SIGNED].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn udp_replies_that_take_signatures_come_later() {
    let bound = Server::bind(&[plain("0.0.0.0:0"), plain("[::]:0")], signing(2)).unwrap();
    let ports: Vec<u16> = bound.addresses().iter().map(SocketAddr::port).collect();
    let server = start(bound, &Echo::new(fill));
    for address in
        [(Ipv4Addr::new(127, 0, 0, 3), ports[0]).into(), format!("[::1]:{}", ports[1]).parse().unwrap()]
    {
        let client = udp_client(address);
        for id in 0..50 {
            client.send(&signed(2 * id)).unwrap();
            client.send(&query(2 * id + 1, 100)).unwrap();
        }
        let mut ids: Vec<Vec<u8>> = (0..100).map(|_| receive(&client).unwrap()).collect();
        ids.sort();
        assert_eq!(ids, (0..100).map(|id| fill(&query(id, 100)).unwrap()).collect::<Vec<_>>());
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn udp_packets_without_a_place_are_put_off() {
    let server = start(Server::bind(&[plain(LOOPBACK[0])], signing(0)).unwrap(), &Echo::new(fill));
    let client = udp_client(server.addresses()[0]);
    client.send(&signed(7)).unwrap();
    assert_eq!(receive(&client).unwrap(), [0, 7]);
    server.stop().await;
}

/// Over the rate limit nothing is signed: neither for packets that come together nor for those that come alone.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_the_limit_is_not_signed() {
    const QUESTION: &[u8] = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x01a\x07example\0\0\x01\0\x01";
    let question = [QUESTION, SIGNED].concat();
    for (mode, slip, alone) in [
        (Mode::On, 2, false),
        (Mode::On, 1, false),
        (Mode::On, 1, true),
        (Mode::Count, 2, false),
        (Mode::Count, 2, true),
    ] {
        let metrics = Metrics::default();
        // One answer a second, ten at once.
        let rate_limit =
            RateLimit { mode, slip, per_second: 1, window: Duration::from_secs(10), ..RateLimit::default() };
        let bound = Server::bind(&[plain(LOOPBACK[0])], signing(1)).unwrap();
        let bound = bound.guarded(Guard { rate_limit, ..Guard::default() });
        let client = udp_client(bound.addresses()[0]);
        let responder = Echo::new(|query| Some(query.to_vec()));
        if !alone {
            (0..30).for_each(|_| assert_eq!(client.send(&question).unwrap(), question.len()));
        }
        let server = bound.start(responder.clone(), &metrics, None, &Handle::current()).unwrap();
        let mut got = Vec::new();
        if alone {
            for _ in 0..30 {
                client.send(&question).unwrap();
                got.push(receive(&client).unwrap());
            }
        }
        server.stop().await;
        client.set_nonblocking(true).unwrap();
        got.extend(std::iter::from_fn(|| receive(&client).ok()));
        let whole = got.iter().filter(|reply| **reply == question).count();
        let cut = got.iter().filter(|reply| **reply == question[..2]).count();
        let expected = match (mode, slip) {
            (Mode::On, 2) => ([10, 10], [0, 10, 10]),
            (Mode::On, _) => ([10, 20], [0, 20, 0]),
            _ => ([30, 0], [20, 0, 0]),
        };
        let totals = metrics.totals();
        let limited = Limited::ALL.map(|what| totals.sum(|origin| origin.limited[what as usize]));
        assert_eq!(([whole, cut], limited), expected);
        assert_eq!((responder.answered(), totals.count(|_| true)), (whole, (whole + cut) as u64));
        assert_eq!(totals.sum(|origin| origin.unanswered), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_waits_for_signatures_and_keeps_the_order() {
    let server = start(Server::bind(&[plain(LOOPBACK[0])], signing(1)).unwrap(), &Echo::new(fill));
    let mut client = tcp_client(server.addresses()[0]);
    let queries = (0..40).map(|id| if id % 3 == 0 { signed(id) } else { query(id, 100) });
    client.write_all(&queries.flat_map(|query| framed(&query)).collect::<Vec<u8>>()).unwrap();
    for id in 0..40 {
        assert_eq!(read_framed(&mut client).unwrap(), fill(&query(id, 100)).unwrap());
    }
    client.write_all(&framed(&signed(77))).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_framed(&mut client).unwrap()[..2], [0, 77]);
    assert!(closed(&mut client));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quic_replies_do_not_wait_for_others_that_take_signatures() {
    let certificate = TestCertificate::new();
    let limits = signing(1);
    let server = start(Server::bind(&[certificate.quic(LOOPBACK[0])], limits).unwrap(), &Echo::new(fill));
    let (connection, _endpoint) = connect(server.addresses()[0], &certificate, b"doq").await.unwrap();
    let asked: Vec<_> = (0..40)
        .map(|id| {
            let end = if id % 3 == 0 { SIGNED } else { b"" };
            let (connection, query) = (connection.clone(), framed(&[&zero(100 + id), end].concat()));
            tokio::spawn(async move { (id, send(&connection, &query).await) })
        })
        .collect();
    for asked in asked {
        let (id, reply) = asked.await.unwrap();
        assert_eq!(reply, fill(&zero(100 + id)));
    }
    server.stop().await;
}
