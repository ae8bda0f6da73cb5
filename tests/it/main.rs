//! The integration tests: the real binary on ports of the kernel's choice, asked over real sockets, and
//! the programs that it lives with (rbldnsd, resolvers, mail software) beside it. Where one of those is
//! missing, its tests print why they are skipped; with NIBBL_REQUIRE_PEERS=1, as in `.ci/run`, they fail.

mod harness;

mod abuse;
mod access;
mod activation;
mod answers;
mod book;
mod commands;
mod confinement;
mod conformance;
mod encrypted;
mod export;
mod logs;
mod lookup;
mod mail;
mod manual;
mod monitor;
mod oracle;
mod quick_start;
mod real_data;
mod relay;
mod reload;
mod resolvers;
mod service;
mod signed;
mod transports;
