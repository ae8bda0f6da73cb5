//! What compiling notices: lines that say nothing new, and too many values at one key; and access lists
//! against a naive oracle.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::SystemTime;

use ipnet::IpNet;
use proptest::collection::vec;
use proptest::prelude::*;

use super::listing::MOST_VALUES;
use super::*;
use crate::config::ReadConfig;
use crate::value::{Value, Variables};
use crate::zone_file::{AccessAction, AccessRule, Parser};

fn compiled(kind: Kind, text: &str) -> (Dataset, Vec<String>) {
    let path = PathBuf::from("list");
    let mut parser = Parser::new(kind, &ReadConfig::default().options(SystemTime::UNIX_EPOCH));
    parser.file(&path, SystemTime::UNIX_EPOCH, &mut text.as_bytes()).unwrap();
    let (parsed, mut diagnostics) = parser.finish();
    let dataset = Dataset::compile(parsed, &[Arc::new(path)], 2100, &mut diagnostics).unwrap();
    (dataset, diagnostics.kept().iter().map(ToString::to_string).collect())
}

#[test]
fn lines_that_say_nothing_new() {
    for (kind, text, expected) in [
        (Kind::Dnset, "a.example\na.example\n", "list:2:1: warning: repeats an earlier line: a.example"),
        (Kind::Dnset, ".a.example\n.a.example\n", "list:2:1: warning: repeats an earlier line: a.example"),
        (
            Kind::Dnset,
            ".a.example\nB.a.example\n",
            "list:2:1: warning: the entry says nothing that a wider one does not say: b.a.example",
        ),
        (Kind::Dnset, "a.example\n!x.b\n", "list:2:1: warning: the exception excepts nothing: x.b"),
        // The other half of the entry is new; another value is; `$` is the name of the entry.
        (Kind::Dnset, "a.example\n.a.example\n", ""),
        (Kind::Dnset, ".a.example\nb.a.example :3:\n", ""),
        (Kind::Dnset, ":2:see $\n.a.example\nb.a.example\n", ""),
        (Kind::Ip4set, "1.2.3.4\n1.2.3.4\n", "list:2:1: warning: repeats list:1, which holds: 1.2.3.4/32"),
        (Kind::Ip4set, "1.2.3.4\n1.2.3.4 :3:\n", ""),
        // One warning for a range, whatever its number of blocks.
        (
            Kind::Ip4set,
            "1.2.3.0-1.2.5.9\n1.2.3.0-1.2.5.9\n",
            "list:2:1: warning: repeats list:1, which holds: 1.2.3.0/24",
        ),
        (
            Kind::Ip,
            "3fff::/32\n3fff:0:1::/48\n",
            "list:2:1: warning: the entry says nothing that a wider one does not say: 3fff:0:1::/48",
        ),
    ] {
        let (_, said) = compiled(kind, text);
        assert_eq!(said.join("\n"), expected, "{kind:?} {text}");
    }
}

#[test]
fn values_of_one_key_are_bounded() {
    for (kind, key) in [(Kind::Ip4set, "1.2.3.4"), (Kind::Dnset, "a.example")] {
        let text: String = (0..MOST_VALUES + 3).map(|i| format!("{key} :2:{i}\n")).collect();
        let (dataset, said) = compiled(kind, &text);
        assert_eq!(said, ["warning: list: 3 values were left out, for one address or name has at most 4096"]);
        let sayings = match &dataset.data {
            Data::Addresses(list) => {
                list.v4.as_ref().map(|table| list.listing.sayings(table.lookup(0x0102_0304)).count())
            }
            Data::Names(list) => {
                Some(list.listing.sayings(list.table.lookup(&[b"a", b"example"]).state).count())
            }
            _ => None,
        };
        assert_eq!(sayings, Some(MOST_VALUES), "{kind:?}");
    }
}

