//! Access rules: plans by client prefix and by the key in the name, quotas that survive, keys in no log.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::encrypted;
use crate::harness::client::{ask, ask_all, ask_all_tcp, bind};
use crate::harness::dns::{Query, Reply, reversed};
use crate::harness::files::Directory;
use crate::harness::http::get;
use crate::harness::process::Process;
use crate::harness::server::{Server, free_port, listening, nibbl, peer};

const LIST: &str = "$SOA 1h ns1.dq.example host.example.net 7 2h 30m 7d 10m\n$NS 1d ns1.dq.example\n\
                    3fff:1::/48 :4:listed $\n192.0.2.0/24\n";
const HOSTS: &str = "ns1 A 192.0.2.53\n";
const GOLD: &str = "Gold-Key-aaaaaaaaaa";
const SMALL: &str = "small-key-bbbbbbbbb";
const HASHED: &str = "hashed-key-cccccccc";
const TEXT: &str = "see https://example.net/plans";

/// A server whose files and usage are in `directory`.
fn serve(directory: &Directory, more: &str) -> (Server, SocketAddr) {
    let config = configuration(directory, more);
    let mut server = Server::serve(["--config".as_ref(), config.as_os_str()]);
    let monitor =
        server.said(|line| line.split_once("metrics on http://")?.1.split('/').next()?.parse().ok());
    (server, monitor)
}

fn configuration(directory: &Directory, more: &str) -> PathBuf {
    let config = format!(
        "[metrics]\nlisten = '127.0.0.1:0'\n[server]\nworkers = 2\nproxy_from = ['127.0.0.5']\n\
         [access_keys]\nfile = 'keys'\nzones = ['dq.example']\ntext = 'whose?'\n\
         [usage]\ndirectory = 'usage'\n\
         [[plan]]\nname = 'gold'\n\
         [[plan]]\nname = 'none'\nzones = []\ntext = '{TEXT}'\n{more}\n\
         [[zone]]\nname = 'dq.example'\ndatasets = ['ip:list', 'generic:hosts']\n\
         [[zone]]\nname = 'bl.example'\ndatasets = ['ip:list']\n"
    );
    directory.write("list", LIST);
    directory.write("hosts", HOSTS);
    directory.write("nibbl.toml", config)
}

fn listed(behind: &str) -> String {
    reversed("3fff:1::1".parse().expect("an address"), behind)
}

fn rcode(server: &Server, name: impl Into<String>, source: Option<Ipv4Addr>) -> String {
    ask(server.udp, &Query { source: source.map(IpAddr::V4), ..Query::new(name, "A") }).rcode
}

/// The reply as it comes, to look for texts.
fn octets(server: &Server, query: &Query) -> Vec<u8> {
    let socket = bind(query.source, server.udp);
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
    socket.send(&query.to_wire(1)).expect("send");
    let mut buffer = [0; 1500];
    let length = socket.recv(&mut buffer).expect("an answer");
    buffer[..length].to_vec()
}

fn contains(octets: &[u8], text: &str) -> bool {
    octets.windows(text.len()).any(|window| window == text.as_bytes())
}

/// A series of /metrics.
fn series(monitor: SocketAddr, name: &str) -> f64 {
    let (_, text) = get(monitor, "/metrics");
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {text}"));
    line.rsplit_once(' ').expect("a value").1.parse().expect("a number")
}

