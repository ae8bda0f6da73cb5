//! What keeps clients from being harmed in each other's names, and the server by them: which packets are
//! taken at all, for whom, and how often the same answer is given.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use ipnet::IpNet;

use super::proxy;
use crate::answer::{Client, Outcome};
use crate::fast::{Buffer, Exchange};
use crate::metrics::{Dropped, Limited, WorkerCounters};
use crate::rate_limit::{self, Mode, RateLimit, RateLimiter, Ticks};

/// What is configured against abuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// How often what is answered over UDP.
    pub rate_limit: RateLimit,
    /// UDP packets from these ports are dropped, as those from port 0 are; [`REFLECTORS`] by default.
    pub refused_ports: Vec<u16>,
    /// Who says for whom it asks, in the PROXY protocol (version 2).
    pub proxies: Vec<IpNet>,
}

/// Ports of services that answer whatever comes (echo, chargen) or much to little (NTP, SNMP, CLDAP): a packet
/// from there is forged, to have the two of them talk, or to have an answer look like one of theirs. All are
/// below 1024, where no resolver asks from but those that ask from 53.
pub const REFLECTORS: [u16; 11] = [7, 13, 17, 19, 37, 111, 123, 137, 161, 389, 520];

impl Default for Guard {
    fn default() -> Self {
        let (rate_limit, refused_ports) = (RateLimit::default(), REFLECTORS.to_vec());
        Self { rate_limit, refused_ports, proxies: Vec::new() }
    }
}

/// From where packets are taken.
#[derive(Debug)]
pub(super) struct Sources {
    /// The refused ports below 1024, a bit each; port 0 is one of them.
    low: [u64; 16],
    high: Box<[u16]>,
    proxies: Box<[IpNet]>,
    /// Packets from this port and all higher ones are taken as they are.
    examined_below: u32,
}

impl Sources {
    pub(super) fn new(guard: &Guard) -> Self {
        let mut low = [0; 16];
        let (lows, highs): (Vec<u16>, Vec<u16>) = guard.refused_ports.iter().partition(|&&port| port < 1024);
        [0].iter().chain(&lows).for_each(|port| low[usize::from(port / 64)] |= 1 << (port % 64));
        let examined_below = if highs.is_empty() && guard.proxies.is_empty() { 1024 } else { 1 << 16 };
        Self { low, high: highs.into(), proxies: guard.proxies.clone().into(), examined_below }
    }

    /// Whether packets from a port are taken.
    pub(super) fn takes(&self, port: u16) -> bool {
        match self.low.get(usize::from(port / 64)) {
            Some(ports) => ports >> (port % 64) & 1 == 0,
            None => self.high.is_empty() || !self.high.contains(&port),
        }
    }

    /// Whether somebody says for whom it asks.
    pub(super) fn is_proxy(&self, address: IpAddr) -> bool {
        !self.proxies.is_empty() && self.proxies.iter().any(|prefix| prefix.contains(&address))
    }

    /// The port from which on packets are taken as they are: there is no need for [`Self::take`].
    #[inline(always)]
    pub(super) fn examined_below(&self) -> u32 {
        self.examined_below
    }

    /// Takes a UDP packet of `octets` at the beginning of a buffer, or drops it. Returns whose it is, and its
    /// length without a proxy's header.
    #[inline(never)]
    pub(super) fn take(
        &self,
        (address, port): (IpAddr, u16),
        buffer: &mut Buffer,
        octets: usize,
        counters: &WorkerCounters,
    ) -> Option<(IpAddr, usize)> {
        if !self.takes(port) {
            // What wakes a worker at the end comes from nowhere.
            if octets > 0 {
                counters.dropped(Dropped::Port);
            }
            return None;
        }
        if octets > 0 && self.is_proxy(address) {
            return self.unwrap(address, buffer, octets).inspect_err(|&reason| counters.dropped(reason)).ok();
        }
        Some((address, octets))
    }

    /// Takes a proxy's header off, or says why the packet is dropped: a client behind a proxy sends from no other
    /// ports than one before it.
    #[cold]
    fn unwrap(
        &self,
        address: IpAddr,
        buffer: &mut Buffer,
        octets: usize,
    ) -> Result<(IpAddr, usize), Dropped> {
        let said = buffer.get(..octets).and_then(|packet| proxy::read(packet).ok());
        let said = said.ok_or(Dropped::Proxy)?;
        if said.client.is_some_and(|client| !self.takes(client.port())) {
            return Err(Dropped::Port);
        }
        buffer.copy_within(said.octets..octets, 0);
        Ok((said.client.map_or(address, |client| client.ip()), octets - said.octets))
    }
}

/// The rate limit, where there is one.
#[derive(Debug)]
pub(super) struct Limiter {
    counters: RateLimiter,
    /// Answers over the limit are not given.
    enforced: bool,
    slip: u32,
    /// Answers over the limit since the last that was cut.
    withheld: AtomicU32,
}

impl Limiter {
    /// `None` where nothing is counted.
    pub(super) fn new(limit: &RateLimit) -> Option<Self> {
        let enforced = match limit.mode {
            Mode::Off => return None,
            Mode::Count => false,
            Mode::On => true,
        };
        let (counters, slip) = (RateLimiter::new(limit), limit.slip);
        Some(Self { counters, enforced, slip, withheld: AtomicU32::new(0) })
    }

    /// The time of a batch.
    pub(super) fn now(&self) -> Ticks {
        self.counters.now()
    }

    /// Counts the answer of an exchange, and takes it back or cuts it where it is one too many. False if
    /// there is nothing to be sent.
    #[inline(always)]
    pub(super) fn allows(&self, now: Ticks, exchange: &mut Exchange<'_>, counters: &WorkerCounters) -> bool {
        let Some(outcome) = exchange.outcome().filter(|outcome| outcome.reply && !outcome.is_exempt()) else {
            return true;
        };
        if !self.counters.exceeds(now, exchange.client().address, exchange.answer(outcome)) {
            return true;
        }
        match self.limit(counters) {
            Limited::Counted => {}
            Limited::Slipped => exchange.cut(),
            Limited::Dropped => {
                exchange.withhold();
                return false;
            }
        }
        true
    }

    /// Counts an answer before it is signed, so that nothing is signed for who gets no answer. `None` where it
    /// is not one too many.
    pub(super) fn ahead(
        &self,
        now: Ticks,
        (packet, client): (&[u8], Client),
        lacking: &Outcome,
        counters: &WorkerCounters,
    ) -> Option<Limited> {
        if lacking.is_exempt() {
            return None;
        }
        let answer = rate_limit::answer(lacking, rate_limit::of_packet(packet, lacking.zone));
        self.counters.exceeds(now, client.address, answer).then(|| self.limit(counters))
    }

    /// What becomes of an answer over the limit.
    #[cold]
    fn limit(&self, counters: &WorkerCounters) -> Limited {
        let limited = if !self.enforced {
            Limited::Counted
        } else if self.slip > 0 && self.withheld.fetch_add(1, Relaxed) % self.slip == self.slip - 1 {
            Limited::Slipped
        } else {
            Limited::Dropped
        };
        counters.limited(limited);
        limited
    }
}
