//! UDP: one thread per socket, and two system calls per batch.
//!
//! A worker receives what waits (up to [`BATCH`] packets), takes one moment of the data, has the
//! whole batch answered, each packet into a buffer of its own, and sends all answers. All buffers are
//! allocated once. The kernel's path is nearly all of the price of a query, so a batch is what there is
//! to save.
//!
//! Under overload the newest packets go: the socket's receive buffer fills up, the system drops what
//! comes then, and what is in the buffer is answered in its order. So an answer is never later than
//! the buffer is long (`receive_buffer`; 4 MiB hold some thousand questions, which is a few hundredths
//! of a second), and packets are lost where they cost least.
//!
//! No error ends a worker: what comes back from a peer (ICMP, a full queue, an address that cannot
//! be reached) concerns that peer only.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrIn, SockaddrIn6,
    SockaddrLike, recvmmsg, sendmmsg,
};
use nix::unistd::Pid;
use smallvec::SmallVec;
use socket2::SockRef;

use super::{Responder, Service, later};
use crate::answer::{Client, Outcome, Transport};
use crate::fast::{BATCH, Received};

/// Octets of a packet that are read. An odd number of cache lines, so that the buffers of a batch
/// do not all compete for the same sets of the cache.
const PACKET_OCTETS: usize = 65 * 64;
/// How long to wait after an error that is no peer's fault (such as a lack of memory).
const AFTER_ERROR: Duration = Duration::from_millis(10);

/// One thread on one socket.
pub(super) struct Worker<R> {
    pub(super) socket: Arc<UdpSocket>,
    /// The socket is for all addresses: replies must name the one that was asked.
    pub(super) wildcard: bool,
    pub(super) core: Option<usize>,
    pub(super) service: Service<R>,
    pub(super) stopping: Arc<AtomicBool>,
}

/// Makes the worker of a socket return from its wait: Linux ends the reads of a socket that is shut
/// down, although it calls an unconnected one "not connected".
pub(super) fn wake(socket: &UdpSocket) {
    let _ = SockRef::from(socket).shutdown(Shutdown::Read);
}

impl<R: Responder> Worker<R> {
    pub(super) fn spawn(self, index: usize) -> io::Result<JoinHandle<()>> {
        let is_ipv4 = self.socket.local_addr()?.is_ipv4();
        let run = if is_ipv4 { Self::run::<SockaddrIn> } else { Self::run::<SockaddrIn6> };
        std::thread::Builder::new().name(format!("udp-{index}")).spawn(move || run(self))
    }

    fn run<P: Peer>(self) {
        if let Some(core) = self.core {
            pin(core);
        }
        let mut packets = vec![0; BATCH * PACKET_OCTETS];
        let mut headers = MultiHeaders::<P>::preallocate(BATCH, self.wildcard.then(control_space));
        let mut outgoing = Outgoing::<P>::new();
        loop {
            let mut chunks = packets.chunks_exact_mut(PACKET_OCTETS);
            let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
                std::array::from_fn(|_| [IoSliceMut::new(chunks.next().unwrap_or_default())]);
            let fd = self.socket.as_raw_fd();
            match recvmmsg(fd, &mut headers, slices.iter_mut(), MsgFlags::MSG_WAITFORONE, None) {
                Ok(received) => {
                    // Woken: everything that came before has been answered.
                    if self.answer(received, &mut outgoing) == 0 && self.stopping.load(Ordering::Acquire) {
                        return;
                    }
                }
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(_) => {
                    self.service.counters.receive_error();
                    std::thread::sleep(AFTER_ERROR);
                }
            }
            outgoing.send(&self.socket, |unsent| self.service.counters.unsent(unsent));
        }
    }

    /// Answers a batch; returns how many packets were in it, empty ones apart.
    fn answer<'a, P: Peer>(
        &self,
        messages: impl Iterator<Item = RecvMsg<'a, 'a, P>>,
        outgoing: &mut Outgoing<P>,
    ) -> usize {
        let moment = self.service.moment();
        let mut received = SmallVec::<[Received<'_>; BATCH]>::new();
        let mut packets = 0;
        for message in messages {
            let Some(packet) = message.iovs().next() else { continue };
            packets += 1;
            let Some((peer, address)) = message.address.and_then(|peer| Some((peer, peer.client()?))) else {
                continue;
            };
            received.push(Received { packet, client: Client { address, transport: Transport::Udp } });
            outgoing.push(peer, if self.wildcard { asked_address(&message) } else { None });
        }
        let (replies, outcomes, peers, sources) = outgoing.places();
        self.service.answer_batch(&moment, &received, replies, outcomes, |place| {
            later::sender(self.socket.clone(), peers[place], sources[place])
        });
        outgoing.keep_replies();
        packets
    }
}

/// The sender of a packet: with the family of its socket known, the addresses of a batch take few
/// cache lines.
pub(super) trait Peer: SockaddrLike + Copy + Send + 'static {
    /// Its address, if it can be answered: nobody listens on port 0.
    fn client(&self) -> Option<IpAddr>;
}

impl Peer for SockaddrIn {
    fn client(&self) -> Option<IpAddr> {
        (self.port() != 0).then(|| self.ip().into())
    }
}

impl Peer for SockaddrIn6 {
    fn client(&self) -> Option<IpAddr> {
        (self.port() != 0).then(|| IpAddr::V6(self.ip()).to_canonical())
    }
}

