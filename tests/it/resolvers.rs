//! nibbl behind real resolvers that minimise query names (RFC 9156): the strict ones take NXDOMAIN for a
//! part of a name as the answer for the whole (RFC 8020), so a single wrong one hides every listing below.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::harness::client::{ask, ask_all};
use crate::harness::dns::{Query, reversed};
use crate::harness::files::Directory;
use crate::harness::process::Process;
use crate::harness::random::Random;
use crate::harness::server::{Server, free_port, peer};

const ZONES: [&str; 3] = ["bl.example:ip4trie:v4", "bl.example:ip6trie:v6", "dbl.example:dnset:names"];

/// What resolvers send to the server under test.
const ZONES_ASKED: [&str; 3] = ["bl.example", "dbl.example", "wl.example"];

/// What upstream queries may cost an unlisted address on average: the minimised name and the whole one.
const MOST_QUERIES_EACH: f64 = 2.2;

#[test]
fn unbound_strict_finds_every_listing() {
    finds_every_listing("unbound", unbound);
}

#[test]
fn bind_strict_finds_every_listing() {
    finds_every_listing("named", bind);
}

#[test]
fn unbound_relaxed_asks_little_for_unlisted_addresses() {
    asks_little("unbound", unbound);
}

#[test]
fn bind_relaxed_asks_little_for_unlisted_addresses() {
    asks_little("named", bind);
}

/// Starts a resolver: its program, its directory, the server that it asks, strictness, its own address.
type Resolver = fn(&Path, &Path, SocketAddr, bool, SocketAddr) -> Process;

fn finds_every_listing(program: &str, resolver: Resolver) {
    let Some(program) = peer(program) else { return };
    let data = data();
    let server = Server::serve(arguments(data.path()));
    let listed = listed();
    let found = |upstream: SocketAddr| {
        let (directory, address) = (Directory::new(), free_port());
        let process = resolver(&program, directory.path(), upstream, true, address);
        // Names without a listing, 2.0.0.1 above a listed 2001:db8::/32 among them.
        for name in ["1.0.0.2.bl.example", "9.9.9.9.bl.example", "other.dbl.example", "b.ok.two.dbl.example"]
        {
            let reply = ask(address, &Query::new(name, "A"));
            assert!(
                reply.answer.is_empty() && ["NOERROR", "NXDOMAIN"].contains(&&*reply.rcode),
                "{name}: {reply:?}"
            );
        }
        let missing = missing(address, &listed);
        process.stop();
        missing
    };
    assert_eq!(missing(server.udp, &listed), [""; 0], "not found without a resolver");
    assert_eq!(found(server.udp), [""; 0], "not found through the resolver");
    println!("{} listings found", listed.len());
    server.stop();

    // The control: behind the same resolver, rbldnsd loses the listings. So the resolver really minimises.
    if let Some(rbldnsd) = Server::rbldnsd(data.path(), &[], &ZONES.map(String::from)) {
        assert_eq!(missing(rbldnsd.udp, &listed), [""; 0], "not found in rbldnsd");
        let lost = found(rbldnsd.udp).len();
        assert!(lost * 10 > listed.len() * 9, "only {lost} of {} lost by rbldnsd", listed.len());
    }
}

/// Which of these names have no A record.
fn missing(server: SocketAddr, names: &[String]) -> Vec<String> {
    let queries: Vec<_> = names.iter().map(|name| Query::new(name, "A")).collect();
    let replies = ask_all(server, &queries).into_iter();
    let found = replies.map(|reply| reply.is_some_and(|reply| !reply.rdata("A").is_empty()));
    names.iter().zip(found).filter(|(_, found)| !found).map(|(name, _)| name.clone()).collect()
}

