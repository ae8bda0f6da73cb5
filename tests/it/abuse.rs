//! What forged senders get, and what clients lose by them: floods, cookies, proxies.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::harness::authorities::named;
use crate::harness::client::{PATIENCE, ask, ask_all_tcp, bind};
use crate::harness::dns::{Query, Reply, reversed};
use crate::harness::files::Directory;
use crate::harness::http::get;
use crate::harness::process::Process;
use crate::harness::server::{Server, free_port, peer};
use crate::monitor::{scrape, sum};

/// A server with metrics, the zone `bl.example` and what else the configuration has.
fn serve(directory: &Directory, more: &str) -> (Server, SocketAddr) {
    directory.write(
        "list",
        format!(
            "$SOA 1h ns1.example.net host.example.net 7 2h 30m 7d 10m\n$NS 1d ns1.example.net\n\
             192.0.2.0/24 :2:{}\n",
            "a long reason ".repeat(20)
        ),
    );
    let config = format!(
        "{more}\n[metrics]\nlisten = '127.0.0.1:0'\n[[zone]]\nname = 'bl.example'\ndatasets = ['ip:list']\n"
    );
    let config = directory.write("nibbl.toml", config);
    let mut server = Server::serve(["--config".as_ref(), config.as_os_str()]);
    let address =
        server.said(|line| line.split_once("metrics on http://")?.1.split('/').next()?.parse().ok());
    (server, address)
}

/// The question for an address, with EDNS.
fn question(address: impl Into<Ipv4Addr>, record_type: &str) -> Query {
    let name = reversed(address.into().into(), "bl.example");
    Query { edns: Some(1232), ..Query::new(name, record_type) }
}

/// A client that sends cookies.
struct Client {
    socket: UdpSocket,
    /// The client's, and the server's once it is known.
    cookie: Vec<u8>,
}

impl Client {
    fn new(source: IpAddr, server: SocketAddr) -> Self {
        let socket = bind(Some(source), server);
        socket.set_read_timeout(Some(PATIENCE)).expect("read timeout");
        Self { socket, cookie: b"12345678".to_vec() }
    }

    /// Asks once, and learns the server's cookie. Returns the reply and its octets, or `None` if none came.
    fn ask(&mut self, query: &Query, id: u16) -> Option<(Reply, usize)> {
        let mut wire = query.to_wire(id);
        let length = self.cookie.len() as u8;
        wire.splice(wire.len() - 2.., [0, length + 4, 0, 10, 0, length]);
        wire.extend_from_slice(&self.cookie);
        self.socket.send(&wire).expect("send");
        let mut buffer = [0; 4096];
        let octets = self.socket.recv(&mut buffer).ok()?;
        // COOKIE is the first option of OPT, which is the last record.
        let place = buffer[..octets].windows(12).rposition(|part| part == b"\0\x0a\0\x1812345678");
        let place = place.expect("a cookie in the reply");
        self.cookie = buffer[place + 4..place + 28].to_vec();
        Reply::from_wire(&buffer[..octets]).map(|reply| (reply, octets))
    }
}

/// 256 addresses of 16 prefixes.
fn sources() -> impl Iterator<Item = Ipv4Addr> {
    (0..16).flat_map(|prefix| (1..17).map(move |host| Ipv4Addr::new(127, 7, prefix, host)))
}

