//! The servers under test: nibbl, and the programs that it is compared with or lives with.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::files::Directory;
use super::process::Process;

/// The control socket's file name.
const CONTROL: &str = "control";

/// A server that answers on loopback.
pub(crate) struct Server {
    /// Where it answers over UDP.
    pub(crate) udp: SocketAddr,
    /// Where it answers over TCP; rbldnsd does not.
    pub(crate) tcp: Option<SocketAddr>,
    /// The program.
    pub(crate) process: Process,
    /// Where nibbl's control socket is.
    control: Option<Directory>,
}

impl Server {
    /// `nibbl serve` with these arguments, on a port of the kernel's choice.
    pub(crate) fn serve<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Self {
        let control = Directory::new();
        let mut command = nibbl();
        command.args(["serve", "--listen", "127.0.0.1:0", "--control"]).arg(control.path().join(CONTROL));
        command.args(arguments);
        Self::nibbl(command, Some(control))
    }

    /// nibbl in rbldnsd's place, with the data files of `directory`.
    pub(crate) fn dropin(directory: &Path, options: &[String], zones: &[String]) -> Self {
        let mut command = nibbl();
        command.args(["rbldnsd", "-n", "-q", "-c", "0", "-b", "127.0.0.1/0", "-w"]);
        command.arg(directory).args(options).args(zones);
        Self::nibbl(command, None)
    }

    /// The real rbldnsd with the same, if it is installed.
    pub(crate) fn rbldnsd(directory: &Path, options: &[String], zones: &[String]) -> Option<Self> {
        let program = peer("rbldnsd")?;
        let udp = free_port();
        let mut command = Command::new(program);
        command.args(["-n", "-q", "-c", "0", "-b", &format!("127.0.0.1/{}", udp.port()), "-w"]);
        command.arg(directory).args(options).args(zones);
        let mut process = Process::start(command);
        process.wait_for_text("zones reloaded");
        Some(Self { udp, tcp: None, process, control: None })
    }

    fn nibbl(command: Command, control: Option<Directory>) -> Self {
        let mut process = Process::start(command);
        let address = listening(&mut process);
        Self { udp: address, tcp: Some(address), process, control }
    }

    /// Runs `nibbl reload` or `nibbl status` on this server; returns the exit code and the output.
    pub(crate) fn control(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let control = self.control.as_ref().expect("`nibbl serve`").path().join(CONTROL);
        let output = nibbl().args(arguments).arg("--control").arg(control).output().expect("nibbl");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    }

    /// Starts `nibbl status --watch` on this server.
    pub(crate) fn watch(&self) -> Process {
        let control = self.control.as_ref().expect("`nibbl serve`").path().join(CONTROL);
        let mut command = nibbl();
        command.args(["status", "--watch", "--control"]).arg(control);
        Process::start(command)
    }

    /// What `wanted` makes of a line that it has said, or soon says.
    pub(crate) fn said<T>(&mut self, wanted: impl Fn(&str) -> Option<T>) -> T {
        self.process.said(wanted)
    }

    /// Stops it; returns all that it said.
    ///
    /// # Panics
    /// When it does not end with exit code 0.
    pub(crate) fn stop(self) -> String {
        let (status, said) = self.process.stop();
        assert!(status.success(), "{status}\n{said}");
        said
    }
}

/// Waits until nibbl answers: the first address that it listens on, over UDP and TCP.
pub(crate) fn listening(process: &mut Process) -> SocketAddr {
    let address = process.wait_for(|line| line.split_once("listening on udp ")?.1.parse().ok());
    process.wait_for_text("nibbl: ready");
    address
}

/// The program under test. It logs for people, which is what tests wait for.
pub(crate) fn nibbl() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nibbl"));
    command.env("NIBBL_LOG", "plain");
    command
}

/// Another program that a test needs: its path, or `None` with a word on why the test is skipped.
///
/// # Panics
/// When it is missing and NIBBL_REQUIRE_PEERS=1.
pub(crate) fn peer(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into(), "/usr/local/sbin".into()])
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file());
    if found.is_none() {
        let required = std::env::var_os("NIBBL_REQUIRE_PEERS").is_some_and(|value| value == "1");
        assert!(!required, "{program} is not installed, and NIBBL_REQUIRE_PEERS=1");
        println!("SKIPPED ({program} is not installed)");
    }
    found
}

/// A port of 127.0.0.1 that was free for both transports a moment ago, for programs that cannot take port 0.
pub(crate) fn free_port() -> SocketAddr {
    let any = (Ipv4Addr::LOCALHOST, 0);
    (0..100)
        .find_map(|_| {
            let tcp = TcpListener::bind(any).ok()?.local_addr().ok()?;
            UdpSocket::bind(tcp).ok().map(|_| tcp)
        })
        .expect("a free port")
}
