//! Blocks of a large file read side by side: each as a list of its own, from what the lines above the
//! block have set.
//!
//! `parser` gives out blocks without state lines and takes the parts back in the order of the file, so that
//! the whole comes out as if it had been read line by line: entries, values and their ids, and
//! findings. Where a part depends on more than the state of the lines above it, it is read again there.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, Scope};

use super::ReadOptions;
use super::diagnostic::Diagnostics;
use super::lexer::Block;
use super::list::List;
use super::report::{Report, Source};

/// How many blocks each thread has at most: the one that it reads, and the next.
const PER_THREAD: usize = 2;

/// How a file is divided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Division {
    /// Octets of a block. Some for each thread are in memory together, with their entries.
    pub block: usize,
    /// The first blocks are read before any thread is started: most files end there, and most special
    /// lines stand there.
    pub head: usize,
    /// The most threads; 1 reads block by block. `None` takes as many as there are cores, to the
    /// number that one reader can feed.
    pub threads: Option<usize>,
}

impl Default for Division {
    fn default() -> Self {
        Self { block: 1 << 16, head: 16, threads: None }
    }
}

impl Division {
    fn threads(&self) -> usize {
        const MOST: usize = 4;
        let cores = || thread::available_parallelism().map_or(1, usize::from).min(MOST);
        self.threads.unwrap_or_else(cores)
    }
}

/// The threads. Blocks go to them in turn, and so parts come back in order.
#[derive(Default)]
pub(super) struct Crew {
    lanes: Vec<Lane>,
    given: usize,
    taken: usize,
}

struct Lane {
    blocks: SyncSender<(Block, List)>,
    parts: Receiver<Part>,
}

/// What came of a block.
pub(super) struct Part {
    pub block: Block,
    /// `None` if it cannot be read apart.
    pub read: Option<(List, Diagnostics)>,
}

impl Crew {
    /// Starts threads, if the division of the file is for more than one; as many as the system has.
    pub(super) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        division: Division,
        source: &'scope Source,
        options: &'scope ReadOptions,
    ) -> Self {
        let threads = Some(division.threads()).filter(|&threads| threads > 1).unwrap_or(0);
        let lanes = (0..threads).map_while(|_| Lane::start(scope, source, options).ok()).collect();
        Self { lanes, given: 0, taken: 0 }
    }

    /// True if there is nobody.
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// How many blocks may be out.
    pub(super) fn room(&self) -> usize {
        PER_THREAD * self.lanes.len()
    }

    /// How many blocks are out.
    pub(super) fn waiting(&self) -> usize {
        self.given - self.taken
    }

    /// Gives out a block, with an empty list for its entries. There has to be room for it.
    pub(super) fn give(&mut self, block: Block, list: List) {
        let lane = &self.lanes[self.given % self.lanes.len()];
        self.given += 1;
        // A thread that is gone has panicked, which its scope passes on.
        let _ = lane.blocks.send((block, list));
    }

    /// The part of the earliest block that is out, when it is ready.
    pub(super) fn take(&mut self) -> Option<Part> {
        let lane = (self.waiting() > 0).then(|| &self.lanes[self.taken % self.lanes.len()])?;
        self.taken += 1;
        lane.parts.recv().ok()
    }
}

impl Lane {
    fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        source: &'scope Source,
        options: &'scope ReadOptions,
    ) -> io::Result<Self> {
        let (blocks, given) = sync_channel(PER_THREAD);
        let (done, parts) = sync_channel(PER_THREAD);
        thread::Builder::new().name("nibbl-parts".into()).spawn_scoped(scope, move || {
            for (block, list) in given {
                let read = read(&block, list, source, options);
                if done.send(Part { block, read }).is_err() {
                    break; // the file is given up
                }
            }
        })?;
        Ok(Self { blocks, parts })
    }
}

/// Reads the lines of a block apart, if that can be.
fn read(
    block: &Block,
    mut list: List,
    source: &Source,
    options: &ReadOptions,
) -> Option<(List, Diagnostics)> {
    let mut diagnostics = Diagnostics::default();
    for line in block.lines() {
        let (number, text) = (line.number, line.text);
        let mut report = Report { source, line: number, text, diagnostics: &mut diagnostics };
        match list.line(line, options, &mut report) {
            Ok(None) => {}
            Ok(Some(_special)) => return None,
            Err(fault) if fault.fatal => return None,
            Err(fault) => report.error(fault.at, fault.message),
        }
    }
    Some((list, diagnostics))
}
