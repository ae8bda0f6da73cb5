//! UDP: one thread per socket, and two system calls per batch.
//!
//! A worker receives what waits (up to [`BATCH`] packets), takes one moment of the data, has the
//! whole batch answered, most packets in their own buffers, and sends all answers. All buffers are
//! allocated once. The kernel's path is nearly all of the price of a query, so a batch is what there is
//! to save.
//!
//! Under overload the newest packets go: the socket's receive buffer fills up, the system drops what
//! comes then, and what is in the buffer is answered in its order. So an answer is never later than
//! the buffer is long (`receive_buffer`; 4 MiB hold some thousand questions, which is a few hundredths
//! of a second), and packets are lost where they cost least.
//!
//! No error ends a worker: what comes back from a peer (ICMP, a full queue, an address that cannot
//! be reached) concerns that peer only. Nor does it wait to send: answers to neighbours that do not resolve
//! fill the send buffer for seconds, and who asks meanwhile must still be heard.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrIn, SockaddrIn6,
    SockaddrLike, recvmmsg, sendmmsg,
};
use nix::sys::time::TimeSpec;
use nix::unistd::Pid;
use smallvec::SmallVec;
use socket2::SockRef;

use super::guard::Sources;
use super::times::Times;
use super::{Responder, Service, later};
use crate::answer::{Client, Transport};
use crate::fast::{BATCH, BUFFER_OCTETS, Buffer, Exchange};
use crate::vital_thread;

/// How long to wait after an error that is no peer's fault (such as a lack of memory).
const AFTER_ERROR: Duration = Duration::from_millis(10);

