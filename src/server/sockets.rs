//! Sockets with the options that a DNS server needs, set before anybody can send to them.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use nix::libc;
use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use nix::{setsockopt_impl, sockopt_impl};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use super::certificates::tls_settings;
use super::{
    BoundListener, Certificate, CertificateError, CertificateFiles, Limits, Listener, Passed,
    Protocol as Spoken, ServerError, quic, tls,
};

/// Octets that the system may keep for a UDP socket until they are on their way: what waits for neighbours
/// that do not resolve takes no room from the other answers, if the system grants as many.
const SEND_BUFFER: usize = 4 << 20;
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;
/// How often the workers on sockets that were passed look whether the server stops.
const LOOK_UP: Duration = Duration::from_millis(250);
/// How often a free port is looked for that is free for UDP and TCP.
const PORT_ATTEMPTS: usize = 16;

// Path MTU discovery off: fragment where need be, do not believe ICMP "too big" (which anybody can
// forge), and do not set DF. socket2 and nix have no option of that name.
sockopt_impl!(
    /// `IP_MTU_DISCOVER`.
    Ipv4MtuDiscover,
    SetOnly,
    libc::IPPROTO_IP,
    libc::IP_MTU_DISCOVER,
    libc::c_int
);
sockopt_impl!(
    /// `IPV6_MTU_DISCOVER`.
    Ipv6MtuDiscover,
    SetOnly,
    libc::IPPROTO_IPV6,
    libc::IPV6_MTU_DISCOVER,
    libc::c_int
);

/// Opens the sockets of one listener, or takes those that were passed, and reads its certificate unless it is among those that are read.
pub(super) fn bind(
    listener: &Listener,
    limits: &Limits,
    passed: &mut Passed,
    certificates: &mut Vec<Arc<Certificate>>,
) -> Result<BoundListener, ServerError> {
    let address = listener.address;
    let mut settings = |files: &CertificateFiles, protocol| {
        let certificate = certificate(files, certificates)
            .map_err(|source| ServerError::Certificate { address, source })?;
        tls_settings(certificate, protocol).map_err(|source| ServerError::Settings { address, source })
    };
    match &listener.protocol {
        Spoken::Plain => bind_plain_port(address, limits, passed),
        Spoken::Tls(files) => {
            let settings = settings(files, tls::PROTOCOL)?;
            let tcp = tcp(address, passed).map_err(failed(address, "TCP"))?;
            let address = tcp.local_addr().map_err(failed(address, "TCP"))?;
            Ok(BoundListener::Tls { address, tcp, settings })
        }
        Spoken::Quic(files) => {
            let settings = quic::settings(settings(files, quic::PROTOCOL)?, limits)
                .map_err(|source| ServerError::Settings { address, source })?;
            let udp = match passed.take_udp(address, 1).pop() {
                Some(socket) => prepared(socket, limits.receive_buffer),
                None => bind_udp(address, false, limits.receive_buffer),
            };
            let udp = udp.map_err(failed(address, "UDP"))?;
            let address = udp.local_addr().map_err(failed(address, "UDP"))?;
            Ok(BoundListener::Quic { address, udp, settings })
        }
    }
}

/// The certificate of these files, which is read once.
fn certificate(
    files: &CertificateFiles,
    certificates: &mut Vec<Arc<Certificate>>,
) -> Result<Arc<Certificate>, CertificateError> {
    if let Some(known) = certificates.iter().find(|known| known.files() == files) {
        return Ok(known.clone());
    }
    let certificate = Arc::new(Certificate::read(files.clone())?);
    certificates.push(certificate.clone());
    Ok(certificate)
}

fn bind_plain_port(
    address: SocketAddr,
    limits: &Limits,
    passed: &mut Passed,
) -> Result<BoundListener, ServerError> {
    let mut attempt = 1;
    loop {
        match bind_plain(address, limits, passed) {
            Err(ServerError::Bind { source, .. })
                if address.port() == 0
                    && source.kind() == io::ErrorKind::AddrInUse
                    && attempt < PORT_ATTEMPTS =>
            {
                attempt += 1;
            }
            result => return result,
        }
    }
}

