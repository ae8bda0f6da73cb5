//! Octets both ways over a connection, whether they are encrypted on the way or not.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// What runs over a TCP socket.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin {
    /// The socket.
    fn socket(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Stream for TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// What a stream has done.
pub(super) enum Moved {
    /// So many octets have come; none at the end.
    Read(usize),
    /// So many octets have been taken over.
    Written(usize),
    /// All that were taken over have been passed on.
    Flushed,
}

/// Moves octets in whichever direction is possible first: of `output`, where there is one and even if
/// nothing is left of it, and into the room of `input`.
pub(super) async fn transfer<S: Stream>(
    stream: &mut S,
    output: Option<&[u8]>,
    mut input: Option<&mut Vec<u8>>,
) -> io::Result<Moved> {
    // Futures without a state of their own: each poll may make them anew.
    let write = |stream: &mut S, context: &mut Context<'_>| match output {
        None => Poll::Pending,
        Some([]) => pin!(stream.flush()).poll(context).map_ok(|()| Moved::Flushed),
        Some(octets) => pin!(stream.write(octets)).poll(context).map(|written| match written? {
            0 => Err(ErrorKind::WriteZero.into()),
            written => Ok(Moved::Written(written)),
        }),
    };
    let mut read = |stream: &mut S, context: &mut Context<'_>| match &mut input {
        None => Poll::Pending,
        Some(input) => pin!(stream.read_buf(*input)).poll(context).map(|read| match read {
            // An end without words is an end.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(Moved::Read(0)),
            read => read.map(Moved::Read),
        }),
    };
    poll_fn(|context| match write(stream, context) {
        Poll::Pending => read(stream, context),
        moved => moved,
    })
    .await
}
