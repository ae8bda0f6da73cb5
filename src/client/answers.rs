//! What has been asked: answers are kept as long as they hold, questions that several ask at once are
//! asked once, and who does not answer is left alone for a moment.
//!
//! ```text
//! question ─▶ kept? ─▶ on its way? ─▶ failed just now? ─▶ Upstream ─▶ kept
//!               └────────┴── stale, where nothing better can be had ──┘
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_proto::rr::RecordType;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::upstream::{Failure, Question, Reply, Upstream};
use crate::range_record::cache::AnswerCache;
use crate::range_record::walk::Answer;

/// How long who has a stale answer waits for a fresh one (RFC 8767, section 5).
const STALE_PATIENCE: Duration = Duration::from_millis(1800);
/// How long a failure is remembered, in seconds (RFC 9520, section 3.2).
const FAILURE_SECONDS: u64 = 5;
/// Questions of a type in a row without a reply before the next are not asked for a while.
const MAX_SILENT: u32 = 2;
/// For how long, in seconds: more than questions in vain for a lookup take.
const SILENT_SECONDS: u64 = 15;
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
    /// By type: how many questions in a row got no reply, and until when no more are asked. Some
    /// firewalls drop questions for types that they do not know, and no others.
    silent: HashMap<RecordType, (u32, u64)>,
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

    /// Answers a question, from memory where that knows.
    pub async fn ask(self: &Arc<Self>, question: Question) -> Asked {
        let question = Arc::new(question);
        let asked = |reply, ttl, source| Asked { question: question.clone(), reply, ttl, source };
        let (stale, mut waiting, source) = match self.look_up(&question) {
            Known::Fresh(reply, ttl) => return asked(Ok(reply), ttl, Source::Cache),
            Known::Failed(Some(stale), _) => return asked(Ok(stale), 0, Source::Stale),
            Known::Failed(None, failure) => return asked(Err(failure), 0, Source::Cache),
            Known::UnderWay { stale, waiting, source } => (stale, waiting, source),
        };
        let came = waiting.wait_for(Option::is_some);
        let came = match &stale {
            Some(_) => timeout(STALE_PATIENCE, came).await.ok(),
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

    fn look_up(self: &Arc<Self>, question: &Arc<Question>) -> Known {
        let now = self.now();
        let mut state = self.state();
        let stale = match state.kept.get(question, now, self.limits.stale) {
            Some(kept) if kept.ttl > 0 => return Known::Fresh(kept.answer.clone(), kept.ttl),
            kept => kept.map(|kept| kept.answer.clone()),
        };
        // Without its sender, the task that asked has died.
        if let Some(waiting) = state.under_way.get(question).filter(|waiting| waiting.has_changed().is_ok()) {
            return Known::UnderWay { stale, waiting: waiting.clone(), source: Source::Shared };
        }
        if let Some(failure) = state.recent_failure(question, now) {
            return Known::Failed(stale, failure);
        }
        // A task of its own, so that the answer is kept even if who asked does not wait for it.
        let (sender, waiting) = watch::channel(None);
        state.under_way.insert(question.clone(), waiting.clone());
        let (answers, question) = (self.clone(), question.clone());
        tokio::spawn(async move {
            let outcome = answers.upstream.ask(&question).await.map(Arc::new);
            answers.keep(&question, &outcome);
            sender.send_replace(Some(outcome));
        });
        Known::UnderWay { stale, waiting, source: Source::Asked }
    }

    fn keep(&self, question: &Arc<Question>, outcome: &Outcome) {
        let now = self.now();
        let mut state = self.state();
        state.under_way.remove(question);
        let octets = QUESTION_OCTETS + 2 * question.name.len();
        match outcome {
            Ok(reply) => {
                state.silent.remove(&question.record_type);
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
                    let (times, until) = state.silent.entry(question.record_type).or_default();
                    *times += 1;
                    *until = now + SILENT_SECONDS;
                } else {
                    state.silent.remove(&question.record_type);
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
    UnderWay { stale: Option<Arc<Reply>>, waiting: watch::Receiver<Option<Outcome>>, source: Source },
}

impl State {
    fn recent_failure(&mut self, question: &Arc<Question>, now: u64) -> Option<Failure> {
        if let Some(failed) = self.failed.get(question, now, 0) {
            return Some(*failed.answer);
        }
        let (times, until) = self.silent.get(&question.record_type)?;
        (*times >= MAX_SILENT && now < *until).then_some(Failure::Silent)
    }
}