/// TCP comes first: unlike UDP sockets that share a port on purpose, a second TCP listener is
/// refused, so two servers never split the queries of one address unnoticed.
fn bind_plain(
    wanted: SocketAddr,
    limits: &Limits,
    passed: &mut Passed,
) -> Result<BoundListener, ServerError> {
    let tcp = tcp(wanted, passed).map_err(failed(wanted, "TCP"))?;
    let address = tcp.local_addr().map_err(failed(wanted, "TCP"))?;
    let workers = limits.udp_workers.get();
    let given = passed.take_udp(address, usize::MAX);
    let passed = !given.is_empty();
    let udp: io::Result<Vec<_>> = match passed {
        true => given.into_iter().map(|socket| shared(prepared(socket, limits.receive_buffer)?)).collect(),
        false => (0..workers).map(|_| bind_udp(address, workers > 1, limits.receive_buffer)).collect(),
    };
    let udp = udp.map_err(failed(wanted, "UDP"))?;
    Ok(BoundListener::Plain { address, udp, passed, tcp })
}

/// A TCP listener: the one that was passed, or a new one.
fn tcp(address: SocketAddr, passed: &mut Passed) -> io::Result<TcpListener> {
    match passed.take_tcp(address) {
        Some(listener) => Ok(listener),
        None => bind_tcp(address),
    }
}

/// Makes the workers on a socket look up now and then: to shut it down, as others are woken, would shut
/// it down for whoever has it next.
fn shared(socket: UdpSocket) -> io::Result<UdpSocket> {
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(Some(LOOK_UP))?;
    Ok(socket)
}

fn failed(address: SocketAddr, transport: &'static str) -> impl Fn(io::Error) -> ServerError {
    move |source| ServerError::Bind { address, transport, source }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = open(address, Type::STREAM, Protocol::TCP)?;
    // A restart must not wait for the connections of the process before.
    socket.set_reuse_address(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// SO_REUSEADDR is left alone here: on UDP it lets any later socket take the queries over.
fn bind_udp(address: SocketAddr, shared: bool, receive_buffer: usize) -> io::Result<UdpSocket> {
    let socket = open(address, Type::DGRAM, Protocol::UDP)?;
    if shared {
        setsockopt(&socket, sockopt::ReusePort, &true)?;
    }
    let socket = with_options(socket.into(), address, receive_buffer)?;
    SockRef::from(&socket).bind(&SockAddr::from(address))?;
    Ok(socket)
}

/// A socket that was passed, with the options of others.
fn prepared(socket: UdpSocket, receive_buffer: usize) -> io::Result<UdpSocket> {
    let address = socket.local_addr()?;
    with_options(socket, address, receive_buffer)
}

fn with_options(socket: UdpSocket, address: SocketAddr, receive_buffer: usize) -> io::Result<UdpSocket> {
    // Beyond net.core.rmem_max and wmem_max only with CAP_NET_ADMIN.
    let granted = receive_room(&socket)?;
    if granted < receive_buffer && setsockopt(&socket, sockopt::RcvBufForce, &receive_buffer).is_err() {
        // What would be granted shows on another socket: this one may have more from the service manager.
        let other = open(address, Type::DGRAM, Protocol::UDP)?;
        setsockopt(&other, sockopt::RcvBuf, &receive_buffer)?;
        if receive_room(&other)? > granted {
            setsockopt(&socket, sockopt::RcvBuf, &receive_buffer)?;
        }
    }
    setsockopt(&socket, sockopt::SndBufForce, &SEND_BUFFER)
        .or_else(|_| setsockopt(&socket, sockopt::SndBuf, &SEND_BUFFER))?;
    // Only a socket for all addresses has to learn which of them was asked.
    let packet_info = address.ip().is_unspecified();
    match address {
        SocketAddr::V4(_) => {
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &packet_info)?;
            setsockopt(&socket, Ipv4MtuDiscover, &libc::IP_PMTUDISC_OMIT)?;
        }
        SocketAddr::V6(_) => {
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &packet_info)?;
            setsockopt(&socket, Ipv6MtuDiscover, &libc::IPV6_PMTUDISC_OMIT)?;
        }
    }
    Ok(socket)
}

/// Octets that the system keeps for a socket until they are read. It says twice as much, for what it needs itself.
pub(super) fn receive_room(socket: &impl AsFd) -> io::Result<usize> {
    Ok(getsockopt(socket, sockopt::RcvBuf)? / 2)
}

fn open(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_socket_has_is_never_taken_away() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        setsockopt(&socket, sockopt::RcvBuf, &100_000).unwrap();
        let socket = prepared(socket, 50_000).unwrap();
        assert_eq!(receive_room(&socket).unwrap(), 100_000);
        assert!(receive_room(&prepared(socket, 150_000).unwrap()).unwrap() >= 150_000);
    }
}
