//! `nibbl serve` and `nibbl rbldnsd`: the parts put together, from the first socket to the last
//! answer.
//!
//! ```text
//! bind ─▶ give up privileges, confine ─▶ first load ─▶ answer ─▶ until SIGINT or SIGTERM ─▶ stop
//!                                               │
//!             watch, SIGHUP, NOTIFY, control ─▶ reload's thread ─▶ the next snapshot
//! ```

mod needs;
mod readiness;
mod signals;
mod statistics;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::runtime::Runtime;
use tokio::time::timeout;

pub use statistics::Statistics;

use crate::access::{Account, Policy};
use crate::bookkeeping::{Bookkeeper, Store};
use crate::check::octets;
use crate::config::{Config, Control, TcpLimits};
use crate::confinement;
use crate::control::{self, Socket};
use crate::cookie::file::SecretsError;
use crate::metrics::Metrics;
use crate::monitor;
use crate::privileges::{self, Descent, DescentError};
use crate::progress::Progress;
use crate::query_log::{self, QueryLog};
use crate::reload::cookies::CookieSecrets;
use crate::reload::files::Files;
use crate::reload::keys::{self, Keys};
use crate::reload::report::ZoneReport;
use crate::reload::service;
use crate::reload::{Certificates, Loader, Notice, Order, Report, Round, Source};
use crate::server::{
    Bound, Limits, Listener, Passed, PassedError, Protocol, Server, ServerError, SigningLimits,
    SnapshotResponder,
};
use crate::snapshot::{Settings, Snapshot};
use crate::status::Observer;
use crate::vital_thread;
use crate::watch::Watcher;
use crate::zone::Status;
use crate::zone_file::diagnostic::Diagnostics;
use readiness::Readiness;
use signals::Signals;

/// How long queries wait for the first load in sockets that were open before: resolvers ask again, or
/// another server, after a second or two.
const AS_LONG_AS_CLIENTS: Duration = Duration::from_secs(2);

/// What is served, and what rbldnsd's options ask for besides.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Listeners, zones, limits.
    pub config: Config,
    /// What is given up once the sockets are bound.
    pub descent: Descent,
    /// Zones that do not load are a reason not to start.
    pub load_or_fail: bool,
    /// Where a line of statistics is written now and then.
    pub statistics: Option<Statistics>,
}

