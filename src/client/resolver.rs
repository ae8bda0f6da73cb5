//! The servers that are asked over the network: UDP, again where no reply comes, TCP where the reply
//! was cut.
//!
//! A forged reply would have to guess the id and the source port (both random, each question has a
//! socket of its own that takes packets from the server only) and repeat the question.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use nix::net::if_::if_nametoindex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use super::message::{self, Packet, Received};
use super::upstream::{Failure, Question, Reply, Upstream};

/// How long each server is waited for, round by round.
const ROUNDS: [Duration; 2] = [Duration::from_millis(1000), Duration::from_millis(2500)];
/// How long a reply over TCP may take in all.
const TCP: Duration = Duration::from_secs(4);
/// Questions on their way at the same time: a bound on sockets.
const MAX_QUESTIONS: usize = 256;
/// Servers of resolv.conf that count, as in the C library.
const MAX_SERVERS: usize = 3;
/// Octets of resolv.conf that are read.
const MAX_FILE: u64 = 1 << 20;

/// A resolver or an authoritative server, or several that say the same.
#[derive(Debug)]
pub struct Resolver {
    servers: Vec<SocketAddr>,
    passed_over: Vec<String>,
    questions: Semaphore,
}

impl Resolver {
    /// Asks these servers in their order, the next where one does not answer.
    pub fn new(servers: Vec<SocketAddr>) -> Self {
        Self { servers, passed_over: Vec::new(), questions: Semaphore::new(MAX_QUESTIONS) }
    }

    /// Asks the servers that a resolv.conf(5) names; the one on this machine where it names none.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn from_file(path: &Path) -> io::Result<Self> {
        let mut text = Vec::new();
        match std::fs::File::open(path) {
            Ok(file) => io::Read::read_to_end(&mut io::Read::take(file, MAX_FILE), &mut text).map(drop)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let (servers, passed_over) = name_servers(&String::from_utf8_lossy(&text));
        Ok(Self { passed_over, ..Self::new(servers) })
    }

    /// The servers.
    pub fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    /// The lines of the file that name a server which is no address: they do not count.
    pub fn passed_over(&self) -> &[String] {
        &self.passed_over
    }
}

#[async_trait]
impl Upstream for Resolver {
    async fn ask(&self, question: &Question) -> Result<Reply, Failure> {
        let packet = message::query(question).map_err(|_| Failure::NameTooLong)?;
        // The semaphore is never closed.
        let _permit = self.questions.acquire().await;
        let mut failure = None;
        // Sockets stay open over the rounds: a late reply is one too.
        let mut sockets: Vec<Option<UdpSocket>> = self.servers.iter().map(|_| None).collect();
        for wait in ROUNDS {
            for (server, socket) in self.servers.iter().zip(&mut sockets) {
                match ask_server(*server, socket, &packet, question, wait).await {
                    Ok(reply) => return Ok(reply),
                    // Of silence and a closed door it is the silence that took the time.
                    Err(Failure::Unreachable(_)) if failure == Some(Failure::NoReply) => {}
                    Err(why) => failure = Some(why),
                }
            }
        }
        Err(failure.unwrap_or(Failure::NoReply))
    }
}

async fn ask_server(
    server: SocketAddr,
    socket: &mut Option<UdpSocket>,
    packet: &Packet,
    question: &Question,
    wait: Duration,
) -> Result<Reply, Failure> {
    let deadline = Instant::now() + wait;
    let unreachable = |error: io::Error| Failure::Unreachable(error.kind());
    let socket = match socket {
        Some(socket) => socket,
        None => socket.insert(connect(server).await.map_err(unreachable)?),
    };
    socket.send(&packet.octets).await.map_err(unreachable)?;
    let mut buffer = [0; 4096];
    loop {
        let received = timeout_at(deadline, socket.recv(&mut buffer)).await;
        let length = received.map_err(|_| Failure::NoReply)?.map_err(unreachable)?;
        match message::read(&buffer[..length], packet.id, question) {
            Received::Alien => {}
            Received::Truncated => return ask_tcp(server, packet, question).await,
            Received::Reply(reply) => return reply,
        }
    }
}

/// A socket with a port of the system's random choice.
async fn connect(server: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    Ok(socket)
}

async fn ask_tcp(server: SocketAddr, packet: &Packet, question: &Question) -> Result<Reply, Failure> {
    let exchange = async {
        let mut stream = TcpStream::connect(server).await?;
        let length = u16::try_from(packet.octets.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes()[..], &packet.octets].concat()).await?;
        let mut reply = vec![0; stream.read_u16().await?.into()];
        stream.read_exact(&mut reply).await?;
        Ok::<_, io::Error>(reply)
    };
    let reply = timeout(TCP, exchange).await.map_err(|_| Failure::NoReply)?;
    let reply = reply.map_err(|error| Failure::Unreachable(error.kind()))?;
    match message::read(&reply, packet.id, question) {
        Received::Reply(reply) => reply,
        Received::Alien | Received::Truncated => Err(Failure::Unreadable),
    }
}

/// The servers in the text of a resolv.conf(5), and the lines with one that is no address.
fn name_servers(text: &str) -> (Vec<SocketAddr>, Vec<String>) {
    let mut passed_over = Vec::new();
    let server = |line: &str| {
        let mut words = line.split_whitespace();
        words.next().filter(|&word| word == "nameserver")?;
        let server = words.next().and_then(server_address);
        if server.is_none() {
            passed_over.push(line.trim().to_owned());
        }
        server
    };
    let servers: Vec<_> = text.lines().filter_map(server).take(MAX_SERVERS).collect();
    let servers = if servers.is_empty() { vec![(Ipv4Addr::LOCALHOST, 53).into()] } else { servers };
    (servers, passed_over)
}

/// An address, for a link-local one perhaps with the interface on whose link it is (RFC 4007, section 11):
/// `fe80::1%eth0`, or the number of the interface.
fn server_address(text: &str) -> Option<SocketAddr> {
    let Some((address, scope)) = text.split_once('%') else {
        return Some(SocketAddr::new(text.parse().ok()?, 53));
    };
    let scope = scope.parse().ok().or_else(|| if_nametoindex(scope).ok())?;
    Some(SocketAddrV6::new(address.parse().ok()?, 53, 0, scope).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf() {
        let servers = |text| name_servers(text).0.iter().map(SocketAddr::to_string).collect::<Vec<_>>();
        assert_eq!(name_servers("nameserver host \nnameserver ::1\n").1, ["nameserver host"]);
        assert_eq!(
            servers(
                "# nameserver 192.0.2.9\nsearch example\nnameserver 192.0.2.1\nnameserver  2001:db8::1 x\n"
            ),
            ["192.0.2.1:53", "[2001:db8::1]:53"]
        );
        assert_eq!(servers("nameserver\nnameserver host\n"), ["127.0.0.1:53"]);
        assert_eq!(
            servers("nameserver fe80::1%lo\nnameserver fe80::1%nowhere\nnameserver fe80::2%7\n"),
            [&*format!("[fe80::1%{}]:53", if_nametoindex("lo").unwrap()), "[fe80::2%7]:53"]
        );
        assert_eq!(servers(&"nameserver 192.0.2.1\n".repeat(9)).len(), MAX_SERVERS);
        assert_eq!(Resolver::from_file(Path::new("/nonexistent/resolv.conf")).unwrap().servers().len(), 1);
    }
}
