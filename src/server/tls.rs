//! DNS over TLS (RFC 7858): the handshake, after which a connection is one of `tcp`.
//!
//! hickory-server can do this too, but accepts connections without any limit and takes replies only
//! as records; so it gives the settings, and the connections are ours.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The name of the protocol in ALPN (RFC 7858, section 3.2).
pub(super) const PROTOCOL: &[u8] = b"dot";

/// Octets that TLS holds back while the client takes none: what a client must take within the time
/// for a stalled one.
const HELD_BACK: usize = 16 << 10;

/// Makes the handshake; a client that takes too long for it is cut off.
pub(super) async fn handshake(
    settings: Arc<ServerConfig>,
    stream: TcpStream,
    patience: Duration,
) -> io::Result<TlsStream<TcpStream>> {
    let handshake = TlsAcceptor::from(settings)
        .accept_with(stream, |connection| connection.set_buffer_limit(Some(HELD_BACK)));
    timeout(patience, handshake).await?
}