/// Why the server did not start, or went no further.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// There is nothing to serve.
    #[error("no zones are configured")]
    NoZones,
    /// There is nowhere to serve it.
    #[error("no addresses are configured to listen on")]
    NoListeners,
    /// The system refuses threads or signals.
    #[error("cannot start: {0}")]
    Runtime(#[from] io::Error),
    /// Sockets, certificates.
    #[error("{0}")]
    Server(#[from] ServerError),
    /// Sockets of the service manager that are of no use.
    #[error("{0}")]
    Passed(#[from] PassedError),
    /// Root with nobody to become: what goes wrong in the server would go wrong in the system.
    #[error(
        "running as root on port {0}: say whom to become (`--user`, or `user` in `[process]`), or let the service \
         manager start it as another user with CAP_NET_BIND_SERVICE"
    )]
    Root(u16),
    /// See [`privileges::descend`].
    #[error("{0}")]
    Descent(#[from] DescentError),
    /// The control socket that is configured cannot be made.
    #[error("control socket {path}: {source}", path = path.display())]
    Control {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The HTTP listener cannot be opened.
    #[error("metrics: {address}: {source}")]
    Monitor {
        /// Its address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The store of what was asked cannot be opened.
    #[error("usage: {directory}: {source}", directory = directory.display())]
    Usage {
        /// Its directory.
        directory: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The query log cannot be opened.
    #[error("query log {target}: {source}")]
    QueryLog {
        /// Where.
        target: query_log::Target,
        /// Why.
        source: io::Error,
    },
    /// There are no secrets for cookies.
    #[error("cookies: {0}")]
    Cookies(#[from] SecretsError),
    /// Not all zones loaded ([`Plan::load_or_fail`]).
    #[error("zone loading errors, aborting")]
    Load,
}

/// Serves until a signal says stop. `default_control` is where the control socket is when the
/// configuration says nothing. What there is to say goes to the log (`crate::log`).
///
/// # Errors
/// See [`ServeError`].
pub fn serve(plan: Plan, default_control: &Path) -> Result<(), ServeError> {
    let config = &plan.config;
    if config.zones.is_empty() {
        return Err(ServeError::NoZones);
    }
    let listeners = listeners(config);
    if listeners.is_empty() {
        return Err(ServeError::NoListeners);
    }
    if privileges::user_id() == 0 && plan.descent.user.is_none() {
        match listeners.iter().map(|listener| listener.address.port()).find(|port| (1..1024).contains(port)) {
            Some(port) => return Err(ServeError::Root(port)),
            None => {
                tracing::warn!("running as root: say whom to become (`--user`, or `user` in `[process]`)");
            }
        }
    }
    if let Some(warning) = needs::open_files(&plan) {
        tracing::warn!("{warning}");
    }
    let mut passed = Passed::from_environment()?;
    let bound = Server::bind_passed(&listeners, limits(config), &mut passed)?.guarded(config.guard.clone());
    if let Some(octets) = bound.lacking_receive_buffer() {
        tracing::warn!(
            "the system keeps only {octets} octets of queries for a socket: raise net.core.rmem_max, or ReceiveBuffer= \
             of nibbl.socket"
        );
    }
    let mut bind = |address| match passed.take_tcp(address) {
        Some(listener) => Ok(listener),
        None => monitor::bind(address).map_err(|source| ServeError::Monitor { address, source }),
    };
    let monitor = config.metrics.map(&mut bind).transpose()?;
    passed.finish()?;
    let readiness =
        Readiness::connect(std::env::var_os("NOTIFY_SOCKET").as_deref()).unwrap_or_else(|error| {
            tracing::warn!("the service manager cannot be told of anything: {error}");
            Readiness::default()
        });
    let readiness = Arc::new(readiness);
    // The default place is root's, as long as this is root.
    let is_roots = config.control == Control::Default && plan.descent.user.is_some();
    let control = is_roots.then(|| control_socket(config, default_control)).transpose()?;
    if let Some(directory) = &config.plans.usage {
        privileges::make_directory(directory, &plan.descent)?;
    }
    privileges::descend(&plan.descent)?;
    privileges::gain_none()?;
    if config.process.confine {
        let lacking = confinement::confine(&needs::of(&plan, default_control));
        for lack in lacking {
            tracing::warn!("{lack} (`confine = false` does without)");
        }
    }
    let start = |target: query_log::Target| {
        QueryLog::start(target.clone(), query_log::DEFAULT_QUEUE)
            .map_err(|source| ServeError::QueryLog { target, source })
    };
    let query_log = config.query_log.clone().map(start).transpose()?;
    let bookkeeper = config.plans.usage.as_deref().map(bookkeeper).transpose()?;
    let runtime = Runtime::new()?;
    let control = || match control {
        Some(made) => Ok(made),
        None => control_socket(config, default_control),
    };
    let result =
        runtime.block_on(run(&plan, bound, monitor, query_log.as_ref(), bookkeeper, &readiness, control));
    // A load that is under way is not waited for.
    runtime.shutdown_background();
    result
}

async fn run(
    plan: &Plan,
    bound: Bound,
    monitor: Option<TcpListener>,
    query_log: Option<&QueryLog>,
    bookkeeper: Option<Bookkeeper>,
    readiness: &Arc<Readiness>,
    control: impl FnOnce() -> Result<Option<Socket>, ServeError>,
) -> Result<(), ServeError> {
    let started = SystemTime::now();
    let mut signals = Signals::new()?;
    let variable = |name| std::env::var_os(name);
    let (interval, pid) = (variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"));
    if let Some(interval) = readiness::watchdog(interval.as_deref(), pid.as_deref()) {
        // Also while the first load takes its time: who is not told of readiness may count from the start.
        let readiness = readiness.clone();
        tokio::spawn(async move { readiness.live(interval).await });
    }
    let config = &plan.config;
    let (handle, service) = service::channel(Report::default());
    let metrics = Arc::new(Metrics::default());
    // Watched before they are read, so that no change falls between.
    let (watcher, unwatched) = Watcher::new(config);
    let notified = watcher.told();
    let cookies = CookieSecrets::new(&config.cookies)?;
    let settings =
        Settings { cookies: cookies.as_ref().map(CookieSecrets::current), ..config.settings.clone() };
    let responder = Arc::new(SnapshotResponder::new(
        // Until the first load is through, SERVFAIL sends resolvers to the next server at once.
        Arc::new(not_loaded(config, settings)),
        metrics.clone(),
        Box::new(move |_| notified()),
    ));
    let has_passed = bound.has_passed();
    let mut certificates = Certificates::new(bound.certificates());
    let start = || {
        let runtime = tokio::runtime::Handle::current();
        let server = bound.start(responder.clone(), &metrics, query_log.map(QueryLog::sink), &runtime)?;
        for (listener, address) in listeners(config).iter().zip(server.addresses()) {
            let transports: &[&str] = match listener.protocol {
                Protocol::Plain => &["udp", "tcp"],
                Protocol::Tls(_) => &["tls"],
                Protocol::Quic(_) => &["quic"],
            };
            for transport in transports {
                tracing::info!(transport, %address, "listening on {transport} {address}");
            }
        }
        let observer = Observer {
            loader: handle.clone(),
            metrics: metrics.clone(),
            responder: responder.clone(),
            shed: server.shed(),
            signing_queue: server.signing_queue(),
            query_log: query_log.map(QueryLog::sink),
            started,
        };
        if let Some(listener) = monitor {
            tokio::spawn(watch_over(listener, observer.clone()));
        }
        Ok::<_, ServerError>((server, observer))
    };
    let first_load = {
        let (config, responder, keys) =
            (config.clone(), responder.clone(), keys(config, bookkeeper.as_ref()));
        tokio::task::spawn_blocking(move || {
            load(&config, cookies, keys, move |snapshot| responder.publish(snapshot))
        })
    };
    // So long queries wait in the sockets for the data.
    let patience = match config.settings.dropin {
        true => Duration::MAX,
        false if has_passed => AS_LONG_AS_CLIENTS,
        false => Duration::ZERO,
    };
    let ((server, observer), loaded) = {
        let mut loaded = pin!(async {
            tokio::select! {
                loaded = first_load => loaded.map(Some).map_err(io::Error::other),
                () = signals.stop() => Ok(None),
            }
        });
        let early = timeout(patience, loaded.as_mut()).await;
        (start()?, if let Ok(loaded) = early { loaded? } else { loaded.await? })
    };
    let Some((loader, mut round)) = loaded else { return Ok(()) };
    certificates.look(SystemTime::now(), &mut round);
    round.complaints.iter().for_each(warn);
    warn_of_withheld(&responder.snapshot());
    let report = Report { certificates: certificates.report(), ..loader.report() };
    if plan.load_or_fail && report.zones.iter().any(|zone| zone.status == Status::NeverLoaded) {
        return Err(ServeError::Load);
    }
    service.publish(report.clone());
    let reload = move || service.run(loader, certificates, SystemTime::now, log_round);
    vital_thread::spawn("reload".into(), reload)?;
    report.zones.iter().for_each(|zone| announce(zone, server.addresses()));
    if let Some(socket) = control()? {
        tokio::spawn(control::serve(socket, observer));
    }
    if let Some(error) = unwatched {
        tracing::warn!("{error}: the files are looked at now and then instead");
    }
    let looking = handle.clone();
    tokio::spawn(watcher.run(config.watch, move || looking.look_again(), |line| tracing::warn!("{line}")));
    let statistics = plan.statistics.clone();
    let statistics = statistics.map(|plan| statistics::Writer::start(plan, metrics.clone())).transpose()?;
    tracing::info!("ready");
    readiness.ready();
    signals.attend(&handle, query_log, &metrics, readiness).await;
    readiness.stopping();
    server.stop().await;
    if let Some(bookkeeper) = bookkeeper {
        bookkeeper.finish(responder.snapshot().gate());
    }
    drop(statistics);
    Ok(())
}

/// Serves metrics, health and status.
async fn watch_over(listener: TcpListener, observer: Observer) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "metrics on http://{address}/metrics");
    }
    if let Err(error) = monitor::serve(listener, observer).await {
        tracing::error!("metrics are served no more: {error}");
    }
}

/// All zones as they are before their first load.
fn not_loaded(config: &Config, settings: Settings) -> Snapshot {
    let files = Files::new(config.settings.clone(), |_| ());
    let zone = |zone| files.zone(zone, &[], Status::NeverLoaded, &mut Diagnostics::default());
    Snapshot::new(config.zones.iter().map(zone).collect(), settings, None)
}

/// The store in a directory, and who writes it.
fn bookkeeper(directory: &Path) -> Result<Bookkeeper, ServeError> {
    let failed = |source| ServeError::Usage { directory: directory.to_owned(), source };
    let store = Store::open(directory).map_err(|error| failed(error.into()))?;
    Bookkeeper::start(store).map_err(|error| failed(error.into()))
}

/// Rules and keys with their accounts.
fn keys(config: &Config, bookkeeper: Option<&Bookkeeper>) -> Keys {
    let (policy, open): (Policy, Box<keys::Open>) = match bookkeeper {
        Some(bookkeeper) => {
            let open = bookkeeper.opener();
            (config.plans.policy(&open).with_calls(bookkeeper.calls()), Box::new(open))
        }
        None => (config.plans.policy(Account::unsaved), Box::new(Account::unsaved)),
    };
    Keys::new(Arc::new(policy), config.plans.key_file.clone(), open)
}

fn load<P: Fn(Arc<Snapshot>)>(
    config: &Config,
    cookies: Option<CookieSecrets>,
    keys: Keys,
    publish: P,
) -> (Loader<Files<P>>, Round) {
    let progress = Arc::new(Progress::new(octets(config)));
    let counting = progress.clone();
    let files = Files::new(config.settings.clone(), publish)
        .with_signatures(config.signing.cache)
        .with_cookies(cookies)
        .with_keys(keys);
    let mut loader = Loader::new(files.with_progress(move |octets| counting.advance(octets)), config);
    let round = loader.look(&Order::default(), SystemTime::now());
    progress.finish();
    (loader, round)
}

/// Says which zones do not give what they are to give.
fn warn_of_withheld(snapshot: &Snapshot) {
    let withheld = snapshot.withheld_ranges().chain(snapshot.withheld_signatures());
    withheld.for_each(|line| tracing::warn!("{line}"));
}

fn listeners(config: &Config) -> Vec<Listener> {
    let plain = config.listen.iter().map(|&address| Listener { address, protocol: Protocol::Plain });
    let tls =
        config.tls.iter().map(|tls| Listener { address: tls.listen, protocol: Protocol::Tls(tls.files()) });
    let quic = config
        .quic
        .iter()
        .map(|quic| Listener { address: quic.listen, protocol: Protocol::Quic(quic.files()) });
    plain.chain(tls).chain(quic).collect()
}

fn limits(config: &Config) -> Limits {
    let defaults = Limits::default();
    let TcpLimits { connections, connections_per_client, in_flight, idle } = config.tcp;
    Limits {
        udp_workers: NonZeroUsize::new(config.workers).unwrap_or(defaults.udp_workers),
        pin_workers: config.pin,
        receive_buffer: config.receive_buffer,
        tcp_connections: NonZeroUsize::new(connections).unwrap_or(defaults.tcp_connections),
        tcp_connections_per_client: connections_per_client,
        tcp_in_flight: NonZeroUsize::new(in_flight).unwrap_or(defaults.tcp_in_flight),
        tcp_idle: idle,
        // Nobody else asks for them.
        times: config.metrics.is_some(),
        signing: signing_limits(config),
        ..defaults
    }
}

fn signing_limits(config: &Config) -> SigningLimits {
    if config.zones.iter().all(|zone| zone.signing.is_none()) {
        return SigningLimits::default();
    }
    let workers = match config.signing.workers {
        0 => std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)),
        workers => workers,
    };
    SigningLimits { workers, rate: config.signing.rate }
}

fn log_round(round: &Round) {
    round.complaints.iter().for_each(warn);
    round.news.iter().for_each(|notice| tracing::info!(zone = notice.zone, "{notice}"));
}

fn warn(notice: &Notice) {
    tracing::warn!(zone = notice.zone, "{notice}");
}

fn announce(report: &ZoneReport, addresses: &[SocketAddr]) {
    let ZoneReport { name: zone, entries, .. } = report;
    match report.status {
        Status::Serving => {
            tracing::info!(zone, entries, "zone {zone}: {entries} entries, served on {}", list(addresses));
        }
        Status::NeverLoaded => tracing::warn!(zone, "zone {zone}: not loaded, answered with SERVFAIL"),
        Status::Expired => tracing::warn!(zone, "zone {zone}: expired, answered with SERVFAIL"),
        Status::Unsigned => tracing::warn!(zone, "zone {zone}: cannot be signed, answered with SERVFAIL"),
    }
}

fn list(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
}

fn control_socket(config: &Config, default: &Path) -> Result<Option<Socket>, ServeError> {
    match &config.control {
        Control::Off => Ok(None),
        Control::Path(path) => {
            Socket::bind(path).map(Some).map_err(|source| ServeError::Control { path: path.clone(), source })
        }
        Control::Default => Ok(Socket::bind(default)
            .inspect_err(|error| tracing::warn!("no control socket at {}: {error}", default.display()))
            .ok()),
    }
}