/// Asked in the names of many, for the same and for other things, the server sends less than it gets, and
/// needs no more memory. Among them a client with a cookie loses nothing; one without is sent to TCP.
#[test]
fn a_flood() {
    const ROUNDS: u16 = 40;
    let directory = Directory::new();
    let limit = "[rate_limit]\nmode = 'on'\nper_second = 2\nall_per_second = 20\nwindow = '2s'\n";
    let (server, monitor) = serve(&directory, limit);
    let sockets: Vec<UdpSocket> = sources().map(|source| bind(Some(source.into()), server.udp)).collect();
    // In the midst of those that are forged.
    let mut client = Client::new(Ipv4Addr::new(127, 7, 3, 200).into(), server.udp);
    assert!(client.ask(&question([192, 0, 2, 1], "TXT"), 0).is_some(), "before it all");
    let before = scrape(monitor);
    let (mut octets_in, mut octets_of_client) = (0, 0);
    let mut unlisted = 0u32;
    for round in 0..ROUNDS {
        // Hot names, and names that nobody asked for before; no more at once than a buffer holds.
        for (place, socket) in sockets.iter().enumerate() {
            for hot in 0..3 {
                octets_in +=
                    socket.send(&question([192, 0, 2, hot], "TXT").to_wire(place as u16)).expect("send");
            }
            unlisted += 1;
            let random = Ipv4Addr::from_bits(10 << 24 | unlisted);
            octets_in += socket.send(&question(random, "A").to_wire(place as u16)).expect("send");
        }
        let (reply, octets) = client.ask(&question([192, 0, 2, 1], "TXT"), round).expect("an answer");
        assert!(reply.id == round && !reply.truncated && reply.rdata("TXT").len() == 1, "{reply:?}");
        octets_of_client += octets;
    }
    let flood = sockets.len() as f64 * f64::from(ROUNDS) * 4.0;
    // Until all workers are through.
    let after = loop {
        let after = scrape(monitor);
        let grown = |parts: &[&str]| sum(&after, parts) - sum(&before, parts);
        let dropped = grown(&["nibbl_rate_limited_total", "dropped"]);
        let seen = grown(&["nibbl_queries_total{"]) + dropped + grown(&["nibbl_shed_queries_total"]);
        if seen >= flood + f64::from(ROUNDS) {
            break after;
        }
    };
    let grown = |parts: &[&str]| sum(&after, parts) - sum(&before, parts);
    let octets_out = grown(&["nibbl_response_bytes_total"]) - octets_of_client as f64;
    let factor = octets_out / octets_in as f64;
    assert!(factor > 0.0 && factor < 1.0, "{octets_out} octets for {octets_in}");
    let memory = grown(&["process_resident_memory_bytes"]);
    assert!(memory < 8e6, "{memory} octets more");
    assert_eq!(grown(&["nibbl_cookies_total", "good"]), f64::from(ROUNDS));
    let [slipped, dropped] =
        ["slipped", "dropped"].map(|action| grown(&["nibbl_rate_limited_total", action]));
    assert!(
        slipped + dropped > flood / 2.0 && (slipped - dropped).abs() <= 1.0,
        "{slipped} {dropped} of {flood}"
    );
    println!("{octets_out} octets out, {octets_in} in: {factor:.2}; {memory} octets of memory more");

    // Who has no cookie yet gets one in time, or asks over TCP.
    let mut other = Client::new(Ipv4Addr::new(127, 7, 3, 201).into(), server.udp);
    other.socket.set_read_timeout(Some(Duration::from_millis(100))).expect("read timeout");
    for socket in sockets.iter().cycle().take(600) {
        socket.send(&question([192, 0, 2, 1], "TXT").to_wire(1)).expect("send");
    }
    let answers: Vec<Reply> = (0..10)
        .map_while(|id| {
            let reply = (0..10).find_map(|_| other.ask(&question([192, 0, 2, 1], "TXT"), id));
            reply.map(|(reply, _)| reply)
        })
        .collect();
    assert_eq!(answers.len(), 10);
    assert!(answers[1..].iter().all(|reply| !reply.truncated && reply.answer.len() == 1), "{answers:?}");
    let tcp = ask_all_tcp(server.tcp.expect("TCP"), &[question([192, 0, 2, 1], "TXT")]);
    assert!(tcp[0].as_ref().is_some_and(|reply| reply.answer.len() == 1));
    server.stop();
}

/// A server that only counts answers everything.
#[test]
fn counted_only_at_first() {
    let directory = Directory::new();
    let (server, monitor) = serve(&directory, "[rate_limit]\nper_second = 1\nwindow = 1\n");
    for _ in 0..20 {
        assert_eq!(ask(server.udp, &question([192, 0, 2, 1], "A")).answer.len(), 1);
    }
    assert!(sum(&scrape(monitor), &["nibbl_rate_limited_total", "counted"]) >= 15.0);
    assert_eq!(sum(&scrape(monitor), &["nibbl_rate_limited_total", "dropped"]), 0.0);
    server.stop();
}

