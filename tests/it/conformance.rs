//! `tests/conformance/*.case`: data files in rbldnsd's formats and what is answered from them, through
//! `nibbl rbldnsd` and, where it is installed, through rbldnsd itself, whose recorded answers they are.
//!
//! ```text
//! options -e                          rbldnsd's options
//! zones bl.example:ip6trie:data       rbldnsd's zone specifications
//! file data                           a data file; `raw`: escapes (\n \xHH \{x*N}), `gzip`: compressed
//! | 2001:db8::/32 :2:text             a line of it
//! zone bl.example ttl 2100            the zone of the names that follow, and the TTL of A and TXT
//! soa 600 ns1. host. 1 2 3 4 60       the SOA of its negative answers, if it has one
//! ns 3600 ns1. ns2.                   the NS beside its positive answers, if it has any
//! from 127.0.0.9                      the client's address from here on
//! 2001:db8::1 A TXT MX -> A 127.0.0.2 | TXT "text"      the data of the name: each type's share is expected
//! foo A -> NODATA                     or NXDOMAIN, REFUSED, SERVFAIL, NOREPLY
//!     rbldnsd -> NXDOMAIN             what rbldnsd says instead, where nibbl means to differ
//! ```
//! A name is an address (asked in reverse), `@` for the zone itself, or relative to the zone.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::harness::client::{PATIENCE, ask_all_within};
use crate::harness::dns::{Query, Record, Reply, reversed};
use crate::harness::files::Directory;
use crate::harness::server::{Server, peer};

#[test]
fn nibbl_answers_as_the_cases_say() {
    every_case(|case, directory| {
        Some((Server::dropin(directory, &case.options, &case.zones), |question| &question.expected))
    });
}

#[test]
fn rbldnsd_answers_as_the_cases_say() {
    if peer("rbldnsd").is_none() {
        return;
    }
    every_case(|case, directory| {
        let server = Server::rbldnsd(directory, &case.options, &case.zones)?;
        Some((server, |question| question.rbldnsd.as_ref().unwrap_or(&question.expected)))
    });
}

/// How many of a case's differences a failed test shows.
const SHOWN: usize = 6;

/// Chooses, of the two expectations of a question, the one that holds for a server.
type Choose = fn(&Question) -> &Expected;

fn every_case(start: impl Fn(&Case, &Path) -> Option<(Server, Choose)>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut paths: Vec<_> = folder.read_dir().expect("cases").map(|e| e.expect("a case").path()).collect();
    paths.sort();
    let mut shown = Vec::new();
    let (mut asked, mut wrong) = (0, 0);
    for path in &paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let case = Case::parse(&name, &std::fs::read_to_string(path).expect("a case"));
        let directory = Directory::new();
        for file in &case.files {
            directory.write(&file.name, file.bytes());
        }
        let Some((server, choose)) = start(&case, directory.path()) else { return };
        // Where silence is expected, it is not waited for as long as an answer.
        let (silent, answered): (Vec<_>, Vec<_>) =
            case.questions.iter().partition(|question| *choose(question) == Expected::Silence);
        let mut differences = Vec::new();
        for (questions, patience) in [(answered, PATIENCE), (silent, Duration::from_millis(300))] {
            let queries: Vec<_> = questions.iter().map(|question| question.query.clone()).collect();
            let replies = ask_all_within(server.udp, &queries, patience);
            for (question, reply) in questions.into_iter().zip(replies) {
                let (wanted, got) = (choose(question), Expected::of(reply, &question.query));
                if *wanted != got {
                    let query = &question.query;
                    differences.push(format!("{name}: {query}\n  expected {wanted:?}\n  got      {got:?}"));
                }
            }
            asked += queries.len();
        }
        server.stop();
        wrong += differences.len();
        shown.extend(differences.into_iter().take(SHOWN));
    }
    assert!(wrong == 0, "{wrong} of {asked} answers differ:\n{}", shown.join("\n"));
    println!("{} cases, {asked} answers", paths.len());
}

