//! Recognises a plain question: a query with one question in class IN and at most an OPT record
//! behind it, whose name begins with a complete address. Everything else is for `query`, which alone
//! judges what is wrong with a packet; here a packet is plain or it is not.

use super::opt::CookiePlace;
use super::{Buffer, nibbles};
use crate::cookie;
use crate::name::Name;
use crate::prefix_table::Machine;
use crate::snapshot::Settings;
use crate::wire::{HEADER_OCTETS, class, flag, option_code, record_type};
use crate::zone::Family;

/// A plain question, apart from its address: small, since a batch of them is kept. As large as an address, so that
/// the places of both are found in one step.
#[derive(Clone, Copy, Debug)]
#[repr(align(16))]
pub(super) struct Plain {
    /// The family of the address that the name begins with.
    pub(super) family: Family,
    /// Where in the packet the apex begins.
    apex: u8,
    /// Where the labels of the address end: at the apex, or at a key that stands between.
    address_end: u8,
    /// Where the question ends.
    end: u16,
    /// QTYPE.
    pub(super) record_type: u16,
    pub(super) edns: Edns,
    /// Where its cookie is, if cookies mean something.
    pub(super) cookie: Option<CookiePlace>,
}

/// What an OPT record of version 0 asks for, if there is one: its first octets as they stand, up to the first
/// of the flags; 0 where there is none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edns(u64);

/// The options that change a reply.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meant {
    cookie: bool,
    nsid: bool,
}

impl Meant {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { cookie: settings.cookies.is_some(), nsid: settings.identity.is_some() }
    }
}

/// Octets of OPT before its options.
pub(super) const OPT_OCTETS: usize = 11;

impl Plain {
    /// Stands where there is none.
    pub(super) const NONE: Self = Self {
        family: Family::V6,
        apex: 0,
        address_end: 0,
        end: 0,
        record_type: 0,
        edns: Edns::NONE,
        cookie: None,
    };

    /// Where in the packet the apex begins.
    #[inline(always)]
    pub(super) fn apex(&self) -> usize {
        self.apex.into()
    }

    /// The label between the address and the apex, with its length octet: a key, where there is one.
    #[inline(always)]
    pub(super) fn between(&self) -> std::ops::Range<usize> {
        self.address_end.into()..self.apex.into()
    }

    /// Where the question ends.
    #[inline(always)]
    pub(super) fn end(&self) -> usize {
        self.end.into()
    }

    /// Reads the packet of `octets` at the beginning of `buffer`; `zone` finds the zone of the name at a
    /// place of the buffer, where its apex begins (there, or behind a key), and where that ends. Returns the
    /// address, too. `None` where the packet is not plain.
    ///
    /// What the buffer holds behind the packet is looked at, but nothing follows from it: the last
    /// step asks whether everything that counted belongs to the packet.
    #[inline(always)]
    pub(super) fn read<Z>(
        buffer: &Buffer,
        octets: usize,
        meant: &Meant,
        machine: Machine,
        zone: impl FnOnce(usize) -> Option<(Z, usize, usize)>,
    ) -> Option<(Self, u128, Z)> {
        const NOT_A_QUERY: u8 = ((flag::RESPONSE | flag::OPCODE) >> 8) as u8;
        /// One question, and nothing in the sections of records; of the additional ones less than two.
        const COUNTS: u64 = 1 << 48;
        let (&[_, _, flags, _, ref counts @ ..], _) = buffer.split_first_chunk::<HEADER_OCTETS>()?;
        let counts = u64::from_be_bytes(*counts);
        if flags & NOT_A_QUERY != 0 || counts & !1 != COUNTS {
            return None;
        }
        let (family, address, address_end) = read_address(buffer, machine)?;
        let (zone, apex, name_end) = zone(address_end)?;
        let (type_and_class, rest) = buffer.get(name_end..)?.split_first_chunk()?;
        let type_and_class = u32::from_be_bytes(*type_and_class);
        let record_type = (type_and_class >> 16) as u16;
        if type_and_class as u16 != class::IN || is_special(record_type) {
            return None;
        }
        let question_end = name_end + 4;
        let (edns, cookie, end) = if counts == COUNTS {
            (Edns::NONE, None, question_end)
        } else {
            let (edns, cookie, octets) = Edns::read(rest, question_end, meant)?;
            (edns, cookie, question_end + octets)
        };
        // A name has at most 255 octets, and an address a quarter of that.
        let (address_end, apex) = (address_end as u8, apex as u8);
        let plain = Self { family, apex, address_end, end: question_end as u16, record_type, edns, cookie };
        (end <= octets).then_some((plain, address, zone))
    }
}

