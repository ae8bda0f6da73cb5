//! What the fast path knows of a snapshot: a [`Plan`] of each zone that is simple enough, in the
//! order in which they are searched.
//!
//! A zone is simple where the answer to a complete address follows from its address tables alone. Not
//! so with domain lists, combined datasets, records at names like an address, or a zone nested below
//! a label like one; nor at the root, whose name has no place that a pointer could lead to.

use std::sync::Arc;

use super::Buffer;
use super::question::end_of_name;
use super::tail::Tail;
use crate::access::By;
use crate::access::key_table::SHORTEST_KEY;
use crate::address;
use crate::dataset::{AddressList, Data, Dataset, TEST_V4};
use crate::name::{Name, labels};
use crate::prefix_table::{Address, PrefixTable};
use crate::snapshot::Snapshot;
use crate::wire::HEADER_OCTETS;
use crate::zone::{Family, Signing, Status, Zone};

/// The zones of a snapshot that are simple enough.
#[derive(Debug)]
pub(super) struct Zones {
    /// In order of the lengths of their names, then of their names.
    plans: Box<[Plan]>,
    /// Where in `plans` the names of a length begin, by that length, and where the longest end.
    by_length: Box<[u32; LENGTHS + 1]>,
    any_signed: bool,
    any_judged: bool,
    any_keyed: bool,
}

/// One more than the longest name.
const LENGTHS: usize = 256;

/// The name of a zone, as names in packets are compared with it.
#[derive(Debug)]
struct Apex {
    /// In wire form and in lower case.
    octets: Box<[u8]>,
    /// The same in pieces: the first, which most names fit into, and the others.
    first: ApexPiece,
    others: Box<[ApexPiece]>,
}

/// A piece of a name: as much as most names have.
#[derive(Clone, Copy, Debug)]
struct ApexPiece {
    octets: [u8; PIECE_OCTETS],
    /// The bits that matter: in letters all but that of the letter case, behind the name none.
    matters: [u8; PIECE_OCTETS],
}

const PIECE_OCTETS: usize = 32;

/// How the plain questions of a zone are answered.
#[derive(Debug)]
pub(super) struct Plan {
    /// The place of the zone in the snapshot.
    pub(super) index: u32,
    apex: Apex,
    pub(super) zone: Arc<Zone>,
    /// It is signed: replies are found, not made.
    pub(super) signed: bool,
    /// No access list looks at its clients.
    pub(super) open: bool,
    /// By what access rules judge its questions.
    pub(super) judged: By,
    /// What follows the answer section of a negative answer: the SOA.
    pub(super) negative: Tail,
    /// What follows the answer section of a positive one: nothing, or NS and glue.
    pub(super) positive: Tail,
    /// The datasets with IPv4 prefixes.
    v4: Box<[Arc<Dataset>]>,
    /// The datasets with IPv6 prefixes.
    v6: Box<[Arc<Dataset>]>,
}

impl Zones {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        let names: Vec<Box<[u8]>> =
            snapshot.zones().iter().map(|zone| zone.name().lowercase_wire()).collect();
        let mut plans: Box<[Plan]> =
            (0..names.len()).filter_map(|place| Plan::new(snapshot, place, &names)).collect();
        plans.sort_by(|one, other| one.apex.order().cmp(&other.apex.order()));
        let by_length = std::array::from_fn(|length| {
            plans.partition_point(|plan| plan.apex.octets.len() < length) as u32
        });
        let any_signed = plans.iter().any(|plan| plan.signed);
        let any_judged = plans.iter().any(|plan| plan.judged != By::Nothing);
        let any_keyed = plans.iter().any(|plan| plan.judged == By::Key);
        Self { plans, by_length: Box::new(by_length), any_signed, any_judged, any_keyed }
    }

    /// The plan of any zone.
    pub(super) fn first(&self) -> Option<&Plan> {
        self.plans.first()
    }

    /// True if one of the zones is signed.
    pub(super) fn any_signed(&self) -> bool {
        self.any_signed
    }

    /// True if access rules concern one of the zones.
    #[inline(always)]
    pub(super) fn any_judged(&self) -> bool {
        self.any_judged
    }

    /// The plan of the zone whose name, in any letter case, is at a place of a buffer, or there behind a
    /// key; where its name begins, and where it ends. `last` is the plan found last: questions for one zone
    /// often follow each other.
    #[inline(always)]
    pub(super) fn find<'z>(
        &'z self,
        buffer: &Buffer,
        at: usize,
        last: &mut Option<&'z Plan>,
    ) -> Option<(&'z Plan, usize, usize)> {
        let (plan, at) = match *last {
            Some(plan) if plan.apex.is_at(buffer, at) && plan.judged != By::Key => (plan, at),
            _ => self.search(buffer, at, *last)?,
        };
        *last = Some(plan);
        let end = at + plan.apex.octets.len();
        (end <= HEADER_OCTETS + Name::MAX_OCTETS).then_some((plan, at, end))
    }

    /// As [`Self::find`], without its last step. Where names have keys, there must be one.
    #[inline(never)]
    fn search<'z>(&'z self, buffer: &Buffer, at: usize, last: Option<&'z Plan>) -> Option<(&'z Plan, usize)> {
        let behind = at + 1 + usize::from(*buffer.get(at)?);
        let has_key = self.any_keyed && (at + 1 + SHORTEST_KEY..=at + 64).contains(&behind);
        let keyed = |plan: &&Plan| plan.judged == By::Key;
        if has_key && let Some(last) = last.filter(|last| keyed(last) && last.apex.is_at(buffer, behind)) {
            return Some((last, behind));
        }
        if let Some(plan) = self.named(buffer, at) {
            return Some((plan, at)).filter(|_| !keyed(&plan));
        }
        Some((self.named(buffer, behind).filter(keyed).filter(|_| has_key)?, behind))
    }

    /// The plan of the zone whose name is at a place of a buffer.
    fn named(&self, buffer: &Buffer, at: usize) -> Option<&Plan> {
        let name = &buffer[at..end_of_name(buffer, at)?];
        let [start, end] = *self.by_length.get(name.len()..)?.first_chunk()?;
        let candidates = &self.plans[start as usize..end as usize];
        let lowercase = || name.iter().map(u8::to_ascii_lowercase);
        let found =
            candidates.binary_search_by(|plan| plan.apex.octets.iter().copied().cmp(lowercase())).ok()?;
        Some(&candidates[found])
    }
}

