//! Signed zones: verifiers accept the zone that `nibbl export --signed` writes; BIND, NSD and Knot DNS, which serve
//! that file, give the answers that nibbl gives online, proof for proof; and validating programs believe them.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Output};

use crate::harness::authorities::{Authority, bind, knot, nsd};
use crate::harness::client::ask_all;
use crate::harness::dns::{Query, Record, Reply, reversed};
use crate::harness::files::Directory;
use crate::harness::random::Random;
use crate::harness::server::{Server, free_port, nibbl, peer};

const ZONES: [&str; 2] = ["bl.example", "dbl.example"];

/// The delegations of their configuration.
const CUTS: [&str; 3] = ["sub.bl.example", "f.9.bl.example", "b.c.dbl.example"];

/// How many names are asked of each server, if `NIBBL_SIGNED_NAMES` says nothing else.
const NAMES: usize = 2000;

const HEAD: &str = "$SOA 1h ns1.example.net hostmaster.example.net 1 2h 30m 7d 10m\n$NS 1d ns1.example.net\n";

#[test]
fn verifiers_accept_the_signed_export() {
    let (Some(ldns), Some(bind)) = (peer("ldns-verify-zone"), peer("dnssec-verify")) else { return };
    let data = data(1, true);
    for zone in ZONES {
        let path = data.path().join(zone);
        std::fs::write(&path, export(data.path(), zone)).expect("write");
        succeed(Command::new(&ldns).arg(&path));
        succeed(Command::new(&bind).args(["-q", "-z", "-o", zone]).arg(&path));
    }
}

#[test]
fn nsd_answers_as_nibbl_does() {
    // NSD 4.6 takes no APL record of more than 64 items.
    answers_as_nibbl_does("nsd", nsd, false);
}

#[test]
fn knot_answers_as_nibbl_does() {
    answers_as_nibbl_does("knotd", knot, true);
}

#[test]
fn bind_answers_as_nibbl_does() {
    answers_as_nibbl_does("named", bind, true);
}

fn answers_as_nibbl_does(program: &str, start: Authority, ranges: bool) {
    let Some(program) = peer(program) else { return };
    let count = std::env::var("NIBBL_SIGNED_NAMES").ok().and_then(|text| text.parse().ok()).unwrap_or(NAMES);
    let seed = program.as_os_str().len() as u64;
    let data = data(seed, ranges);
    let mut owners = Vec::new();
    for zone in ZONES {
        let text = export(data.path(), zone);
        let of_zone: BTreeSet<&str> = text.lines().filter_map(owner).collect();
        owners.extend(of_zone.into_iter().map(|owner| match owner {
            "@" => zone.to_string(),
            _ => format!("{owner}.{zone}"),
        }));
        data.write(zone, text);
    }
    let existing: BTreeSet<&str> = owners.iter().map(String::as_str).collect();
    let address = free_port();
    let process = start(&program, data.path(), address);
    let server = serve(data.path());
    let mut random = Random::new(seed);
    let mut kinds = [0_usize; 4];
    for begin in (0..count).step_by(10_000) {
        let mut queries: Vec<Query> =
            (begin..count.min(begin + 10_000)).map(|_| query(&owners, &mut random)).collect();
        if program.ends_with("knotd") {
            // Knot DNS 3.2 proves nothing where a name that begins with `*` is answered by another wildcard.
            queries.retain(|query| !query.name.starts_with("*.") || existing.contains(query.name.as_str()));
        }
        if program.ends_with("named") {
            // RFC 4035, section 3.1, leaves it open what whoever asks for the NSEC record of a delegation gets: of
            // BIND that record, of nibbl, NSD and Knot DNS a referral with it.
            queries.retain(|query| query.record_type != "TYPE47" || !CUTS.contains(&query.name.as_str()));
        }
        let [ours, theirs] = [server.udp, address].map(|address| answers(address, &queries));
        let mut besides = BTreeSet::new();
        for ((query, mut ours), theirs) in queries.iter().zip(ours).zip(theirs) {
            kinds[ours.kind()] += 1;
            besides.append(&mut ours.take_besides(&theirs));
            assert_eq!(ours, theirs, "{query}: left nibbl, right {}", program.display());
        }
        let wildcards: BTreeSet<&String> = besides.iter().map(|(owner, _)| owner).collect();
        let queries: Vec<Query> = wildcards.iter().map(|&owner| signed(owner, "TYPE47")).collect();
        let records: BTreeSet<_> =
            answers(address, &queries).into_iter().flat_map(|said| said.answer).collect();
        assert_eq!(besides.into_iter().map(|(_, shown)| shown).collect::<BTreeSet<_>>(), records);
    }
    process.stop();
    server.stop();
    println!("answers, wildcard answers, NODATA, NXDOMAIN and others: {kinds:?}");
    assert!(kinds.iter().all(|&kind| kind > count / 50), "{kinds:?}");
}

