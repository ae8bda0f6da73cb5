//! Answers while the list is loaded again, and again: a steady load on nibbl and on the echo server beside it,
//! on the same core, first in peace and then during reloads. What the reload takes from everybody is in both, so
//! that their ratio is nibbl's own part.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::load::{Load, Outcome};
use crate::questions::{SERIAL_AT, Zone};
use crate::servers::{Files, Server};
use crate::{Options, PACED_SOCKETS};

/// Questions a second of the steady load.
const RATE: f64 = 2000.0;
/// How long the load runs before the first reload.
const PEACE: Duration = Duration::from_secs(10);

/// Loads the list `reloads` times under the steady load, and once under saturation.
pub(crate) fn measure(zone: &mut Zone, reloads: usize, directory: &Path, options: &Options) {
    let files = Files::new(directory, options);
    files.write(zone, 0).expect("room for the data");
    let [echo, nibbl] = ["echo", "nibbl"].map(|name| {
        let started = files.start(name, options.server_core, options.load_core);
        started.and_then(|server| server.loaded(zone)).expect("a server that answers")
    });
    println!("{} prefixes, {RATE} questions a second each to echo and nibbl", options.size);
    println!("{:<22}{:>9}{:>8}{:>9}{:>9}{:>9}", "", "answers", "lost", "p50 us", "p99", "p99.9");
    let end = Instant::now() + PEACE;
    let quiet = paced([&echo, &nibbl], zone, || Instant::now() < end);
    report("without reloads", &quiet);
    let (busy, seconds) = during(reloads, directory, |more| paced([&echo, &nibbl], zone, more));
    report(&format!("{reloads} reloads"), &busy);
    println!(
        "p99.9 during reloads is {:.2} of echo's",
        busy[1].percentile(0.999) / busy[0].percentile(0.999)
    );
    println!("seconds a reload: {seconds:.2}");

    let mut load = Load::new(nibbl.address, options.sockets).expect("sockets");
    let mut saturate = |more: &dyn Fn() -> bool| {
        let outcome = load.saturate(zone, options.window, |_| more()).expect("loopback takes packets");
        println!(
            "{:>10.0} answers a second, {} lost, {} wrong",
            outcome.answered as f64 / outcome.seconds,
            outcome.lost,
            outcome.wrong
        );
    };
    println!("saturated, in peace and during a reload:");
    let end = Instant::now() + options.time;
    saturate(&|| Instant::now() < end);
    let ((), seconds) = during(1, directory, |more| saturate(&more));
    println!("seconds of the reload: {seconds:.2}");
}

fn paced(servers: [&Server; 2], zone: &mut Zone, more: impl Fn() -> bool) -> [Outcome; 2] {
    let [mut echo, mut nibbl] =
        servers.map(|server| Load::new(server.address, PACED_SOCKETS).expect("sockets"));
    Load::pace_together([&mut echo, &mut nibbl], zone, RATE, more).expect("loopback takes packets")
}

/// Runs `load`, which goes on while it is told to, beside so many reloads; gives what came of it, and the
/// seconds that a reload took.
fn during<T>(reloads: usize, directory: &Path, load: impl FnOnce(&dyn Fn() -> bool) -> T) -> (T, f64) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reloading = scope.spawn(|| {
            let begin = Instant::now();
            (0..reloads).for_each(|_| reload(directory));
            done.store(true, Ordering::Relaxed);
            begin.elapsed().as_secs_f64() / reloads as f64
        });
        let outcome = load(&|| !done.load(Ordering::Relaxed));
        (outcome, reloading.join().expect("nibbl reloads"))
    })
}

/// Changes the list by a digit of its serial, and waits until nibbl serves it.
fn reload(directory: &Path) {
    let list = File::options().read(true).write(true).open(directory.join("list")).expect("the list");
    let mut serial = [0];
    list.read_exact_at(&mut serial, SERIAL_AT).expect("a serial");
    let next = if serial[0] == b'9' { b'1' } else { serial[0] + 1 };
    list.write_all_at(&[next], SERIAL_AT).expect("the list can be written");
    drop(list);
    let status = Command::new(env!("CARGO_BIN_EXE_nibbl"))
        .args(["reload", "--control"])
        .arg(directory.join("control"))
        .stdout(Stdio::null())
        .status();
    assert!(status.is_ok_and(|status| status.success()), "nibbl reload");
}

fn report(what: &str, outcomes: &[Outcome; 2]) {
    for (server, outcome) in ["echo", "nibbl"].iter().zip(outcomes) {
        let [half, p99, p999] = [0.5, 0.99, 0.999].map(|share| outcome.percentile(share));
        println!(
            "{:<22}{:>9}{:>8}{half:>9.1}{p99:>9.1}{p999:>9.1}",
            format!("{what}, {server}"),
            outcome.answered,
            outcome.lost,
        );
    }
}
