//! DNS over TLS and over QUIC: the answers are those of TCP, for another implementation too, and
//! certificates are exchanged in the running, confined server.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use nix::sys::signal::Signal;

use crate::harness::client::{PATIENCE, ask, bind};
use crate::harness::dns::{Query, Reply};
use crate::harness::files::Directory;
use crate::harness::http::get;
use crate::harness::process::Process;
use crate::harness::server::{Server, free_port, peer};

const HEAD: &str = "$SOA 1h ns1.example.net host.example.net 1 2h 30m 7d 10m\n$NS 1d ns1.example.net\n";
const LISTED: &str = "4.3.2.1.bl.example";

/// What is asked in all ways: listed, not listed, the apex, elsewhere, and more than fits into UDP.
const QUESTIONS: [(&str, &str); 7] = [
    (LISTED, "A"),
    (LISTED, "TXT"),
    ("5.3.2.1.bl.example", "A"),
    ("bl.example", "SOA"),
    ("bl.example", "NS"),
    ("other", "A"),
    ("6.3.2.1.bl.example", "TXT"),
];

/// A server that answers over all transports, TLS and QUIC on one port, with the files of a directory.
struct Encrypted {
    server: Server,
    address: SocketAddr,
    monitor: SocketAddr,
}

impl Encrypted {
    fn serve(directory: &Directory) -> Self {
        let long = "x".repeat(1500);
        directory.write("list", format!("{HEAD}1.2.3.4 :4:seen $\n1.2.3.6 :4:{long}\n"));
        let address = free_port();
        let listener = format!("listen = '{address}'\ncertificate = 'chain.pem'\nkey = 'key.pem'\n");
        let config = directory.write(
            "nibbl.toml",
            format!(
                "[metrics]\nlisten = '127.0.0.1:0'\n[[tls]]\n{listener}[[quic]]\n{listener}\
                 [[zone]]\nname = 'bl.example'\ndatasets = ['ip:list']\n"
            ),
        );
        let mut server = Server::serve(["--config".as_ref(), config.as_os_str()]);
        let monitor =
            server.said(|line| line.split_once("metrics on http://")?.1.split('/').next()?.parse().ok());
        Self { server, address, monitor }
    }

    /// The sum of the samples of a metric with this label.
    fn sum(&self, metric: &str, label: &str) -> f64 {
        let (_, text) = get(self.monitor, "/metrics");
        let samples = text.lines().filter(|line| line.starts_with(metric) && line.contains(label));
        samples.map(|line| line.rsplit_once(' ').expect("a value").1.parse::<f64>().expect("a number")).sum()
    }
}

/// Writes a new certificate for ns.example and its key.
pub(crate) fn make(chain: &Path, key: &Path) -> rcgen::Certificate {
    let made = rcgen::generate_simple_self_signed(["ns.example".to_owned()]).expect("a certificate");
    std::fs::write(chain, made.cert.pem()).expect("write");
    std::fs::write(key, made.signing_key.serialize_pem()).expect("write");
    made.cert
}

/// Asks over TLS; an error where the server shows another certificate.
pub(crate) fn ask_over_tls(
    address: SocketAddr,
    certificate: &rcgen::Certificate,
    query: &Query,
) -> std::io::Result<Reply> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.der().clone()).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "ns.example".try_into().expect("a name");
    let connection = rustls::ClientConnection::new(Arc::new(config), name).expect("a connection");
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut stream = rustls::StreamOwned::new(connection, stream);
    let wire = query.to_wire(7);
    let length = u16::try_from(wire.len()).expect("short query").to_be_bytes();
    stream.write_all(&[&length[..], &wire].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut reply = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut reply)?;
    Ok(Reply::from_wire(&reply).expect("a well-formed answer"))
}

#[test]
fn tls_says_what_udp_says() {
    let directory = Directory::new();
    let certificate = make(&directory.path().join("chain.pem"), &directory.path().join("key.pem"));
    let Encrypted { server, address, .. } = Encrypted::serve(&directory);
    for (name, record_type) in QUESTIONS.into_iter().take(6) {
        let query = Query { edns: Some(1232), ..Query::new(name, record_type) };
        let over_udp = ask(server.udp, &query);
        let over_tls = ask_over_tls(address, &certificate, &query).expect("an answer");
        assert_eq!(Reply { id: 0, ..over_tls }, Reply { id: 0, ..over_udp }, "{query}");
    }
    server.stop();
}

