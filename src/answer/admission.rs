//! What access rules make of a question: its key is taken out of its name, and it is counted against
//! what its key or its client may ask. See [`access`](crate::access).

use super::{Response, no_data, refused, server_failure};
use crate::access::key_table::SHORTEST_KEY;
use crate::access::plan::BEYOND_TTL;
use crate::access::{Beyond, By, Entry, Passage, Verdict};
use crate::answer::Client;
use crate::name::Name;
use crate::query::Query;
use crate::snapshot::{Snapshot, ZoneMatch};
use crate::wire::{Question, extended_error};
use crate::zone::{Always, View};

/// A question that is answered from the data, or what is to be said in its place.
pub(super) struct Admitted<'s> {
    /// How many labels ask for something: all left of the apex, or of the key.
    pub(super) labels: usize,
    /// What the client sees.
    pub(super) view: View<'s>,
    pub(super) access: Option<Passage>,
    entry: Option<Entry<'s>>,
}

impl<'s> Admitted<'s> {
    /// The question will be asked again.
    pub(super) fn give_back(&self, snapshot: &'s Snapshot) {
        let granted = self.access.is_some_and(|access| access.verdict == Verdict::Granted);
        if let Some(entry) = self.entry.filter(|_| granted) {
            snapshot.gate().give_back(entry);
        }
    }
}

/// Lets a question through, or says why not. `labels` are those left of the apex; `view` is what the
/// access lists let the client see.
#[expect(clippy::result_large_err, reason = "made once a question, on the stack")]
pub(super) fn admit<'s>(
    snapshot: &'s Snapshot,
    found: &ZoneMatch<'s>,
    question: &Question<'_>,
    labels: &[&[u8]],
    client: Client,
    view: View<'s>,
) -> Result<Admitted<'s>, Response<'s>> {
    let gate = snapshot.gate();
    let free = |view| Ok(Admitted { labels: labels.len(), view, access: None, entry: None });
    let (entry, asking) = match (gate.judges(found.index), labels) {
        // Resolvers must find the zone.
        (By::Nothing, _) | (_, []) => return free(view),
        (By::Client, _) => match gate.by_client(client.address) {
            Some(entry) => (entry, labels.len()),
            None => return free(view),
        },
        (By::Key, [asking @ .., key]) => match gate.by_key(key) {
            // The names of all keys end here: there is no data, and no zone begins.
            Some(_) if asking.is_empty() => return Err(no_data(found.zone)),
            Some(entry) => (entry, asking.len()),
            None if is_name_server(found, question) => return free(view),
            None if gate.keys().is_none() => return Err(server_failure(extended_error::NOT_READY)),
            None => {
                let access = Some(Passage { plan: None, verdict: Verdict::UnknownKey });
                let error_text = gate.unknown_text().unwrap_or_default();
                return Err(Response { access, error_text, ..refused(extended_error::PROHIBITED) });
            }
        },
    };
    let verdict = gate.charge(found.index, entry);
    let access = Some(Passage { plan: Some(entry.plan), verdict });
    let admitted = |view| Ok(Admitted { labels: asking, view, access, entry: Some(entry) });
    if verdict == Verdict::Granted {
        return admitted(view);
    }
    entry.account.count_denied();
    let plan = gate.plan(entry);
    // Of a zone that is not in the plan there is nothing to be said.
    match (plan.map(|plan| &plan.beyond), &view) {
        (Some(Beyond::NotListed), _) if verdict != Verdict::NotInPlan => admitted(View::Empty),
        (Some(Beyond::Listed(saying)), View::Data | View::WithoutRanges) if verdict != Verdict::NotInPlan => {
            admitted(View::Always(Always { saying, ttl: BEYOND_TTL, client: client.address }))
        }
        _ => {
            let error_text = plan.and_then(|plan| plan.text.as_deref()).unwrap_or_default();
            Err(Response { access, error_text, ..refused(extended_error::PROHIBITED) })
        }
    }
}

/// Where in the name asked for a label begins that is a key: the one right below the apex of a zone whose
/// names have keys, as it may be meant as one, or wherever else there is one that somebody has.
pub(super) fn key(snapshot: &Snapshot, query: &Query<'_>) -> Option<u8> {
    let gate = snapshot.gate();
    let question = query.question().filter(|_| gate.has_keys())?;
    let offsets = question.label_offsets();
    let keyed = snapshot.zone_of(question.lowercase_name(), offsets);
    let keyed = keyed.filter(|found| gate.judges(found.index) == By::Key);
    let below_apex = keyed.and_then(|found| offsets.len().checked_sub(found.apex_labels + 1));
    let may_be_key = |&(place, label): &(usize, &[u8])| {
        label.len() >= SHORTEST_KEY && (Some(place) == below_apex || gate.by_key(label).is_some())
    };
    let place = question.labels().enumerate().filter(may_be_key).map(|(place, _)| place).last()?;
    offsets.get(place).copied()
}

/// True if a name server of the zone is asked for: resolvers must find its address.
fn is_name_server(found: &ZoneMatch<'_>, question: &Question<'_>) -> bool {
    let is_asked = |host: &Name| host.wire().eq_ignore_ascii_case(question.name());
    found.zone.apex().hosts().iter().any(is_asked)
}
