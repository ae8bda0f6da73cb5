//! What further workers bring where nothing else needs the cores: the server is stopped, its sockets are filled with
//! questions, and while it answers them nobody else runs, since the load only sleeps. The system notes when each
//! answer arrives, so that the time from the first to the last is the server's alone.

use std::io::{self, IoSliceMut};
use std::net::UdpSocket;
use std::num::NonZeroUsize;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::cmsg_space;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, setsockopt};
use nix::sys::time::TimeSpec;
use nix::unistd::Pid;

use crate::load::{ANSWER_OCTETS, client};
use crate::questions::Zone;
use crate::servers::{Files, Server};
use crate::{Options, median};

/// Sockets that ask: the system deals them out to the workers, and deals many more evenly than few.
const SOCKETS: usize = 512;
/// Questions of each in a burst: those of all fit into the buffer of one worker.
const QUESTIONS: usize = 16;
/// How long a burst may take, and in how long a stopped server has stopped.
const ANSWERED_WITHIN: Duration = Duration::from_millis(500);
const STOPPED_WITHIN: Duration = Duration::from_millis(20);

/// Prints what one worker answers of `bursts` bursts, and what one on each core does, in turn.
pub(crate) fn measure(zone: &mut Zone, bursts: usize, directory: &Path, options: &Options) {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let sockets: Vec<UdpSocket> =
        (0..SOCKETS).map(|number| socket(number).expect("files for so many sockets")).collect();
    println!(
        "{} prefixes, {bursts} bursts of {} questions, {cores} cores",
        options.size,
        SOCKETS * QUESTIONS
    );
    println!("{:>8}{:>12}{:>8}{:>10}{:>8}", "workers", "answers/s", "", "ns CPU", "lost");
    let mut servers = [1, cores].map(|workers| {
        let directory = directory.join(workers.to_string());
        std::fs::create_dir_all(&directory).expect("room for a directory");
        let files = Files { workers, ..Files::new(&directory, options) };
        files.write(zone, 0).expect("room for the data");
        let server = files.start("nibbl", None, None).and_then(|server| server.loaded(zone));
        let server = server.expect("nibbl answers");
        Measured {
            workers,
            before: server.cpu_time().sum(),
            server,
            rates: Vec::new(),
            asked: 0,
            answered: 0,
        }
    });
    for _ in 0..bursts {
        servers.iter_mut().for_each(|server| server.burst(&sockets, zone));
    }
    let one = median(servers[0].rates.clone());
    for Measured { workers, server, before, rates, asked, answered } in servers {
        let rate = median(rates);
        let each = (server.cpu_time().sum() - before) * 1e9 / answered as f64;
        let lost = asked - answered;
        println!("{workers:>8}{rate:>12.0}{:>8.2}{each:>10.0}{lost:>8}", rate / one);
    }
}

/// A server with so many workers, and what it has done.
struct Measured {
    workers: usize,
    server: Server,
    /// The CPU time, in seconds, that it had needed before the first burst.
    before: f64,
    /// Answers a second, of each burst.
    rates: Vec<f64>,
    asked: usize,
    answered: usize,
}

impl Measured {
    /// Fills the stopped server's sockets, has it go on, and looks at what has come when all is over.
    fn burst(&mut self, sockets: &[UdpSocket], zone: &mut Zone) {
        let process = Pid::from_raw(self.server.processes()[0] as i32);
        kill(process, Signal::SIGSTOP).expect("the server runs");
        thread::sleep(STOPPED_WITHIN);
        for socket in sockets {
            let questions = zone.take(QUESTIONS);
            self.asked += questions.len();
            for question in questions {
                socket.send_to(question.packet(), self.server.address).expect("loopback takes packets");
            }
        }
        kill(process, Signal::SIGCONT).expect("the server is there");
        thread::sleep(ANSWERED_WITHIN);
        let times: Vec<Duration> = sockets.iter().flat_map(arrivals).collect();
        if let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) {
            self.rates.push(times.len() as f64 / (*last - *first).as_secs_f64());
        }
        self.answered += times.len();
    }
}

/// The socket of a client, whose packets bear the time at which they came.
fn socket(number: usize) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((client(number), 0))?;
    socket.set_nonblocking(true)?;
    setsockopt(&socket, ReceiveTimestampns, &true)?;
    Ok(socket)
}

/// When the answers came that a socket has.
fn arrivals(socket: &UdpSocket) -> impl Iterator<Item = Duration> {
    std::iter::from_fn(|| {
        let (mut answer, mut control) = ([0; ANSWER_OCTETS], cmsg_space!(TimeSpec));
        let mut answer = [IoSliceMut::new(&mut answer)];
        let flags = MsgFlags::MSG_DONTWAIT;
        let message =
            recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut answer, Some(&mut control), flags).ok()?;
        message.cmsgs().ok()?.find_map(|told| match told {
            ControlMessageOwned::ScmTimestampns(time) => Some(Duration::from(time)),
            _ => None,
        })
    })
}
