//! DNS over TCP (RFC 7766): an accept loop and one task per connection.
//!
//! A connection's task reads queries, pipelined as they come, answers each at once (an answer takes
//! microseconds, or waits for signatures: none overtakes another) and writes the answers as the client takes them. While
//! more answers wait than the limits allow, it does not read: the client's own TCP window pushes
//! back, and memory stays bounded. A client that takes nothing, or sends no whole query, is cut off.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, Shutdown};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::guard::Sources;
use super::proxy::{self, NoHeader};
use super::signers::Answer;
use super::{Limits, Responder, Service, stopped};
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

/// Accepts connections until told to stop; returns when the last has been drained.
pub(super) async fn listen<R: Responder>(
    listener: TcpListener,
    limits: Limits,
    sources: Arc<Sources>,
    service: Service<R>,
    mut stop: watch::Receiver<bool>,
) {
    let service = Arc::new(service);
    let clients = Arc::new(Clients::default());
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
        let entrance = Entrance { clients: clients.clone(), limit: limits.tcp_connections_per_client };
        // For whom a proxy asks it says on the connection.
        let guest = if sources.is_proxy(address) { None } else { Some(entrance.enter(address)) };
        if matches!(guest, Some(None)) {
            service.counters.refused_connection();
            continue;
        }
        let connection = Connection::new(service.clone(), address, limits);
        let (service, stop) = (service.clone(), stop.clone());
        service.counters.connection();
        connections.spawn(async move {
            // Whatever ends a connection concerns its client only.
            let _ = match guest {
                None => connection.run_proxied(stream, stop, entrance).await,
                Some(_) => connection.run(stream, stop).await,
            };
            service.counters.connection_ended();
            drop((guest, place));
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// One connection: what was read and not yet answered, what was answered and not yet written.
struct Connection<R> {
    service: Arc<Service<R>>,
    client: Client,
    limits: Limits,
    input: Vec<u8>,
    output: Vec<u8>,
    /// Octets of `output` that are written.
    written: usize,
    /// Answers in `output`.
    in_flight: usize,
    /// The buffer of one answer.
    reply: Vec<u8>,
    /// An answer that waits for signatures. Nothing is answered before it, so that it is not overtaken.
    coming: Option<oneshot::Receiver<Vec<u8>>>,
}

impl<R: Responder> Connection<R> {
    fn new(service: Arc<Service<R>>, address: IpAddr, limits: Limits) -> Self {
        Self {
            service,
            client: Client { address, transport: Transport::Tcp },
            limits,
            input: Vec::new(),
            output: Vec::new(),
            written: 0,
            in_flight: 0,
            reply: Vec::new(),
            coming: None,
        }
    }

    /// Runs the connection of a proxy, which says first for whom it asks.
    async fn run_proxied(
        mut self,
        mut stream: TcpStream,
        mut stop: watch::Receiver<bool>,
        entrance: Entrance,
    ) -> io::Result<()> {
        let header = tokio::select! {
            header = timeout(self.limits.tcp_idle, self.read_header(&mut stream)) => header,
            () = stopped(&mut stop) => return Ok(()),
        };
        let Ok(Ok(said)) = header else {
            self.service.counters.dropped(Dropped::Proxy);
            return Ok(());
        };
        self.client.address = said.client.unwrap_or(self.client.address);
        self.input.drain(..said.octets);
        // A proxy that asks for itself has as many connections as it likes.
        let guest = said.client.map(|client| entrance.enter(client));
        if matches!(guest, Some(None)) {
            self.service.counters.refused_connection();
            return Ok(());
        }
        self.run(stream, stop).await
    }

    /// Reads the header of a proxy; what came behind it stays in `input`.
    async fn read_header(&mut self, stream: &mut TcpStream) -> io::Result<proxy::Said> {
        loop {
            match proxy::read(&self.input) {
                Ok(said) => return Ok(said),
                Err(NoHeader::Malformed) => return Err(io::ErrorKind::InvalidData.into()),
                Err(NoHeader::Incomplete) => {}
            }
            self.input.reserve(proxy::MAX_OCTETS);
            if stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn run(mut self, mut stream: TcpStream, mut stop: watch::Receiver<bool>) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let (mut reader, mut writer) = stream.split();
        // The client has closed its side, or the server has on its behalf.
        let mut ended = false;
        let mut stop_by = None;
        let mut deadline = Instant::now() + self.limits.tcp_idle;
        loop {
            if self.answer_queries() {
                deadline = Instant::now() + self.limits.tcp_idle;
            }
            let waiting = self.written < self.output.len();
            if waiting {
                deadline = deadline.min(Instant::now() + self.limits.tcp_write_stall);
            } else if ended && self.coming.is_none() {
                return writer.shutdown().await;
            }
            let may_read = !ended && self.has_room();
            tokio::select! {
                written = writer.write(&self.output[self.written..]), if waiting => {
                    self.wrote(written?)?;
                    deadline = Instant::now() + self.limits.tcp_idle;
                }
                signed = async { self.coming.as_mut()?.await.ok() }, if self.coming.is_some() => {
                    self.coming = None;
                    if let Some(reply) = signed {
                        self.reply = reply;
                        self.put_reply();
                    }
                    deadline = Instant::now() + self.limits.tcp_idle;
                }
                read = reader.read_buf(&mut self.input), if may_read => ended = read? == 0,
                () = stopped(&mut stop), if stop_by.is_none() => {
                    // What has already come is still read and answered, then the end is read.
                    SockRef::from(reader.as_ref()).shutdown(Shutdown::Read)?;
                    stop_by = Some(Instant::now() + self.limits.tcp_write_stall);
                }
                () = sleep_until(stop_by.map_or(deadline, |end| deadline.min(end))) => return Err(io::ErrorKind::TimedOut.into()),
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

    /// Octets of `output` have been written.
    fn wrote(&mut self, octets: usize) -> io::Result<()> {
        if octets == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.written += octets;
        if self.written == self.output.len() {
            self.output.clear();
            self.output.shrink_to(INPUT_OCTETS);
            self.written = 0;
            self.in_flight = 0;
        }
        Ok(())
    }
}

/// The length of the message at the start of `input`, if it is there as a whole.
fn next_message(input: &[u8]) -> Option<usize> {
    let (length, rest) = input.split_first_chunk()?;
    let length = usize::from(u16::from_be_bytes(*length));
    (rest.len() >= length).then_some(length)
}

/// How many connections each client has.
#[derive(Debug, Default)]
struct Clients(Mutex<HashMap<IpAddr, usize>>);

/// A connection that counts among its client's until dropped.
struct Guest {
    clients: Arc<Clients>,
    client: IpAddr,
}

/// Where connections of clients are let in.
struct Entrance {
    clients: Arc<Clients>,
    /// Connections of one client.
    limit: usize,
}

impl Entrance {
    /// Counts one more connection from `client`, or `None` if it has too many already.
    fn enter(&self, client: IpAddr) -> Option<Guest> {
        let client = client_prefix(client);
        let mut counts = self.clients.lock();
        let count = counts.entry(client).or_default();
        if *count >= self.limit {
            if *count == 0 {
                counts.remove(&client);
            }
            return None;
        }
        *count += 1;
        Some(Guest { clients: self.clients.clone(), client })
    }
}

impl Clients {
    /// The map is whole after every statement, so a panic elsewhere leaves it usable.
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut counts = self.clients.lock();
        if let Some(count) = counts.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.client);
            }
        }
    }
}

/// The prefix that stands for one client: an IPv4 address, a /56 of IPv6.
fn client_prefix(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !0 << 72).into(),
        v4 => v4,
    }
}