/// One thread on one socket.
pub(super) struct Worker<R> {
    pub(super) socket: Arc<UdpSocket>,
    /// The socket was passed: it outlives this process, and wakes up by itself now and then.
    pub(super) passed: bool,
    /// The socket is for all addresses: replies must name the one that was asked.
    pub(super) wildcard: bool,
    pub(super) core: Option<usize>,
    pub(super) service: Service<R>,
    pub(super) times: Times,
    pub(super) sources: Arc<Sources>,
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
        vital_thread::spawn(format!("udp-{index}"), move || run(self))
    }

    fn run<P: Peer>(mut self) {
        if let Some(core) = self.core {
            pin(core);
        }
        let mut incoming = Incoming::<P>::new(self.wildcard, self.times.are_kept());
        let mut outgoing = Outgoing::<P>::new();
        loop {
            match incoming.receive(&self.socket, &mut outgoing, &mut self.times) {
                Ok(packets) => {
                    self.answer(&mut incoming, &mut outgoing);
                    self.times.finish(&self.service.counters);
                    // Woken: everything that came before has been answered. What waits in a socket that was
                    // passed is for the next process.
                    if (packets == 0 || self.passed) && self.stopping.load(Ordering::Acquire) {
                        return;
                    }
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    if self.stopping.load(Ordering::Acquire) {
                        return;
                    }
                }
                Err(_) => {
                    self.service.counters.receive_error();
                    std::thread::sleep(AFTER_ERROR);
                }
            }
        }
    }

    /// Answers what was received.
    fn answer<P: Peer>(&mut self, incoming: &mut Incoming<P>, outgoing: &mut Outgoing<P>) {
        // Filled where it stays.
        let mut batch: SmallVec<[Exchange<'_>; BATCH]> = SmallVec::new();
        batch.extend(incoming.exchanges(&outgoing.peers));
        let examined_below = self.sources.examined_below();
        for (exchange, peer) in batch.iter_mut().zip(&outgoing.peers) {
            let Some(port) = peer.as_ref().map(P::port) else { continue };
            if u32::from(port) < examined_below {
                exchange.examine(|buffer, address, octets| {
                    self.sources.take((address, port), buffer, octets, &self.service.counters)
                });
            }
        }
        self.service.answer_batch(&self.service.moment(), &mut batch, |place| {
            let source = outgoing.sources.get(place).copied().flatten();
            later::sender(self.socket.clone(), outgoing.peers[place], source)
        });
        let mut replies: [Reply<'_>; BATCH] = [[IoSlice::new(&[])]; BATCH];
        let mut count = 0;
        for (place, exchange) in batch.iter().enumerate() {
            let Some(reply) = exchange.reply() else {
                self.times.unanswered(place);
                continue;
            };
            outgoing.keep(place, count);
            replies[count] = [IoSlice::new(reply)];
            count += 1;
        }
        outgoing.send(&self.socket, &replies[..count], |unsent| self.service.counters.unsent(unsent));
    }
}

/// What is received, and the room for it.
struct Incoming<P> {
    buffers: Box<[Buffer; BATCH]>,
    /// The replies that do not take the place of their packets.
    elsewhere: Vec<Vec<u8>>,
    /// How many packets there are.
    received: usize,
    /// Octets of each packet; 0 where it is passed over.
    octets: [usize; BATCH],
    headers: MultiHeaders<P>,
    /// Those of a batch that is timed.
    timed: Option<MultiHeaders<P>>,
    wildcard: bool,
}

impl<P: Peer> Incoming<P> {
    fn new(wildcard: bool, timed: bool) -> Self {
        // Without room the system tells no times; with too little it would tell nothing else.
        let room = match (wildcard, timed) {
            (false, _) => None,
            (true, false) => Some(control_space()),
            (true, true) => Some(timed_control_space()),
        };
        Self {
            buffers: Box::new([[0; BUFFER_OCTETS]; BATCH]),
            elsewhere: vec![Vec::new(); BATCH],
            received: 0,
            octets: [0; BATCH],
            headers: MultiHeaders::preallocate(BATCH, room),
            timed: timed.then(|| MultiHeaders::preallocate(BATCH, Some(timed_control_space()))),
            wildcard,
        }
    }

    /// Waits for packets, and takes those that are there. Tells where their answers go, and returns
    /// how many of them are not empty.
    fn receive(
        &mut self,
        socket: &UdpSocket,
        outgoing: &mut Outgoing<P>,
        times: &mut Times,
    ) -> nix::Result<usize> {
        let mut slices = self.buffers.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
        outgoing.sources.clear();
        let flags = MsgFlags::MSG_WAITFORONE;
        let timed = self.timed.as_mut().filter(|_| times.begin());
        let is_timed = timed.is_some();
        let headers = timed.unwrap_or(&mut self.headers);
        let messages = recvmmsg(socket.as_raw_fd(), headers, slices.iter_mut(), flags, None)?;
        let (mut received, mut packets) = (0, 0);
        let mut take = |message: &RecvMsg<'_, '_, P>| {
            if let (Some(octets), Some(peer)) =
                (self.octets.get_mut(received), outgoing.peers.get_mut(received))
            {
                (*octets, *peer) = (message.bytes, message.address);
                packets += usize::from(message.bytes > 0);
                received += 1;
            }
        };
        if self.wildcard || is_timed {
            for message in messages {
                take(&message);
                if self.wildcard {
                    outgoing.sources.push(asked_address(&message));
                }
                if is_timed {
                    times.arrived(&message);
                }
            }
        } else {
            // A loop of its own, in which most of what a message tells is not even copied.
            messages.for_each(|message| take(&message));
        }
        self.received = received;
        Ok(packets)
    }

    /// The packets that were received, from these senders.
    fn exchanges(&mut self, peers: &[Option<P>; BATCH]) -> impl Iterator<Item = Exchange<'_>> {
        let received = self.received.min(BATCH);
        let buffers = self.buffers[..received].iter_mut().zip(&mut self.elsewhere[..received]);
        let places = buffers.zip(&self.octets[..received]).zip(&peers[..received]);
        places.map(|(((buffer, elsewhere), &octets), peer)| {
            let address = peer.as_ref().map_or(P::NOBODY, P::address);
            Exchange::new(buffer, octets, Client { address, transport: Transport::Udp }, elsewhere)
        })
    }
}

/// The sender of a packet: with the family of its socket known, the addresses of a batch take few
/// cache lines.
pub(super) trait Peer: SockaddrLike + Copy + Send + 'static {
    /// An address of the family that nobody has.
    const NOBODY: IpAddr;

    fn address(&self) -> IpAddr;

    fn port(&self) -> u16;
}

