//! What was asked by access rules: a few sums for everybody, and each account for who bills.

use std::time::SystemTime;

use super::{Observer, seconds};
use crate::access::{AccountId, Entry, Gate, Now, Verdict};
use crate::metrics::Totals;

/// What access rules made of questions since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AccessStatus {
    /// Access keys that are served.
    pub keys: u64,
    /// The plans, in the order of the configuration.
    pub plans: Vec<PlanStatus>,
    /// Questions without a key, or with one that nobody has.
    pub unknown_key: u64,
}

/// What became of the questions of those who have a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PlanStatus {
    /// Its name.
    pub name: String,
    /// Answered from the data.
    pub granted: u64,
    /// Too many a second.
    pub rate: u64,
    /// Over the quota of the day.
    pub daily: u64,
    /// Over the quota of the month.
    pub monthly: u64,
    /// For a zone that it is not for.
    pub not_in_plan: u64,
}

/// What accounts have asked: those that have asked anything, the busiest of this month first.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct UsageReport {
    /// How many accounts have asked anything, listed or not.
    pub accounts: u64,
    /// The first of them.
    pub usage: Vec<AccountUsage>,
}

/// What one account has asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AccountUsage {
    /// The prefix of a rule; of a key, the first 12 digits of its SHA-256 digest.
    pub account: String,
    /// The name of its plan.
    pub plan: String,
    /// Questions answered today (UTC).
    pub today: u64,
    /// Questions answered in this month (UTC).
    pub month: u64,
    /// Questions answered, ever.
    pub total: u64,
    /// Questions beyond the plan, ever.
    pub denied: u64,
}

impl PlanStatus {
    /// What became of the questions, by name.
    pub fn verdicts(&self) -> [(Verdict, u64); 5] {
        [
            (Verdict::Granted, self.granted),
            (Verdict::Rate, self.rate),
            (Verdict::Daily, self.daily),
            (Verdict::Monthly, self.monthly),
            (Verdict::NotInPlan, self.not_in_plan),
        ]
    }
}

impl AccessStatus {
    /// The sums; none where there are no rules.
    pub(super) fn new(gate: &Gate, totals: &Totals) -> Option<Self> {
        let policy = gate.policy();
        let count = |plan, verdict| {
            let is = |passage: &crate::access::Passage| passage.plan == plan && passage.verdict == verdict;
            totals.passages.iter().filter(|(passage, _)| is(passage)).map(|(_, count)| count).sum()
        };
        let plan = |(place, plan): (usize, &crate::access::Plan)| {
            let counted = |verdict| count(Some(place as u8), verdict);
            PlanStatus {
                name: plan.name.clone(),
                granted: counted(Verdict::Granted),
                rate: counted(Verdict::Rate),
                daily: counted(Verdict::Daily),
                monthly: counted(Verdict::Monthly),
                not_in_plan: counted(Verdict::NotInPlan),
            }
        };
        policy.is_needed().then(|| Self {
            keys: gate.keys().map_or(0, |keys| keys.len() as u64),
            plans: policy.plans.iter().enumerate().map(plan).collect(),
            unknown_key: count(None, Verdict::UnknownKey),
        })
    }
}

impl Observer {
    /// What accounts have asked, of at most `limit` of them.
    pub fn usage(&self, limit: usize) -> UsageReport {
        let snapshot = self.responder.snapshot();
        report(snapshot.gate(), limit, Now::date(seconds(SystemTime::now())))
    }
}

fn report(gate: &Gate, limit: usize, now: Now) -> UsageReport {
    let rules = gate.policy().rules().map(|(clients, entry)| (entry, Some(clients.to_string())));
    let keys = gate.keys().into_iter().flat_map(|keys| keys.entries()).map(|entry| (entry, None));
    let was_used = |entry: &Entry<'_>| {
        let usage = entry.account.usage();
        usage.granted > 0 || usage.denied > 0
    };
    let mut used: Vec<_> = rules.chain(keys).filter(|(entry, _)| was_used(entry)).collect();
    used.sort_by_cached_key(|(entry, _)| {
        let busy = entry.account.usage().this_month(now);
        (std::cmp::Reverse(busy), entry.account.id)
    });
    let usage =
        used.iter().take(limit).map(|(entry, clients)| account(gate, *entry, clients.as_deref(), now));
    UsageReport { accounts: used.len() as u64, usage: usage.collect() }
}

fn account(gate: &Gate, entry: Entry<'_>, clients: Option<&str>, now: Now) -> AccountUsage {
    let usage = entry.account.usage();
    AccountUsage {
        account: clients.map_or_else(|| AccountId::to_string(&entry.account.id), str::to_owned),
        plan: gate.plan(entry).map(|plan| plan.name.clone()).unwrap_or_default(),
        today: usage.today(now),
        month: usage.this_month(now),
        total: usage.granted,
        denied: usage.denied,
    }
}
