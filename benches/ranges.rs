//! What range records cost a server: memory beside the table, processor time to make a block and to
//! answer it from memory beside an ordinary answer, and how blocks are filled.
//!
//! ```text
//! cargo bench --bench ranges -- [LISTINGS…] [--shape clustered|one|scattered] [--file TYPE:FILE[,FILE…]]…
//! ```
//!
//! Without arguments: one million listings, of all shapes. Lists are generated from a fixed seed. Only the first
//! 20,000 reachable blocks of large generated lists are looked at, in random order; of data files
//! (those of `tests/real-data.py`, say) all are, and then a client looks up listed addresses.

mod generated;
mod usage;

use std::collections::{HashMap, HashSet};
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use generated::List;
use nibbl::address::{Key, MAPPED};
use nibbl::answer::{Client, Signing, Transport, respond};
use nibbl::config::ReadConfig;
use nibbl::config::spec::dataset_spec;
use nibbl::data_file::{DataFile, Limits};
use nibbl::dataset::Dataset;
use nibbl::name::Name;
use nibbl::prefix_table::{Entry, Range};
use nibbl::range_record::walk::{Answer, Listing, Question, Step, Walk};
use nibbl::range_record::{Prefix, StateMap, block, name};
use nibbl::snapshot::{Settings, Snapshot};
use nibbl::value::{Value, ValueTable};
use nibbl::zone::{Ranges, RangesOptions, Status, Zone, ZoneOptions};
use nibbl::zone_file::diagnostic::Diagnostics;
use nibbl::zone_file::{AddressEntries, Content, Kind, Parsed, Parser, Specials};
use nix::time::{ClockId, clock_gettime};

const APEX: &str = "bl.example";
/// How many blocks of a generated list are looked at.
const MOST_BLOCKS: usize = 20_000;
/// How many answers are timed.
const ANSWERS: usize = 2_000_000;
/// How many addresses of a data file a client looks up, and among how many /64s they are drawn.
const LOOKUPS: usize = 1_000_000;

fn main() {
    if usage::is_asked(include_str!("ranges.rs")) {
        return;
    }
    let mut counts: Vec<usize> = Vec::new();
    let mut files: Vec<String> = Vec::new();
    let mut only: Option<String> = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--file" => files.extend(arguments.next()),
            "--shape" => only = arguments.next(),
            // Cargo adds options of its own.
            count => counts.extend(count.parse::<usize>().ok()),
        }
    }
    for file in &files {
        let zone = measure(file, read(file), usize::MAX);
        if let Some(ranges) = zone.ranges() {
            look_up(ranges);
        }
    }
    if files.is_empty() && counts.is_empty() {
        counts.push(1_000_000);
    }
    for count in counts {
        for (shape, entries) in [
            ("clustered", clustered as fn(usize, &mut Random) -> Vec<Entry<u128>>),
            ("one /32", one_network),
            ("scattered", scattered),
        ] {
            if only.as_ref().is_some_and(|only| !shape.starts_with(only.as_str())) {
                continue;
            }
            let entries = entries(count, &mut Random::new(0x9e37_79b9_7f4a_7c15));
            measure(shape, compile(entries), MOST_BLOCKS);
        }
    }
}

fn measure(title: &str, dataset: Dataset, most_blocks: usize) -> Arc<Zone> {
    let count = dataset.summary.entries;
    println!("{title}, {count} entries");
    let dataset = Arc::new(dataset);
    let start = processor_time();
    let zone = Arc::new(zone(dataset));
    let time = processor_time() - start;
    let Some(ranges) = zone.ranges() else { return zone };
    println!("  compiled in {time:.1?}; {:.4} octets a listing", ranges.bytes() as f64 / count as f64);
    let runs = ranges.map().ranges_from(0).count();
    println!("  {runs} runs");
    let blocks = cold(ranges, most_blocks);
    answers(&zone, &blocks);
    zone
}

/// Makes reachable blocks, and says what they cost and how they are filled.
fn cold(ranges: &Ranges, most_blocks: usize) -> Vec<Prefix> {
    let mut random = Random::new(7);
    let mut open = vec![(1, Prefix::ROOT)];
    let mut blocks = Vec::new();
    let (mut times, mut depth, mut octets, mut fill) = (Vec::new(), 0, 0, [0usize; 10]);
    while !open.is_empty() && blocks.len() < most_blocks {
        let (at, prefix) = open.swap_remove(random.next() as usize % open.len());
        let start = processor_time();
        let Some(block) = ranges.make(prefix) else { continue };
        times.push(processor_time() - start);
        depth = depth.max(at);
        octets += block.items.len();
        fill[(block.items.len() * 10 / (block::DEFAULT_LIMIT + 1)).min(9)] += 1;
        open.extend(block.named.iter().map(|&prefix| (at + 1, prefix)));
        blocks.push(prefix);
    }
    times.sort_unstable();
    let mean = times.iter().sum::<Duration>() / times.len() as u32;
    let percentile = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!(
        "  cold block: mean {mean:.1?}, median {:.1?}, 99 % {:.1?}, most {:.1?}",
        percentile(50),
        percentile(99),
        percentile(100)
    );
    let all = if open.is_empty() { "all" } else { "the first" };
    println!(
        "  {all} {} reachable blocks: depth {depth}, mean fill {:.0} %, by tenths {fill:?}",
        blocks.len(),
        100.0 * octets as f64 / (blocks.len() * block::DEFAULT_LIMIT) as f64,
    );
    blocks
}

