//! The codec against hickory-proto, and the makers of packets that `query` and `answer` test with.

use hickory_proto::op;
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{self, DNSClass, RecordType};
use proptest::collection::vec;
use proptest::prelude::*;
use smallvec::smallvec;

use super::*;
use crate::cookie::Cookie;
use crate::zone::RecordSet;

/// A header with these flags and counts, and what follows it.
pub(crate) fn packet(flags: u16, counts: [u16; 4], body: &[&[u8]]) -> Vec<u8> {
    let mut packet = vec![0x12, 0x34];
    packet.extend_from_slice(&flags.to_be_bytes());
    packet.extend(counts.iter().flat_map(|count| count.to_be_bytes()));
    packet.extend(body.concat());
    packet
}

/// Asks for an A record of `Bl.example` in class IN.
pub(crate) const QUESTION: &[u8] = b"\x02Bl\x07example\0\0\x01\0\x01";
/// OPT: 1232 octets, version 0, DO.
pub(crate) const OPT: &[u8] = b"\0\0\x29\x04\xd0\0\0\x80\0\0\0";
/// OPT with a client's COOKIE.
pub(crate) const OPT_COOKIE: &[u8] = b"\0\0\x29\x04\xd0\0\0\0\0\0\x0c\0\x0a\0\x0812345678";
/// OPT of version 1.
pub(crate) const OPT_VERSION_1: &[u8] = b"\0\0\x29\x04\xd0\0\x01\0\0\0\0";
/// An A record at the question's name.
pub(crate) const RECORD: &[u8] = b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04\x7f\0\0\x02";

/// The packets of the fuzz target's corpus.
pub(crate) fn corpus() -> Vec<Vec<u8>> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/packet");
    let mut files: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// Labels of a name that fits.
fn name() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let label = prop_oneof![
        4 => "[0-9a-fA-F]".prop_map(String::into_bytes),
        2 => "[a-zA-Z0-9_*-]{1,20}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 1..=63),
    ];
    vec(label, 0..40).prop_map(|mut labels| {
        let mut octets = 1;
        labels.retain(|label| {
            octets += 1 + label.len();
            octets <= 255
        });
        labels
    })
}

/// A query that hickory-proto makes.
pub(crate) fn query() -> impl Strategy<Value = op::Message> {
    let record_type = prop_oneof![Just(1u16), Just(2), Just(6), Just(16), Just(255), any::<u16>()];
    let class = prop_oneof![8 => Just(1u16), 1 => Just(3), 1 => any::<u16>()];
    let edns = proptest::option::of((
        any::<u16>(),
        any::<bool>(),
        0u8..2,
        vec((11u16.., vec(any::<u8>(), 0..9)), 0..3),
    ));
    (any::<u16>(), any::<[bool; 3]>(), name(), record_type, class, edns).prop_map(
        |(id, [rd, cd, notify], labels, record_type, class, edns)| {
            let code = if notify { op::OpCode::Notify } else { op::OpCode::Query };
            let mut message = op::Message::new(id, op::MessageType::Query, code);
            message.metadata.recursion_desired = rd;
            message.metadata.checking_disabled = cd;
            let name = rr::Name::from_labels(labels.iter().map(Vec::as_slice)).unwrap();
            let mut question = op::Query::query(name, RecordType::from(record_type));
            question.set_query_class(DNSClass::from(class));
            message.add_query(question);
            if let Some((size, dnssec_ok, version, options)) = edns {
                let mut edns = op::Edns::new();
                edns.set_max_payload(size).set_dnssec_ok(dnssec_ok).set_version(version);
                for (code, data) in options {
                    edns.options_mut().insert(EdnsOption::Unknown(code, data));
                }
                message.set_edns(edns);
            }
            message
        },
    )
}