#[test]
fn delv_and_unbound_host_validate() {
    let (Some(delv), Some(unbound_host)) = (peer("delv"), peer("unbound-host")) else { return };
    let data = data(3, false);
    let server = serve(data.path());
    let keys: String = ZONES.map(|zone| dnskeys(server.udp, zone)).concat();
    let anchors = data.write("anchors", &keys);
    let bind_anchors: String = keys.lines().map(bind_anchor).collect();
    let bind_anchors = data.write("anchors.bind", format!("trust-anchors {{\n{bind_anchors}}};\n"));
    let stubs: String = ZONES
        .map(|zone| format!("stub-zone:\n name: {zone}\n stub-addr: 127.0.0.1@{}\n", server.udp.port()))
        .concat();
    let configuration = data.write(
        "unbound.conf",
        format!(
            "server:\n do-not-query-localhost: no\n do-ip6: no\n trust-anchor-file: {}\n{stubs}",
            anchors.display()
        ),
    );
    let listed = reversed("2001:db8::1".parse().expect("an address"), "bl.example");
    let excepted = reversed("2001:db8:ffff::1".parse().expect("an address"), "bl.example");
    let unlisted = reversed("2a00::1".parse().expect("an address"), "bl.example");
    for (name, is_listed) in [
        (listed.as_str(), true),
        (&excepted, false),
        (&unlisted, false),
        ("2.0.0.127.bl.example", true),
        ("x.y.two.dbl.example", true),
        ("x.ok.two.dbl.example", false),
        ("nothing.dbl.example", false),
    ] {
        let zone = ZONES.iter().find(|zone| name.ends_with(&format!(".{zone}"))).expect("a zone");
        let mut command = Command::new(&delv);
        command.args(["@127.0.0.1", "-p", &server.udp.port().to_string(), "-a"]).arg(&bind_anchors);
        let said = succeed(command.arg(format!("+root={zone}")).args([name, "A"]));
        let verdict = if is_listed { "; fully validated" } else { "; negative response, fully validated" };
        assert!(said.contains(verdict), "{name}: {said}");
        let mut command = Command::new(&unbound_host);
        let said = succeed(command.arg("-C").arg(&configuration).args(["-v", "-t", "A", name]));
        assert!(said.contains("(secure)"), "{name}: {said}");
        assert_eq!(said.contains("has address 127.0.0."), is_listed, "{name}: {said}");
    }
    server.stop();
}

/// What must be equal in the answers of two servers. Signatures are equal if they are of the same key.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    rcode: String,
    authoritative: bool,
    answer: BTreeSet<Shown>,
    authority: BTreeSet<Shown>,
}

/// A record; of an RRSIG, what it covers, its labels, key and signer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Shown(String);

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Answer {
    /// Takes out what is given besides: with the answer of a wildcard its own NSEC record.
    fn take_besides(&mut self, other: &Self) -> BTreeSet<(String, Shown)> {
        let more = |shown: &Shown| !self.answer.is_empty() && !other.authority.contains(shown);
        let (besides, needed): (BTreeSet<Shown>, _) = std::mem::take(&mut self.authority)
            .into_iter()
            .partition(|shown| shown.0.starts_with("*.") && more(shown));
        self.authority = needed;
        let owner = |shown: &Shown| shown.0.split(' ').next().unwrap_or_default().to_owned();
        besides.into_iter().map(|shown| (owner(&shown), shown)).collect()
    }

    fn kind(&self) -> usize {
        match (&*self.rcode, self.answer.is_empty(), self.authority.is_empty()) {
            ("NOERROR", false, true) => 0,
            ("NOERROR", false, false) => 1,
            ("NOERROR", true, _) => 2,
            _ => 3,
        }
    }
}