#[test]
fn keys_and_prefixes_decide() {
    let directory = Directory::new();
    directory.write("keys", format!("{GOLD} gold\n{SMALL} none # later\n{}", hashed_line(&directory)));
    let (server, monitor) = serve(
        &directory,
        "[[plan]]\nname = 'code'\nrate = 1\nburst = 1\nbeyond = '127.255.255.255'\ntext = 'over'\n\
         [[plan]]\nname = 'silent'\nrate = 1\nburst = 1\nbeyond = 'not-listed'\n\
         [[client]]\nprefixes = ['127.0.0.0/24']\nplan = 'gold'\n\
         [[client]]\nprefixes = ['127.0.0.8/32']\nplan = 'none'\n\
         [[client]]\nprefixes = ['127.0.8.0/24']\nplan = 'code'\n\
         [[client]]\nprefixes = ['127.0.9.0/24']\nplan = 'silent'\n",
    );
    // By the key; the owner in the answer is the name as it was asked.
    let name = listed(&format!("{GOLD}.dq.example"));
    for query in [Query::new(&name, "TXT"), Query::new(name.to_uppercase(), "TXT")] {
        let reply = ask(server.udp, &query);
        assert_eq!((&*reply.rcode, reply.rdata("TXT").len()), ("NOERROR", 1), "{query}");
        assert!(reply.answer[0].owner.eq_ignore_ascii_case(&format!("{name}.")), "{}", reply.answer[0].owner);
        assert_eq!(
            ask_all_tcp(server.tcp.expect("TCP"), &[query])[0].as_ref().expect("reply").answer,
            reply.answer
        );
    }
    let partly = |key: &str| ask(server.udp, &Query::new(format!("f.f.f.3.{key}.dq.example"), "A"));
    assert_eq!(
        (partly(GOLD).rcode, partly(GOLD).answer.len()),
        ("NOERROR".into(), 0),
        "an empty non-terminal"
    );
    let reversed_v4 = format!("9.2.0.192.{HASHED}.dq.example");
    assert_eq!(
        ask(server.udp, &Query::new(reversed_v4, "A")).rdata("A"),
        ["127.0.0.2"],
        "a key by its digest"
    );
    assert_eq!(
        rcode(&server, reversed("3fff:2::1".parse().unwrap(), &format!("{GOLD}.dq.example")), None),
        "NXDOMAIN"
    );

    // Without a key there is what resolvers need: the apex and its name server. A key alone has no data.
    for record_type in ["SOA", "NS"] {
        assert_eq!(ask(server.udp, &Query::new("dq.example", record_type)).answer.len(), 1);
        let reply = ask(server.udp, &Query::new(format!("{GOLD}.dq.example"), record_type));
        assert_eq!((&*reply.rcode, reply.answer.len()), ("NOERROR", 0));
        let soa: Vec<_> =
            reply.authority.iter().map(|record| (&*record.owner, &*record.record_type)).collect();
        assert_eq!(soa, [("dq.example.", "SOA")]);
    }
    assert_eq!(ask(server.udp, &Query::new("ns1.dq.example", "A")).rdata("A"), ["192.0.2.53"]);

    // What nobody has, and what a plan is not for.
    for name in
        [listed("dq.example"), listed("nobodys-key-here.dq.example"), "nobodys-key-here.dq.example".into()]
    {
        assert_eq!(rcode(&server, &name, None), "REFUSED", "{name}");
        let reply = octets(&server, &Query { edns: Some(1232), ..Query::new(&name, "A") });
        assert!(contains(&reply, "\0\x0f\0\x08\0\x12whose?"), "{reply:02x?}");
    }
    let none = Query { edns: Some(1232), ..Query::new(listed(&format!("{SMALL}.dq.example")), "A") };
    assert!(contains(&octets(&server, &none), TEXT));

    // By prefix, where names have no key; the longest counts.
    let from = |c, d| Some(Ipv4Addr::new(127, 0, c, d));
    let codes = [(0, 1), (0, 8), (1, 1)].map(|(c, d)| rcode(&server, listed("bl.example"), from(c, d)));
    assert_eq!(codes, ["NOERROR", "REFUSED", "NOERROR"]);
    assert_eq!(
        ask(server.udp, &Query { source: from(0, 8).map(Into::into), ..Query::new("bl.example", "SOA") })
            .answer
            .len(),
        1
    );

    // Beyond a plan.
    let unlisted = reversed("3fff:2::1".parse().unwrap(), "bl.example");
    let answers = |c, name: &str| -> Vec<Reply> {
        let query = Query { source: from(c, 1).map(Into::into), ..Query::new(name, "A") };
        ask_all(server.udp, &vec![query; 40]).into_iter().flatten().collect()
    };
    let said: BTreeSet<String> =
        answers(8, &unlisted).iter().flat_map(|reply| reply.rdata("A")).map(str::to_owned).collect();
    assert_eq!(said, BTreeSet::from(["127.255.255.255".to_owned()]));
    let said: BTreeSet<String> =
        answers(9, &listed("bl.example")).into_iter().map(|reply| reply.rcode).collect();
    assert_eq!(said, BTreeSet::from(["NOERROR".to_owned(), "NXDOMAIN".to_owned()]));

    // All of it was counted.
    for (plan, result) in [
        ("gold", "granted"),
        ("none", "not_in_plan"),
        ("code", "rate"),
        ("silent", "rate"),
        ("", "unknown_key"),
    ] {
        let name = format!("nibbl_access_queries_total{{plan=\"{plan}\",result=\"{result}\"}}");
        assert!(series(monitor, &name) > 0.0, "{name}");
    }
    assert_eq!(series(monitor, "nibbl_access_keys "), 3.0);
    let (_, status) = server.control(&["status"]);
    assert!(
        status.contains("access: 3 keys, 6 queries without") && status.contains("plan gold: "),
        "{status}"
    );
    let said = server.stop();
    assert!(!said.contains(GOLD) && !said.contains(SMALL), "{said}");
}

