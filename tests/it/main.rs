//! The integration tests: the real binary on ports of the kernel's choice, asked over real sockets, and
//! the programs that it lives with (rbldnsd, resolvers, mail software) beside it. Where one of those is
//! missing, its tests print why they are skipped; with NIBBL_REQUIRE_PEERS=1, as in `.ci/run`, they fail.

mod harness;

mod access;
mod answers;
mod book;
mod commands;
mod confinement;
mod conformance;
mod export;
mod logs;
mod lookup;
mod manual;
mod monitor;
mod oracle;
mod quick_start;
mod real_data;
mod relay;
mod reload;
mod resolvers;
mod signed;
mod transports;
