//! nibbl beside rbldnsd, NSD, Knot and a bare echo server: the price of a query over UDP on loopback.
//!
//! ```text
//! cargo bench --bench serve -- [--size 1000000] [--rounds 5] [--seconds 2] [--seed 1]
//!     [--servers echo,nibbl,rbldnsd,nsd,knot] [--workers 1] [--wildcards 100000]
//!     [--sockets 16] [--window 16] [--one-client] [--no-latency] [--picture docs/serve.svg]
//!     [--under 'PROFILER ARGUMENTS'] [--keys 1000000]
//! cargo bench --bench serve -- --instructions 100000 [--size 1000000] [--seed 1] [--profile FILE]
//!     [--sockets 256] [--window 1] [--one-client]
//! cargo bench --bench serve -- --reloads 10 [--size 1000000] [--seed 1]
//! cargo bench --bench serve -- --overload [--size 1000000] [--seconds 2] [--seed 1]
//! cargo bench --bench serve -- --bursts 40 [--size 1000000] [--seed 1]
//! ```
//!
//! All servers have one thread (nibbl `--workers`) on the first core, the load has the second; where
//! there is one core, or several workers, nothing is pinned. They serve the generated list of the
//! `table` benchmark with an access list; NSD and Knot, which hold it as wildcards, only its first
//! 100,000 entries (hence their share of wrong answers). Half of the questions are listed, half have
//! EDNS. Every socket is a client with an address of its own (127.0.0.1, 127.0.1.1, …), all of them 127.0.0.1
//! with `--one-client`. The servers take turns, round after round; figures are medians of rounds.
//!
//! CPU time is that of the server's processes from `/proc`, divided by the answers. Latency is of
//! random (Poisson) arrivals at half of the saturated rate of the server, or of rbldnsd if that is less;
//! a lost question counts as the latest answer of all ("inf").
//! With `--keys`, nibbl is measured beside itself ("keys") with so many access keys: each question has any of
//! them in its name, with a plan that limits all that can be limited, and its use is put down. The other has a
//! zone with a name as long.
//!
//! Every phase lasts `--seconds`, so a run takes about 2 × rounds × servers × seconds, and loading.
//!
//! `--reloads` asks nibbl, and the echo server beside it, while the list is loaded again so many times;
//! `--overload` asks more than can be answered; `--bursts` shows what a second worker brings where the load
//! leaves it a core.
//!
//! nibbl runs with the settings that it has where none are made: it counts what would be over the rate limit,
//! answers cookies, refuses the ports of reflectors and counts all queries.
//!
//! With `--instructions` only nibbl runs, and is asked that many questions under callgrind, each by another
//! client than the one before.

mod bursts;
mod echo;
#[path = "../generated/mod.rs"]
mod generated;
mod instructions;
mod load;
mod overload;
mod picture;
mod questions;
mod reload;
mod servers;
#[path = "../usage/mod.rs"]
mod usage;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use load::{Load, Outcome};
use questions::Zone;
use servers::{CpuTime, Files, Server};

