//! Counters: what the server did, readable by anybody at any time.
//!
//! Each worker counts into a [`WorkerCounters`] of its own, so counting takes no lock and no cache
//! line is written by two workers; readers add the workers up ([`Metrics::totals`]). All clients of a
//! worker come in one way ([`Origin`]), which therefore need not be counted.
//!
//! Zones come and go on reload, and each snapshot numbers its zones anew. [`Metrics::zone_slots`]
//! therefore gives every zone *name* a slot that it keeps for ever; the publisher asks once per
//! snapshot, and a query finds its counters by two array accesses: the snapshot's slot of the zone,
//! then the worker's counters of the slot. Counters are allocated in chunks that never move, so
//! neither a new zone nor a reader makes a worker wait.

mod histogram;
mod labels;
mod passages;
mod statistics;
#[cfg(test)]
mod tests;
mod totals;
mod worker;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use histogram::Buckets;
pub use labels::{Answer, Dropped, Labels, Limited, Origin};
pub use statistics::StatisticsFile;
pub use totals::{OriginTotals, Totals, ZoneTotals};
pub use worker::{Tally, WorkerCounters};

use crate::name::Name;

/// Names of zones that get counters of their own.
const ZONES: usize = 65_536;

/// All counters of the process.
#[derive(Debug, Default)]
pub struct Metrics {
    workers: Mutex<Vec<Arc<WorkerCounters>>>,
    zones: Mutex<ZoneNames>,
}

#[derive(Debug, Default)]
struct ZoneNames {
    slots: HashMap<Name, ZoneSlot>,
    names: Vec<Name>,
}

/// Where the counters of a zone are; the same for a name as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneSlot(u32);

impl Metrics {
    /// Counters for one more worker that is a single thread.
    pub fn worker(&self, origin: Origin) -> Arc<WorkerCounters> {
        self.add(WorkerCounters::new(origin, false))
    }

    /// Counters for a worker whose work is spread over several threads.
    pub fn shared_worker(&self, origin: Origin) -> Arc<WorkerCounters> {
        self.add(WorkerCounters::new(origin, true))
    }

    fn add(&self, counters: WorkerCounters) -> Arc<WorkerCounters> {
        let counters = Arc::new(counters);
        lock(&self.workers).push(counters.clone());
        counters
    }

    /// The slots of the zones of a snapshot, in its order. `None` for a zone that comes when the
    /// process has already seen 65,536 names: such a zone counts as if it were none.
    pub fn zone_slots<'n>(&self, apexes: impl IntoIterator<Item = &'n Name>) -> Box<[Option<ZoneSlot>]> {
        let mut zones = lock(&self.zones);
        apexes.into_iter().map(|apex| zones.slot(apex)).collect()
    }

    /// The sums over all workers.
    pub fn totals(&self) -> Totals {
        let names = lock(&self.zones).names.clone();
        let mut totals = Totals {
            zones: names.into_iter().map(|name| (name, ZoneTotals::default())).collect(),
            ..Totals::default()
        };
        for worker in lock(&self.workers).iter() {
            worker.add_to(&mut totals);
        }
        totals
    }
}

impl ZoneNames {
    fn slot(&mut self, apex: &Name) -> Option<ZoneSlot> {
        if let Some(&slot) = self.slots.get(apex) {
            return Some(slot);
        }
        let slot = u32::try_from(self.names.len()).ok().filter(|&slot| (slot as usize) < ZONES)?;
        self.names.push(apex.clone());
        self.slots.insert(apex.clone(), ZoneSlot(slot));
        Some(ZoneSlot(slot))
    }
}

/// What these locks guard is whole after every statement, so a panic elsewhere leaves it usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
