//! Recognises a plain question: a query with one question in class IN and at most an OPT record
//! behind it, whose name begins with a complete address. Everything else is for `query`, which alone
//! judges what is wrong with a packet; here a packet is plain or it is not.

use super::{Buffer, nibbles};
use crate::address::Key;
use crate::name::Name;
use crate::wire::{HEADER_OCTETS, class, flag, record_type};

/// A plain question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain {
    /// The address that the name begins with.
    pub(super) key: Key,
    /// Where in the packet the rest of the name begins, which is an apex.
    pub(super) apex: usize,
    /// Where the question ends.
    pub(super) end: usize,
    /// QTYPE.
    pub(super) record_type: u16,
    pub(super) edns: Option<Edns>,
}

/// What an OPT record of version 0 asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edns {
    /// The largest reply that the client takes, as it stands.
    pub(super) udp_size: u16,
    pub(super) dnssec_ok: bool,
}

/// Octets of OPT before its options.
pub(super) const OPT_OCTETS: usize = 11;

impl Plain {
    /// Reads the packet of `octets` at the beginning of `buffer`; `zone` finds the zone whose apex is the
    /// name at a place of the buffer, and where that name ends. `None` where the packet is not plain.
    ///
    /// What the buffer holds behind the packet is looked at, but nothing follows from it: the last
    /// step asks whether everything that counted belongs to the packet.
    #[inline(always)]
    pub(super) fn read<Z>(
        buffer: &Buffer,
        octets: usize,
        zone: impl FnOnce(usize) -> Option<(Z, usize)>,
    ) -> Option<(Self, Z)> {
        const NOT_A_QUERY: u16 = flag::RESPONSE | flag::OPCODE;
        let &[_, _, f0, f1, 0, 1, 0, 0, 0, 0, 0, additionals @ 0..=1] =
            buffer.first_chunk::<HEADER_OCTETS>()?
        else {
            return None;
        };
        if u16::from_be_bytes([f0, f1]) & NOT_A_QUERY != 0 {
            return None;
        }
        let (key, apex) = read_key(buffer)?;
        let (zone, name_end) = zone(apex)?;
        let &[t0, t1, c0, c1] = buffer.get(name_end..)?.first_chunk()?;
        let record_type = u16::from_be_bytes([t0, t1]);
        if [c0, c1] != class::IN.to_be_bytes() || is_special(record_type) {
            return None;
        }
        let mut plain = Self { key, apex, end: name_end + 4, record_type, edns: None };
        let mut end = plain.end;
        if additionals > 0 {
            let (edns, octets) = Edns::read(buffer.get(end..)?)?;
            plain.edns = Some(edns);
            end += octets;
        }
        (end <= octets).then_some((plain, zone))
    }
}

/// Types whose answer is not the records of that type.
fn is_special(wanted: u16) -> bool {
    matches!(wanted, record_type::ANY | record_type::AXFR | record_type::IXFR)
}

/// The address at the beginning of the name, and where the labels behind it begin.
#[inline(always)]
fn read_key(buffer: &Buffer) -> Option<(Key, usize)> {
    let name = &buffer[HEADER_OCTETS..];
    if let Some(address) = name.first_chunk().and_then(nibbles::read) {
        return Some((Key::V6(address), HEADER_OCTETS + nibbles::OCTETS));
    }
    read_octets(name).map(|(address, octets)| (Key::V4(address), HEADER_OCTETS + octets))
}

/// The IPv4 address that the first four labels spell backwards, and their octets. Not one of four
/// single digits: they are also the nibbles of an IPv6 prefix, below which there may be listings.
fn read_octets(name: &[u8]) -> Option<(u32, usize)> {
    const SINGLE_DIGITS: usize = 8;
    let mut address = 0;
    let mut at = 0;
    for shift in [0, 8, 16, 24] {
        let length @ 1..=3 = usize::from(*name.get(at)?) else { return None };
        let mut octet = 0;
        for digit in name.get(at + 1..at + 1 + length)? {
            let value = digit.wrapping_sub(b'0');
            if value > 9 {
                return None;
            }
            octet = octet * 10 + u32::from(value);
        }
        if octet > 255 {
            return None;
        }
        address |= octet << shift;
        at += 1 + length;
    }
    (at > SINGLE_DIGITS).then_some((address, at))
}

/// Where the name ends whose labels go on at `at`; `None` where it does not, or is too long.
pub(super) fn end_of_name(buffer: &Buffer, mut at: usize) -> Option<usize> {
    loop {
        match *buffer.get(at)? {
            0 => break,
            length @ 1..=63 => at += 1 + usize::from(length),
            _ => return None,
        }
    }
    (at < HEADER_OCTETS + Name::MAX_OCTETS).then_some(at + 1)
}

impl Edns {
    /// Reads the OPT record at the beginning of `record`, and tells how many octets it has.
    #[inline(always)]
    fn read(record: &[u8]) -> Option<(Self, usize)> {
        const OPT: [u8; 2] = record_type::OPT.to_be_bytes();
        let (&[root, t0, t1, s0, s1, _, version, do_bit, _, l0, l1], rdata) =
            record.split_first_chunk::<OPT_OCTETS>()?;
        if root != 0 || [t0, t1] != OPT || version != 0 {
            return None;
        }
        let options = rdata.get(..usize::from(u16::from_be_bytes([l0, l1])))?;
        let edns = Self { udp_size: u16::from_be_bytes([s0, s1]), dnssec_ok: do_bit & 0x80 != 0 };
        are_whole(options).then_some((edns, OPT_OCTETS + options.len()))
    }
}

/// True where options (which change nothing here) fill their record exactly.
fn are_whole(mut options: &[u8]) -> bool {
    while !options.is_empty() {
        let Some((&[_, _, l0, l1], rest)) = options.split_first_chunk::<4>() else { return false };
        let Some(rest) = rest.get(usize::from(u16::from_be_bytes([l0, l1]))..) else { return false };
        options = rest;
    }
    true
}
