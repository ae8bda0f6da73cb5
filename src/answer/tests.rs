//! Replies made of given responses: what zones say is tested with `zone`, and whole servers end to end.

use hickory_proto::op;
use proptest::collection::vec;
use proptest::prelude::*;

use super::response::{reply_limit, write};
use super::*;
use crate::wire::PADDED_TO;
use crate::wire::tests::{OPT, OPT_COOKIE, OPT_VERSION_1, QUESTION, bytes, corpus, packet};

fn set<'a>(record_type: u16, ttl: u32, rdata: &[&[u8]]) -> RecordSet<'a> {
    RecordSet { record_type, ttl, rdata: rdata.iter().map(|rdata| rdata.to_vec().into()).collect() }
}

fn address<'a>() -> RecordSet<'a> {
    set(1, 300, &[&[127, 0, 0, 2]])
}

fn name_servers<'a>() -> RecordSet<'a> {
    set(2, 900, &[b"\x02ns\x02bl\x07example\0"])
}

/// 40 addresses.
fn addresses<'a>() -> RecordSet<'a> {
    RecordSet { rdata: (0..40).map(|last| vec![127, 0, 0, last].into()).collect(), ..address() }
}

/// What is written for `response` to a packet.
fn reply(response: &Response<'_>, packet: &[u8], transport: Transport) -> (Outcome, op::Message) {
    let query = query::read(packet).unwrap();
    let mut bytes = Vec::new();
    let outcome = write(response, &query, None, &Settings::default(), transport, &mut bytes);
    (outcome, op::Message::from_vec(&bytes).unwrap())
}

fn types(sets: &[RecordSet<'_>]) -> Vec<u16> {
    sets.iter().map(|set| set.record_type).collect()
}

#[test]
fn what_is_no_query_gets_no_reply() {
    let client = Client { address: [192, 0, 2, 1].into(), transport: Transport::Udp };
    for silent in [packet(0x8000, [1, 0, 0, 0], &[QUESTION]), b"short".to_vec()] {
        let mut bytes = Vec::new();
        assert_eq!(
            respond(&Snapshot::default(), &silent, client, Signing::default(), &mut bytes),
            Outcome::default()
        );
        assert!(bytes.is_empty());
    }
}

#[test]
fn why_a_zone_withholds_its_data() {
    use Status::*;
    for (view, status, wanted, expected) in [
        (View::Data, Serving, 1, None),
        (View::Empty, Serving, 65280, None),
        (View::Refuse, Serving, 6, Some((5, 18))),
        (View::Refuse, NeverLoaded, 1, Some((5, 18))),
        (View::Data, NeverLoaded, 1, Some((2, 14))),
        (View::Data, Expired, 252, Some((2, 24))),
        (View::Data, Serving, 252, Some((5, 18))),
        (View::Data, Serving, 251, Some((5, 18))),
    ] {
        let response = withheld(&view, status, wanted);
        assert!(response.as_ref().is_none_or(|response| !response.authoritative));
        assert_eq!(response.map(|response| (response.rcode, response.error.unwrap())), expected);
    }
}

#[test]
fn the_records_of_a_type_of_any_and_of_an_alias() {
    let data = |sets: &[u16]| {
        let sets = sets.to_vec();
        move |wanted: u16| -> RecordSets<'static> {
            let chosen = sets.iter().filter(|&&kind| wanted == 255 || wanted == kind);
            chosen.map(|&kind| set(kind, 0, &[&[0]])).collect()
        }
    };
    for (sets, wanted, whole_any, expected) in [
        (&[1, 16][..], 16, false, &[16][..]),
        (&[1, 16], 28, false, &[]),
        (&[1, 16], 65280, false, &[]),
        (&[16, 1, 15], 255, true, &[16, 1, 15]),
        (&[16, 1, 15], 255, false, &[1]),
        (&[16, 15], 255, false, &[15]),
        (&[], 255, false, &[]),
        (&[5], 1, false, &[5]),
        (&[5], 5, false, &[5]),
        (&[5], 255, false, &[5]),
    ] {
        assert_eq!(types(&select(data(sets), wanted, whole_any)), expected, "{sets:?} {wanted}");
    }
}