/// The same over TCP, TLS and QUIC, and for the clients that a proxy speaks for.
#[test]
fn rules_hold_over_all_transports() {
    let directory = Directory::new();
    directory.write("keys", format!("{GOLD} gold\n{SMALL} none\n"));
    let certificate = encrypted::make(&directory.path().join("chain.pem"), &directory.path().join("key.pem"));
    let address = free_port();
    let listener = format!("listen = '{address}'\ncertificate = 'chain.pem'\nkey = 'key.pem'\n");
    let (server, monitor) = serve(
        &directory,
        &format!(
            "[[tls]]\n{listener}[[quic]]\n{listener}\
             [[client]]\nprefixes = ['127.0.0.0/8']\nplan = 'gold'\n\
             [[client]]\nprefixes = ['127.0.0.5/32', '192.0.2.0/24', '2001:db8::/32']\nplan = 'none'\n"
        ),
    );
    let [gold, small] = [GOLD, SMALL].map(|key| listed(&format!("{key}.dq.example")));
    let open = listed("bl.example");
    let asked = [(&gold, "NOERROR"), (&small, "REFUSED"), (&open, "NOERROR")];
    let kdig = peer("kdig");
    let trust = format!("+tls-ca={}", directory.path().join("chain.pem").display());
    for (name, expected) in asked {
        let query = Query { edns: Some(1232), ..Query::new(name, "A") };
        let over_tcp = ask_all_tcp(server.tcp.expect("TCP"), std::slice::from_ref(&query)).remove(0);
        let over_tls = encrypted::ask_over_tls(address, &certificate, &query).expect("an answer");
        assert_eq!([over_tcp.expect("an answer").rcode, over_tls.rcode], [expected; 2], "{name}");
        let Some(kdig) = &kdig else { continue };
        let output = std::process::Command::new(kdig)
            .args([&format!("@{}", address.ip()), "-p", &address.port().to_string(), &trust])
            .args([
                "+tls-hostname=ns.example",
                "+padding",
                "+quic",
                "+edns",
                "+nocrypto",
                "+retry=0",
                name,
                "A",
            ])
            .output()
            .expect("kdig");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains(&format!("status: {expected}")), "{output:?}");
        assert_eq!(said.contains(TEXT), name == &small, "{said}");
    }
    let count = |result: &str| series(monitor, &format!("nibbl_access_queries_total{{plan=\"{result}"));
    let transports = if kdig.is_some() { 3.0 } else { 2.0 };
    let told = [count("gold\",result=\"granted"), count("none\",result=\"not_in_plan")];
    assert_eq!(told, [2.0 * transports, transports]);

    // The proxy's own address has the plan that allows nothing.
    let proxy = bind(Some(Ipv4Addr::new(127, 0, 0, 5).into()), server.udp);
    proxy.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
    let mut buffer = [0; 600];
    for (client, expected) in [
        ("127.0.0.9", "NOERROR"),
        ("192.0.2.9", "REFUSED"),
        ("198.51.100.9", "NOERROR"),
        ("2001:db8::9", "REFUSED"),
        ("2001:db9::9", "NOERROR"),
    ] {
        let (family, addresses) = match client.parse().expect("an address") {
            IpAddr::V4(client) => (0x12, [client.octets(), [127, 0, 0, 1]].concat()),
            IpAddr::V6(client) => (0x22, [client.octets(), [0; 16]].concat()),
        };
        let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21".to_vec();
        header.extend([family, 0, addresses.len() as u8 + 4]);
        header.extend(addresses);
        header.extend([99, 99, 0, 53]);
        for name in [&open, &format!("ns1.{open}")] {
            proxy.send(&[&header[..], &Query::new(name, "A").to_wire(7)].concat()).expect("send");
            let length = proxy.recv(&mut buffer).expect("an answer");
            let rcode = Reply::from_wire(&buffer[..length]).expect("an answer").rcode;
            // Below an address is nothing.
            let is_listed = name == &open || expected == "REFUSED";
            assert_eq!(rcode, if is_listed { expected } else { "NXDOMAIN" }, "{client}");
        }
    }
    server.stop();
}