fn asks_little(program: &str, resolver: Resolver) {
    const ADDRESSES: usize = 20_000;
    let Some(program) = peer(program) else { return };
    let data = data();
    let server = Server::serve(arguments(data.path()));
    let (upstream, counter) = counting_proxy(server.udp);
    let (directory, address) = (Directory::new(), free_port());
    let process = resolver(&program, directory.path(), upstream, false, address);
    let mut random = Random::new(1);
    let queries: Vec<_> = (0..ADDRESSES)
        .map(|_| {
            let global_unicast = (1 << 125) | (random.next_u128() >> 3);
            Query::new(reversed(Ipv6Addr::from_bits(global_unicast).into(), "bl.example"), "A")
        })
        .collect();
    let replies = ask_all(address, &queries);
    let wrong = replies.iter().filter(|reply| reply.as_ref().is_none_or(|reply| reply.rcode != "NXDOMAIN"));
    let wrong = wrong.count();
    let each = counter.load(Ordering::Relaxed) as f64 / ADDRESSES as f64;
    process.stop();
    server.stop();
    println!("{each:.3} upstream queries for an unlisted address");
    assert_eq!(wrong, 0, "answers other than NXDOMAIN");
    assert!(each <= MOST_QUERIES_EACH, "{each:.3} upstream queries each");
}

fn arguments(directory: &Path) -> Vec<std::ffi::OsString> {
    let options = ["--dir".into(), directory.into()];
    options.into_iter().chain(ZONES.map(Into::into)).collect()
}

/// The data: a thousand prefixes of every length, with exceptions, and names with wildcards.
fn data() -> Directory {
    let directory = Directory::new();
    let head = "$SOA 1h ns1.example.net hostmaster.example.net 1 2h 30m 7d 10m\n$NS 1d ns1.example.net\n";
    let lines = |lines: &mut dyn Iterator<Item = String>| {
        lines.fold(head.to_string(), |text, line| text + &line + "\n")
    };
    directory.write(
        "v4",
        lines(
            &mut v4_prefixes()
                .map(|(bits, length)| format!("{}/{length}", std::net::Ipv4Addr::from_bits(bits))),
        ),
    );
    let mut v6 =
        lines(&mut v6_prefixes().map(|(bits, length)| format!("{}/{length}", Ipv6Addr::from_bits(bits))));
    v6.push_str("2001:db8::/32\n!2001:db8:ffff::/48\n2001:db8:ffff:1::/64\n");
    directory.write("v6", v6);
    directory.write(
        "names",
        format!("{head}.two.example\n!.ok.two\n.two\n*.three\none\na.b.c.d.e.f.g\nbad.ok.two\n"),
    );
    directory
}

fn v4_prefixes() -> impl Iterator<Item = (u32, u32)> {
    let mut random = Random::new(4);
    (0..300).map(move |_| {
        let length = 12 + random.below(21) as u32;
        // 16.0.0.0 to 223.255.255.255, away from the addresses that the tests take as unlisted.
        let bits = 0x1000_0000 + random.below(0xd000_0000) as u32;
        (bits >> (32 - length) << (32 - length), length)
    })
}

fn v6_prefixes() -> impl Iterator<Item = (u128, u32)> {
    let mut random = Random::new(6);
    (0..700).map(move |_| {
        let length = 33 + random.below(96) as u32;
        let bits = (0x2a00_u128 << 112) | (random.next_u128() >> 16);
        (bits >> (128 - length) << (128 - length), length)
    })
}

/// Names that are listed: an address within each prefix, and domains.
fn listed() -> Vec<String> {
    let mut random = Random::new(7);
    let v4 = v4_prefixes().map(|(bits, length)| {
        let host = random.next_u64() as u32 & u32::MAX.checked_shr(length).unwrap_or(0);
        IpAddr::from(std::net::Ipv4Addr::from_bits(bits | host))
    });
    let mut addresses: Vec<IpAddr> = v4.collect();
    addresses.extend(v6_prefixes().map(|(bits, length)| {
        let host = random.next_u128() & u128::MAX.checked_shr(length).unwrap_or(0);
        IpAddr::from(Ipv6Addr::from_bits(bits | host))
    }));
    addresses.extend(
        ["2001:db8::1", "2001:db8:ffff:1::1"].map(|text| text.parse::<IpAddr>().expect("an address")),
    );
    let names = [
        "one",
        "two",
        "x.two",
        "y.x.two",
        "x.three",
        "a.b.c.d.e.f.g",
        "bad.ok.two",
        "two.example",
        "z.two.example",
    ];
    let addresses = addresses.iter().map(|address| reversed(*address, "bl.example"));
    addresses.chain(names.map(|name| format!("{name}.dbl.example"))).collect()
}