fn main() {
    if usage::is_asked(include_str!("main.rs")) {
        return;
    }
    if let Some(address) = argument("--echo") {
        return echo::run(address.parse().expect("an address"));
    }
    let options = Options::from_arguments();
    let directory = tempfile::tempdir().expect("a directory");
    let mut zone = Zone::new(options.size, QUESTIONS, options.keys.min(1), options.seed);
    if let Some(questions) = argument("--instructions") {
        let questions = questions.parse().expect("a number");
        instructions::count("nibbl", &mut zone, questions, directory.path(), &options);
        if options.keys > 0 {
            let mut keyed = Zone::new(options.size, QUESTIONS, options.keys, options.seed);
            instructions::count(servers::KEYS, &mut keyed, questions, directory.path(), &options);
        }
        return;
    }
    let mut keyed = Zone::new(options.size, QUESTIONS, options.keys, options.seed);
    if let Some(reloads) = argument("--reloads") {
        let reloads = reloads.parse().expect("a number");
        return reload::measure(&mut zone, reloads, directory.path(), &options);
    }
    if let Some(bursts) = argument("--bursts") {
        let bursts = bursts.parse().expect("a number");
        return bursts::measure(&mut zone, bursts, directory.path(), &options);
    }
    if std::env::args().any(|argument| argument == "--overload") {
        return overload::measure(&mut zone, directory.path(), &options);
    }
    let files = Files::new(directory.path(), &options);
    files.write(&zone, options.wildcards).expect("room for the data");
    let mut servers: Vec<Server> = Vec::new();
    let all = servers::ALL.into_iter().chain([servers::KEYS]);
    for name in all.filter(|name| options.servers.split(',').any(|wanted| wanted == *name)) {
        let started = files.start(name, options.server_core, options.load_core);
        match started.and_then(|server| server.loaded(asked(name, &mut zone, &mut keyed))) {
            Some(server) => servers.push(server),
            None => println!("{name} is not installed or does not start: left out"),
        }
    }
    for server in servers.iter().filter(|server| server.name == servers::KEYS) {
        let mut load = Load::new(server.address, options.sockets).expect("sockets");
        load.meet(&mut keyed, options.window).expect("loopback takes packets");
    }
    let mut measured: Vec<Vec<Round>> = servers.iter().map(|_| Vec::new()).collect();
    for _ in 0..options.rounds {
        let mut rates: Vec<f64> = Vec::new();
        for (server, rounds) in servers.iter().zip(&mut measured) {
            rounds.push(saturate(server, asked(server.name, &mut zone, &mut keyed), &options));
            rates
                .extend(rounds.last().map(|round| round.saturated.answered as f64 / round.saturated.seconds));
        }
        if !options.latency {
            continue;
        }
        let reference = servers.iter().position(|server| server.name == "rbldnsd").unwrap_or(0);
        for ((server, rounds), &rate) in servers.iter().zip(&mut measured).zip(&rates) {
            let rate = rate.min(rates[reference]) / 2.0;
            let mut load = Load::new(server.address, PACED_SOCKETS).expect("sockets");
            let paced = load
                .pace(asked(server.name, &mut zone, &mut keyed), rate, options.time)
                .expect("loopback takes packets");
            rounds.last_mut().expect("saturated").paced = paced;
        }
    }
    let memory: Vec<u64> = servers.iter().map(Server::memory).collect();
    let rows: Vec<Row> =
        servers.iter().zip(&measured).map(|(server, rounds)| Row::new(server.name, rounds)).collect();
    let rows = with_ratios(rows);
    print(&rows, &memory, &options);
    if let Some(path) = argument("--picture") {
        let title = format!("{} prefixes, one thread each, half of the questions listed", options.size);
        picture::draw(Path::new(&path), &title, &rows).expect("a picture");
    }
}

/// The questions for a server.
fn asked<'z>(name: &str, zone: &'z mut Zone, keyed: &'z mut Zone) -> &'z mut Zone {
    if name == servers::KEYS { keyed } else { zone }
}

/// Questions made ahead, more than a cache holds the answers of.
const QUESTIONS: usize = 1 << 19;
/// Sockets of paced load: few, so that looking for answers is quick.
const PACED_SOCKETS: usize = 4;

struct Options {
    size: usize,
    rounds: usize,
    time: Duration,
    seed: u64,
    servers: String,
    workers: usize,
    wildcards: usize,
    sockets: usize,
    window: usize,
    latency: bool,
    under: Vec<String>,
    keys: usize,
    server_core: Option<usize>,
    load_core: Option<usize>,
}

impl Options {
    fn from_arguments() -> Self {
        let number = |flag: &str, default: usize| {
            argument(flag).map_or(default, |value| value.parse().expect("a number"))
        };
        let (workers, keys) = (number("--workers", 1), number("--keys", 0));
        let (sockets, window) = if argument("--instructions").is_some() { (256, 1) } else { (16, 16) };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let pinned = cores > 1 && workers == 1;
        Self {
            size: number("--size", 1_000_000),
            rounds: number("--rounds", 5),
            time: Duration::from_secs(number("--seconds", 2) as u64),
            seed: number("--seed", 1) as u64,
            servers: argument("--servers").unwrap_or_else(|| match keys {
                0 => servers::ALL.join(","),
                _ => format!("nibbl,{}", servers::KEYS),
            }),
            keys,
            workers,
            wildcards: number("--wildcards", 100_000),
            sockets: number("--sockets", sockets),
            window: number("--window", window),
            latency: !std::env::args().any(|argument| argument == "--no-latency"),
            under: argument("--under").unwrap_or_default().split_whitespace().map(str::to_string).collect(),
            server_core: pinned.then_some(0),
            load_core: pinned.then_some(1),
        }
    }
}

/// What stands behind a flag.
fn argument(flag: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != flag).nth(1)
}

/// What one round found of one server.
#[derive(Default)]
struct Round {
    saturated: Outcome,
    cpu: CpuTime,
    /// Instructions of the program, where the machine counts them.
    instructions: Option<f64>,
    paced: Outcome,
}

fn saturate(server: &Server, zone: &mut Zone, options: &Options) -> Round {
    let mut load = Load::new(server.address, options.sockets).expect("sockets");
    let counter = count_instructions(server, options.time);
    let before = server.cpu_time();
    let end = Instant::now() + options.time;
    let saturated =
        load.saturate(zone, options.window, |_| Instant::now() < end).expect("loopback takes packets");
    let after = server.cpu_time();
    let cpu = CpuTime { user: after.user - before.user, system: after.system - before.system };
    let instructions = counter.and_then(read_counter);
    Round { saturated, cpu, instructions, paced: Outcome::default() }
}

