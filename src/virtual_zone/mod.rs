//! The virtual zone: name for name, a standard zone that says what a nibbl zone says.
//!
//! nibbl looks addresses up; other servers know names and wildcards (RFC 4592). This module writes
//! the one as the other, in canonical order (RFC 4034, section 6.1) and without holding more than
//! one path of the tree: `export` prints it, and NSEC records are the gaps in it.
//!
//! - A listed prefix is cut at nibbles (IPv6) or octets (IPv4). A block of k labels is the wildcard
//!   `*.<k labels>`, a complete key is its own name.
//! - A wildcard ends at every name that exists (the closest encloser of what is asked is then another
//!   one), so every existing name carries the wildcard of its own state. That state is free to
//!   choose; `address_tree` takes the one that needs the fewest names.
//! - An exception is a name that exists without A and TXT: where nothing else makes it exist, it has a
//!   marker, an RP record that is always the same ([`MARKER_TYPE`]). Empty non-terminals get it too, if that
//!   is asked for ([`EmptyNonTerminals`]).
//! - In domain lists a name that exists is a complete key as well: it carries the data itself, too.
//! - `$` in a text becomes the prefix of the block.
//!
//! Every complete key (four octets, 32 nibbles, any name in a domain list) gets the verdict that
//! [`Zone::lookup`](crate::zone::Zone::lookup) gives. Names that are none, like `x.3.2.1` below a listed
//! 1.2.3.0/24, may be answered by a wildcard; so may octets with leading zeros.
//!
//! Where another zone begins inside this one (a zone cut) stand its NS and DS records, and below nothing.
//! Range records are names of their own: where a zone has them, the blocks that can be reached stand under
//! `_ranges`, and nothing else does.
//!
//! ```text
//! address_tree, domain_names, range_blocks, range_values, records: nodes, each kind right by itself
//!     └─▶ sources: where in the zone they stand
//!           ├─▶ merge: one name after the other, each with all that the sources say of it
//!           └─▶ find: one name, and its neighbours
//! ```

mod address_tree;
mod domain_names;
mod find;
mod merge;
mod nodes;
mod range_blocks;
mod range_values;
mod records;
mod sources;
#[cfg(test)]
pub(crate) mod tests;

pub use find::{Gap, Match};
pub use merge::Names;

use std::borrow::Cow;
use std::rc::Rc;

use smallvec::smallvec;

use crate::name::Name;
use crate::zone::{EmptyNonTerminals, Found, RecordSet, RecordSets, Zone};
use range_blocks::Limit;
use sources::Source;

/// The type of the record at a name that exists only so that no wildcard reaches it: RP, which
/// nobody asks for.
pub const MARKER_TYPE: u16 = 17;
/// Its rdata: no mailbox and no text (RFC 1183, section 2.2).
pub const MARKER_RDATA: [u8; 2] = [0, 0];

const CNAME: u16 = 5;
const ANY: u16 = 255;
/// A wildcard label as it stands in a key.
const ASTERISK: &[u8] = b"*\0";

/// A zone as a standard zone.
pub struct VirtualZone<'z> {
    zone: &'z Zone,
    empty_non_terminals: EmptyNonTerminals,
    sources: Vec<Source<'z>>,
    limit: Rc<Limit<'z>>,
}

/// A name that owns records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualName<'z> {
    /// The canonical key (see [`Name::key`]) of the part left of the apex. A label `*` is a wildcard.
    pub key: Vec<u8>,
    /// What it owns; never empty.
    pub records: RecordSets<'z>,
}

/// Why a zone cannot be written as a standard zone. The names are those left of the apex.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// A label `*` stands for itself: in a standard zone it would be a wildcard.
    #[error("{0}: standard servers would take the label `*` for a wildcard: the zone cannot be written")]
    LiteralAsterisk(Name),
    /// Beside a CNAME record stands another record (RFC 1034, section 3.6.2).
    #[error("{0}: a CNAME and other records: standard servers refuse the zone")]
    CnameAndOther(Name),
}

impl<'z> VirtualZone<'z> {
    /// The virtual zone of a zone, made as quickly as an answer. The zone is one that [`Self::check`] takes.
    pub fn new(zone: &'z Zone, empty_non_terminals: EmptyNonTerminals) -> Self {
        Self::with_limit(zone, empty_non_terminals, |_| true)
    }

    /// As [`Self::new`]. Before a block of range records is made that is not in memory, `may` is asked whether
    /// there is time to make one of that many octets at most; if not, [`Self::lacks_blocks`].
    pub fn with_limit(
        zone: &'z Zone,
        empty_non_terminals: EmptyNonTerminals,
        may: impl Fn(usize) -> bool + 'z,
    ) -> Self {
        let limit = Rc::new(Limit::new(may));
        Self { zone, empty_non_terminals, sources: sources::of(zone, &limit), limit }
    }

    /// True once a block was needed that was not to be made: what was found since is not to be believed.
    pub fn lacks_blocks(&self) -> bool {
        self.limit.is_exceeded()
    }