/// Queries, queries with a few octets changed, cut or added, and noise.
pub(crate) fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let edits = vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    let mutated = (query(), edits, -20isize..20).prop_map(|(message, edits, growth)| {
        let mut bytes = message.to_vec().unwrap();
        for (index, octet) in edits {
            let at = index.index(bytes.len());
            bytes[at] = octet;
        }
        bytes.resize(bytes.len().saturating_add_signed(growth), 0);
        bytes
    });
    let noise = (vec(any::<u8>(), 0..80), any::<bool>()).prop_map(|(mut bytes, query)| {
        if let (true, Some(octet)) = (query, bytes.get_mut(2)) {
            *octet = 0;
        }
        bytes
    });
    prop_oneof![3 => mutated, 1 => noise, 1 => prop::sample::select(corpus())]
}

#[test]
fn malformed_or_not() {
    let long = [&[63u8; 64][..], &[63; 64], &[63; 64], &[61; 62], &[0, 0, 1, 0, 1]].concat();
    let too_long = [&[63u8; 64][..], &[63; 64], &[63; 64], &[62; 63], &[0, 0, 1, 0, 1]].concat();
    let opt_with = |rdata: &[u8]| [&OPT[..9], &(rdata.len() as u16).to_be_bytes(), rdata].concat();
    for (malformed, counts, body, what) in [
        (false, [1, 0, 0, 0], vec![QUESTION], "a question"),
        (false, [1, 0, 0, 0], vec![&long[..]], "a name of 255 octets"),
        (true, [1, 0, 0, 0], vec![&too_long[..]], "a name of 256 octets"),
        (true, [1, 0, 0, 0], vec![b"\xc0\x0c\0\x01\0\x01"], "a pointer in the question"),
        (true, [1, 0, 0, 0], vec![b"\x40a\0\0\x01\0\x01"], "a label of unknown kind"),
        (true, [1, 0, 0, 0], vec![b"\x02a\0"], "a cut label"),
        (true, [1, 0, 0, 0], vec![b"\x01a\0\0\x01\0"], "a cut class"),
        (false, [1, 0, 0, 0], vec![QUESTION, b"more"], "trailing octets"),
        (false, [0, 0, 0, 0], vec![], "no question"),
        (false, [2, 0, 0, 0], vec![QUESTION, QUESTION], "two questions"),
        (true, [2, 0, 0, 0], vec![QUESTION], "one question of two"),
        (false, [1, 1, 1, 1], vec![QUESTION, RECORD, RECORD, RECORD], "records to skip"),
        (true, [1, 1, 0, 0], vec![QUESTION], "a record that is not there"),
        (true, [1, 0, 0, 1], vec![QUESTION, &RECORD[..15]], "rdata cut"),
        (true, [1, 0, 0, 1], vec![QUESTION, b"\x80\0\x01\0\x01\0\0\0\0\0\0"], "an owner of unknown kind"),
        (true, [1, 0, 0, 1], vec![QUESTION, &too_long[..256], &RECORD[2..]], "an owner of 256 octets"),
        (false, [1, 0, 0, 1], vec![QUESTION, OPT], "OPT"),
        (false, [1, 0, 0, 3], vec![QUESTION, RECORD, OPT, RECORD], "OPT between others"),
        (true, [1, 0, 0, 2], vec![QUESTION, OPT, OPT], "two OPTs"),
        (true, [1, 0, 0, 1], vec![QUESTION, b"\x01a", OPT], "OPT not at the root"),
        (true, [1, 0, 0, 1], vec![QUESTION, b"\xc0\x17", &OPT[1..]], "OPT at a pointer to the root"),
        (true, [1, 1, 0, 0], vec![QUESTION, OPT], "OPT in the answer section"),
        (true, [1, 0, 1, 0], vec![QUESTION, OPT], "OPT in the authority section"),
        (false, [1, 0, 0, 1], vec![QUESTION, &opt_with(b"\xff\xff\0\0\0\x0a\0\x01x")], "options"),
        (true, [1, 0, 0, 1], vec![QUESTION, &opt_with(b"\0\x0a\0\x02x")], "an option that is too long"),
        (true, [1, 0, 0, 1], vec![QUESTION, &opt_with(b"\0\x0a\0")], "an option cut"),
    ] {
        let packet = packet(0, counts, &body);
        let message = Message::read(&packet).unwrap();
        assert_eq!(message.malformed, malformed, "{what}");
    }
    assert!(Message::read(&packet(0, [0; 4], &[])[..11]).is_none());
}