/// Compares answers with a block in memory with ordinary ones.
fn answers(zone: &Arc<Zone>, blocks: &[Prefix]) {
    let snapshot = Snapshot::new(vec![zone.clone()], Settings::default(), None);
    let client = Client { address: IpAddr::V4(Ipv4Addr::LOCALHOST), transport: Transport::Udp };
    // As many blocks as the cache is sure to hold.
    let blocks: Vec<Vec<u8>> =
        blocks.iter().take(1000).map(|&prefix| query(&name::block_text(prefix), 42)).collect();
    if let Some(ranges) = zone.ranges() {
        let mut random = Random::new(3);
        let listed = ranges.map().ranges_from(0).filter(|run| run.state != 0).take(1000);
        let addresses: Vec<Vec<u8>> = listed
            .map(|run| run.first + random.next() % (run.last - run.first).saturating_add(1).max(1))
            .map(|address| query(&name::address_text(Key::V6(address)), 16))
            .collect();
        for (what, queries) in [("ordinary TXT", &addresses), ("block in memory", &blocks)] {
            let mut reply = Vec::new();
            let mut pass = |rounds: usize| {
                let start = processor_time();
                let mut octets = 0;
                for query in queries.iter().cycle().take(rounds) {
                    reply.clear();
                    black_box(respond(&snapshot, query, client, Signing::default(), &mut reply));
                    octets += reply.len();
                    snapshot.allowance.fill(Duration::from_millis(octets as u64));
                }
                ((processor_time() - start) / rounds as u32, octets / rounds)
            };
            pass(2 * queries.len());
            let (time, octets) = pass(ANSWERS);
            println!("  {what}: {time:?} an answer of {octets} octets");
        }
    }
}

/// What a client asks that looks up listed IPv6 addresses, text and all, and forgets nothing. They
/// are drawn by Zipf's law (exponent 1) over the /64s of runs that are drawn evenly, be they large
/// or small.
fn look_up(ranges: &Ranges) {
    let listed = ranges.map().ranges_from(0).filter(|run| run.state != 0 && !is_of_v4(run));
    let runs: Vec<Range<u128>> = listed.collect();
    let mut random = Random::new(11);
    let (mut networks, mut names) = (HashSet::new(), HashSet::new());
    let mut known: HashMap<Question, Answer> = HashMap::new();
    let mut wrong = 0;
    for _ in 0..LOOKUPS {
        let even = (random.next() as u64 >> 11) as f64 / (1u64 << 53) as f64;
        let rank = ((LOOKUPS + 1) as f64).powf(even) as u64;
        let address = address_of_rank(&runs, rank, &mut random);
        networks.insert(address >> 64);
        let mut walk = Walk::new(Key::V6(address), true);
        let verdict = loop {
            match walk.step() {
                Step::Ask(question) => walk.answer(known.entry(question).or_insert_with(|| {
                    names.insert(question.name());
                    answer(ranges, question)
                })),
                Step::Done(verdict) => break verdict,
            }
        };
        wrong += usize::from(!matches!(verdict.listing, Listing::Listed(_)) || verdict.fallback.is_some());
    }
    let blocks = known.keys().filter(|question| matches!(question, Question::Items(_))).count();
    println!(
        "  {LOOKUPS} lookups in {} /64s: {} names asked, {blocks} of them blocks, in {} questions; {wrong} wrong",
        networks.len(),
        names.len(),
        known.len(),
    );
}

/// True if a run has addresses that IPv4 listings speak of, too: mapped ones, or those of 6to4.
fn is_of_v4(run: &Range<u128>) -> bool {
    let blocks = [Prefix::containing(MAPPED, 96), Prefix::containing(0x2002 << 112, 16)];
    blocks.iter().any(|block| run.last >= block.first() && run.first <= block.last())
}

/// A listed address in the /64 of a rank, which is always the same.
fn address_of_rank(runs: &[Range<u128>], rank: u64, random: &mut Random) -> u128 {
    let mut of_rank = Random::new(rank);
    let run = &runs[of_rank.next() as usize % runs.len()];
    let inside = |first: u128, last: u128, random: &mut Random| {
        first + random.next() % (last - first).saturating_add(1).max(1)
    };
    let network = Prefix::containing(inside(run.first, run.last, &mut of_rank), 64);
    inside(run.first.max(network.first()), run.last.min(network.last()), random)
}

