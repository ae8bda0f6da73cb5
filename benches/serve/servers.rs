//! The servers: started from files in a temporary directory, on one core, ended by their ids.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Options;
use crate::questions::{ZONE, Zone, key};

/// The servers in the order of the table.
pub(crate) const ALL: [&str; 5] = ["echo", "nibbl", "rbldnsd", "nsd", "knot"];
/// nibbl with access keys in the names.
pub(crate) const KEYS: &str = "keys";

/// How long a server may take to stop: under a profiler, one that puts a million accounts down takes its time.
const STOPPING: Duration = Duration::from_secs(60);
/// How long a server may load.
const LOADING: Duration = Duration::from_secs(180);

/// A running server.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    child: Child,
}

/// CPU time in seconds since a server started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CpuTime {
    pub(crate) user: f64,
    pub(crate) system: f64,
}

impl CpuTime {
    pub(crate) fn sum(self) -> f64 {
        self.user + self.system
    }
}

/// The data files.
pub(crate) struct Files<'d> {
    pub(crate) directory: &'d Path,
    /// The workers that nibbl has.
    pub(crate) workers: usize,
    /// What runs nibbl: nothing, or a profiler with its arguments.
    pub(crate) under: Vec<String>,
    /// Access keys of [`KEYS`]; with any, the zone of `nibbl` is named like the first.
    pub(crate) keys: usize,
}

impl<'d> Files<'d> {
    pub(crate) fn new(directory: &'d Path, options: &Options) -> Self {
        Self { directory, workers: options.workers, under: options.under.clone(), keys: options.keys }
    }

    /// Writes what all servers read. NSD and Knot get at most `wildcards` listings.
    pub(crate) fn write(&self, zone: &Zone, wildcards: usize) -> io::Result<()> {
        zone.write_ip6trie(&self.path("list"))?;
        zone.write_master_file(&self.path("zone"), wildcards)?;
        std::fs::write(
            self.path("clients"),
            "192.0.2.0/24 :refuse\n198.51.100.0/24 :ignore\n127.0.0.0/8 :pass\n",
        )
    }

    /// Starts a server; `None` where it is not installed.
    pub(crate) fn start(
        &self,
        name: &'static str,
        core: Option<usize>,
        own_core: Option<usize>,
    ) -> Option<Server> {
        let address =
            UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
        let mut command = self.command(name, address).expect("files can be written");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // A child begins on the cores of its parent.
        core.into_iter().for_each(pin);
        let child = command.spawn();
        own_core.into_iter().for_each(pin);
        Some(Server { name, address, child: child.ok()? })
    }

    fn command(&self, name: &str, address: SocketAddr) -> io::Result<Command> {
        let port = address.port();
        let directory = self.directory.display();
        let mut command = match name {
            "echo" => Command::new(std::env::current_exe()?),
            "nibbl" | KEYS => self.nibbl(),
            "rbldnsd" => Command::new("/usr/sbin/rbldnsd"),
            "nsd" => Command::new("/usr/sbin/nsd"),
            _ => Command::new("/usr/sbin/knotd"),
        };
        let configuration = self.path(&format!("{name}.conf"));
        match name {
            "echo" => {
                command.args(["--echo", &address.to_string()]);
            }
            "nibbl" | KEYS => {
                let workers = self.workers;
                let control = if name == KEYS { "control-keys" } else { "control" };
                let (zone, plans) = match (name, self.keys) {
                    (KEYS, _) => {
                        let keys: String = (0..self.keys).map(|number| key(number) + " gold\n").collect();
                        std::fs::write(self.path("keys"), keys)?;
                        let plan = "rate = 1000000\ndaily = 1000000000\nmonthly = 1000000000";
                        let keys = format!("[access_keys]\nzones = [\"{ZONE}\"]\nfile = \"keys\"");
                        let usage = "[usage]\ndirectory = \"usage\"";
                        (ZONE.to_owned(), format!("[[plan]]\nname = \"gold\"\n{plan}\n{keys}\n{usage}\n"))
                    }
                    (_, 0) => (ZONE.to_owned(), String::new()),
                    (_, _) => (format!("{}.{ZONE}", key(0)), String::new()),
                };
                let text = format!(
                    "[server]\nlisten = [\"{address}\"]\nworkers = {workers}\ncontrol = \"{directory}/{control}\"\n\n\
                     [reload]\nnotify = false\npoll = \"1h\"\n\n{plans}\n[[zone]]\nname = \"{zone}\"\n\
                     datasets = [\"ip6trie:list\"]\naccess = [\"clients\"]\n"
                );
                std::fs::write(&configuration, text)?;
                command.args(["serve", "--config"]).arg(configuration);
            }
            "rbldnsd" => {
                command
                    .args(["-n", "-q", "-a", "-c", "0", "-b", &format!("127.0.0.1/{port}"), "-w"])
                    .arg(self.directory);
                command.args([format!("{ZONE}:ip6trie:list"), format!("{ZONE}:acl:clients")]);
            }
            "nsd" => {
                let text = format!(
                    "server:\n  ip-address: 127.0.0.1@{port}\n  server-count: 1\n  username: \"\"\n  chroot: \"\"\n  \
                     zonesdir: \"{directory}\"\n  pidfile: \"\"\n  logfile: \"{directory}/nsd.log\"\n  \
                     xfrdfile: \"{directory}/xfrd\"\n  zonelistfile: \"{directory}/zones\"\n  xfrdir: \"{directory}\"\n  \
                     rrl-ratelimit: 0\nremote-control:\n  control-enable: no\n\
                     zone:\n  name: {ZONE}\n  zonefile: zone\n"
                );
                std::fs::write(&configuration, text)?;
                command.args(["-d", "-c"]).arg(configuration);
            }
            _ => {
                let text = format!(
                    "server:\n  listen: 127.0.0.1@{port}\n  rundir: {directory}\n  udp-workers: 1\n  tcp-workers: 1\n  \
                     background-workers: 1\ndatabase:\n  storage: {directory}\ntemplate:\n- id: default\n  \
                     storage: {directory}\n  file: zone\n  zonefile-load: whole\n  journal-content: none\n\
                     zone:\n- domain: {ZONE}\n"
                );
                std::fs::write(&configuration, text)?;
                command.arg("-c").arg(configuration);
            }
        }
        Ok(command)
    }

