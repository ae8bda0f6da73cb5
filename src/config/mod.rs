//! What the server is to do, checked: listeners, zones, limits.
//!
//! There is one [`Config`], whoever wrote it: `nibbl.toml` (module [`mod@file`]), zone specifications on
//! the command line (module [`spec`]), or rbldnsd's options (`crate::rbldnsd`). Text is looked at
//! only here; whoever holds a `Config` need not check it again. Nothing here opens a file: the text
//! comes in, and all file names come out ready to be opened.

pub mod address;
pub mod delegation;
pub mod duration;
pub mod file;
mod guard;
pub mod plans;
pub mod spec;
mod values;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ipnet::IpNet;

use crate::access::{Account, AccountId, Plan, Policy, Rule};
use crate::dnssec::validity::Validity;
use crate::log::{Format, Threshold};
use crate::name::Name;
use crate::query_log::Target;
use crate::range_record::block;
use crate::server::{CertificateFiles, Guard, Limits};
use crate::snapshot::Settings;
use crate::zone::{Delegation, EmptyNonTerminals};
use crate::zone_file::{Kind, ReadOptions};

/// All that `nibbl serve` and `nibbl rbldnsd` need to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses that are served over UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// Addresses that are served over TLS (RFC 7858).
    pub tls: Vec<EncryptedListener>,
    /// Addresses that are served over QUIC (RFC 9250).
    pub quic: Vec<EncryptedListener>,
    /// Threads that answer UDP; 0 is one for each core.
    pub workers: usize,
    /// Each UDP thread is pinned to a core of its own.
    pub pin: bool,
    /// Octets of queries that may wait for each UDP thread; 4 MiB by default.
    pub receive_buffer: usize,
    /// Limits of connections: TCP, TLS, QUIC.
    pub tcp: TcpLimits,
    /// Which packets are taken, and how often what is answered.
    pub guard: Guard,
    /// How cookies are made and checked.
    pub cookies: CookieConfig,
    /// What signing takes at most.
    pub signing: SigningLimits,
    /// How answers are made.
    pub settings: Settings,
    /// Where the control socket is.
    pub control: Control,
    /// What the process gives up.
    pub process: Process,
    /// Where metrics, health and status are served over HTTP.
    pub metrics: Option<SocketAddr>,
    /// How the server's own log is written.
    pub log: LogConfig,
    /// Where answered queries are written, a line each.
    pub query_log: Option<Target>,
    /// When data files are looked at again.
    pub watch: Watch,
    /// The access list that holds for all zones (`:acl:FILE`).
    pub access: Option<DatasetConfig>,
    /// Who may ask how much.
    pub plans: PlansConfig,
    /// The zones, each name once.
    pub zones: Vec<ZoneConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: DEFAULT_LISTEN.to_vec(),
            tls: Vec::new(),
            quic: Vec::new(),
            workers: 0,
            pin: false,
            receive_buffer: Limits::default().receive_buffer,
            tcp: TcpLimits::default(),
            guard: Guard::default(),
            cookies: CookieConfig::default(),
            signing: SigningLimits::default(),
            settings: Settings::default(),
            control: Control::Default,
            process: Process::default(),
            metrics: None,
            log: LogConfig::default(),
            query_log: None,
            watch: Watch::default(),
            access: None,
            plans: PlansConfig::default(),
            zones: Vec::new(),
        }
    }
}

/// Loopback, port 5353: what is served where nothing else is said.
pub const DEFAULT_LISTEN: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5353),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 5353),
];

