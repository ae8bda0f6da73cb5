//! UDP: batches, workers, the address that replies leave from.

use std::net::IpAddr;

use super::*;

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
    // And one after the other: the batches that follow know it too.
    for id in 0..20 {
        for client in &clients {
            client.send(&query(id, 50)).unwrap();
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
    assert_eq!((totals.sum(|origin| origin.unanswered), totals.sum(|origin| origin.unsent)), (30, 30));
    assert_eq!(totals.count(|labels| labels.origin.transport == Transport::Udp), 63);
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

/// A client that takes its time is no reason to be silent to all others.
#[tokio::test(flavor = "multi_thread")]
async fn udp_is_answered_until_the_last_connection_has_ended() {
    let server = start(Server::bind(&[plain(LOOPBACK[0])], limits()).unwrap(), &Echo::new(fill));
    let address = server.addresses()[0];
    let mut slow = tcp_client(address);
    let queries: Vec<u8> = (0..1000).flat_map(|id| framed(&query(id, 60_000))).collect();
    slow.write_all(&queries).unwrap();
    assert_eq!(read_framed(&mut slow).unwrap().len(), 60_000);
    let stopping = tokio::spawn(server.stop());
    // Until the end has begun.
    while TcpStream::connect(address).is_ok() {
        tokio::task::yield_now().await;
    }
    let client = udp_client(address);
    for id in 0..10 {
        client.send(&query(id, 30)).unwrap();
        assert_eq!(receive(&client).unwrap(), fill(&query(id, 30)).unwrap());
    }
    drop(slow);
    stopping.await.unwrap();
}

/// Also where replies must leave from the address that was asked, which the system tells beside the time.
#[tokio::test(flavor = "multi_thread")]
async fn udp_times_a_sample_of_its_answers() {
    for address in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"] {
        let metrics = Metrics::default();
        let limits = Limits { times: true, ..limits() };
        let bound = Server::bind(&[plain(address)], limits).unwrap();
        let mut target = bound.addresses()[0];
        match target.ip() {
            ip if !ip.is_unspecified() => {}
            IpAddr::V4(_) => target.set_ip(Ipv4Addr::new(127, 0, 0, 2).into()),
            IpAddr::V6(_) => target.set_ip(std::net::Ipv6Addr::LOCALHOST.into()),
        }
        let client = udp_client(target);
        let server = bound.start(Echo::new(fill), &metrics, None, &Handle::current()).unwrap();
        for id in 0..64 {
            client.send(&query(id, 30)).unwrap();
            assert_eq!(receive(&client).unwrap(), fill(&query(id, 30)).unwrap(), "{address}");
        }
        server.stop().await;
        let totals = metrics.totals();
        let times = &totals.origins.values().next().unwrap().times;
        assert!(times.count >= 3 && times.sum > 0.0 && times.sum < 60.0, "{address}: {times:?}");
    }
}
