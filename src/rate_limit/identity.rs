//! What is asked, as one word. Two questions that share one are counted together, which harms nobody but who
//! looks for such: words are hashed with secrets, and the client's prefix, before they are looked up.

use smallvec::SmallVec;

use crate::address::ReversedName;
use crate::wire::HEADER_OCTETS;

/// An odd number whose bits look random.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// Of a question for an address in the zone at a place of the snapshot.
#[inline(always)]
pub fn of_address(address: u128, zone: u32, record_type: u16) -> u64 {
    let question = u64::from(zone) << 16 | u64::from(record_type);
    (address as u64 ^ question.wrapping_mul(MIX)).wrapping_mul(MIX) ^ (address >> 64) as u64
}

/// Of the first question of a packet, whatever the letter case of its name, in the zone that it is answered from.
/// If its name begins with an address, this is [`of_address`]: however a question is answered, it is the same one.
#[inline(never)]
pub fn of_packet(packet: &[u8], zone: Option<u32>) -> u64 {
    let mut word = 0;
    let mut labels = SmallVec::<[&[u8]; NIBBLES]>::new();
    let mut add = |octet: u8| word = (word ^ u64::from(octet)).wrapping_mul(MIX).rotate_left(23);
    let mut rest = packet.get(HEADER_OCTETS..).unwrap_or_default();
    while let Some((&length @ 1..=63, behind)) = rest.split_first() {
        let Some((label, behind)) = behind.split_at_checked(length.into()) else { break };
        add(length);
        label.iter().for_each(|octet| add(octet.to_ascii_lowercase()));
        if labels.len() < NIBBLES {
            labels.push(label);
        }
        rest = behind;
    }
    if let (Some(zone), Some(address), Some(&[_, t0, t1])) = (zone, address(&labels), rest.first_chunk()) {
        return of_address(address, zone, u16::from_be_bytes([t0, t1]));
    }
    // The root, the type and the class.
    rest.iter().take(5).for_each(|&octet| add(octet));
    word
}

/// Labels of an IPv6 address.
const NIBBLES: usize = 32;
/// Labels of an IPv4 address.
const OCTETS: usize = 4;

/// The address that a name begins with. Four single digits are none: there may be more nibbles behind them.
fn address(labels: &[&[u8]]) -> Option<u128> {
    if let Some((address, 128)) = ReversedName::read(labels).v6 {
        return Some(address);
    }
    let octets = labels.get(..OCTETS).filter(|octets| octets.iter().any(|octet| octet.len() > 1))?;
    ReversedName::read(octets).v4.map(|(address, _)| address.into())
}
