//! What the tests share: programs under test, a DNS client that shares no code with the server, and
//! directories of data files.

pub(crate) mod authorities;
pub(crate) mod client;
pub(crate) mod dns;
pub(crate) mod files;
pub(crate) mod http;
pub(crate) mod process;
pub(crate) mod random;
pub(crate) mod server;
