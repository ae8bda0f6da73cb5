//! `nibbl.toml`: text in, a [`Config`] or the place of the first error out.
//!
//! The tables below are the file's keys, one for one; unknown keys are refused. A value is checked
//! while it is read (`values`), so that the error has its place; what concerns several values is checked
//! after.

use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;

use super::delegation::{self, DelegationTable};
use super::guard::{CookieTable, RateLimitTable};
use super::plans::{self, AccessKeysTable, ClientTable, PlanTable, UsageTable};
use super::values::{
    BlockBytes, Count, DatasetValue, Files, Listen, Network, Octets, ReceiveBuffer, Seconds,
    SignatureValidity, TextOrFalse, UdpSize, ZoneName,
};
use super::{
    Config, Control, EncryptedListener, LogConfig, Process, ReadConfig, SigningConfig, SigningLimits,
    TcpLimits, TtlConfig, Watch, ZoneConfig,
};
use crate::dnssec::validity::Validity;
use crate::log::{Format, Threshold};
use crate::query_log::{self, Target};
use crate::server::Guard;
use crate::snapshot::Settings;
use crate::zone::EmptyNonTerminals;
use crate::zone_file::Kind;

/// What is wrong with a configuration file, and where: `path:line:column: message`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}:{line}:{column}: {message}", path = path.display())]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

/// Reads the text of the configuration file `path`. Relative names in it are looked for in `dir`, or
/// in the file's `dir`, which is itself relative to where the file is.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub fn parse(text: &str, path: &Path, dir: Option<&Path>) -> Result<Config, ConfigError> {
    let at = |offset: usize, message: String| {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |index| index + 1);
        ConfigError {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message,
        }
    };
    let file: File = toml::from_str(text)
        .map_err(|error| at(error.span().map_or(0, |span| span.start), error.message().to_owned()))?;
    let own_dir = path.parent().unwrap_or(Path::new(""));
    let dir = match (dir, &file.dir) {
        (Some(dir), _) => dir.to_owned(),
        (None, Some(dir)) => own_dir.join(dir),
        (None, None) => own_dir.to_owned(),
    };
    file.check(own_dir, &dir).map_err(|(offset, message)| at(offset, message))
}