/// Knot's client checks the certificate, sends the ID 0 over QUIC, and pads its queries.
#[test]
fn kdig_gets_the_answers_of_tcp() {
    let Some(kdig) = peer("kdig") else { return };
    let directory = Directory::new();
    make(&directory.path().join("chain.pem"), &directory.path().join("key.pem"));
    let of = Encrypted::serve(&directory);
    let trust = format!("+tls-ca={}", directory.path().join("chain.pem").display());
    let said = |address: SocketAddr, options: &[&str], (name, record_type): (&str, &str)| {
        let mut command = Command::new(&kdig);
        command.arg(format!("@{}", address.ip())).args(["-p", &address.port().to_string()]);
        command.args(options).args(["+edns", "+nocrypto", "+retry=0", name, record_type]);
        let output = command.output().expect("kdig");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains("HEADER"), "{options:?}: {output:?}");
        text
    };
    let tcp = of.server.tcp.expect("TCP");
    for question in QUESTIONS {
        let over_tcp = said(tcp, &["+tcp"], question);
        for protocol in ["+tls", "+quic"] {
            let options = [&*trust, "+tls-hostname=ns.example", "+padding", protocol];
            let text = said(of.address, &options, question);
            assert_eq!(meaning(&text), meaning(&over_tcp), "{protocol} {question:?}");
            let octets: usize = text
                .split_once(";; Received ")
                .and_then(|(_, rest)| rest.split(' ').next()?.parse().ok())
                .expect("a size");
            assert_eq!((octets % 468, text.contains(";; PADDING: ")), (0, true), "{text}");
            assert_eq!(text.contains("id: 0\n"), protocol == "+quic", "{text}");
        }
    }
    let asked = QUESTIONS.len() as f64;
    for transport in ["tcp", "tls", "quic"] {
        let label = format!("transport=\"{transport}\"");
        assert_eq!(of.sum("nibbl_queries_total", &label), asked, "{transport}");
        assert_eq!(of.sum("nibbl_connections_total", &label), asked, "{transport}");
        assert_eq!(of.sum("nibbl_unsent_total", &label), 0.0, "{transport}");
    }
    of.server.stop();
}

/// A resolver whose users see no difference, and whose questions nobody reads: docs/transports.md.
#[test]
fn unbound_asks_over_tls() {
    let Some(unbound) = peer("unbound") else { return };
    let directory = Directory::new();
    let path = directory.path();
    make(&path.join("chain.pem"), &path.join("key.pem"));
    let of = Encrypted::serve(&directory);
    let resolver = free_port();
    let config = directory.write(
        "unbound.conf",
        format!(
            "server:\n directory: \"{directory}\"\n chroot: \"\"\n username: \"\"\n pidfile: \"\"\n \
             use-syslog: no\n do-daemonize: no\n interface: 127.0.0.1\n port: {}\n do-not-query-localhost: no\n \
             module-config: \"iterator\"\n tls-cert-bundle: \"{directory}/chain.pem\"\n\
             stub-zone:\n name: bl.example\n stub-tls-upstream: yes\n stub-addr: 127.0.0.1@{}#ns.example\n\
             remote-control:\n control-enable: no\n",
            resolver.port(),
            of.address.port(),
            directory = path.display(),
        ),
    );
    let mut command = Command::new(unbound);
    command.args(["-d", "-c"]).arg(config);
    let mut process = Process::start(command);
    process.wait_for_text("start of service");
    assert_eq!(ask(resolver, &Query::new(LISTED, "A")).rdata("A"), ["127.0.0.4"]);
    assert_eq!(ask(resolver, &Query::new("5.3.2.1.bl.example", "A")).rcode, "NXDOMAIN");
    assert!(of.sum("nibbl_queries_total", "transport=\"tls\"") >= 2.0);
    assert_eq!(of.sum("nibbl_queries_total", "transport=\"udp\""), 0.0);
    process.stop();
    of.server.stop();
}