/// unbound with stubs for the zones.
pub(crate) fn unbound(
    program: &Path,
    directory: &Path,
    upstream: SocketAddr,
    strict: bool,
    address: SocketAddr,
) -> Process {
    let strict = if strict { "yes" } else { "no" };
    let stubs: String = ZONES_ASKED
        .map(|zone| format!("stub-zone:\n name: {zone}\n stub-addr: 127.0.0.1@{}\n", upstream.port()))
        .concat();
    let configuration = format!(
        "server:\n directory: \"{}\"\n chroot: \"\"\n username: \"\"\n pidfile: \"\"\n use-syslog: no\n \
         do-daemonize: no\n interface: {}\n port: {}\n do-ip6: no\n do-not-query-localhost: no\n \
         module-config: \"iterator\"\n qname-minimisation: yes\n qname-minimisation-strict: {strict}\n{stubs}\
         remote-control:\n control-enable: no\n",
        directory.display(),
        address.ip(),
        address.port(),
    );
    let path = directory.join("unbound.conf");
    std::fs::write(&path, configuration).expect("configuration");
    let mut command = Command::new(program);
    command.args(["-d", "-c"]).arg(path);
    let mut process = Process::start(command);
    process.wait_for_text("start of service");
    process
}

fn bind(
    program: &Path,
    directory: &Path,
    upstream: SocketAddr,
    strict: bool,
    address: SocketAddr,
) -> Process {
    let strict = if strict { "strict" } else { "relaxed" };
    let stubs: String = ["bl.example", "dbl.example"]
        .map(|zone| format!("zone \"{zone}\" {{ type static-stub; server-addresses {{ 127.0.0.1; }}; }};\n"))
        .concat();
    // `port` is the one that BIND sends queries to; it listens on another.
    let configuration = format!(
        "options {{ directory \"{}\"; pid-file none; session-keyfile none; port {}; \
         listen-on port {} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion yes; allow-query {{ any; }}; \
         dnssec-validation no; qname-minimization {strict}; empty-zones-enable no; notify no; }};\n\
         controls {{ }};\n{stubs}",
        directory.display(),
        upstream.port(),
        address.port(),
    );
    let path = directory.join("named.conf");
    std::fs::write(&path, configuration).expect("configuration");
    let mut command = Command::new(program);
    command.args(["-g", "-4", "-n", "1", "-c"]).arg(path);
    let mut process = Process::start(command);
    process.wait_for(|line| line.ends_with(" running").then_some(()));
    process
}

/// A UDP relay in front of a server that counts queries. It lives as long as the test program.
fn counting_proxy(server: SocketAddr) -> (SocketAddr, Arc<AtomicUsize>) {
    let front = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let back = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    back.connect(server).expect("connect");
    back.set_read_timeout(Some(Duration::from_secs(2))).expect("read timeout");
    let address = front.local_addr().expect("an address");
    let counter = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&counter);
    std::thread::spawn(move || {
        let mut buffer = [0; 65_535];
        while let Ok((length, client)) = front.recv_from(&mut buffer) {
            count.fetch_add(1, Ordering::Relaxed);
            if back.send(&buffer[..length]).is_ok()
                && let Ok(length) = back.recv(&mut buffer)
            {
                // A resolver that has gone in the meantime misses nothing.
                let _ = front.send_to(&buffer[..length], client);
            }
        }
    });
    (address, counter)
}