#[test]
fn what_is_whole_is_kept_of_a_malformed_packet() {
    let two_opts = packet(0, [1, 0, 0, 2], &[QUESTION, OPT_COOKIE, OPT]);
    let message = Message::read(&two_opts).unwrap();
    assert!(message.malformed);
    assert_eq!(message.question.unwrap().name(), b"\x02Bl\x07example\0");
    let cookie = Cookie { client: *b"12345678", server: None };
    let expected = Edns {
        udp_size: 1232,
        version: 0,
        dnssec_ok: false,
        cookie: CookieOption::Present(cookie),
        nsid: false,
        keepalive: false,
        padding: false,
    };
    assert_eq!(message.edns, Some(expected));
}

/// Of several COOKIE options the first counts (RFC 7873, section 5.2).
#[test]
fn options_that_mean_something() {
    let read = |options: &[u8]| {
        let opt = [&OPT[..9], &(options.len() as u16).to_be_bytes(), options].concat();
        let edns = Message::read(&packet(0, [1, 0, 0, 1], &[QUESTION, &opt])).unwrap().edns.unwrap();
        (edns.cookie, edns.nsid)
    };
    let cookie = |server| CookieOption::Present(Cookie { client: *b"12345678", server });
    assert_eq!(read(b"\0\x0a\0\x0812345678\0\x0a\0\x01x"), (cookie(None), false));
    assert_eq!(read(b"\0\x03\0\0\0\x0a\0\x1812345678abcdefghijklmnop").0, cookie(Some(*b"abcdefghijklmnop")));
    assert_eq!(read(b"\0\x0a\0\x1012345678abcdefgh\0\x03\0\0"), (cookie(Some([0; 16])), true));
    assert_eq!(read(b"\0\x0a\0\x09123456789"), (CookieOption::Malformed, false));
}

#[test]
fn the_parts_of_a_question() {
    let bytes = packet(0, [1, 0, 0, 0], &[b"\x01F\x02Bl\x07eXample\0\0\x10\0\x03"]);
    let question = Message::read(&bytes).unwrap().question.unwrap();
    assert_eq!(question.lowercase_name(), b"\x01f\x02bl\x07example\0");
    assert_eq!(question.labels().collect::<Vec<_>>(), [&b"f"[..], b"bl", b"example"]);
    assert_eq!(question.label_offsets(), [0, 2, 5]);
    assert_eq!([0, 1, 2, 3].map(|labels| question.suffix_offset(labels)), [13, 5, 2, 0]);
    assert_eq!(question.find_suffix(b"\x07EXAMPLE\0"), Some(5));
    assert_eq!(question.find_suffix(b"\x08xexample\0"), None);
    assert_eq!(question.find_suffix(&[b"\x01x", question.name()].concat()), None);
}

fn addresses(count: u8) -> RecordSet<'static> {
    let rdata = (0..count).map(|last| vec![127, 0, 0, last].into()).collect();
    RecordSet { record_type: record_type::A, ttl: 300, rdata }
}

