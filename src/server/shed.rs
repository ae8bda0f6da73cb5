//! What the system dropped before a worker could read it: packets for which a socket had no room.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;

use nix::libc;
use nix::sys::socket::getsockopt;
use nix::{getsockopt_impl, sockopt_impl};

/// `SO_MEMINFO` of Linux's `asm-generic/socket.h`, which libc leaves out.
const SO_MEMINFO: libc::c_int = 55;
/// The figures that it tells (`linux/sock_diag.h`).
const FIGURES: usize = 9;
/// The place among them of the packets that were dropped.
const DROPS: usize = 8;

sockopt_impl!(
    /// What a socket holds and has lost.
    MemoryInformation,
    GetOnly,
    libc::SOL_SOCKET,
    SO_MEMINFO,
    [u32; FIGURES]
);

/// The UDP sockets, those of QUIC among them, for whoever wants to know what they lost.
#[derive(Clone, Debug, Default)]
pub struct Shed(pub(super) Vec<Arc<UdpSocket>>);

impl Shed {
    /// Packets that were lost since their socket's receive buffer was full.
    pub fn count(&self) -> u64 {
        self.0.iter().filter_map(|socket| drops(socket).ok()).map(u64::from).sum()
    }
}

fn drops(socket: &UdpSocket) -> io::Result<u32> {
    Ok(getsockopt(socket, MemoryInformation)?[DROPS])
}
