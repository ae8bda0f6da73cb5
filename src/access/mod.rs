//! Who may ask how much: rules by client prefix, and by the key that customers put into names
//! (`<address>.<key>.<zone>`). Each leads to a [`Plan`]: zones, a rate, quotas, and what is said beyond.
//!
//! ```text
//! nibbl.toml ──▶ Policy (plans, rules with their accounts) ─┐
//! key file ──▶ KeyList ──▶ KeyTable (digest → account) ─────┴─▶ Gate, a part of every Snapshot
//!                                                                │
//! question ──▶ entry (by key, or by client) ──▶ charge ──▶ Verdict ──▶ answer, refuse, count
//! ```
//!
//! Rules and keys are the data of a moment; accounts are counters that live on from snapshot to
//! snapshot. What rbldnsd knows as acl datasets is another thing (`dataset::access`): they say what
//! clients see, whatever they have asked, and come first.
//!
//! In a zone with keys every name has one: right below the apex, at least eight octets long, so that it
//! is never a part of an address. The apex itself and the zone's name servers have none, for resolvers
//! must find them; they are answered to all, and not counted.

pub mod account;
pub mod bucket;
pub mod clock;
pub mod key_file;
pub mod key_table;
pub mod plan;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use ip_network::IpNetwork;
use ip_network_table::IpNetworkTable;
use ipnet::IpNet;

pub use account::{Account, AccountId, Usage, Verdict};
pub use clock::{Clock, Now};
pub use key_table::{Entry, KeyList, KeyTable, Label};
pub use plan::{Beyond, Plan, PlanId};

use crate::name::Name;

/// What the configuration says, and the accounts of its rules: the same in all snapshots.
#[derive(Default)]
pub struct Policy {
    /// The plans, in the order of the configuration.
    pub plans: Vec<Plan>,
    /// The zones whose names have keys.
    pub keyed: Vec<Name>,
    /// What is said to people who ask with a key that nobody has.
    pub unknown_text: Option<String>,
    rules: IpNetworkTable<(Arc<Account>, PlanId)>,
    clock: Clock,
    /// Where accounts call that are to be put down.
    calls: Option<SyncSender<Call>>,
}

/// An account that is to be put down, and how far ahead.
#[derive(Debug)]
pub struct Call {
    /// Which.
    pub account: Arc<Account>,
    /// See [`Plan::slice`].
    pub slice: u64,
}

/// A rule: what clients of a prefix get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The clients; the longest prefix counts.
    pub clients: IpNet,
    /// The plan that they have together.
    pub plan: PlanId,
}

/// The rules and keys of one snapshot.
#[derive(Default)]
pub struct Gate {
    policy: Arc<Policy>,
    /// None where they could never be read.
    keys: Option<Arc<KeyTable>>,
    /// By place in the snapshot; none where there are no rules at all.
    zones: Box<[ZoneRules]>,
}

/// Which rules hold for a zone.
#[derive(Clone, Debug, Default)]
struct ZoneRules {
    keyed: bool,
    /// By plan: it is for this zone.
    covered: Box<[bool]>,
}

/// By what a question is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Nothing: everybody may ask.
    Nothing,
    /// The client's address.
    Client,
    /// The key in the name.
    Key,
}

/// What became of a question that rules concern: what is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Passage {
    /// The plan; `None` with [`Verdict::UnknownKey`].
    pub plan: Option<PlanId>,
    /// What came of it.
    pub verdict: Verdict,
}

impl Policy {
    /// A policy; `open` makes the accounts of the rules. Of two rules for the same prefix the first holds.
    pub fn new(
        plans: Vec<Plan>,
        keyed: Vec<Name>,
        unknown_text: Option<String>,
        rules: &[Rule],
        mut open: impl FnMut(AccountId) -> Account,
    ) -> Self {
        let mut table = IpNetworkTable::new();
        for rule in rules {
            // `IpNetwork` has no host bits.
            let clients = rule.clients.trunc();
            let Ok(network) = IpNetwork::new(clients.network(), clients.prefix_len()) else { continue };
            if table.exact_match(network).is_none() {
                let id = AccountId::of(format!("clients {clients}").as_bytes());
                table.insert(network, (Arc::new(open(id)), rule.plan));
            }
        }
        Self { plans, keyed, unknown_text, rules: table, clock: Clock::default(), calls: None }
    }

    /// Accounts that are to be put down call here.
    pub fn with_calls(self, calls: SyncSender<Call>) -> Self {
        Self { calls: Some(calls), ..self }
    }

