//! The server's own log: what it does and what is wrong, as events of `tracing`. A line per query is
//! the affair of `query_log`.
//!
//! The message of an event is a sentence for a person; fields beside it (zone, entries, address) are
//! for programs. They are written on standard error as lines of text where a person reads them, as
//! lines of JSON where none does, or into the journal where systemd listens.

use std::fmt;
use std::io::{self, IsTerminal};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::stat::fstat;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// How events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Text on a terminal; the journal where standard error leads there; else JSON.
    #[default]
    Auto,
    /// Lines for people, with the time.
    Text,
    /// Lines for people without it, as rbldnsd's.
    Plain,
    /// An object a line.
    Json,
    /// Into systemd's journal, with fields.
    Journald,
}

/// The events that are written: those at least so grave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Threshold {
    /// What the server cannot go on with.
    Error,
    /// What somebody should look at.
    Warn,
    /// What happens.
    #[default]
    Info,
    /// More than that.
    Debug,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// NIBBL_LOG holds no format.
    #[error("NIBBL_LOG: `{0}` is not text, plain, json or journald")]
    Format(String),
    /// The journal does not listen.
    #[error("the journal: {0}")]
    Journal(io::Error),
    /// Another log was started before.
    #[error("{0}")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Starts the log of the process. `NIBBL_LOG` in the environment names a format in the place of
/// `format`. Done before root directories change: the journal's socket is not found after that.
///
/// # Errors
/// See [`LogError`].
pub fn start(format: Format, threshold: Threshold) -> Result<(), LogError> {
    let format = match std::env::var_os("NIBBL_LOG").filter(|name| !name.is_empty()) {
        Some(name) => named(&name.to_string_lossy())?,
        None => format,
    };
    let own = match threshold {
        Threshold::Error => LevelFilter::ERROR,
        Threshold::Warn => LevelFilter::WARN,
        Threshold::Info => LevelFilter::INFO,
        Threshold::Debug => LevelFilter::DEBUG,
    };
    // Libraries tell of every query what `query_log` tells of it.
    let others = own.min(LevelFilter::WARN);
    let filter = Targets::new().with_target(env!("CARGO_PKG_NAME"), own).with_default(others);
    let registry = tracing_subscriber::registry().with(filter);
    let lines =
        tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    match format.settled() {
        Format::Auto | Format::Json => {
            let json = lines.json().flatten_event(true).with_current_span(false).with_span_list(false);
            registry.with(json.with_target(false)).try_init()?;
        }
        Format::Text => registry.with(lines.event_format(Lines { times: true })).try_init()?,
        Format::Plain => registry.with(lines.event_format(Lines { times: false })).try_init()?,
        Format::Journald => {
            let journal = tracing_journald::layer().map_err(LogError::Journal)?;
            registry.with(journal.with_field_prefix(None)).try_init()?;
        }
    }
    Ok(())
}

fn named(name: &str) -> Result<Format, LogError> {
    Ok(match name {
        "text" => Format::Text,
        "plain" => Format::Plain,
        "json" => Format::Json,
        "journald" => Format::Journald,
        _ => return Err(LogError::Format(name.to_owned())),
    })
}

impl Format {
    /// What `Auto` means here.
    fn settled(self) -> Self {
        match self {
            Self::Auto if io::stderr().is_terminal() => Self::Text,
            Self::Auto if leads_to_journal() => Self::Journald,
            Self::Auto => Self::Json,
            format => format,
        }
    }
}

/// True if standard error is the stream that systemd names (systemd.exec(5), JOURNAL_STREAM), and
/// the journal's socket is there.
fn leads_to_journal() -> bool {
    const SOCKET: &str = "/run/systemd/journal/socket";
    let stream = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    let same = || {
        let (device, inode) = stream.split_once(':')?;
        let stderr = fstat(io::stderr()).ok()?;
        Some(device.parse() == Ok(stderr.st_dev) && inode.parse() == Ok(stderr.st_ino))
    };
    same().unwrap_or(false) && Path::new(SOCKET).metadata().is_ok_and(|socket| socket.mode() != 0)
}

/// `nibbl: MESSAGE`, with the time before it, or without.
struct Lines {
    times: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        if self.times {
            SystemTime.format_time(&mut out)?;
            out.write_char(' ')?;
        }
        out.write_str(concat!(env!("CARGO_PKG_NAME"), ": "))?;
        // What somebody should look at stands out.
        let is_bold = out.has_ansi_escapes() && *event.metadata().level() <= Level::WARN;
        out.write_str(if is_bold { "\x1b[1m" } else { "" })?;
        let mut message = Message(&mut out, Ok(()));
        event.record(&mut message);
        message.1?;
        writeln!(out, "{}", if is_bold { "\x1b[0m" } else { "" })
    }
}

/// Writes the message of an event and leaves the fields out, which say the same.
struct Message<'w, 'a>(&'w mut Writer<'a>, fmt::Result);

impl Visit for Message<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.1 = write!(self.0, "{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_have_names() {
        assert_eq!(named("json").unwrap(), Format::Json);
        assert_eq!(named("").unwrap_err().to_string(), "NIBBL_LOG: `` is not text, plain, json or journald");
        assert_eq!(Format::Plain.settled(), Format::Plain);
    }
}