const SECRETS: [&str; 2] = ["e5e973e5a6b2a43f48e7dc849e37bfcf", "445536bcd2513298075a5d379663c962"];

/// The standings of the cookies of one client, while the secrets in the file are replaced.
#[test]
fn secrets_are_replaced_without_a_break() {
    let directory = Directory::new();
    directory.write("secrets", SECRETS[0]);
    let (mut server, monitor) = serve(&directory, "[cookies]\nsecrets = 'secrets'");
    let mut client = Client::new(Ipv4Addr::LOCALHOST.into(), server.udp);
    let mut ask = || {
        client.ask(&question([192, 0, 2, 1], "A"), 0).expect("an answer");
        let samples: BTreeMap<_, _> = scrape(monitor);
        let standings =
            ["new", "good", "bad"].map(|standing| sum(&samples, &["nibbl_cookies_total", standing]) as u32);
        (standings, client.cookie.clone())
    };
    let (standings, first) = ask();
    assert_eq!(standings, [1, 0, 0]);
    assert_eq!(ask(), ([1, 1, 0], first.clone()));
    let write = |text: &str| std::fs::write(directory.path().join("secrets"), text).expect("write");
    write(&format!("{}\n{}\n", SECRETS[1], SECRETS[0]));
    assert_eq!(server.control(&["reload"]).0, Some(0));
    let (standings, second) = ask();
    assert!(standings == [1, 2, 0] && second != first, "{standings:?}");
    // What is wrong with the file is said once, by whoever looks first, and shown as long as it is; the secrets stay.
    let outdated = || sum(&scrape(monitor), &["nibbl_cookie_secrets_outdated"]);
    assert_eq!(outdated(), 0.0);
    write("nonsense");
    const WRONG: &str = "secrets:1:1: a secret is 32 hexadecimal digits";
    for _ in 0..2 {
        let (code, said) = server.control(&["reload"]);
        assert!(code == Some(1) && said.contains(WRONG), "{said}");
    }
    server.said(|line| line.contains(WRONG).then_some(()));
    let (_, shown) = server.control(&["status"]);
    assert!(shown.contains("! the secrets of cookies stay: ") && shown.contains(WRONG), "{shown}");
    assert!(get(monitor, "/status").1.contains(WRONG));
    assert_eq!(outdated(), 1.0);
    assert_eq!(ask(), ([1, 3, 0], second));
    write(SECRETS[0]);
    assert_eq!(server.control(&["reload"]).0, Some(0));
    assert_eq!((ask().0, outdated()), ([1, 3, 1], 0.0));
    let said = server.stop();
    assert_eq!(said.matches(WRONG).count(), 1, "{said}");
}

