//! OPT of a reply: what the packet asks for of it, and the answer to its cookie, which is made before the reply
//! takes the packet's place.

use super::exchange::{Buffer, Exchange};
use super::question::{OPT_OCTETS, Plain};
use super::view::Plan;
use crate::cookie::{self, Cookie, Cookies, Standing};
use crate::snapshot::Settings;
use crate::wire::{self, option_code, record_type};

/// What all replies of a batch have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'s> {
    pub(super) udp_size: u16,
    pub(super) cookies: Option<&'s Cookies>,
    /// Seconds since 1970.
    pub(super) now: u32,
}

impl<'s> Context<'s> {
    pub(super) fn new(settings: &'s Settings, now: u32) -> Self {
        Self { udp_size: settings.udp_size, cookies: settings.cookies.as_ref(), now }
    }
}

/// OPT of a reply.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opt {
    udp_size: u16,
    dnssec_ok: bool,
    cookie: Option<[u8; cookie::OCTETS]>,
    /// The info-code of an Extended DNS Error, where the data is older than it should be.
    error: Option<u16>,
    /// What the packet's cookie says of its client.
    pub(super) standing: Standing,
}

/// Octets of a COOKIE option with both cookies.
const COOKIE_OCTETS: usize = 4 + cookie::OCTETS;
/// Octets of an Extended DNS Error.
const ERROR_OCTETS: usize = 6;

impl Opt {
    /// The OPT record that a packet is answered with, if it has one. An error where there is more to say.
    #[inline(always)]
    pub(super) fn new(
        exchange: &Exchange<'_>,
        plain: &Plain,
        plan: &Plan,
        rcode: u16,
        context: &Context<'_>,
    ) -> Result<Option<Self>, NotPlain> {
        let Some(edns) = plain.edns else { return Ok(None) };
        let mut opt = Self {
            udp_size: context.udp_size,
            dnssec_ok: edns.dnssec_ok,
            cookie: None,
            error: plan.zone.is_stale(context.now).then(|| wire::stale(rcode)),
            standing: Standing::None,
        };
        if let (Some(place), Some(cookies)) = (edns.cookie, context.cookies) {
            let cookie = place.read(exchange.buffer).ok_or(NotPlain)?;
            let (standing, cookie) = cookies.answer(cookie, exchange.client.address, context.now);
            if cookies.required && standing != Standing::Good {
                return Err(NotPlain);
            }
            (opt.standing, opt.cookie) = (standing, Some(cookie));
        }
        Ok(Some(opt))
    }

    /// Its length.
    #[inline(always)]
    pub(super) fn octets(&self) -> usize {
        OPT_OCTETS + self.option_octets()
    }

    #[inline(always)]
    fn option_octets(&self) -> usize {
        let cookie = if self.cookie.is_some() { COOKIE_OCTETS } else { 0 };
        cookie + if self.error.is_some() { ERROR_OCTETS } else { 0 }
    }

    /// Writes it to the beginning of `place`.
    #[inline(always)]
    pub(super) fn write(&self, place: &mut [u8]) {
        // Root, type, size, extended response code, version and the first octet of the flags.
        let start = u64::from(record_type::OPT) << 40
            | u64::from(self.udp_size) << 24
            | u64::from(self.dnssec_ok) << 7;
        let Some((fixed, rest)) = place.split_first_chunk_mut() else { return };
        let Some((length, options)) = rest.split_first_chunk_mut::<{ OPT_OCTETS - 8 }>() else { return };
        (*fixed, *length) = (start.to_be_bytes(), [0, 0, self.option_octets() as u8]);
        let before = if self.cookie.is_some() { COOKIE_OCTETS } else { 0 };
        if let Some(error) = self.error
            && let Some(place) = options.get_mut(before..).and_then(<[u8]>::first_chunk_mut::<ERROR_OCTETS>)
        {
            const CODE: [u8; 2] = option_code::EXTENDED_DNS_ERROR.to_be_bytes();
            let [e0, e1] = error.to_be_bytes();
            *place = [CODE[0], CODE[1], 0, 2, e0, e1];
        }
        if let Some(cookie) = &self.cookie
            && let Some((head, data)) = options.split_first_chunk_mut::<4>()
            && let Some(data) = data.first_chunk_mut()
        {
            const CODE: [u8; 2] = option_code::COOKIE.to_be_bytes();
            *head = [CODE[0], CODE[1], 0, cookie::OCTETS as u8];
            *data = *cookie;
        }
    }
}

/// The general path has to answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct NotPlain;

/// Where in a packet the data of a COOKIE option is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CookiePlace {
    pub(super) at: u16,
    /// There is a server's cookie of the usual length.
    pub(super) has_server: bool,
}

impl CookiePlace {
    #[inline(always)]
    fn read(self, buffer: &Buffer) -> Option<Cookie> {
        let (&client, rest) = buffer.get(usize::from(self.at)..)?.split_first_chunk()?;
        let server = if self.has_server { Some(*rest.first_chunk()?) } else { None };
        Some(Cookie { client, server })
    }
}
