//! Signatures that every resolver needs first are made before anyone asks: those of the records at the
//! apexes of signed zones.

use super::signed::{self, Asked};
use super::{Effort, Signing, Transport};
use crate::dnssec::record_type::{CDNSKEY, CDS, DNSKEY, NSEC};
use crate::query::{self, Asks};
use crate::snapshot::Snapshot;
use crate::wire::{HEADER_OCTETS, class, record_type};
use crate::zone::{self, SignedBy, Status, View, Zone};

/// How long before the keys of a zone change what they bring is signed, in seconds.
const AHEAD: u32 = 600;

/// Makes the signatures of SOA, NS, DNSKEY, CDS, CDNSKEY and NSEC at the apex of every signed zone, as
/// far as they are not there. `now` is in seconds since 1970.
pub fn sign_ahead(snapshot: &Snapshot, now: u32) {
    for (zone, by) in signed_zones(snapshot) {
        sign_apex(snapshot, zone, by, now);
    }
}

/// Makes the same of every zone whose keys change within [`AHEAD`], as they will be then: at that moment
/// all resolvers need them at once.
pub fn sign_ahead_of_keys(snapshot: &Snapshot, now: u32) {
    for (zone, by) in signed_zones(snapshot) {
        let change = by.signer.keys().at(now).end();
        if let Some(change) = change.filter(|change| change.saturating_sub(now) <= AHEAD) {
            sign_apex(snapshot, zone, by, change);
        }
    }
}

fn signed_zones(snapshot: &Snapshot) -> impl Iterator<Item = (&Zone, &SignedBy)> {
    let zones = snapshot.zones().iter().filter(|zone| zone.status() == Status::Serving);
    zones.filter_map(|zone| match zone.signing() {
        zone::Signing::By(by) => Some((&**zone, by)),
        zone::Signing::None | zone::Signing::Impossible => None,
    })
}

fn sign_apex(snapshot: &Snapshot, zone: &Zone, by: &SignedBy, now: u32) {
    const TYPES: [u16; 6] = [record_type::SOA, record_type::NS, DNSKEY, CDS, CDNSKEY, NSEC];
    for wanted in TYPES {
        let packet = question(zone.name().wire(), wanted);
        let Some(query) = query::read(&packet) else { continue };
        let Asks::Records(question) = &query.asks else { continue };
        let signing = Signing { now, effort: Effort::Make };
        let transport = Transport::Tcp;
        let asked = Asked { snapshot, zone, by, question, labels: &[], dnssec_ok: true, transport, signing };
        signed::answer(&asked, &View::Data);
    }
}

/// A query for records of an apex.
fn question(apex: &[u8], wanted: u16) -> Vec<u8> {
    let mut packet = vec![0; HEADER_OCTETS];
    packet[5] = 1;
    packet.extend_from_slice(apex);
    packet.extend_from_slice(&wanted.to_be_bytes());
    packet.extend_from_slice(&class::IN.to_be_bytes());
    packet
}
