//! How the server is, as one value: what `nibbl status` shows, `/status` returns, and `/metrics`
//! counts.
//!
//! Nothing here is collected while questions are answered: an [`Observer`] knows where the figures
//! are, and looks when somebody asks.

pub mod process;
pub mod show;
#[cfg(test)]
mod tests;
pub mod usage;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::answer::Transport;
use crate::metrics::{Answer, Labels, Metrics, Totals, ZoneTotals};
use crate::query_log::QuerySink;
use crate::reload::service::Handle;
use crate::reload::{CertificateReport, Report, ZoneReport};
use crate::server::{Shed, SigningQueue, SnapshotResponder};
use crate::snapshot::Snapshot;
use crate::zone::{self, Zone};
use usage::AccessStatus;

/// Where everything that can be known of the server is found.
#[derive(Clone)]
pub struct Observer {
    /// How the zones are.
    pub loader: Handle,
    /// What was counted.
    pub metrics: Arc<Metrics>,
    /// What is served.
    pub responder: Arc<SnapshotResponder>,
    /// What the sockets lost.
    pub shed: Shed,
    /// Where packets wait for signatures.
    pub signing_queue: SigningQueue,
    /// The query log, if there is one.
    pub query_log: Option<QuerySink>,
    /// When the process started.
    pub started: SystemTime,
}

/// How the server is at one moment; times are in seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Status {
    /// The version of the program.
    pub version: String,
    /// The process id.
    pub pid: u32,
    /// When the process started.
    pub started: u64,
    /// The memory of the process that is not swapped out, in octets.
    pub memory: u64,
    /// What keeps the server from being ready; it is ready where there is nothing.
    pub not_ready: Vec<String>,
    /// Snapshots published since the start.
    pub generation: u64,
    /// When the files were looked at last; 0 if they never were.
    pub looked: u64,
    /// Why the server's access list or its access keys are not those that the files hold.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub access_problem: Option<String>,
    /// Why the secrets of cookies are not those that their file holds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub secrets_problem: Option<String>,
    /// The certificates of encrypted listeners.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub certificates: Vec<CertificateReport>,
    /// Answered queries.
    pub queries: Queries,
    /// What access rules made of queries, if there are any.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub access: Option<AccessStatus>,
    /// What signing takes, if a zone is signed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signing: Option<SigningStatus>,
    /// The zones, in the order of the configuration.
    pub zones: Vec<ZoneStatus>,
}

/// What became of queries since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Queries {
    /// Answered over UDP.
    pub udp: u64,
    /// Answered over TCP.
    pub tcp: u64,
    /// Answered over TLS.
    pub tls: u64,
    /// Answered over QUIC.
    #[serde(default)]
    pub quic: u64,
    /// Answered that what they ask about is listed.
    pub listed: u64,
    /// Answered with NXDOMAIN: it is not listed.
    pub nxdomain: u64,
    /// Answered with REFUSED.
    pub refused: u64,
    /// Answered with SERVFAIL.
    pub servfail: u64,
    /// Answers cut for UDP.
    pub truncated: u64,
    /// Packets that got no answer.
    pub unanswered: u64,
    /// Packets that were lost since the sockets' buffers were full.
    pub shed: u64,
    /// Answers over the rate limit, given or not.
    #[serde(default)]
    pub limited: u64,
    /// Connections that are open.
    pub connections: u64,
}

/// What signing takes, over all signed zones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SigningStatus {
    /// Signatures made since the start.
    pub made: u64,
    /// Signatures that answers took from those kept; replies that are kept whole ask for none.
    #[serde(default)]
    pub reused: u64,
    /// Those that are kept.
    pub kept: u64,
    /// The memory of these in octets.
    pub kept_octets: u64,
    /// The memory of the replies that are kept, in octets.
    pub reply_octets: u64,
    /// UDP packets that wait for signatures.
    pub waiting: u64,
    /// UDP packets that were sent to TCP, since too many were waiting.
    pub put_off: u64,
}

/// One zone.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ZoneStatus {
    /// What is known from loading it.
    #[serde(flatten)]
    pub report: ZoneReport,
    /// The serial of its SOA; 0 without one.
    pub serial: u32,
    /// The memory of its data and of its range records in octets; zones may share some.
    pub memory: u64,
    /// Queries that were answered since the start.
    pub answered: u64,
    /// Those that ask about something listed.
    pub listed: u64,
    /// When its keys change next, by the times that they have: one is published, signs, or does so no longer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub keys_change: Option<u64>,
}

impl Observer {
    /// How the server is now.
    pub fn status(&self) -> Status {
        self.status_of(&self.metrics.totals(), SystemTime::now())
    }

