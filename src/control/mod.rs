//! The control socket: `nibbl reload` and `nibbl status` ask the running server through it.
//!
//! A unix socket that only its owner may open, one line of JSON a request and one a reply;
//! `docs/control-socket.md` describes it for programs. Here are the messages and the server's side;
//! [`client`] is the other.

pub mod client;
mod socket;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

pub use socket::Socket;

use crate::config::spec;
use crate::reload::{Order, Report};
use crate::status::usage::UsageReport;
use crate::status::{Observer, Status};

/// A longer request is refused and the connection closed, in octets.
const MAX_REQUEST: u64 = 64 << 10;

/// Connections at one time; others wait.
const MAX_CONNECTIONS: usize = 16;

/// How long a connection may be silent, and how long it may take to accept a reply.
const PATIENCE: Duration = Duration::from_secs(10);

/// After a failure to accept (no file descriptors left), the pause before the next try.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A question to the server.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "command", rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    /// Look at the files now.
    Reload {
        /// These zones; all where none is named.
        #[serde(default)]
        zones: Vec<String>,
        /// Take what the guard against large changes refused.
        #[serde(default)]
        force: bool,
    },
    /// How is the server?
    Status,
    /// What have the accounts of access rules asked?
    Usage {
        /// Of so many accounts, the busiest of the month first.
        limit: usize,
    },
}

/// The server's answer.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    /// How the zones are after a reload.
    Report(Report),
    /// How the server is.
    Status(Box<Status>),
    /// What accounts have asked.
    Usage(UsageReport),
    /// Why the request was not understood or not carried out.
    Error(String),
}

/// Where the socket is when nothing is said: in the user's runtime directory (`XDG_RUNTIME_DIR`),
/// in /run for root, else in /tmp.
pub fn default_path(runtime_dir: Option<&Path>, user_id: u32) -> PathBuf {
    match runtime_dir {
        Some(dir) => dir.join("nibbl.sock"),
        None if user_id == 0 => PathBuf::from("/run/nibbl.sock"),
        None => PathBuf::from(format!("/tmp/nibbl-{user_id}.sock")),
    }
}

/// Where clients look when nothing is said: at the default place or, where no server answers there, at that of
/// the packaged service. A server that gave root up leaves its socket behind in a directory of root's.
pub fn place_of_server(default: &Path) -> &Path {
    let service = Path::new(SERVICE);
    if socket::is_dead(default) && service.exists() { service } else { default }
}

/// The socket of the service that `packaging/systemd/nibbl.service` is.
const SERVICE: &str = "/run/nibbl/control";

/// Answers requests for ever.
pub async fn serve(socket: Socket, server: Observer) {
    let connections = match socket.connections() {
        Ok(connections) => connections,
        Err(error) => return tracing::error!("the control socket is of no use: {error}"),
    };
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match connections.accept().await {
            Ok((stream, _)) => {
                let server = server.clone();
                tokio::spawn(async move {
                    // A client that goes away needs no answer, and the server no notice of it.
                    let _ = converse(stream, &server).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Answers the requests of one connection, one after the other.
async fn converse(stream: UnixStream, server: &Observer) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = (&mut reader).take(MAX_REQUEST + 1);
        if timeout(PATIENCE, bounded.read_until(b'\n', &mut line)).await?? == 0 {
            return Ok(());
        }
        let is_too_long = line.len() as u64 > MAX_REQUEST;
        let reply = match serde_json::from_slice(&line) {
            _ if is_too_long => Reply::Error(format!("the request is longer than {MAX_REQUEST} octets")),
            Ok(request) => answer(request, server).await,
            Err(error) => Reply::Error(error.to_string()),
        };
        let mut text = serde_json::to_vec(&reply)?;
        text.push(b'\n');
        timeout(PATIENCE, writer.write_all(&text)).await??;
        if is_too_long {
            return Ok(());
        }
    }
}

async fn answer(request: Request, server: &Observer) -> Reply {
    let (zones, force) = match request {
        Request::Reload { zones, force } => (zones, force),
        Request::Status => return Reply::Status(Box::new(server.status())),
        Request::Usage { limit } => {
            let server = server.clone();
            // A million accounts take a while.
            let report = tokio::task::spawn_blocking(move || server.usage(limit)).await;
            return report.map_or_else(|error| Reply::Error(error.to_string()), Reply::Usage);
        }
    };
    let names: Result<Vec<_>, _> = zones.iter().map(|zone| spec::zone_name(zone)).collect();
    let zones = match names {
        Ok(names) if names.is_empty() => None,
        Ok(names) => Some(names),
        Err(fault) => return Reply::Error(fault.to_string()),
    };
    match server.loader.reload(Order { zones, force }).await {
        Ok(report) => Reply::Report(Report::clone(&report)),
        Err(error) => Reply::Error(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