#[test]
fn name_servers_and_glue_are_added_when_asked_for() {
    let glue = [Glue { owner: Box::from(&b"\x02ns\x02bl\x07example\0"[..]), records: address() }];
    for (minimal, dropin, at_apex, answer, ns, glued) in [
        (true, false, false, address(), false, false),
        (true, true, true, name_servers(), false, false),
        (false, false, false, address(), true, true),
        (false, true, false, address(), true, true),
        (false, false, true, name_servers(), false, true),
        (false, true, true, name_servers(), true, true),
        // An NS answer that is not the apex's own, from an alias or a future delegation.
        (false, false, false, name_servers(), true, true),
    ] {
        let settings = Settings { minimal, dropin, ..Settings::default() };
        let response = Response { answers: smallvec![answer], ..Response::default() };
        let response = add_name_servers(&settings, response, at_apex, Some(name_servers()), &glue);
        assert_eq!((!response.authority.is_empty(), response.glue.len() == 1), (ns, glued));
        let response = add_name_servers(&settings, response, at_apex, None, &glue);
        assert!(response.glue.is_empty() || minimal);
    }
}

#[test]
fn a_whole_positive_reply() {
    let glue = [Glue { owner: Box::from(&b"\x02ns\x02bl\x07example\0"[..]), records: address() }];
    let response = Response {
        authoritative: true,
        answers: smallvec![address()],
        authority: smallvec![Owned::by_apex(name_servers())],
        apex_labels: 2,
        glue: &glue,
        ..Response::default()
    };
    let asked = packet(0x0130, [1, 0, 0, 1], &[b"\x01f\x02bL\x07example\0\0\x01\0\x01", OPT]);
    let (outcome, message) = reply(&response, &asked, Transport::Udp);
    assert_eq!(outcome, Outcome { reply: true, query_type: 1, query_class: 1, answers: 1, ..outcome });
    assert_eq!(message.metadata.id, 0x1234);
    assert!(message.metadata.authoritative && message.metadata.recursion_desired);
    assert!(message.metadata.checking_disabled && !message.metadata.recursion_available);
    assert!(!message.metadata.authentic_data && !message.metadata.truncation);
    assert_eq!(message.answers[0].name.to_string(), "f.bL.example.");
    assert_eq!(message.authorities[0].to_string(), "bL.example. 900 IN NS ns.bl.example.");
    assert_eq!(message.additionals[0].to_string(), "ns.bL.example. 300 IN A 127.0.0.2");
    assert!(message.edns.unwrap().flags().dnssec_ok);
}

#[test]
fn opt_exactly_when_asked_and_the_error_in_it() {
    for (asked, opt) in [
        (packet(0, [1, 0, 0, 0], &[QUESTION]), false),
        (packet(0, [1, 0, 0, 1], &[QUESTION, OPT]), true),
        (packet(0, [1, 0, 0, 2], &[QUESTION, OPT, OPT]), true),
        (packet(0, [0, 0, 0, 1], &[OPT_COOKIE]), true),
    ] {
        let (_, message) = reply(&refused(extended_error::NOT_AUTHORITATIVE), &asked, Transport::Udp);
        assert_eq!(message.metadata.response_code, op::ResponseCode::Refused);
        assert!(!message.metadata.authoritative);
        let error = message.edns.map(|edns| Vec::try_from(edns.option(15.into()).unwrap()).unwrap());
        assert_eq!(error, opt.then(|| vec![0, 20]));
    }
}

