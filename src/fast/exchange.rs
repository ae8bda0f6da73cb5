//! A packet and its reply, in one buffer: a reply begins with the header and the question of its
//! query, so what is left to write stands behind them, and nothing is copied.

use crate::answer::{Client, Outcome};

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
    reply: Reply,
    /// What the general path replies, which needs the packet to the end.
    elsewhere: &'b mut Vec<u8>,
}

/// Where the reply is.
#[derive(Clone, Copy, Debug)]
enum Reply {
    None,
    /// In the place of the packet: so many octets.
    InPlace(Outcome, usize),
    /// In `elsewhere`.
    Elsewhere(Outcome),
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
        Self { buffer, packet_octets: octets, client, reply: Reply::None, elsewhere }
    }

    /// The packet. Once a reply has taken its place, only the question is as it came.
    #[inline(always)]
    pub fn packet(&self) -> &[u8] {
        &self.buffer[..self.packet_octets.min(BUFFER_OCTETS)]
    }

    /// Who sent it.
    #[inline(always)]
    pub fn client(&self) -> Client {
        self.client
    }

    /// What became of the packet; `None` as long as nobody has answered it.
    #[inline(always)]
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.reply {
            Reply::None => None,
            Reply::InPlace(outcome, _) | Reply::Elsewhere(outcome) => Some(outcome),
        }
    }

    /// As [`Self::outcome`], to note more of it.
    #[inline(always)]
    pub(super) fn outcome_mut(&mut self) -> Option<&mut Outcome> {
        match &mut self.reply {
            Reply::None => None,
            Reply::InPlace(outcome, _) | Reply::Elsewhere(outcome) => Some(outcome),
        }
    }

    /// What is to be sent, if anything.
    #[inline(always)]
    pub fn reply(&self) -> Option<&[u8]> {
        match &self.reply {
            Reply::InPlace(outcome, octets) if outcome.reply => Some(&self.buffer[..*octets]),
            Reply::Elsewhere(outcome) if outcome.reply => Some(self.elsewhere),
            _ => None,
        }
    }

    /// Answers the packet by what `respond` appends to an empty buffer.
    pub fn respond(&mut self, respond: impl FnOnce(&[u8], Client, &mut Vec<u8>) -> Outcome) {
        self.elsewhere.clear();
        let packet = &self.buffer[..self.packet_octets.min(BUFFER_OCTETS)];
        self.reply = Reply::Elsewhere(respond(packet, self.client, self.elsewhere));
    }

    /// The reply of `octets` has taken the packet's place.
    #[inline(always)]
    pub(super) fn replied(&mut self, octets: usize, outcome: Outcome) {
        self.reply = Reply::InPlace(outcome, octets);
    }
}
