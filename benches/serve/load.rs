//! The load: many sockets of one thread, each a client with an address of its own, in two forms.
//! *Saturation* keeps a number of questions under way on each socket, so that the server always finds a
//! full batch. *Paced* load asks at random (Poisson) moments and measures each answer from the moment when
//! its question was due, or the first of those that are asked together since they were due, so that
//! nothing that makes the load itself late is left out; the echo server beside shows how much that is.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce};
use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg, sendmmsg, setsockopt};

use crate::generated::List;
use crate::questions::Zone;

/// Messages of one system call.
const BATCH: usize = 64;
/// Answers are shorter than this.
pub(crate) const ANSWER_OCTETS: usize = 576;
/// What has not come after this time is lost.
const PATIENCE: Duration = Duration::from_millis(200);

/// What became of the questions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) answered: u64,
    pub(crate) lost: u64,
    /// Answers that are not what the list says.
    pub(crate) wrong: u64,
    pub(crate) seconds: f64,
    /// Of paced load: nanoseconds until each answer.
    pub(crate) latencies: Vec<u32>,
}

impl Outcome {
    /// Microseconds until that share of the paced questions was answered; infinite where more were lost, since
    /// what never came is later than all that came.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        let place = ((self.latencies.len() as u64 + self.lost) as f64 * share) as usize;
        self.latencies.get(place).map_or(f64::INFINITY, |&nanoseconds| f64::from(nanoseconds) / 1e3)
    }
}

pub(crate) struct Load {
    flows: Vec<Flow>,
    start: Instant,
    /// Paced questions that are later than so many nanoseconds are not asked.
    latest: f64,
}

/// The moments when questions are due: a Poisson process.
struct Moments {
    random: List,
    /// A second.
    rate: f64,
    /// The next, in nanoseconds since the start of the load.
    due: f64,
    /// Which socket asks.
    turn: usize,
}

impl Moments {
    fn of(load: &Load, rate: f64) -> Self {
        Self { random: List::new(7, 1), rate, due: load.start.elapsed().as_nanos() as f64, turn: 0 }
    }

    /// Goes on to the next moment, if one has come.
    fn pass(&mut self, now: f64) -> Option<()> {
        (self.due <= now).then(|| {
            let part = ((self.random.next() >> 11) + 1) as f64 / (1u64 << 53) as f64;
            self.due -= part.ln() / self.rate * 1e9;
        })
    }
}

/// One socket and what is under way on it.
struct Flow {
    socket: UdpSocket,
    next_id: u16,
    under_way: usize,
    last_answer: Instant,
    /// By id.
    asked: Vec<Asked>,
    outgoing: MultiHeaders<()>,
    incoming: MultiHeaders<()>,
    buffers: Vec<[u8; ANSWER_OCTETS]>,
}

#[derive(Clone, Copy)]
struct Asked {
    waiting: bool,
    listed: bool,
    /// When it was due, or the first of its batch, in nanoseconds since the start.
    due: u64,
}

impl Load {
    /// A load of `sockets` sockets on a server.
    pub(crate) fn new(server: SocketAddr, sockets: usize) -> io::Result<Self> {
        let flows = (0..sockets).map(|number| Flow::new(server, number)).collect::<io::Result<_>>()?;
        Ok(Self { flows, start: Instant::now(), latest: f64::INFINITY })
    }

    /// Passes over paced questions that it is later with: of a load that is to ask more than it can, latencies
    /// would be its own.
    pub(crate) fn no_later_than(self, latest: Duration) -> Self {
        Self { latest: latest.as_nanos() as f64, ..self }
    }

    /// Keeps `window` questions under way on every socket as long as `more` is true of what came until then.
    pub(crate) fn saturate(
        &mut self,
        zone: &mut Zone,
        window: usize,
        more: impl Fn(&Outcome) -> bool,
    ) -> io::Result<Outcome> {
        let mut outcome = Outcome::default();
        let begin = Instant::now();
        while more(&outcome) {
            for flow in &mut self.flows {
                flow.receive(self.start, &mut outcome)?;
                if 2 * flow.under_way <= window {
                    flow.send(zone, window - flow.under_way, 0)?;
                } else if flow.last_answer.elapsed() > PATIENCE {
                    flow.give_up(&mut outcome);
                }
            }
        }
        outcome.seconds = begin.elapsed().as_secs_f64();
        self.drain(&mut outcome)?;
        outcome.latencies.clear();
        Ok(outcome)
    }

    /// Asks every question once: access keys cost more when the server meets them than ever after.
    pub(crate) fn meet(&mut self, zone: &mut Zone, window: usize) -> io::Result<Outcome> {
        self.saturate(zone, window, |outcome| outcome.answered < crate::QUESTIONS as u64)
    }

    /// Asks `rate` questions a second, at random moments, for a time.
    pub(crate) fn pace(&mut self, zone: &mut Zone, rate: f64, time: Duration) -> io::Result<Outcome> {
        let end = Instant::now() + time;
        let [outcome] = Self::pace_together([self], zone, rate, || Instant::now() < end)?;
        Ok(outcome)
    }

