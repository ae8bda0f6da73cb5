//! How long a list takes from its file to its tables, and how much memory, beside rbldnsd.
//!
//! ```text
//! cargo bench --bench load -- [--sizes 1000000,20000000] [--states 1,100] [--rounds 5] [--seed 1]
//! ```
//!
//! The file is the IPv6 list of `table.rs` as an ip6trie dataset. With one state no line has a value;
//! with more, all but those of the most frequent state have an A record and a text. rbldnsd loads it, and
//! this benchmark as nibbl does, in processes of their own, one after the other in each round. Times count from the start of
//! the process to the word that all is loaded; the table shows medians, and those of the ratios of
//! each round. Memory is what is resident, in octets an entry: `kept` with the list loaded, `peak` the
//! most while it is loaded again beside the old one, and `beyond` what of this is neither the old table nor
//! the new one. Large files are read by several threads, as rbldnsd does not: `taskset -c 0` before `cargo`
//! shows what one core does.

mod generated;
mod usage;

use std::fs::{File, Permissions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::net::{Ipv6Addr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use generated::{List, v6_entries};
use nibbl::config::{DatasetConfig, ReadConfig, spec};
use nibbl::prefix_table::UNLISTED;
use nibbl::reload::files::Files;
use nibbl::reload::{Loaded, Source};
use nibbl::snapshot::{Settings, Snapshot};
use nibbl::zone_file::diagnostic::Diagnostics;

/// What the parent says for the child to load again.
const AGAIN: &[u8] = b"again\n";

fn main() {
    if usage::is_asked(include_str!("load.rs")) {
        return;
    }
    let arguments: Vec<String> = std::env::args().collect();
    let value = |flag: &str| {
        let place = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(place + 1)
    };
    if let Some(directory) = value("--load") {
        return load_twice(Path::new(directory));
    }
    let numbers = |flag: &str, default: &str| -> Vec<usize> {
        let text = value(flag).map_or(default, |text| text);
        text.split(',').map(|number| number.parse().expect("a number")).collect()
    };
    let (rounds, seed) = (numbers("--rounds", "5")[0], numbers("--seed", "1")[0]);
    println!(
        "{:8}{:>10}{:>8}{:>9}{:>9}{:>8}{:>8}{:>8}{:>8}{:>8}",
        "", "entries", "states", "seconds", "ratio", "CPU s", "ratio", "kept", "peak", "beyond"
    );
    for size in numbers("--sizes", "1000000,20000000") {
        for states in numbers("--states", "1,100") {
            // rbldnsd reads as a user of its own.
            let everyone = Permissions::from_mode(0o755);
            let directory = tempfile::Builder::new().permissions(everyone).tempdir();
            let directory = directory.expect("a temporary directory");
            write_list(&directory.path().join("list"), size, states as u32, seed as u64)
                .expect("room for the list");
            measure(directory.path(), size, states, rounds);
        }
    }
}

fn write_list(path: &Path, size: usize, states: u32, seed: u64) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    writeln!(out, "$SOA 3600 ns.example. host.example. 1 3600 600 86400 300\n$NS 3600 ns.example.")?;
    for entry in v6_entries(&mut List::new(seed, states), size) {
        let address = Ipv6Addr::from(entry.first);
        match entry.state {
            UNLISTED => writeln!(out, "!{address}/{}", entry.length)?,
            1 => writeln!(out, "{address}/{}", entry.length)?,
            state => {
                let [_, _, high, low] = state.to_be_bytes();
                writeln!(out, "{address}/{} :127.1.{high}.{low}:Listed for reason {state}", entry.length)?;
            }
        }
    }
    out.flush()
}

/// What one process took.
struct Cost {
    seconds: f64,
    cpu: f64,
    /// Octets.
    kept: f64,
    /// This and `beyond` only of nibbl.
    peak: f64,
    beyond: f64,
}

fn measure(directory: &Path, size: usize, states: usize, rounds: usize) {
    let (mut own, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        own.push(nibbl(directory));
        theirs.extend(rbldnsd(directory));
    }
    for (name, costs) in [("nibbl", &own), ("rbldnsd", &theirs)] {
        if costs.is_empty() {
            println!("{name:8} is not installed");
            continue;
        }
        let of = |part: fn(&Cost) -> f64| median(costs.iter().map(part));
        let ratio = |part: fn(&Cost) -> f64| {
            median(costs.iter().zip(&theirs).map(|(own, their)| part(own) / part(their)))
        };
        print!("{name:8}{size:>10}{states:>8}");
        print!("{:>9.2}{:>9.2}", of(|cost| cost.seconds), ratio(|cost| cost.seconds));
        print!("{:>8.2}{:>8.2}", of(|cost| cost.cpu), ratio(|cost| cost.cpu));
        let again = |part: fn(&Cost) -> f64| (name == "nibbl").then(|| of(part));
        for octets in [Some(of(|cost| cost.kept)), again(|cost| cost.peak), again(|cost| cost.beyond)] {
            match octets {
                Some(octets) => print!("{:>8.1}", octets / size as f64),
                None => print!("{:>8}", "-"),
            }
        }
        println!();
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What the child does: loads the list as the server does, and once more while it holds the first.
fn load_twice(directory: &Path) {
    let before = resident("self", "VmRSS:");
    let dataset = spec::dataset_spec("ip6trie:list").expect("a specification");
    let dataset = dataset.with(directory, ReadConfig::default());
    let source = Files::new(Settings::default(), |_| ());
    let first = load(&source, &dataset);
    let old = first.dataset.summary.bytes;
    println!("loaded {before} {old}");
    let mut word = String::new();
    io::stdin().read_line(&mut word).expect("the parent's word");
    let second = load(&source, &dataset);
    println!("loaded {before} {}", old + second.dataset.summary.bytes);
    let _ = io::stdin().read_line(&mut word);
}

fn load<P: Fn(Arc<Snapshot>)>(source: &Files<P>, dataset: &DatasetConfig) -> Loaded<Files<P>> {
    source.load(dataset, SystemTime::now(), &mut Diagnostics::default()).expect("a list that loads")
}

fn nibbl(directory: &Path) -> Cost {
    let mut command = Command::new(std::env::current_exe().expect("a path"));
    command.arg("--load").arg(directory).stdin(Stdio::piped()).stdout(Stdio::piped());
    let start = Instant::now();
    let mut child = command.spawn().expect("a process");
    let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
    let (before, _) = loaded(&mut output);
    let seconds = start.elapsed().as_secs_f64();
    let (cpu, kept) = (cpu_seconds(&child), resident(&child.id().to_string(), "VmRSS:"));
    child.stdin.as_mut().expect("a pipe").write_all(AGAIN).expect("a child that reads");
    let (_, tables) = loaded(&mut output);
    let peak = resident(&child.id().to_string(), "VmHWM:") - before;
    end(child);
    Cost { seconds, cpu, kept: kept - before, peak, beyond: peak - tables }
}

/// The numbers behind the word that the list is loaded.
fn loaded(output: &mut impl BufRead) -> (f64, f64) {
    let mut line = String::new();
    output.read_line(&mut line).expect("a child that speaks");
    let mut numbers = line.split_whitespace().skip(1).filter_map(|number| number.parse().ok());
    (numbers.next().expect("octets"), numbers.next().expect("octets"))
}

/// `None` where it is not installed. It answers nothing while it loads again, so it has no such peak.
fn rbldnsd(directory: &Path) -> Option<Cost> {
    let free = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
    let mut command = Command::new("/usr/sbin/rbldnsd");
    command.args(["-n", "-c", "0", "-b", &format!("127.0.0.1/{}", free.port()), "-w"]);
    command.arg(directory).arg("bl.example:ip6trie:list");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let start = Instant::now();
    let mut child = command.spawn().ok()?;
    // The pipe stays open: rbldnsd has more to say.
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    let done = lines.any(|line| line.contains("zones reloaded"));
    let seconds = start.elapsed().as_secs_f64();
    assert!(done, "rbldnsd does not load the list");
    let (cpu, kept) = (cpu_seconds(&child), resident(&child.id().to_string(), "VmRSS:"));
    end(child);
    Some(Cost { seconds, cpu, kept, peak: 0.0, beyond: 0.0 })
}

fn end(mut child: Child) {
    child.kill().and_then(|()| child.wait()).expect("a process that ends");
}

/// Processor time of a process and all its threads, also those that ended.
fn cpu_seconds(child: &Child) -> f64 {
    let stat = read(&format!("/proc/{}/stat", child.id()));
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    // User and system time are fields 14 and 15, in hundredths of a second; behind `)` stands field 3.
    let ticks: f64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    ticks / 100.0
}

/// A figure of a process's memory in octets.
fn resident(process: &str, figure: &str) -> f64 {
    let status = read(&format!("/proc/{process}/status"));
    let line = status.lines().find_map(|line| line.strip_prefix(figure)).unwrap_or_default();
    let kilobytes = line.split_whitespace().next().and_then(|number| number.parse::<f64>().ok());
    1024.0 * kilobytes.expect("a system that tells")
}

fn read(path: &str) -> String {
    let mut text = String::new();
    File::open(path).and_then(|mut file| file.read_to_string(&mut text)).expect("a process that runs");
    text
}
