//! TCP: pipelining, limits, time-outs.

use super::*;

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
async fn tcp_queries_beyond_the_limit_in_flight_wait() {
    let limits = Limits { tcp_in_flight: NonZeroUsize::MIN, ..limits() };
    let server = start(Server::bind(&[plain(LOOPBACK[0])], limits).unwrap(), &Echo::new(fill));
    let mut client = tcp_client(server.addresses()[0]);
    let queries: Vec<u8> = (0..1000).flat_map(|id| framed(&query(id, 40))).collect();
    client.write_all(&queries).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    for id in 0..1000 {
        assert_eq!(read_framed(&mut client).unwrap(), fill(&query(id, 40)).unwrap());
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
    assert_eq!(metrics.totals().sum(|origin| origin.refused_connections), 1);
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