/// Types whose answer is not the records of that type.
fn is_special(wanted: u16) -> bool {
    matches!(wanted, record_type::ANY | record_type::AXFR | record_type::IXFR)
}

/// The address at the beginning of the name, and where the labels behind it begin.
#[inline(always)]
fn read_address(buffer: &Buffer, machine: Machine) -> Option<(Family, u128, usize)> {
    let name = &buffer[HEADER_OCTETS..];
    if let Some(address) = name.first_chunk().and_then(|labels| nibbles::read(labels, machine)) {
        return Some((Family::V6, address, HEADER_OCTETS + nibbles::OCTETS));
    }
    read_octets(name).map(|(address, octets)| (Family::V4, address.into(), HEADER_OCTETS + octets))
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
    const NONE: Self = Self(0);

    /// Whether there is an OPT record.
    #[inline(always)]
    pub(super) fn is_there(self) -> bool {
        self.0 != 0
    }

    /// The largest reply that the client takes, as it stands.
    #[inline(always)]
    pub(super) fn udp_size(self) -> u16 {
        (self.0 >> 24) as u16
    }

    /// The first octet of the flags with DO alone.
    #[inline(always)]
    pub(super) fn dnssec_ok(self) -> u8 {
        self.0 as u8 & 0x80
    }

    /// Reads the OPT record at the beginning of `record`, which is at a place of the packet; tells where its
    /// cookie is, and how many octets it has.
    #[inline(always)]
    fn read(record: &[u8], at: usize, meant: &Meant) -> Option<(Self, Option<CookiePlace>, usize)> {
        // Root, type, size, extended response code, version and the first octet of the flags.
        const FIXED: u64 = 0xffff_ff00_0000_ff00;
        const OPT: u64 = (record_type::OPT as u64) << 40;
        let (start, rest) = record.split_first_chunk()?;
        let start = u64::from_be_bytes(*start);
        if start & FIXED != OPT {
            return None;
        }
        let (&[_, l0, l1], options) = rest.split_first_chunk::<{ OPT_OCTETS - 8 }>()?;
        let octets = usize::from(u16::from_be_bytes([l0, l1]));
        let cookie = match octets {
            0 => None,
            _ => read_options(options.get(..octets)?, at + OPT_OCTETS, meant)?,
        };
        Some((Self(start), cookie, OPT_OCTETS + octets))
    }
}

/// Reads options, which begin at a place of a packet; tells where the first cookie is. `None` where they do not
/// fill their record exactly, or one of them makes the packet other than plain.
#[inline(never)]
fn read_options(options: &[u8], start: usize, meant: &Meant) -> Option<Option<CookiePlace>> {
    const WITH_SERVER: usize = cookie::OCTETS;
    let (mut cookie, mut rest) = (None, options);
    while !rest.is_empty() {
        let (&[c0, c1, l0, l1], data) = rest.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        match u16::from_be_bytes([c0, c1]) {
            option_code::COOKIE if meant.cookie && cookie.is_none() => {
                let has_server = match length {
                    cookie::CLIENT_OCTETS => false,
                    WITH_SERVER => true,
                    _ => return None,
                };
                cookie = Some(CookiePlace::new(start + options.len() - data.len(), has_server)?);
            }
            option_code::NSID if meant.nsid => return None,
            _ => {}
        }
        rest = data.get(length..)?;
    }
    Some(cookie)
}
