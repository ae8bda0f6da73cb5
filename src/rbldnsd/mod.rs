//! rbldnsd's command line, as it stands in unit files and scripts: options in, a [`Config`] out.
//!
//! The options are read as getopt(3) reads them: grouped (`-nq`), values attached or apart
//! (`-b127.0.0.1`, `-b 127.0.0.1`), options and zones in any order, `--` before the last zones.
//! What an option asks is done, or [`Options::notes`] says in a line why there is nothing to do, or
//! it is an error: an option that decides what clients get is never passed over.

mod plan;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

pub use plan::PlanError;

use crate::config::spec::{self, SpecError, ZoneSpec};
use crate::config::{
    Config, Control, CookieConfig, CookieMode, LogConfig, Process, ReadConfig, TtlConfig, Watch, ZoneConfig,
    address, duration,
};
use crate::log::Format;
use crate::name::Name;
use crate::rate_limit::{Mode, RateLimit};
use crate::server::Guard;
use crate::snapshot::Settings;

/// What `nibbl rbldnsd --help` says below the usage.
pub const HELP: &str = "\
Options (as in rbldnsd(8); values may be attached):
  -b ADDR[/PORT]     serve this address over UDP and TCP (ADDR:PORT and [ADDR]:PORT too; repeat)
  -4, -6             of the addresses of -b, use those of this family only
  -u USER[:GROUP]    become this user once the sockets are bound (rbldns or nobody, when started by root)
  -r DIR, -w DIR     change the root directory, then the working directory
  -p FILE            write the process id
  -n                 stay in the foreground: nibbl always does
  -q                 start even if zones do not load
  -c TIME            look at the files this often (1m); 0: only on SIGHUP
  -t TTL[:MIN[:MAX]] the TTL where the data sets none (35m), and the limits of the data's own
  -e                 take prefixes with host bits set
  -a, -A             leave NS out of answers; put them in (the default)
  -C                 take no compressed files
  -v, -v -v          hide the version from version.bind; refuse version.bind
  -l [+]FILE         write a line for each query (- is standard output)
  -s [+]FILE         write a line of statistics each -c interval (+ differences)
  -f, -F FACILITY    nothing is left for them to do
  -d, -x, -X         not possible, and refused
  -h                 print this help

Example:
  nibbl rbldnsd -n -b 192.0.2.1/53 -w /var/lib/rbldns bl.example:ip4set:list bl.example:ip6trie:list6

Exit codes: 0 stopped by a signal, 1 anything else.";

/// Whom root becomes without `-u`: rbldnsd's user or, where its package is not installed, nobody.
pub const DEFAULT_USERS: [&str; 2] = ["rbldns", "nobody"];

/// What the command line asks for.
#[derive(Debug)]
pub enum Request {
    /// `-h`, `--help`.
    Help,
    /// To serve.
    Run(Box<Options>),
}

/// rbldnsd's options, checked.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `-b`: what to listen on; at least one.
    pub bind: Vec<Bind>,
    /// `-4`, `-6`: use addresses of this family only.
    pub family: Option<Family>,
    /// `-u`: the user and the group to become.
    pub user: Option<(String, Option<String>)>,
    /// `-r`: the root directory.
    pub root: Option<PathBuf>,
    /// `-w`: the working directory, inside the root directory.
    pub dir: Option<PathBuf>,
    /// `-p`: where the process id is written, outside the root directory.
    pub pid_file: Option<PathBuf>,
    /// `-q`: zones that do not load are no reason not to start.
    pub quick_start: bool,
    /// `-l`: the query log, inside the root directory.
    pub query_log: Option<Sink>,
    /// `-s`: the statistics file, inside the root directory.
    pub statistics: Option<Sink>,
    /// `-c`, in seconds.
    pub check_interval: Option<u32>,
    /// `-t`.
    pub ttl: TtlConfig,
    /// `-e`.
    pub accept_host_bits: bool,
    /// `-C`.
    pub no_decompression: bool,
    /// `-a`; `-A` clears it.
    pub minimal: bool,
    /// How many `-v` there are.
    pub hide_version: u8,
    /// `-n`.
    pub foreground: bool,
    /// `-f`.
    pub fork_on_reload: bool,
    /// `-F`.
    pub facility: Option<String>,
    /// The zones; at least one specification.
    pub zones: Vec<ZoneSpec>,
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// A value of `-b`, host and port not yet looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// The address or the host's name; `*` is all addresses of both families.
    pub host: String,
    /// The port or the service's name.
    pub port: String,
}