/// What kdig shows of a reply, but for what belongs to the transport.
fn meaning(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| {
        let of_transport = [";; TLS", ";; QUIC", ";; PADDING", ";; Received", ";; Time", ";; From"];
        !line.is_empty() && !of_transport.iter().any(|start| line.starts_with(start))
    });
    lines.map(|line| line.split("; id: ").next().unwrap_or(line).to_owned()).collect()
}

/// As certbot does it: what the server is told are links to the files of today.
struct Live {
    directory: Directory,
    links: [PathBuf; 2],
}

impl Live {
    fn new() -> Self {
        let directory = Directory::new();
        std::fs::create_dir(directory.path().join("archive")).expect("a directory");
        let links = ["chain.pem", "key.pem"].map(|name| directory.path().join(name));
        Self { directory, links }
    }

    /// The files that will have this number.
    fn archive(&self, number: u32) -> [PathBuf; 2] {
        ["chain", "key"].map(|name| self.directory.path().join(format!("archive/{name}{number}.pem")))
    }

    /// Has the links lead to other files.
    fn show(&self, files: &[PathBuf; 2]) {
        for (link, file) in self.links.iter().zip(files) {
            let new = link.with_extension("new");
            symlink(file, &new).expect("a link");
            std::fs::rename(&new, link).expect("rename");
        }
    }
}

#[test]
fn certificates_are_exchanged_and_bad_ones_are_not() {
    let live = Live::new();
    let [chain, key] = live.archive(1);
    let first = make(&chain, &key);
    live.show(&[chain, key]);
    let mut of = Encrypted::serve(&live.directory);
    let address = of.address;
    let works = |certificate| ask_over_tls(address, certificate, &Query::new(LISTED, "A")).is_ok();
    assert!(works(&first));
    let expires = of.sum("nibbl_certificate_expires_timestamp_seconds", "chain.pem");
    assert!(expires > 1e9);

    // The watched links lead elsewhere.
    let [chain, key] = live.archive(2);
    let second = make(&chain, &key);
    live.show(&[chain, key]);
    of.server.process.wait_for_text("chain.pem: a new one, for ");
    assert!(works(&second) && !works(&first));

    // A chain without its key; said once, and by `reload` and `status`.
    let [chain, key] = live.archive(3);
    let third = make(&chain, &key);
    live.show(&[chain.clone(), live.archive(2)[1].clone()]);
    of.server.process.wait_for_text("chain.pem: the old one is kept: ");
    let (code, said) = of.server.control(&["reload"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("! the old one is kept: "), "{said}");
    assert_eq!(of.server.control(&["status"]).0, Some(1));
    assert_eq!(of.sum("nibbl_certificate_outdated", "chain.pem"), 1.0);
    assert_eq!(of.sum("nibbl_reload_success", ""), 0.0);
    assert!(works(&second) && !works(&third));

    live.show(&[chain, key]);
    of.server.process.signal(Signal::SIGHUP);
    of.server.process.wait_for_text("chain.pem: a new one, for ");
    assert!(works(&third));
    let (code, said) = of.server.control(&["reload"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("chain.pem: expires in "), "{said}");
    assert_eq!(of.sum("nibbl_certificate_outdated", "chain.pem"), 0.0);
    of.server.stop();
}

/// What the socket of QUIC loses is counted as what others lose; nobody has to speak QUIC for it.
#[test]
fn what_the_socket_of_quic_loses_is_counted() {
    let directory = Directory::new();
    let [chain, key] = ["chain.pem", "key.pem"].map(|name| directory.path().join(name));
    make(&chain, &key);
    let encrypted = Encrypted::serve(&directory);
    let shed = || encrypted.sum("nibbl_shed_queries_total", "");
    assert_eq!(shed(), 0.0);
    let socket = bind(None, encrypted.address);
    encrypted.server.process.signal(Signal::SIGSTOP);
    // More than the largest buffer holds, which is twice 4 MiB.
    for _ in 0..20_000 {
        socket.send(&[0; 1000]).expect("send");
    }
    encrypted.server.process.signal(Signal::SIGCONT);
    while shed() == 0.0 {
        std::thread::yield_now();
    }
    encrypted.server.stop();
}
