//! Programs under test: started, waited for by what they print, stopped by SIGTERM.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a program may take to say what is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running program. It is killed with the value.
pub(crate) struct Process {
    name: String,
    child: Child,
    lines: Receiver<String>,
    /// All that it has said so far, for messages of failed tests.
    said: String,
}

impl Process {
    /// Starts a program; standard output and error are read as lines of one stream.
    pub(crate) fn start(command: Command) -> Self {
        Self::start_with(command, Stdio::null())
    }

    /// As [`Self::start`], with something else than nothing as standard input.
    pub(crate) fn start_with(mut command: Command, input: Stdio) -> Self {
        let name = format!("{command:?}");
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{name}: {e}"));
        let (sender, lines) = channel();
        forward(child.stdout.take().expect("piped"), sender.clone());
        forward(child.stderr.take().expect("piped"), sender);
        Self { name, child, lines, said: String::new() }
    }

    /// Waits for a line from which `wanted` makes something.
    ///
    /// # Panics
    /// When the program ends, or says nothing of the kind for two minutes.
    pub(crate) fn wait_for<T>(&mut self, wanted: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    let found = wanted(&line);
                    self.said.push_str(&line);
                    self.said.push('\n');
                    if let Some(found) = found {
                        return found;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("{}: waited in vain\n{}", self.name, self.said),
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.child.wait();
                    panic!("{}: ended with {status:?}\n{}", self.name, self.said)
                }
            }
        }
    }

    /// As [`Self::wait_for`], with what it has said already.
    pub(crate) fn said<T>(&mut self, wanted: impl Fn(&str) -> Option<T>) -> T {
        match self.said.lines().find_map(&wanted) {
            Some(found) => found,
            None => self.wait_for(wanted),
        }
    }

    /// Waits for a line that contains `text`.
    pub(crate) fn wait_for_text(&mut self, text: &str) {
        self.wait_for(|line| line.contains(text).then_some(()));
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        kill(Pid::from_raw(pid), signal).expect("signal");
    }

    /// Asks it to end and waits for it; returns all that it said.
    pub(crate) fn stop(mut self) -> (ExitStatus, String) {
        self.signal(Signal::SIGTERM);
        let status = self.child.wait().expect("wait");
        for line in self.lines.iter() {
            self.said.push_str(&line);
            self.said.push('\n');
        }
        (status, std::mem::take(&mut self.said))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone after `stop`: then both say so, and that is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn forward(stream: impl Read + Send + 'static, sender: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                break;
            }
        }
    });
}