    /// Asks several servers so many questions a second each, as long as `more` is true.
    pub(crate) fn pace_together<const N: usize>(
        mut loads: [&mut Self; N],
        zone: &mut Zone,
        rate: f64,
        more: impl Fn() -> bool,
    ) -> io::Result<[Outcome; N]> {
        let mut outcomes = [(); N].map(|()| Outcome::default());
        let mut moments = std::array::from_fn::<_, N, _>(|place| Moments::of(loads[place], rate));
        let begin = Instant::now();
        while more() {
            for ((load, outcome), moments) in loads.iter_mut().zip(&mut outcomes).zip(&mut moments) {
                load.ask_what_is_due(zone, moments)?;
                for flow in load.flows.iter_mut().filter(|flow| flow.under_way > 0) {
                    flow.receive(load.start, outcome)?;
                }
            }
        }
        let seconds = begin.elapsed().as_secs_f64();
        for (load, outcome) in loads.iter_mut().zip(&mut outcomes) {
            outcome.seconds = seconds;
            load.drain(outcome)?;
            outcome.latencies.sort_unstable();
        }
        Ok(outcomes)
    }

    /// Asks what is due by now, as one batch of one socket.
    fn ask_what_is_due(&mut self, zone: &mut Zone, moments: &mut Moments) -> io::Result<()> {
        let (now, first) = (self.start.elapsed().as_nanos() as f64, moments.due);
        let count = std::iter::from_fn(|| moments.pass(now)).take(BATCH).count();
        if count > 0 {
            let socket = moments.turn % self.flows.len();
            moments.turn += 1;
            self.flows[socket].send(zone, count, first as u64)?;
        }
        moments.due = moments.due.max(now - self.latest);
        Ok(())
    }

    fn drain(&mut self, outcome: &mut Outcome) -> io::Result<()> {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE && self.flows.iter().any(|flow| flow.under_way > 0) {
            for flow in &mut self.flows {
                flow.receive(self.start, outcome)?;
            }
        }
        self.flows.iter_mut().for_each(|flow| flow.give_up(outcome));
        Ok(())
    }
}

/// The address of the client of that number: all are of networks of their own, for limits are those of
/// networks. With `--one-client` all are one.
pub(crate) fn client(number: usize) -> Ipv4Addr {
    let [.., high, low] = number.to_be_bytes();
    let one = std::env::args().any(|argument| argument == "--one-client");
    if one { Ipv4Addr::LOCALHOST } else { Ipv4Addr::new(127, high, low, 1) }
}

/// Lets the system keep so many octets for a socket until they are read; without privileges less.
pub(crate) fn keep(socket: &UdpSocket, octets: usize) -> io::Result<()> {
    setsockopt(socket, RcvBufForce, &octets).or_else(|_| setsockopt(socket, RcvBuf, &octets))?;
    Ok(())
}

impl Flow {
    fn new(server: SocketAddr, number: usize) -> io::Result<Self> {
        let socket = UdpSocket::bind((client(number), 0))?;
        keep(&socket, 4 << 20)?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            next_id: 0,
            under_way: 0,
            last_answer: Instant::now(),
            asked: vec![Asked { waiting: false, listed: false, due: 0 }; 1 << 16],
            outgoing: MultiHeaders::preallocate(BATCH, None),
            incoming: MultiHeaders::preallocate(BATCH, None),
            buffers: vec![[0; ANSWER_OCTETS]; BATCH],
        })
    }

    /// Sends up to `count` questions.
    fn send(&mut self, zone: &mut Zone, count: usize, due: u64) -> io::Result<()> {
        let questions = zone.take(count.min(BATCH));
        for question in questions.iter_mut() {
            let id = self.next_id;
            self.next_id = id.wrapping_add(1);
            question.set_id(id);
            self.asked[usize::from(id)] = Asked { waiting: true, listed: question.listed, due };
        }
        let slices: Vec<_> = questions.iter().map(|question| [IoSlice::new(question.packet())]).collect();
        let nobody = [None; BATCH];
        let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::empty());
        match sendmmsg(fd, &mut self.outgoing, &slices, &nobody[..slices.len()], [], flags)
            .map(Iterator::count)
        {
            Ok(_) | Err(Errno::EAGAIN | Errno::ECONNREFUSED) => {}
            Err(error) => return Err(error.into()),
        }
        self.under_way += slices.len();
        Ok(())
    }

    /// Takes the answers that are there.
    fn receive(&mut self, start: Instant, outcome: &mut Outcome) -> io::Result<()> {
        let mut slices: Vec<_> = self.buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        let messages = match recvmmsg(fd, &mut self.incoming, slices.iter_mut(), flags, None) {
            Ok(messages) => messages,
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let now = start.elapsed().as_nanos() as u64;
        for message in messages {
            let Some(&[id0, id1, _, flags, _, _, _, answers, ..]) = message.iovs().next() else { continue };
            let asked = &mut self.asked[usize::from(u16::from_be_bytes([id0, id1]))];
            if !asked.waiting {
                continue;
            }
            asked.waiting = false;
            let expected = if asked.listed { (0, 1) } else { (3, 0) };
            outcome.wrong += u64::from((flags & 0xf, answers) != expected);
            outcome.answered += 1;
            outcome.latencies.push(now.saturating_sub(asked.due).try_into().unwrap_or(u32::MAX));
            self.under_way -= 1;
        }
        self.last_answer = Instant::now();
        Ok(())
    }

    fn give_up(&mut self, outcome: &mut Outcome) {
        outcome.lost += self.under_way as u64;
        self.under_way = 0;
        self.last_answer = Instant::now();
        self.asked.iter_mut().for_each(|asked| asked.waiting = false);
    }
}
