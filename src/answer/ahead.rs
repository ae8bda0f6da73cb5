//! Signatures that every resolver needs first are made before anyone asks: those of the records at the
//! apexes of signed zones.

use super::signed::{self, Asked};
use super::{Effort, Signing, Transport};
use crate::dnssec::record_type::{CDNSKEY, CDS, DNSKEY, NSEC};
use crate::query::{self, Asks};
use crate::snapshot::Snapshot;
use crate::wire::{HEADER_OCTETS, class, record_type};
use crate::zone::{self, Status, View};

/// Makes the signatures of SOA, NS, DNSKEY, CDS, CDNSKEY and NSEC at the apex of every signed zone, as
/// far as they are not there. `now` is in seconds since 1970.
pub fn sign_ahead(snapshot: &Snapshot, now: u32) {
    const TYPES: [u16; 6] = [record_type::SOA, record_type::NS, DNSKEY, CDS, CDNSKEY, NSEC];
    for zone in snapshot.zones().iter().filter(|zone| zone.status() == Status::Serving) {
        let zone::Signing::By(by) = zone.signing() else { continue };
        for wanted in TYPES {
            let packet = question(zone.name().wire(), wanted);
            let Some(query) = query::read(&packet) else { continue };
            let Asks::Records(question) = &query.asks else { continue };
            let signing = Signing { now, effort: Effort::Make };
            let (zone, transport) = (&**zone, Transport::Tcp);
            let asked =
                Asked { snapshot, zone, by, question, labels: &[], dnssec_ok: true, transport, signing };
            signed::answer(&asked, &View::Data);
        }
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