/// RFC 7830, section 4; RFC 8467, section 4.1.
#[test]
fn padded_when_the_client_pads_and_nobody_can_read_it() {
    const PADDED: &[u8] = b"\0\0\x29\x04\xd0\0\0\0\0\0\x06\0\x0c\0\x02\0\0";
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Quic] {
        for (opt, is_padded) in [(PADDED, transport.is_encrypted()), (OPT, false)] {
            let query = packet(0, [1, 0, 0, 1], &[QUESTION, opt]);
            let query = query::read(&query).unwrap();
            let mut reply = Vec::new();
            write(&Response::default(), &query, None, &Settings::default(), transport, &mut reply);
            assert_eq!(reply.len() == PADDED_TO, is_padded, "{transport:?}");
        }
    }
}

#[test]
fn an_unknown_version_is_told_ours() {
    let asked = packet(0, [1, 0, 0, 1], &[QUESTION, OPT_VERSION_1]);
    let response = Response { rcode: rcode::BADVERS, ..Response::default() };
    let (outcome, message) = reply(&response, &asked, Transport::Udp);
    assert_eq!(outcome.rcode, 16);
    assert_eq!(u16::from(message.metadata.response_code), rcode::BADVERS);
    assert_eq!(message.edns.unwrap().version(), 0);
}

#[test]
fn the_limits_of_a_reply() {
    let opt = |size: u16| [&b"\0\0\x29"[..], &size.to_be_bytes(), &[0; 6]].concat();
    let settings = Settings { udp_size: 1400, ..Settings::default() };
    for (size, transport, expected) in [
        (None, Transport::Udp, 512),
        (Some(0), Transport::Udp, 512),
        (Some(511), Transport::Udp, 512),
        (Some(1000), Transport::Udp, 1000),
        (Some(4096), Transport::Udp, 1400),
        (None, Transport::Tcp, 65_535),
        (Some(512), Transport::Tls, 65_535),
    ] {
        let asked = match size {
            Some(size) => packet(0, [1, 0, 0, 1], &[QUESTION, &opt(size)]),
            None => packet(0, [1, 0, 0, 0], &[QUESTION]),
        };
        assert_eq!(reply_limit(&settings, &query::read(&asked).unwrap(), transport), expected);
    }
}

#[test]
fn what_does_not_fit() {
    let asked = packet(0, [1, 0, 0, 0], &[QUESTION]);
    let response = Response {
        authoritative: true,
        answers: smallvec![address(), addresses(), address()],
        authority: smallvec![Owned::by_apex(name_servers())],
        apex_labels: 2,
        ..Response::default()
    };
    let (outcome, message) = reply(&response, &asked, Transport::Udp);
    assert!(outcome.truncated && message.metadata.truncation && message.metadata.authoritative);
    assert_eq!((outcome.answers, message.answers.len(), message.authorities.len()), (1, 1, 0));
    let (outcome, message) = reply(&response, &asked, Transport::Tcp);
    assert!(!outcome.truncated && !message.metadata.truncation);
    assert_eq!((outcome.answers, message.answers.len(), message.authorities.len()), (42, 42, 1));

    let glue = [Glue { owner: Box::from(&b"\x02ns\0"[..]), records: addresses() }];
    let response = Response {
        authoritative: true,
        answers: smallvec![address()],
        authority: smallvec![Owned::by_apex(name_servers())],
        apex_labels: 2,
        glue: &glue,
        ..Response::default()
    };
    let (outcome, message) = reply(&response, &asked, Transport::Udp);
    assert!(!outcome.truncated && !message.metadata.truncation);
    assert_eq!((message.authorities.len(), message.additionals.len()), (1, 0));
}

