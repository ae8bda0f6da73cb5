//! What a running server needs of the system, found in its plan: files for [`confinement`](crate::confinement),
//! and as many open ones as its limits promise.

use std::path::Path;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{Plan, limits, listeners};
use crate::config::Control;
use crate::confinement::Needs;
use crate::monitor;
use crate::server::{Listener, Protocol};

/// Open files besides connections and UDP sockets: data files, logs, the watcher, the runtime.
const OTHER_FILES: u64 = 64;

/// The files that are read and written from now on.
pub(super) fn of(plan: &Plan, default_control: &Path) -> Needs {
    let config = &plan.config;
    let data = config.data_files().cloned();
    let encrypted = config.encrypted_listeners();
    let certificates = encrypted.flat_map(|listener| [listener.certificate.clone(), listener.key.clone()]);
    let keys = config.zones.iter().filter_map(|zone| Some(zone.signing.as_ref()?.keys.clone()));
    let control = match &config.control {
        Control::Default => Some(default_control),
        Control::Path(path) => Some(path.as_path()),
        Control::Off => None,
    };
    let query_log = config.query_log.iter().filter_map(|target| target.file.clone());
    let statistics = plan.statistics.iter().filter_map(|statistics| statistics.file.clone());
    Needs {
        read: data
            .chain(certificates)
            .chain(keys)
            .chain(config.cookies.secrets.clone())
            .chain(config.process.read.iter().cloned())
            .collect(),
        written: control
            .map(Path::to_owned)
            .into_iter()
            .chain(query_log)
            .chain(statistics)
            .chain(config.plans.usage.clone())
            .collect(),
    }
}

/// Raises the limit on open files to what the connections need. Returns what to say where the system
/// does not allow as many.
pub(super) fn open_files(plan: &Plan) -> Option<String> {
    let limits = limits(&plan.config);
    // The connections of QUIC share a socket.
    let files = |listener: &Listener| match listener.protocol {
        Protocol::Plain => limits.tcp_connections.get() + limits.udp_workers.get() + 1,
        Protocol::Tls(_) => limits.tcp_connections.get() + 1,
        Protocol::Quic(_) => 1,
    };
    let monitor = if plan.config.metrics.is_some() { monitor::CONNECTIONS + 1 } else { 0 };
    let dns: usize = listeners(&plan.config).iter().map(files).sum();
    let needed = (dns + monitor) as u64 + OTHER_FILES;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    if soft >= needed {
        return None;
    }
    let raised = needed.min(hard);
    let raised = setrlimit(Resource::RLIMIT_NOFILE, raised, hard).map_or(soft, |()| raised);
    (raised < needed).then(|| {
        format!("only {raised} files may be open, and all connections need {needed}: raise the limit (ulimit -n, LimitNOFILE=)")
    })
}
