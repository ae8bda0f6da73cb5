//! What compiling notices: lines that say nothing new, and too many values at one key.

use std::time::SystemTime;

use super::listing::MOST_VALUES;
use super::*;
use crate::config::ReadConfig;
use crate::zone_file::Parser;

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