/// `perf stat` on the server for a time.
fn count_instructions(server: &Server, time: Duration) -> Option<Child> {
    let processes: Vec<String> = server.processes().iter().map(u32::to_string).collect();
    Command::new("perf")
        .args(["stat", "-x", ",", "-e", "instructions:u", "-p", &processes.join(","), "--", "sleep"])
        .arg(time.as_secs().to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .ok()
}

/// The number before the first comma; machines without counters say so there.
fn read_counter(counter: Child) -> Option<f64> {
    let output = counter.wait_with_output().ok()?;
    String::from_utf8_lossy(&output.stderr).lines().find_map(|line| line.split(',').next()?.parse().ok())
}

/// The medians of a server.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    rate: f64,
    /// Nanoseconds a query.
    pub(crate) user: f64,
    pub(crate) system: f64,
    pub(crate) to_echo: f64,
    to_rbldnsd: f64,
    instructions: Option<f64>,
    /// Microseconds until the half, 99 % and 99.9 % of the questions were answered; infinite where more
    /// were lost.
    latencies: [f64; 3],
    lost: u64,
    lost_paced: u64,
    /// Share of the answers.
    wrong: f64,
    rounds: Vec<f64>,
}

impl Row {
    fn new(name: &'static str, rounds: &[Round]) -> Self {
        let of = |figure: &dyn Fn(&Round) -> f64| median(rounds.iter().map(figure).collect());
        let each = |round: &Round, seconds: f64| seconds * 1e9 / round.saturated.answered.max(1) as f64;
        let latency = |share: f64| of(&|round| round.paced.percentile(share));
        let answered: u64 = rounds.iter().map(|round| round.saturated.answered).sum();
        let wrong: u64 = rounds.iter().map(|round| round.saturated.wrong).sum();
        let counted: Vec<f64> = rounds
            .iter()
            .filter_map(|round| Some(round.instructions? / round.saturated.answered.max(1) as f64))
            .collect();
        Self {
            name,
            rate: of(&|round| round.saturated.answered as f64 / round.saturated.seconds),
            user: of(&|round| each(round, round.cpu.user)),
            system: of(&|round| each(round, round.cpu.system)),
            to_echo: f64::NAN,
            to_rbldnsd: f64::NAN,
            instructions: (!counted.is_empty()).then(|| median(counted)),
            latencies: [0.5, 0.99, 0.999].map(latency),
            lost: rounds.iter().map(|round| round.saturated.lost).sum(),
            lost_paced: rounds.iter().map(|round| round.paced.lost).sum(),
            wrong: wrong as f64 / answered.max(1) as f64,
            rounds: rounds.iter().map(|round| each(round, round.cpu.sum())).collect(),
        }
    }
}

/// Fills in the medians of the ratios of each round: the machine's mood of a round is in both.
fn with_ratios(mut rows: Vec<Row>) -> Vec<Row> {
    let rounds = |name| rows.iter().find(|row: &&Row| row.name == name).map(|row| row.rounds.clone());
    let (echo, rbldnsd) = (rounds("echo"), rounds("rbldnsd"));
    let ratio = |own: &[f64], other: &Option<Vec<f64>>| {
        other
            .as_ref()
            .map_or(f64::NAN, |other| median(own.iter().zip(other).map(|(own, other)| own / other).collect()))
    };
    for row in &mut rows {
        row.to_echo = ratio(&row.rounds, &echo);
        row.to_rbldnsd = ratio(&row.rounds, &rbldnsd);
    }
    rows
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn print(rows: &[Row], memory: &[u64], options: &Options) {
    println!("{} prefixes, {} rounds of {:?}", options.size, options.rounds, options.time);
    println!(
        "{:9}{:>10}{:>8}{:>8}{:>8}{:>8}{:>10}{:>9}{:>9}{:>9}{:>9}{:>8}{:>8}{:>9}{:>8}",
        "",
        "queries/s",
        "ns CPU",
        "user",
        "system",
        "/ echo",
        "/ rbldnsd",
        "instr.",
        "p50 us",
        "p99",
        "p99.9",
        "lost",
        "paced",
        "wrong %",
        "MB"
    );
    for (row, memory) in rows.iter().zip(memory) {
        let [half, p99, p999] = row.latencies;
        let instructions = row.instructions.map_or("–".to_string(), |count| format!("{count:.0}"));
        println!(
            "{:9}{:>10.0}{:>8.0}{:>8.0}{:>8.0}{:>8.2}{:>10.2}{:>9}{:>9.1}{:>9.1}{:>9.1}{:>8}{:>8}{:>9.3}{:>8}",
            row.name,
            row.rate,
            row.user + row.system,
            row.user,
            row.system,
            row.to_echo,
            row.to_rbldnsd,
            instructions,
            half,
            p99,
            p999,
            row.lost,
            row.lost_paced,
            100.0 * row.wrong,
            memory / 1_000_000,
        );
    }
}
