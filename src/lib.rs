//! nibbl: an authoritative DNS server for blocklists and allowlists whose listings are IPv6
//! prefixes with exceptions (DNSBL, DNSWL; RFC 5782).
//!
//! The modules, in the order in which data flows. A module imports only from those above it.
//! Everything left of the sockets is pure: text or bytes in, values out.
//!
//! ```text
//! zone file ──parse──▶ entries + diagnostics ──compile──▶ Zone (tables, values, apex)
//!                                                           │
//!                                 all zones ──publish──▶ Snapshot (one ArcSwap, replaced whole)
//!                                                           │
//! packet ──read──▶ Query ──respond(&Snapshot, …)──▶ records ──write──▶ packet
//! ```

// The rim: files.
pub mod data_file;
// Words that every module shares.
pub mod address;
pub mod name;
// RRsets -> signatures (pure)
pub mod dnssec;
// entries -> compiled lists (pure)
pub mod prefix_table;
// (its states are the same)
pub mod name_table;
// zone file -> entries (pure)
pub mod value;
pub mod zone_file;
// entries -> zone (pure)
pub mod dataset;
pub mod range_record;
pub mod zone;
// zone -> a standard zone, name for name (pure)
pub mod virtual_zone;
// zone -> text for other software (pure)
pub mod export;
// who may ask how much (pure)
pub mod access;
// zone -> snapshot
pub mod allowance;
pub mod cookie;
pub mod snapshot;
// packet <-> values
pub mod wire;
// packet -> query
pub mod query;
// query -> answer (pure)
pub mod answer;
// answers -> those too many (pure)
pub mod rate_limit;
// plain queries -> answers, a batch at a time (pure)
pub mod fast;
// the network rim
pub mod bookkeeping;
pub mod log;
pub mod metrics;
pub mod query_log;
pub mod server;
// arguments and nibbl.toml -> checked options
pub mod config;
// files that changed -> the next snapshot
pub mod reload;
pub mod watch;
// what an operator sees
pub mod status;
// (over HTTP)
pub mod monitor;
// talking to the running server
pub mod control;
// the other end
pub mod client;
// the program: what each sub-command does
pub mod confinement;
pub mod privileges;
pub mod progress;
// (text to text)
pub mod access_command;
// (both load)
pub mod check;
pub mod export_command;
pub mod key_command;
pub mod serve;
// (as is said of it outside)
pub mod manual;
// arguments -> what is to be done
pub mod rbldnsd;
// (which takes rbldnsd's for one of its own)
pub mod cli;