    fn nibbl(&self) -> Command {
        let nibbl = env!("CARGO_BIN_EXE_nibbl");
        let Some((profiler, arguments)) = self.under.split_first() else { return Command::new(nibbl) };
        let mut command = Command::new(profiler);
        command.args(arguments).arg(nibbl);
        command
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

impl Server {
    /// Waits until the server answers; `None` where it does not or has ended.
    pub(crate) fn loaded(mut self, zone: &mut Zone) -> Option<Self> {
        let begin = Instant::now();
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("not zero");
        let mut answer = [0; 512];
        while begin.elapsed() < LOADING && matches!(self.child.try_wait(), Ok(None)) {
            let asked = socket.send_to(zone.take(1)[0].packet(), self.address);
            // Not SERVFAIL or REFUSED, which tell that it still loads.
            if asked.is_ok() && socket.recv(&mut answer).is_ok_and(|_| matches!(answer[3] & 0xf, 0 | 3)) {
                return Some(self);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }

    /// The processes of the server: some answer in a child.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let mut found = vec![self.child.id()];
        let all: Vec<(u32, u32)> = std::fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let id = entry.file_name().to_str()?.parse().ok()?;
                Some((id, statistics(id)?.parent))
            })
            .collect();
        let mut next = 0;
        while let Some(&parent) = found.get(next) {
            found.extend(all.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
            next += 1;
        }
        found
    }

    /// The CPU time of all its processes.
    pub(crate) fn cpu_time(&self) -> CpuTime {
        self.processes().into_iter().filter_map(statistics).fold(CpuTime::default(), |sum, one| CpuTime {
            user: sum.user + one.cpu.user,
            system: sum.system + one.cpu.system,
        })
    }

    /// Resident memory of all its processes, in octets.
    pub(crate) fn memory(&self) -> u64 {
        self.processes().into_iter().filter_map(statistics).map(|one| one.resident).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        let begin = Instant::now();
        while begin.elapsed() < STOPPING && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Statistics {
    parent: u32,
    cpu: CpuTime,
    resident: u64,
}

/// What `/proc/ID/stat` says (proc_pid_stat(5)).
fn statistics(process: u32) -> Option<Statistics> {
    const TICKS_PER_SECOND: f64 = 100.0;
    const PAGE: u64 = 4096;
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // Behind the name, which may hold anything.
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = |field: usize| Some(fields.get(field)?.parse::<f64>().ok()? / TICKS_PER_SECOND);
    Some(Statistics {
        parent: fields.get(1)?.parse().ok()?,
        cpu: CpuTime { user: ticks(11)?, system: ticks(12)? },
        resident: fields.get(21)?.parse::<u64>().ok()? * PAGE,
    })
}

/// Pins this thread to a core, where it may.
pub(crate) fn pin(core: usize) {
    let mut cores = CpuSet::new();
    if cores.set(core).is_ok() {
        let _ = sched_setaffinity(Pid::from_raw(0), &cores);
    }
}
