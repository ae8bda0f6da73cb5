//! Access rules in the fast path: the plain questions of a batch are counted against what their keys or
//! clients may ask, before they are looked up.
//!
//! What is denied with a refusal gets it here; where something else is to be said in place of the data,
//! that is left to the general path, which then counts it. A question that was granted and is then not
//! answered here is taken back, since the general path counts it again.

use super::exchange::Exchange;
use super::opt::{self, Context};
use super::question::Plain;
use super::tail::ONE_QUESTION;
use super::view::Plan;
use super::{Asked, BATCH, Buffer, Places, reply};
use crate::access::plan::LONGEST_TEXT;
use crate::access::{Beyond, By, Entry, Gate, Label, Passage, Verdict};
use crate::answer::Outcome;
use crate::prefix_table::widest;
use crate::rate_limit;
use crate::snapshot::Snapshot;
use crate::wire::{HEADER_OCTETS, class, extended_error, option_code, rcode};

/// What was granted in a batch, and what was denied, by place.
pub(super) struct Admitted<'s> {
    entries: [Option<Entry<'s>>; BATCH],
    /// What was looked at.
    judged: Places,
    denied: Places,
}

/// Takes out of `waiting` what is not answered from the data; refuses what is to be refused.
#[inline(never)]
pub(super) fn admit<'s>(
    snapshot: &'s Snapshot,
    batch: &mut [Exchange<'_>],
    asked: &Asked<'_>,
    context: &Context<'_>,
    waiting: &mut Places,
) -> Admitted<'s> {
    let gate = snapshot.gate();
    let mut admitted =
        Admitted { entries: entries(gate, batch, asked, *waiting), judged: *waiting, denied: 0 };
    for (place, plain, plan) in among(*waiting, asked) {
        let entry = admitted.entries[place];
        let verdict = match (plan.judged, entry) {
            (By::Nothing, _) | (By::Client, None) => continue,
            (By::Key, None) => Verdict::UnknownKey,
            (_, Some(entry)) => gate.charge(plan.index as usize, entry),
        };
        if verdict == Verdict::Granted {
            continue;
        }
        admitted.denied |= 1 << place;
        // The answer to a cookie is the general path's.
        if let Some(text) = refusal(gate, verdict, entry).filter(|_| plain.cookie.is_none()) {
            if let Some(entry) = entry {
                entry.account.count_denied();
            }
            let passage = Passage { plan: entry.map(|entry| entry.plan), verdict };
            refuse(&mut batch[place], plain, asked.addresses[place], plan, passage, text, context);
        }
    }
    *waiting &= !admitted.denied;
    admitted
}

impl Admitted<'_> {
    /// Notes what was granted with what was answered, and takes the rest of it back.
    #[inline(never)]
    pub(super) fn finish(&self, gate: &Gate, batch: &mut [Exchange<'_>], asked: &Asked<'_>) {
        for (place, plain, plan) in among(self.judged & !self.denied, asked) {
            let entry = self.entries[place];
            if plan.judged == By::Nothing {
                continue;
            }
            let granted = |entry: Entry<'_>| Passage { plan: Some(entry.plan), verdict: Verdict::Granted };
            if let Some(outcome) = batch[place].outcome_mut() {
                (outcome.access, outcome.key) = (entry.map(granted), key(plain, plan));
                outcome.has_key = outcome.key.is_some();
            } else if let Some(entry) = entry {
                gate.give_back(entry);
            }
        }
    }
}

/// The questions at some places.
#[inline(always)]
fn among<'a>(mut places: Places, asked: &'a Asked<'_>) -> impl Iterator<Item = (usize, &'a Plain, &'a Plan)> {
    std::iter::from_fn(move || {
        let place = places.trailing_zeros() as usize;
        let (plan, plain) = ((*asked.plans.get(place)?)?, asked.questions.get(place)?);
        places &= places - 1;
        Some((place, plain, plan))
    })
}

