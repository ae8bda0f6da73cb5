//! Plans, quotas and rules, with a time that is passed in.

use std::sync::mpsc::sync_channel;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::access::bucket::Rate;

const DAY: u64 = 86_400;

fn name(text: &str) -> Name {
    Name::from_text(text.as_bytes()).unwrap()
}

fn gate(plans: Vec<Plan>, rules: &[Rule], keys: &[(&str, PlanId)]) -> Gate {
    let policy = Policy::new(plans, vec![name("keyed.example")], None, rules, Account::unsaved);
    let list =
        KeyList { keys: keys.iter().map(|&(key, plan)| (AccountId::of_key(key.as_bytes()), plan)).collect() };
    let keys = KeyTable::new(&list, &KeyTable::default(), Account::unsaved);
    let zones = [name("Keyed.Example"), name("open.example")];
    Gate::new(&Arc::new(policy), Some(&Arc::new(keys)), zones.iter())
}

fn rule(clients: &str, plan: PlanId) -> Rule {
    Rule { clients: clients.parse().unwrap(), plan }
}

#[test]
fn the_longest_prefix_and_the_key_decide() {
    let only = Plan { zones: Some(vec![name("open.example")]), ..Plan::new("only") };
    let rules =
        [rule("192.0.2.0/24", 0), rule("192.0.2.7/32", 1), rule("2001:db8::/32", 1), rule("192.0.2.7/32", 0)];
    let gate = gate(vec![Plan::new("all"), only], &rules, &[("abcdefgh", 0), ("ijklmnop", 1)]);
    assert_eq!([0, 1, 2].map(|zone| gate.judges(zone)), [By::Key, By::Client, By::Nothing]);
    let plan = |client: &str| gate.by_client(client.parse().unwrap()).map(|entry| entry.plan);
    assert_eq!(
        ["192.0.2.1", "192.0.2.7", "2001:db8::1", "192.0.3.1", "::1"].map(plan),
        [Some(0), Some(1), Some(1), None, None]
    );
    assert_eq!(gate.by_key(b"ABCDEFGH").map(|entry| entry.plan), Some(0));
    assert!(gate.by_key(b"abcdefgi").is_none());
    let only = gate.by_key(b"ijklmnop").unwrap();
    assert_eq!((gate.charge(0, only), gate.charge(1, only)), (Verdict::NotInPlan, Verdict::Granted));
    assert_eq!(only.account.usage().granted, 1);
    assert_eq!(Gate::default().judges(0), By::Nothing);
}

#[test]
fn limits_in_their_order() {
    let plan = Plan { rate: Some(Rate::new(1, 3)), daily: Some(5), monthly: Some(7), ..Plan::new("x") };
    let gate = gate(vec![plan], &[], &[("abcdefgh", 0)]);
    let entry = gate.by_key(b"abcdefgh").unwrap();
    let at = |seconds| {
        gate.policy().clock().set(Duration::from_secs(seconds), seconds);
        gate.charge(0, entry)
    };
    let start = 20_000 * DAY;
    let said: Vec<_> =
        [0, 0, 0, 0, 2, 2, 9, DAY, DAY, DAY, 40 * DAY].map(|seconds| at(start + seconds)).into();
    let words: Vec<_> = said.iter().map(|verdict| format!("{verdict:?}")).collect();
    assert_eq!(
        words.join(" "),
        "Granted Granted Granted Rate Granted Granted Daily Granted Granted Monthly Granted"
    );
    let usage = entry.account.usage();
    let now = gate.policy().clock().now();
    assert_eq!((usage.granted, usage.today(now), usage.this_month(now)), (8, 1, 1));
    let later = Now { day: now.day + 1, month: now.month + 1, ..now };
    assert_eq!((usage.today(later), usage.this_month(later)), (0, 0));
}

#[test]
fn two_workers_get_the_quota_and_hardly_more() {
    let gate = gate(vec![Plan { daily: Some(100_000), ..Plan::new("x") }], &[], &[("abcdefgh", 0)]);
    gate.policy().clock().set(Duration::ZERO, 20_000 * DAY);
    let worker = || {
        let entry = gate.by_key(b"abcdefgh").unwrap();
        (0..90_000).filter(|_| gate.charge(0, entry) == Verdict::Granted).count()
    };
    let granted = std::thread::scope(|scope| {
        let workers = [scope.spawn(worker), scope.spawn(worker)];
        workers.into_iter().map(|worker| worker.join().unwrap()).sum::<usize>()
    });
    assert!((100_000..=100_001).contains(&granted), "{granted}");
}