#[test]
fn names_of_a_reply_point_into_the_question() {
    let query = packet(0x0110, [1, 0, 0, 1], &[b"\x01F\x02Bl\x07eXample\0\0\x10\0\x01", OPT]);
    let message = Message::read(&query).unwrap();
    let opt = Opt {
        udp_size: 1232,
        dnssec_ok: true,
        cookie: Some([7; 24]),
        nsid: Some(b"ns1"),
        error: Some(extended_error::PROHIBITED),
        error_text: "",
        padded: false,
    };
    let mut reply = b"before".to_vec();
    let mut writer = Writer::new(&mut reply, message.header, message.question.as_ref(), Some(opt), 512);
    let set = addresses(1);
    writer.record_set(Section::Answer, Owner::Question, &set).unwrap();
    writer.record_set(Section::Authority, Owner::Suffix(2), &set).unwrap();
    writer.record_set(Section::Additional, Owner::Name(b"\x02ns\x07Example\0"), &set).unwrap();
    writer.record_set(Section::Additional, Owner::Name(b"\x02ns\x03org\0"), &set).unwrap();
    writer.record_set(Section::Additional, Owner::Name(b"\0"), &set).unwrap();
    writer.finish(true, rcode::BADVERS);
    let fixed = b"\0\x01\0\x01\0\0\x01\x2c\0\x04\x7f\0\0\0";
    let body: [&[u8]; 14] = [
        &query[12..30],
        b"\xc0\x0c",
        fixed,
        b"\xc0\x0e",
        fixed,
        b"\x02ns\xc0\x11",
        fixed,
        b"\x02ns\x03org\0",
        fixed,
        b"\0",
        fixed,
        b"\0\0\x29\x04\xd0\x01\0\x80\0\0\x29\0\x0a\0\x18",
        &[7; 24],
        b"\0\x03\0\x03ns1\0\x0f\0\x02\0\x12",
    ];
    assert_eq!(reply, [b"before", &packet(0x8510, [1, 1, 1, 4], &body)[..]].concat());
}

#[test]
fn the_root_is_written_out() {
    let query = packet(0, [1, 0, 0, 0], &[b"\0\0\x01\0\x01"]);
    let message = Message::read(&query).unwrap();
    let mut reply = Vec::new();
    let mut writer = Writer::new(&mut reply, message.header, message.question.as_ref(), None, 512);
    writer.record_set(Section::Answer, Owner::Question, &addresses(1)).unwrap();
    writer.finish(false, 0);
    assert_eq!(reply.len(), 12 + 5 + 15);
    assert!(op::Message::from_vec(&reply).unwrap().answers[0].name.is_root());
}

#[test]
fn sets_fit_whole_or_not_at_all() {
    let query = packet(0, [1, 0, 0, 0], &[QUESTION]);
    let message = Message::read(&query).unwrap();
    let opt = Opt {
        udp_size: 1232,
        dnssec_ok: false,
        cookie: None,
        nsid: None,
        error: None,
        error_text: "",
        padded: false,
    };
    let set = addresses(3);
    // Header, question, three records of 16 octets, OPT.
    let whole = 12 + 16 + 48 + 11;
    for (limit, fits) in [(whole, Ok(())), (whole - 1, Err(DoesNotFit))] {
        let mut reply = Vec::new();
        let mut writer = Writer::new(&mut reply, message.header, message.question.as_ref(), Some(opt), limit);
        assert_eq!(writer.record_set(Section::Answer, Owner::Question, &set), fits);
        writer.finish(false, 0);
        assert_eq!(reply.len(), if fits.is_ok() { whole } else { whole - 48 });
    }
    // An identity for which there is no room is left out.
    let identity = [b'n'; 255];
    let opt = Opt { nsid: Some(&identity), ..opt };
    for (limit, octets) in [(512, 12 + 16 + 11 + 4 + 255), (12 + 16 + 11 + 4 + 254, 12 + 16 + 11)] {
        let mut reply = Vec::new();
        Writer::new(&mut reply, message.header, message.question.as_ref(), Some(opt), limit).finish(false, 0);
        assert_eq!(reply.len(), octets);
    }
    let huge = RecordSet { record_type: 65280, ttl: 0, rdata: smallvec![vec![0; 65_536].into()] };
    let mut reply = Vec::new();
    let mut writer = Writer::new(&mut reply, message.header, None, None, usize::MAX);
    assert_eq!(writer.record_set(Section::Answer, Owner::Question, &huge), Err(DoesNotFit));
}

