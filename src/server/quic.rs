//! DNS over QUIC (RFC 9250): a task for each connection, and one for each query, which has a stream of
//! its own.
//!
//! quinn speaks QUIC, as it does for hickory-server. hickory-server's own accept loop waits for one
//! handshake at a time, which anybody can make as slow as he likes, and knows no limits; so the loop is
//! ours, with the limits of `tcp`. Source addresses of first packets can be forged: where places or those
//! of one client become few, a client must show that it receives what is sent to it (Retry, RFC 9000,
//! section 8.1.2).

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;

use hickory_server::net::quic::DoqErrorCode;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    Connection, Endpoint, EndpointConfig, IdleTimeout, Incoming, ReadToEndError, RecvStream, SendStream,
    ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::clients::Clients;
use super::guard::Sources;
use super::signers::Answer;
use super::{Limits, Responder, Service, stopped};
use crate::answer::{Client, Transport};
use crate::metrics::Dropped;
use crate::wire::Message;

/// The name of the protocol in ALPN (RFC 9250, section 4.1.1).
pub(super) const PROTOCOL: &[u8] = b"doq";

/// The most octets of a query with its length: a name, and far more options than there are.
const QUERY_OCTETS: usize = 4 << 10;
/// Octets of queries that are received ahead, over all streams of a connection.
const INPUT_OCTETS: u32 = 64 << 10;
/// Octets of answers that are kept until the client says that it has them.
const OUTPUT_OCTETS: u64 = 64 << 10;
/// Answers of a connection that are made at the same time: what does not fit into the above waits in these.
const ANSWERS: usize = 4;
/// Each message is preceded by its length (RFC 9250, section 4.2).
const LENGTH_OCTETS: usize = 2;

/// What the server grants to the connections of a listener.
pub(super) fn settings(tls: Arc<rustls::ServerConfig>, limits: &Limits) -> io::Result<ServerConfig> {
    let tls = QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
    let mut transport = TransportConfig::default();
    let in_flight = u32::try_from(limits.tcp_in_flight.get()).unwrap_or(u32::MAX);
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(in_flight))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(QUERY_OCTETS as u32))
        .receive_window(VarInt::from_u32(INPUT_OCTETS))
        .send_window(OUTPUT_OCTETS)
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(IdleTimeout::try_from(limits.tcp_idle).map_err(io::Error::other)?))
        // RFC 9250, section 5.4: who listens in sees no lengths, whether or not the client pads.
        .pad_to_mtu(true);
    let mut settings = ServerConfig::with_crypto(Arc::new(tls));
    // A client that comes from elsewhere is another one for access lists and limits.
    settings.transport_config(Arc::new(transport)).migration(false);
    Ok(settings)
}

/// Takes a socket over, in the context of a runtime.
pub(super) fn endpoint(socket: UdpSocket, settings: ServerConfig) -> io::Result<Endpoint> {
    Endpoint::new(EndpointConfig::default(), Some(settings), socket, Arc::new(TokioRuntime))
}

/// Accepts connections until told to stop; returns when the last has been drained.
pub(super) async fn listen<R: Responder>(
    endpoint: Endpoint,
    limits: Limits,
    sources: Arc<Sources>,
    service: Service<R>,
    mut stop: watch::Receiver<bool>,
) {
    let service = Arc::new(service);
    let clients = Arc::new(Clients::new(limits.tcp_connections_per_client));
    let places = Arc::new(Semaphore::new(limits.tcp_connections.get().min(Semaphore::MAX_PERMITS)));
    let mut connections = JoinSet::new();
    loop {
        let incoming = tokio::select! {
            incoming = endpoint.accept() => incoming,
            Some(_) = connections.join_next() => continue,
            () = stopped(&mut stop) => break,
        };
        let Some(incoming) = incoming else {
            // The system has failed the socket.
            service.counters.receive_error();
            break;
        };
        let client = incoming.remote_address().ip();
        if !sources.takes(incoming.remote_address().port()) {
            service.counters.dropped(Dropped::Port);
            incoming.ignore();
            continue;
        }
        // It would ask for others, and here it cannot say for whom.
        if sources.is_proxy(client.to_canonical()) {
            service.counters.dropped(Dropped::Proxy);
            incoming.ignore();
            continue;
        }
        let are_few =
            places.available_permits() < limits.tcp_connections.get() / 4 * 3 || clients.has_many(client);
        if are_few && incoming.may_retry() {
            // It cannot fail: the client has not yet shown its address.
            let _ = incoming.retry();
            continue;
        }
        let guest = Clients::enter(&clients, client);
        let (Some(guest), Ok(place)) = (guest, places.clone().try_acquire_owned()) else {
            service.counters.refused_connection();
            incoming.refuse();
            continue;
        };
        let (service, stop) = (service.clone(), stop.clone());
        service.counters.connection();
        connections.spawn(async move {
            serve(&service, incoming, limits, stop).await;
            service.counters.connection_ended();
            drop((guest, place));
        });
    }
    endpoint.set_server_config(None);
    while connections.join_next().await.is_some() {}
    // Clients are told that this is the end, as far as they listen.
    let _ = timeout(limits.tcp_write_stall, endpoint.wait_idle()).await;
}

