//! Tells the service manager when the server is ready, reads its files again, lives and stops
//! (sd_notify(3)): Debian's unit for rbldnsd is of Type=notify, nibbl's own too, with
//! a watchdog, and systemd ends a service that stays silent.
//!
//! The protocol is one datagram of text to the socket that NOTIFY_SOCKET names. The socket is
//! connected before the root directory changes, since it cannot be found after that.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The way to the service manager, if there is one that listens.
#[derive(Debug, Default)]
pub(super) struct Readiness(Option<UnixDatagram>);

impl Readiness {
    /// Connects to the socket that NOTIFY_SOCKET names: a path, or with `@` in front an abstract name.
    ///
    /// # Errors
    /// The socket is named, but nobody listens there.
    pub(super) fn connect(notify_socket: Option<&OsStr>) -> io::Result<Self> {
        let Some(name) = notify_socket.filter(|name| !name.is_empty()) else { return Ok(Self(None)) };
        let address = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        // A manager that does not read must not stop the answers.
        socket.set_nonblocking(true)?;
        Ok(Self(Some(socket)))
    }

    /// The zones are loaded, and questions are answered.
    pub(super) fn ready(&self) {
        self.send(b"READY=1");
    }

    /// The files are read again; [`Self::ready`] says when that is over.
    pub(super) fn reloading(&self) {
        if let Ok(now) = clock_gettime(ClockId::CLOCK_MONOTONIC) {
            let microseconds = now.tv_sec() * 1_000_000 + now.tv_nsec() / 1_000;
            self.send(format!("RELOADING=1\nMONOTONIC_USEC={microseconds}").as_bytes());
        }
    }

    /// Says again and again, as often as the manager wants (`interval`, see [`watchdog`]), that the
    /// server lives. Never returns.
    pub(super) async fn live(&self, interval: Duration) {
        // Twice as often as must be (sd_watchdog_enabled(3)).
        let mut ticks = tokio::time::interval(interval / 2);
        loop {
            ticks.tick().await;
            self.send(b"WATCHDOG=1");
        }
    }

    /// The server is about to stop.
    pub(super) fn stopping(&self) {
        self.send(b"STOPPING=1");
    }

    fn send(&self, state: &[u8]) {
        if let Some(socket) = &self.0 {
            // There is nobody to tell that the manager does not listen any more.
            let _ = socket.send(state);
        }
    }
}

/// How often the manager wants a sign of life, from its variables WATCHDOG_USEC and WATCHDOG_PID.
pub(super) fn watchdog(microseconds: Option<&OsStr>, pid: Option<&OsStr>) -> Option<Duration> {
    let number = |text: &OsStr| text.to_str()?.parse::<u64>().ok();
    let mine = pid.is_none_or(|pid| number(pid) == Some(std::process::id().into()));
    let interval = Duration::from_micros(number(microseconds?)?);
    (mine && !interval.is_zero()).then_some(interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> Vec<u8> {
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).unwrap();
        buffer[..length].to_vec()
    }

    #[test]
    fn the_manager_hears_of_both() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let readiness = Readiness::connect(Some(path.as_os_str())).unwrap();
        readiness.ready();
        readiness.reloading();
        readiness.stopping();
        assert_eq!(received(&manager), b"READY=1");
        assert!(received(&manager).starts_with(b"RELOADING=1\nMONOTONIC_USEC="));
        assert_eq!(received(&manager), b"STOPPING=1");
    }

    #[test]
    fn an_abstract_name() {
        let name = format!("nibbl-test-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        Readiness::connect(Some(OsStr::new(&format!("@{name}")))).unwrap().ready();
        assert_eq!(received(&manager), b"READY=1");
    }

    #[test]
    fn the_watchdog_of_this_process() {
        let [interval, nothing, mine, other] =
            ["30000000", "0", &std::process::id().to_string(), "1"].map(std::ffi::OsString::from);
        let asked = |interval, pid| watchdog(Some(interval), pid);
        assert_eq!(asked(&interval, None), Some(Duration::from_secs(30)));
        assert_eq!(asked(&interval, Some(&mine)), Some(Duration::from_secs(30)));
        assert_eq!(asked(&interval, Some(&other)), None);
        assert_eq!(asked(&nothing, None), None);
        assert_eq!(watchdog(None, None), None);
    }

    #[test]
    fn nobody_to_tell() {
        Readiness::connect(None).unwrap().ready();
        assert!(Readiness::connect(Some(OsStr::new("/nonexistent/notify"))).is_err());
    }
}