/// The server's answer. What the ordinary query says does not matter to what is asked.
fn answer(ranges: &Ranges, question: Question) -> Answer {
    let records = match question {
        Question::Items(prefix) => ranges.block(prefix).map(|block| vec![block.items.clone()]),
        Question::Values(prefix) => ranges.block(prefix).map(|block| block.values.to_vec()),
        Question::Addresses(_) => Some(vec![Box::from([127, 0, 0, 2])]),
        Question::Texts(_) => None,
    };
    records.filter(|records| !records.is_empty()).map_or(Answer::NoRecords, Answer::Records)
}

/// The processor time of this thread: others on the machine do not count.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

fn query(text: &str, record_type: u16) -> Vec<u8> {
    let name = Name::from_text(format!("{text}.{APEX}").as_bytes()).expect("a short name");
    let mut packet = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    packet.extend_from_slice(name.wire());
    packet.extend_from_slice(&record_type.to_be_bytes());
    packet.extend_from_slice(&[0, 1]);
    packet.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    packet
}

/// A dataset of data files.
fn read(spec: &str) -> Dataset {
    let config = dataset_spec(spec).expect("TYPE:FILE").with(Path::new(""), ReadConfig::default());
    let options = config.read.options(SystemTime::now());
    let mut parser = Parser::new(config.kind, &options);
    for path in &config.files {
        let mut text = DataFile::open(path, &Limits::default()).expect("a data file");
        parser.file(path, SystemTime::UNIX_EPOCH, &mut text).expect("entries");
    }
    let (parsed, mut diagnostics) = parser.finish();
    let paths: Vec<_> = config.files.into_iter().map(Arc::new).collect();
    Dataset::compile(parsed, &paths, options.default_ttl, &mut diagnostics).expect("fewer than 2^31 entries")
}

fn compile(v6: Vec<Entry<u128>>) -> Dataset {
    let mut values = ValueTable::default();
    for code in 2..5 {
        let text = Some(b"see https://bl.example/?$"[..].into());
        values.intern(Value { address: Ipv4Addr::new(127, 0, 0, code), text });
    }
    let parsed = Parsed {
        kind: Kind::Ip6trie,
        entries: v6.len() as u64,
        exceptions: 0,
        content: Content::Addresses(AddressEntries { v4: Vec::new(), v6 }),
        values,
        specials: Specials::default(),
        modified: 0,
    };
    Dataset::compile(parsed, &[], 2100, &mut Diagnostics::default()).expect("fewer than 2^31 entries")
}

fn zone(dataset: Arc<Dataset>) -> Zone {
    let ranges = RangesOptions { block_bytes: block::DEFAULT_LIMIT, ttl: 2100, clients: Vec::new() };
    let options = ZoneOptions { ranges: Some(ranges), ..ZoneOptions::default() };
    let name = Name::from_text(APEX.as_bytes()).expect("a short name");
    let mut diagnostics = Diagnostics::default();
    Zone::new(name, vec![dataset], 0, Status::Serving, options, &mut diagnostics)
        .with_ranges(None, &mut diagnostics)
}

/// As operators write them: most listings /64, /56 and /48 inside a few /32s, exceptions inside
/// some of them, some addresses.
fn clustered(count: usize, random: &mut Random) -> Vec<Entry<u128>> {
    let clusters: Vec<u128> =
        (0..count / 60 + 1).map(|_| random.next() >> 64 & 0x0fff_ffff | 0x2000_0000).collect();
    let mut entries = Vec::with_capacity(count + 1);
    while entries.len() < count {
        let cluster = clusters[random.next() as usize % clusters.len()] << 96 | random.next() >> 32;
        let (length, state) = match random.next() % 20 {
            0..=10 => (64, 1),
            11..=13 => (56, 2),
            14..=15 => (48, 1),
            16 => (128, 2),
            17 => (32, 1),
            _ => (33 + (random.next() % 96) as u8, 3),
        };
        entries.push(entry(cluster, length, state, entries.len()));
        if random.next().is_multiple_of(6) {
            entries.push(entry(cluster, (length + 8).min(128), 0, entries.len()));
        }
    }
    entries
}

/// /64s in one /32, of one value.
fn one_network(count: usize, random: &mut Random) -> Vec<Entry<u128>> {
    (0..count).map(|line| entry(0x2001_0db8 << 96 | random.next() >> 32, 64, 1, line)).collect()
}

/// /64s anywhere in 2000::/3, of three values.
fn scattered(count: usize, random: &mut Random) -> Vec<Entry<u128>> {
    (0..count)
        .map(|line| entry(0x2000 << 112 | random.next() >> 3, 64, 1 + (random.next() % 3) as u32, line))
        .collect()
}

fn entry(address: u128, length: u8, state: u32, line: usize) -> Entry<u128> {
    let first = Prefix::containing(address, length).first();
    Entry { first, state, line: line as u32, file: 0, length }
}

/// Random numbers of 128 bits, the same for the same seed.
struct Random(List);

impl Random {
    fn new(seed: u64) -> Self {
        Self(List::new(seed, 1))
    }

    fn next(&mut self) -> u128 {
        u128::from(self.0.next()) << 64 | u128::from(self.0.next())
    }
}