/// An error at an offset of the text.
pub(super) type Misplaced = (usize, String);

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Where relative data files are; by default where this file is.
    dir: Option<PathBuf>,
    /// Files of the access list that holds for all zones.
    access: Option<Files>,
    #[serde(default)]
    server: ServerTable,
    #[serde(default)]
    process: ProcessTable,
    #[serde(default)]
    tcp: TcpTable,
    #[serde(default)]
    rate_limit: RateLimitTable,
    #[serde(default)]
    cookies: CookieTable,
    #[serde(default)]
    tls: Vec<EncryptedTable>,
    #[serde(default)]
    quic: Vec<EncryptedTable>,
    #[serde(default)]
    reload: ReloadTable,
    #[serde(default)]
    metrics: MetricsTable,
    #[serde(default)]
    log: LogTable,
    query_log: Option<QueryLogTable>,
    #[serde(default, rename = "plan")]
    plans: Vec<PlanTable>,
    #[serde(default, rename = "client")]
    clients: Vec<ClientTable>,
    access_keys: Option<AccessKeysTable>,
    usage: Option<UsageTable>,
    #[serde(default, rename = "zone")]
    zones: Vec<Spanned<ZoneTable>>,
}

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerTable {
    listen: Option<Vec<Listen<53>>>,
    workers: Option<u16>,
    pin: Option<bool>,
    receive_buffer: Option<ReceiveBuffer>,
    udp_size: Option<UdpSize>,
    minimal: Option<bool>,
    version: Option<TextOrFalse>,
    identity: Option<TextOrFalse>,
    #[serde(default)]
    notify_from: Vec<Network>,
    refused_ports: Option<Vec<u16>>,
    #[serde(default)]
    proxy_from: Vec<Network>,
    control: Option<TextOrFalse>,
    signature_cache: Option<Octets>,
    signing_workers: Option<u16>,
    signing_rate: Option<Count>,
}

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ProcessTable {
    user: Option<String>,
    group: Option<String>,
    confine: Option<bool>,
    #[serde(default)]
    read: Vec<PathBuf>,
}

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct TcpTable {
    connections: Option<Count>,
    connections_per_client: Option<Count>,
    in_flight: Option<Count>,
    idle: Option<Seconds>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct EncryptedTable {
    listen: Listen<853>,
    certificate: PathBuf,
    key: PathBuf,
}

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ReloadTable {
    notify: Option<bool>,
    poll: Option<Seconds>,
    settle_ms: Option<Count>,
    settle_limit_ms: Option<Count>,
}

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct MetricsTable {
    listen: Option<Listen<9153>>,
}

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct LogTable {
    #[serde(default)]
    format: Format,
    #[serde(default)]
    level: Threshold,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct QueryLogTable {
    file: PathBuf,
    #[serde(default)]
    format: query_log::Format,
    sample: Option<NonZeroU32>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ZoneTable {
    name: Spanned<ZoneName>,
    #[serde(default)]
    datasets: Vec<Spanned<DatasetValue>>,
    access: Option<Files>,
    ttl: Option<Seconds>,
    min_ttl: Option<Seconds>,
    max_ttl: Option<Seconds>,
    negative_ttl: Option<Seconds>,
    accept_host_bits: Option<bool>,
    decompress: Option<bool>,
    strict: Option<bool>,
    test_entries: Option<bool>,
    test_value: Option<Ipv4Addr>,
    sixtofour: Option<bool>,
    max_change: Option<u32>,
    max_age: Option<Seconds>,
    ranges: Option<bool>,
    block_bytes: Option<BlockBytes>,
    ranges_ttl: Option<Seconds>,
    #[serde(default)]
    ranges_clients: Vec<Network>,
    signed: Option<Spanned<bool>>,
    keys: Option<PathBuf>,
    signature_validity: Option<SignatureValidity>,
    empty_non_terminals: Option<EmptyNonTerminals>,
    withdraw_ds: Option<bool>,
    #[serde(default)]
    delegations: Vec<DelegationTable>,
}

impl File {
    fn check(self, own_dir: &Path, dir: &Path) -> Result<Config, Misplaced> {
        let defaults = Config::default();
        let server = self.server;
        let settings = Settings::default();
        let settings = Settings {
            minimal: server.minimal.unwrap_or(settings.minimal),
            udp_size: server.udp_size.map_or(settings.udp_size, |size| size.0),
            version: server.version.map_or(settings.version, |text| text.0),
            identity: server.identity.map_or(settings.identity, |text| text.0),
            // The other half is for signatures.
            reply_cache: server.signature_cache.as_ref().map_or(settings.reply_cache, |octets| octets.0 / 2),
            notify_from: server.notify_from.into_iter().map(|network| network.0).collect(),
            ..settings
        };
        let encrypted = |tables: Vec<EncryptedTable>| {
            let listener = |table: EncryptedTable| EncryptedListener {
                listen: table.listen.0,
                certificate: own_dir.join(table.certificate),
                key: own_dir.join(table.key),
            };
            tables.into_iter().map(listener).collect()
        };
        let access = self.access.map(|files| files.dataset().with(dir, ReadConfig::default()));
        let mut zones: Vec<ZoneConfig> = Vec::new();
        let mut names = Vec::new();
        for table in self.zones {
            let name = table.as_ref().name.span().start;
            let zone = table.into_inner().check(own_dir, dir)?;
            if zones.iter().any(|other| other.name == zone.name) {
                return Err((name, format!("a second zone `{}`", zone.name)));
            }
            names.push(name);
            zones.push(zone);
        }
        delegation::check_nested(&zones).map_err(|error| (names[error.index], error.to_string()))?;
        let Self { plans, clients, access_keys, usage, .. } = self;
        let plans = plans::Tables { plans, clients, access_keys, usage }.check(own_dir, &zones)?;
        plans::check_zones(&plans, &zones).map_err(|error| (names[error.index], error.to_string()))?;
        Ok(Config {
            listen: server
                .listen
                .map_or(defaults.listen, |listen| listen.into_iter().map(|listen| listen.0).collect()),
            tls: encrypted(self.tls),
            quic: encrypted(self.quic),
            workers: server.workers.map_or(defaults.workers, usize::from),
            pin: server.pin.unwrap_or(defaults.pin),
            receive_buffer: server.receive_buffer.map_or(defaults.receive_buffer, |buffer| buffer.0),
            tcp: self.tcp.check(),
            cookies: self.cookies.check(own_dir),
            guard: Guard {
                rate_limit: self.rate_limit.check(),
                refused_ports: server.refused_ports.unwrap_or(defaults.guard.refused_ports),
                proxies: server.proxy_from.into_iter().map(|network| network.0).collect(),
            },
            signing: SigningLimits {
                cache: server.signature_cache.as_ref().map_or(defaults.signing.cache, |octets| octets.0 / 2),
                workers: server.signing_workers.map_or(defaults.signing.workers, usize::from),
                rate: server.signing_rate.map(|rate| rate.0),
            },
            settings,
            control: match server.control {
                None => defaults.control,
                Some(TextOrFalse(None)) => Control::Off,
                Some(TextOrFalse(Some(path))) => Control::Path(own_dir.join(path)),
            },
            process: self.process.check(own_dir),
            metrics: self.metrics.listen.map(|listen| listen.0),
            log: LogConfig { format: self.log.format, threshold: self.log.level },
            query_log: self.query_log.map(|table| table.check(own_dir)),
            watch: self.reload.check(),
            access,
            plans,
            zones,
        })
    }
}

impl ProcessTable {
    fn check(self, own_dir: &Path) -> Process {
        Process {
            user: self.user.map(|user| (user, self.group)),
            confine: self.confine.unwrap_or(Process::default().confine),
            read: self.read.into_iter().map(|path| own_dir.join(path)).collect(),
        }
    }
}

impl TcpTable {
    fn check(self) -> TcpLimits {
        let defaults = TcpLimits::default();
        let count = |value: Option<Count>, default| value.map_or(default, |count| count.0 as usize);
        TcpLimits {
            connections: count(self.connections, defaults.connections),
            connections_per_client: count(self.connections_per_client, defaults.connections_per_client),
            in_flight: count(self.in_flight, defaults.in_flight),
            idle: self.idle.map_or(defaults.idle, |idle| Duration::from_secs(idle.0.into())),
        }
    }
}

impl QueryLogTable {
    fn check(self, own_dir: &Path) -> Target {
        let file = (self.file != Path::new("-")).then(|| own_dir.join(self.file));
        let sample = self.sample.unwrap_or(NonZeroU32::MIN);
        Target { format: self.format, sample, ..Target::new(file) }
    }
}

impl ReloadTable {
    fn check(self) -> Watch {
        let defaults = Watch::default();
        let millis = |value: Option<Count>, default| {
            value.map_or(default, |count| Duration::from_millis(count.0.into()))
        };
        Watch {
            notify: self.notify.unwrap_or(defaults.notify),
            poll: match self.poll {
                None => defaults.poll,
                Some(Seconds(0)) => None,
                Some(Seconds(poll)) => Some(Duration::from_secs(poll.into())),
            },
            settle: millis(self.settle_ms, defaults.settle),
            settle_limit: millis(self.settle_limit_ms, defaults.settle_limit),
        }
    }
}

impl ZoneTable {
    /// How the zone is signed, if it is.
    fn signing(&self, own_dir: &Path) -> Result<Option<SigningConfig>, Misplaced> {
        let Some(signed) = self.signed.as_ref().filter(|signed| *signed.as_ref()) else { return Ok(None) };
        let refused = |message: &str| (signed.span().start, format!("a signed zone {message}"));
        if !self.ranges_clients.is_empty() {
            return Err(refused("answers all clients the same: it cannot have `ranges_clients`"));
        }
        let keys = self.keys.as_ref().ok_or_else(|| refused("needs `keys = \"DIRECTORY\"`"))?;
        Ok(Some(SigningConfig {
            keys: own_dir.join(keys),
            validity: self.signature_validity.as_ref().map_or_else(Validity::default, |validity| validity.0),
            empty_non_terminals: self.empty_non_terminals.unwrap_or_default(),
            withdraw_ds: self.withdraw_ds.unwrap_or(false),
        }))
    }

    fn check(self, own_dir: &Path, dir: &Path) -> Result<ZoneConfig, Misplaced> {
        let at = self.name.span().start;
        let signing = self.signing(own_dir)?;
        let mut zone = ZoneConfig::new(self.name.into_inner().0);
        let defaults = TtlConfig::default();
        let ttl = TtlConfig {
            default: self.ttl.map_or(defaults.default, |ttl| ttl.0),
            min: self.min_ttl.map_or(defaults.min, |ttl| ttl.0),
            max: self.max_ttl.map_or(defaults.max, |ttl| ttl.0),
        };
        if !ttl.is_consistent() {
            return Err((at, format!("zone `{}`: ttl is 0, or not between min_ttl and max_ttl", zone.name)));
        }
        if let (None, Some(first)) = (&signing, self.delegations.first()) {
            return Err((first.at(), "only a signed zone has delegations".into()));
        }
        zone.signing = signing;
        zone.delegations = delegation::check(self.delegations, &zone.name)?;
        zone.read = ReadConfig {
            accept_host_bits: self.accept_host_bits.unwrap_or(zone.read.accept_host_bits),
            decompress: self.decompress.unwrap_or(zone.read.decompress),
            ttl,
            ..zone.read
        };
        for value in self.datasets {
            let at = value.span().start;
            let dataset = value.into_inner().0;
            if dataset.kind == Kind::Acl {
                return Err((at, "an access list is no dataset: use `access = [\"FILE\"]`".to_owned()));
            }
            zone.datasets.push(dataset.with(dir, zone.read.clone()));
        }
        if zone.datasets.is_empty() {
            return Err((at, format!("zone `{}` has no datasets", zone.name)));
        }
        zone.access = self.access.map(|files| files.dataset().with(dir, zone.read.clone()));
        zone.negative_ttl = self.negative_ttl.map(|ttl| ttl.0);
        zone.strict = self.strict.unwrap_or(zone.strict);
        zone.test_entries = self.test_entries.unwrap_or(zone.test_entries);
        zone.test_value = self.test_value.unwrap_or(zone.test_value);
        zone.sixtofour = self.sixtofour.unwrap_or(zone.sixtofour);
        zone.max_change = self.max_change.or(zone.max_change);
        zone.max_age = self.max_age.map(|age| age.0);
        zone.ranges = self.ranges.unwrap_or(zone.ranges);
        zone.block_bytes = self.block_bytes.map_or(zone.block_bytes, |size| size.0);
        zone.ranges_ttl = self.ranges_ttl.map(|ttl| ttl.0);
        zone.ranges_clients = self.ranges_clients.into_iter().map(|network| network.0).collect();
        Ok(zone)
    }
}