    /// Looks at all names of the data once.
    ///
    /// # Errors
    /// See [`Unwritable`].
    pub fn check(zone: &Zone) -> Result<(), Unwritable> {
        Self::check_labels(zone)?;
        let whole = VirtualZone::new(zone, EmptyNonTerminals::Plain);
        let has_other = |key: &Vec<u8>| match whole.find(key) {
            Match::Name { records } => is_crowded(&records),
            _ => false,
        };
        match sources::aliases_of(zone).find(has_other) {
            Some(key) => Err(Unwritable::CnameAndOther(name_of(&key))),
            None => Ok(()),
        }
    }

    /// As [`Self::check`], but looks at the names alone and not at what they own: enough for
    /// [`Self::range_names`].
    ///
    /// # Errors
    /// A name has a label that is a literal `*`.
    pub fn check_labels(zone: &Zone) -> Result<(), Unwritable> {
        match sources::names_of(zone).find(|key| has_asterisk(key)) {
            Some(key) => Err(Unwritable::LiteralAsterisk(name_of(&key))),
            None => Ok(()),
        }
    }

    /// The zone cuts at or below which the data has names too: the zone that begins there is asked for them.
    pub fn cuts_in_data(zone: &Zone) -> impl Iterator<Item = Name> {
        sources::cuts_in_data(zone).map(name_of)
    }

    /// All names that own records, in canonical order; the first is the apex.
    pub fn names(&self) -> Names<'z> {
        Names::new(self.zone, sources::of(self.zone, &self.limit), self.empty_non_terminals)
    }

    /// The apex, the range records, and the names at which their readers ask for more.
    pub fn range_names(&self) -> Names<'z> {
        Names::new(self.zone, sources::of_ranges(self.zone), EmptyNonTerminals::Plain)
    }
}

impl VirtualName<'_> {
    /// The labels left of the apex, left to right, in lower case.
    pub fn labels(&self) -> Vec<Vec<u8>> {
        labels_of(&self.key)
    }
}

/// A name that a source makes exist, and what the source says there.
#[derive(Clone, Debug)]
struct Node<'z> {
    /// The canonical key.
    key: Vec<u8>,
    /// What it says of the name itself.
    own: Found<'z>,
    /// What it says of the names below, those apart that have another existing name above them.
    below: Found<'z>,
}

/// The labels of a canonical key, left to right.
pub(crate) fn labels_of(key: &[u8]) -> Vec<Vec<u8>> {
    let mut labels: Vec<_> = key.split_inclusive(|&octet| octet == 0).map(unescaped).collect();
    labels.reverse();
    labels
}

/// One label of a canonical key, its final 0 included, as it is on the wire.
fn unescaped(label: &[u8]) -> Vec<u8> {
    let mut octets = label.iter().copied().take_while(|&octet| octet != 0);
    let mut wire = Vec::with_capacity(label.len());
    while let Some(octet) = octets.next() {
        wire.push(if octet == 1 { octets.next().map_or(1, |escaped| escaped - 1) } else { octet });
    }
    wire
}

/// How many octets of a key, in whole labels, another has in common with it.
fn common(key: &[u8], other: &[u8]) -> usize {
    let same = key.iter().zip(other).take_while(|(a, b)| a == b).count();
    key[..same].iter().rposition(|&octet| octet == 0).map_or(0, |end| end + 1)
}

/// How many octets the labels of a key have on the wire, the root label left out.
fn wire_length(key: &[u8]) -> usize {
    let mut octets = key.iter();
    let mut length = 0;
    while let Some(&octet) = octets.next() {
        if octet == 1 {
            // An octet 0 or 1, for which two stand.
            octets.next();
        }
        length += 1;
    }
    length
}

/// True if a name with this key, and `more` octets, can be asked for in the zone.
fn fits(zone: &Zone, key: &[u8], more: usize) -> bool {
    wire_length(key) + more + zone.name().wire().len() <= Name::MAX_OCTETS
}

/// The record at a name that would own nothing.
fn marker<'z>(zone: &Zone) -> RecordSet<'z> {
    let rdata = smallvec![Cow::Borrowed(&MARKER_RDATA[..])];
    RecordSet { record_type: MARKER_TYPE, ttl: zone.options().default_ttl, rdata }
}

/// True if a CNAME record is not alone.
fn is_crowded(records: &RecordSets<'_>) -> bool {
    let alias = records.iter().find(|set| set.record_type == CNAME);
    alias.is_some_and(|alias| records.len() > 1 || alias.rdata.len() > 1)
}

fn has_asterisk(key: &[u8]) -> bool {
    key.split(|&octet| octet == 0).any(|label| label == b"*")
}

fn name_of(key: &[u8]) -> Name {
    let text: Vec<u8> = labels_of(key)
        .iter()
        .flat_map(|label| label.iter().flat_map(|octet| format!("\\{octet:03}").into_bytes()).chain([b'.']))
        .collect();
    Name::from_text(&text).unwrap_or_else(|_| Name::root())
}
