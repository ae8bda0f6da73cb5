//! A page's commands, run one after the other in a directory of their own.
//!
//! The directory holds the example zones, and what the page names by `file=`. In commands, files and output
//! the paths of a packaged server (`/etc/nibbl` …) stand for directories in it, and the ports of the examples
//! for free ones. `nibbl` and `cargo run --release --` are the program under test; root and the user `nibbl`
//! are whoever runs it. A command that ends in `&` goes on until `kill %NUMBER`, or until the page ends.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::harness::files::Directory;
use crate::harness::process::Process;
use crate::harness::server::{free_port, nibbl, peer};

/// Paths of a packaged server.
const PATHS: [&str; 4] = ["/etc/nibbl", "/var/lib/nibbl", "/var/log/nibbl", "/run/nibbl"];
/// Ports of examples: nibbl's, the relay's, those of metrics.
const PORTS: [&str; 4] = ["5353", "5354", "9153", "5355"];
/// What the shell has itself.
const BUILT_IN: [&str; 2] = ["echo", "printf"];
/// How to be somebody else, which nobody is here.
const AS_OTHERS: [&str; 3] = ["sudo -u nibbl ", "sudo ", " --user nibbl"];

/// A directory, and what runs in it.
pub(super) struct Session {
    directory: Directory,
    /// What is shown, and what it is here.
    places: Vec<(String, String)>,
    /// By their numbers, as the shell counts them.
    background: BTreeMap<usize, Process>,
}

impl Session {
    /// With the example zones.
    pub(super) fn new() -> Self {
        let directory = Directory::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for name in ["zones", "bin"].iter().chain(PATHS.iter()) {
            fs::create_dir_all(directory.path().join(name.trim_start_matches('/'))).expect("a directory");
        }
        for entry in root.join("zones").read_dir().expect("zones") {
            let path = entry.expect("an entry").path();
            let copy = directory.path().join("zones").join(path.file_name().expect("a name"));
            fs::copy(&path, copy).expect("copy");
        }
        symlink(env!("CARGO_BIN_EXE_nibbl"), directory.path().join("bin/nibbl")).expect("a link");
        let here = |path: &&str| (path.to_string(), format!("{}{path}", directory.path().display()));
        let free = |port: &&str| (port.to_string(), free_port().port().to_string());
        let places = PATHS.iter().map(here).chain(PORTS.iter().map(free)).collect();
        let session = Self { directory, places, background: BTreeMap::new() };
        let example = fs::read_to_string(root.join("zones/nibbl.toml")).expect("nibbl.toml");
        session.write("zones/nibbl.toml", &example);
        session
    }

