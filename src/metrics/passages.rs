//! What access rules made of questions, by plan and verdict.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::access::{Passage, PlanId, Verdict};

/// All plans that there may be, and none.
const PLANS: usize = PlanId::MAX as usize + 2;

/// The counters of one worker; allocated where a rule concerns a question.
#[derive(Debug, Default)]
pub(super) struct Passages(OnceLock<Box<[AtomicU64]>>);

impl Passages {
    /// The counter of a passage.
    #[inline]
    pub(super) fn counter(&self, passage: Passage) -> Option<&AtomicU64> {
        let counters =
            self.0.get_or_init(|| (0..PLANS * Verdict::ALL.len()).map(|_| AtomicU64::default()).collect());
        let plan = passage.plan.map_or(0, |plan| usize::from(plan) + 1);
        counters.get(plan * Verdict::ALL.len() + passage.verdict as usize)
    }

    /// What was counted.
    pub(super) fn counted(&self) -> impl Iterator<Item = (Passage, u64)> {
        let counters = self.0.get().into_iter().flat_map(|counters| counters.iter().enumerate());
        let counted = counters.map(|(cell, counter)| {
            let plan = (cell / Verdict::ALL.len()).checked_sub(1).map(|plan| plan as PlanId);
            (Passage { plan, verdict: Verdict::ALL[cell % Verdict::ALL.len()] }, counter.load(Relaxed))
        });
        counted.filter(|&(_, count)| count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_passage_has_a_counter_of_its_own() {
        let passages = Passages::default();
        assert_eq!(passages.counted().count(), 0);
        let plans = [None].into_iter().chain((0..=PlanId::MAX).map(Some));
        let mut expected = Vec::new();
        for (plan, verdict) in plans.flat_map(|plan| Verdict::ALL.map(|verdict| (plan, verdict))) {
            let passage = Passage { plan, verdict };
            passages.counter(passage).unwrap().fetch_add(expected.len() as u64 + 1, Relaxed);
            expected.push((passage, expected.len() as u64 + 1));
        }
        assert_eq!(passages.counted().collect::<Vec<_>>(), expected);
    }
}
