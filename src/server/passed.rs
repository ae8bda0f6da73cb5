//! Sockets that the service manager has opened (socket activation, sd_listen_fds(3)): the server needs no
//! right to open them, and while it is started anew nothing that comes is lost.
//!
//! Each belongs to the listener with its address, and takes the place of a socket that would be opened;
//! the configuration alone says what is spoken where.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use listenfd::ListenFd;
use socket2::SockRef;

/// Sockets that are open, and not yet taken.
#[derive(Debug, Default)]
pub struct Passed {
    udp: Vec<(SocketAddr, UdpSocket)>,
    tcp: Vec<(SocketAddr, TcpListener)>,
}

/// Why sockets that were passed are of no use.
#[derive(Debug, thiserror::Error)]
pub enum PassedError {
    /// It is neither a UDP socket nor a TCP listener.
    #[error("socket {0} from the service manager: {1}")]
    Kind(usize, io::Error),
    /// It is for IPv4 as well.
    #[error("socket {0} from the service manager is for both IP versions: set BindIPv6Only=ipv6-only")]
    BothVersions(SocketAddr),
    /// No listener has its address.
    #[error("socket {0} ({1}) from the service manager: nothing in the configuration listens there")]
    NotWanted(SocketAddr, &'static str),
}

impl Passed {
    /// Those that the environment tells of, which forgets them.
    ///
    /// # Errors
    /// One of them is not for DNS.
    pub fn from_environment() -> Result<Self, PassedError> {
        let mut given = ListenFd::from_env();
        let mut passed = Self::default();
        for index in 0..given.len() {
            let kind = |error| PassedError::Kind(index, error);
            if let Ok(Some(socket)) = given.take_udp_socket(index) {
                passed.udp.push((one_version(socket.local_addr().map_err(kind)?, &socket)?, socket));
            } else if let Some(listener) = given.take_tcp_listener(index).map_err(kind)? {
                listener.set_nonblocking(true).map_err(kind)?;
                passed.tcp.push((one_version(listener.local_addr().map_err(kind)?, &listener)?, listener));
            }
        }
        Ok(passed)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.udp.len() + self.tcp.len()
    }

    /// The TCP listener of an address, if there is one.
    pub fn take_tcp(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let place = self.tcp.iter().position(|(of, _)| *of == address)?;
        Some(self.tcp.swap_remove(place).1)
    }

    /// At most so many UDP sockets of an address; there may be several (`ReusePort=`).
    pub(super) fn take_udp(&mut self, address: SocketAddr, most: usize) -> Vec<UdpSocket> {
        let of_address = self.udp.extract_if(.., |(of, _)| *of == address);
        of_address.take(most).map(|(_, socket)| socket).collect()
    }

    /// The end, when all have been taken.
    ///
    /// # Errors
    /// One of them has not: what is sent there would never be answered.
    pub fn finish(self) -> Result<(), PassedError> {
        let udp = self.udp.first().map(|(address, _)| (*address, "UDP"));
        match udp.or(self.tcp.first().map(|(address, _)| (*address, "TCP"))) {
            Some((address, transport)) => Err(PassedError::NotWanted(address, transport)),
            None => Ok(()),
        }
    }
}

/// The address of a socket, whose clients are all of its family.
fn one_version<'s>(address: SocketAddr, socket: impl Into<SockRef<'s>>) -> Result<SocketAddr, PassedError> {
    let is_for_both =
        address.is_ipv6() && address.ip().is_unspecified() && !socket.into().only_v6().unwrap_or(false);
    if is_for_both { Err(PassedError::BothVersions(address)) } else { Ok(address) }
}