struct Case {
    options: Vec<String>,
    zones: Vec<String>,
    files: Vec<DataFile>,
    questions: Vec<Question>,
}

struct DataFile {
    name: String,
    escapes: bool,
    gzip: bool,
    content: Vec<u8>,
}

impl DataFile {
    fn push(&mut self, line: &str) {
        if self.escapes {
            self.content.extend(unescape(line, true));
        } else {
            self.content.extend(line.bytes());
            self.content.push(b'\n');
        }
    }

    fn bytes(&self) -> Vec<u8> {
        if !self.gzip {
            return self.content.clone();
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&self.content).and_then(|()| encoder.finish()).expect("gzip")
    }
}

struct Question {
    query: Query,
    expected: Expected,
    rbldnsd: Option<Expected>,
}

/// What is compared of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Expected {
    /// None came.
    Silence,
    /// One came: the response code, AA, and (TTL, type, rdata) of answer and authority. The owner of
    /// answers is checked apart.
    Reply(String, bool, BTreeSet<Share>, BTreeSet<Share>),
}

type Share = (u32, String, String);

impl Expected {
    fn of(reply: Option<Reply>, query: &Query) -> Self {
        let Some(reply) = reply else { return Self::Silence };
        // The letter case of the question comes back; the escapes of special characters may differ.
        let plain = |name: &str| name.trim_end_matches('.').replace('\\', "");
        let asked = plain(&query.name);
        let owner_kept = reply.answer.iter().all(|record| plain(&record.owner) == asked);
        let rcode = if owner_kept { reply.rcode } else { format!("{} at another owner", reply.rcode) };
        let shares = |records: Vec<Record>| {
            records.into_iter().map(|record| (record.ttl, record.record_type, record.rdata)).collect()
        };
        Self::Reply(rcode, reply.authoritative, shares(reply.answer), shares(reply.authority))
    }
}

/// A zone of a case, as its questions need it.
#[derive(Default)]
struct ZoneOf {
    name: String,
    ttl: u32,
    soa: BTreeSet<Share>,
    ns: BTreeSet<Share>,
    client: Option<IpAddr>,
}

impl ZoneOf {
    fn query(&self, name: &str, record_type: &str) -> Query {
        let full = match name {
            "@" => self.name.clone(),
            _ if self.name == "." => name.to_string(),
            _ => match name.parse() {
                Ok(address) => reversed(address, &self.name),
                Err(_) => format!("{name}.{}", self.name),
            },
        };
        Query { source: self.client, ..Query::new(full, record_type) }
    }

    /// The reply to a question of one type, where `text` says all that the name has.
    fn expected(&self, text: &str, record_type: &str) -> Expected {
        let (none, soa) = (BTreeSet::new(), self.soa.clone());
        let shares: BTreeSet<Share> = match text {
            "NOREPLY" => return Expected::Silence,
            "NXDOMAIN" => return Expected::Reply(text.into(), true, none, soa),
            "REFUSED" | "SERVFAIL" | "NOTIMP" => {
                return Expected::Reply(text.into(), false, none.clone(), none);
            }
            "NODATA" => none,
            _ => split_records(text).map(|record| self.share(record)).collect(),
        };
        let of_type = |share: &Share| record_type == "ANY" || share.1 == record_type;
        let answer: BTreeSet<Share> = shares.into_iter().filter(of_type).collect();
        let authority = if answer.is_empty() { soa } else { self.ns.clone() };
        Expected::Reply("NOERROR".into(), true, answer, authority)
    }

    /// `[TTL] TYPE rdata`.
    fn share(&self, record: &str) -> Share {
        let (first, rest) = record.split_once(' ').expect("TYPE rdata");
        let (ttl, record_type, rdata) = match first.parse() {
            Ok(ttl) => {
                let (record_type, rdata) = rest.split_once(' ').expect("TTL TYPE rdata");
                (ttl, record_type, rdata)
            }
            Err(_) => (self.ttl, first, rest),
        };
        (ttl, record_type.into(), String::from_utf8(unescape(rdata, false)).expect("UTF-8"))
    }
}

