//! The network rim: sockets in, packets to the responder, answers out.
//!
//! ```text
//! Server::bind ──▶ Bound (sockets open, nothing read; privileges can be dropped now)
//!                    │ start
//!                    ▼
//! udp.rs   one thread per worker and address ─┐
//! tcp.rs   one task per connection, over TLS ─┼─▶ service.rs ─▶ Responder
//!          after the handshake of tls.rs      │        │
//! quic.rs  one task per connection and query ─┘        │
//!                                                      ├─▶ metrics, query log
//!                                                      └─▶ signers.rs, where signatures are missing
//! ```
//!
//! Transports only move bytes; what is answered is the [`Responder`]'s affair, and in production
//! that is [`SnapshotResponder`]. A responder answers from a *moment*, which UDP workers take once
//! per batch, so that one batch costs one load of the snapshot.

mod certificates;
mod clients;
mod guard;
mod later;
mod passed;
pub mod proxy;
mod quic;
mod responder;
mod service;
mod shed;
mod signers;
mod sockets;
mod stream;
mod tcp;
#[cfg(test)]
mod tests;
mod times;
mod tls;
mod udp;

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use certificates::{Certificate, CertificateError, CertificateFiles, Validity};
pub use guard::{Guard, REFLECTORS};
pub use passed::{Passed, PassedError};
pub use responder::{LookAgain, Moment, Published, Responder, SnapshotResponder};
pub use shed::Shed;
pub use signers::{SigningLimits, SigningQueue};

use crate::answer::Transport;
use crate::metrics::{Metrics, Origin, WorkerCounters};
use crate::query_log::QuerySink;
use crate::zone::Family;
use guard::{Limiter, Sources};
use service::Service;
use signers::Queue;
use times::Times;

/// An address to listen on. Port 0 takes a free port, the same one for UDP and TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The address; an unspecified one (`0.0.0.0`, `::`) stands for all of its family, and of its
    /// family only.
    pub address: SocketAddr,
    /// What is spoken there.
    pub protocol: Protocol,
}

/// What is spoken at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// DNS over UDP and TCP.
    Plain,
    /// DNS over TLS (RFC 7858).
    Tls(CertificateFiles),
    /// DNS over QUIC (RFC 9250).
    Quic(CertificateFiles),
}

/// What the server spends at most, and how it is spread over cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// UDP threads per address, each with a socket of its own where there are several.
    pub udp_workers: NonZeroUsize,
    /// Pins the UDP worker *n* of each address to the *n*th of the cores that the process may run on.
    pub pin_workers: bool,
    /// Octets that the system may keep for each UDP socket until they are read. Without
    /// CAP_NET_ADMIN it grants no more than `net.core.rmem_max`.
    pub receive_buffer: usize,
    /// Answers over UDP are timed, of a sample of the batches.
    pub times: bool,
    /// Connections (TCP, TLS, QUIC) at the same time, per address; further ones wait in the system's
    /// queue, or are refused (QUIC).
    pub tcp_connections: NonZeroUsize,
    /// Connections at the same time from one /32 (IPv4) or /56 (IPv6), per address; further
    /// ones are closed at once.
    pub tcp_connections_per_client: usize,
    /// Answers of one connection that wait to be sent; further queries are not read meanwhile.
    pub tcp_in_flight: NonZeroUsize,
    /// How long a connection stays open without a whole query (RFC 7766, section 6.2.3).
    pub tcp_idle: Duration,
    /// How long a client of a connection may take no octet of an answer that waits for it.
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
    /// A certificate that can be read is of no use for the protocol.
    #[error("{address}: {source}")]
    Settings {
        /// The listener's address.
        address: SocketAddr,
        /// What is wrong.
        source: io::Error,
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
    certificates: Vec<Arc<Certificate>>,
    limits: Limits,
    guard: Guard,
    has_passed: bool,
}

#[derive(Debug)]
enum BoundListener {
    Plain {
        address: SocketAddr,
        /// One for each worker, unless they were passed: then those, and workers may share one.
        udp: Vec<UdpSocket>,
        passed: bool,
        tcp: TcpListener,
    },
    Tls {
        address: SocketAddr,
        tcp: TcpListener,
        settings: Arc<rustls::ServerConfig>,
    },
    Quic {
        address: SocketAddr,
        udp: UdpSocket,
        settings: quinn::ServerConfig,
    },
}

/// The running server. Dropped without [`Server::stop`], it stops too, but nobody waits for it.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
    stopping: Arc<AtomicBool>,
    stop: watch::Sender<bool>,
    udp_sockets: Vec<Arc<UdpSocket>>,
    /// Those among them that nobody else has.
    own_udp_sockets: Vec<Arc<UdpSocket>>,
    udp_threads: Vec<JoinHandle<()>>,
    tasks: JoinSet<()>,
    queue: Arc<Queue>,
    signers: Vec<JoinHandle<()>>,
}

impl Server {
    /// Opens the sockets of all listeners and reads their certificates, or none.
    pub fn bind(listeners: &[Listener], limits: Limits) -> Result<Bound, ServerError> {
        Self::bind_passed(listeners, limits, &mut Passed::default())
    }

