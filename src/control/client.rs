//! The client's side of the control socket.

use std::convert::Infallible;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::socket::says_nobody;
use super::{Reply, Request};
use crate::status::{Status, show};

/// A longer reply is none of our server's, in octets.
const MAX_REPLY: u64 = 64 << 20;

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There is no socket, or nobody listens at it.
    #[error("no server at {path} ({source}); `--control PATH` asks at another socket", path = path.display())]
    NoServer {
        /// Where it was looked for.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The socket cannot be used, or the server stopped answering.
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
    /// What was replied cannot be shown.
    #[error("{0}")]
    Output(io::Error),
}

/// Asks the server at `path`, and waits for its reply: the reply, and its line as it came.
///
/// # Errors
/// See [`AskError`].
pub fn ask(path: &Path, request: &Request) -> Result<(Reply, String), AskError> {
    let failed = |source| AskError::Io { path: path.to_owned(), source };
    let stream = UnixStream::connect(path).map_err(|source| match says_nobody(&source) {
        true => AskError::NoServer { path: path.to_owned(), source },
        false => failed(source),
    })?;
    let line = exchange(stream, request).map_err(failed)?;
    let reply =
        serde_json::from_str(&line).map_err(|source| AskError::Reply { path: path.to_owned(), source })?;
    Ok((reply, line))
}

fn exchange(mut stream: UnixStream, request: &Request) -> io::Result<String> {
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

/// Shows how the server at `path` is, again and again for ever; `show` gets each text.
///
/// # Errors
/// The server does not answer any more, or `show` fails.
pub fn watch(
    path: &Path,
    interval: Duration,
    mut show: impl FnMut(&str) -> io::Result<()>,
) -> Result<Infallible, AskError> {
    let mut earlier: Option<(Status, Instant)> = None;
    loop {
        let reply = ask(path, &Request::Status)?.0;
        let asked = Instant::now();
        let text = match &reply {
            Reply::Status(status) => {
                let earlier = earlier.as_ref().map(|(status, time)| (status, asked.duration_since(*time)));
                show::status(status, earlier, SystemTime::now())
            }
            Reply::Report(report) => show::report(report, SystemTime::now()),
            Reply::Usage(report) => show::usage(report),
            Reply::Error(error) => format!("{error}\n"),
        };
        show(&text).map_err(AskError::Output)?;
        if let Reply::Status(status) = reply {
            earlier = Some((*status, asked));
        }
        std::thread::sleep(interval);
    }
}