impl Case {
    fn parse(name: &str, text: &str) -> Self {
        let mut case =
            Self { options: Vec::new(), zones: Vec::new(), files: Vec::new(), questions: Vec::new() };
        let mut zone = ZoneOf::default();
        let mut last = 0;
        for (number, line) in text.lines().enumerate() {
            let words = |text: &str| text.split_whitespace().map(String::from).collect::<Vec<_>>();
            if let Some(data) = line.strip_prefix('|') {
                let data = data.strip_prefix(' ').unwrap_or(data);
                case.files.last_mut().expect("`file` first").push(data);
                continue;
            }
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some((question, answer)) = line.split_once(" -> ") {
                if question.trim() == "rbldnsd" {
                    for question in &mut case.questions[last..] {
                        question.rbldnsd = Some(zone.expected(answer, &question.query.record_type));
                    }
                    continue;
                }
                last = case.questions.len();
                let question = words(question);
                case.questions.extend(question[1..].iter().map(|record_type| Question {
                    query: zone.query(&question[0], record_type),
                    expected: zone.expected(answer, record_type),
                    rbldnsd: None,
                }));
                continue;
            }
            let (directive, rest) = line.split_once(' ').unwrap_or((line, ""));
            let rest_words = words(rest);
            let share = |record_type: &str, rdata: &str| {
                (rest_words[0].parse().expect("a TTL"), record_type.into(), rdata.into())
            };
            match directive {
                "options" => case.options = rest_words,
                "zones" => case.zones = rest_words,
                "file" => case.files.push(DataFile {
                    name: rest_words[0].clone(),
                    escapes: rest_words[1..].iter().any(|flag| flag == "raw"),
                    gzip: rest_words[1..].iter().any(|flag| flag == "gzip"),
                    content: Vec::new(),
                }),
                "zone" => {
                    let ttl = rest_words.get(2).map_or(0, |ttl| ttl.parse().expect("a TTL"));
                    zone = ZoneOf { name: rest_words[0].clone(), ttl, ..ZoneOf::default() };
                }
                "soa" => zone.soa = [share("SOA", &rest_words[1..].join(" "))].into(),
                "ns" => zone.ns = rest_words[1..].iter().map(|host| share("NS", host)).collect(),
                "from" => zone.client = Some(rest.parse().expect("an address")),
                _ => panic!("{name}.case:{}: {line}", number + 1),
            }
        }
        case
    }
}

/// Cuts at ` | `, but not within quotes.
fn split_records(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    text.split(move |c| {
        let cut = c == '|' && !quoted;
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        cut
    })
    .map(str::trim)
}

/// Resolves `\{x*N}`, and in data files (`all`) the other escapes.
fn unescape(text: &str, all: bool) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        octets.extend(rest[..at].bytes());
        let escape = &rest[at + 1..];
        let (read, octet, count) = match escape.as_bytes() {
            [b'{', octet, b'*', ..] => {
                let end = escape.find('}').expect("closing brace");
                (end + 1, *octet, escape[3..end].parse().expect("a number"))
            }
            [b'n', ..] if all => (1, b'\n', 1),
            [b'r', ..] if all => (1, b'\r', 1),
            [b't', ..] if all => (1, b'\t', 1),
            [b'x', ..] if all => (3, u8::from_str_radix(&escape[1..3], 16).expect("hexadecimal"), 1),
            [octet, ..] if all => (1, *octet, 1),
            _ => (0, b'\\', 1),
        };
        octets.extend(std::iter::repeat_n(octet, count));
        rest = &escape[read..];
    }
    octets.extend(rest.bytes());
    octets
}
