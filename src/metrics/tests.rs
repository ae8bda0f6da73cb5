//! Counting, and reading what was counted.

use super::*;
use crate::answer::{Outcome, Transport};
use crate::zone::Family;

const UDP: Origin = Origin { transport: Transport::Udp, client: Family::V4 };
const TCP: Origin = Origin { transport: Transport::Tcp, client: Family::V6 };

fn outcome(rcode: u16) -> Outcome {
    Outcome { reply: true, zone: Some(0), rcode, query_type: 1, query_class: 1, ..Outcome::default() }
}

fn names(texts: &[&str]) -> Vec<Name> {
    texts.iter().map(|text| Name::from_text(text.as_bytes()).unwrap()).collect()
}

fn count(worker: &WorkerCounters, outcome: &Outcome, slot: Option<ZoneSlot>, octets: [usize; 2]) {
    worker.tally().count(outcome, |_| slot, octets[0], octets[1]);
}

/// Answers, octets in, octets out.
fn sums(zone: &ZoneTotals) -> (u64, u64, u64) {
    (zone.count(|_| true), zone.octets_in, zone.octets_out)
}

#[test]
fn zones_keep_their_counters_when_their_order_changes() {
    let metrics = Metrics::default();
    let first = metrics.zone_slots(&names(&["a.example", "b.example"]));
    let second = metrics.zone_slots(&names(&["c.example", "B.example"]));
    assert_eq!(first[1], second[1]);
    assert_eq!(metrics.zone_slots(&names(&["a.example"]))[0], first[0]);
    let (udp, tcp) = (metrics.worker(UDP), metrics.worker(TCP));
    count(&udp, &outcome(0), first[1], [30, 60]);
    count(&tcp, &outcome(3), second[1], [30, 70]);
    let totals = metrics.totals();
    assert_eq!(sums(&totals.zones[1].1), (2, 60, 130));
    assert_eq!(totals.zones[2].1, ZoneTotals::default());
    let came = |origin| totals.count(|labels| labels.origin == origin);
    assert_eq!((came(UDP), came(TCP)), (1, 1));
    assert_eq!((totals.origins[&TCP].sizes.count, totals.origins[&TCP].sizes.sum), (1, 70.0));
}

#[test]
fn a_batch_counts_for_the_zones_of_its_packets() {
    let metrics = Metrics::default();
    let slots = metrics.zone_slots(&names(&["a", "b"]));
    let worker = metrics.worker(UDP);
    let mut tally = worker.tally();
    let slot = |zone: u32| slots[zone as usize];
    for (zone, octets) in [(None, 1), (Some(1), 2), (Some(1), 4), (Some(0), 8), (None, 16), (Some(1), 32)] {
        tally.count(&Outcome { zone, ..outcome(0) }, slot, octets, 2 * octets);
    }
    tally.count(&Outcome { reply: false, ..outcome(0) }, slot, 64, 0);
    tally.count(&Outcome { truncated: true, ..outcome(0) }, slot, 128, 256);
    drop(tally);
    let totals = metrics.totals();
    assert_eq!(sums(&totals.zones[0].1), (2, 136, 272));
    assert_eq!(sums(&totals.zones[1].1), (3, 38, 76));
    assert_eq!(sums(&totals.elsewhere), (2, 17, 34));
    assert_eq!((totals.origins[&UDP].unanswered, totals.origins[&UDP].truncated), (1, 1));
}

#[test]
fn more_zones_than_slots_count_elsewhere() {
    let metrics = Metrics::default();
    let zones: Vec<Name> =
        (0..=ZONES).map(|n| Name::from_text(format!("z{n}").as_bytes()).unwrap()).collect();
    let slots = metrics.zone_slots(&zones);
    assert_eq!(slots[ZONES], None);
    let worker = metrics.worker(UDP);
    for slot in [slots[ZONES - 1], slots[ZONES]] {
        count(&worker, &outcome(5), slot, [1, 1]);
    }
    let totals = metrics.totals();
    assert_eq!((sums(&totals.zones[ZONES - 1].1).0, sums(&totals.elsewhere).0), (1, 1));
}

#[test]
fn workers_count_at_the_same_time() {
    let metrics = Metrics::default();
    let slot = metrics.zone_slots(&names(&["a"]))[0];
    let shared = metrics.shared_worker(TCP);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let own = metrics.worker(UDP);
                for _ in 0..1000 {
                    count(&own, &outcome(0), slot, [1, 2]);
                    count(&shared, &outcome(3), slot, [1, 2]);
                }
            });
        }
    });
    let totals = metrics.totals();
    assert_eq!(sums(&totals.zones[0].1), (8000, 8000, 16000));
    assert_eq!(totals.count(|labels| labels.answer == Answer::NxDomain), 4000);
}

#[test]
fn connections_that_are_open() {
    let metrics = Metrics::default();
    let worker = metrics.shared_worker(TCP);
    (0..3).for_each(|_| worker.connection());
    worker.connection_ended();
    worker.refused_connection();
    let totals = metrics.totals();
    let origin = &totals.origins[&TCP];
    assert_eq!((origin.connections, origin.open_connections, origin.refused_connections), (3, 2, 1));
}

#[test]
fn the_statistics_file_is_rbldnsds() {
    let metrics = Metrics::default();
    let slots = metrics.zone_slots(&names(&["bl.ex", "bb.ex"]));
    let worker = metrics.worker(UDP);
    let (mut sums, mut differences) = (StatisticsFile::new(false), StatisticsFile::new(true));
    count(&worker, &outcome(3), slots[0], [25, 67]);
    count(&worker, &outcome(4), None, [25, 25]);
    count(&worker, &Outcome { reply: false, ..outcome(0) }, None, [9, 0]);
    let first = "1795301787 bl.ex:1:0:1:25:67 bb.ex:0:0:0:0:0 *:2:0:1:50:92\n";
    assert_eq!(sums.line(1795301787, &metrics.totals()), first);
    assert_eq!(differences.line(1795301787, &metrics.totals()), first);
    count(&worker, &Outcome { listed: true, ..outcome(0) }, slots[1], [30, 50]);
    assert_eq!(
        sums.line(1795301788, &metrics.totals()),
        "1795301788 bl.ex:1:0:1:25:67 bb.ex:1:1:0:30:50 *:3:1:1:80:142\n"
    );
    assert_eq!(
        differences.line(1795301788, &metrics.totals()),
        "1795301788 bl.ex:0:0:0:0:0 bb.ex:1:1:0:30:50 *:1:1:0:30:50\n"
    );
}