#[test]
fn an_account_calls_once_and_again_where_nobody_hears() {
    let (calls, heard) = sync_channel(1);
    let plans = vec![Plan { daily: Some(4000), ..Plan::new("x") }];
    let policy =
        Policy::new(plans, vec![name("keyed.example")], None, &[], Account::unsaved).with_calls(calls);
    let open = |id| Account::new(id, Usage::default(), true);
    let ids = [&b"abcdefgh"[..], b"ijklmnop"].map(|key| (AccountId::of_key(key), 0));
    let keys = KeyTable::new(&KeyList { keys: ids.into() }, &KeyTable::default(), open);
    let gate = Gate::new(&Arc::new(policy), Some(&Arc::new(keys)), [name("keyed.example")].iter());
    let [one, other] = [&b"abcdefgh"[..], b"ijklmnop"].map(|key| gate.by_key(key).unwrap());
    let ask =
        |entry, questions| (0..questions).for_each(|_| assert_eq!(gate.charge(0, entry), Verdict::Granted));
    // The slice is 10; the first half of one is not put down.
    ask(one, 6);
    assert!(heard.try_recv().is_err());
    ask(one, 2);
    ask(other, 8);
    let call = heard.try_recv().unwrap();
    assert!(Arc::ptr_eq(&call.account, one.account) && call.slice == 10);
    assert!(heard.try_recv().is_err(), "there is room for one");
    ask(other, 1);
    assert!(Arc::ptr_eq(&heard.try_recv().unwrap().account, other.account));
    let (usage, enough_until) = call.account.ahead(call.slice);
    call.account.is_saved(enough_until);
    assert_eq!((usage.granted, enough_until), (18, 13));
    ask(one, 5);
    assert!(heard.try_recv().is_err());
    ask(one, 1);
    assert_eq!(heard.try_recv().unwrap().account.usage().granted, 14);
}

proptest! {
    /// Against counters of each day and month, with sudden ends at any time: what a crash costs is at
    /// most a slice, and what it gives at most half of one.
    #[test]
    fn quotas_over_days_and_crashes(
        daily in 1u64..2000, monthly in 1u64..5000,
        steps in vec((prop_oneof![8 => Just(0), 1 => 0..40 * DAY], 1u64..900, 0u8..8), 1..40),
    ) {
        let plan = Plan { daily: Some(daily), monthly: Some(monthly), ..Plan::new("x") };
        let slice = plan.slice();
        let (mut account, clock) = (Account::new(AccountId::default(), Usage::default(), true), Clock::default());
        let (mut stored, mut seconds, mut crashes) = (Usage::default(), 15_000 * DAY, 0);
        let (mut today, mut this_month, mut all_crashes, mut before) = (0, 0, 0, Now::default());
        for (wait, questions, crash) in steps {
            seconds += wait;
            clock.set(Duration::from_secs(seconds), seconds);
            let now = clock.now();
            (today, crashes) = if now.day == before.day { (today, crashes) } else { (0, 0) };
            this_month = if now.month == before.month { this_month } else { 0 };
            before = now;
            for _ in 0..questions {
                let verdict = account.charge(&plan, now);
                if account.calls(&plan) {
                    let (usage, enough_until) = account.ahead(slice);
                    stored = usage;
                    account.is_saved(enough_until);
                }
                if verdict == Verdict::Granted {
                    today += 1;
                    this_month += 1;
                    let lost = all_crashes * (slice / 2 + 1);
                    prop_assert!(today <= daily + lost && this_month <= monthly + lost);
                }
            }
            prop_assert_eq!(Usage::from_bytes(&account.usage().to_bytes()), Some(account.usage()));
            prop_assert!(account.usage().today(now) + crashes * (slice / 2 + 1) >= today);
            prop_assert!(account.usage().today(now) <= today + crashes * slice);
            if crash == 0 {
                account = Account::new(AccountId::default(), stored, true);
                crashes += 1;
                all_crashes += 1;
            }
        }
    }
}