/// What dig says of a server's cookie.
fn dig(dig: &Path, server: SocketAddr, arguments: &[&str]) -> String {
    let output = Command::new(dig)
        .args(["@127.0.0.1", "-p", &server.port().to_string(), "bl.example", "SOA", "+nobadcookie"])
        .args(arguments)
        .output()
        .expect("dig");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The cookie that dig got.
fn cookie(said: &str) -> &str {
    let line = said.split_once("; COOKIE: ").unwrap_or_else(|| panic!("{said}")).1;
    line.split_whitespace().next().expect("a cookie")
}

/// With the same secret, nibbl takes the cookies of BIND, and BIND those of nibbl.
#[test]
fn cookies_are_those_of_bind() {
    let (Some(program), Some(digger)) = (peer("named"), peer("dig")) else { return };
    let directory = Directory::new();
    directory.write("secrets", SECRETS[0]);
    let more = "[server]\nidentity = 'ns1.example'\n[cookies]\nmode = 'require'\nsecrets = 'secrets'";
    let (server, _) = serve(&directory, more);
    let other = free_port();
    let options = format!(
        "recursion no; answer-cookie yes; require-server-cookie yes; cookie-algorithm siphash24; \
         cookie-secret \"{}\";",
        SECRETS[0]
    );
    let _named = named(&program, directory.path(), other, (&options, ""), &[" running"]);
    for (one, another) in [(server.udp, other), (other, server.udp)] {
        let said = dig(&digger, one, &[]);
        assert!(said.contains("status: BADCOOKIE") && said.contains("(good)"), "{said}");
        for server in [one, another] {
            let again = dig(&digger, server, &[&format!("+cookie={}", cookie(&said))]);
            assert!(!again.contains("BADCOOKIE") && again.contains("(good)"), "{again}");
        }
        let bad = format!("+cookie={}00000000", &cookie(&said)[..40]);
        assert!(dig(&digger, another, &[&bad]).contains("status: BADCOOKIE"));
    }
    let named = dig(&digger, server.udp, &["+nsid", "+nocookie"]);
    assert!(named.contains("NSID") && named.contains("ns1.example"), "{named}");
    server.stop();
}

/// A proxy is believed for whom it asks, also by access lists; without its header it gets nothing.
#[test]
fn a_proxy_hides_nobody() {
    let directory = Directory::new();
    directory.write("clients", "192.0.2.9 :refuse\n");
    let (server, monitor) = serve(&directory, "access = ['clients']\n[server]\nproxy_from = ['127.0.0.5']");
    let proxy = bind(Some(Ipv4Addr::new(127, 0, 0, 5).into()), server.udp);
    proxy.set_read_timeout(Some(PATIENCE)).expect("read timeout");
    let mut buffer = [0; 4096];
    for (client, rcode) in [([192, 0, 2, 8], "NOERROR"), ([192, 0, 2, 9], "REFUSED")] {
        let header =
            [b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\x0c", &client[..], &[127, 0, 0, 1, 99, 99, 0, 53]].concat();
        proxy.send(&[header, question([192, 0, 2, 1], "A").to_wire(7)].concat()).expect("send");
        let octets = proxy.recv(&mut buffer).expect("an answer");
        assert_eq!(Reply::from_wire(&buffer[..octets]).expect("a reply").rcode, rcode);
    }
    proxy.send(&question([192, 0, 2, 1], "A").to_wire(7)).expect("send");
    while sum(&scrape(monitor), &["nibbl_dropped_total", "proxy"]) < 1.0 {
        std::thread::yield_now();
    }
    server.stop();
}

/// Behind the real dnsdist, over UDP and TCP.
#[test]
fn clients_are_known_behind_dnsdist() {
    let Some(program) = peer("dnsdist") else { return };
    let directory = Directory::new();
    directory.write("clients", "127.0.0.9 :refuse\n");
    let (server, monitor) = serve(&directory, "access = ['clients']\n[server]\nproxy_from = ['127.0.0.1']");
    let front = free_port();
    let configuration = format!(
        "setLocal('{front}')\nsetSecurityPollSuffix('')\nnewServer({{ address = '{}', useProxyProtocol = true }})\n",
        server.udp
    );
    let configuration = directory.write("dnsdist.conf", configuration);
    let mut command = Command::new(program);
    command.args(["--supervised", "--disable-syslog", "-C"]).arg(configuration);
    let mut dnsdist = Process::start(command);
    dnsdist.wait_for_text("as 'up'");
    for (last, rcode) in [(8, "NOERROR"), (9, "REFUSED")] {
        let query = question([192, 0, 2, 1], "A");
        let asked = Query { source: Some(Ipv4Addr::new(127, 0, 0, last).into()), ..query };
        assert_eq!(ask(front, &asked).rcode, rcode);
    }
    // Connections come from 127.0.0.1, which may ask.
    let tcp = ask_all_tcp(front, &[question([192, 0, 2, 1], "A")]);
    assert!(tcp[0].as_ref().is_some_and(|reply| reply.answer.len() == 1));
    assert_eq!(sum(&scrape(monitor), &["nibbl_dropped_total", "proxy"]), 0.0);
    server.stop();
}