impl Apex {
    fn new(octets: Box<[u8]>) -> Self {
        let pieces = octets.chunks(PIECE_OCTETS).map(|octets| {
            let mut piece = ApexPiece { octets: [0; _], matters: [0; _] };
            piece.octets[..octets.len()].copy_from_slice(octets);
            for (octet, matters) in octets.iter().zip(&mut piece.matters) {
                *matters = if octet.is_ascii_lowercase() { !0x20 } else { 0xff };
            }
            piece
        });
        let mut pieces = pieces.fuse();
        let nothing = ApexPiece { octets: [0; _], matters: [0; _] };
        Self { first: pieces.next().unwrap_or(nothing), others: pieces.collect(), octets }
    }

    fn order(&self) -> (usize, &[u8]) {
        (self.octets.len(), &self.octets)
    }

    /// True if a buffer holds this name at a place, in any letter case.
    #[inline(always)]
    fn is_at(&self, buffer: &Buffer, at: usize) -> bool {
        let Some((first, rest)) = buffer[at..].split_first_chunk() else { return false };
        self.first.is(first) && (self.others.is_empty() || self.goes_on(rest))
    }

    /// True if this is the rest of the name.
    #[inline(never)]
    fn goes_on(&self, rest: &[u8]) -> bool {
        let (octets, _) = rest.as_chunks();
        self.others.len() <= octets.len()
            && self.others.iter().zip(octets).all(|(piece, octets)| piece.is(octets))
    }
}

impl ApexPiece {
    /// True if these octets are this piece in any letter case.
    #[inline(always)]
    fn is(&self, octets: &[u8; PIECE_OCTETS]) -> bool {
        let own = self.octets.iter().zip(&self.matters);
        own.zip(octets).fold(0, |differing, ((own, matters), octet)| differing | (own ^ octet) & matters) == 0
    }
}

impl Plan {
    fn new(snapshot: &Snapshot, index: usize, names: &[Box<[u8]>]) -> Option<Self> {
        let zone = &snapshot.zones()[index];
        let signed = match zone.signing() {
            Signing::None => false,
            Signing::By(_) => true,
            Signing::Impossible => return None,
        };
        let judged = snapshot.gate().judges(index);
        let simple = zone.status() == Status::Serving
            && zone.datasets().iter().all(|dataset| is_simple(dataset, signed))
            && names[index].len() > 1
            && !names.iter().any(|name| is_nested_in_an_address(name, &names[index]))
            && !(judged == By::Key && has_keyless_names(zone, names, &names[index]))
            && !zone.delegations().any(|(cut, _)| begins_like_an_address(cut, 1));
        if !simple {
            return None;
        }
        let having = |has: fn(&AddressList) -> bool| {
            zone.datasets().iter().filter(|dataset| addresses(dataset).is_some_and(has)).cloned().collect()
        };
        let positive = match (snapshot.settings.minimal, zone.apex().name_servers()) {
            (false, Some(set)) => Tail::positive(&names[index], &set, snapshot.glue(index)),
            _ => Some(Tail::none()),
        };
        Some(Self {
            index: index as u32,
            apex: Apex::new(names[index].clone()),
            signed,
            open: !snapshot.has_access_list() && !zone.has_access_list(),
            judged,
            negative: zone.apex().negative_soa().map_or_else(Tail::none, |soa| Tail::negative(&soa)),
            positive: positive?,
            v4: having(|list| list.v4.is_some()),
            v6: having(|list| list.v6.is_some()),
            zone: zone.clone(),
        })
    }