impl Config {
    /// Adds a zone specification of the command line: to the zone of that name, to a new one with
    /// `defaults`, or (`:acl:FILE`) to the server. Relative files are looked for in `dir`.
    ///
    /// # Errors
    /// A second access list for the same zone, or for the server.
    pub fn add(
        &mut self,
        spec: spec::ZoneSpec,
        dir: &Path,
        defaults: &dyn Fn(Name) -> ZoneConfig,
    ) -> Result<(), spec::SpecError> {
        let argument = spec.argument;
        let second = |_| spec::SpecError { argument, fault: spec::SpecFault::SecondAccessList };
        let Some(name) = spec.zone else {
            let dataset = spec.dataset.with(dir, defaults(Name::root()).read);
            return put(&mut self.access, dataset).map_err(second);
        };
        let index = self.zones.iter().position(|zone| zone.name == name).unwrap_or_else(|| {
            self.zones.push(defaults(name));
            self.zones.len() - 1
        });
        let zone = &mut self.zones[index];
        let dataset = spec.dataset.with(dir, zone.read.clone());
        if dataset.kind == Kind::Acl {
            return put(&mut zone.access, dataset).map_err(second);
        }
        zone.datasets.push(dataset);
        Ok(())
    }

    /// All files that are read again when they change.
    pub fn data_files(&self) -> impl Iterator<Item = &PathBuf> {
        self.datasets().flat_map(|dataset| &dataset.files).chain(&self.plans.key_file)
    }

    /// All listeners that have a certificate.
    pub fn encrypted_listeners(&self) -> impl Iterator<Item = &EncryptedListener> {
        self.tls.iter().chain(&self.quic)
    }

    /// All datasets of all zones and the server's access list, as often as they are named.
    pub fn datasets(&self) -> impl Iterator<Item = &DatasetConfig> {
        self.access.iter().chain(self.zones.iter().flat_map(ZoneConfig::all_datasets))
    }
}

fn put<T>(place: &mut Option<T>, value: T) -> Result<(), T> {
    match place {
        Some(_) => Err(value),
        None => {
            *place = Some(value);
            Ok(())
        }
    }
}

/// A listener for DNS over TLS, or over QUIC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptedListener {
    /// Address and port; the port is 853 where none is given.
    pub listen: SocketAddr,
    /// PEM file with the certificate chain.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

impl EncryptedListener {
    /// Its files, for who reads them.
    pub fn files(&self) -> CertificateFiles {
        CertificateFiles { chain: self.certificate.clone(), key: self.key.clone() }
    }
}

/// How cookies (RFC 7873) are made and checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CookieConfig {
    /// What is done with them.
    pub mode: CookieMode,
    /// The file of secrets, ready to be opened ([`crate::cookie::file`]); where there is none, the server
    /// makes one when it starts.
    pub secrets: Option<PathBuf>,
}

/// What is done with cookies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CookieMode {
    /// They are passed over.
    Off,
    /// They are answered with one that is good.
    #[default]
    Answer,
    /// The same, and over UDP a query with one that is not good gets nothing else.
    Require,
}

/// Limits of connections (RFC 7766, section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpLimits {
    /// Connections at one time; 1,000 by default.
    pub connections: usize,
    /// Connections of one client address at one time; 20 by default.
    pub connections_per_client: usize,
    /// Queries of one connection that are being answered at one time; 100 by default.
    pub in_flight: usize,
    /// How long a connection may be silent; 10 s by default.
    pub idle: Duration,
}

impl Default for TcpLimits {
    fn default() -> Self {
        Self { connections: 1000, connections_per_client: 20, in_flight: 100, idle: Duration::from_secs(10) }
    }
}

/// What signing takes at most, over all signed zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SigningLimits {
    /// Octets of memory for signatures that were made; 32 MiB by default. Replies that are given again have
    /// their own ([`Settings::reply_cache`]).
    pub cache: usize,
    /// Threads that make signatures; 0, the default, is one for every two cores.
    pub workers: usize,
    /// Answers a second for which signatures are made; `None`, the default, is as many as the threads can.
    pub rate: Option<u32>,
}

impl Default for SigningLimits {
    fn default() -> Self {
        Self { cache: 32 << 20, workers: 0, rate: None }
    }
}

/// Who may ask how much: see [`access`](crate::access).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlansConfig {
    /// The plans.
    pub plans: Vec<Plan>,
    /// Who has them, by address.
    pub rules: Vec<Rule>,
    /// The zones whose names have keys.
    pub keyed: Vec<Name>,
    /// The file of the keys, ready to be opened.
    pub key_file: Option<PathBuf>,
    /// What is said to people who ask with a key that nobody has.
    pub unknown_text: Option<String>,
    /// The directory where it is put down what was asked; without it, that is forgotten with the process.
    pub usage: Option<PathBuf>,
}

