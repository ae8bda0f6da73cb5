//! The PROXY protocol, version 2 (HAProxy's; dnsdist speaks it): a proxy before the server says for whom it
//! asks, in a header before each UDP packet and at the beginning of each connection. Only from addresses that
//! are configured as proxies is one expected, and there it must be: anybody else's would be a lie.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};

use ppp::v2::{Addresses, Command, Header, ParseError};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest header that is read; of what it may hold, addresses are the least.
pub const MAX_OCTETS: usize = 4096;

/// The signature, what it is about, and the length of the rest.
const FIXED_OCTETS: usize = 16;
/// Where that length is.
const LENGTH_AT: usize = 14;

/// What a proxy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// For whom it asks; `None` where it asks for itself (to see whether the server lives).
    pub client: Option<SocketAddr>,
    /// Octets of the header.
    pub octets: usize,
}

/// Why there is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHeader {
    /// It has begun, and goes on.
    Incomplete,
    /// There is something else.
    Malformed,
}

/// Receives the header at the beginning of a connection, and not an octet more: what follows may be TLS.
///
/// # Errors
/// There is none, or the connection ends in it.
pub async fn receive(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Said> {
    let mut header = Vec::new();
    loop {
        match read(&header) {
            Ok(said) => return Ok(said),
            Err(NoHeader::Malformed) => return Err(ErrorKind::InvalidData.into()),
            Err(NoHeader::Incomplete) => {}
        }
        let missing = octets(&header).saturating_sub(header.len());
        if (&mut *stream).take(missing as u64).read_buf(&mut header).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Reads the header at the beginning of `data`.
///
/// # Errors
/// See [`NoHeader`].
pub fn read(data: &[u8]) -> Result<Said, NoHeader> {
    if octets(data) > MAX_OCTETS {
        return Err(NoHeader::Malformed);
    }
    let header = Header::try_from(data).map_err(|error| match error {
        ParseError::Incomplete(_) | ParseError::Partial(..) => NoHeader::Incomplete,
        _ => NoHeader::Malformed,
    })?;
    let client = match (header.command, &header.addresses) {
        (Command::Local, _) => None,
        (_, Addresses::IPv4(addresses)) => Some((addresses.source_address.into(), addresses.source_port)),
        (_, Addresses::IPv6(addresses)) => {
            Some((IpAddr::V6(addresses.source_address).to_canonical(), addresses.source_port))
        }
        // It hides who asks.
        (_, Addresses::Unspecified | Addresses::Unix(_)) => return Err(NoHeader::Malformed),
    };
    Ok(Said { client: client.map(SocketAddr::from), octets: header.len() })
}

/// How long the header that begins so says that it is; as long as it does not, what comes before that.
fn octets(header: &[u8]) -> usize {
    let rest = header.get(LENGTH_AT..FIXED_OCTETS).and_then(|length| length.try_into().ok());
    FIXED_OCTETS + usize::from(rest.map_or(0, u16::from_be_bytes))
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

    /// The header of a client, with something behind the addresses.
    pub(in crate::server) fn header(client: IpAddr, more: &[u8]) -> Vec<u8> {
        let (family, mut addresses) = match client {
            IpAddr::V4(address) => (0x12, [&address.octets()[..], &[127, 0, 0, 1]].concat()),
            IpAddr::V6(address) => (0x22, [address.octets(), [0; 16]].concat()),
        };
        addresses.extend_from_slice(&[0xab, 0xcd, 0, 53]);
        addresses.extend_from_slice(more);
        let length = addresses.len() as u16;
        [SIGNATURE, &[0x21, family], &length.to_be_bytes(), &addresses].concat()
    }

    #[test]
    fn who_asks() {
        let local = [SIGNATURE, &[0x20, 0, 0, 0]].concat();
        assert_eq!(read(&local), Ok(Said { client: None, octets: 16 }));
        let mapped = header("::ffff:192.0.2.1".parse().unwrap(), b"");
        assert_eq!(read(&mapped).unwrap().client, Some("192.0.2.1:43981".parse().unwrap()));
        let whole = header("192.0.2.1".parse().unwrap(), b"");
        for (place, octet) in [(0, b'x'), (12, 0x11), (12, 0x22), (13, 0x42), (15, 11)] {
            let mut other = whole.clone();
            other[place] = octet;
            assert_eq!(read(&other), Err(NoHeader::Malformed), "{place}");
        }
        let hidden = [SIGNATURE, &[0x21, 0, 0, 0]].concat();
        let path = [SIGNATURE, &[0x21, 0x31, 0, 216], &[b'/'; 216]].concat();
        for data in [&b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x01a\x07example\0\0\x01\0\x01"[..], &hidden, &path] {
            assert_eq!(read(data), Err(NoHeader::Malformed), "{data:?}");
        }
        let long = header("192.0.2.1".parse().unwrap(), &[&[4, 18, 0][..], &[0; 18 << 8]].concat());
        let endless = [SIGNATURE, &[0x21, 0x12, 0xff, 0xff]].concat();
        assert_eq!([&long[..], &long[..20], &endless].map(read), [Err(NoHeader::Malformed); 3]);
    }

    proptest! {
        #[test]
        fn a_header_wherever_it_is_cut(
            client: IpAddr,
            more in prop::collection::vec(any::<u8>(), 0..40),
            behind in prop::collection::vec(any::<u8>(), 0..40),
            cut: prop::sample::Index,
        ) {
            // What follows the addresses is a list of values.
            let more = if more.is_empty() { more } else { [&[1, 0, more.len() as u8][..], &more].concat() };
            let header = header(client, &more);
            let said = Said { client: Some((client.to_canonical(), 0xabcd).into()), octets: header.len() };
            prop_assert_eq!(read(&[&header[..], &behind].concat()), Ok(said));
            prop_assert_eq!(read(&header[..cut.index(header.len())]), Err(NoHeader::Incomplete));
        }

        #[test]
        fn no_octets_panic(mut data in prop::collection::vec(any::<u8>(), 0..80), like: bool) {
            if like {
                data.splice(..data.len().min(12), SIGNATURE.iter().copied());
            }
            if let Ok(said) = read(&data) {
                prop_assert!(said.octets <= data.len());
            }
        }
    }
}
