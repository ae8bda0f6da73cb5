//! What is asked, as one word. Two questions that share one are counted together, which harms nobody but who
//! looks for such: words are hashed with secrets, and the client's prefix, before they are looked up.

use crate::wire::HEADER_OCTETS;

/// An odd number whose bits look random.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// Of a question for an address in the zone at a place of the snapshot.
#[inline(always)]
pub fn of_address(address: u128, zone: u32, record_type: u16) -> u64 {
    let question = u64::from(zone) << 16 | u64::from(record_type);
    (address as u64 ^ question.wrapping_mul(MIX)).wrapping_mul(MIX) ^ (address >> 64) as u64
}

/// Of the first question of a packet, whatever the letter case of its name.
#[inline(never)]
pub fn of_packet(packet: &[u8]) -> u64 {
    let mut word = 0;
    let mut add = |octet: u8| word = (word ^ u64::from(octet)).wrapping_mul(MIX).rotate_left(23);
    let mut rest = packet.get(HEADER_OCTETS..).unwrap_or_default();
    while let Some((&length @ 1..=63, behind)) = rest.split_first() {
        let Some((label, behind)) = behind.split_at_checked(length.into()) else { break };
        add(length);
        label.iter().for_each(|octet| add(octet.to_ascii_lowercase()));
        rest = behind;
    }
    // The root, the type and the class.
    rest.iter().take(5).for_each(|&octet| add(octet));
    word
}
