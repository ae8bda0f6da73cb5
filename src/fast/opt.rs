//! OPT of a reply: what the packet asks for of it, and the answer to its cookie, which is made before the reply
//! takes the packet's place.

use std::num::NonZeroU16;

use super::exchange::{BUFFER_OCTETS, Buffer, Exchange};
use super::question::{OPT_OCTETS, Plain};
use super::tail;
use super::view::Plan;
use crate::cookie::{self, Cookie, Cookies, Standing};
use crate::snapshot::Settings;
use crate::wire::{self, option_code, record_type};

/// What all replies of a batch have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'s> {
    /// The largest reply.
    udp_size: u16,
    /// The beginning of OPT: root, type, size, extended response code, version and the first octet of the flags.
    opt: u64,
    cookies: Option<&'s Cookies>,
    /// Seconds since 1970.
    pub(super) now: u32,
}

impl<'s> Context<'s> {
    pub(super) fn new(settings: &'s Settings, now: u32) -> Self {
        const TYPE: u64 = (record_type::OPT as u64) << 40;
        Self {
            udp_size: settings.udp_size,
            opt: TYPE | u64::from(settings.udp_size) << 24,
            cookies: settings.cookies.as_ref(),
            now,
        }
    }

    /// Whether a reply to a packet may have so many octets (RFC 6891, section 6.2.5), and be written here: a tail
    /// is copied in whole pieces.
    #[inline(always)]
    pub(super) fn allows(&self, plain: &Plain, octets: usize) -> bool {
        const ALWAYS: u16 = 512;
        let most = || usize::from(plain.edns.udp_size().min(self.udp_size)).min(BUFFER_OCTETS - tail::COPIED);
        octets <= ALWAYS.into() || octets <= most()
    }
}

/// Octets of a COOKIE option with both cookies.
const COOKIE_OCTETS: usize = 4 + cookie::OCTETS;
/// Octets of an Extended DNS Error.
const ERROR_OCTETS: usize = 6;

/// Room for the options of a reply.
pub(super) type Room = [u8; COOKIE_OCTETS + ERROR_OCTETS];

/// Room that is not used yet.
pub(super) const ROOM: Room = [0; _];

/// Whether the reply to a packet has no options.
#[inline(always)]
pub(super) fn has_none(plain: &Plain, plan: &Plan, context: &Context<'_>) -> bool {
    plain.cookie.is_none() && !plan.zone.is_stale(context.now)
}

/// Octets of OPT with these options, if the packet has one.
#[inline(always)]
pub(super) fn octets(plain: &Plain, options: &[u8]) -> usize {
    if plain.edns.is_there() { OPT_OCTETS + options.len() } else { 0 }
}

/// Writes OPT with these options, if the packet has one, at a place of the reply.
#[inline(always)]
pub(super) fn write(buffer: &mut Buffer, at: usize, plain: &Plain, options: &[u8], context: &Context<'_>) {
    if !plain.edns.is_there() {
        return;
    }
    let start = context.opt | u64::from(plain.edns.dnssec_ok());
    if let Some(place) = buffer.get_mut(at..at + OPT_OCTETS)
        && let Some((place, length)) = place.split_first_chunk_mut()
    {
        *place = start.to_be_bytes();
        length.copy_from_slice(&[0, 0, options.len() as u8]);
    }
    if !options.is_empty()
        && let Some(place) = buffer.get_mut(at + OPT_OCTETS..at + OPT_OCTETS + options.len())
    {
        place.copy_from_slice(options);
    }
}

/// The options of a reply: the answer to a cookie, and an Extended DNS Error where the data is older than it
/// should be; and what the cookie says of the client. An error where there is more to say.
#[inline(never)]
pub(super) fn options<'o>(
    room: &'o mut Room,
    exchange: &Exchange<'_>,
    plain: &Plain,
    plan: &Plan,
    rcode: u16,
    context: &Context<'_>,
) -> Result<(&'o [u8], Standing), NotPlain> {
    let (mut octets, mut standing) = (0, Standing::None);
    let mut add = |code: u16, data: &[u8]| {
        let head = [code, data.len() as u16].map(u16::to_be_bytes);
        for part in [head.as_flattened(), data] {
            room[octets..octets + part.len()].copy_from_slice(part);
            octets += part.len();
        }
    };
    if let (Some(place), Some(cookies)) = (plain.cookie, context.cookies) {
        let cookie = place.read(exchange.buffer).ok_or(NotPlain)?;
        let (of_client, cookie) = cookies.answer(cookie, exchange.client.address, context.now);
        if cookies.required && of_client != Standing::Good {
            return Err(NotPlain);
        }
        standing = of_client;
        add(option_code::COOKIE, &cookie);
    }
    if plain.edns.is_there() && plan.zone.is_stale(context.now) {
        add(option_code::EXTENDED_DNS_ERROR, &wire::stale(rcode).to_be_bytes());
    }
    Ok((&room[..octets], standing))
}

/// The general path has to answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct NotPlain;

/// Where in a packet the data of a COOKIE option is; in the highest bit, whether there is a server's cookie of the
/// usual length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CookiePlace(NonZeroU16);

impl CookiePlace {
    const HAS_SERVER: u16 = 0x8000;

    /// `None` where no packet has a cookie.
    pub(super) fn new(at: usize, has_server: bool) -> Option<Self> {
        let at = u16::try_from(at).ok().filter(|at| at & Self::HAS_SERVER == 0)?;
        NonZeroU16::new(at).map(|at| Self(at | if has_server { Self::HAS_SERVER } else { 0 }))
    }

    fn read(self, buffer: &Buffer) -> Option<Cookie> {
        let (at, has_server) = (self.0.get() & !Self::HAS_SERVER, self.0.get() & Self::HAS_SERVER != 0);
        let (&client, rest) = buffer.get(usize::from(at)..)?.split_first_chunk()?;
        let server = if has_server { Some(*rest.first_chunk()?) } else { None };
        Some(Cookie { client, server })
    }
}
