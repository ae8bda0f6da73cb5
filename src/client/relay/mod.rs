//! `nibbl relay`: a small DNS server beside a mail host's resolver. Mail software asks it ordinary
//! queries (RFC 5782) and gets the answers of the zone's server, made of cached range records.
//!
//! ```text
//! mail software ─▶ UDP, TCP ─▶ reply::respond ─▶ Ranges, one for each zone ─▶ resolver or server
//! ```
//!
//! It waits for upstreams, so every query is a task. Tasks and connections are bounded: queries
//! beyond are dropped, and clients ask again.

use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener, UdpSocket as StdUdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use hickory_proto::rr::Name;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::lookup::{server, zone_name};
use super::{Answers, Limits, Ranges, Resolver};
use crate::config::duration;
use reply::{Relay, Transport};

mod reply;
#[cfg(test)]
mod tests;

/// UDP queries answered at the same time, per address.
const MAX_QUERIES: usize = 1024;
/// TCP connections at the same time, per address; further ones wait in the system's queue.
const MAX_CONNECTIONS: usize = 64;
/// How long a TCP connection stays open without a query, and how long a write may take.
const TCP_IDLE: Duration = Duration::from_secs(10);
/// How long to wait after an error of a socket that is no peer's fault.
const AFTER_ERROR: Duration = Duration::from_millis(10);
/// The largest query over UDP that is read.
const MAX_PACKET: usize = 4096;

/// What follows the help of the options.
pub const HELP: &str = "\
The resolver or the mail software asks the relay for the names of its zones, by ordinary queries;
docs/relay.md has recipes for unbound, BIND, dnsmasq, Postfix and rspamd. The relay asks the server
given with a zone, else the --resolver, else the system's resolver, which must not itself send these
zones to the relay.

Example:
  nibbl relay --listen 127.0.0.1:5354 --zone bl.example --zone wl.example=192.0.2.53

Exit codes: 0 stopped by a signal, 1 could not start, 2 wrong arguments.";

/// The arguments of `nibbl relay`.
#[derive(Args, Clone, Debug)]
pub struct RelayArgs {
    /// Answer on this address over UDP and TCP; may be repeated
    #[arg(long, required = true, value_name = "ADDR:PORT", value_parser = listen)]
    pub listen: Vec<SocketAddr>,
    /// A zone to answer for, and the server to ask for it; may be repeated
    #[arg(long, required = true, value_name = "ZONE[=ADDR[:PORT]]", value_parser = zone)]
    pub zone: Vec<ZoneArg>,
    /// The resolver to ask, in place of the system's
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = server)]
    pub resolver: Option<SocketAddr>,
    /// The highest TTL of answers; 0 keeps every cache behind the relay empty
    #[arg(long, value_name = "TIME", default_value = "60", value_parser = duration::seconds)]
    pub max_ttl: u32,
    /// How long expired answers are used while nobody can be asked
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration::seconds)]
    pub stale: u32,
    /// Memory for answers, in MiB, for each upstream
    #[arg(long, value_name = "MIB", default_value_t = 64)]
    pub cache: u16,
}

/// A zone on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneArg {
    name: Name,
    server: Option<SocketAddr>,
}

/// Runs until SIGINT or SIGTERM. Remarks go to `say`, among them the addresses listened on.
///
/// # Errors
/// An address cannot be listened on, or the system's resolver is not known.
pub fn run(args: &RelayArgs, say: impl Fn(&str)) -> io::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let mut stop = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
        let relay = Arc::new(relay(args, &say)?);
        // Dropped at the end, and all tasks with it.
        let mut tasks = JoinSet::new();
        for &address in &args.listen {
            let (udp, tcp) = bind(address).map_err(|error| {
                io::Error::new(error.kind(), format!("{address}: cannot listen: {error}"))
            })?;
            for (transport, address) in [("udp", udp.local_addr()?), ("tcp", tcp.local_addr()?)] {
                say(&format!("listening on {transport} {address}"));
            }
            tasks.spawn(serve_udp(udp, relay.clone()));
            tasks.spawn(serve_tcp(tcp, relay.clone()));
        }
        say("ready");
        let [interrupt, terminate] = &mut stop;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    })
}

