//! `nibbl lookup`: what lists say of addresses and names, for people and scripts.
//!
//! All zones and subjects share one memory, so that thousands of addresses of one range cost a
//! handful of questions. Results are printed in the order in which the subjects came.

use std::collections::VecDeque;
use std::io::{self, BufRead, IsTerminal, Read, Write, stderr, stdout};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use hickory_proto::rr::Name;
use indicatif::{ProgressBar, ProgressDrawTarget};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Answers, Limits, Lookup, Ranges, Resolver};
use crate::config::address;
use print::{Form, Outcome};

mod print;

/// Subjects looked up at the same time.
const AT_ONCE: usize = 64;
/// Lines that wait to be looked up.
const QUEUE: usize = 256;
/// The longest line of standard input, in octets: longer than any name.
const MAX_LINE: u64 = 2048;
/// What the system's resolver is called.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// What follows the help of the options.
pub const HELP: &str = "\
ADDRESS is an IPv4 or IPv6 address, NAME a domain name; without any, or for `-`, they are read from
standard input, one a line (`#` begins a comment).

Zones with range records are asked for ranges, all others by ordinary queries (RFC 5782).

Example:
  nibbl lookup 2001:db8::1 192.0.2.1 --zone bl.example --server 127.0.0.1:5353 --explain

Exit codes: 0 listed somewhere, 1 listed nowhere, 2 something could not be found out (and nothing
is listed), or wrong arguments.";

/// The arguments of `nibbl lookup`.
#[derive(Args, Clone, Debug)]
pub struct LookupArgs {
    /// A list to ask; may be repeated, or several with commas
    #[arg(long, required = true, value_name = "ZONE", value_parser = zone_name, value_delimiter = ',')]
    pub zone: Vec<Name>,
    /// Ask this server, in place of the system's resolver
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = server)]
    pub server: Option<SocketAddr>,
    /// Print one JSON object for each subject and zone, a line each
    #[arg(long)]
    pub json: bool,
    /// Show each name asked, its answer and TTL
    #[arg(long)]
    pub explain: bool,
    /// Ask by ordinary queries only
    #[arg(long)]
    pub plain: bool,
    /// What to look up
    #[arg(value_name = "ADDRESS|NAME")]
    pub subjects: Vec<String>,
}

/// What is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Subject {
    Address(IpAddr),
    Name(Name),
}

/// What the lookups came to.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    subjects: usize,
    questions: usize,
    listed: bool,
    unknown: bool,
}

