//! The network rim: sockets in, packets to the responder, answers out.
//!
//! ```text
//! Server::bind ──▶ Bound (sockets open, nothing read; privileges can be dropped now)
//!                    │ start
//!                    ▼
//! udp.rs   one thread per worker and address ─┐
//! tcp.rs   one task per connection ───────────┼─▶ Service::answer ─▶ Responder
//! tls.rs   hickory-server's connections ──────┘        │
//!                                                      ├─▶ metrics, query log
//!                                                      └─▶ signers.rs, where signatures are missing
//! ```
//!
//! Transports only move bytes; what is answered is the [`Responder`]'s affair, and in production
//! that is [`SnapshotResponder`]. A responder answers from a *moment*, which UDP workers take once
//! per batch, so that one batch costs one load of the snapshot.

mod later;
mod responder;
mod shed;
mod signers;
mod sockets;
mod tcp;
#[cfg(test)]
mod tests;
mod times;
mod tls;
mod udp;

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use responder::{LookAgain, Moment, Published, Responder, SnapshotResponder};
pub use shed::Shed;
pub use signers::{SigningLimits, SigningQueue};
pub use tls::CertificateError;

use crate::answer::{Client, Effort, Outcome, Transport};
use crate::fast::Exchange;
use crate::metrics::{Metrics, Origin, Tally, WorkerCounters};
use crate::query_log::QuerySink;
use crate::zone::Family;
use signers::{Efforts, Queue, Send};
use times::Times;

/// An address to listen on. Port 0 takes a free port, the same one for UDP and TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The address; an unspecified one (`0.0.0.0`, `::`) stands for all of its family, and of its
    /// family only.
    pub address: SocketAddr,
    /// With a certificate, DNS over TLS (RFC 7858); without, UDP and TCP.
    pub certificate: Option<Certificate>,
}

