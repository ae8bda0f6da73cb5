//! A packet and its reply, in one buffer: a reply begins with the header and the question of its
//! query, so what is left to write stands behind them, and nothing is copied.

use std::net::IpAddr;

use crate::answer::{Client, Outcome};
use crate::rate_limit;
use crate::wire;

/// Octets of the buffer of a packet and its reply: more than any reply over UDP. An odd number of
/// cache lines, so that the buffers of a batch do not all compete for the same sets of the cache.
pub const BUFFER_OCTETS: usize = 65 * 64;

/// The buffer of a packet and its reply.
pub type Buffer = [u8; BUFFER_OCTETS];

/// A packet, who sent it, and what became of it.
#[derive(Debug)]
pub struct Exchange<'b> {
    pub(super) buffer: &'b mut Buffer,
    packet_octets: usize,
    pub(super) client: Client,
    outcome: Option<Outcome>,
    /// Octets of the reply in the place of the packet; 0 where it is elsewhere, or there is none.
    in_place: usize,
    /// What is asked, once it is answered in place: see [`Self::identity`].
    identity: u64,
    /// What the general path replies, which needs the packet to the end.
    elsewhere: &'b mut Vec<u8>,
}

impl<'b> Exchange<'b> {
    /// The packet of `octets` at the beginning of `buffer`; `elsewhere` keeps room for a reply that
    /// does not take its place.
    ///
    /// # Panics
    /// If the buffer is shorter.
    #[inline(always)]
    pub fn new(buffer: &'b mut Buffer, octets: usize, client: Client, elsewhere: &'b mut Vec<u8>) -> Self {
        assert!(octets <= BUFFER_OCTETS, "a packet in its buffer");
        Self { buffer, packet_octets: octets, client, outcome: None, in_place: 0, identity: 0, elsewhere }
    }

    /// Has the packet examined, as long as nobody has answered it: `examine` gets its buffer, its client and its
    /// octets, and says whose it is and how long; `None` that it is to be passed over.
    pub fn examine(&mut self, examine: impl FnOnce(&mut Buffer, IpAddr, usize) -> Option<(IpAddr, usize)>) {
        match examine(self.buffer, self.client.address, self.packet_octets) {
            Some((address, octets)) => (self.client.address, self.packet_octets) = (address, octets),
            None => self.packet_octets = 0,
        }
    }

    /// The packet. Once a reply has taken its place, only the question is as it came.
    #[inline(always)]
    pub fn packet(&self) -> &[u8] {
        &self.buffer[..self.packet_octets.min(BUFFER_OCTETS)]
    }

    /// Octets of the packet.
    #[inline(always)]
    pub fn packet_octets(&self) -> usize {
        self.packet_octets
    }

    /// Who sent it.
    #[inline(always)]
    pub fn client(&self) -> Client {
        self.client
    }

    /// What became of the packet; `None` as long as nobody has answered it.
    #[inline(always)]
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// As [`Self::outcome`], to note more of it.
    #[inline(always)]
    pub(super) fn outcome_mut(&mut self) -> Option<&mut Outcome> {
        self.outcome.as_mut()
    }

    /// What is to be sent, if anything.
    #[inline(always)]
    pub fn reply(&self) -> Option<&[u8]> {
        match (self.in_place, &self.outcome) {
            (0, Some(Outcome { reply: true, .. })) => Some(self.elsewhere),
            (0, _) => None,
            (octets, _) => Some(&self.buffer[..octets]),
        }
    }

    /// Octets of what is to be sent; 0 if nothing is.
    #[inline(always)]
    pub fn reply_octets(&self) -> usize {
        match self.in_place {
            0 => self.reply().map_or(0, <[u8]>::len),
            octets => octets,
        }
    }

    /// Answers the packet by what `respond` appends to an empty buffer.
    pub fn respond(&mut self, respond: impl FnOnce(&[u8], Client, &mut Vec<u8>) -> Outcome) {
        self.elsewhere.clear();
        let packet = &self.buffer[..self.packet_octets.min(BUFFER_OCTETS)];
        self.outcome = Some(respond(packet, self.client, self.elsewhere));
        self.in_place = 0;
    }

    /// What is asked, as rate limiting tells questions apart.
    #[inline(always)]
    pub fn identity(&self) -> u64 {
        match self.in_place {
            0 => rate_limit::of_packet(self.packet(), self.outcome.and_then(|outcome| outcome.zone)),
            _ => self.identity,
        }
    }

    /// Takes the records out of the reply, so that it only says to come back over TCP.
    pub fn cut(&mut self) {
        let Some(outcome) = &mut self.outcome else { return };
        let cut = match self.in_place {
            0 => wire::cut(self.elsewhere).inspect(|&cut| self.elsewhere.truncate(cut)),
            octets => wire::cut(&mut self.buffer[..octets]).inspect(|&cut| self.in_place = cut),
        };
        if cut.is_some() {
            (outcome.truncated, outcome.answers) = (true, 0);
        }
    }

    /// Takes the reply back.
    pub fn withhold(&mut self) {
        self.in_place = 0;
        if let Some(outcome) = &mut self.outcome {
            outcome.reply = false;
        }
    }

    /// A reply of `octets`, which is to be sent, to a question of this identity has taken the packet's place.
    #[inline(always)]
    pub(super) fn replied(&mut self, octets: usize, outcome: Outcome, identity: u64) {
        (self.outcome, self.in_place, self.identity) = (Some(outcome), octets, identity);
    }
}
