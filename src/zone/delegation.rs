//! Zone cuts: names of a signed zone where another zone begins. They come from the configuration, since
//! lists are about addresses and domains that are listed, not about who serves them.

use std::collections::BTreeMap;

use crate::dataset::GenericSet;
use crate::dnssec::record_type::DS;
use crate::name::Name;

const NS: u16 = 2;

/// A zone cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegation {
    /// Where, left of the zone's own name.
    pub name: Name,
    /// The name servers of the zone that begins here; at least one, and none in that zone itself, so that
    /// nobody needs glue to find them.
    pub name_servers: Vec<Name>,
    /// The rdata of the DS records, by which its keys are known; none if it is not signed.
    pub signers: Vec<Box<[u8]>>,
}

/// The NS and DS records of all cuts of a zone, by the keys of their names.
pub(crate) type Delegations = BTreeMap<Box<[u8]>, Vec<GenericSet>>;

/// The records of cuts, with a TTL in seconds.
pub(super) fn records(delegations: &[Delegation], ttl: u32) -> Delegations {
    let set = |record_type, rdata| GenericSet { record_type, ttl, rdata };
    let sets = |delegation: &Delegation| {
        let hosts = delegation.name_servers.iter().map(|host| host.wire().into()).collect();
        let mut sets = vec![set(NS, hosts)];
        if !delegation.signers.is_empty() {
            sets.push(set(DS, delegation.signers.clone()));
        }
        sets
    };
    delegations.iter().map(|delegation| (delegation.name.key().into(), sets(delegation))).collect()
}