/// The PEM files of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The certificate and its chain, leaf first.
    pub chain: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// What the server spends at most, and how it is spread over cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// UDP threads per address, each with a socket of its own where there are several.
    pub udp_workers: NonZeroUsize,
    /// Pins the UDP worker *n* of each address to core *n*.
    pub pin_workers: bool,
    /// Octets that the system may keep for each UDP socket until they are read. Without
    /// CAP_NET_ADMIN it grants no more than `net.core.rmem_max`.
    pub receive_buffer: usize,
    /// Answers over UDP are timed, of a sample of the batches.
    pub times: bool,
    /// TCP connections at the same time, per address; further ones wait in the system's queue.
    pub tcp_connections: NonZeroUsize,
    /// TCP connections at the same time from one /32 (IPv4) or /56 (IPv6), per address; further
    /// ones are closed at once.
    pub tcp_connections_per_client: usize,
    /// Answers of one TCP connection that wait to be sent; further queries are not read meanwhile.
    pub tcp_in_flight: NonZeroUsize,
    /// How long a TCP or TLS connection stays open without a whole query (RFC 7766, section 6.2.3).
    pub tcp_idle: Duration,
    /// How long a TCP client may take no octet of an answer that waits for it.
    pub tcp_write_stall: Duration,
    /// How much is signed at most.
    pub signing: SigningLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            udp_workers: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            pin_workers: false,
            receive_buffer: 4 << 20,
            times: false,
            tcp_connections: NonZeroUsize::MIN.saturating_add(1023),
            tcp_connections_per_client: 32,
            tcp_in_flight: NonZeroUsize::MIN.saturating_add(127),
            tcp_idle: Duration::from_secs(10),
            tcp_write_stall: Duration::from_secs(5),
            signing: SigningLimits::default(),
        }
    }
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// An address cannot be listened on.
    #[error("{address}: cannot listen on {transport}: {source}")]
    Bind {
        /// The address as configured.
        address: SocketAddr,
        /// UDP or TCP.
        transport: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// A certificate cannot be used.
    #[error("{address}: {source}")]
    Certificate {
        /// The listener's address.
        address: SocketAddr,
        /// What is wrong, and in which file.
        source: CertificateError,
    },
    /// A thread that makes signatures cannot be started.
    #[error("cannot start a signer: {0}")]
    Signer(io::Error),
    /// A worker cannot be started on its socket.
    #[error("{address}: cannot start a worker: {source}")]
    Worker {
        /// The address of its socket.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// Open sockets that nobody reads yet: the time to drop privileges.
#[derive(Debug)]
pub struct Bound {
    listeners: Vec<BoundListener>,
    limits: Limits,
}

#[derive(Debug)]
enum BoundListener {
    Plain { address: SocketAddr, udp: Vec<UdpSocket>, tcp: TcpListener },
    Tls { address: SocketAddr, tcp: TcpListener, config: Arc<rustls::ServerConfig> },
}

/// The running server. Dropped without [`Server::stop`], it stops too, but nobody waits for it.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
    stopping: Arc<AtomicBool>,
    stop: watch::Sender<bool>,
    udp_sockets: Vec<Arc<UdpSocket>>,
    udp_threads: Vec<JoinHandle<()>>,
    tasks: JoinSet<()>,
    queue: Arc<Queue>,
    signers: Vec<JoinHandle<()>>,
}

impl Server {
    /// Opens the sockets of all listeners and reads their certificates, or none.
    pub fn bind(listeners: &[Listener], limits: Limits) -> Result<Bound, ServerError> {
        let listeners =
            listeners.iter().map(|listener| sockets::bind(listener, &limits)).collect::<Result<_, _>>()?;
        Ok(Bound { listeners, limits })
    }

    /// The addresses listened on, in the order of the listeners, with their actual ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where packets wait for signatures.
    pub fn signing_queue(&self) -> SigningQueue {
        SigningQueue(self.queue.clone())
    }

    /// What the sockets lose.
    pub fn shed(&self) -> Shed {
        Shed(self.udp_sockets.clone())
    }

    /// Stops gracefully: what was received is answered, answers are sent as far as clients take
    /// them within the limits, nothing new is taken.
    pub async fn stop(mut self) {
        self.signal_stop();
        for thread in std::mem::take(&mut self.udp_threads) {
            // A worker ends after at most one batch. Its panic has already been reported.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        while self.tasks.join_next().await.is_some() {}
        // Nobody is left who could hand them more.
        self.queue.close();
        for thread in std::mem::take(&mut self.signers) {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    fn signal_stop(&self) {
        self.stopping.store(true, Ordering::Release);
        for socket in &self.udp_sockets {
            udp::wake(socket);
        }
        self.stop.send_replace(true);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal_stop();
        self.queue.close();
        self.tasks.detach_all();
    }
}

impl Bound {
    /// The addresses listened on, in the order of the listeners, with their actual ports.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(BoundListener::address).collect()
    }

    /// Starts to answer; TCP and TLS run on `runtime`.
    pub fn start<R: Responder>(
        self,
        responder: Arc<R>,
        metrics: &Metrics,
        query_log: Option<QuerySink>,
        runtime: &Handle,
    ) -> Result<Server, ServerError> {
        let (stop, stopped) = watch::channel(false);
        let mut server = Server {
            addresses: self.addresses(),
            stopping: Arc::default(),
            stop,
            udp_sockets: Vec::new(),
            udp_threads: Vec::new(),
            tasks: JoinSet::new(),
            queue: Arc::new(Queue::new(self.limits.signing.workers)),
            signers: Vec::new(),
        };
        let queue = server.queue.clone();
        let service = |counters: Arc<WorkerCounters>, later: &Arc<WorkerCounters>| Service {
            responder: responder.clone(),
            counters,
            later: later.clone(),
            query_log: query_log.clone(),
            queue: queue.clone(),
        };
        server.signers = signers::spawn(self.limits.signing, &responder, &queue, query_log.as_ref())
            .map_err(ServerError::Signer)?;
        // Tokio registers sockets with the runtime in whose context they are taken over.
        let _context = runtime.enter();
        for listener in self.listeners {
            let address = listener.address();
            let failed = |source| ServerError::Worker { address, source };
            let origin = |transport| Origin {
                transport,
                client: if address.is_ipv4() { Family::V4 } else { Family::V6 },
            };
            match listener {
                BoundListener::Plain { address, udp, tcp } => {
                    let later = metrics.shared_worker(origin(Transport::Udp));
                    for (index, socket) in udp.into_iter().enumerate() {
                        let times =
                            if self.limits.times { Times::start(&socket) } else { Ok(Times::default()) };
                        let socket = Arc::new(socket);
                        server.udp_sockets.push(socket.clone());
                        let worker = udp::Worker {
                            socket,
                            wildcard: address.ip().is_unspecified(),
                            core: self.limits.pin_workers.then_some(index),
                            service: service(metrics.worker(origin(Transport::Udp)), &later),
                            times: times.map_err(failed)?,
                            stopping: server.stopping.clone(),
                        };
                        server.udp_threads.push(worker.spawn(index).map_err(failed)?);
                    }
                    let listener = tokio::net::TcpListener::from_std(tcp).map_err(failed)?;
                    let counters = metrics.shared_worker(origin(Transport::Tcp));
                    let service = service(counters.clone(), &counters);
                    let accepting = tcp::listen(listener, self.limits, service, stopped.clone());
                    server.tasks.spawn_on(accepting, runtime);
                }
                BoundListener::Tls { tcp, config, .. } => {
                    let counters = metrics.shared_worker(origin(Transport::Tls));
                    let service = service(counters.clone(), &counters);
                    let serving = tls::listen(tcp, config, self.limits, service, stopped.clone());
                    server.tasks.spawn_on(serving, runtime);
                }
            }
        }
        Ok(server)
    }
}

impl BoundListener {
    fn address(&self) -> SocketAddr {
        match self {
            Self::Plain { address, .. } | Self::Tls { address, .. } => *address,
        }
    }
}

/// What a worker needs to answer: the way of a packet behind the sockets.
struct Service<R> {
    responder: Arc<R>,
    counters: Arc<WorkerCounters>,
    /// Where replies are counted that come later.
    later: Arc<WorkerCounters>,
    query_log: Option<QuerySink>,
    /// Where packets wait whose answer lacks signatures.
    queue: Arc<Queue>,
}

impl<R: Responder> Service<R> {
    fn moment(&self) -> R::Moment {
        self.responder.moment()
    }

    /// Answers one packet into `reply`, whose old content goes; counts and logs it, unless it lacks
    /// signatures.
    fn answer(
        &self,
        moment: &R::Moment,
        packet: &[u8],
        client: Client,
        effort: Effort,
        reply: &mut Vec<u8>,
    ) -> Outcome {
        reply.clear();
        let outcome = self.responder.respond(moment, packet, client, effort, reply);
        if outcome.lacks.is_none() {
            self.record(&mut self.counters.tally(), moment, packet, client, &outcome, reply.len());
        }
        outcome
    }

    /// As [`Self::answer`] for a batch of UDP packets. Empty ones are passed over. `send` makes what sends
    /// a reply later to the sender of the packet at a place.
    fn answer_batch(&self, moment: &R::Moment, batch: &mut [Exchange<'_>], send: impl Fn(usize) -> Send) {
        self.responder.respond_batch(moment, batch);
        let mut efforts = Efforts::default();
        let mut tally = self.counters.tally();
        for (place, exchange) in batch.iter_mut().enumerate() {
            if exchange.outcome().is_none() && !exchange.packet().is_empty() {
                exchange.respond(|packet, client, reply| {
                    let effort = efforts.next(&self.queue);
                    let outcome = self.responder.respond(moment, packet, client, effort, reply);
                    efforts.count(&outcome);
                    self.hand_on(moment, packet, client, outcome, reply, || send(place))
                });
            }
            if let Some(outcome) = exchange.outcome().filter(|outcome| outcome.lacks.is_none()) {
                let reply_octets = exchange.reply().map_or(0, <[u8]>::len);
                let (packet, client) = (exchange.packet(), exchange.client());
                self.record(&mut tally, moment, packet, client, outcome, reply_octets);
            }
        }
    }

    /// Counts and logs. Of the packet only its length and its question count.
    #[inline(always)]
    fn record(
        &self,
        tally: &mut Tally<'_>,
        moment: &R::Moment,
        packet: &[u8],
        client: Client,
        outcome: &Outcome,
        reply_octets: usize,
    ) {
        let slot = |zone| self.responder.zone_slot(moment, zone);
        tally.count(outcome, slot, packet.len(), reply_octets);
        if let Some(log) = &self.query_log
            && outcome.reply
        {
            log.record(packet, client, outcome, reply_octets);
        }
    }
}

/// Returns once the server stops.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error says that the server was dropped.
    let _ = stop.wait_for(|&stop| stop).await;
}