/// RFC 8467, section 4.1.
#[test]
fn padded_replies_fill_their_block() {
    const OPT_PADDED: &[u8] = b"\0\0\x29\x04\xd0\0\0\0\0\0\x07\0\x0c\0\x03\0\0\0";
    let query = packet(0, [1, 0, 0, 1], &[QUESTION, OPT_PADDED]);
    let message = Message::read(&query).unwrap();
    assert!(message.edns.unwrap().padding);
    let padded = |rdata: usize, error| {
        let opt = Opt {
            udp_size: 1232,
            dnssec_ok: false,
            cookie: None,
            nsid: None,
            error,
            error_text: "",
            padded: true,
        };
        let mut reply = b"before".to_vec();
        let question = message.question.as_ref();
        let mut writer = Writer::new(&mut reply, message.header, question, Some(opt), 65_535);
        let set = RecordSet { record_type: 65280, ttl: 0, rdata: smallvec![vec![0; rdata].into()] };
        writer.record_set(Section::Answer, Owner::Question, &set).unwrap();
        writer.finish(false, 0);
        let reply = &reply[6..];
        assert_eq!(op::Message::from_vec(reply).unwrap().answers.len(), 1);
        assert!(
            Message::read(reply).is_some_and(|message| message.edns.unwrap().padding && !message.malformed)
        );
        reply.len()
    };
    // Header, question, one record, OPT with the padding's head.
    let unpadded = 12 + 16 + 12 + 15;
    for (rdata, error, octets) in [
        (1, None, 468),
        (468 - unpadded, None, 468),
        (468 - unpadded + 1, None, 936),
        (468 - unpadded - 6, Some(14), 468),
        (468 - unpadded - 5, Some(14), 936),
        (65_535 - unpadded, None, 65_535),
        (65_500 - unpadded, None, 65_520),
        (65_530 - unpadded, None, 65_535),
    ] {
        assert_eq!(padded(rdata, error), octets, "{rdata} octets");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn reads_what_hickory_writes(expected in query()) {
        let bytes = expected.to_vec().unwrap();
        let message = Message::read(&bytes).unwrap();
        prop_assert!(!message.malformed);
        prop_assert_eq!(message.header.id, expected.metadata.id);
        prop_assert_eq!(message.header.opcode(), u16::from(u8::from(expected.metadata.op_code)));
        let question = message.question.unwrap();
        let asked = &expected.queries[0];
        prop_assert_eq!(question.record_type, u16::from(asked.query_type));
        prop_assert_eq!(question.class, u16::from(asked.query_class));
        let labels: Vec<_> = asked.name.iter().map(<[u8]>::to_ascii_lowercase).collect();
        prop_assert_eq!(question.labels().map(<[u8]>::to_vec).collect::<Vec<_>>(), labels);
        prop_assert_eq!(
            message.edns.map(|edns| (edns.udp_size, edns.version, edns.dnssec_ok)),
            expected.edns.map(|edns| (edns.max_payload(), edns.version(), edns.flags().dnssec_ok))
        );
    }

    /// Hickory follows pointers in the question, and takes an OPT at any name and an option that is
    /// longer than its OPT: there the reader is stricter. Of rdata it reads OPT's alone, so it is laxer.
    #[test]
    fn agrees_with_hickory_on_mutated_queries(bytes in bytes()) {
        let Ok(expected) = op::Message::from_vec(&bytes) else { return Ok(()) };
        let message = Message::read(&bytes).unwrap();
        let compressed = !expected.queries.iter().all(|asked| {
            let labels = asked.name.iter().flat_map(|label| [&[label.len() as u8], label].concat());
            bytes[12..].starts_with(&labels.chain([0]).collect::<Vec<_>>())
        });
        prop_assert!(!message.malformed || compressed || expected.edns.is_some());
        if let (false, Some(edns)) = (message.malformed, expected.edns) {
            let read = message.edns.unwrap();
            prop_assert_eq!((read.udp_size.max(512), read.version), (edns.max_payload(), edns.version()));
        }
        if let (Some(question), [asked]) = (message.question, &expected.queries[..]) {
            let labels: Vec<_> = asked.name.iter().map(<[u8]>::to_ascii_lowercase).collect();
            prop_assert_eq!(question.labels().map(<[u8]>::to_vec).collect::<Vec<_>>(), labels);
            prop_assert_eq!(question.record_type, u16::from(asked.query_type));
        }
    }
}
