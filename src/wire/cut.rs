//! A reply without its records: what says no more than "come back over TCP".

use super::reader::{Cursor, Malformed, Record, skip_question};
use super::{HEADER_OCTETS, Header, flag, rcode, record_type};

/// Takes the records of a reply away, OPT apart, and sets TC; an NXDOMAIN, which would need no more, becomes
/// NOERROR. Returns how many octets are left. `None`, with nothing changed, for what cannot be read.
pub fn cut(reply: &mut [u8]) -> Option<usize> {
    let header = Header::read(reply)?;
    let (end, opt) = find_opt(reply, header).ok()?;
    let mut flags = header.flags | flag::TRUNCATED;
    if flags & RCODE == rcode::NXDOMAIN {
        flags &= !RCODE;
    }
    let opt_octets = opt.as_ref().map_or(0, ExactSizeIterator::len);
    let counts = [header.questions, 0, 0, u16::from(opt.is_some())];
    if let Some(opt) = opt {
        reply.copy_within(opt, end);
    }
    for (place, word) in reply[2..HEADER_OCTETS].chunks_exact_mut(2).zip([flags].iter().chain(&counts)) {
        place.copy_from_slice(&word.to_be_bytes());
    }
    Some(end + opt_octets)
}

/// The lower bits of the response code.
const RCODE: u16 = 0xf;

/// Where the question ends, and where OPT is.
fn find_opt(reply: &[u8], header: Header) -> Result<(usize, Option<std::ops::Range<usize>>), Malformed> {
    let mut cursor = Cursor { packet: reply, at: HEADER_OCTETS };
    (0..header.questions).try_for_each(|_| skip_question(&mut cursor))?;
    let end = cursor.at;
    let records = u32::from(header.answers) + u32::from(header.authorities) + u32::from(header.additionals);
    let mut opt = None;
    for _ in 0..records {
        let start = cursor.at;
        if Record::read(&mut cursor)?.record_type == record_type::OPT {
            opt = Some(start..cursor.at);
        }
    }
    Ok((end, opt))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::tests::{OPT_COOKIE, QUESTION, RECORD, bytes, packet};

    #[test]
    fn all_goes_but_question_and_opt() {
        let whole = packet(0x8583, [1, 2, 1, 2], &[QUESTION, RECORD, RECORD, RECORD, RECORD, OPT_COOKIE]);
        let mut reply = whole;
        let octets = cut(&mut reply).unwrap();
        assert_eq!(reply[..octets], packet(0x8780, [1, 0, 0, 1], &[QUESTION, OPT_COOKIE]));
        let mut refused = packet(0x8105, [1, 0, 0, 0], &[QUESTION]);
        let octets = cut(&mut refused).unwrap();
        assert_eq!(refused[..octets], packet(0x8305, [1, 0, 0, 0], &[QUESTION]));
    }

    proptest! {
        #[test]
        fn it_never_grows_nor_fails(mut reply in bytes()) {
            let before = reply.clone();
            match cut(&mut reply) {
                Some(octets) => prop_assert!(octets <= reply.len()),
                None => prop_assert_eq!(reply, before),
            }
        }
    }
}