/// Looks everything up and prints it to `out`; remarks go to `say`. Returns the exit code.
///
/// # Errors
/// The system's resolver is not known, or `out` cannot be written.
pub fn run(args: LookupArgs, out: &mut impl Write, say: impl Fn(&str)) -> io::Result<u8> {
    let resolver = match args.server {
        Some(server) => Resolver::new(vec![server]),
        None => Resolver::from_file(Path::new(RESOLV_CONF))
            .map_err(|error| io::Error::new(error.kind(), format!("{RESOLV_CONF}: {error}")))?,
    };
    for line in resolver.passed_over() {
        say(&format!("{RESOLV_CONF}: no address of a server: `{line}`"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tally = runtime.block_on(async {
        let answers = Answers::new(Box::new(resolver), Limits::default());
        let zones = args.zone.iter().map(|zone| {
            let ranges = Ranges::new(zone.clone(), answers.clone());
            if args.plain { ranges.plain() } else { ranges }
        });
        let form = Form { json: args.json, explain: args.explain };
        look_up_all(zones.collect(), args.subjects, form, out, &say).await
    })?;
    Ok(tally.exit_code())
}

async fn look_up_all(
    zones: Arc<[Ranges]>,
    subjects: Vec<String>,
    form: Form,
    out: &mut impl Write,
    say: &impl Fn(&str),
) -> io::Result<Tally> {
    let (sender, mut inputs) = mpsc::channel(QUEUE);
    let from_input = subjects.is_empty() || subjects.iter().any(|subject| subject == "-");
    std::thread::spawn(move || read_subjects(subjects, &sender));
    let progress = progress(from_input);
    let mut tally = Tally::default();
    let mut under_way: VecDeque<(String, JoinHandle<Vec<Lookup>>)> = VecDeque::new();
    let mut open = true;
    while open || !under_way.is_empty() {
        let room = under_way.len() < AT_ONCE;
        let first = async {
            match under_way.front_mut() {
                Some((_, lookups)) => lookups.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            lookups = first => {
                let Some((subject, _)) = under_way.pop_front() else { continue };
                for (zone, lookup) in zones.iter().zip(lookups.map_err(io::Error::other)?) {
                    tally.add(&lookup);
                    print::lookup(out, form, &subject, zone.apex(), &lookup)?;
                }
                out.flush()?;
                tally.subjects += 1;
                progress.inc(1);
            }
            input = inputs.recv(), if open && room => match input {
                None => open = false,
                Some(Err(complaint)) => {
                    tally.unknown = true;
                    progress.suspend(|| say(&complaint));
                }
                Some(Ok((text, subject))) => {
                    let zones = zones.clone();
                    under_way.push_back((text, tokio::spawn(async move { look_up(&zones, &subject).await })));
                }
            },
        }
    }
    progress.finish_and_clear();
    if from_input {
        let (subjects, questions) = (tally.subjects, tally.questions);
        say(&format!("{subjects} looked up in {} zones, {questions} questions asked", zones.len()));
    }
    Ok(tally)
}

/// One subject in all zones at once.
async fn look_up(zones: &[Ranges], subject: &Subject) -> Vec<Lookup> {
    let lookups: Vec<_> = zones
        .iter()
        .map(|zone| {
            let (zone, subject) = (zone.clone(), subject.clone());
            tokio::spawn(async move {
                match subject {
                    Subject::Address(address) => zone.lookup(address, true).await,
                    Subject::Name(name) => zone.lookup_name(&name, true).await,
                }
            })
        })
        .collect();
    let mut done = Vec::new();
    for lookup in lookups {
        // A task that was not let to its end found nothing out.
        done.push(lookup.await.unwrap_or_else(|_| Lookup::unknown()));
    }
    done
}

type Input = Result<(String, Subject), String>;

/// Sends the subjects of the arguments, and of standard input where they say so. Ends early when
/// nobody listens any more.
fn read_subjects(arguments: Vec<String>, sender: &mpsc::Sender<Input>) {
    let arguments = if arguments.is_empty() { vec!["-".to_owned()] } else { arguments };
    for argument in arguments {
        let sent =
            if argument == "-" { read_lines(io::stdin().lock(), sender) } else { send(&argument, sender) };
        if sent.is_none() {
            return;
        }
    }
}

fn read_lines(mut input: impl BufRead, sender: &mpsc::Sender<Input>) -> Option<()> {
    for number in 1.. {
        let mut line = Vec::new();
        // The line, and its end.
        let complaint = match (&mut input).take(MAX_LINE + 1).read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) if line.len() as u64 > MAX_LINE && !line.ends_with(b"\n") => {
                let complaint = format!("standard input:{number}: line too long");
                sender.blocking_send(Err(complaint)).ok()?;
                match input.skip_until(b'\n') {
                    Ok(_) => continue,
                    Err(error) => format!("standard input: {error}"),
                }
            }
            Ok(_) => {
                let line = String::from_utf8_lossy(&line);
                let text = line.split('#').next().unwrap_or("").trim();
                if !text.is_empty() {
                    send(text, sender)?;
                }
                continue;
            }
            Err(error) => format!("standard input: {error}"),
        };
        sender.blocking_send(Err(complaint)).ok()?;
        break;
    }
    Some(())
}

fn send(text: &str, sender: &mpsc::Sender<Input>) -> Option<()> {
    let input = match subject(text) {
        Some(subject) => Ok((text.to_owned(), subject)),
        None => Err(format!("`{text}` is neither an address nor a domain name")),
    };
    sender.blocking_send(input).ok()
}

/// Reads an address or a name. Names end in no number (RFC 3696, section 2): `300.0.0.1` and
/// `192.0.2.0/24` are mistakes, and no names that are not listed.
fn subject(text: &str) -> Option<Subject> {
    if let Ok(address) = text.parse() {
        return Some(Subject::Address(address));
    }
    let name = Name::from_ascii(text).ok().filter(|_| !text.contains([':', '/', ' ', '@']))?;
    let last = name.iter().next_back()?;
    (!last.iter().all(u8::is_ascii_digit)).then_some(Subject::Name(name))
}

/// Counts on standard error, if that is a terminal and the results go elsewhere.
fn progress(from_input: bool) -> ProgressBar {
    let shown = from_input && stderr().is_terminal() && !stdout().is_terminal();
    let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(None, target);
    if let Ok(style) = indicatif::ProgressStyle::with_template("{spinner} {pos} looked up, {per_sec}") {
        bar.set_style(style);
    }
    bar
}

impl Tally {
    fn add(&mut self, lookup: &Lookup) {
        self.questions += lookup.questions_asked();
        match Outcome::of(lookup) {
            Outcome::Listed => self.listed = true,
            Outcome::NotListed => {}
            Outcome::Unknown(_) => self.unknown = true,
        }
    }

    fn exit_code(self) -> u8 {
        match self {
            Self { listed: true, .. } => 0,
            Self { unknown: true, .. } => 2,
            _ => 1,
        }
    }
}

/// Reads the name of a zone.
pub(super) fn zone_name(text: &str) -> Result<Name, String> {
    let mut name = Name::from_ascii(text).map_err(|error| error.to_string())?;
    name.set_fqdn(true);
    if name.is_root() { Err("the name is missing".to_owned()) } else { Ok(name) }
}

/// Reads the address of a server.
pub(super) fn server(text: &str) -> Result<SocketAddr, address::BadAddress> {
    address::parse(text, 53)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects() {
        for (text, expected) in [
            ("192.0.2.1", true),
            ("2001:db8::1", true),
            ("example.org", true),
            ("xn--4ca.example.", true),
            ("300.0.0.1", false),
            ("1.2.3", false),
            ("192.0.2.0/24", false),
            ("2001:db8::/32", false),
            ("a@example.org", false),
            ("", false),
            (".", false),
            ("a..b", false),
        ] {
            assert_eq!(subject(text).is_some(), expected, "{text}");
        }
    }

    #[test]
    fn lines() {
        let (sender, mut inputs) = mpsc::channel(10);
        let long = "x".repeat(5000);
        let longest = " ".repeat(MAX_LINE as usize - 7) + "longest";
        let text = format!("192.0.2.1 # one\n\n#\n1.2.3\nexample.org\r\n{long}\nnext\n{longest}\n{long}");
        read_lines(text.as_bytes(), &sender);
        drop(sender);
        let mut shown = Vec::new();
        while let Ok(input) = inputs.try_recv() {
            shown.push(input.map_or_else(|complaint| complaint, |(text, _)| text));
        }
        assert_eq!(
            shown,
            [
                "192.0.2.1",
                "`1.2.3` is neither an address nor a domain name",
                "example.org",
                "standard input:6: line too long",
                "next",
                "longest",
                "standard input:9: line too long",
            ]
        );
    }

    #[test]
    fn exit_codes() {
        let tally = |listed, unknown| Tally { listed, unknown, ..Tally::default() }.exit_code();
        assert_eq!(
            [tally(true, true), tally(true, false), tally(false, true), tally(false, false)],
            [0, 0, 2, 1]
        );
    }
}
