//! A reply without its records: what says no more than "come back over TCP".

use std::ops::Range;

use super::reader::{Cursor, Malformed, Record, skip_question};
use super::{HEADER_OCTETS, Header, flag, option_code, rcode, record_type};

/// Takes the records of a reply away, OPT apart, and sets TC; an NXDOMAIN, which would need no more, becomes
/// NOERROR. Of OPT's options the cookie alone stays: with the others, what goes to a forged address could be longer
/// than the question. Returns how many octets are left. `None`, with nothing changed, for what cannot be read.
pub fn cut(reply: &mut [u8]) -> Option<usize> {
    let header = Header::read(reply)?;
    let (end, opt) = find_opt(reply, header).ok()?;
    let mut flags = header.flags | flag::TRUNCATED;
    if flags & RCODE == rcode::NXDOMAIN {
        flags &= !RCODE;
    }
    let counts = [header.questions, 0, 0, u16::from(opt.is_some())];
    let mut octets = end;
    if let Some((fixed, cookie)) = opt {
        // In their order in the packet, so that nothing is written over before it is moved.
        for range in [fixed, cookie.clone()] {
            let length = range.len();
            reply.copy_within(range, octets);
            octets += length;
        }
        let length = (cookie.len() as u16).to_be_bytes();
        reply[octets - cookie.len() - length.len()..octets - cookie.len()].copy_from_slice(&length);
    }
    for (place, word) in reply[2..HEADER_OCTETS].chunks_exact_mut(2).zip([flags].iter().chain(&counts)) {
        place.copy_from_slice(&word.to_be_bytes());
    }
    Some(octets)
}

/// The lower bits of the response code.
const RCODE: u16 = 0xf;

/// Where OPT is without its options, and where its cookie is; an empty place where there is none.
type Opt = (Range<usize>, Range<usize>);

/// Where the question ends, and where OPT is.
fn find_opt(reply: &[u8], header: Header) -> Result<(usize, Option<Opt>), Malformed> {
    let mut cursor = Cursor { packet: reply, at: HEADER_OCTETS };
    (0..header.questions).try_for_each(|_| skip_question(&mut cursor))?;
    let end = cursor.at;
    let records = u32::from(header.answers) + u32::from(header.authorities) + u32::from(header.additionals);
    let mut opt = None;
    for _ in 0..records {
        let start = cursor.at;
        let record = Record::read(&mut cursor)?;
        if record.record_type == record_type::OPT {
            let options = cursor.at - record.rdata.len();
            opt = Some((start..options, find_cookie(reply, options..cursor.at)?));
        }
    }
    Ok((end, opt))
}

/// Where the first cookie is among options.
fn find_cookie(reply: &[u8], options: Range<usize>) -> Result<Range<usize>, Malformed> {
    let mut cursor = Cursor { packet: &reply[..options.end], at: options.start };
    while cursor.at < options.end {
        let start = cursor.at;
        let (code, length) = (cursor.word()?, cursor.word()?);
        cursor.take(usize::from(length))?;
        if code == option_code::COOKIE {
            return Ok(start..cursor.at);
        }
    }
    Ok(options.end..options.end)
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
        // With NSID, EDE and something of two octets around the cookie.
        let (fixed, cookie) = OPT_COOKIE.split_at(11);
        let options = [&b"\0\x03\0\x03ns1\0\x0f\0\x02\0\x03"[..], cookie, b"\0\x0c\0\x02\0\0"].concat();
        let long = [&fixed[..9], &(options.len() as u16).to_be_bytes(), &options].concat();
        let mut reply = packet(0x8583, [1, 1, 0, 1], &[QUESTION, RECORD, &long]);
        let octets = cut(&mut reply).unwrap();
        assert_eq!(reply[..octets], packet(0x8780, [1, 0, 0, 1], &[QUESTION, OPT_COOKIE]));
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
