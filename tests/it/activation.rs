//! Sockets that the service manager has opened and passes to the server.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use crate::harness::client::{PATIENCE, ask, ask_all_tcp};
use crate::harness::dns::{Query, Reply};
use crate::harness::files::Directory;
use crate::harness::http::get;
use crate::harness::process::Process;
use crate::harness::server::{free_port, nibbl, peer};

const LISTED: &str = "4.3.2.1.bl.example";

/// `nibbl serve` with a list, for these addresses.
fn serve(directory: &Directory, options: &[&str]) -> Command {
    directory.write("list", "1.2.3.4\n");
    let mut command = nibbl();
    command.args(["serve", "--dir"]).arg(directory.path()).args(options).arg("bl.example:ip:list");
    command
}

/// The command as it is started with the socket that it gets as standard input (sd_listen_fds(3)).
fn with_passed(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\""]);
    shell.arg(command.get_program()).args(command.get_args());
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell
}

/// What comes while no server runs is answered by the next.
#[test]
fn queries_wait_in_the_socket_for_the_next_server() {
    let directory = Directory::new();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let address = socket.local_addr().expect("an address");
    let start = || {
        let control = format!("--control={}", directory.path().join("control").display());
        let command = serve(&directory, &[&format!("--listen={address}"), &control]);
        let passed: OwnedFd = socket.try_clone().expect("a copy").into();
        let mut process = Process::start_with(with_passed(&command), Stdio::from(passed));
        process.wait_for_text("nibbl: ready");
        process
    };
    let client = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    client.connect(address).expect("connect");
    client.set_read_timeout(Some(PATIENCE)).expect("read timeout");
    for round in 0..3 {
        client.send(&Query::new(LISTED, "A").to_wire(round)).expect("send");
        let process = start();
        let mut reply = [0; 512];
        let octets = client.recv(&mut reply).expect("an answer");
        let reply = Reply::from_wire(&reply[..octets]).expect("an answer");
        assert_eq!((reply.id, reply.rdata("A")), (round, vec!["127.0.0.2"]));
        // Several workers share the socket.
        for _ in 0..100 {
            assert_eq!(ask(address, &Query::new(LISTED, "A")).rdata("A"), ["127.0.0.2"]);
        }
        assert!(process.stop().0.success());
    }
}

#[test]
fn sockets_that_are_of_no_use_are_said() {
    let directory = Directory::new();
    let unused = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let both = TcpListener::bind("[::]:0").expect("a socket");
    let port = both.local_addr().expect("an address").port();
    let (loopback, wildcard) = ("--listen=127.0.0.1:0".to_owned(), format!("--listen=[::]:{port}"));
    let file = std::fs::File::open("/dev/null").expect("open");
    for (passed, listen, message) in [
        (OwnedFd::from(unused), &loopback, "nothing in the configuration listens there"),
        (OwnedFd::from(both), &wildcard, "for both IP versions: set BindIPv6Only=ipv6-only"),
        (OwnedFd::from(file), &loopback, "socket 0 from the service manager"),
    ] {
        let mut command = with_passed(&serve(&directory, &[listen]));
        let output = command.stdin(Stdio::from(passed)).output().expect("nibbl");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(message), "{said}");
    }
}

/// systemd's own way: the first who comes starts the server.
#[test]
fn systemd_starts_the_server_on_demand() {
    let Some(activate) = peer("systemd-socket-activate") else { return };
    let directory = Directory::new();
    let start = |kind: &[&str], addresses: &[SocketAddr], options: &[&str]| {
        let server = serve(&directory, options);
        let mut command = Command::new(&activate);
        command.args(kind).args(addresses.iter().map(|address| format!("--listen={address}")));
        command.arg("--setenv=NIBBL_LOG=plain").arg(server.get_program()).args(server.get_args());
        let mut process = Process::start(command);
        for address in addresses {
            process.wait_for_text(&format!("Listening on {address}"));
        }
        process
    };
    let (plain, metrics) = (free_port(), free_port());
    let listen = format!("--listen={plain}");

    let process = start(&["--datagram"], &[plain], &[&listen]);
    assert_eq!(ask(plain, &Query::new(LISTED, "A")).rdata("A"), ["127.0.0.2"]);
    assert!(process.stop().0.success());

    let config = directory.write("nibbl.toml", format!("[metrics]\nlisten = '{metrics}'\n"));
    let config = format!("--config={}", config.display());
    let mut process = start(&[], &[plain, metrics], &[&listen, &config]);
    let stream = TcpStream::connect(plain).expect("connect");
    let replies = ask_all_tcp(plain, &[Query::new(LISTED, "A")]);
    assert_eq!(replies[0].as_ref().expect("an answer").rdata("A"), ["127.0.0.2"]);
    process.wait_for_text("nibbl: ready");
    assert_eq!(get(metrics, "/readyz").0, 200);
    drop(stream);
    assert!(process.stop().0.success());
}
