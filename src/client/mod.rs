//! The other end: lookups through range records, for programs, for people (`nibbl lookup`) and for
//! mail software that knows nothing of them (`nibbl relay`).
//!
//! ```text
//! address ─▶ Ranges ─ drives a Walk ─▶ Answers ─ keeps, coalesces ─▶ Resolver ─ UDP, TCP ─▶ server
//!              └─▶ Lookup: listed or not, codes, texts, range, cost
//! ```
//!
//! The format's rules are those of [`crate::range_record`]; here are sockets, clocks and memory. A
//! lookup says [`Listing::Unknown`] rather than guess.
//!
//! ```no_run
//! use nibbl::client::{Answers, Limits, Listing, Name, Ranges, Resolver};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let resolver = Resolver::from_file("/etc/resolv.conf".as_ref())?;
//! let answers = Answers::new(Box::new(resolver), Limits::default());
//! let zone = Ranges::new(Name::from_ascii("bl.example.")?, answers);
//! let lookup = zone.lookup("2001:db8::1".parse()?, true).await;
//! if let Listing::Listed(said) = &lookup.listing {
//!     println!("listed: {said:?}, after {} questions", lookup.questions_asked());
//! }
//! # Ok(())
//! # }
//! ```

mod answers;
pub mod lookup;
pub mod message;
mod ranges;
pub mod relay;
mod resolver;
mod upstream;

#[cfg(test)]
mod tests;

pub use answers::{Answers, Asked, Limits, Patience, Source};
pub use hickory_proto::op::ResponseCode;
pub use hickory_proto::rr::{Name, RecordType};
pub use ranges::{Covered, Listing, Lookup, Ranges, Said};
pub use resolver::Resolver;
pub use upstream::{Failure, Question, Reply, Upstream};