/// One memory for each upstream.
fn relay(args: &RelayArgs, say: impl Fn(&str)) -> io::Result<Relay> {
    let limits = Limits { octets: usize::from(args.cache) << 20, stale: args.stale.into() };
    let mut upstreams: Vec<(Option<SocketAddr>, Arc<Answers>)> = Vec::new();
    let mut zones = Vec::new();
    for ZoneArg { name, server } in &args.zone {
        let server = server.or(args.resolver);
        let known = upstreams.iter().find(|(other, _)| *other == server);
        let answers = match known {
            Some((_, answers)) => answers.clone(),
            None => {
                let resolver = match server {
                    Some(server) => Resolver::new(vec![server]),
                    None => Resolver::from_file(Path::new("/etc/resolv.conf"))?,
                };
                for line in resolver.passed_over() {
                    say(&format!("/etc/resolv.conf: no address of a server: `{line}`"));
                }
                let answers = Answers::new(Box::new(resolver), limits);
                upstreams.push((server, answers.clone()));
                answers
            }
        };
        zones.push(Ranges::new(name.clone(), answers));
    }
    Ok(Relay::new(zones, args.max_ttl))
}

/// TCP first, which refuses an address that is taken; UDP on the same port.
fn bind(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let tcp = StdTcpListener::bind(address)?;
    let udp = StdUdpSocket::bind(tcp.local_addr()?)?;
    tcp.set_nonblocking(true)?;
    udp.set_nonblocking(true)?;
    Ok((UdpSocket::from_std(udp)?, TcpListener::from_std(tcp)?))
}

async fn serve_udp(socket: UdpSocket, relay: Arc<Relay>) {
    let socket = Arc::new(socket);
    let queries = Arc::new(Semaphore::new(MAX_QUERIES));
    let mut buffer = vec![0; MAX_PACKET];
    loop {
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
            tokio::time::sleep(AFTER_ERROR).await;
            continue;
        };
        let Ok(permit) = queries.clone().try_acquire_owned() else { continue };
        let (packet, socket, relay) = (buffer[..length].to_vec(), socket.clone(), relay.clone());
        tokio::spawn(async move {
            if let Some(reply) = relay.respond(&packet, Transport::Udp).await {
                // Who has gone misses nothing.
                let _ = socket.send_to(&reply, client).await;
            }
            drop(permit);
        });
    }
}

async fn serve_tcp(listener: TcpListener, relay: Arc<Relay>) {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(permit) = connections.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(AFTER_ERROR).await;
            continue;
        };
        let relay = relay.clone();
        tokio::spawn(async move {
            // An error ends the connection, which is all there is to do.
            let _ = serve_connection(stream, &relay).await;
            drop(permit);
        });
    }
}

/// Answers the queries of a connection one after the other (RFC 7766, section 6.2.1).
async fn serve_connection(mut stream: TcpStream, relay: &Relay) -> io::Result<()> {
    loop {
        let packet = timeout(TCP_IDLE, async {
            let mut packet = vec![0; stream.read_u16().await?.into()];
            stream.read_exact(&mut packet).await?;
            Ok::<_, io::Error>(packet)
        });
        let Some(reply) = relay.respond(&packet.await??, Transport::Tcp).await else { return Ok(()) };
        let length = u16::try_from(reply.len()).map_err(io::Error::other)?;
        let whole = [&length.to_be_bytes()[..], &reply].concat();
        timeout(TCP_IDLE, stream.write_all(&whole)).await??;
    }
}

fn zone(text: &str) -> Result<ZoneArg, String> {
    let (name, address) = match text.split_once('=') {
        Some((name, address)) => (name, Some(server(address).map_err(|error| error.to_string())?)),
        None => (text, None),
    };
    Ok(ZoneArg { name: zone_name(name)?, server: address })
}

/// Replies must leave from the address that was asked, so it has to be a certain one.
fn listen(text: &str) -> Result<SocketAddr, String> {
    let address = server(text).map_err(|error| error.to_string())?;
    if address.ip().is_unspecified() {
        return Err("name the address: the relay does not answer on all of them".to_owned());
    }
    Ok(address)
}