/// The local address from which a reply leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    V4(Ipv4Addr),
    /// With the interface's index where the address means nothing without it, else 0.
    V6(Ipv6Addr, u32),
}

/// Room for the control message of one packet, of the larger family.
fn control_space() -> Vec<u8> {
    nix::cmsg_space!(libc::in6_pktinfo)
}

/// The local address to which a packet was sent.
fn asked_address<P>(message: &RecvMsg<'_, '_, P>) -> Option<Source> {
    message.cmsgs().ok()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some(Source::V4(Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes())))
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            let address = Ipv6Addr::from(info.ipi6_addr.s6_addr);
            let interface = if address.is_unicast_link_local() { info.ipi6_ifindex } else { 0 };
            Some(Source::V6(address, interface))
        }
        _ => None,
    })
}

/// The answers of a batch, and what is needed to send them.
struct Outgoing<P> {
    /// As many buffers as a batch has packets; those of the answers come first.
    replies: Vec<Vec<u8>>,
    /// What became of each packet.
    outcomes: [Option<Outcome>; BATCH],
    /// Where each answer goes.
    peers: Vec<Option<P>>,
    /// Where each answer leaves from; `None` on sockets that have only one address.
    sources: Vec<Option<Source>>,
    plain: MultiHeaders<P>,
    from_v4: MultiHeaders<P>,
    from_v6: MultiHeaders<P>,
}

impl<P: Peer> Outgoing<P> {
    fn new() -> Self {
        Self {
            replies: (0..BATCH).map(|_| Vec::with_capacity(PACKET_OCTETS)).collect(),
            outcomes: [None; BATCH],
            peers: Vec::with_capacity(BATCH),
            sources: Vec::with_capacity(BATCH),
            plain: MultiHeaders::preallocate(BATCH, None),
            // The space must be exactly that of the one control message that is sent.
            from_v4: MultiHeaders::preallocate(BATCH, Some(nix::cmsg_space!(libc::in_pktinfo))),
            from_v6: MultiHeaders::preallocate(BATCH, Some(nix::cmsg_space!(libc::in6_pktinfo))),
        }
    }

    /// Makes a place for the answer to one more packet.
    fn push(&mut self, peer: P, source: Option<Source>) {
        self.peers.push(Some(peer));
        self.sources.push(source);
    }

    /// The places that were made.
    fn places(&mut self) -> (&mut [Vec<u8>], &mut [Option<Outcome>], &[Option<P>], &[Option<Source>]) {
        let count = self.peers.len();
        (&mut self.replies[..count], &mut self.outcomes[..count], &self.peers, &self.sources)
    }

    /// Gives up the places of packets that get no reply.
    fn keep_replies(&mut self) {
        let mut kept = 0;
        for place in 0..self.peers.len() {
            if self.outcomes[place].is_some_and(|outcome| outcome.reply) {
                if kept < place {
                    self.replies.swap(kept, place);
                    self.peers.swap(kept, place);
                    self.sources.swap(kept, place);
                }
                kept += 1;
            }
        }
        self.peers.truncate(kept);
        self.sources.truncate(kept);
    }

    /// Sends everything, with one system call for each run of answers that leave from the same
    /// address. What the system refuses is told to `unsent` and left out.
    fn send(&mut self, socket: &UdpSocket, unsent: impl Fn(usize)) {
        let mut start = 0;
        while start < self.peers.len() {
            let source = self.sources[start];
            let run = self.sources[start..].iter().take_while(|&&other| other == source).count();
            match self.send_run(socket, start, start + run, source) {
                Ok(sent) => start += sent.max(1),
                Err(Errno::EINTR) => {}
                // The first answer is at fault, the others may still go.
                Err(_) => {
                    unsent(1);
                    start += 1;
                }
            }
        }
        self.peers.clear();
        self.sources.clear();
    }

    fn send_run(
        &mut self,
        socket: &UdpSocket,
        start: usize,
        end: usize,
        source: Option<Source>,
    ) -> nix::Result<usize> {
        let slices: SmallVec<[[IoSlice<'_>; 1]; BATCH]> =
            self.replies[start..end].iter().map(|reply| [IoSlice::new(reply)]).collect();
        let (slices, peers) = (&slices[..], &self.peers[start..end]);
        let (fd, flags) = (socket.as_raw_fd(), MsgFlags::empty());
        match source {
            None => sendmmsg(fd, &mut self.plain, slices, peers, [], flags).map(Iterator::count),
            Some(Source::V4(address)) => {
                let info = libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                let control = [ControlMessage::Ipv4PacketInfo(&info)];
                sendmmsg(fd, &mut self.from_v4, slices, peers, control, flags).map(Iterator::count)
            }
            Some(Source::V6(address, interface)) => {
                let info = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr { s6_addr: address.octets() },
                    ipi6_ifindex: interface,
                };
                let control = [ControlMessage::Ipv6PacketInfo(&info)];
                sendmmsg(fd, &mut self.from_v6, slices, peers, control, flags).map(Iterator::count)
            }
        }
    }
}

/// Pins this thread to a core, if the process may use it; a worker that runs elsewhere is slower,
/// not wrong.
fn pin(core: usize) {
    let mut cores = CpuSet::new();
    if cores.set(core).is_ok() {
        let _ = sched_setaffinity(Pid::from_raw(0), &cores);
    }
}
