//! Memory and speed of the compiled tables on generated lists, beside `ip_network_table`.
//!
//! ```text
//! cargo bench --bench table -- [--sizes 1000000,5000000,20000000] [--states 1,100,65535]
//!     [--families v6,v4] [--names 5000000] [--seed 1] [--no-reference]
//! ```
//!
//! The IPv6 list has 70 % /64, 12 % /56, 10 % /48, 2 % /128, a few /32, and 6 % exceptions inside
//! these, scattered evenly over 4,000 /32s (real lists are more clustered, hence smaller). The
//! IPv4 list has 90 % /32 in 50,000 /16s. States follow Zipf's law. Half of the keys are listed, the
//! others lie beside the listings. Times are the least of several
//! rounds, part by part.

use std::hint::black_box;
use std::time::Instant;

use nibbl::name::Name;
use nibbl::name_table::{NameEntries, NameTable, Scope};
use nibbl::prefix_table::reference::ReferenceTable;
use nibbl::prefix_table::{Address, Entry, PrefixTable, State, UNLISTED};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Keys of one measurement, in parts that are timed by themselves, and how often each is repeated.
const KEYS: usize = 1 << 20;
const PART: usize = 1 << 12;
const ROUNDS: usize = 9;
/// As many packets as a server receives at once.
const BATCH: usize = 64;

/// The /32s of the IPv6 list.
const NETWORKS: usize = 4000;

fn main() {
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

/// Random numbers from a seed (SplitMix64), and what a list is made of.
struct List {
    seed: u64,
    states: u32,
    line: u32,
}

impl List {
    fn new(seed: u64, states: u32) -> Self {
        Self { seed, states, line: 0 }
    }

    fn next(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.seed ^ self.seed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// 1 to `states`, each as frequent as the inverse of its number.
    fn state(&mut self) -> State {
        let uniform = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        (f64::from(self.states + 1).powf(uniform) as u32).clamp(1, self.states)
    }

    fn entry<A: Address>(&mut self, address: A, length: u8, state: State) -> Entry<A> {
        self.line += 1;
        Entry { first: address.masked(length), length, state, line: self.line, file: 0 }
    }
}

/// An address in one of 4,000 /32s.
fn v6_miss(list: &mut List) -> u128 {
    let network = (list.below(NETWORKS) as u32).wrapping_mul(0x9e37_79b1) >> 4 | 0x2000_0000;
    u128::from(network) << 96 | u128::from(list.next()) << 32 | u128::from(list.next()) >> 32
}

fn v6_entries(list: &mut List, size: usize) -> Vec<Entry<u128>> {
    let mut entries: Vec<Entry<u128>> = Vec::with_capacity(size);
    for _ in 0..size {
        let length = match list.below(100) {
            0..70 => 64,
            70..82 => 56,
            82..92 => 48,
            92..94 => 128,
            94 if entries.len() < NETWORKS / 2 => 32,
            _ => 0,
        };
        let entry = match entries.len() {
            // An exception inside an earlier entry.
            places @ 1.. if length == 0 => {
                let around = entries[list.below(places)];
                let address = around.first | (v6_miss(list) & u128::MAX.last_of(0) >> around.length.min(127));
                list.entry(address, (around.length + 8).next_multiple_of(8).min(128), UNLISTED)
            }
            _ => {
                let (address, state) = (v6_miss(list), list.state());
                list.entry(address, length, state)
            }
        };
        entries.push(entry);
    }
    entries
}

/// An address in one of 50,000 /16s, as far as there are so many.
fn v4_miss(list: &mut List) -> u32 {
    let network = (list.below(50_000) as u32).wrapping_mul(0x9e37_79b1) >> 16;
    network << 16 | list.next() as u32 >> 16
}

fn v4_entries(list: &mut List, size: usize) -> Vec<Entry<u32>> {
    let one = |_| {
        let length = match list.below(100) {
            0..90 => 32,
            90..98 => 24,
            _ => 25 + list.below(7) as u8,
        };
        let state = if list.below(50) == 0 { UNLISTED } else { list.state() };
        let address = v4_miss(list);
        list.entry(address, length, state)
    };
    (0..size).map(one).collect()
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
        let start = Instant::now();
        let made = make();
        let seconds = start.elapsed().as_secs_f64();
        let after = MEMORY.current_usage();
        Self {
            made,
            kept: (after + input).saturating_sub(before),
            peak: MEMORY.peak_usage() - before,
            seconds,
        }
    }
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

/// Names of 20 octets in wire form: one of 1,000 top-level domains and a random label, a tenth of
/// them wildcards, a hundredth exceptions below one.
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
