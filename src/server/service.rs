//! The way of a packet behind the sockets, whatever it came by: answered by the [`Responder`], held against the
//! rate limit, counted and logged, or handed to the [signers](super::signers) where signatures are missing.

use std::sync::Arc;

use super::Responder;
use super::guard::Limiter;
use super::signers::{Efforts, Queue, Send};
use crate::answer::{Client, Effort, Outcome};
use crate::fast::Exchange;
use crate::metrics::{Tally, WorkerCounters};
use crate::query_log::QuerySink;
use crate::rate_limit::Ticks;

/// What a worker needs to answer.
pub(super) struct Service<R> {
    pub(super) responder: Arc<R>,
    pub(super) counters: Arc<WorkerCounters>,
    /// Where replies are counted that come later.
    pub(super) later: Arc<WorkerCounters>,
    pub(super) query_log: Option<QuerySink>,
    /// Where packets wait whose answer lacks signatures.
    pub(super) queue: Arc<Queue>,
    /// How often what is answered over UDP.
    pub(super) limiter: Option<Arc<Limiter>>,
}

impl<R: Responder> Service<R> {
    pub(super) fn moment(&self) -> R::Moment {
        self.responder.moment()
    }

    /// Answers one packet into `reply`, whose old content goes; counts and logs it, unless it lacks
    /// signatures.
    pub(super) fn answer(
        &self,
        moment: &R::Moment,
        packet: &[u8],
        client: Client,
        effort: Effort,
        reply: &mut Vec<u8>,
    ) -> Outcome {
        reply.clear();
        let outcome = self.responder.respond(moment, packet, client, effort, reply);
        if outcome.lacks.is_none() {
            let octets = [packet.len(), reply.len()];
            self.record(&mut self.counters.tally(), moment, &outcome, octets, || (packet, client));
        }
        outcome
    }

    /// As [`Self::answer`] for a batch of UDP packets. Empty ones are passed over. `send` makes what sends
    /// a reply later to the sender of the packet at a place.
    pub(super) fn answer_batch(
        &self,
        moment: &R::Moment,
        batch: &mut [Exchange<'_>],
        send: impl Fn(usize) -> Send,
    ) {
        self.responder.respond_batch(moment, batch);
        let mut efforts = Efforts::new(batch.len());
        let mut tally = self.counters.tally();
        let limiter = self.limiter.as_deref().map(|limiter| (limiter, limiter.now()));
        for (place, exchange) in batch.iter_mut().enumerate() {
            let mut is_limited = false;
            if exchange.outcome().is_none() && !exchange.packet().is_empty() {
                is_limited = self.answer_alone(moment, exchange, &mut efforts, limiter, || send(place));
            }
            // What is signed has passed the limit before.
            let limiter = limiter.filter(|_| !is_limited);
            if limiter.is_some_and(|(limiter, now)| !limiter.allows(now, exchange, &self.counters)) {
                continue;
            }
            if let Some(outcome) = exchange.outcome().filter(|outcome| outcome.lacks.is_none()) {
                let octets = [exchange.packet_octets(), exchange.reply_octets()];
                self.record(&mut tally, moment, outcome, octets, || (exchange.packet(), exchange.client()));
            }
        }
    }

    /// Answers a packet of a batch for which there is no faster way. `send` makes what sends a reply to it later.
    /// Returns whether its answer has already met the limit.
    #[inline(never)]
    fn answer_alone(
        &self,
        moment: &R::Moment,
        exchange: &mut Exchange<'_>,
        efforts: &mut Efforts,
        limiter: Option<(&Limiter, Ticks)>,
        send: impl FnOnce() -> Send,
    ) -> bool {
        let mut is_limited = false;
        exchange.respond(|packet, client, reply| {
            let effort = efforts.next(&self.queue);
            let outcome = self.responder.respond(moment, packet, client, effort, reply);
            efforts.count(&outcome);
            is_limited = outcome.lacks.is_some();
            let at_once = efforts.are_at_once(&self.queue);
            self.hand_on(moment, (packet, client), outcome, reply, (limiter, at_once), send)
        });
        is_limited
    }

    /// Counts a packet and its reply by their octets, and logs the packet and its client. Of the packet only
    /// the question counts.
    #[inline(always)]
    pub(super) fn record<'p>(
        &self,
        tally: &mut Tally<'_>,
        moment: &R::Moment,
        outcome: &Outcome,
        [octets, reply_octets]: [usize; 2],
        packet: impl FnOnce() -> (&'p [u8], Client),
    ) {
        let slot = |zone| self.responder.zone_slot(moment, zone);
        tally.count(outcome, slot, octets, reply_octets);
        if let Some(log) = &self.query_log
            && outcome.reply
        {
            let (packet, client) = packet();
            log.record(packet, client, outcome, reply_octets);
        }
    }
}
