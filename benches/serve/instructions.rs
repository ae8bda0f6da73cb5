//! Instructions of nibbl a query, counted by callgrind: a figure that neither the machine nor what else
//! it does has a part in. What the system does for a query does not count.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;

use nibbl::config::CookieMode;
use nibbl::server::Guard;

use crate::load::{Load, Outcome, client};
use crate::questions::Zone;
use crate::servers::{Files, KEYS};
use crate::{Options, argument};

/// Asked before anything is counted: callgrind translates code when it is first run.
const BEFORE: u64 = 10_000;

/// Asks a nibbl (of [`servers`](crate::servers)) that many questions, in full batches, and prints what one
/// costs. `--profile` names a file that `callgrind_annotate` reads.
pub(crate) fn count(
    name: &'static str,
    zone: &mut Zone,
    questions: u64,
    directory: &Path,
    options: &Options,
) {
    let profile = argument("--profile").map_or(directory.join("profile"), Into::into);
    let under =
        ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--dump-instr=yes"].map(str::to_string);
    let out = format!("--callgrind-out-file={}", profile.display());
    let files =
        Files { directory, workers: 1, under: under.into_iter().chain([out]).collect(), keys: options.keys };
    files.write(zone, 0).expect("room for the data");
    let server = files.start(name, options.server_core, options.load_core).expect("valgrind is installed");
    let server = server.loaded(zone).expect("nibbl answers");
    let control = |flags: &[&str]| {
        let process = server.processes()[0].to_string();
        let done = Command::new("callgrind_control").args(flags).arg(process).output();
        assert!(done.is_ok_and(|output| output.status.success()), "callgrind obeys");
    };
    let mut load = Load::new(server.address, options.sockets).expect("sockets");
    if name == KEYS {
        load.meet(zone, options.window).expect("loopback takes packets");
    }
    let mut ask = |questions| {
        let more = |outcome: &Outcome| outcome.answered < questions;
        load.saturate(zone, options.window, more).expect("loopback takes packets")
    };
    control(&["-i", "on"]);
    ask(BEFORE);
    control(&["-z"]);
    let Outcome { answered, lost, wrong, .. } = ask(questions);
    control(&["-i", "off"]);
    drop(server);
    let text = std::fs::read_to_string(&profile).expect("callgrind wrote it");
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.parse::<f64>().ok());
    // What comes too late to count was answered all the same.
    let each = total.expect("a total") / (answered + lost) as f64;
    println!("{} prefixes, {answered} answers, {lost} more that were late, {wrong} wrong", options.size);
    println!("{name}: {each:.0} instructions a query, {}, {}", clients(options), shipped());
}

/// Who asks how.
fn clients(Options { sockets, window, .. }: &Options) -> String {
    let clients: HashSet<_> = (0..*sockets).map(client).collect();
    format!("of clients: {}, questions in a row: up to {window}", clients.len())
}

/// The settings that nibbl runs with: those that it has where none are made, as the benchmark makes none.
fn shipped() -> String {
    let Guard { rate_limit, refused_ports, .. } = Guard::default();
    format!(
        "as shipped: rate limit \"{:?}\" with {} entries, {} refused ports, cookies \"{:?}\"; an access list, one address to listen on",
        rate_limit.mode,
        rate_limit.entries,
        refused_ports.len(),
        CookieMode::default(),
    )
}
