//! Other authoritative servers: NSD, Knot DNS and BIND, each with the zone files `bl.example` and `dbl.example` of a
//! directory.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::process::Process;

/// Starts one: its program, the directory of the zone files, its address.
pub(crate) type Authority = fn(&Path, &Path, SocketAddr) -> Process;

/// NSD.
pub(crate) fn nsd(program: &Path, directory: &Path, address: SocketAddr) -> Process {
    let zone = |name: &str| format!("zone:\n name: {name}\n zonefile: {name}\n");
    let configuration = format!(
        "server:\n ip-address: 127.0.0.1@{}\n username: \"\"\n zonesdir: \"{directory}\"\n database: \"\"\n \
         pidfile: \"\"\n xfrdfile: \"{directory}/xfrd\"\n xfrdir: \"{directory}\"\n zonelistfile: \"{directory}/list\"\n \
         server-count: 1\n rrl-ratelimit: 0\nremote-control:\n control-enable: no\n{}{}",
        address.port(),
        zone("bl.example"),
        zone("dbl.example"),
        directory = directory.display(),
    );
    let path = directory.join("nsd.conf");
    std::fs::write(&path, configuration).expect("configuration");
    let mut command = Command::new(program);
    command.args(["-d", "-c"]).arg(path);
    let mut process = Process::start(command);
    process.wait_for_text("nsd started");
    process
}

/// Knot DNS.
pub(crate) fn knot(program: &Path, directory: &Path, address: SocketAddr) -> Process {
    let configuration = format!(
        "server:\n  rundir: \"{directory}\"\n  listen: 127.0.0.1@{}\n  udp-workers: 1\n  tcp-workers: 1\n\
         log:\n  - target: stdout\n    any: info\ndatabase:\n  storage: \"{directory}/db\"\n\
         template:\n  - id: default\n    storage: \"{directory}\"\n    zonefile-sync: -1\n    file: \"%s\"\n\
         zone:\n  - domain: bl.example\n  - domain: dbl.example\n",
        address.port(),
        directory = directory.display(),
    );
    let path = directory.join("knot.conf");
    std::fs::write(&path, configuration).expect("configuration");
    let mut command = Command::new(program);
    command.arg("-c").arg(path);
    let mut process = Process::start(command);
    for _ in 0..2 {
        process.wait_for_text("loaded, serial");
    }
    process.wait_for_text("server started");
    process
}

/// BIND, with nothing in its answers that was not asked for.
pub(crate) fn bind(program: &Path, directory: &Path, address: SocketAddr) -> Process {
    let zone = |name: &str| format!("zone \"{name}\" {{ type primary; file \"{name}\"; }};\n");
    let zones = [zone("bl.example"), zone("dbl.example")].concat();
    named(
        program,
        directory,
        address,
        ("recursion no; check-names primary ignore; minimal-responses yes;", &zones),
        &[" running"],
    )
}

/// BIND with options and zones, and waits until it has said all that makes it `ready`.
pub(crate) fn named(
    program: &Path,
    directory: &Path,
    address: SocketAddr,
    (options, zones): (&str, &str),
    ready: &[&str],
) -> Process {
    let configuration = format!(
        "options {{ directory \"{}\"; pid-file none; session-keyfile none; listen-on port {} {{ 127.0.0.1; }}; \
         listen-on-v6 {{ none; }}; allow-query {{ any; }}; dnssec-validation no; empty-zones-enable no; notify no; \
         {options} }};\ncontrols {{ }};\n{zones}",
        directory.display(),
        address.port(),
    );
    let path = directory.join("named.conf");
    std::fs::write(&path, configuration).expect("configuration");
    let mut command = Command::new(program);
    command.args(["-g", "-4", "-n", "1", "-c"]).arg(path);
    let mut process = Process::start(command);
    let missing = RefCell::new(ready.to_vec());
    process.wait_for(|line| {
        missing.borrow_mut().retain(|text| !line.ends_with(text));
        missing.borrow().is_empty().then_some(())
    });
    process
}
