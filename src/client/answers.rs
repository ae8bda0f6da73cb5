//! What has been asked: answers are kept as long as they hold, questions that several ask at once are
//! asked once, and who does not answer is left alone for a moment, but for a question now and then.
//!
//! ```text
//! question ─▶ kept? ─▶ on its way? ─▶ failed just now? ─▶ Upstream ─▶ kept
//!               └────────┴── stale, where nothing better can be had ──┘
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_proto::rr::{Name, RecordType};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::upstream::{Failure, Question, Reply, Upstream};
use crate::range_record::cache::AnswerCache;
use crate::range_record::walk::Answer;

/// How long who has stale answers waits for fresh ones in all (RFC 8767, section 5).
const STALE_PATIENCE: Duration = Duration::from_millis(1800);
/// How long a failure is remembered, in seconds (RFC 9520, section 3.2).
const FAILURE_SECONDS: u64 = 5;
/// Questions of a type in a zone in a row without a reply before most of the next are not asked.
const MAX_SILENT: u32 = 2;
/// For how long, in seconds: more than questions in vain for a lookup take.
const SILENT_SECONDS: u64 = 15;
/// How often one is asked all the same, in seconds, so that a server that comes back is noticed.
const PROBE_SECONDS: u64 = 1;
/// How long who asked that one waits for it: longer than an answer takes, not as long as silence.
const PROBE_PATIENCE: Duration = Duration::from_secs(1);
/// Octets of remembered failures.
const FAILURE_OCTETS: usize = 1 << 20;
/// What the parts of a question take, by and large, beside its name; and what a record takes.
const QUESTION_OCTETS: usize = 100;
const RECORD_OCTETS: usize = 32;

/// What is kept and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of answers, about.
    pub octets: usize,
    /// How long an answer may be used beyond its TTL where no other can be had, in seconds.
    pub stale: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { octets: 64 << 20, stale: 0 }
    }
}

/// Until when fresh answers are waited for where there are stale ones: one moment for all the questions
/// of a lookup, or of a client's query. They are asked later too, and nobody waits for them.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    ends: Instant,
}

impl Patience {
    /// As long as clients like to wait, from now on.
    pub fn begin() -> Self {
        Self { ends: Instant::now() + STALE_PATIENCE }
    }
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// It was kept.
    Cache,
    /// Another lookup asked for it at the same time.
    Shared,
    /// It was asked for.
    Asked,
    /// It was kept, and has expired; no other could be had.
    Stale,
}

/// A question and what came of it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The question.
    pub question: Arc<Question>,
    /// The answer.
    pub reply: Result<Arc<Reply>, Failure>,
    /// How long the answer still holds, in seconds.
    pub ttl: u64,
    /// Where it came from.
    pub source: Source,
}

impl Asked {
    /// The answer as a walk takes it.
    pub(super) fn answer(&self) -> &Answer {
        self.reply.as_ref().map_or(&Answer::Failed, |reply| &reply.answer)
    }
}

/// An [`Upstream`] with a memory.
pub struct Answers {
    upstream: Box<dyn Upstream>,
    limits: Limits,
    started: Instant,
    state: Mutex<State>,
}

struct State {
    kept: AnswerCache<Arc<Question>, Arc<Reply>>,
    failed: AnswerCache<Arc<Question>, Failure>,
    /// Questions on their way; the value comes once.
    under_way: HashMap<Arc<Question>, watch::Receiver<Option<Outcome>>>,
    /// Of which zones and types nobody answers questions. The servers of one zone may be gone while a
    /// resolver answers for others; some firewalls drop the types that they do not know, and no others.
    silent: HashMap<(Name, RecordType), Silence>,
}

/// Questions in a row that got no reply.
#[derive(Default)]
struct Silence {
    times: u32,
    /// When a reply came last: what was asked before that proves nothing any more.
    replied: u64,
    /// When it is forgotten, and when the next question is let through before that.
    until: u64,
    next_probe: u64,
}

type Outcome = Result<Arc<Reply>, Failure>;

impl Answers {
    /// Asks `upstream` and keeps what it says.
    pub fn new(upstream: Box<dyn Upstream>, limits: Limits) -> Arc<Self> {
        let state = State {
            kept: AnswerCache::new(limits.octets),
            failed: AnswerCache::new(FAILURE_OCTETS),
            under_way: HashMap::new(),
            silent: HashMap::new(),
        };
        Arc::new(Self { upstream, limits, started: Instant::now(), state: Mutex::new(state) })
    }