/// A value of `-l` or `-s`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sink {
    /// The file; `-` is standard output.
    pub path: PathBuf,
    /// A `+` stood before it: for `-l` every line is written at once, for `-s` the numbers are
    /// differences.
    pub plus: bool,
}

/// Why the command line was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// An option that rbldnsd does not have.
    #[error("invalid option -- '{0}' (-h for help)")]
    InvalidOption(char),
    /// An option without its value.
    #[error("option requires an argument -- '{0}' (-h for help)")]
    NoValue(char),
    /// A value that makes no sense.
    #[error("invalid value of -{option} `{value}`: {reason}")]
    InvalidValue {
        /// The option.
        option: char,
        /// Its value.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An option that cannot be done.
    #[error("-{0}: {1}")]
    Refused(char, &'static str),
    /// `-u` names root.
    #[error("nibbl does not run as root: name another user with -u")]
    Root,
    /// No `-b`.
    #[error("no address to listen on (-b option) specified")]
    NoAddress,
    /// No zone.
    #[error("no zones to serve specified (-h for help)")]
    NoZones,
    /// A zone specification is wrong.
    #[error("{0}")]
    Spec(#[from] SpecError),
}

/// Reads the arguments after the program's name.
///
/// # Errors
/// See [`UsageError`].
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Request, UsageError> {
    let mut options = Options::default();
    let mut arguments = arguments.into_iter();
    let mut operands = Vec::new();
    while let Some(argument) = arguments.next() {
        match argument.as_bytes() {
            b"--" => {
                operands.extend(arguments);
                break;
            }
            b"--help" => return Ok(Request::Help),
            [b'-', letters @ ..] if !letters.is_empty() => {
                let mut rest = letters;
                while let [letter, tail @ ..] = rest {
                    rest = tail;
                    let letter = char::from(*letter);
                    if letter == 'h' {
                        return Ok(Request::Help);
                    }
                    if options.flag(letter)? {
                        continue;
                    }
                    let value = match std::mem::take(&mut rest) {
                        [] => arguments.next().ok_or(UsageError::NoValue(letter))?,
                        attached => OsStr::from_bytes(attached).to_owned(),
                    };
                    options.value(letter, value)?;
                }
            }
            _ => operands.push(argument),
        }
    }
    for operand in operands {
        options.zones.push(spec::zone_spec(&operand.to_string_lossy())?);
    }
    if options.zones.is_empty() {
        return Err(UsageError::NoZones);
    }
    if options.bind.is_empty() {
        return Err(UsageError::NoAddress);
    }
    Ok(Request::Run(Box::new(options)))
}

impl Options {
    /// Takes an option without value; false for the options that have one.
    fn flag(&mut self, letter: char) -> Result<bool, UsageError> {
        match letter {
            '4' => self.family = Some(Family::V4),
            '6' => self.family = Some(Family::V6),
            'n' => self.foreground = true,
            'q' => self.quick_start = true,
            'e' => self.accept_host_bits = true,
            'C' => self.no_decompression = true,
            'a' => self.minimal = true,
            'A' => self.minimal = false,
            'v' => self.hide_version = self.hide_version.saturating_add(1),
            'f' => self.fork_on_reload = true,
            'd' => return Err(UsageError::Refused('d', "nibbl cannot dump zones in BIND's format")),
            'b' | 'u' | 'r' | 'w' | 'p' | 'l' | 's' | 't' | 'c' | 'F' | 'x' | 'X' => return Ok(false),
            _ => return Err(UsageError::InvalidOption(letter)),
        }
        Ok(true)
    }

    fn value(&mut self, letter: char, value: OsString) -> Result<(), UsageError> {
        let text = value.to_string_lossy().into_owned();
        let invalid = |reason| UsageError::InvalidValue { option: letter, value: text.clone(), reason };
        if value.is_empty() {
            return Err(invalid("it is empty"));
        }
        match letter {
            'b' => self.bind.push(Bind::parse(&text).ok_or_else(|| invalid("not ADDRESS[/PORT]"))?),
            'u' => {
                let (user, group) = match text.split_once([':', '.']) {
                    Some((user, group)) => (user, Some(group.to_owned())),
                    None => (text.as_str(), None),
                };
                if user == "root" || user.parse() == Ok(0u32) {
                    return Err(UsageError::Root);
                }
                self.user = Some((user.to_owned(), group));
            }
            'r' => self.root = Some(value.into()),
            'w' => self.dir = Some(value.into()),
            'p' => self.pid_file = Some(value.into()),
            'l' => self.query_log = Some(Sink::parse(value)),
            's' => self.statistics = Some(Sink::parse(value)),
            't' => self.ttl = ttl(&text).map_err(invalid)?,
            'c' => {
                let interval = duration::seconds(&text).map_err(|_| invalid("not a time"))?;
                self.check_interval = Some(interval);
            }
            'F' => self.facility = Some(text),
            // What an extension would do to answers is unknown: better no server than another one.
            'x' => return Err(UsageError::Refused('x', "nibbl takes no extensions in machine code")),
            'X' => return Err(UsageError::Refused('X', "there is no extension to pass it to")),
            _ => return Err(UsageError::InvalidOption(letter)),
        }
        Ok(())
    }

    /// What is said at the start, a line each: options for which nothing is left to do.
    pub fn notes(&self) -> Vec<&'static str> {
        [
            (!self.foreground, "no -n: nibbl stays in the foreground; a service manager does the rest"),
            (self.fork_on_reload, "-f: not needed, a reload never stops the answers"),
            (self.facility.is_some(), "-F: not needed, log lines go to standard error, not to syslog"),
        ]
        .into_iter()
        .filter_map(|(said, note)| said.then_some(note))
        .collect()
    }

    /// The configuration: the letter of rbldnsd, `listen` being the addresses of `-b` (see
    /// [`Options::addresses`]). File names are as given: they hold inside `-r` and `-w`.
    ///
    /// # Errors
    /// A second access list for a zone, or for all zones.
    pub fn config(&self, listen: Vec<SocketAddr>) -> Result<Config, SpecError> {
        let read = ReadConfig {
            dropin: true,
            accept_host_bits: self.accept_host_bits,
            decompress: !self.no_decompression,
            ttl: self.ttl,
        };
        let zone = |name: Name| ZoneConfig {
            read: read.clone(),
            dropin: true,
            test_entries: false,
            max_change: None,
            ..ZoneConfig::new(name)
        };
        let settings = Settings::default();
        let interval = self.check_interval();
        let mut config = Config {
            listen,
            settings: Settings {
                dropin: true,
                minimal: self.minimal,
                version: match self.hide_version {
                    0 => settings.version,
                    1 => Some(env!("CARGO_PKG_NAME").to_owned()),
                    _ => None,
                },
                ..settings
            },
            cookies: CookieConfig { mode: CookieMode::Off, secrets: None },
            guard: Guard {
                rate_limit: RateLimit { mode: Mode::Off, ..RateLimit::default() },
                refused_ports: Vec::new(),
                ..Guard::default()
            },
            control: Control::Off,
            log: LogConfig { format: Format::Plain, ..LogConfig::default() },
            // Its files may be anywhere, and rbldnsd is not confined either.
            process: Process { confine: false, ..Process::default() },
            watch: Watch {
                notify: !interval.is_zero(),
                poll: Some(interval).filter(|interval| !interval.is_zero()),
                ..Watch::default()
            },
            ..Config::default()
        };
        for spec in &self.zones {
            config.add(spec.clone(), Path::new(""), &zone)?;
        }
        Ok(config)
    }

    /// Looks up all values of `-b`, of the family that `-4` or `-6` asks for.
    ///
    /// # Errors
    /// A host or service that is not known, or has no address of that family.
    pub fn addresses(&self) -> Result<Vec<SocketAddr>, (Bind, io::Error)> {
        let mut all = Vec::new();
        for bind in &self.bind {
            let before = all.len();
            let addresses = bind.addresses().map_err(|error| (bind.clone(), error))?;
            for address in addresses {
                let wanted = match self.family {
                    Some(Family::V4) => address.is_ipv4(),
                    Some(Family::V6) => address.is_ipv6(),
                    None => true,
                };
                if wanted && !all.contains(&address) {
                    all.push(address);
                }
            }
            if all.len() == before && self.family.is_some() {
                let error =
                    io::Error::new(io::ErrorKind::AddrNotAvailable, "no address of the family of -4 or -6");
                return Err((bind.clone(), error));
            }
        }
        Ok(all)
    }
}

impl Bind {
    fn parse(text: &str) -> Option<Self> {
        let (host, port) = address::split(text);
        let port = port.unwrap_or("53");
        (!host.is_empty() && !port.is_empty()).then(|| Self { host: host.to_owned(), port: port.to_owned() })
    }

    fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let port = match self.port.parse() {
            Ok(port) => port,
            Err(_) => service_port(&self.port)?,
        };
        if self.host == "*" {
            let both: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
            return Ok(both.map(|address| SocketAddr::new(address, port)).to_vec());
        }
        if let Some(address) = abbreviated(&self.host) {
            return Ok(vec![SocketAddr::new(address.into(), port)]);
        }
        Ok((self.host.as_str(), port).to_socket_addrs()?.collect())
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.port)
    }
}