/// The line of [`HASHED`] for a key file, made by `nibbl access hash`.
fn hashed_line(directory: &Directory) -> String {
    let plain = directory.write("plain", format!("{HASHED} gold\n"));
    let output = nibbl().args(["access", "hash"]).arg(plain).output().expect("nibbl");
    let line = String::from_utf8(output.stdout).expect("text");
    assert!(line.starts_with("sha256:") && line.ends_with(" gold\n"), "{line}");
    line
}

#[test]
fn key_files_are_read_again() {
    let directory = Directory::new();
    directory.write("keys", format!("{GOLD} gold\n"));
    let (server, _) = serve(&directory, "");
    let of = |key: &str| rcode(&server, listed(&format!("{key}.dq.example")), None);
    assert_eq!((of(GOLD), of(SMALL)), ("NOERROR".into(), "REFUSED".into()));
    fs::write(directory.path().join("keys"), format!("{SMALL} gold\nshort gold\n{GOLD} platinum\n"))
        .expect("write");
    let (_, said) = server.control(&["reload"]);
    assert!(!said.contains("not served"), "{said}");
    assert_eq!((of(GOLD), of(SMALL)), ("REFUSED".into(), "NOERROR".into()));
    fs::remove_file(directory.path().join("keys")).expect("remove");
    let (code, said) = server.control(&["reload"]);
    assert!(code == Some(1) && said.contains("access keys: ") && said.contains("No such file"), "{said}");
    assert_eq!(of(SMALL), "NOERROR", "the old keys stay");
    let said = server.stop();
    let path = directory.path().join("keys");
    for (place, message) in
        [("2:1", "a key has 8 to 63 characters"), ("3:21", "there is no plan of this name")]
    {
        assert!(said.contains(&format!("{}:{place}: error: {message}", path.display())), "{said}");
    }
    assert!(!said.contains(GOLD) && !said.contains(SMALL), "{said}");
}