/// Prefixes that often lie in one another, at the ends of the address space too.
fn clients() -> impl Strategy<Value = IpNet> {
    let v4 = (prop_oneof![Just(0), Just(u32::MAX), Just(0xc000_0200), any::<u32>()], any::<u8>(), 0..=32u8)
        .prop_map(|(base, low, length)| IpNet::new(Ipv4Addr::from(base ^ u32::from(low)).into(), length));
    let v6 =
        (prop_oneof![Just(0), Just(u128::MAX), Just(0x3fff << 112), any::<u128>()], any::<u8>(), 0..=128u8)
            .prop_map(|(base, low, length)| {
                IpNet::new(Ipv6Addr::from(base ^ u128::from(low)).into(), length)
            });
    prop_oneof![v4, v6].prop_map(|prefix| prefix.unwrap().trunc())
}

fn access_rules() -> impl Strategy<Value = Vec<AccessRule>> {
    let listed = (0..3u8)
        .prop_map(|code| AccessAction::Always(Value { address: Ipv4Addr::new(127, 0, 0, code), text: None }));
    let other = prop::sample::select(vec![
        AccessAction::Pass,
        AccessAction::Ignore,
        AccessAction::Refuse,
        AccessAction::Empty,
    ]);
    vec((clients(), prop_oneof![4 => other, 1 => listed]), 0..40)
        .prop_map(|rules| rules.into_iter().map(|(clients, action)| AccessRule { clients, action }).collect())
}

/// The address itself, and those beside it.
fn with_neighbours(address: IpAddr) -> [IpAddr; 3] {
    match address {
        IpAddr::V4(address) => {
            [0, 1, 2].map(|step| u32::from(address).wrapping_add(step).wrapping_sub(1).into()).map(IpAddr::V4)
        }
        IpAddr::V6(address) => [0, 1, 2]
            .map(|step| u128::from(address).wrapping_add(step).wrapping_sub(1).into())
            .map(IpAddr::V6),
    }
}

proptest! {
    #[test]
    fn access_lists_agree_with_a_search_of_all_rules(
        rules in access_rules(),
        more in vec((any::<u32>(), any::<u128>()), 4),
    ) {
        let variables = Variables::default();
        let ends = rules.iter().flat_map(|rule| [rule.clients.network(), rule.clients.broadcast()]);
        let more = more.into_iter().flat_map(|(v4, v6)| [IpAddr::V4(v4.into()), IpAddr::V6(v6.into())]);
        let asked: Vec<IpAddr> = ends.flat_map(with_neighbours).chain(more).collect();
        let given: Vec<(IpAddr, Access)> = asked
            .into_iter()
            .map(|client| {
                let covering = rules.iter().filter(|rule| rule.clients.contains(&client));
                // The first of those that are as long as the longest.
                let longest = covering.rev().max_by_key(|rule| rule.clients.prefix_len());
                let access = longest.map_or(Access::Pass, |rule| match &rule.action {
                    AccessAction::Pass => Access::Pass,
                    AccessAction::Ignore => Access::Ignore,
                    AccessAction::Refuse => Access::Refuse,
                    AccessAction::Empty => Access::Empty,
                    AccessAction::Always(value) => Access::Always(Saying::new(value, &variables)),
                });
                (client, access)
            })
            .collect();
        let table = AccessTable::new(rules, &variables, 2100);
        for (client, access) in &given {
            prop_assert_eq!(table.access(*client), access, "{}", client);
            let span = match *client {
                IpAddr::V4(client) => table
                    .passing(u32::from(client))
                    .map(|span| IpAddr::V4(span.first.into())..=IpAddr::V4(span.last.into())),
                IpAddr::V6(client) => table
                    .passing(u128::from(client))
                    .map(|span| IpAddr::V6(span.first.into())..=IpAddr::V6(span.last.into())),
            };
            prop_assert_eq!(span.is_some(), *access == Access::Pass, "{}", client);
            let Some(span) = span else { continue };
            prop_assert!(span.contains(client), "{}", client);
            for (other, access) in given.iter().filter(|(other, _)| span.contains(other)) {
                prop_assert_eq!(access, &Access::Pass, "{} in {:?}", other, span);
            }
        }
    }
}
