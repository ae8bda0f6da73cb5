//! The command line: arguments to checked options.
//!
//! clap reads the arguments; [`Command::from_arguments`] makes of them what the program is to do.
//! rbldnsd's options are not clap's kind (grouped, values attached): `crate::rbldnsd` reads them.

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::access_command::AccessCommand;
use crate::client::lookup::{self, LookupArgs};
use crate::client::relay::{self, RelayArgs};
use crate::config::delegation::{self, Undelegated};
use crate::config::file::ConfigError;
use crate::config::spec::{self, SpecError, ZoneSpec};
use crate::config::{Config, Control, ZoneConfig, address, duration, file, plans};
use crate::dnssec::validity::Validity;
use crate::export_command::{self, Format, SigningOrder};
use crate::key_command::{self, KeyArgs};
use crate::name::Name;
use crate::rbldnsd;
use crate::zone::EmptyNonTerminals;

/// What the program is to do.
#[derive(Debug)]
pub enum Command {
    /// Serve zones.
    Serve(Box<Config>),
    /// Serve zones as rbldnsd does.
    Rbldnsd(Box<rbldnsd::Options>),
    /// Load everything and say what is wrong with it.
    Check {
        /// What to load.
        config: Box<Config>,
        /// Warnings make the exit code 1.
        strict: bool,
    },
    /// Write a zone for other software.
    Export {
        /// What to load.
        config: Box<Config>,
        /// What to write.
        order: export_command::Order,
    },
    /// Tell the running server to look at its files.
    Reload {
        /// The control socket.
        control: PathBuf,
        /// The zones; all where none is named.
        zones: Vec<Name>,
        /// Take what a guard refused.
        force: bool,
    },
    /// Ask the running server how its zones are.
    Status {
        /// The control socket.
        control: PathBuf,
        /// Print the reply as it came.
        json: bool,
        /// Ask again and again, after this time.
        watch: Option<Duration>,
    },
    /// Ask lists what they say of addresses and names.
    Lookup(LookupArgs),
    /// Make, show and replace the keys of signed zones.
    Key(KeyArgs),
    /// Answer ordinary queries out of range records.
    Relay(RelayArgs),
    /// Make access keys, or their digests.
    Access(AccessCommand),
    /// Ask the running server what the accounts of access rules have asked.
    Usage {
        /// The control socket.
        control: PathBuf,
        /// Of so many accounts.
        limit: usize,
        /// Print the reply as it came.
        json: bool,
    },
    /// Write the man pages.
    Man {
        /// The command line's description of itself.
        described: Box<clap::Command>,
        /// Where to.
        directory: PathBuf,
    },
    /// Print a shell's completions.
    Completions {
        /// The command line's description of itself.
        described: Box<clap::Command>,
        /// For this shell.
        shell: Shell,
    },
}

