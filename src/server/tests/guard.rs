//! What is taken, and how often the same is answered.

use super::*;
use crate::metrics::Limited;
use crate::rate_limit::{Mode, RateLimit};

/// A question that `echo` answers with a record.
const QUESTION: &[u8] = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x01a\x07example\0\0\x01\0\x01";

/// A reply with one record.
fn echo(query: &[u8]) -> Option<Vec<u8>> {
    let mut reply = query.to_vec();
    (reply[2], reply[7]) = (0x84, 1);
    reply.extend_from_slice(b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04\x7f\0\0\x02");
    Some(reply)
}

/// What a client got that sent a question so many times: whole answers, empty ones with TC; and the
/// counters.
async fn asked(limit: RateLimit, times: usize) -> ([usize; 2], [u64; 3], u64) {
    let metrics = Metrics::default();
    let guard = Guard { rate_limit: limit };
    let bound = Server::bind(&[plain(LOOPBACK[0])], limits()).unwrap().guarded(guard);
    let client = udp_client(bound.addresses()[0]);
    for _ in 0..times {
        client.send(QUESTION).unwrap();
    }
    let server = bound.start(Echo::new(echo), &metrics, None, &Handle::current()).unwrap();
    // It answers all that came before it stops.
    server.stop().await;
    client.set_nonblocking(true).unwrap();
    let mut got = [0; 2];
    while let Ok(reply) = receive(&client) {
        let cut = [&b"\0\x07\x86\0"[..], &QUESTION[4..]].concat();
        assert!(reply == cut || reply == echo(QUESTION).unwrap(), "{reply:02x?}");
        got[usize::from(reply == cut)] += 1;
    }
    let totals = metrics.totals();
    let limited = Limited::ALL.map(|what| totals.sum(|origin| origin.limited[what as usize]));
    (got, limited, totals.count(|_| true))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_answer_is_limited() {
    // One answer a second, ten at once.
    let window = Duration::from_secs(10);
    let limit = |mode, slip| RateLimit { mode, per_second: 1, window, slip, ..RateLimit::default() };
    assert_eq!(asked(limit(Mode::Off, 2), 30).await, ([30, 0], [0, 0, 0], 30));
    assert_eq!(asked(limit(Mode::Count, 2), 30).await, ([30, 0], [20, 0, 0], 30));
    assert_eq!(asked(limit(Mode::On, 2), 30).await, ([10, 10], [0, 10, 10], 20));
    assert_eq!(asked(limit(Mode::On, 1), 30).await, ([10, 20], [0, 20, 0], 30));
    assert_eq!(asked(limit(Mode::On, 0), 30).await, ([10, 0], [0, 0, 20], 10));
    let exempt = vec!["127.0.0.0/8".parse().unwrap()];
    assert_eq!(asked(RateLimit { exempt, ..limit(Mode::On, 2) }, 30).await, ([30, 0], [0, 0, 0], 30));
}