#[test]
fn when_there_is_no_time() {
    let asked = packet(0, [1, 0, 0, 1], &[QUESTION, OPT]);
    for (transport, truncated, code, error) in [
        (Transport::Udp, true, op::ResponseCode::NoError, None),
        (Transport::Tcp, false, op::ResponseCode::ServFail, Some(0)),
        (Transport::Tls, false, op::ResponseCode::ServFail, Some(0)),
    ] {
        let response = busy(transport);
        assert_eq!(response.error, error);
        let (outcome, message) = reply(&response, &asked, transport);
        assert_eq!((outcome.truncated, message.metadata.truncation), (truncated, truncated));
        assert_eq!(message.metadata.response_code, code);
        assert!(message.answers.is_empty() && message.authorities.is_empty());
    }
}

#[test]
fn the_server_speaks_of_itself() {
    let settings = Settings { version: Some("v".repeat(300)), ..Settings::default() };
    let version: &[u8] = b"\x07Version\x04bind\0";
    for (name, record_type, class, answered) in [
        (version, 16, 3, true),
        (b"\x07version\x06server\0", 16, 3, true),
        (version, 255, 3, false),
        (version, 16, 255, false),
        (b"\x02id\x06server\0", 16, 3, false),
        (b"\x08hostname\x04bind\0", 16, 3, false),
        (b"\x02bl\x07example\0", 1, 3, false),
        (b"\x02bl\x07example\0", 1, 255, false),
    ] {
        let asked = packet(0, [1, 0, 0, 0], &[name, &[0, record_type, 0, class]]);
        let query = query::read(&asked).unwrap();
        let response = of_server(&settings, query.question().unwrap());
        assert!(!response.authoritative);
        assert_eq!(response.rcode, if answered { rcode::NOERROR } else { rcode::REFUSED });
        if let [set] = &response.answers[..] {
            assert_eq!((set.ttl, set.rdata[0].len()), (0, 302));
            assert_eq!(set.rdata[0][256], 45);
        }
        assert_eq!(!response.answers.is_empty(), answered);
        let (_, message) = reply(&response, &asked, Transport::Udp);
        assert_eq!(message.answers.len(), usize::from(answered));
        assert!(message.answers.iter().all(|record| u16::from(record.dns_class) == 3));
    }
    assert_eq!(character_strings(b""), [0]);
}

#[test]
fn who_may_notify() {
    let settings = Settings { notify_from: vec!["192.0.2.0/24".parse().unwrap()], ..Settings::default() };
    for (class, client, may) in [(1, "192.0.2.9", true), (1, "198.51.100.1", false), (3, "192.0.2.9", false)]
    {
        let asked = packet(0x2000, [1, 0, 0, 0], &[b"\x02bl\x07example\0\0\x06\0", &[class]]);
        let query = query::read(&asked).unwrap();
        assert_eq!(may_notify(&settings, query.question().unwrap(), client.parse().unwrap()), may);
    }
}

/// Any sets whose rdata parses: addresses, texts, a type that nobody knows.
fn record_set() -> impl Strategy<Value = (u16, u32, Vec<Vec<u8>>)> {
    let addresses = vec(any::<[u8; 4]>().prop_map(Vec::from), 1..60).prop_map(|rdata| (1, rdata));
    let texts = vec(vec(any::<u8>(), 0..600).prop_map(|text| character_strings(&text)), 1..8);
    let unknown = vec(vec(any::<u8>(), 1..200), 1..4).prop_map(|rdata| (65280, rdata));
    (prop_oneof![addresses, texts.prop_map(|rdata| (16, rdata)), unknown], any::<u32>())
        .prop_map(|((record_type, rdata), ttl)| (record_type, ttl, rdata))
}