impl PlansConfig {
    /// The policy that it says; `open` makes the accounts of the rules.
    pub fn policy(&self, open: impl FnMut(AccountId) -> Account) -> Policy {
        let Self { plans, rules, keyed, unknown_text, .. } = self.clone();
        Policy::new(plans, keyed, unknown_text, &rules, open)
    }
}

/// Where the control socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// At the place where `nibbl reload` and `nibbl status` look for it by themselves
    /// (`crate::control::default_path`). The server also runs if it cannot be made.
    Default,
    /// Here. The server does not start if it cannot be made.
    Path(PathBuf),
    /// There is none.
    Off,
}

/// How the server's own log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogConfig {
    /// As text, JSON, or into the journal; by default as it suits who reads it.
    pub format: Format,
    /// From what on; by default what happens and what is wrong.
    pub threshold: Threshold,
}

/// What the process gives up once its sockets are open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// The user and the group that root becomes, by name or number; the user's own group by default.
    pub user: Option<(String, Option<String>)>,
    /// It is confined to its files and to the system calls of a running server; true by default.
    pub confine: bool,
    /// Files and directories that it may read besides those that it is told of: where symbolic links
    /// may lead one day.
    pub read: Vec<PathBuf>,
}

impl Default for Process {
    fn default() -> Self {
        Self { user: None, confine: true, read: Vec::new() }
    }
}

/// When data files are looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The system is asked to tell of changes.
    pub notify: bool,
    /// All files are looked at this often besides (60 s by default); `None` never.
    pub poll: Option<Duration>,
    /// A change is acted on when nothing more changed for this long; 200 ms by default ...
    pub settle: Duration,
    /// ... or when the first change is this old; 2 s by default.
    pub settle_limit: Duration,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            notify: true,
            poll: Some(Duration::from_secs(60)),
            settle: Duration::from_millis(200),
            settle_limit: Duration::from_secs(2),
        }
    }
}

/// A zone: a name, the datasets that are served under it, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct ZoneConfig {
    /// The zone's name; never the root.
    pub name: Name,
    /// The datasets in the order in which they are asked; access lists are not among them.
    pub datasets: Vec<DatasetConfig>,
    /// The zone's access list.
    pub access: Option<DatasetConfig>,
    /// How the zone's files are read, if a dataset says nothing else.
    pub read: ReadConfig,
    /// The TTL of negative answers in seconds; by default as RFC 2308 makes it of the SOA.
    pub negative_ttl: Option<u32>,
    /// The letter of rbldnsd: no SOA is made up, negative answers have the SOA's minimum as TTL.
    pub dropin: bool,
    /// A load with errors is refused, and the old data stays; false by default.
    pub strict: bool,
    /// The test entries of RFC 5782 are there without being in the data; true by default.
    pub test_entries: bool,
    /// The A record of the test entries: 127.0.0.2 by default; allowlists have others.
    pub test_value: Ipv4Addr,
    /// IPv6 addresses in 2002::/16 also match IPv4 listings of their IPv4 address; true by default.
    pub sixtofour: bool,
    /// A reload that changes the number of entries by more percent than this, and by 1,000 or more,
    /// waits for `nibbl reload --force` (RFC 6471, section 3.2); 50 by default, `None` never waits.
    pub max_change: Option<u32>,
    /// The age of the newest data file in seconds from which the server is not ready (`/readyz`).
    pub max_age: Option<u32>,
    /// Range records are served: anyone may read the whole list; false by default.
    pub ranges: bool,
    /// The greatest size of a block of range records in octets, 672 to 16,000; 704 by default.
    pub block_bytes: u16,
    /// The TTL of range records in seconds; by default the zone's.
    pub ranges_ttl: Option<u32>,
    /// The clients that see range records; all where empty.
    pub ranges_clients: Vec<IpNet>,
    /// The zone is signed, in this way.
    pub signing: Option<SigningConfig>,
    /// Where other zones begin inside this one, which is signed.
    pub delegations: Vec<Delegation>,
}

