//! What makes a server ready, and what a person is shown.

use super::*;
use crate::reload::Problem;

fn zone(name: &str, status: zone::Status) -> ZoneReport {
    ZoneReport {
        name: name.to_owned(),
        status,
        entries: 10_000,
        errors: 1,
        warnings: 2,
        modified: 1_000_000,
        loaded: 1_000_060,
        expires: None,
        max_age: None,
        problem: None,
        keys_problem: None,
        findings: Vec::new(),
    }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

#[test]
fn what_keeps_a_server_from_being_ready() {
    let mut report = Report { generation: 0, zones: vec![], ..Report::default() };
    assert_eq!(not_ready(&report, at(0)), ["the zones are being loaded"]);
    report.generation = 1;
    assert!(not_ready(&report, at(0)).is_empty());
    let aged = ZoneReport { max_age: Some(3600), ..zone("a", zone::Status::Serving) };
    report.zones = vec![
        aged,
        zone("b", zone::Status::Serving),
        zone("c", zone::Status::NeverLoaded),
        zone("d", zone::Status::Expired),
        zone("e", zone::Status::Unsigned),
    ];
    let others = ["zone c: not loaded", "zone d: the data has expired", "zone e: cannot be signed"];
    assert_eq!(not_ready(&report, at(1_003_600)), others);
    let late = not_ready(&report, at(1_003_601));
    assert_eq!(late[0], "zone a: the data is 3601 seconds old, and the limit is 3600");
    assert_eq!(late[1..], others);
}

fn status() -> Status {
    let problem = Problem::Guarded { zone: "bl.example".to_owned(), entries: 5, served: 10_000 };
    let findings =
        ["error: zone bl.example: gone", "warning: zone bl.example: odd"].map(str::to_owned).into();
    let serving =
        ZoneReport { problem: Some(problem), findings, ..zone("bl.example", zone::Status::Serving) };
    let of = |report, keys_change| ZoneStatus {
        report,
        serial: 42,
        memory: 1_234_567,
        answered: 300,
        listed: 100,
        keys_change,
    };
    Status {
        version: "1.2.3".to_owned(),
        pid: 4711,
        started: 1_000_000,
        memory: 2_500_000_000,
        not_ready: vec!["zone x: not loaded".to_owned()],
        generation: 3,
        access_problem: Some("no list".to_owned()),
        secrets_problem: Some("no secret".to_owned()),
        signing: Some(SigningStatus {
            made: 12,
            reused: 36,
            kept: 10,
            kept_octets: 1_000,
            reply_octets: 600,
            waiting: 1,
            put_off: 2,
        }),
        queries: Queries {
            udp: 390,
            tcp: 10,
            listed: 100,
            shed: 7,
            limited: 8,
            connections: 2,
            ..Queries::default()
        },
        zones: vec![of(serving, Some(1_100_000)), of(zone("x", zone::Status::NeverLoaded), None)],
        ..Status::default()
    }
}

#[test]
fn shown_to_a_person() {
    assert_eq!(
        show::status(&status(), None, at(1_000_000 + 90_061)),
        "nibbl 1.2.3, process 4711, not ready, up 1 d 1 h, 2.50 GB of memory\n\
         ! zone x: not loaded\n\
         queries: 390 by UDP, 10 by TCP, 0 by TLS, 0 by QUIC; 25.0 % listed; 0 cut, 0 unanswered, 7 shed, 8 over the rate; 2 connections\n\
         signatures: 12 made, 75.0 % reused, 10 kept (1.6 kB), 1 waiting, 2 put off\n\
         bl.example  serving  10000 entries, 1 errors, 2 warnings, of 1 d 1 h ago, loaded 1 d 1 h ago\n\
         \u{20}           300 queries, 33.3 % listed, serial 42, 1.2 MB, keys change in 2 h 45 min\n\
         \u{20}           ! 5 entries in place of 10000 are too many changes; \
         `nibbl reload --force bl.example` takes them\n\
         \u{20}           ! error: zone bl.example: gone\n\
         \u{20}           ! warning: zone bl.example: odd\n\
         x           never loaded\n\
         \u{20}           300 queries, 33.3 % listed, serial 42, 1.2 MB\n\
         ! who may ask: no list\n\
         ! the secrets of cookies stay: no secret\n"
    );
}

#[test]
fn rates_are_since_the_status_before() {
    let earlier = status();
    let mut now = status();
    now.queries.udp += 500;
    now.queries.listed += 250;
    now.zones[0].answered += 1000;
    let text = show::status(&now, Some((&earlier, Duration::from_secs(2))), at(1_000_001));
    assert!(
        text.contains("queries: 250/s by UDP, 0/s by TCP, 0/s by TLS, 0/s by QUIC; 50.0 % listed; "),
        "{text}"
    );
    assert!(text.contains("500/s queries, 0.0 % listed"), "{text}");
    assert!(text.contains("0/s queries, none listed"), "{text}");
}

#[test]
fn json_there_and_back() {
    let text = serde_json::to_string(&status()).unwrap();
    assert_eq!(serde_json::from_str::<Status>(&text).unwrap(), status());
}