fn set_of<'a>((record_type, ttl, rdata): (u16, u32, Vec<Vec<u8>>)) -> RecordSet<'a> {
    RecordSet { record_type, ttl, rdata: rdata.into_iter().map(Cow::Owned).collect() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// The oracle reads every reply; it echoes what it must, keeps to its limit and cuts no RRset.
    #[test]
    fn every_reply_parses_and_fits(
        packet in bytes(),
        answers in vec(record_set(), 0..4),
        authority in prop::option::of(record_set()),
        glue in vec(record_set(), 0..3),
        (authoritative, code, error) in (any::<bool>(), 0u16..6, prop::option::of(any::<u16>())),
        (udp, udp_size) in (any::<bool>(), 512u16..=4096),
    ) {
        let Some(query) = query::read(&packet) else { return Ok(()) };
        let transport = if udp { Transport::Udp } else { Transport::Tcp };
        let settings = Settings { udp_size, ..Settings::default() };
        let glue: Vec<_> = glue.into_iter().map(set_of).map(|set| Glue { owner: Box::from(&b"\x02ns\x02bl\x07example\0"[..]), records: set }).collect();
        let response = Response {
            rcode: code,
            authoritative,
            error,
            answers: answers.into_iter().map(set_of).collect(),
            authority: authority.map(set_of).map(Owned::by_apex).into_iter().collect(),
            apex_labels: query.question().map_or(0, |question| question.labels().len() / 2),
            glue: &glue,
            ..Response::default()
        };
        let mut bytes = Vec::new();
        let outcome = write(&response, &query, None, &settings, transport, &mut bytes);
        prop_assert!(bytes.len() <= reply_limit(&settings, &query, transport));
        prop_assert_eq!(&bytes[..2], &packet[..2]);

        let message = op::Message::from_vec(&bytes).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(message.metadata.truncation, outcome.truncated);
        prop_assert_eq!(message.edns.is_some(), query.edns.is_some());
        match query.question() {
            Some(question) => {
                let length = question.name().len() + 4;
                prop_assert_eq!(&bytes[12..12 + length], &packet[12..12 + length]);
            }
            None => prop_assert!(message.queries.is_empty()),
        }

        // Sections hold whole sets: the first few of what was wanted, in order.
        let sizes = |sets: &mut dyn Iterator<Item = usize>| {
            sets.scan(0, |sum, records| { *sum += records; Some(*sum) }).collect::<Vec<_>>()
        };
        let whole = |sets: &[usize], count: usize| count == 0 || sets.contains(&count);
        let wanted = sizes(&mut response.answers.iter().map(|set| set.rdata.len()));
        prop_assert!(whole(&wanted, message.answers.len()));
        prop_assert_eq!(message.answers.len(), usize::from(outcome.answers));
        prop_assert_eq!(outcome.truncated, message.answers.len() < wanted.last().copied().unwrap_or(0));
        prop_assert!(whole(&sizes(&mut response.authority.iter().map(|owned| owned.set.rdata.len())), message.authorities.len()));
        prop_assert!(whole(&sizes(&mut glue.iter().map(|glue| glue.records.rdata.len())), message.additionals.len()));
        prop_assert!(!outcome.truncated || message.authorities.len() + message.additionals.len() == 0);
    }
}

#[test]
fn the_corpus_is_answered() {
    let response = Response { answers: smallvec![address()], ..Response::default() };
    for packet in corpus() {
        let Some(query) = query::read(&packet) else { continue };
        let mut bytes = Vec::new();
        write(&response, &query, None, &Settings::default(), Transport::Udp, &mut bytes);
        let message = op::Message::from_vec(&bytes).unwrap();
        assert_eq!((message.metadata.id, message.answers.len()), (query.header.id, 1));
    }
}

/// What clients with cookies get (RFC 7873, sections 5.2 and 5.4), and what the rim is told of them.
#[test]
fn cookies() {
    use crate::cookie::{Cookie, Cookies, Secret};
    const GOOD: u16 = rcode::REFUSED;
    let made_by = Cookies::new(Secret::new([1; 16]), Vec::new(), false);
    let client = Client { address: [192, 0, 2, 1].into(), transport: Transport::Udp };
    let (_, good) = made_by.answer(Cookie { client: [9; 8], server: None }, client.address, 1000);
    let ask = |settings: Settings, question: &[u8], data: &[u8], transport| {
        let snapshot = Snapshot::new(Vec::new(), settings, None);
        let options = [&[0, 10, 0, data.len() as u8][..], data].concat();
        let opt = [&OPT[..9], &[0, options.len() as u8][..], &options].concat();
        let packet = packet(0, [u16::from(!question.is_empty()), 0, 0, 1], &[question, &opt]);
        let (mut reply, client) = (Vec::new(), Client { transport, ..client });
        let signing = Signing { now: 1000, ..Signing::default() };
        let outcome = respond(&snapshot, &packet, client, signing, &mut reply);
        let given =
            reply.windows(12).position(|part| part == b"\0\x0a\0\x18\x09\x09\x09\x09\x09\x09\x09\x09");
        let given = given.map(|place| reply[place + 4..place + 28] == good);
        assert_eq!(outcome.is_exempt(), outcome.cookie == Standing::Good);
        (outcome.rcode, outcome.cookie, given)
    };
    let with = |required| {
        let cookies = Some(Cookies::new(Secret::new([1; 16]), Vec::new(), required));
        Settings { cookies, ..Settings::default() }
    };
    let (new, bad) = (&good[..8], [9; 24]);
    for (required, question, data, transport, rcode, standing) in [
        (false, QUESTION, new, Transport::Udp, GOOD, Standing::New),
        (false, QUESTION, &bad[..], Transport::Udp, GOOD, Standing::Bad),
        (false, QUESTION, &bad[..16], Transport::Udp, GOOD, Standing::Bad),
        (false, QUESTION, &good[..], Transport::Udp, GOOD, Standing::Good),
        (true, QUESTION, new, Transport::Udp, rcode::BADCOOKIE, Standing::New),
        (true, QUESTION, &bad, Transport::Udp, rcode::BADCOOKIE, Standing::Bad),
        (true, QUESTION, &bad, Transport::Tcp, GOOD, Standing::Bad),
        (true, QUESTION, &good, Transport::Udp, GOOD, Standing::Good),
        // A cookie and nothing else.
        (true, b"", new, Transport::Udp, rcode::NOERROR, Standing::New),
        (false, b"", &good, Transport::Udp, rcode::NOERROR, Standing::Good),
        (false, b"", &bad, Transport::Tcp, rcode::BADCOOKIE, Standing::Bad),
    ] {
        let answer = ask(with(required), question, data, transport);
        assert_eq!(answer, (rcode, standing, Some(true)), "{required} {question:?} {data:?} {transport:?}");
    }
    for data in [&good[..7], &good[..9], &[9; 41]] {
        assert_eq!(ask(with(false), QUESTION, data, Transport::Udp), (rcode::FORMERR, Standing::None, None));
        // Who makes no cookies does not look.
        assert_eq!(ask(Settings::default(), QUESTION, data, Transport::Udp).0, GOOD);
    }
    assert_eq!(ask(Settings::default(), QUESTION, &good, Transport::Udp), (GOOD, Standing::None, None));
}

#[test]
fn the_server_names_itself_when_asked() {
    let settings = Settings { identity: Some("ns1.example".into()), ..Settings::default() };
    for (settings, options, told) in [
        (&settings, &b"\0\x03\0\0"[..], true),
        (&settings, b"\0\x0c\0\0", false),
        (&Settings::default(), b"\0\x03\0\0", false),
    ] {
        let snapshot = Snapshot::new(Vec::new(), settings.clone(), None);
        let opt = [&OPT[..9], &[0, options.len() as u8][..], options].concat();
        let packet = packet(0, [1, 0, 0, 1], &[QUESTION, &opt]);
        let client = Client { address: [192, 0, 2, 1].into(), transport: Transport::Udp };
        let mut reply = Vec::new();
        respond(&snapshot, &packet, client, Signing::default(), &mut reply);
        assert_eq!(reply.windows(15).any(|part| part == b"\0\x03\0\x0bns1.example"), told);
    }
}