    /// True if what is said of an address is what one table of its family says. Left to the general
    /// path are the addresses of both families and the test entries of RFC 5782.
    #[inline(always)]
    pub(super) fn decides(&self, family: Family, address: u128) -> bool {
        match family {
            Family::V4 => address != u128::from(TEST_V4),
            Family::V6 => {
                // The highest bits tell at once of nearly all that they are neither.
                let high = address >> 112;
                let is_other = high != address::MAPPED >> 112 && high != address::SIX_TO_FOUR >> 112;
                is_other
                    || address::mapped(address).is_none()
                        && (self.v4.is_empty() || address::six_to_four(address).is_none())
            }
        }
    }
}

/// An address of a family, with the tables in which a plan looks it up.
pub(super) trait Planned: Address {
    /// The address of a plain question.
    fn of(address: u128) -> Self;

    /// The datasets with prefixes of this family.
    fn tables(plan: &Plan) -> impl Iterator<Item = (&AddressList, &PrefixTable<Self>)>;
}

impl Planned for u32 {
    #[inline(always)]
    fn of(address: u128) -> Self {
        address as Self
    }

    fn tables(plan: &Plan) -> impl Iterator<Item = (&AddressList, &PrefixTable<Self>)> {
        let lists = plan.v4.iter().filter_map(|dataset| addresses(dataset));
        lists.filter_map(|list| Some((list, list.v4.as_ref()?)))
    }
}

impl Planned for u128 {
    #[inline(always)]
    fn of(address: u128) -> Self {
        address
    }

    fn tables(plan: &Plan) -> impl Iterator<Item = (&AddressList, &PrefixTable<Self>)> {
        let lists = plan.v6.iter().filter_map(|dataset| addresses(dataset));
        lists.filter_map(|list| Some((list, list.v6.as_ref()?)))
    }
}

fn addresses(dataset: &Dataset) -> Option<&AddressList> {
    match &dataset.data {
        Data::Addresses(list) => Some(list),
        _ => None,
    }
}

/// True for datasets that make no names among addresses; in a signed zone not even above them.
fn is_simple(dataset: &Dataset, signed: bool) -> bool {
    match &dataset.data {
        Data::Addresses(_) | Data::Access(_) => true,
        Data::Generic(table) => {
            let is_among_addresses = |owner| match signed {
                true => sorts_like_an_address(owner),
                false => begins_like_an_address(owner, 4),
            };
            !table.iter().any(|(owner, _)| is_among_addresses(owner))
        }
        Data::Names(_) | Data::Combined(_) => false,
    }
}

/// True if the owner with this key has `least` labels or more, of which so many may be those of an
/// address. Four make an IPv4 address, or a name below one of IPv6.
fn begins_like_an_address(owner: &[u8], least: usize) -> bool {
    let labels = owner.strip_suffix(&[0]).unwrap_or(owner).split(|&octet| octet == 0).take(least);
    labels.clone().count() == least && labels.clone().all(is_digits)
}

/// True if the owner with this key has two labels or more and may stand between the names of addresses that
/// have the first in common: `1st.10` does, since the second label sorts among octets. No block of addresses
/// is wider than one label, so an owner of one lies inside none.
fn sorts_like_an_address(owner: &[u8]) -> bool {
    let mut labels = owner.strip_suffix(&[0]).unwrap_or(owner).split(|&octet| octet == 0);
    let sorts = |label: &[u8]| is_digits(label) || label.first().is_some_and(u8::is_ascii_digit);
    labels.next().is_some_and(is_digits) && labels.next().is_some_and(sorts)
}

/// True if a name lies below `apex`, right behind a label that an address may have.
fn is_nested_in_an_address(name: &[u8], apex: &[u8]) -> bool {
    let above = labels(apex).count();
    let name: Vec<&[u8]> = labels(name).collect();
    let Some(next) = name.len().checked_sub(above + 1) else { return false };
    name[next + 1..].iter().copied().eq(labels(apex)) && is_digits(name[next])
}

/// True if below `apex`, in whose zone names have keys, there are such as have none: of a zone or, beginning
/// like an address, of a name server.
fn has_keyless_names(zone: &Zone, names: &[Box<[u8]>], apex: &[u8]) -> bool {
    let is_address = |host: &Name| labels(host.wire()).next().is_some_and(is_digits);
    names.iter().any(|name| is_below(name, apex)) || zone.apex().hosts().iter().any(is_address)
}

/// True if a name lies below `apex`.
fn is_below(name: &[u8], apex: &[u8]) -> bool {
    let (above, count) = (labels(apex).count(), labels(name).count());
    count > above && labels(name).skip(count - above).eq(labels(apex))
}

/// True for what can be an octet or a nibble of an address.
pub(super) fn is_digits(label: &[u8]) -> bool {
    (1..=3).contains(&label.len()) && label.iter().all(u8::is_ascii_hexdigit)
}
