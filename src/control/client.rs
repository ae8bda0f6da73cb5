//! The client's side of the control socket, and what it shows to a person.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Reply, Request};
use crate::reload::{Report, ZoneReport};
use crate::zone::Status;

/// A longer reply is none of our server's, in octets.
const MAX_REPLY: u64 = 64 << 20;

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody answers at the socket, or it stopped answering.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The reply is not understood.
    #[error("{path}: the reply is not understood: {source}", path = path.display())]
    Reply {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

/// Asks the server at `path`, and waits for its reply: the reply, and its line as it came.
///
/// # Errors
/// See [`AskError`].
pub fn ask(path: &Path, request: &Request) -> Result<(Reply, String), AskError> {
    let line = exchange(path, request).map_err(|source| AskError::Io { path: path.to_owned(), source })?;
    let reply =
        serde_json::from_str(&line).map_err(|source| AskError::Reply { path: path.to_owned(), source })?;
    Ok((reply, line))
}

fn exchange(path: &Path, request: &Request) -> io::Result<String> {
    let mut stream = UnixStream::connect(path)?;
    let mut text = serde_json::to_vec(request)?;
    text.push(b'\n');
    stream.write_all(&text)?;
    let mut line = String::new();
    BufReader::new(stream.take(MAX_REPLY)).read_line(&mut line)?;
    if line.ends_with('\n') {
        line.pop();
        Ok(line)
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// A report for a person: a line a zone, and a line more for each problem.
pub fn show(report: &Report, now: SystemTime) -> String {
    let width = report.zones.iter().map(|zone| zone.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for zone in &report.zones {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:width$}  {}", zone.name, describe(zone, now));
        if let Some(problem) = &zone.problem {
            let _ = writeln!(text, "{:width$}  ! {problem}", "");
        }
    }
    if let Some(problem) = &report.access_problem {
        let _ = writeln!(text, "! the server's access list: {problem}");
    }
    text
}

fn describe(zone: &ZoneReport, now: SystemTime) -> String {
    let status = match zone.status {
        Status::Serving => "serving",
        Status::NeverLoaded => return "never loaded".to_owned(),
        Status::Expired => "expired",
    };
    let ago = |time: u64| age(now, time);
    format!(
        "{status}  {} entries, {} errors, {} warnings, of {} ago, loaded {} ago",
        zone.entries,
        zone.errors,
        zone.warnings,
        ago(zone.modified),
        ago(zone.loaded),
    )
}

/// How long ago a time (in seconds since 1970) is, in its two largest units.
fn age(now: SystemTime, time: u64) -> String {
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(time)).unwrap_or(now);
    let seconds = now.duration_since(time).unwrap_or_default().as_secs();
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds} s"),
        (0, 0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes} min"),
        (days, hours, _, _) => format!("{days} d {hours} h"),
    }
}