#[test]
fn check_reads_key_files() {
    let directory = Directory::new();
    directory.write("list", LIST);
    directory.write("keys", format!("{GOLD} gold\n{SMALL} bronze\n"));
    let config = |more: &str| {
        let text = format!(
            "[access_keys]\nfile = 'keys'\nzones = ['dq.example']\n[[plan]]\nname = 'gold'\n\
             [[zone]]\nname = 'dq.example'\ndatasets = ['ip:list']\n{more}\n"
        );
        let output = nibbl().args(["check", "--config"]).arg(directory.write("nibbl.toml", text)).output();
        let output = output.expect("nibbl");
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (code, said) = config("");
    assert!(code == Some(2) && said.contains("keys:2:21: error: there is no plan of this name\n"), "{said}");
    assert!(said.contains("keys: 1 access keys, ") && !said.contains(SMALL), "{said}");
    let (code, said) = config("ranges = true");
    assert_eq!(code, Some(2));
    assert!(said.contains("zone `dq.example` has range records, and its names have access keys"), "{said}");
}

#[test]
fn no_key_in_the_query_log() {
    let directory = Directory::new();
    directory.write("keys", format!("{GOLD} gold\n"));
    let log = directory.path().join("queries");
    let (server, _) = serve(&directory, "[query_log]\nfile = 'queries'\nformat = 'json'\n");
    for key in [GOLD, SMALL] {
        rcode(&server, listed(&format!("{key}.dq.example")), None);
        rcode(&server, format!("{key}.dq.example"), None);
        // Left to the general path.
        ask(server.udp, &Query::new(listed(&format!("{key}.dq.example")), "ANY"));
        ask(server.udp, &Query { class: 3, ..Query::new(listed(&format!("{key}.dq.example")), "A") });
    }
    // In a wrong place: a zone without keys, no zone of ours, too deep in the right one.
    for behind in ["bl.example", "elsewhere.example", "zen.dq.example", "nobodys-key.dq.example"] {
        rcode(&server, listed(&format!("{GOLD}.{behind}")), None);
    }
    // Two questions are none.
    let two = {
        let mut packet = Query::new(listed(&format!("{GOLD}.dq.example")), "A").to_wire(1);
        let question = packet[12..].to_vec();
        packet[5] = 2;
        [packet, question].concat()
    };
    let socket = bind(None, server.udp);
    socket.send(&two).expect("send");
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
    socket.recv(&mut [0; 512]).expect("FORMERR");
    server.stop();
    let lines = fs::read_to_string(log).expect("the log");
    assert_eq!(lines.lines().count(), 13, "{lines}");
    assert!(!lines.to_lowercase().contains("gold-key") && !lines.contains("small"), "{lines}");
    assert!(!lines.contains("nobodys"), "{lines}");
    let shown = lines.lines().filter(|line| line.contains(".key-") || line.contains("\"key-")).count();
    assert_eq!((shown, lines.matches("\"name\":null").count()), (12, 1), "{lines}");
}

/// Asks until someone says stop or the server is gone; counts what is answered.
fn load(server: SocketAddr, answered: &AtomicU64, refused: &AtomicU64, stop: &AtomicBool) {
    const WINDOW: u16 = 16;
    let socket = bind(None, server);
    socket.set_read_timeout(Some(Duration::from_millis(500))).expect("timeout");
    let query = Query::new(listed(&format!("{SMALL}.dq.example")), "A");
    let mut buffer = [0; 600];
    while !stop.load(Ordering::Relaxed) {
        for id in 0..WINDOW {
            if socket.send(&query.to_wire(id)).is_err() {
                return;
            }
        }
        for _ in 0..WINDOW {
            let Ok(length) = socket.recv(&mut buffer) else { return };
            let counter = if buffer[..length][3] & 0xf == 0 { answered } else { refused };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Loads a server over four sockets until `enough` says so.
fn load_until(server: SocketAddr, answered: &AtomicU64, enough: impl Fn(u64) -> bool, then: impl FnOnce()) {
    let (refused, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let loads: Vec<_> = (0..4).map(|_| scope.spawn(|| load(server, answered, &refused, &stop))).collect();
        while !enough(refused.load(Ordering::Relaxed)) && !loads.iter().all(|load| load.is_finished()) {
            std::thread::yield_now();
        }
        then();
        stop.store(true, Ordering::Relaxed);
    });
}

/// Quotas are exact to 1 % over two workers and two sudden ends in the middle, and to the question
/// over a stop.
#[test]
fn quotas_survive_sudden_ends() {
    const QUOTA: u64 = 40_000;
    let directory = Directory::new();
    directory.write("keys", format!("{GOLD} gold\n{SMALL} small\n"));
    let small = format!("[[plan]]\nname = 'small'\nmonthly = {QUOTA}\ntext = '{TEXT}'\n");
    let answered = AtomicU64::new(0);
    for part in [QUOTA / 4, QUOTA / 2] {
        let (server, _) = serve(&directory, &small);
        let kill = || server.process.signal(Signal::SIGKILL);
        load_until(server.udp, &answered, |_| answered.load(Ordering::Relaxed) >= part, kill);
        drop(server);
    }
    let (server, monitor) = serve(&directory, &small);
    load_until(server.udp, &answered, |refused| refused > 1000, || ());
    let answered = answered.load(Ordering::Relaxed);
    assert!(answered.abs_diff(QUOTA) <= QUOTA / 100, "{answered} of {QUOTA}");
    println!("{answered} answered of a quota of {QUOTA}, over two sudden ends");

    let usage = |server: &Server| {
        let (code, said) = server.control(&["access", "usage", "--json"]);
        assert_eq!(code, Some(0), "{said}");
        let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        said["usage"].clone()
    };
    let before = usage(&server);
    assert_eq!((&before["accounts"], &before["usage"][0]["month"]), (&1.into(), &QUOTA.into()), "{before}");
    let (code, http) = get(monitor, "/usage?limit=5");
    let http: serde_json::Value = serde_json::from_str(&http).expect("JSON");
    assert_eq!((code, &http), (200, &before));
    assert_eq!(get(monitor, "/usage?limit=all").0, 400);
    let account = before["usage"][0]["account"].as_str().expect("an account");
    let name = format!("nibbl_account_queries_total{{account=\"{account}\",plan=\"small\",result=\"");
    let accounts = get(monitor, "/metrics/accounts?limit=5").1;
    assert!(accounts.contains(&format!("{name}granted\"}} {}", before["usage"][0]["total"])), "{accounts}");
    assert!(accounts.contains(&format!("{name}denied\"}} ")) && !accounts.contains(SMALL), "{accounts}");
    let shown = server.control(&["access", "usage"]).1;
    assert!(shown.contains("small") && shown.contains("40000") && !shown.contains(SMALL), "{shown}");
    server.stop();
    let (server, _) = serve(&directory, &small);
    assert_eq!(usage(&server), before, "after a stop");
    assert_eq!(rcode(&server, listed(&format!("{SMALL}.dq.example")), None), "REFUSED");
    assert_eq!(rcode(&server, listed(&format!("{GOLD}.dq.example")), None), "NOERROR");
    server.stop();
    let files = fs::read_dir(directory.path().join("usage")).expect("the store").flatten();
    for file in files.filter(|file| file.path().is_file()) {
        let content = fs::read(file.path()).expect("a file of the store");
        assert!(!contains(&content, "small-key"), "{:?}", file.path());
    }
}

/// The directory of the store is made for the user that the server becomes.
#[test]
fn the_store_belongs_to_the_user() {
    if !nix::unistd::geteuid().is_root() {
        println!("SKIPPED (only root can become another user)");
        return;
    }
    let directory = Directory::new();
    directory.write("keys", format!("{GOLD} gold\n"));
    let config = configuration(&directory, "[process]\nuser = 'nobody'\n");
    let mut command = nibbl();
    // nobody may make no control socket.
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--config"])
        .arg(config)
        .env("XDG_RUNTIME_DIR", "/nonexistent");
    let mut process = Process::start(command);
    let udp = listening(&mut process);
    assert_eq!(ask(udp, &Query::new(listed(&format!("{GOLD}.dq.example")), "A")).rcode, "NOERROR");
    let (status, said) = process.stop();
    assert!(status.success() && !said.contains("usage is not put down"), "{said}");
    use std::os::unix::fs::MetadataExt;
    let owner = fs::metadata(directory.path().join("usage")).expect("the store").uid();
    assert_ne!(owner, 0);
}
