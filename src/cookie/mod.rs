//! DNS cookies (RFC 7873) as all servers of a name can make and check them (RFC 9018): a client that sends
//! back what it was given once is where it says it is.
//!
//! ```text
//! client cookie, 8 octets │ version 1 │ 0 0 0 │ time, 4 octets │ SipHash-2-4 of all that and the address
//! ```
//!
//! Servers of one name must have the same secrets: a file holds the one that cookies are made with and, while
//! they are replaced, others that are still good. A server of its own makes one when it starts.

pub mod file;
mod siphash;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use rustix::rand::GetRandomFlags;

/// Octets of a client's cookie.
pub const CLIENT_OCTETS: usize = 8;
/// Octets of a server's cookie, as RFC 9018 makes them.
pub const SERVER_OCTETS: usize = 16;
/// Octets of both.
pub const OCTETS: usize = CLIENT_OCTETS + SERVER_OCTETS;

/// What a COOKIE option holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// The client's part.
    pub client: [u8; CLIENT_OCTETS],
    /// The server's part; that of another kind of server is none of ours, and zeros stand for it.
    pub server: Option<[u8; SERVER_OCTETS]>,
}

/// What a query's cookie says of its client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// There is none, or nobody looked.
    #[default]
    None,
    /// The client has none of the server's yet.
    New,
    /// The server did not make it for this client, or long ago.
    Bad,
    /// The client is where it says it is.
    Good,
}

impl Standing {
    /// Those of queries with a cookie, in their order.
    pub const TOLD: [Self; 3] = [Self::New, Self::Bad, Self::Good];

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::New => "new",
            Self::Bad => "bad",
            Self::Good => "good",
        }
    }
}

/// What a query's cookie says of its client, and both cookies that it is answered with.
pub type Answered = (Standing, [u8; OCTETS]);

/// A secret that cookies are made with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret([u64; 2]);

/// How cookies are made and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookies {
    /// Makes them.
    current: Secret,
    /// Those made with these are good, too.
    others: Vec<Secret>,
    /// A query over UDP with a cookie that is not good gets a good one and nothing else (BADCOOKIE).
    pub required: bool,
}

/// Good so long, in seconds (RFC 9018, section 4.3).
const OLDEST: u32 = 3600;
/// And so much in the future, since clocks differ.
const NEWEST: u32 = 300;
/// Made again when older than that.
const RENEWED: u32 = 1800;
/// The version octet and the reserved ones.
const HEAD: [u8; 4] = [1, 0, 0, 0];

impl Cookie {
    /// Reads the data of a COOKIE option; `None` where its length is none that there is (RFC 7873, section
    /// 5.2.2).
    pub fn read(data: &[u8]) -> Option<Self> {
        let (&client, server) = data.split_first_chunk()?;
        let server = match server.len() {
            0 => None,
            8..=32 => Some(server.try_into().unwrap_or_default()),
            _ => return None,
        };
        Some(Self { client, server })
    }
}

impl Secret {
    /// Of 16 octets.
    pub const fn new(octets: [u8; 16]) -> Self {
        let (words, _) = octets.as_chunks();
        Self([u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1])])
    }

    /// One that nobody knows.
    ///
    /// # Errors
    /// The system has no random octets.
    pub fn random() -> std::io::Result<Self> {
        let mut octets = [0; 16];
        // Never fewer than asked for, up to 256 (getrandom(2)).
        rustix::rand::getrandom(&mut octets, GetRandomFlags::empty())?;
        Ok(Self::new(octets))
    }

    /// A server's cookie of a time, for a client at an address: head, time and hash.
    #[inline(always)]
    fn hash(&self, client: &[u8; CLIENT_OCTETS], head: [u8; 8], address: IpAddr) -> [u8; 8] {
        let (client, head) = (u64::from_le_bytes(*client), u64::from_le_bytes(head));
        let hash = match address {
            IpAddr::V4(address) => {
                siphash::hash(self.0, &[client, head], u32::from_le_bytes(address.octets()).into(), 20)
            }
            IpAddr::V6(address) => {
                let octets = address.octets();
                let (words, _) = octets.as_chunks();
                let words = [client, head, u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1])];
                siphash::hash(self.0, &words, 0, 32)
            }
        };
        hash.to_le_bytes()
    }
}

/// Its content is nobody's business.
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Cookies {
    /// Cookies that are made with the secret `current` and also good if made with one of `others`.
    pub fn new(current: Secret, others: Vec<Secret>, required: bool) -> Self {
        Self { current, others, required }
    }

    /// Checks the cookie of a client at an address at a time (in seconds since 1970), and makes the one that
    /// it is answered with: its own as long as that is fresh.
    #[inline(always)]
    pub fn answer(&self, cookie: Cookie, address: IpAddr, now: u32) -> Answered {
        let standing = match cookie.server {
            None => Standing::New,
            Some(server) => match self.age(&cookie.client, server, address, now) {
                Some(age) if age <= RENEWED => return (Standing::Good, join(cookie.client, server)),
                Some(_) => Standing::Good,
                None => Standing::Bad,
            },
        };
        (standing, join(cookie.client, self.make(&cookie.client, address, now)))
    }

    /// How old a cookie is; `None` for one that is not good. One that is to be made again since another secret
    /// made it is old.
    fn age(
        &self,
        client: &[u8; CLIENT_OCTETS],
        server: [u8; SERVER_OCTETS],
        address: IpAddr,
        now: u32,
    ) -> Option<u32> {
        let (&[version, _, _, _, t0, t1, t2, t3], hash) = server.split_first_chunk::<8>()?;
        let head = [version, server[1], server[2], server[3], t0, t1, t2, t3];
        // Times are serial numbers (RFC 9018, section 4.3).
        let ahead = u32::from_be_bytes([t0, t1, t2, t3]).wrapping_sub(now);
        let age = ahead.wrapping_neg();
        if version != HEAD[0] || ahead > NEWEST && age > OLDEST {
            return None;
        }
        let age = if ahead <= NEWEST { 0 } else { age };
        // Nobody learns a hash from how long a comparison of eight octets takes: it is one.
        let is_of = |secret: &Secret| u64::from_le_bytes(secret.hash(client, head, address)) == word(hash);
        if is_of(&self.current) {
            // Reserved octets that are not ours are not given again.
            return Some(if head[..4] == HEAD { age } else { OLDEST });
        }
        self.others.iter().any(is_of).then_some(OLDEST)
    }

    fn make(&self, client: &[u8; CLIENT_OCTETS], address: IpAddr, now: u32) -> [u8; SERVER_OCTETS] {
        let head = join(HEAD, now.to_be_bytes());
        join(head, self.current.hash(client, head, address))
    }
}

fn word(octets: &[u8]) -> u64 {
    octets.first_chunk().map_or(0, |octets| u64::from_le_bytes(*octets))
}

/// Two arrays as one.
#[inline(always)]
fn join<const A: usize, const B: usize, const C: usize>(one: [u8; A], other: [u8; B]) -> [u8; C] {
    const { assert!(A + B == C) };
    let mut joined = [0; C];
    joined[..A].copy_from_slice(&one);
    joined[A..].copy_from_slice(&other);
    joined
}