    /// How the server is, with what was counted, at a time.
    pub fn status_of(&self, totals: &Totals, now: SystemTime) -> Status {
        let report = self.loader.report();
        let snapshot = self.responder.snapshot();
        let zone = |report: &ZoneReport| {
            let served = snapshot.zones().iter().find(|zone| zone.name().to_string() == report.name);
            let none = ZoneTotals::default();
            let counted = totals.zones.iter().find(|(name, _)| name.to_string() == report.name);
            let counted = counted.map_or(&none, |(_, counted)| counted);
            ZoneStatus {
                report: report.clone(),
                serial: served.map_or(0, |zone| zone.apex().serial()),
                memory: served.map_or(0, |zone| zone.memory() as u64),
                answered: counted.count(|_| true),
                listed: counted.listed(),
                keys_change: served.and_then(|zone| keys_change(zone, now)),
            }
        };
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started: seconds(self.started),
            memory: process::resident_octets().unwrap_or(0),
            not_ready: not_ready(&report, now),
            generation: report.generation,
            looked: report.looked,
            access_problem: report.access_problem.clone(),
            secrets_problem: report.secrets_problem.clone(),
            certificates: report.certificates.clone(),
            queries: Queries::new(totals, self.shed.count()),
            access: AccessStatus::new(snapshot.gate(), totals),
            signing: self.signing(&snapshot),
            zones: report.zones.iter().map(zone).collect(),
        }
    }
}

impl Observer {
    fn signing(&self, snapshot: &Snapshot) -> Option<SigningStatus> {
        let cache = snapshot.zones().iter().find_map(|zone| match zone.signing() {
            zone::Signing::By(by) => Some(by.signer.cache()),
            zone::Signing::None | zone::Signing::Impossible => None,
        })?;
        Some(SigningStatus {
            made: cache.made(),
            reused: cache.reused(),
            kept: cache.len() as u64,
            kept_octets: cache.octets() as u64,
            reply_octets: self.responder.kept_octets(),
            waiting: self.signing_queue.waiting(),
            put_off: self.signing_queue.put_off(),
        })
    }
}

/// When the keys of a zone change next, if they do.
fn keys_change(zone: &Zone, now: SystemTime) -> Option<u64> {
    let zone::Signing::By(by) = zone.signing() else { return None };
    let now = u32::try_from(seconds(now)).unwrap_or(u32::MAX);
    by.signer.keys().next_change(now).map(u64::from)
}

/// What keeps a server with these zones from being ready: zones that are not loaded or cannot be
/// signed, or whose data is older than their limit.
fn not_ready(report: &Report, now: SystemTime) -> Vec<String> {
    if report.generation == 0 {
        return vec!["the zones are being loaded".to_owned()];
    }
    let now = seconds(now);
    let fault = |zone: &ZoneReport| {
        let age = now.saturating_sub(zone.modified);
        let name = &zone.name;
        match (zone.status, zone.max_age) {
            (zone::Status::NeverLoaded, _) => Some(format!("zone {name}: not loaded")),
            (zone::Status::Expired, _) => Some(format!("zone {name}: the data has expired")),
            (zone::Status::Unsigned, _) => Some(format!("zone {name}: cannot be signed")),
            (zone::Status::Serving, Some(limit)) if age > limit => {
                Some(format!("zone {name}: the data is {age} seconds old, and the limit is {limit}"))
            }
            (zone::Status::Serving, _) => None,
        }
    };
    report.zones.iter().filter_map(fault).collect()
}

impl Queries {
    fn new(totals: &Totals, shed: u64) -> Self {
        let over = |transport| totals.count(|labels| labels.origin.transport == transport);
        let answered = |answer| totals.count(|labels: &Labels| labels.answer == answer);
        Self {
            udp: over(Transport::Udp),
            tcp: over(Transport::Tcp),
            tls: over(Transport::Tls),
            quic: over(Transport::Quic),
            listed: answered(Answer::Listed),
            nxdomain: answered(Answer::NxDomain),
            refused: answered(Answer::Refused),
            servfail: answered(Answer::ServFail),
            truncated: totals.sum(|origin| origin.truncated),
            unanswered: totals.sum(|origin| origin.unanswered),
            shed,
            limited: totals.sum(|origin| origin.limited.iter().sum()),
            connections: totals.sum(|origin| origin.open_connections),
        }
    }

    /// All answered queries.
    pub fn answered(&self) -> u64 {
        self.udp + self.tcp + self.tls + self.quic
    }
}

impl Status {
    /// True when every zone is served, and all is as the files hold it.
    pub fn is_clean(&self) -> bool {
        self.generation > 0
            && self.access_problem.is_none()
            && self.secrets_problem.is_none()
            && self.zones.iter().all(|zone| zone.report.is_clean())
            && self.certificates.iter().all(|certificate| certificate.problem.is_none())
    }
}

/// Seconds since 1970.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since: Duration| since.as_secs())
}