impl Sink {
    fn parse(value: OsString) -> Self {
        match value.as_bytes() {
            [b'+', path @ ..] => Self { path: OsString::from_vec(path.to_vec()).into(), plus: true },
            _ => Self { path: value.into(), plus: false },
        }
    }
}

/// `DEFAULT[:MIN[:MAX]]`, each may be empty. rbldnsd refuses a limit that its own default of 35
/// minutes exceeds (`::2m`, the example of its manual); here the limit holds for the default too.
fn ttl(text: &str) -> Result<TtlConfig, &'static str> {
    let mut fields = text.split(':');
    let mut field = || match fields.next().unwrap_or("") {
        "" => Ok(None),
        text => duration::seconds(text).map(Some).map_err(|_| "not a time"),
    };
    let (default, min, max) = (field()?, field()?.unwrap_or(0), field()?.unwrap_or(0));
    if fields.next().is_some() {
        return Err("more than three fields");
    }
    if max != 0 && min > max {
        return Err("the limits contradict each other");
    }
    let highest = if max == 0 { u32::MAX } else { max };
    let ttl =
        TtlConfig { default: default.unwrap_or(TtlConfig::default().default.clamp(min, highest)), min, max };
    if ttl.is_consistent() { Ok(ttl) } else { Err("the default is 0 or outside the limits") }
}