impl ZoneConfig {
    /// A zone without datasets, as `nibbl serve` has it by default.
    pub fn new(name: Name) -> Self {
        Self {
            name,
            datasets: Vec::new(),
            access: None,
            read: ReadConfig::default(),
            negative_ttl: None,
            dropin: false,
            strict: false,
            test_entries: true,
            test_value: Ipv4Addr::new(127, 0, 0, 2),
            sixtofour: true,
            max_change: Some(50),
            max_age: None,
            ranges: false,
            block_bytes: block::DEFAULT_LIMIT as u16,
            ranges_ttl: None,
            ranges_clients: Vec::new(),
            signing: None,
            delegations: Vec::new(),
        }
    }

    /// The datasets, and the access list behind them.
    pub fn all_datasets(&self) -> impl Iterator<Item = &DatasetConfig> {
        self.datasets.iter().chain(&self.access)
    }
}

/// How a zone is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningConfig {
    /// The directory of its keys, ready to be opened.
    pub keys: PathBuf,
    /// How long signatures are valid; 14 days by default.
    pub validity: Validity,
    /// What empty non-terminals have; a marker by default.
    pub empty_non_terminals: EmptyNonTerminals,
    /// The zone above is asked to remove the DS records: the zone is to be signed no more.
    pub withdraw_ds: bool,
}

/// A dataset: files that are read as one. Zones that name an equal one share it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DatasetConfig {
    /// The type.
    pub kind: Kind,
    /// The files in order, ready to be opened; at least one.
    pub files: Vec<PathBuf>,
    /// How they are read.
    pub read: ReadConfig,
}

/// `type:file,file`, as in the files' own words.
impl std::fmt::Display for DatasetConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(spec::kind_name(self.kind))?;
        for (index, file) in self.files.iter().enumerate() {
            write!(f, "{}{}", if index == 0 { ':' } else { ',' }, file.display())?;
        }
        Ok(())
    }
}

/// How data files are read: [`ReadOptions`] without the time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReadConfig {
    /// The letter of rbldnsd.
    pub dropin: bool,
    /// Entries with host bits set are taken, with the bits cleared; false by default.
    pub accept_host_bits: bool,
    /// Compressed files are taken; true by default.
    pub decompress: bool,
    /// The TTLs.
    pub ttl: TtlConfig,
}

impl Default for ReadConfig {
    fn default() -> Self {
        Self { dropin: false, accept_host_bits: false, decompress: true, ttl: TtlConfig::default() }
    }
}

impl ReadConfig {
    /// Listings wider than these draw a warning, in IPv6 and in IPv4: the size of an allocation to
    /// a large provider.
    const WIDEST: (u8, u8) = (19, 8);

    /// The options of a read that happens at `now`.
    pub fn options(&self, now: SystemTime) -> ReadOptions {
        ReadOptions {
            dropin: self.dropin,
            accept_host_bits: self.accept_host_bits,
            decompress: self.decompress,
            default_ttl: self.ttl.default,
            min_ttl: self.ttl.min,
            max_ttl: self.ttl.max,
            widest_v6: Self::WIDEST.0,
            widest_v4: Self::WIDEST.1,
            now,
        }
    }
}

/// TTLs in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TtlConfig {
    /// Where the data sets none: 35 minutes by default.
    pub default: u32,
    /// The lowest that data may set.
    pub min: u32,
    /// The highest that data may set; 0 is no limit.
    pub max: u32,
}

impl Default for TtlConfig {
    fn default() -> Self {
        Self { default: 35 * 60, min: 0, max: 0 }
    }
}

impl TtlConfig {
    /// False where the default is 0 or outside the limits, or the limits contradict each other.
    pub fn is_consistent(&self) -> bool {
        let max = if self.max == 0 { u32::MAX } else { self.max };
        self.default > 0 && (self.min..=max).contains(&self.default)
    }
}

#[cfg(test)]
mod tests;
