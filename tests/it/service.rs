//! What a server that is a service is given and told, and what it tells.

use std::os::unix::net::UnixDatagram;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::harness::client::PATIENCE;
use crate::harness::files::Directory;
use crate::harness::process::Process;
use crate::harness::server::{listening, nibbl, peer};

/// `nibbl serve` with a list.
fn serve(directory: &Directory) -> Command {
    directory.write("list", "1.2.3.4\n");
    let mut command = nibbl();
    command.args(["serve", "--listen=127.0.0.1:0", "--dir"]).arg(directory.path()).arg("bl.example:ip:list");
    command.arg(format!("--control={}", directory.path().join("control").display()));
    command
}

/// As systemd sees a service of the type `notify` with a watchdog (sd_notify(3)).
#[test]
fn the_service_manager_is_told() {
    let directory = Directory::new();
    let manager = UnixDatagram::bind(directory.path().join("notify")).expect("a socket");
    manager.set_read_timeout(Some(PATIENCE)).expect("read timeout");
    let mut command = serve(&directory);
    command.env("NOTIFY_SOCKET", directory.path().join("notify")).env("WATCHDOG_USEC", "200000");
    let mut process = Process::start(command);
    // What comes until something begins with `wanted`.
    let told = |wanted: &str| {
        let mut before = Vec::new();
        loop {
            let mut buffer = [0; 512];
            let octets = manager.recv(&mut buffer).expect("a message");
            let message = String::from_utf8_lossy(&buffer[..octets]).into_owned();
            if message.starts_with(wanted) {
                return (message, before);
            }
            before.push(message);
        }
    };
    // It lives from the first load on, which may take longer than the watchdog waits.
    assert!(told("READY=1").1.iter().all(|message| message == "WATCHDOG=1"));
    listening(&mut process);
    told("WATCHDOG=1");
    told("WATCHDOG=1");
    process.signal(Signal::SIGHUP);
    let (reloading, _) = told("RELOADING=1");
    assert!(reloading.contains("\nMONOTONIC_USEC="), "{reloading}");
    told("READY=1");
    process.signal(Signal::SIGTERM);
    told("STOPPING=1");
    assert!(process.stop().0.success());
}

/// The limit on open files is raised as far as it goes to what the connections need; else that is said.
#[test]
fn open_files_are_enough_for_all_connections() {
    let directory = Directory::new();
    let limited = |limit: &str| {
        let server = serve(&directory);
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit {limit} && exec \"$0\" \"$@\"")]);
        shell.arg(server.get_program()).args(server.get_args()).env("NIBBL_LOG", "plain");
        let mut process = Process::start(shell);
        listening(&mut process);
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.id())).expect("its limits");
        let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("a limit");
        let soft: u64 = files.split_whitespace().next().and_then(|soft| soft.parse().ok()).expect("a number");
        (soft, process.stop().1)
    };
    // 1,000 connections by default, and what else there is.
    let (soft, said) = limited("-S -n 256");
    assert!(soft > 1000 && !said.contains("files may be open"), "{soft}\n{said}");
    let (soft, said) = limited("-n 256");
    assert!(soft == 256 && said.contains("only 256 files may be open, and all connections need 1"), "{said}");
}

/// The units that are packaged are ones that systemd takes, and as closed as the book says.
#[test]
fn the_units_are_good() {
    let Some(analyze) = peer("systemd-analyze") else { return };
    let directory = Directory::new();
    let units = ["nibbl.service", "nibbl.socket"].map(|unit| {
        let text = std::fs::read_to_string(format!("packaging/systemd/{unit}")).expect("a unit");
        // The program is looked for, and need not be installed.
        directory.write(unit, text.replace("/usr/bin/nibbl", env!("CARGO_BIN_EXE_nibbl")))
    });
    let run = |command: &mut Command| {
        let output = command.output().expect("systemd-analyze");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(output.status.success(), "{said}");
        said
    };
    let said = run(Command::new(&analyze).args(["verify", "--man=no"]).args(&units));
    assert_eq!(said, "");
    let security = ["security", "--offline=true", "--threshold=20", "--no-pager"];
    run(Command::new(&analyze).args(security).arg(&units[0]));
}
