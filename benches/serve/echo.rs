//! The floor: a server that receives and sends batches as nibbl does, and does nothing in between but
//! to make queries responses. What it costs is the kernel's price.

use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};

const BATCH: usize = 64;
/// An odd number of cache lines.
const PACKET_OCTETS: usize = 9 * 64;

/// Serves until the process is killed.
pub(crate) fn run(address: SocketAddr) {
    let socket = UdpSocket::bind(address).expect("the address is free");
    crate::load::keep(&socket, 4 << 20).expect("a buffer");
    let fd = socket.as_raw_fd();
    let mut packets = vec![[0; PACKET_OCTETS]; BATCH];
    let mut incoming = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let mut outgoing = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let mut lengths = Vec::with_capacity(BATCH);
    let mut peers = Vec::with_capacity(BATCH);
    loop {
        let mut slices: Vec<_> = packets.iter_mut().map(|packet| [IoSliceMut::new(packet)]).collect();
        lengths.clear();
        peers.clear();
        match recvmmsg(fd, &mut incoming, slices.iter_mut(), MsgFlags::MSG_WAITFORONE, None) {
            Ok(messages) => messages.for_each(|message| {
                lengths.push(message.bytes);
                peers.push(message.address);
            }),
            Err(Errno::EINTR) => continue,
            Err(error) => panic!("{error}"),
        }
        packets.iter_mut().zip(&lengths).for_each(|(packet, _)| packet[2] |= 0x80);
        let slices: Vec<_> =
            packets.iter().zip(&lengths).map(|(packet, &length)| [IoSlice::new(&packet[..length])]).collect();
        // What the system does not take counts as lost.
        let _ = sendmmsg(fd, &mut outgoing, &slices, &peers, [], MsgFlags::empty()).map(Iterator::count);
    }
}
