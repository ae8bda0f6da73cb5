//! DNS over TCP (RFC 7766), and over TLS (RFC 7858) once `tls` has made the handshake: an accept loop
//! and one task per connection.
//!
//! A connection's task reads queries, pipelined as they come, answers each at once (an answer takes
//! microseconds, or waits for signatures: none overtakes another) and writes the answers as the client takes them. While
//! more answers wait than the limits allow, it does not read: the client's own TCP window pushes
//! back, and memory stays bounded. A client that takes nothing, or sends no whole query, is cut off.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Shutdown};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::clients::{Clients, Guest};
use super::guard::Sources;
use super::signers::Answer;
use super::stream::{Moved, Stream, transfer};
use super::{Limits, Responder, Service, proxy, stopped, tls};
use crate::answer::{Client, Transport};
use crate::metrics::Dropped;

/// Octets of answers that wait for a client before no further query is answered.
const OUTPUT_OCTETS: usize = 64 << 10;
/// Octets read at once, and kept for a connection at rest.
const INPUT_OCTETS: usize = 4 << 10;
/// Each message is preceded by its length (RFC 1035, section 4.2.2).
const LENGTH_OCTETS: usize = 2;
/// The longest message with its length.
const MESSAGE_OCTETS: usize = LENGTH_OCTETS + u16::MAX as usize;
/// How long to wait after an error of `accept` (such as too many open files).
const AFTER_ERROR: Duration = Duration::from_millis(50);

