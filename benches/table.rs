//! Memory and speed of the compiled tables on generated lists, beside `ip_network_table`.
//!
//! ```text
//! cargo bench --bench table -- [--sizes 1000000,5000000,20000000] [--states 1,100,65535]
//!     [--families v6,v4] [--names 5000000] [--seed 1] [--no-reference]
//! ```
//!
//! The IPv6 list has 70 % /64, 12 % /56, 10 % /48, 2 % /128, a few /32, and 6 % exceptions inside
//! these, scattered evenly over 4,000 /32s (real lists are more clustered, hence smaller). The IPv4
//! list has 90 % /32 in 50,000 /16s. States follow Zipf's law. Half of the keys are listed, the others
//! lie beside the listings. `+peak` is what building takes at most beyond its input. Lookup times are
//! the least of several rounds, part by part; building is measured in processor time.

mod generated;
mod usage;

use std::hint::black_box;
use std::time::Instant;

use generated::{List, v4_entries, v4_miss, v6_entries, v6_miss};
use nibbl::name::Name;
use nibbl::name_table::{NameEntries, NameTable, Scope};
use nibbl::prefix_table::reference::ReferenceTable;
use nibbl::prefix_table::{Address, Entry, PrefixTable, State, UNLISTED};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Keys of one measurement, in parts that are timed by themselves, and how often each is repeated.
const KEYS: usize = 1 << 20;
const PART: usize = 1 << 12;
const ROUNDS: usize = 9;
/// As many packets as a server receives at once.
const BATCH: usize = 64;

fn main() {
    if usage::is_asked(include_str!("table.rs")) {
        return;
    }
    let options = Options::from_arguments();
    println!(
        "{:24}{:>10}{:>8}{:>9}{:>9}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8}",
        "",
        "prefixes",
        "states",
        "B/prefix",
        "+peak",
        "build s",
        "ns/look",
        "depend",
        "batched",
        "range",
        "walk"
    );
    for &size in &options.sizes {
        for &states in &options.states {
            if options.v6 {
                let mut list = List::new(options.seed, states);
                let entries = v6_entries(&mut list, size);
                measure("IPv6", entries, v6_miss, list, states, options.reference);
            }
            if options.v4 {
                let mut list = List::new(options.seed, states);
                let entries = v4_entries(&mut list, size);
                measure("IPv4", entries, v4_miss, list, states, options.reference);
            }
        }
    }
    if options.names > 0 {
        measure_names(options.names, options.seed);
    }
}

struct Options {
    sizes: Vec<usize>,
    states: Vec<u32>,
    v6: bool,
    v4: bool,
    names: usize,
    seed: u64,
    reference: bool,
}

impl Options {
    fn from_arguments() -> Self {
        let arguments: Vec<String> = std::env::args().collect();
        let value = |flag: &str, default: &str| {
            let place = arguments.iter().position(|argument| argument == flag);
            place.and_then(|place| arguments.get(place + 1)).map_or(default, |value| value).to_string()
        };
        let numbers = |flag, default| -> Vec<usize> {
            value(flag, default).split(',').map(|number| number.parse().expect("a number")).collect()
        };
        let families = value("--families", "v6,v4");
        Self {
            sizes: numbers("--sizes", "1000000,5000000,20000000"),
            states: numbers("--states", "1,100,65535").into_iter().map(|states| states as u32).collect(),
            v6: families.contains("v6"),
            v4: families.contains("v4"),
            names: numbers("--names", "5000000")[0],
            seed: numbers("--seed", "1")[0] as u64,
            reference: !arguments.iter().any(|argument| argument == "--no-reference"),
        }
    }
}

fn measure<A: Address + std::ops::BitXor<Output = A> + From<u32>>(
    family: &str,
    entries: Vec<Entry<A>>,
    miss: impl Fn(&mut List) -> A,
    mut list: List,
    states: u32,
    with_reference: bool,
) {
    let size = entries.len();
    let key = |place| match place % 2 {
        0 => miss(&mut list),
        _ => loop {
            let entry = entries[list.below(size)];
            if entry.state != UNLISTED {
                let inside = miss(&mut list);
                break entry.first ^ inside ^ inside.masked(entry.length);
            }
        },
    };
    let keys: Vec<A> = (0..KEYS).map(key).collect();
    let input = size * size_of::<Entry<A>>();
    let reference_entries = if with_reference { entries.clone() } else { Vec::new() };

    let build = Build::measure(input, || PrefixTable::build(entries, &mut |_| ()).expect("fits"));
    let table = build.made;
    let mut times = [const { Times::new() }; 5];
    for _ in 0..ROUNDS {
        times[0].round(&keys, |keys| independent(keys, |&key| table.lookup(key)));
        times[1].round(&keys, |keys| dependent(keys, |key| table.lookup(key)));
        times[2].round(&keys, |keys| {
            let mut states = [UNLISTED; BATCH];
            keys.chunks_exact(BATCH).for_each(|keys| table.lookup_batch(keys, black_box(&mut states)));
        });
        times[3].round(&keys, |keys| independent(keys, |&key| table.range(key)));
        times[4].round(&keys, |keys| {
            for run in table.ranges_from(keys[0].masked(A::BITS / 4)).take(keys.len()) {
                black_box(run);
            }
        });
    }
    row(&format!("{family} prefix_table"), size, states, (table.bytes(), build.peak, build.seconds), &times);
    drop(table);
    if with_reference {
        let build = Build::measure(input, || ReferenceTable::build(reference_entries));
        let mut times = [const { Times::new() }; 2];
        for _ in 0..ROUNDS {
            times[0].round(&keys, |keys| independent(keys, |&key| build.made.lookup(key)));
            times[1].round(&keys, |keys| dependent(keys, |key| build.made.lookup(key)));
        }
        let what = format!("{family} ip_network_table");
        row(&what, size, states, (build.kept, build.peak, build.seconds), &times);
    }
}