fn answers(server: SocketAddr, queries: &[Query]) -> Vec<Answer> {
    let replies = ask_all(server, queries).into_iter().zip(queries);
    let shown = |records: &[Record]| records.iter().map(show).collect::<BTreeSet<_>>();
    replies
        .map(|(reply, query)| {
            let Reply { rcode, authoritative, answer, mut authority, .. } =
                reply.unwrap_or_else(|| panic!("{query}: no answer"));
            if !answer.is_empty() {
                // NSD says who the servers are even where nobody needs to know.
                authority.retain(|record| covered(record) != "NS");
                if query.record_type == "TYPE47" {
                    // Knot DNS does not show an NSEC record twice, as answer and as proof.
                    authority.clear();
                }
            }
            Answer { rcode, authoritative, answer: shown(&answer), authority: shown(&authority) }
        })
        .collect()
}

/// The type of a record, or of what it signs.
fn covered(record: &Record) -> String {
    match signature_fields(record) {
        Some(fields) => match u16::from_be_bytes([fields[0], fields[1]]) {
            2 => "NS".into(),
            code => format!("TYPE{code}"),
        },
        None => record.record_type.clone(),
    }
}

fn show(record: &Record) -> Shown {
    let Record { owner, record_type, ttl, rdata } = record;
    let owner = owner.to_ascii_lowercase();
    Shown(match signature_fields(record) {
        Some(fields) => {
            let end = 18 + fields[18..].iter().position(|&octet| octet == 0).unwrap_or_default();
            format!("{owner} {ttl} RRSIG {:02x?} {:02x?}", &fields[..8], &fields[16..=end])
        }
        None => format!("{owner} {ttl} {record_type} {rdata}"),
    })
}

/// The rdata of an RRSIG.
fn signature_fields(record: &Record) -> Option<Vec<u8>> {
    let hexadecimal = record.rdata.rsplit(' ').next().filter(|_| record.record_type == "TYPE46")?;
    let digits = hexadecimal.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).expect("ASCII"));
    Some(digits.map(|two| u8::from_str_radix(two, 16).expect("hexadecimal")).collect())
}

/// A question about a name that exists, or is near one: above, below, beside, or a wildcard stands for it.
fn query(owners: &[String], random: &mut Random) -> Query {
    const TYPES: [&str; 12] =
        ["A", "A", "A", "A", "A", "TXT", "TXT", "AAAA", "TYPE17", "TYPE47", "DS", "TYPE48"];
    let mut labels: Vec<String> =
        owners[random.below(owners.len() as u64) as usize].split('.').map(String::from).collect();
    let apex = 2;
    for label in &mut labels {
        if label == "*" && random.below(8) > 0 {
            *label = any_label(random);
        }
    }
    if random.below(3) == 0 {
        let keep = random.below((labels.len() - apex) as u64 + 1) as usize;
        labels.drain(..labels.len() - apex - keep);
    }
    if labels.len() > apex && random.below(3) == 0 {
        let at = random.below((labels.len() - apex) as u64) as usize;
        labels[at] = any_label(random);
    }
    let more = match random.below(4) {
        0 => random.below(4) as usize,
        // A whole IPv6 or IPv4 address.
        1 => (32 + apex).saturating_sub(labels.len()),
        2 => (4 + apex).saturating_sub(labels.len()),
        _ => 0,
    };
    for _ in 0..more {
        labels.insert(0, any_label(random));
    }
    let record_type = TYPES[random.below(TYPES.len() as u64) as usize];
    signed(&labels.join("."), record_type)
}

/// A query that wants signatures.
fn signed(name: &str, record_type: &str) -> Query {
    Query { edns: Some(4096), dnssec_ok: true, ..Query::new(name, record_type) }
}

fn any_label(random: &mut Random) -> String {
    match random.below(8) {
        0..=4 => format!("{:x}", random.below(16)),
        5 | 6 => random.below(256).to_string(),
        _ => ["*", "-", "_ranges", "x", "\\000", "\\255y", "two", "ok", "00", "~"][random.below(10) as usize]
            .into(),
    }
}

/// The owner of a line of a zone file.
fn owner(line: &str) -> Option<&str> {
    line.split_once(' ').map(|(owner, _)| owner).filter(|owner| !owner.starts_with('$'))
}

