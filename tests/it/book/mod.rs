//! README.md and the book (`docs/`): what they show is run, so that it cannot rot.
//!
//! Each fenced block says what it is, and is held to that:
//!
//! | language | what is done |
//! |---|---|
//! | `console` | the commands (`$ …`) of a page run one after the other, see `session`; what follows them is what they print, where `…` stands for anything, and alone for any number of lines |
//! | `toml` | read as nibbl.toml; with `other` in the fence as any TOML |
//! | a dataset type (`ip`, `ip6trie`, …) | a data file: `nibbl check` finds no error |
//! | `json` | parsed, the whole or line by line |
//! | `yaml` | Prometheus' configuration: `promtool` reads it |
//! | `unbound`, `named`, `dnsdist`, `systemd` | read by the programs themselves |
//! | `text` | nothing: layouts, records, formulas |
//!
//! `file=NAME` in the fence puts the block into the page's directory. `no-run REASON` leaves a block alone;
//! the test prints how many there are, and why.

mod page;
mod session;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::files::Directory;
use crate::harness::server::{nibbl, peer};
use page::Block;
use session::Session;

const DATASET_TYPES: [&str; 10] =
    ["ip", "ip4set", "ip4tset", "ip4trie", "ip6tset", "ip6trie", "dnset", "generic", "combined", "acl"];

/// Pages that are held to the same.
const BESIDE_THE_BOOK: [&str; 2] = ["README.md", "CONTRIBUTING.md"];

/// Those, and the chapters.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = root.join("docs").read_dir().expect("docs").map(|entry| entry.expect("an entry").path());
    let mut pages: Vec<_> =
        docs.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect();
    pages.extend(BESIDE_THE_BOOK.map(|name| root.join(name)));
    pages.sort();
    pages
}

#[test]
fn what_the_book_shows_is_so() {
    let mut counts = BTreeMap::<String, usize>::new();
    let mut faults = Vec::new();
    for path in pages() {
        let mut session = None;
        for block in page::blocks(&path) {
            let done = match &block.no_run {
                Some(reason) => Ok(format!("not run: {reason}")),
                None => hold(&block, &mut session),
            };
            match done {
                Ok(what) => *counts.entry(what).or_default() += 1,
                Err(fault) => {
                    faults.push(format!("{block}: {fault}"));
                    // What follows on the page may need what failed.
                    break;
                }
            }
        }
    }
    for (what, count) in &counts {
        println!("{count:4} {what}");
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    assert!(counts.contains_key("commands"), "no command was run");
}

#[test]
fn every_chapter_is_in_the_summary() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let summary = std::fs::read_to_string(docs.join("SUMMARY.md")).expect("SUMMARY.md");
    for path in pages() {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        let listed = summary.matches(&format!("({name})")).count();
        let wanted = usize::from(name != "SUMMARY.md" && !BESIDE_THE_BOOK.contains(&name));
        assert_eq!(listed, wanted, "docs/SUMMARY.md: {name}");
    }
}

#[test]
fn links_lead_somewhere() {
    for path in pages() {
        let text = std::fs::read_to_string(&path).expect("a page");
        for target in
            text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
        {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            if target.contains("://") {
                continue;
            }
            let file = if file.is_empty() { path.clone() } else { path.with_file_name(file) };
            assert!(file.exists(), "{}: {target}", path.display());
            // The book as it is published has nothing of what is around `docs/`.
            assert!(!target.contains("../"), "{}: {target} is not in the book", path.display());
            if !anchor.is_empty() {
                let anchors = page::anchors(&file);
                assert!(anchors.iter().any(|known| known == anchor), "{}: {target}", path.display());
            }
        }
    }
}

/// Does what a block's language asks for; says what was done, or what is wrong.
fn hold(block: &Block, session: &mut Option<Session>) -> Result<String, String> {
    if let Some(name) = &block.file {
        session.get_or_insert_with(Session::new).write(name, &block.text);
    }
    match block.language.as_str() {
        "console" => {
            session.get_or_insert_with(Session::new).run(&block.text).map(|()| "commands".to_owned())
        }
        "toml" if block.has("other") => {
            block.text.parse::<toml::Table>().map_err(|error| error.to_string())?;
            Ok("toml".to_owned())
        }
        "toml" => match nibbl::config::file::parse(&block.text, Path::new("nibbl.toml"), None) {
            Ok(_) => Ok("nibbl.toml".to_owned()),
            Err(error) => Err(error.to_string()),
        },
        kind if DATASET_TYPES.contains(&kind) => data_file(kind, &block.text),
        "json" => json(&block.text).map(|()| "json".to_owned()),
        "yaml" => read_by("promtool", &["check", "config", "--syntax-only"], block),
        "unbound" => read_by("unbound-checkconf", &[], block),
        "named" => read_by("named-checkconf", &[], block),
        "dnsdist" => read_by("dnsdist", &["--check-config", "-C"], block),
        "systemd" => unit(&block.text).map(|()| "systemd".to_owned()),
        "text" => Ok("text".to_owned()),
        "" => Err("which language is it? Say so in the fence".to_owned()),
        other => Err(format!("`{other}` is unknown to the test; `text`, or `no-run` and a reason?")),
    }
}

/// `nibbl check` finds no error in a data file.
fn data_file(kind: &str, text: &str) -> Result<String, String> {
    let directory = Directory::new();
    directory.write("data", text);
    directory.write("none", "");
    let mut command = nibbl();
    command.args(["check", "--dir"]).arg(directory.path()).arg(format!("list.example:{kind}:data"));
    if kind == "acl" {
        command.arg("list.example:ip:none");
    }
    let output = command.output().expect("nibbl");
    match output.status.code() {
        Some(0) => Ok("data files".to_owned()),
        _ => Err(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()),
    }
}

fn json(text: &str) -> Result<(), String> {
    let whole = |text: &str| serde_json::from_str::<serde_json::Value>(text).map(|_| ());
    let lines = || text.lines().try_for_each(whole);
    whole(text).or_else(|_| lines()).map_err(|error| error.to_string())
}

/// Another program reads the block, which is the last argument's file.
fn read_by(program: &str, arguments: &[&str], block: &Block) -> Result<String, String> {
    let Some(path) = peer(program) else { return Ok(format!("not run: {program} is not installed")) };
    let directory = Directory::new();
    let file = directory.write("configuration", &block.text);
    let output = Command::new(path).args(arguments).arg(file).output().expect("start");
    match output.status.success() {
        true => Ok(block.language.clone()),
        false => Err(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()),
    }
}

/// The form of a unit or a drop-in file: sections, `Key=Value`, comments.
fn unit(text: &str) -> Result<(), String> {
    let mut section = false;
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        section |= line.starts_with('[') && line.ends_with(']');
        let setting = line.split_once('=').is_some_and(|(key, _)| key.chars().all(char::is_alphanumeric));
        if !(section && (setting || line.starts_with('['))) {
            return Err(line.to_owned());
        }
    }
    Ok(())
}
