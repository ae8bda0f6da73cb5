//! Answers that a client keeps until they expire, bounded in octets.
//!
//! Keyed by question, blocks by their prefix: since a walk asks for the same few blocks for all
//! addresses of a range, this is the interval map of the format. Times are seconds of the caller's
//! clock. An expired answer stays until its room is needed, for callers that serve stale answers
//! when nothing better can be had (RFC 8767).

use std::collections::{BTreeMap, HashMap};

use super::walk::{Answer, Question};

/// What an entry takes beside its records, by and large: its keys in both maps.
const ENTRY_OCTETS: usize = 200;
/// What a record takes beside its octets.
const RECORD_OCTETS: usize = 32;

/// A bounded cache of answers; those not used for the longest time leave first.
#[derive(Debug)]
pub struct AnswerCache {
    entries: HashMap<Question, Entry>,
    /// The questions in the order of their last use.
    by_use: BTreeMap<u64, Question>,
    uses: u64,
    octets: usize,
    max_octets: usize,
}

#[derive(Debug)]
struct Entry {
    answer: Answer,
    expires: u64,
    last_use: u64,
    octets: usize,
}

/// An answer from the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cached<'c> {
    /// The answer.
    pub answer: &'c Answer,
    /// The seconds that it still holds; 0 if it is stale.
    pub ttl: u64,
}

impl AnswerCache {
    /// An empty cache that holds about `max_octets` at most.
    pub fn new(max_octets: usize) -> Self {
        Self { entries: HashMap::new(), by_use: BTreeMap::new(), uses: 0, octets: 0, max_octets }
    }

    /// The answer to a question that expires after `now`, or did so less than `stale` seconds ago.
    pub fn get(&mut self, question: &Question, now: u64, stale: u64) -> Option<Cached<'_>> {
        let entry = self.entries.get_mut(question)?;
        if now >= entry.expires.saturating_add(stale) {
            return None;
        }
        self.by_use.remove(&entry.last_use);
        self.uses += 1;
        entry.last_use = self.uses;
        self.by_use.insert(self.uses, *question);
        Some(Cached { answer: &entry.answer, ttl: entry.expires.saturating_sub(now) })
    }

    /// Keeps an answer until `expires`, in place of an earlier one.
    pub fn insert(&mut self, question: Question, answer: Answer, expires: u64) {
        self.remove(&question);
        let records = match &answer {
            Answer::Records(records) => records.iter().map(|rdata| rdata.len() + RECORD_OCTETS).sum(),
            Answer::NoRecords | Answer::Failed => 0,
        };
        if ENTRY_OCTETS + records > self.max_octets {
            return;
        }
        self.uses += 1;
        let entry = Entry { answer, expires, last_use: self.uses, octets: ENTRY_OCTETS + records };
        self.octets += entry.octets;
        self.by_use.insert(self.uses, question);
        self.entries.insert(question, entry);
        while self.octets > self.max_octets {
            let Some((_, oldest)) = self.by_use.first_key_value() else { break };
            let oldest = *oldest;
            self.remove(&oldest);
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

    fn remove(&mut self, question: &Question) {
        if let Some(entry) = self.entries.remove(question) {
            self.octets -= entry.octets;
            self.by_use.remove(&entry.last_use);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Key;

    fn question(number: u32) -> Question {
        Question::Addresses(Key::V4(number))
    }

    fn answer(octets: usize) -> Answer {
        Answer::Records(vec![vec![0; octets].into()])
    }

    #[test]
    fn answers_expire() {
        let mut cache = AnswerCache::new(10_000);
        cache.insert(question(1), answer(4), 100);
        assert_eq!(cache.get(&question(1), 40, 0), Some(Cached { answer: &answer(4), ttl: 60 }));
        assert_eq!(cache.get(&question(1), 100, 0), None);
        assert_eq!(cache.get(&question(1), 100, 10), Some(Cached { answer: &answer(4), ttl: 0 }));
        assert_eq!(cache.get(&question(1), 110, 10), None);
        cache.insert(question(1), Answer::NoRecords, 200);
        assert_eq!(cache.get(&question(1), 110, 0), Some(Cached { answer: &Answer::NoRecords, ttl: 90 }));
        assert_eq!(cache.get(&question(2), 0, 0), None);
        assert_eq!(cache.len(), 1);
    }

    #[test]
    fn the_longest_unused_leave_first() {
        let mut cache = AnswerCache::new(10 * (ENTRY_OCTETS + RECORD_OCTETS + 100));
        for number in 0..10 {
            cache.insert(question(number), answer(100), 100);
        }
        assert!(cache.get(&question(0), 0, 0).is_some());
        cache.insert(question(10), answer(100), 100);
        assert!(cache.get(&question(0), 0, 0).is_some());
        assert!(cache.get(&question(1), 0, 0).is_none());
        assert_eq!(cache.len(), 10);
        // What is larger than the whole cache is not kept.
        cache.insert(question(11), answer(100_000), 100);
        assert_eq!((cache.len(), cache.by_use.len()), (10, 10));
        for number in 0..12 {
            cache.remove(&question(number));
        }
        assert!(cache.is_empty() && cache.octets == 0 && cache.by_use.is_empty());
    }
}