/// Accepts connections until told to stop, with these settings those of TLS; returns when the last has
/// been drained.
pub(super) async fn listen<R: Responder>(
    listener: TcpListener,
    tls_settings: Option<Arc<ServerConfig>>,
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
        let accepted = async {
            // A place first: who finds none waits in the system's queue.
            let place = places.clone().acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accepted => accepted,
            Some(_) = connections.join_next() => continue,
            () = stopped(&mut stop) => break,
        };
        let Ok((stream, peer)) = accepted else {
            service.counters.receive_error();
            sleep(AFTER_ERROR).await;
            continue;
        };
        let address = peer.ip().to_canonical();
        // For whom a proxy asks it says on the connection.
        let guest = if sources.is_proxy(address) { None } else { Some(Clients::enter(&clients, address)) };
        if matches!(guest, Some(None)) {
            service.counters.refused_connection();
            continue;
        }
        let transport = if tls_settings.is_some() { Transport::Tls } else { Transport::Tcp };
        let (service, clients, tls_settings) = (service.clone(), clients.clone(), tls_settings.clone());
        let mut stop = stop.clone();
        service.counters.connection();
        connections.spawn(async move {
            let serving = async {
                let mut stream = stream;
                stream.set_nodelay(true)?;
                let mut client = Client { address, transport };
                let mut proxied = None;
                if guest.is_none() {
                    proxied = tokio::select! {
                        proxied = for_whom(&mut stream, &clients, limits, &service) => proxied?,
                        () = stopped(&mut stop) => return Ok(()),
                    };
                }
                if let Some((address, _guest)) = &proxied {
                    client.address = *address;
                }
                let connection = Connection::new(service.clone(), client, limits);
                let Some(settings) = tls_settings else { return connection.run(stream, stop).await };
                let secured = tokio::select! {
                    secured = tls::handshake(settings, stream, limits.tcp_idle) => secured?,
                    () = stopped(&mut stop) => return Ok(()),
                };
                connection.run(secured, stop).await
            };
            // Whatever ends a connection concerns its client only.
            let _: io::Result<()> = serving.await;
            service.counters.connection_ended();
            drop((guest, place));
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// For whom a proxy asks on this connection, which then counts among that client's; `None` where it asks for
/// itself, as often as it likes.
async fn for_whom<R: Responder>(
    stream: &mut TcpStream,
    clients: &Arc<Clients>,
    limits: Limits,
    service: &Service<R>,
) -> io::Result<Option<(IpAddr, Guest)>> {
    let header = timeout(limits.tcp_idle, proxy::receive(stream)).await;
    let Ok(Ok(said)) = header else {
        service.counters.dropped(Dropped::Proxy);
        return Err(ErrorKind::InvalidData.into());
    };
    let Some(address) = said.client.map(|client| client.ip()) else { return Ok(None) };
    match Clients::enter(clients, address) {
        Some(guest) => Ok(Some((address, guest))),
        None => {
            service.counters.refused_connection();
            Err(ErrorKind::ConnectionRefused.into())
        }
    }
}

/// One connection: what was read and not yet answered, what was answered and not yet written.
struct Connection<R> {
    service: Arc<Service<R>>,
    client: Client,
    limits: Limits,
    input: Vec<u8>,
    output: Vec<u8>,
    /// Octets of `output` that the stream has taken over.
    written: usize,
    /// Answers in `output`.
    in_flight: usize,
    /// The buffer of one answer.
    reply: Vec<u8>,
    /// An answer that waits for signatures. Nothing is answered before it, so that it is not overtaken.
    coming: Option<oneshot::Receiver<Vec<u8>>>,
}

impl<R: Responder> Connection<R> {
    fn new(service: Arc<Service<R>>, client: Client, limits: Limits) -> Self {
        Self {
            service,
            client,
            limits,
            input: Vec::new(),
            output: Vec::new(),
            written: 0,
            in_flight: 0,
            reply: Vec::new(),
            coming: None,
        }
    }

    async fn run(mut self, mut stream: impl Stream, mut stop: watch::Receiver<bool>) -> io::Result<()> {
        // The client has closed its side, or the server has on its behalf.
        let mut ended = false;
        let mut stop_by = None;
        let mut deadline = Instant::now() + self.limits.tcp_idle;
        loop {
            if self.answer_queries() {
                deadline = Instant::now() + self.limits.tcp_idle;
            }
            let waiting = !self.output.is_empty();
            if waiting {
                deadline = deadline.min(Instant::now() + self.limits.tcp_write_stall);
            } else if ended && self.coming.is_none() {
                return timeout(self.limits.tcp_write_stall, stream.shutdown()).await?;
            }
            let output = waiting.then(|| &self.output[self.written..]);
            let input = (!ended && self.has_room()).then_some(&mut self.input);
            tokio::select! {
                moved = transfer(&mut stream, output, input) => match moved? {
                    Moved::Read(octets) => ended = octets == 0,
                    Moved::Written(octets) => {
                        self.written += octets;
                        deadline = Instant::now() + self.limits.tcp_idle;
                    }
                    Moved::Flushed => {
                        self.sent();
                        deadline = Instant::now() + self.limits.tcp_idle;
                    }
                },
                signed = async { self.coming.as_mut()?.await.ok() }, if self.coming.is_some() => {
                    self.coming = None;
                    if let Some(reply) = signed {
                        self.reply = reply;
                        self.put_reply();
                    }
                    deadline = Instant::now() + self.limits.tcp_idle;
                }
                () = stopped(&mut stop), if stop_by.is_none() => {
                    // What has already come is still read and answered, then the end is read.
                    SockRef::from(stream.socket()).shutdown(Shutdown::Read)?;
                    stop_by = Some(Instant::now() + self.limits.tcp_write_stall);
                }
                () = sleep_until(stop_by.map_or(deadline, |end| deadline.min(end))) => return Err(ErrorKind::TimedOut.into()),
            }
        }
    }

    /// True while further queries may be answered.
    fn has_room(&self) -> bool {
        self.coming.is_none()
            && self.in_flight < self.limits.tcp_in_flight.get()
            && self.output.len() - self.written < OUTPUT_OCTETS
    }

    /// Puts an answer behind those that wait to be written.
    fn put_reply(&mut self) {
        if let Ok(length) = u16::try_from(self.reply.len()) {
            self.output.extend_from_slice(&length.to_be_bytes());
            self.output.extend_from_slice(&self.reply);
            self.in_flight += 1;
        }
    }

    /// Answers the whole queries in `input` as far as there is room; true if there was one.
    fn answer_queries(&mut self) -> bool {
        let mut start = 0;
        if self.has_room() && next_message(&self.input).is_some() {
            // One moment for all queries that came together.
            let moment = self.service.moment();
            while let Some(length) = next_message(&self.input[start..]).filter(|_| self.has_room()) {
                let query = &self.input[start + LENGTH_OCTETS..start + LENGTH_OCTETS + length];
                let answer = self.service.answer_connected(&moment, query, self.client, &mut self.reply);
                start += LENGTH_OCTETS + length;
                match answer {
                    Some(Answer::Now) => self.put_reply(),
                    Some(Answer::Later(coming)) => self.coming = Some(coming),
                    None => {}
                }
            }
        }
        self.input.drain(..start);
        self.make_room();
        start > 0
    }

    /// Room in `input` for what is read next: the rest of a query that has begun, at least.
    fn make_room(&mut self) {
        if self.input.len() < INPUT_OCTETS {
            self.input.shrink_to(INPUT_OCTETS);
            self.input.reserve_exact(INPUT_OCTETS - self.input.len());
        } else if self.input.len() == self.input.capacity() {
            self.input.reserve_exact(MESSAGE_OCTETS.saturating_sub(self.input.len()));
        }
    }

    /// All of `output` is on its way.
    fn sent(&mut self) {
        self.output.clear();
        self.output.shrink_to(INPUT_OCTETS);
        self.written = 0;
        self.in_flight = 0;
    }
}

/// The length of the message at the start of `input`, if it is there as a whole.
fn next_message(input: &[u8]) -> Option<usize> {
    let (length, rest) = input.split_first_chunk()?;
    let length = usize::from(u16::from_be_bytes(*length));
    (rest.len() >= length).then_some(length)
}
