//! Addresses to listen on: `192.0.2.1`, `192.0.2.1:53`, `2001:db8::1`, `[2001:db8::1]:53`, and
//! rbldnsd's `ADDRESS/PORT` for both families.

use std::net::{IpAddr, SocketAddr};

/// The text is no address with a port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address: ADDRESS, ADDRESS:PORT or [IPv6 ADDRESS]:PORT")]
pub struct BadAddress;

/// Reads an address; the port is `default_port` where none stands.
pub fn parse(text: &str, default_port: u16) -> Result<SocketAddr, BadAddress> {
    let (host, port) = split(text);
    let port = match port {
        Some(port) if port.bytes().all(|octet| octet.is_ascii_digit()) => {
            port.parse().map_err(|_| BadAddress)?
        }
        Some(_) => return Err(BadAddress),
        None => default_port,
    };
    let address: IpAddr = host.parse().map_err(|_| BadAddress)?;
    Ok(SocketAddr::new(address, port))
}

/// Splits host and port without looking into them: at the slash, behind the bracket, or at a colon
/// that is the only one (more colons make an IPv6 address without port).
pub fn split(text: &str) -> (&str, Option<&str>) {
    if let Some((host, port)) = text.split_once('/') {
        return (host.trim_start_matches('[').trim_end_matches(']'), Some(port));
    }
    if let Some((host, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        return match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => (text, None),
        };
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, Some(port)),
        _ => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (text, expected) in [
            ("127.0.0.1", "127.0.0.1:53"),
            ("127.0.0.1:5353", "127.0.0.1:5353"),
            ("127.0.0.1/5353", "127.0.0.1:5353"),
            ("::1", "[::1]:53"),
            ("[::1]", "[::1]:53"),
            ("[::1]:5353", "[::1]:5353"),
            ("::1/5353", "[::1]:5353"),
            ("[::1]/5353", "[::1]:5353"),
        ] {
            assert_eq!(parse(text, 53).unwrap().to_string(), expected, "{text}");
        }
        for text in
            ["", "localhost", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:+5", "[::1]5353", "[::1", "::1]"]
        {
            assert_eq!(parse(text, 53), Err(BadAddress), "{text}");
        }
    }
}