    /// Answers a question about a zone, from memory where that knows.
    pub async fn ask(self: &Arc<Self>, zone: &Name, question: Question, patience: Patience) -> Asked {
        let question = Arc::new(question);
        let asked = |reply, ttl, source| Asked { question: question.clone(), reply, ttl, source };
        let (stale, mut waiting, source, silent) = match self.look_up(zone, &question) {
            Known::Fresh(reply, ttl) => return asked(Ok(reply), ttl, Source::Cache),
            Known::Failed(Some(stale), _) => return asked(Ok(stale), 0, Source::Stale),
            Known::Failed(None, failure) => return asked(Err(failure), 0, Source::Cache),
            Known::UnderWay { stale, waiting, source, silent } => (stale, waiting, source, silent),
        };
        let came = waiting.wait_for(Option::is_some);
        let ends = [silent.then(|| Instant::now() + PROBE_PATIENCE), stale.as_ref().map(|_| patience.ends)];
        let came = match ends.into_iter().flatten().min() {
            Some(end) => timeout_at(end, came).await.ok(),
            None => Some(came.await),
        };
        // An error says that the task was dropped: the runtime ends.
        let outcome = came.and_then(Result::ok).and_then(|outcome| outcome.clone());
        match (outcome.unwrap_or(Err(Failure::NoReply)), stale) {
            (Ok(reply), _) => asked(Ok(reply.clone()), reply.ttl.into(), source),
            (Err(_), Some(stale)) => asked(Ok(stale), 0, Source::Stale),
            (Err(failure), None) => asked(Err(failure), 0, source),
        }
    }

    fn look_up(self: &Arc<Self>, zone: &Name, question: &Arc<Question>) -> Known {
        let now = self.now();
        let mut state = self.state();
        let stale = match state.kept.get(question, now, self.limits.stale) {
            Some(kept) if kept.ttl > 0 => return Known::Fresh(kept.answer.clone(), kept.ttl),
            kept => kept.map(|kept| kept.answer.clone()),
        };
        let silent = state.is_silent(zone, question.record_type, now);
        // Without its sender, the task that asked has died.
        if let Some(waiting) = state.under_way.get(question).filter(|waiting| waiting.has_changed().is_ok()) {
            return Known::UnderWay { stale, waiting: waiting.clone(), source: Source::Shared, silent };
        }
        if let Some(failed) = state.failed.get(question, now, 0) {
            return Known::Failed(stale, *failed.answer);
        }
        if silent && !state.may_probe(zone, question.record_type, now) {
            return Known::Failed(stale, Failure::Silent);
        }
        // A task of its own, so that the answer is kept even if who asked does not wait for it.
        let (sender, waiting) = watch::channel(None);
        state.under_way.insert(question.clone(), waiting.clone());
        let (answers, zone, question) = (self.clone(), zone.clone(), question.clone());
        tokio::spawn(async move {
            let outcome = answers.upstream.ask(&question).await.map(Arc::new);
            answers.keep(zone, &question, now, &outcome);
            sender.send_replace(Some(outcome));
        });
        Known::UnderWay { stale, waiting, source: Source::Asked, silent }
    }

    fn keep(&self, zone: Name, question: &Arc<Question>, asked_at: u64, outcome: &Outcome) {
        let now = self.now();
        let mut state = self.state();
        state.under_way.remove(question);
        let octets = QUESTION_OCTETS + 2 * question.name.len();
        let kind = (zone, question.record_type);
        if !matches!(outcome, Err(failure) if failure.is_silence())
            && let Some(silence) = state.silent.get_mut(&kind)
        {
            (silence.times, silence.replied) = (0, now);
        }
        match outcome {
            Ok(reply) => {
                state.failed.remove(question);
                let records = match &reply.answer {
                    Answer::Records(records) => records.iter().map(|rdata| rdata.len() + RECORD_OCTETS).sum(),
                    Answer::NoRecords | Answer::Failed => 0,
                };
                let expires = now + u64::from(reply.ttl);
                state.kept.insert(question.clone(), reply.clone(), octets + records, expires);
            }
            Err(failure) => {
                state.failed.insert(question.clone(), *failure, octets, now + FAILURE_SECONDS);
                if failure.is_silence() {
                    state.silent.retain(|_, silence| now < silence.until);
                    let silence = state.silent.entry(kind).or_default();
                    silence.times += u32::from(asked_at >= silence.replied);
                    silence.until = now + SILENT_SECONDS;
                    silence.next_probe = now + PROBE_SECONDS;
                }
            }
        }
    }

    /// Seconds since the beginning.
    fn now(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of a question; `stale` is an expired answer to it.
enum Known {
    Fresh(Arc<Reply>, u64),
    Failed(Option<Arc<Reply>>, Failure),
    UnderWay {
        stale: Option<Arc<Reply>>,
        waiting: watch::Receiver<Option<Outcome>>,
        source: Source,
        /// An answer is not expected.
        silent: bool,
    },
}

impl State {
    /// True if nobody answers questions of a type about a zone.
    fn is_silent(&self, zone: &Name, record_type: RecordType, now: u64) -> bool {
        let is_silent = |silence: &Silence| silence.times >= MAX_SILENT && now < silence.until;
        !self.silent.is_empty() && self.silent.get(&(zone.clone(), record_type)).is_some_and(is_silent)
    }

    /// True if it is time for a question all the same, which is then to be asked.
    fn may_probe(&mut self, zone: &Name, record_type: RecordType, now: u64) -> bool {
        let silence = self.silent.entry((zone.clone(), record_type)).or_default();
        let may = silence.next_probe <= now;
        if may {
            silence.next_probe = now + PROBE_SECONDS;
        }
        may
    }
}
