//! Rdata of NSEC records (RFC 4034, section 4): the next name, and the types at this one.

use super::record_type::{NSEC, RRSIG};

/// The rdata of the NSEC record of a name that owns records of `types` (in any order): the next name in wire
/// form and lower case, and a bitmap of the types, NSEC and RRSIG included.
pub fn rdata(next: &[u8], types: impl IntoIterator<Item = u16>) -> Vec<u8> {
    let mut rdata = next.to_vec();
    push_bitmap(&mut rdata, types.into_iter().chain([NSEC, RRSIG]));
    rdata
}

/// Appends a bitmap for each window of 256 types that has any (RFC 4034, section 4.1.2).
fn push_bitmap(rdata: &mut Vec<u8>, types: impl Iterator<Item = u16>) {
    let mut types: smallvec::SmallVec<[u16; 16]> = types.collect();
    types.sort_unstable();
    types.dedup();
    for window in types.chunk_by(|a, b| a >> 8 == b >> 8) {
        let [(.., last), (first, ..)] =
            [window.last(), window.first()].map(|code| code.map_or((0, 0), |code| (code >> 8, code & 0xff)));
        let octets = usize::from(last / 8) + 1;
        rdata.extend([first as u8, octets as u8]);
        let begin = rdata.len();
        rdata.resize(begin + octets, 0);
        for code in window {
            rdata[begin + usize::from(code & 0xff) / 8] |= 0x80 >> (code % 8);
        }
    }
}

/// The types of a bitmap, in order.
pub fn types(bitmap: &[u8]) -> impl Iterator<Item = u16> {
    let mut rest = bitmap;
    let windows = std::iter::from_fn(move || {
        let ([window, octets], tail) = rest.split_first_chunk::<2>()?;
        let (bits, tail) = tail.split_at_checked(usize::from(*octets))?;
        rest = tail;
        Some((u16::from(*window) << 8, bits))
    });
    windows.flat_map(|(window, bits)| {
        let codes = (0..bits.len() as u16 * 8).map(move |code| (code, bits[usize::from(code / 8)]));
        codes.filter(|(code, octet)| octet & 0x80 >> (code % 8) != 0).map(move |(code, _)| window | code)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_example_of_the_standard() {
        // RFC 4034, section 4.3: A MX RRSIG NSEC TYPE1234.
        let expected = b"\x04host\x07example\x03com\0\
            \x00\x06\x40\x01\x00\x00\x00\x03\
            \x04\x1b\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x20";
        assert_eq!(rdata(b"\x04host\x07example\x03com\0", [1234, 1, 15]), expected);
    }

    proptest! {
        #[test]
        fn hickory_reads_the_same_types(types in prop::collection::btree_set(1u16.., 0..40)) {
            use hickory_proto::rr::{RData, RecordType};
            use hickory_proto::dnssec::rdata::DNSSECRData;
            use hickory_proto::serialize::binary::{BinDecoder, Restrict};

            let octets = rdata(b"\0", types.iter().copied());
            let mut decoder = BinDecoder::new(&octets);
            let length = Restrict::new(octets.len() as u16);
            let read = RData::read(&mut decoder, RecordType::NSEC, length).unwrap();
            let RData::DNSSEC(DNSSECRData::NSEC(read)) = read else { panic!("no NSEC") };
            let read: std::collections::BTreeSet<u16> = read.type_bit_maps().map(u16::from).collect();
            let expected: std::collections::BTreeSet<u16> = types.into_iter().chain([46, 47]).collect();
            prop_assert_eq!(&read, &expected);
            let ours: std::collections::BTreeSet<u16> = super::types(&octets[1..]).collect();
            prop_assert_eq!(ours, expected);
        }
    }
}