fn row(what: &str, size: usize, states: u32, (bytes, peak, seconds): (usize, usize, f64), times: &[Times]) {
    let each = |bytes: usize| bytes as f64 / size as f64;
    print!("{what:24}{size:>10}{states:>8}{:>9.2}{:>9.2}{seconds:>8.2}", each(bytes), each(peak));
    times.iter().for_each(|times| print!("{:>8.0}", times.mean()));
    println!();
}

/// Something built, with its price.
struct Build<T> {
    made: T,
    /// What is left when the `input` octets are freed.
    kept: usize,
    /// What building took at most beyond the input, in octets.
    peak: usize,
    seconds: f64,
}

impl<T> Build<T> {
    fn measure(input: usize, make: impl FnOnce() -> T) -> Self {
        // The input is freed inside of `make`, so what it holds shows in what falls away.
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let start = cpu_seconds();
        let made = make();
        let seconds = cpu_seconds() - start;
        let after = MEMORY.current_usage();
        Self {
            made,
            kept: (after + input).saturating_sub(before),
            peak: MEMORY.peak_usage() - before,
            seconds,
        }
    }
}

/// What this program has used of processors so far, in all its threads: long lists are sorted in several.
fn cpu_seconds() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("a system that counts");
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

/// Each key known beforehand.
fn independent<K, R>(keys: &[K], lookup: impl Fn(&K) -> R) {
    for key in keys {
        black_box(lookup(key));
    }
}

/// Each key only known when the one before is looked up.
fn dependent<A: Copy + std::ops::BitXor<Output = A> + From<u32>>(keys: &[A], lookup: impl Fn(A) -> State) {
    let nothing = black_box(0);
    let last = keys.iter().fold(0, |state, &key| lookup(key ^ A::from(state & nothing)));
    black_box(last);
}

/// The times of equal parts of a measurement in nanoseconds a key, the least of all rounds for each:
/// what the code costs where nothing else runs.
struct Times(Vec<f64>);

impl Times {
    const fn new() -> Self {
        Self(Vec::new())
    }

    fn round<K>(&mut self, keys: &[K], mut run: impl FnMut(&[K])) {
        for (part, keys) in keys.chunks_exact(PART).enumerate() {
            let start = Instant::now();
            run(keys);
            let time = start.elapsed().as_nanos() as f64 / PART as f64;
            match self.0.get_mut(part) {
                Some(best) => *best = best.min(time),
                None => self.0.push(time),
            }
        }
    }

    fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }
}

/// Names of 20 octets in wire form: a random label under one of five top-level domains, a tenth of
/// them wildcards.
fn measure_names(size: usize, seed: u64) {
    let mut list = List::new(seed, 100);
    let mut entries = NameEntries::default();
    let mut names = Vec::new();
    for line in 0..size {
        let letters: String = (0..14).map(|_| char::from(b'a' + list.below(26) as u8)).collect();
        let text = format!("{letters}.{}", ["com", "net", "org", "xyz", "top"][list.below(5)]);
        let name = Name::from_text(text.as_bytes()).expect("a name");
        let scope = if list.below(10) == 0 { Scope::Below } else { Scope::Exact };
        entries.push(&name.key(), scope, list.state(), 0, line as u32);
        if names.len() < KEYS / 4 {
            names.push(name);
        }
    }
    let build = Build::measure(0, || NameTable::build(entries, &mut |states| states[0], &mut |_, _| ()));
    let labels: Vec<Vec<&[u8]>> = names.iter().map(|name| name.labels().collect()).collect();
    let mut times = Times::new();
    for _ in 0..ROUNDS {
        times.round(&labels, |labels| independent(labels, |labels| build.made.lookup(labels)));
    }
    println!();
    row("name_table", size, 100, (build.made.bytes(), build.peak, build.seconds), &[times]);
}