impl Peer for SockaddrIn {
    const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

    #[inline(always)]
    fn address(&self) -> IpAddr {
        self.ip().into()
    }

    #[inline(always)]
    fn port(&self) -> u16 {
        SockaddrIn::port(self)
    }
}

impl Peer for SockaddrIn6 {
    const NOBODY: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

    #[inline(always)]
    fn address(&self) -> IpAddr {
        IpAddr::V6(self.ip()).to_canonical()
    }

    #[inline(always)]
    fn port(&self) -> u16 {
        SockaddrIn6::port(self)
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

/// The same, and room for the time of its arrival.
fn timed_control_space() -> Vec<u8> {
    nix::cmsg_space!(TimeSpec, libc::in6_pktinfo)
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

/// A reply in the form in which many are sent.
type Reply<'r> = [IoSlice<'r>; 1];

/// Where the answers of a batch go, and what is needed to send them.
struct Outgoing<P> {
    /// Where each answer goes.
    peers: [Option<P>; BATCH],
    /// Where each answer leaves from; none on sockets that have only one address.
    sources: Vec<Option<Source>>,
    plain: MultiHeaders<P>,
    from_v4: MultiHeaders<P>,
    from_v6: MultiHeaders<P>,
}

impl<P: Peer> Outgoing<P> {
    fn new() -> Self {
        Self {
            peers: [None; BATCH],
            sources: Vec::with_capacity(BATCH),
            plain: MultiHeaders::preallocate(BATCH, None),
            // The space must be exactly that of the one control message that is sent.
            from_v4: MultiHeaders::preallocate(BATCH, Some(nix::cmsg_space!(libc::in_pktinfo))),
            from_v6: MultiHeaders::preallocate(BATCH, Some(nix::cmsg_space!(libc::in6_pktinfo))),
        }
    }

    /// The packet at `place` is the one that gets the reply at `reply`, which is not behind it.
    fn keep(&mut self, place: usize, reply: usize) {
        if place != reply {
            self.peers.swap(place, reply);
            if !self.sources.is_empty() {
                self.sources.swap(place, reply);
            }
        }
    }

    /// Sends everything, with one system call for each run of answers that leave from the same
    /// address. What the system refuses is told to `unsent` and left out.
    fn send(&mut self, socket: &UdpSocket, replies: &[Reply<'_>], unsent: impl Fn(usize)) {
        let mut start = 0;
        while start < replies.len() {
            let (source, run) = match self.sources.get(start..replies.len()) {
                Some([source, others @ ..]) => {
                    (*source, 1 + others.iter().take_while(|&other| other == source).count())
                }
                _ => (None, replies.len() - start),
            };
            match self.send_run(socket, start, &replies[start..start + run], source) {
                Ok(sent) => start += sent.max(1),
                Err(Errno::EINTR) => {}
                // The first answer is at fault, or there was no room for it: the others may still go.
                Err(_) => {
                    unsent(1);
                    start += 1;
                }
            }
        }
    }

    fn send_run(
        &mut self,
        socket: &UdpSocket,
        start: usize,
        slices: &[Reply<'_>],
        source: Option<Source>,
    ) -> nix::Result<usize> {
        let peers = &self.peers[start..start + slices.len()];
        let (fd, flags) = (socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
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

/// The cores that the process may run on, in ascending order.
pub(super) fn cores() -> Vec<usize> {
    let cores = sched_getaffinity(Pid::from_raw(0)).unwrap_or_default();
    (0..CpuSet::count()).filter(|&core| cores.is_set(core).unwrap_or_default()).collect()
}

/// Pins this thread to a core; a worker that runs elsewhere is slower, not wrong.
fn pin(core: usize) {
    let mut cores = CpuSet::new();
    if let Err(error) = cores.set(core).and_then(|()| sched_setaffinity(Pid::from_raw(0), &cores)) {
        tracing::warn!("a UDP worker cannot be pinned to core {core}: {error}");
    }
}
