//! Ways to the server besides plain queries: NOTIFY, and the addresses of a wildcard listener.

use std::net::SocketAddr;

use crate::harness::client::{PATIENCE, ask, ask_all, bind};
use crate::harness::dns::{Query, Reply};
use crate::harness::files::Directory;
use crate::harness::process::Process;
use crate::harness::server::{Server, free_port, nibbl};

const HEAD: &str = "$SOA 1h ns1.example.net host.example.net 1 2h 30m 7d 10m\n$NS 1d ns1.example.net\n";
const LISTED: &str = "4.3.2.1.bl.example";

fn serve(directory: &Directory, configuration: &str) -> Server {
    let path = directory.write(
        "nibbl.toml",
        format!("{configuration}[[zone]]\nname = 'bl.example'\ndatasets = ['ip:list']\n"),
    );
    Server::serve(["--config".as_ref(), path.as_os_str()])
}

/// RFC 1996: who is configured has the files looked at, at once; anybody else is refused.
#[test]
fn notify() {
    let directory = Directory::new();
    directory.write("list", format!("{HEAD}1.2.3.4\n"));
    let mut server =
        serve(&directory, "[server]\nnotify_from = ['127.0.0.1']\n[reload]\nnotify = false\npoll = 0\n");
    std::fs::write(directory.path().join("list"), format!("{HEAD}1.2.3.4\n5.6.7.8\n")).expect("write");
    let mut wire = Query::new("bl.example", "SOA").to_wire(9);
    wire[2] = 0x24; // operation code 4, AA
    for (source, rcode) in [("127.0.0.2", "REFUSED"), ("127.0.0.1", "NOERROR")] {
        assert_eq!(ask(server.udp, &Query::new("8.7.6.5.bl.example", "A")).rcode, "NXDOMAIN");
        let socket = bind(Some(source.parse().expect("an address")), server.udp);
        socket.set_read_timeout(Some(PATIENCE)).expect("read timeout");
        socket.send(&wire).expect("send");
        let mut reply = [0; 512];
        let length = socket.recv(&mut reply).expect("an answer");
        assert_eq!(reply[2] & 0xf8, 0xa0, "a response with operation code 4");
        assert_eq!(Reply::from_wire(&reply[..length]).expect("a reply").rcode, rcode, "{source}");
    }
    server.process.wait_for_text("2 entries, before 1");
    assert_eq!(ask(server.udp, &Query::new("8.7.6.5.bl.example", "A")).rcode, "NOERROR");
    server.stop();
}

/// As with rbldnsd, queries that come before the first load is through wait for it.
#[test]
fn the_drop_in_answers_from_its_data_only() {
    let directory = Directory::new();
    let many: String =
        (0..100_000).map(|i| format!("10.{}.{}.{}\n", i >> 16, i >> 8 & 255, i & 255)).collect();
    directory.write("list", format!("{HEAD}{many}1.2.3.4\n"));
    let address = free_port();
    let mut command = nibbl();
    command.args(["rbldnsd", "-n", "-q", "-c", "0", "-b", &address.to_string(), "-w"]);
    command.arg(directory.path()).arg("bl.example:ip4trie:list");
    let process = Process::start(command);
    let query = [Query::new(LISTED, "A")];
    // Until the socket is bound, the system refuses.
    let first =
        std::iter::repeat_with(|| ask_all(address, &query).remove(0)).take(10_000).find_map(|reply| reply);
    assert_eq!(first.expect("an answer").rdata("A"), ["127.0.0.2"]);
    assert!(process.stop().0.success());
}

/// Wildcards of both families on one port; the sockets of the client take answers of the asked address only.
#[test]
fn wildcard_listeners() {
    let directory = Directory::new();
    let path = directory.write("list", format!("{HEAD}1.2.3.4\n"));
    let port = free_port().port();
    let listen = [format!("--listen=0.0.0.0:{port}"), format!("--listen=[::]:{port}")];
    let zone = format!("bl.example:ip:{}", path.display());
    let server = Server::serve([&listen[0], &listen[1], &zone]);
    for address in ["127.0.0.1", "127.0.0.77", "::1"] {
        let address = SocketAddr::new(address.parse().expect("an address"), port);
        assert_eq!(ask(address, &Query::new(LISTED, "A")).rdata("A"), ["127.0.0.2"], "{address}");
    }
    server.stop();
}