    /// As [`Self::bind`], with sockets of the service manager where there are some.
    pub fn bind_passed(
        listeners: &[Listener],
        limits: Limits,
        passed: &mut Passed,
    ) -> Result<Bound, ServerError> {
        let mut certificates = Vec::new();
        let given = passed.count();
        let mut bind = |listener| sockets::bind(listener, &limits, passed, &mut certificates);
        let listeners = listeners.iter().map(&mut bind).collect::<Result<_, _>>()?;
        Ok(Bound {
            listeners,
            certificates,
            limits,
            guard: Guard::default(),
            has_passed: passed.count() < given,
        })
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

    /// Stops gracefully: connections take nothing new, and answers are sent as far as clients take them within
    /// the limits. Meanwhile UDP is answered as ever, since a slow client of TCP is no reason to be silent
    /// there; it ends last, with what was received.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
        self.signal_stop();
        for thread in std::mem::take(&mut self.udp_threads) {
            // A worker ends after at most one batch. Its panic has already been reported.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        // Nobody is left who could hand them more.
        self.queue.close();
        for thread in std::mem::take(&mut self.signers) {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    fn signal_stop(&self) {
        self.stopping.store(true, Ordering::Release);
        for socket in &self.own_udp_sockets {
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

    /// True where sockets were passed: queries may wait in them already.
    pub fn has_passed(&self) -> bool {
        self.has_passed
    }

    /// The least octets that the system keeps for one of the UDP sockets, where they are fewer than was asked.
    pub fn lacking_receive_buffer(&self) -> Option<usize> {
        let udp = self.listeners.iter().flat_map(|listener| match listener {
            BoundListener::Plain { udp, .. } => udp.as_slice(),
            BoundListener::Quic { udp, .. } => std::slice::from_ref(udp),
            BoundListener::Tls { .. } => &[],
        });
        let least = udp.filter_map(|socket| sockets::receive_room(socket).ok()).min();
        least.filter(|&least| least < self.limits.receive_buffer)
    }

    /// The certificates that are served, each pair of files once.
    pub fn certificates(&self) -> &[Arc<Certificate>] {
        &self.certificates
    }

    /// Takes and answers packets as `guard` says.
    pub fn guarded(self, guard: Guard) -> Self {
        Self { guard, ..self }
    }

    /// Starts to answer; all but UDP runs on `runtime`.
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
            own_udp_sockets: Vec::new(),
            udp_threads: Vec::new(),
            tasks: JoinSet::new(),
            queue: Arc::new(Queue::new(self.limits.signing)),
            signers: Vec::new(),
        };
        let queue = server.queue.clone();
        let sources = Arc::new(Sources::new(&self.guard));
        let limiter = Limiter::new(&self.guard.rate_limit).map(Arc::new);
        let service = |counters: Arc<WorkerCounters>, later: &Arc<WorkerCounters>| Service {
            responder: responder.clone(),
            counters,
            later: later.clone(),
            query_log: query_log.clone(),
            queue: queue.clone(),
            limiter: limiter.clone(),
        };
        server.signers = signers::spawn(self.limits.signing, &responder, &queue, query_log.as_ref())
            .map_err(ServerError::Signer)?;
        let cores = if self.limits.pin_workers { udp::cores() } else { Vec::new() };
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
                BoundListener::Plain { address, udp, passed, tcp } => {
                    let later = metrics.shared_worker(origin(Transport::Udp));
                    let sockets: Vec<_> = udp.into_iter().map(Arc::new).collect();
                    server.udp_sockets.extend(sockets.iter().cloned());
                    if !passed {
                        server.own_udp_sockets.extend(sockets.iter().cloned());
                    }
                    let workers = self.limits.udp_workers.get().max(sockets.len());
                    for (index, socket) in sockets.iter().cycle().take(workers).enumerate() {
                        let times =
                            if self.limits.times { Times::start(socket) } else { Ok(Times::default()) };
                        let worker = udp::Worker {
                            socket: socket.clone(),
                            passed,
                            wildcard: address.ip().is_unspecified(),
                            core: cores.get(index % cores.len().max(1)).copied(),
                            service: service(metrics.worker(origin(Transport::Udp)), &later),
                            times: times.map_err(failed)?,
                            sources: sources.clone(),
                            stopping: server.stopping.clone(),
                        };
                        server.udp_threads.push(worker.spawn(index).map_err(failed)?);
                    }
                    let listener = tokio::net::TcpListener::from_std(tcp).map_err(failed)?;
                    let counters = metrics.shared_worker(origin(Transport::Tcp));
                    let service = service(counters.clone(), &counters);
                    let accepting =
                        tcp::listen(listener, None, self.limits, sources.clone(), service, stopped.clone());
                    server.tasks.spawn_on(accepting, runtime);
                }
                BoundListener::Tls { tcp, settings, .. } => {
                    let listener = tokio::net::TcpListener::from_std(tcp).map_err(failed)?;
                    let counters = metrics.shared_worker(origin(Transport::Tls));
                    let service = service(counters.clone(), &counters);
                    let accepting = tcp::listen(
                        listener,
                        Some(settings),
                        self.limits,
                        sources.clone(),
                        service,
                        stopped.clone(),
                    );
                    server.tasks.spawn_on(accepting, runtime);
                }
                BoundListener::Quic { udp, settings, .. } => {
                    server.udp_sockets.push(Arc::new(udp.try_clone().map_err(failed)?));
                    let endpoint = quic::endpoint(udp, settings).map_err(failed)?;
                    let counters = metrics.shared_worker(origin(Transport::Quic));
                    let service = service(counters.clone(), &counters);
                    let accepting =
                        quic::listen(endpoint, self.limits, sources.clone(), service, stopped.clone());
                    server.tasks.spawn_on(accepting, runtime);
                }
            }
        }
        Ok(server)
    }
}

impl BoundListener {
    fn address(&self) -> SocketAddr {
        match self {
            Self::Plain { address, .. } | Self::Tls { address, .. } | Self::Quic { address, .. } => *address,
        }
    }
}

/// Returns once the server stops.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error says that the server was dropped.
    let _ = stop.wait_for(|&stop| stop).await;
}