/// inet_aton(3)'s short forms, as in `-b 127.2`: the last number fills what is left.
fn abbreviated(host: &str) -> Option<Ipv4Addr> {
    let fields: Vec<&str> = host.split('.').collect();
    if !(2..=4).contains(&fields.len()) || host.starts_with('+') {
        return None;
    }
    let mut address = 0u32;
    for (index, field) in fields.iter().enumerate() {
        let is_number = !field.is_empty() && field.bytes().all(|octet| octet.is_ascii_digit());
        let number: u32 = field.parse().ok().filter(|_| is_number)?;
        let last = index + 1 == fields.len();
        let bits = if last { 8 * (5 - fields.len() as u32) } else { 8 };
        if bits < 32 && number >> bits != 0 {
            return None;
        }
        address |= if last { number } else { number << (24 - 8 * index) };
    }
    Some(address.into())
}

fn service_port(name: &str) -> io::Result<u16> {
    let services = std::fs::read_to_string("/etc/services").unwrap_or_default();
    find_service(&services, name)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("unknown service or port `{name}`")))
}

/// The UDP port of a service in the text of services(5); `domain` needs no file.
fn find_service(services: &str, name: &str) -> Option<u16> {
    let found = services.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let (service, port) = (words.next()?, words.next()?.strip_suffix("/udp")?);
        (service == name || words.any(|alias| alias == name)).then(|| port.parse().ok())?
    });
    found.or((name == "domain").then_some(53))
}

#[cfg(test)]
mod tests;