/// Whose questions those at some places are.
fn entries<'s>(
    gate: &'s Gate,
    batch: &[Exchange<'_>],
    asked: &Asked<'_>,
    places: Places,
) -> [Option<Entry<'s>>; BATCH] {
    let keys = gate.keys().map(|keys| &**keys);
    // The hashes of all keys first, then their places in the table, their accounts last: what one step finds
    // out is fetched for the next, for all keys together.
    let mut hashes = [0; BATCH];
    if let Some(keys) = keys {
        widest(
            #[inline(always)]
            |_| {
                for (place, plain, _) in among(places, asked).filter(|(.., plan)| plan.judged == By::Key) {
                    hashes[place] = keys.hash(&label(plain, batch[place].buffer));
                }
            },
        );
    }
    let mut entries = [None; BATCH];
    let mut known = None;
    for (place, plain, plan) in among(places, asked) {
        entries[place] = match plan.judged {
            By::Nothing => None,
            By::Key => {
                let entry = keys
                    .and_then(|keys| keys.find_label(hashes[place], || label(plain, batch[place].buffer)));
                entry.inspect(|entry| entry.account.expect())
            }
            By::Client => {
                let client = batch[place].client.address;
                match known {
                    // Packets of one resolver often follow each other.
                    Some((last, entry)) if last == client => entry,
                    _ => known.insert((client, gate.by_client(client))).1,
                }
            }
        };
    }
    entries
}

/// The label in a packet that is to be a key.
#[inline(always)]
fn label(plain: &Plain, buffer: &Buffer) -> Label {
    let place = plain.between();
    let octets = buffer[place.start + 1..].first_chunk().copied().unwrap_or([0; Label::ROOM]);
    Label::new(&octets, place.len() - 1)
}

/// The text of the refusal; `None` where something else is said.
fn refusal<'s>(gate: &'s Gate, verdict: Verdict, entry: Option<Entry<'s>>) -> Option<&'s str> {
    let Some(entry) = entry else { return gate.keys().map(|_| gate.unknown_text().unwrap_or_default()) };
    let plan = gate.plan(entry)?;
    let refuses = verdict == Verdict::NotInPlan || plan.beyond == Beyond::Refuse;
    refuses.then(|| plan.text.as_deref().unwrap_or_default())
}

/// Where in the name the key begins.
fn key(plain: &Plain, plan: &Plan) -> Option<u8> {
    (plan.judged == By::Key).then(|| (plain.between().start - HEADER_OCTETS) as u8)
}

/// Writes REFUSED with an Extended DNS Error in the place of the packet. With the longest text it is
/// shorter than 512 octets.
fn refuse(
    exchange: &mut Exchange<'_>,
    plain: &Plain,
    address: u128,
    plan: &Plan,
    access: Passage,
    text: &str,
    context: &Context<'_>,
) {
    const FIXED: usize = 6;
    let mut options = [0; FIXED + LONGEST_TEXT];
    let octets = (FIXED + text.len()).min(options.len());
    let (fixed, place) = options[..octets].split_at_mut(FIXED);
    let words = [option_code::EXTENDED_DNS_ERROR, octets as u16 - 4, extended_error::PROHIBITED];
    fixed.copy_from_slice(words.map(u16::to_be_bytes).as_flattened());
    place.copy_from_slice(&text.as_bytes()[..octets - FIXED]);
    let options = &options[..octets];
    opt::write(exchange.buffer, plain.end(), plain, options, context);
    let end = plain.end() + opt::octets(plain, options);
    let counts = ONE_QUESTION | u64::from(plain.edns.is_there());
    reply::finish_header(exchange.buffer, 0, rcode::REFUSED, counts);
    let outcome = Outcome {
        reply: true,
        zone: Some(plan.index),
        rcode: rcode::REFUSED,
        query_type: plain.record_type,
        query_class: class::IN,
        family: Some(plain.family),
        access: Some(access),
        key: key(plain, plan),
        ..Outcome::default()
    };
    exchange.replied(end, outcome, rate_limit::of_address(address, plan.index, plain.record_type));
}
