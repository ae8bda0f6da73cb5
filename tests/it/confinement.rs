//! The confined process: what is taken from it, and what it can still do.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;

use nibbl::confinement::{Needs, confine};
use nix::unistd::geteuid;

use crate::harness::client::ask;
use crate::harness::dns::Query;
use crate::harness::files::Directory;
use crate::harness::process::Process;
use crate::harness::server::{Server, listening, nibbl};

/// Names the directory in which the second process of [`what_is_taken_and_what_is_left`] works.
const INSIDE: &str = "NIBBL_TEST_INSIDE";

/// Confinement holds for good, so another process is confined: this test, started again by itself.
#[test]
fn what_is_taken_and_what_is_left() {
    if let Some(directory) = std::env::var_os(INSIDE) {
        return inside(Path::new(&directory));
    }
    let directory = Directory::new();
    directory.write("list", "data");
    let itself = std::env::current_exe().expect("the test's own program");
    let output = Command::new(itself)
        .args(["--exact", "confinement::what_is_taken_and_what_is_left", "--nocapture", "--test-threads=1"])
        .env(INSIDE, directory.path())
        .output()
        .expect("start");
    assert!(output.status.success(), "{output:?}");
}

fn inside(directory: &Path) {
    let needs = Needs { read: vec![directory.join("list")], written: vec![directory.join("logs/queries")] };
    fs::create_dir(directory.join("logs")).expect("a directory");
    let open = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let lacking: Vec<String> = confine(&needs).iter().map(ToString::to_string).collect();
    assert!(lacking.is_empty(), "this kernel cannot: {lacking:?}");

    assert_eq!(fs::read(directory.join("list")).expect("read"), b"data");
    fs::write(directory.join("logs/queries"), "line").expect("write");
    fs::rename(directory.join("logs/queries"), directory.join("logs/queries.1")).expect("rotate");
    fs::remove_file(directory.join("logs/queries.1")).expect("remove");
    assert_eq!(std::thread::spawn(|| 42).join().expect("a thread"), 42);
    open.send_to(b"packet", open.local_addr().expect("address")).expect("send");
    std::os::unix::net::UnixListener::bind(directory.join("logs/control")).expect("a control socket");

    fs::read("/etc/shadow").expect_err("the system's secrets");
    fs::read("/etc/passwd").expect_err("any other file");
    fs::write(directory.join("list"), "other").expect_err("data is not ours to write");
    Command::new("/bin/true").status().expect_err("programs");
    UdpSocket::bind("127.0.0.1:0").expect_err("further sockets");
    std::net::TcpStream::connect("127.0.0.1:9").expect_err("connections");
    nix::unistd::chroot("/").expect_err("another root directory");
}

#[test]
fn a_confined_server_reloads_but_reads_nothing_else() {
    let directory = Directory::new();
    let list = directory.write("list", "2001:db8::/32\n");
    let elsewhere = Directory::new();
    let secret = elsewhere.write("secret", "2001:db9::/32\n");
    let server =
        Server::serve(["--dir".as_ref(), directory.path().as_os_str(), "bl.example:ip6trie:list".as_ref()]);
    let listed = |address: &str| {
        let name = crate::harness::dns::reversed(address.parse().expect("an address"), "bl.example");
        !ask(server.udp, &Query::new(name, "A")).rdata("A").is_empty()
    };
    let pid = server.process.id();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(status.contains(line), "{status}");
    }

    assert!(listed("2001:db8::1"));
    fs::write(directory.path().join("new"), "2001:db7::/32\n").expect("write");
    fs::rename(directory.path().join("new"), &list).expect("rename");
    assert_eq!(server.control(&["reload"]).0, Some(0));
    assert!(listed("2001:db7::1") && !listed("2001:db8::1"));

    std::os::unix::fs::symlink(secret, directory.path().join("new")).expect("a link");
    fs::rename(directory.path().join("new"), &list).expect("rename");
    let (code, said) = server.control(&["reload"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("Permission denied") && said.contains("(`read` in `[process]`)"), "{said}");
    assert!(listed("2001:db7::1"), "the old data stays");
    server.stop();
}

/// The switch: no confinement, and yet no new privileges.
#[test]
fn confinement_can_be_done_without() {
    let directory = Directory::new();
    directory.write("list", "2001:db8::/32\n");
    let dir = directory.path().as_os_str();
    let server =
        Server::serve(["--no-confine".as_ref(), "--dir".as_ref(), dir, "bl.example:ip6trie:list".as_ref()]);
    let status = fs::read_to_string(format!("/proc/{}/status", server.process.id())).expect("its status");
    for line in ["NoNewPrivs:\t1", "Seccomp:\t0"] {
        assert!(status.contains(line), "{status}");
    }
    let said = server.stop();
    assert_eq!(said.contains("running as root: say whom to become"), geteuid().is_root(), "{said}");
}

#[test]
fn root_becomes_the_user() {
    if !geteuid().is_root() {
        println!("SKIPPED (needs root)");
        return;
    }
    let directory = Directory::new();
    directory.write("list", "2001:db8::/32\n");
    // The default place of the control socket is root's.
    let run = directory.path().join("run");
    fs::create_dir(&run).expect("a directory");
    let serve = |arguments: &[&str]| {
        let mut command = nibbl();
        command.env("XDG_RUNTIME_DIR", &run);
        command.args(["serve", "--dir"]).arg(directory.path()).args(arguments).arg("bl.example:ip6trie:list");
        command
    };
    let mut process = Process::start(serve(&["--listen", "127.0.0.1:0", "--user", "nobody"]));
    listening(&mut process);
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).expect("its status");
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:")).expect("its user");
    assert!(ids.split_whitespace().all(|id| id != "0"), "{ids}");
    let reload = nibbl().arg("reload").env("XDG_RUNTIME_DIR", &run).output().expect("nibbl");
    assert!(reload.status.success(), "{reload:?}");
    process.stop();

    let refused = serve(&["--listen", "127.0.0.1:53"]).output().expect("nibbl");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("running as root on port 53"), "{said}");
}