/// Why a connection is closed by the server (RFC 9250, section 4.3).
enum End {
    /// It is idle, or the server stops.
    Quiet,
    /// The client breaks the protocol.
    Fault,
}

/// One connection, from the handshake on. Whatever ends it concerns its client only.
async fn serve<R: Responder>(
    service: &Arc<Service<R>>,
    incoming: Incoming,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    let Ok(handshake) = incoming.accept() else { return };
    let shaken = tokio::select! {
        shaken = timeout(limits.tcp_idle, handshake) => shaken,
        () = stopped(&mut stop) => return,
    };
    let Ok(Ok(connection)) = shaken else { return };
    let code = match converse(service, &connection, limits, stop).await {
        End::Quiet => DoqErrorCode::NoError,
        End::Fault => DoqErrorCode::ProtocolError,
    };
    connection.close(code.into(), b"");
}

/// Answers queries until there is a reason to close the connection, or it is closed.
async fn converse<R: Responder>(
    service: &Arc<Service<R>>,
    connection: &Connection,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) -> End {
    let client =
        Client { address: connection.remote_address().ip().to_canonical(), transport: Transport::Quic };
    let answering = Arc::new(Semaphore::new(ANSWERS));
    let mut exchanges = JoinSet::new();
    let mut deadline = Instant::now() + limits.tcp_idle;
    loop {
        tokio::select! {
            stream = connection.accept_bi() => match stream {
                Ok((sender, receiver)) => {
                    let exchange =
                        Exchange { service: service.clone(), client, limits, answering: answering.clone() };
                    exchanges.spawn(exchange.run(sender, receiver));
                }
                Err(_) => return End::Quiet,
            },
            Some(exchanged) = exchanges.join_next() => match exchanged {
                Ok(Err(Broken)) => return End::Fault,
                _ => deadline = Instant::now() + limits.tcp_idle,
            },
            () = sleep_until(deadline) => return End::Quiet,
            () = stopped(&mut stop) => break,
        }
    }
    // What has come is still answered.
    let rest = async { while exchanges.join_next().await.is_some() {} };
    let _ = timeout(limits.tcp_write_stall, rest).await;
    End::Quiet
}

/// The client breaks the protocol.
struct Broken;

/// One query and its answer.
struct Exchange<R> {
    service: Arc<Service<R>>,
    client: Client,
    limits: Limits,
    answering: Arc<Semaphore>,
}

impl<R: Responder> Exchange<R> {
    async fn run(self, mut sender: SendStream, mut receiver: RecvStream) -> Result<(), Broken> {
        // Without a reply the stream must not end as if there were one.
        let mut refuse = |code: DoqErrorCode| drop(sender.reset(code.into()));
        let received = timeout(self.limits.tcp_idle, receiver.read_to_end(QUERY_OCTETS)).await;
        let message = match received {
            Ok(Ok(message)) => message,
            Ok(Err(ReadToEndError::TooLong)) => Vec::new(),
            // The client has changed its mind, or is gone, or takes too long for it.
            Ok(Err(ReadToEndError::Read(_))) | Err(_) => {
                refuse(DoqErrorCode::RequestCancelled);
                return Ok(());
            }
        };
        let Some(query) = the_query(&message) else {
            self.service.counters.unanswered();
            refuse(DoqErrorCode::ProtocolError);
            return Err(Broken);
        };
        let Ok(_turn) = self.answering.acquire().await else { return Ok(()) };
        let Some(reply) = self.answer(query).await else {
            const UNSPECIFIED: u32 = 5;
            refuse(DoqErrorCode::Unknown(UNSPECIFIED));
            return Ok(());
        };
        let sending = async {
            sender.write_all(&reply).await.ok()?;
            sender.finish().ok()?;
            // Until the client has all of it, or is content and gone.
            let _ = sender.stopped().await;
            Some(())
        };
        if !matches!(timeout(self.limits.tcp_write_stall, sending).await, Ok(Some(()))) {
            self.service.counters.unsent(1);
        }
        Ok(())
    }

    /// The answer with its length before it; none where the client is to have none.
    async fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        let mut reply = Vec::new();
        // The moment ends before anything is awaited.
        let answer = self.service.answer_connected(&self.service.moment(), query, self.client, &mut reply)?;
        if let Answer::Later(coming) = answer {
            reply = coming.await.ok()?;
        }
        let length = u16::try_from(reply.len()).ok()?;
        Some([&length.to_be_bytes(), &*reply].concat())
    }
}

/// The one query of a stream, unless the client breaks the protocol. Its ID is 0, and it does not want to agree
/// on time-outs, which are those of QUIC (RFC 9250, sections 4.2.1 and 5.5.2).
fn the_query(message: &[u8]) -> Option<&[u8]> {
    let (length, query) = message.split_first_chunk::<LENGTH_OCTETS>()?;
    let read = Message::read(query)?;
    let is_whole = query.len() == usize::from(u16::from_be_bytes(*length));
    (is_whole && read.header.id == 0 && read.edns.is_none_or(|edns| !edns.keepalive)).then_some(query)
}
