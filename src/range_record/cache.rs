//! Answers that a client keeps until they expire, bounded in octets.
//!
//! Keyed by question: since a walk asks for the same few blocks for all addresses of a range, this
//! is the interval map of the format. Times are seconds of the caller's clock. An expired answer
//! stays until its room is needed, for callers that serve stale answers when nothing better can be
//! had (RFC 8767). What a question and an answer are is the caller's affair.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// What an entry takes beside what the caller counts, by and large: its places in both maps.
const ENTRY_OCTETS: usize = 200;

/// A bounded cache of answers `A` to questions `Q`, which are cheap to clone; those not used for
/// the longest time leave first.
#[derive(Debug)]
pub struct AnswerCache<Q, A> {
    entries: HashMap<Q, Entry<A>>,
    /// The questions in the order of their last use.
    by_use: BTreeMap<u64, Q>,
    uses: u64,
    octets: usize,
    max_octets: usize,
}

#[derive(Debug)]
struct Entry<A> {
    answer: A,
    expires: u64,
    last_use: u64,
    octets: usize,
}

/// An answer from the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cached<'c, A> {
    /// The answer.
    pub answer: &'c A,
    /// The seconds that it still holds; 0 if it is stale.
    pub ttl: u64,
}

impl<Q: Clone + Eq + Hash, A> AnswerCache<Q, A> {
    /// An empty cache that holds about `max_octets` at most.
    pub fn new(max_octets: usize) -> Self {
        Self { entries: HashMap::new(), by_use: BTreeMap::new(), uses: 0, octets: 0, max_octets }
    }

    /// The answer to a question that expires after `now`, or did so less than `stale` seconds ago.
    pub fn get(&mut self, question: &Q, now: u64, stale: u64) -> Option<Cached<'_, A>> {
        let entry = self.entries.get_mut(question)?;
        if now >= entry.expires.saturating_add(stale) {
            return None;
        }
        self.by_use.remove(&entry.last_use);
        self.uses += 1;
        entry.last_use = self.uses;
        self.by_use.insert(self.uses, question.clone());
        Some(Cached { answer: &entry.answer, ttl: entry.expires.saturating_sub(now) })
    }

    /// Keeps an answer until `expires`, in place of an earlier one. `octets` is what question and
    /// answer take.
    pub fn insert(&mut self, question: Q, answer: A, octets: usize, expires: u64) {
        self.remove(&question);
        let octets = octets.saturating_add(ENTRY_OCTETS);
        if octets > self.max_octets {
            return;
        }
        self.uses += 1;
        self.octets += octets;
        self.by_use.insert(self.uses, question.clone());
        self.entries.insert(question, Entry { answer, expires, last_use: self.uses, octets });
        while self.octets > self.max_octets {
            let Some(oldest) = self.by_use.first_key_value().map(|(_, question)| question.clone()) else {
                break;
            };
            self.remove(&oldest);
        }
    }

    /// Forgets an answer.
    pub fn remove(&mut self, question: &Q) {
        if let Some(entry) = self.entries.remove(question) {
            self.octets -= entry.octets;
            self.by_use.remove(&entry.last_use);
        }
    }

    /// How many answers there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Cache = AnswerCache<u32, &'static str>;

    #[test]
    fn answers_expire() {
        let mut cache = Cache::new(10_000);
        cache.insert(1, "first", 4, 100);
        assert_eq!(cache.get(&1, 40, 0), Some(Cached { answer: &"first", ttl: 60 }));
        assert_eq!(cache.get(&1, 100, 0), None);
        assert_eq!(cache.get(&1, 100, 10), Some(Cached { answer: &"first", ttl: 0 }));
        assert_eq!(cache.get(&1, 110, 10), None);
        cache.insert(1, "second", 4, 200);
        assert_eq!(cache.get(&1, 110, 0), Some(Cached { answer: &"second", ttl: 90 }));
        assert_eq!(cache.get(&2, 0, 0), None);
        assert_eq!(cache.len(), 1);
    }

    #[test]
    fn the_longest_unused_leave_first() {
        let mut cache = Cache::new(10 * (ENTRY_OCTETS + 100));
        for number in 0..10 {
            cache.insert(number, "", 100, 100);
        }
        assert!(cache.get(&0, 0, 0).is_some());
        cache.insert(10, "", 100, 100);
        assert!(cache.get(&0, 0, 0).is_some());
        assert!(cache.get(&1, 0, 0).is_none());
        assert_eq!(cache.len(), 10);
        // What is larger than the whole cache is not kept.
        cache.insert(11, "", 100_000, 100);
        cache.insert(12, "", usize::MAX, 100);
        assert_eq!((cache.len(), cache.by_use.len()), (10, 10));
        for number in 0..13 {
            cache.remove(&number);
        }
        assert!(cache.is_empty() && cache.octets == 0 && cache.by_use.is_empty());
    }
}
