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
// zone file -> entries (pure)
pub mod name_table;
pub mod prefix_table;
pub mod value;
pub mod zone_file;
// entries -> zone (pure)
pub mod dataset;
pub mod range_record;
pub mod zone;
// zone -> text for other software (pure)
pub mod export;
pub mod virtual_zone;
// zone -> snapshot
pub mod allowance;
pub mod snapshot;
// query -> answer (pure)
pub mod answer;
pub mod query;
pub mod wire;
// the network rim
pub mod log;
pub mod metrics;
pub mod server;
// arguments and nibbl.toml -> checked options
pub mod config;
// files that changed -> the next snapshot
pub mod reload;
pub mod watch;
// talking to the running server
pub mod control;
// the other end
pub mod client;
// the program: its arguments, and what each sub-command does
pub mod check;
pub mod cli;
pub mod export_command;
pub mod privileges;
pub mod progress;
pub mod rbldnsd;
pub mod serve;