    /// True if there is any rule or key.
    pub fn is_needed(&self) -> bool {
        !self.keyed.is_empty() || !self.rules.is_empty()
    }

    /// The time, which the rim moves on.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The rules with their accounts.
    pub fn rules(&self) -> impl Iterator<Item = (IpNetwork, Entry<'_>)> {
        self.rules.iter().map(|(clients, (account, plan))| (clients, Entry { account, plan: *plan }))
    }

    fn plan(&self, entry: Entry<'_>) -> Option<&Plan> {
        self.plans.get(usize::from(entry.plan))
    }
}

impl Gate {
    /// The rules for these zones, in the order of the snapshot.
    pub fn new<'z>(
        policy: &Arc<Policy>,
        keys: Option<&Arc<KeyTable>>,
        zones: impl Iterator<Item = &'z Name>,
    ) -> Self {
        let rules = |zone: &Name| ZoneRules {
            keyed: policy.keyed.contains(zone),
            covered: policy.plans.iter().map(|plan| plan.covers(zone)).collect(),
        };
        let zones = if policy.is_needed() { zones.map(rules).collect() } else { Box::default() };
        Self { policy: policy.clone(), keys: keys.cloned(), zones }
    }

    /// The policy behind it.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// The keys, if they could ever be read.
    pub fn keys(&self) -> Option<&Arc<KeyTable>> {
        self.keys.as_ref()
    }

    /// True if the names of a zone have keys.
    pub fn has_keys(&self) -> bool {
        !self.policy.keyed.is_empty()
    }

    /// Moves the time on, where anything depends on it: see [`Clock::set`].
    #[inline]
    pub fn set_time(&self, elapsed: Duration, seconds: u64) {
        if !self.zones.is_empty() {
            self.policy.clock.set(elapsed, seconds);
        }
    }

    /// By what questions for the zone at a place of the snapshot are judged.
    #[inline]
    pub fn judges(&self, zone: usize) -> By {
        match self.zones.get(zone) {
            None => By::Nothing,
            Some(rules) if rules.keyed => By::Key,
            Some(_) if self.policy.rules.is_empty() => By::Nothing,
            Some(_) => By::Client,
        }
    }

    /// Whose key this label is, in any letter case.
    #[inline]
    pub fn by_key(&self, label: &[u8]) -> Option<Entry<'_>> {
        self.keys.as_ref()?.find(AccountId::of_key(label))
    }

    /// The rule for a client.
    #[inline]
    pub fn by_client(&self, client: IpAddr) -> Option<Entry<'_>> {
        self.policy.rules.longest_match(client).map(|(_, (account, plan))| Entry { account, plan: *plan })
    }

    /// Takes a question for a zone from what an entry may ask. A denied one is not counted yet: see
    /// [`Account::count_denied`].
    #[inline]
    pub fn charge(&self, zone: usize, entry: Entry<'_>) -> Verdict {
        let covered = self.zones.get(zone).and_then(|rules| rules.covered.get(usize::from(entry.plan)));
        let (Some(true), Some(plan)) = (covered, self.policy.plan(entry)) else { return Verdict::NotInPlan };
        let verdict = entry.account.charge(plan, self.policy.clock.now());
        if verdict == Verdict::Granted && entry.account.calls(plan) {
            self.call(entry, plan);
        }
        verdict
    }

    #[cold]
    fn call(&self, entry: Entry<'_>, plan: &Plan) {
        let Some(calls) = &self.policy.calls else { return };
        let call = Call { account: entry.account.clone(), slice: plan.slice() };
        if calls.try_send(call).is_err() {
            entry.account.call_again();
        }
    }

    /// Takes a granted question back, which will be asked again.
    pub fn give_back(&self, entry: Entry<'_>) {
        if let Some(plan) = self.policy.plan(entry) {
            entry.account.give_back(plan);
        }
    }

    /// The plan of an entry.
    pub fn plan(&self, entry: Entry<'_>) -> Option<&Plan> {
        self.policy.plan(entry)
    }

    /// What is said to people who ask with a key that nobody has.
    pub fn unknown_text(&self) -> Option<&str> {
        self.policy.unknown_text.as_deref()
    }

    /// All accounts with their plans, those of rules first.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let keys = self.keys.iter().flat_map(|keys| keys.entries());
        self.policy.rules().map(|(_, entry)| entry).chain(keys)
    }
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy")
            .field("plans", &self.plans)
            .field("keyed", &self.keyed)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate")
            .field("policy", &self.policy)
            .field("keys", &self.keys.as_ref().map(|keys| keys.len()))
            .finish()
    }
}