/// Why the command line leads to no [`Command`].
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// clap's own words: errors of usage, but also `--help` and `--version`.
    #[error("{0}")]
    Usage(#[from] clap::Error),
    /// rbldnsd's options.
    #[error("rbldnsd: {0}")]
    Rbldnsd(#[from] rbldnsd::UsageError),
    /// The configuration file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The configuration file is wrong.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// A zone specification is wrong.
    #[error("{0}")]
    Spec(#[from] SpecError),
    /// A zone lies inside a signed one, which does not know.
    #[error("{0}")]
    Undelegated(#[from] Undelegated),
    /// A zone is the same for all, and access rules make it differ.
    #[error("{0}")]
    Contradiction(#[from] plans::Contradiction),
}

/// The configuration that is served where the command line names nothing.
const EXAMPLE: &str = "zones/nibbl.toml";

/// A configuration file of more octets is refused.
const MAX_CONFIG_OCTETS: u64 = 16 << 20;

#[derive(Parser)]
#[command(name = "nibbl", version, about, max_term_width = 100, arg_required_else_help = true)]
struct Raw {
    #[command(subcommand)]
    command: RawCommand,
}

#[derive(Subcommand)]
enum RawCommand {
    /// Serve zones over UDP, TCP, TLS and QUIC
    #[command(after_help = SERVE_HELP)]
    Serve {
        #[command(flatten)]
        source: Source,
        /// Whom root becomes once the sockets are open
        #[arg(long, value_name = "USER[:GROUP]", value_parser = user)]
        user: Option<(String, Option<String>)>,
        /// Do not confine the process to its files and system calls (Landlock, seccomp)
        #[arg(long)]
        no_confine: bool,
    },
    /// Serve zones in the place of rbldnsd, with its command line
    #[command(after_help = rbldnsd::HELP, disable_help_flag = true)]
    Rbldnsd {
        /// rbldnsd's options, and zones as ZONE:TYPE:FILE[,FILE…]
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS ZONES")]
        arguments: Vec<OsString>,
    },
    /// Load all zones, print what is wrong or strange in their files, and a summary
    #[command(after_help = CHECK_HELP)]
    Check {
        #[command(flatten)]
        source: Source,
        /// Warnings make the exit code 1
        #[arg(long)]
        strict: bool,
    },
    /// Write a zone for other software: a standard zone file, nftables sets and others
    #[command(after_help = EXPORT_HELP)]
    Export {
        #[command(flatten)]
        source: Source,
        /// What to write
        #[arg(long, value_enum)]
        format: Format,
        /// The zone, where there are several
        #[arg(long, value_name = "NAME", value_parser = zone_name)]
        zone: Option<Name>,
        /// What names have that exist only because others below them do: a marker record lets a
        /// signer give them an NSEC record of their own (format zone; by default what the configuration
        /// says with --signed, else plain)
        #[arg(long, value_enum, value_name = "WHAT")]
        empty_non_terminals: Option<EmptyNonTerminals>,
        /// Sign the zone (format zone)
        #[arg(long)]
        signed: bool,
        /// The directory of the zone's keys, in place of the configured one
        #[arg(long, value_name = "DIR", requires = "signed")]
        keys: Option<PathBuf>,
        /// How long the signatures are valid (a quarter of it may be over already), in place of what the
        /// configuration says; 14d by default
        #[arg(long, value_name = "TIME", value_parser = validity, requires = "signed")]
        signature_validity: Option<Validity>,
        /// Where to; for rbldnsd a directory; to standard output without it
        #[arg(long, value_name = "PATH")]
        output: Option<PathBuf>,
    },
    /// Make, show and replace the keys of signed zones
    #[command(after_help = key_command::HELP)]
    Key(KeyArgs),
    /// Make access keys, and show what they have asked
    Access {
        #[command(subcommand)]
        command: RawAccess,
    },
    /// Tell the running server to look at its data files now
    #[command(after_help = RELOAD_HELP)]
    Reload {
        /// Take data that changed by more than the configured percentage
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        socket: Socket,
        /// These zones only
        #[arg(value_name = "ZONE", value_parser = zone_name)]
        zones: Vec<Name>,
    },
    /// Show how the running server is: its zones, their age, queries, and what is wrong
    #[command(after_help = STATUS_HELP)]
    Status {
        /// Print the server's reply, one line of JSON
        #[arg(long, conflicts_with = "watch")]
        json: bool,
        /// Show it again every so many seconds, queries as rates
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1",
              value_parser = clap::value_parser!(u32).range(1..))]
        watch: Option<u32>,
        #[command(flatten)]
        socket: Socket,
    },
    /// Ask lists what they say of addresses and names
    #[command(after_help = lookup::HELP)]
    Lookup(LookupArgs),
    /// Answer the ordinary queries of mail software out of range records
    #[command(after_help = relay::HELP)]
    Relay(RelayArgs),
    /// Write the man pages of all sub-commands and of nibbl.toml into a directory
    #[command(after_help = MAN_HELP)]
    Man {
        /// An existing directory
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Print what a shell needs to complete nibbl's arguments
    #[command(after_help = COMPLETIONS_HELP)]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
}

#[derive(Subcommand)]
enum RawAccess {
    #[command(flatten)]
    Own(AccessCommand),
    /// Show what keys and clients have asked of the running server, the busiest of the month first
    #[command(after_help = USAGE_HELP)]
    Usage {
        /// Of so many accounts
        #[arg(long, value_name = "COUNT", default_value = "100")]
        limit: usize,
        /// Print the server's reply, one line of JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        socket: Socket,
    },
}

/// What `serve` serves and `check` checks.
#[derive(Args)]
struct Source {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Serve this address over UDP and TCP, in place of the configured ones; may be repeated
    #[arg(long, value_name = "ADDR:PORT", value_parser = listen)]
    listen: Vec<SocketAddr>,
    /// Where data files with relative names are
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The control socket
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    /// Serve range records of all zones (which let anyone read the whole list)
    #[arg(long)]
    ranges: bool,
    /// Zones to serve, besides those of the configuration file
    #[arg(value_name = "ZONE:TYPE:FILE[,FILE…]", value_parser = zone_spec)]
    zones: Vec<ZoneSpec>,
}

#[derive(Args)]
struct Socket {
    /// The server's control socket
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
}

const SERVE_HELP: &str = "\
Without --config and zones, the example zones of ./zones/nibbl.toml are served on 127.0.0.1 and
[::1], port 5353. SIGHUP looks at all data files, SIGINT and SIGTERM stop the server.

Example:
  nibbl serve --listen 127.0.0.1:5353 --dir /var/lib/nibbl bl.example:ip6trie:prefixes,exceptions

Exit codes: 0 stopped by a signal, 1 could not start or go on, 2 wrong arguments or configuration.";

const CHECK_HELP: &str = "\
Findings are printed as path:line:column: message, then a summary of each dataset.

Example:
  nibbl check --strict bl.example:ip6trie:prefixes

Exit codes: 0 clean (or warnings without --strict), 1 warnings with --strict, 2 errors.";

const EXPORT_HELP: &str = "\
Findings about the data go to standard error. A file appears under its name when it is complete.

Example:
  nibbl export bl.example:ip6trie:prefixes --format zone --output bl.example.zone

Exit codes: 0 written, 1 written, but lines of the data are wrong and were skipped, 2 not written.";

const RELOAD_HELP: &str = "\
A file is read again when it changed; what failed is tried again. --force is for reloads that were
refused because too many entries changed at once.

Example:
  nibbl reload --force bl.example

Exit codes: 0 all zones are up to date, 1 a zone keeps its old data (or has none), 2 no answer, or the
server has no such zone.";

const STATUS_HELP: &str = "\
Example:
  nibbl status --watch

Exit codes: 0 all zones are served, 1 a zone is not, or keeps old data, 2 no answer.";

const USAGE_HELP: &str = "\
A key is shown as the first 12 digits of its SHA-256 digest: printf %s KEY | sha256sum (KEY in lower case).

Example:
  nibbl access usage --limit 10

Exit codes: 0 shown, 2 no answer.";

const MAN_HELP: &str = "\
The number at the end of a page's name is its section: *.1 belong into man1, nibbl.toml.5 into man5.

Example:
  mkdir pages && nibbl man pages

Exit codes: 0 written, 1 not written, 2 wrong arguments.";

const COMPLETIONS_HELP: &str = "\
Example:
  nibbl completions bash > /usr/local/share/bash-completion/completions/nibbl

Exit codes: 0 printed, 1 not printed, 2 wrong arguments.";

impl Command {
    /// Reads the arguments (the program's name first) and the configuration file they name.
    /// `default_control` is where the control socket is when nothing is said.
    ///
    /// # Errors
    /// See [`CliError`]; `--help` and `--version` are among them.
    pub fn from_arguments(
        arguments: impl IntoIterator<Item = OsString>,
        default_control: &Path,
    ) -> Result<Self, CliError> {
        let control = |socket: Socket| socket.control.unwrap_or_else(|| default_control.to_owned());
        Ok(match Raw::try_parse_from(arguments)?.command {
            RawCommand::Serve { source, user, no_confine } => {
                let mut config = source.config()?;
                config.process.user = user.or(config.process.user);
                config.process.confine &= !no_confine;
                Self::Serve(Box::new(config))
            }
            RawCommand::Rbldnsd { arguments } => match rbldnsd::parse(arguments)? {
                rbldnsd::Request::Help => {
                    let help = ["nibbl", "help", "rbldnsd"].map(OsString::from);
                    return Self::from_arguments(help, default_control);
                }
                rbldnsd::Request::Run(options) => Self::Rbldnsd(options),
            },
            RawCommand::Check { source, strict } => {
                Self::Check { config: Box::new(source.config()?), strict }
            }
            RawCommand::Export {
                source,
                format,
                zone,
                empty_non_terminals,
                signed,
                keys,
                signature_validity: validity,
                output,
            } => {
                let signing = signed.then_some(SigningOrder { keys, validity });
                Self::Export {
                    config: Box::new(source.config()?),
                    order: export_command::Order { zone, format, empty_non_terminals, signing, output },
                }
            }
            RawCommand::Reload { force, socket, zones } => {
                Self::Reload { control: control(socket), zones, force }
            }
            RawCommand::Lookup(arguments) => Self::Lookup(arguments),
            RawCommand::Key(arguments) => Self::Key(arguments),
            RawCommand::Relay(arguments) => Self::Relay(arguments),
            RawCommand::Access { command: RawAccess::Own(command) } => Self::Access(command),
            RawCommand::Access { command: RawAccess::Usage { limit, json, socket } } => {
                Self::Usage { control: control(socket), limit, json }
            }
            RawCommand::Man { directory } => Self::Man { described: Box::new(Raw::command()), directory },
            RawCommand::Completions { shell } => {
                Self::Completions { described: Box::new(Raw::command()), shell }
            }
            RawCommand::Status { json, watch, socket } => Self::Status {
                control: control(socket),
                json,
                watch: watch.map(|seconds| Duration::from_secs(seconds.into())),
            },
        })
    }
}

impl Source {
    fn config(self) -> Result<Config, CliError> {
        let path = match self.config {
            None if self.zones.is_empty() => Some(PathBuf::from(EXAMPLE)),
            path => path,
        };
        let mut config = match path {
            Some(path) => file::parse(&read(&path)?, &path, self.dir.as_deref())?,
            None => Config::default(),
        };
        let dir = self.dir.unwrap_or_default();
        for spec in self.zones {
            config.add(spec, &dir, &ZoneConfig::new)?;
        }
        delegation::check_nested(&config.zones)?;
        if !self.listen.is_empty() {
            config.listen = self.listen;
        }
        if self.ranges {
            config.zones.iter_mut().for_each(|zone| zone.ranges = true);
        }
        plans::check_zones(&config.plans, &config.zones)?;
        if let Some(path) = self.control {
            config.control = Control::Path(path);
        }
        Ok(config)
    }
}

fn read(path: &Path) -> Result<String, CliError> {
    let unreadable = |source| CliError::Unreadable { path: path.to_owned(), source };
    let mut text = String::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_CONFIG_OCTETS + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_CONFIG_OCTETS {
        return Err(unreadable(io::Error::new(io::ErrorKind::FileTooLarge, "more than 16 MiB")));
    }
    Ok(text)
}

/// `USER` or `USER:GROUP`.
fn user(text: &str) -> Result<(String, Option<String>), &'static str> {
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    match user.is_empty() || group.is_some_and(str::is_empty) {
        true => Err("a user, or a user and a group"),
        false => Ok((user.to_owned(), group.map(str::to_owned))),
    }
}

fn listen(text: &str) -> Result<SocketAddr, address::BadAddress> {
    address::parse(text, 53)
}

fn zone_spec(text: &str) -> Result<ZoneSpec, spec::SpecFault> {
    spec::zone_spec(text).map_err(|error| error.fault)
}

/// A time of `seconds`, within the bounds of [`Validity`].
fn validity(text: &str) -> Result<Validity, BadValidity> {
    duration::seconds(text).ok().and_then(Validity::new).ok_or(BadValidity)
}

#[derive(Debug, thiserror::Error)]
#[error("not a time between 1d and 366d")]
struct BadValidity;

fn zone_name(text: &str) -> Result<Name, spec::SpecFault> {
    spec::zone_name(text)
}