/// Random lists with exceptions, their configuration and their keys: one for all in one zone, two in the other.
fn data(seed: u64, ranges: bool) -> Directory {
    let mut random = Random::new(seed);
    let directory = Directory::new();
    let mut text = format!("{HEAD}2001:db8::/32 :2:$ is listed\n!2001:db8:ffff::/48\n2001:db8:ffff:1::/64\n");
    for index in 0..300 {
        let (address, length): (IpAddr, u32) = match index % 2 {
            0 => {
                let length = 8 + random.below(25) as u32;
                let bits = 0x0102_0304 ^ random.next_u64() as u32 >> random.below(32);
                (Ipv4Addr::from_bits(bits >> (32 - length) << (32 - length)).into(), length)
            }
            _ => {
                let base = [0x2001_0db8_u128 << 96, 0x0102_0304 << 96][random.below(2) as usize];
                let length = 12 + random.below(117) as u32;
                let bits = base ^ random.next_u128() >> (4 + random.below(124));
                (Ipv6Addr::from_bits(bits >> (128 - length) << (128 - length)).into(), length)
            }
        };
        text.push_str(&match random.below(3) {
            0 => format!("!{address}/{length}\n"),
            code => format!("{address}/{length} :{code}:code {code} for $\n"),
        });
    }
    directory.write("addresses", text);
    directory.write(
        "records",
        "@ MX 10 mx.example.net\nwww 60 A 192.0.2.1\nwww AAAA 2001:db8::1\nb.www MX 5 mail\n",
    );
    let names = "two.example\n!.ok.two :2:\n.two :3:all of $\n*.three\none :4:$ itself\na.b.c\nbad.ok.two\n";
    directory.write("names", format!("{HEAD}{names}"));
    directory.write(
        "nibbl.toml",
        format!(
            "[[zone]]\nname = \"bl.example\"\ndatasets = [\"ip:addresses\", \"generic:records\"]\n\
             ranges = {ranges}\nsigned = true\nkeys = \"bl.keys\"\n\
             delegations = [\
             {{ name = \"sub\", ns = [\"ns1.example.net\", \"ns2.example.net\"], ds = [\"1 13 2 {digest}\"] }}, \
             {{ name = \"f.9\", ns = [\"ns1.example.net\"], ds = [] }}]\n\n\
             [[zone]]\nname = \"dbl.example\"\ndatasets = [\"dnset:names\"]\nsigned = true\nkeys = \"dbl.keys\"\n\
             delegations = [{{ name = \"b.c\", ns = [\"ns1.example.net\"], ds = [] }}]\n",
            digest = "00".repeat(32),
        ),
    );
    let with: [(&str, &str, &[&str]); 2] = [
        ("bl.keys", "bl.example", &["--algorithm", "ecdsa-p256"]),
        ("dbl.keys", "dbl.example", &["--algorithm", "ed25519", "--split"]),
    ];
    for (keys, zone, options) in with {
        let keys = directory.path().join(keys);
        std::fs::create_dir(&keys).expect("a directory");
        succeed(nibbl().args(["key", "generate", zone]).args(options).arg("--keys").arg(keys));
    }
    directory
}

fn serve(directory: &Path) -> Server {
    Server::serve(["--config".into(), directory.join("nibbl.toml")])
}

fn export(directory: &Path, zone: &str) -> String {
    let keys = format!("{}.keys", zone.trim_end_matches(".example"));
    let mut command = nibbl();
    command.args(["export", "--format", "zone", "--signed", "--zone", zone, "--config"]);
    succeed(command.arg(directory.join("nibbl.toml")).arg("--keys").arg(directory.join(keys)))
}

/// The DNSKEY records of a zone, as lines of a zone file.
fn dnskeys(server: SocketAddr, zone: &str) -> String {
    let port = server.port().to_string();
    let mut command = Command::new("dig");
    succeed(command.args(["+noall", "+answer", "@127.0.0.1", "-p", &port, zone, "DNSKEY"]))
}

/// A DNSKEY record as one of BIND's trust anchors.
fn bind_anchor(line: &str) -> String {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [owner, _, _, _, flags, protocol, algorithm, key @ ..] = &fields[..] else { panic!("{line}") };
    format!("{owner} static-key {flags} {protocol} {algorithm} \"{}\";\n", key.concat())
}

/// Runs a program that must succeed; returns its standard output.
fn succeed(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let said = String::from_utf8_lossy(&stdout).into_owned();
    assert!(status.success(), "{command:?}: {status}\n{said}\n{}", String::from_utf8_lossy(&stderr));
    said
}
