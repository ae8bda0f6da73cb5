//! Everything that can be counted is shown, under the names that the documentation has.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::answer::{Client, Outcome, Transport};
use crate::cookie::Standing;
use crate::metrics::{Dropped, Limited, Metrics, Origin};
use crate::name::Name;
use crate::query_log::{QueryLog, Target};
use crate::reload::{CertificateReport, ZoneReport};
use crate::status::usage::{AccessStatus, PlanStatus};
use crate::status::{SigningStatus, Status, ZoneStatus};
use crate::zone::{self, Family};

/// The metrics in the table of the documentation.
fn documented() -> BTreeSet<&'static str> {
    let names = include_str!("../../docs/monitoring.md").lines().filter_map(|line| {
        let name = line.strip_prefix("| `")?.split('`').next()?;
        (name.starts_with("nibbl_") || name.starts_with("process_")).then_some(name)
    });
    names.collect()
}

/// The sums of all samples of each metric; of a histogram, its count.
fn sums(text: &str) -> BTreeMap<&str, f64> {
    let mut sums = BTreeMap::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("# TYPE ") {
            sums.entry(name.split(' ').next().unwrap()).or_default();
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            let family = name.strip_suffix("_count").unwrap_or(name);
            if let Some(sum) = sums.get_mut(family) {
                *sum += value.parse::<f64>().unwrap();
            } else {
                assert!(name.ends_with("_bucket") || name.ends_with("_sum"), "{line}");
            }
        }
    }
    sums
}

#[test]
fn every_documented_metric_moves() {
    let metrics = Metrics::default();
    let apex = Name::from_text(br#"q"\.example"#).unwrap();
    let slot = metrics.zone_slots([&apex])[0];
    let outcome = Outcome {
        reply: true,
        zone: Some(0),
        truncated: true,
        listed: true,
        family: Some(Family::V6),
        query_type: 16,
        cookie: Standing::Good,
        ..Outcome::default()
    };
    for transport in [Transport::Udp, Transport::Tcp] {
        let worker = metrics.worker(Origin { transport, client: Family::V4 });
        let mut tally = worker.tally();
        tally.count(&outcome, |_| slot, 30, 60);
        tally.count(&Outcome { reply: false, ..outcome }, |_| slot, 30, 0);
        worker.answered_within(5_000);
        worker.unsent(1);
        worker.receive_error();
        worker.connection();
        worker.refused_connection();
        worker.limited(Limited::Slipped);
        worker.dropped(Dropped::Port);
    }
    let report = ZoneReport {
        name: apex.to_string(),
        status: zone::Status::Serving,
        entries: 1,
        errors: 2,
        warnings: 3,
        modified: 4,
        loaded: 5,
        expires: Some(6),
        max_age: Some(7),
        problem: Some(crate::reload::Problem::Strict { errors: 2 }),
        keys_problem: None,
        findings: vec!["error: gone".into()],
    };
    let mut status = Status {
        generation: 1,
        looked: 1,
        started: 1,
        memory: 1,
        zones: vec![ZoneStatus {
            report,
            serial: 8,
            memory: 9,
            answered: 1,
            listed: 1,
            keys_change: Some(10),
        }],
        ..Status::default()
    };
    status.certificates =
        vec![CertificateReport { file: "chain.pem".into(), expires: 1, problem: Some("gone".into()) }];
    (status.access_problem, status.secrets_problem) = (Some("gone".into()), Some("gone".into()));
    status.queries.shed = 1;
    status.signing = Some(SigningStatus {
        made: 1,
        reused: 1,
        kept: 1,
        kept_octets: 1,
        reply_octets: 1,
        waiting: 1,
        put_off: 1,
    });
    let plan = PlanStatus { name: "gold".into(), granted: 1, ..PlanStatus::default() };
    status.access = Some(AccessStatus { keys: 1, plans: vec![plan], unknown_key: 1 });
    let directory = tempfile::tempdir().unwrap();
    let log = QueryLog::start(Target::new(Some(directory.path().join("q"))), 1).unwrap();
    let client = Client { address: std::net::Ipv4Addr::LOCALHOST.into(), transport: Transport::Udp };
    log.sink().record(b"", client, &outcome, 1);
    let text = exposition::render(&status, &metrics.totals(), Some(&log.sink()));
    let sums = sums(&text);
    assert_eq!(sums.keys().copied().collect::<BTreeSet<_>>(), documented());
    for (name, sum) in sums {
        // That zone is not as its files are.
        assert_eq!(sum > 0.0, name != "nibbl_reload_success", "{name} in\n{text}");
    }
    let series = r#"nibbl_queries_total{zone="q\\\"\\.example",transport="udp",client="ipv4",family="ipv6",type="TXT",rcode="NOERROR",listed="true"} 1"#;
    assert!(text.lines().any(|line| line == series), "{text}");
    assert!(
        text.contains("nibbl_response_size_bytes_bucket{transport=\"tcp\",client=\"ipv4\",le=\"64\"} 1\n")
    );
    assert!(text.contains("le=\"0.000008192\"} 1\n"));
    status.zones[0].report.problem = None;
    status.certificates.clear();
    let text = exposition::render(&status, &metrics.totals(), None);
    assert!(text.contains("\nnibbl_reload_success 0\n"));
    (status.access_problem, status.secrets_problem) = (None, None);
    status.zones[0].report.keys_problem = Some("gone".into());
    let text = exposition::render(&status, &metrics.totals(), None);
    assert!(text.contains("\nnibbl_zone_outdated{zone=\"q\\\\\\\"\\\\.example\"} 1\n"), "{text}");
    assert!(text.contains("\nnibbl_reload_success 0\n"));
    status.zones[0].report.keys_problem = None;
    let text = exposition::render(&status, &metrics.totals(), None);
    assert!(text.contains("\nnibbl_reload_success 1\n"));
}

/// What Prometheus and Grafana are given asks for metrics that there are.
#[test]
fn alerts_and_dashboard_know_the_metrics() {
    let documented = documented();
    let suffixes = ["", "_bucket", "_sum", "_count"];
    for text in [include_str!("../../docs/alerts.yml"), include_str!("../../docs/grafana.json")] {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let mut known = 0;
        for word in words.filter(|word| word.starts_with("nibbl_") || word.starts_with("process_")) {
            let is_known = |suffix| word.strip_suffix(suffix).is_some_and(|name| documented.contains(name));
            assert!(suffixes.into_iter().any(is_known), "{word}");
            known += 1;
        }
        assert!(known > 10);
    }
}

#[test]
fn a_taken_address_is_an_error() {
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let error = bind(listener.local_addr().unwrap()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}