    /// Puts a file into the directory.
    pub(super) fn write(&self, name: &str, text: &str) {
        let path = self.directory.path().join(name.trim_start_matches('/'));
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, self.here(text)).expect("write");
    }

    /// Runs the commands of a block, and compares what they print with what is shown.
    pub(super) fn run(&mut self, text: &str) -> Result<(), String> {
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            // A line between commands that says something.
            if line.starts_with("# ") {
                continue;
            }
            let Some(command) = line.strip_prefix("$ ") else {
                return Err(format!("no command: {line}"));
            };
            let mut command = command.to_owned();
            while let Some(before) = command.strip_suffix('\\').map(str::to_owned) {
                command = before + lines.next().unwrap_or_default().trim_start();
            }
            let shown: Vec<_> = std::iter::from_fn(|| {
                lines.next_if(|line| !line.starts_with("$ ") && !line.starts_with("# "))
            })
            .collect();
            self.command(&command, &shown)?;
        }
        Ok(())
    }

    fn command(&mut self, command: &str, shown: &[&str]) -> Result<(), String> {
        if let Some(jobs) = command.strip_prefix("kill ") {
            return jobs.split_whitespace().try_for_each(|job| self.stop(job));
        }
        let command = &AS_OTHERS.iter().fold(command.to_owned(), |command, other| command.replace(other, ""));
        let first = command.split_whitespace().next().unwrap_or_default();
        if !["nibbl", "cargo"].contains(&first) && !BUILT_IN.contains(&first) && peer(first).is_none() {
            return Ok(());
        }
        let here = self.here(&command.replace("cargo run --release --", "nibbl"));
        if let Some(here) = here.strip_suffix('&') {
            let mut process = Process::start(self.shell(&format!("exec {here}")));
            process.wait_for_text("nibbl: ready");
            let number = self.background.last_key_value().map_or(1, |(last, _)| last + 1);
            self.background.insert(number, process);
            return Ok(());
        }
        let output = self.shell(&format!("exec 2>&1; {here}")).output().expect("bash");
        let printed = self.as_shown(&String::from_utf8_lossy(&output.stdout));
        let wanted: Vec<_> =
            shown.iter().map(|line| line.trim_end()).filter(|line| !line.is_empty()).collect();
        let got: Vec<_> = printed.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        let as_wanted = if wanted.is_empty() { output.status.success() } else { agree(&wanted, &got) };
        match as_wanted {
            true => Ok(()),
            false => Err(format!("$ {command}\nprints ({}):\n{printed}", output.status)),
        }
    }

    /// Stops what `%NUMBER` is.
    fn stop(&mut self, job: &str) -> Result<(), String> {
        let number = job.strip_prefix('%').and_then(|number| number.parse().ok());
        let process = number.and_then(|number| self.background.remove(&number));
        ended_well(process.ok_or_else(|| format!("kill {job}: no such job"))?)
    }

    fn shell(&self, command: &str) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let own = self.directory.path().join("bin");
        let mut shell = Command::new("timeout");
        // A command that hangs is a failed test, not a hung run.
        shell.args(["600", "bash", "-o", "pipefail", "-c", command]);
        shell.current_dir(self.directory.path());
        shell.envs(nibbl().get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.env("PATH", format!("{}:{path}:/usr/sbin:/sbin", own.display()));
        shell.env("XDG_RUNTIME_DIR", self.directory.path()).env("TZ", "UTC").env("LC_ALL", "C.UTF-8");
        shell
    }

    fn here(&self, text: &str) -> String {
        self.places.iter().fold(text.to_owned(), |text, (shown, here)| text.replace(shown, here))
    }

    fn as_shown(&self, text: &str) -> String {
        self.places.iter().fold(text.to_owned(), |text, (shown, here)| text.replace(here, shown))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for process in std::mem::take(&mut self.background).into_values() {
            let ended = ended_well(process);
            // A failed test has said more already.
            if !std::thread::panicking() {
                assert_eq!(ended, Ok(()));
            }
        }
    }
}

fn ended_well(process: Process) -> Result<(), String> {
    let (status, said) = process.stop();
    if status.success() { Ok(()) } else { Err(format!("{status}\n{said}")) }
}

/// Whether output is what is shown: `…` stands for anything in a line, alone for any number of lines.
fn agree(shown: &[&str], printed: &[&str]) -> bool {
    match (shown, printed) {
        ([], []) => true,
        ([first, rest @ ..], _) if first.trim() == "…" => {
            (0..=printed.len()).any(|skipped| agree(rest, &printed[skipped..]))
        }
        ([first, shown @ ..], [line, printed @ ..]) => line_agrees(first, line) && agree(shown, printed),
        _ => false,
    }
}

fn line_agrees(shown: &str, line: &str) -> bool {
    let Some((start, rest)) = shown.split_once('…') else { return shown == line };
    let Some(line) = line.strip_prefix(start) else { return false };
    (0..=line.len()).filter(|&at| line.is_char_boundary(at)).any(|at| line_agrees(rest, &line[at..]))
}

#[test]
fn dots_stand_for_anything() {
    assert!(agree(&["a…c", "…", "z"], &["abc", "1", "2", "z"]));
    assert!(agree(&["…"], &[]));
    assert!(!agree(&["a…c"], &["abd"]));
    assert!(!agree(&["a"], &["a", "b"]));
}
