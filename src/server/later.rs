//! UDP replies that come later than their batch: sent one at a time, from the address that was asked, and like
//! those of a batch without waiting.

use std::io::IoSlice;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use nix::libc;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use super::signers::Send;
use super::udp::{Peer, Source};

/// What sends a reply to `peer` over `socket`.
pub(super) fn sender<P: Peer>(socket: Arc<UdpSocket>, peer: Option<P>, source: Option<Source>) -> Send {
    Box::new(move |reply| {
        let (fd, reply) = (socket.as_raw_fd(), [IoSlice::new(reply)]);
        let send = |control: &[ControlMessage<'_>]| {
            sendmsg(fd, &reply, control, MsgFlags::MSG_DONTWAIT, peer.as_ref()).is_ok()
        };
        match source {
            None => send(&[]),
            Some(Source::V4(address)) => {
                let ipi_spec_dst = libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) };
                let ipi_addr = libc::in_addr { s_addr: 0 };
                let info = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst, ipi_addr };
                send(&[ControlMessage::Ipv4PacketInfo(&info)])
            }
            Some(Source::V6(address, interface)) => {
                let ipi6_addr = libc::in6_addr { s6_addr: address.octets() };
                let info = libc::in6_pktinfo { ipi6_addr, ipi6_ifindex: interface };
                send(&[ControlMessage::Ipv6PacketInfo(&info)])
            }
        }
    })
}
