//! Puts down what accounts have asked, so that it survives the end of the process.
//!
//! Workers never wait for this thread. An account calls when its slice is half used up
//! ([`access::account`](crate::access::account)); the thread puts down all that have called, a slice
//! ahead, and brings that to the disk once a second. When the server stops, the exact counters are put
//! down. After a sudden end an account has lost what was left of its slice, or has more by what it asked
//! between its call and the thread's answer: that takes a millisecond or two, and half of a slice is there
//! for it.

mod store;

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use store::Store;

use crate::access::{Account, AccountId, Call, Entry, Gate, Usage};

/// Calls that may wait.
const QUEUE: usize = 65_536;
/// Accounts that are put down together.
const BATCH: usize = 4096;
/// After accounts were put down, the time until the next are.
const PAUSE: Duration = Duration::from_millis(1);
/// How often the disk is waited for.
const SYNC: Duration = Duration::from_secs(1);

/// The thread, and the store that it writes.
pub struct Bookkeeper {
    store: Store,
    calls: SyncSender<Call>,
    writer: Arc<Mutex<Writer>>,
}

impl Bookkeeper {
    /// Starts to put down in `store` what calls.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(store: Store) -> io::Result<Self> {
        let (calls, waiting) = sync_channel(QUEUE);
        let writer = Writer { store: store.clone(), failed: false, finished: false };
        let writer = Arc::new(Mutex::new(writer));
        let run = {
            let writer = writer.clone();
            move || run(&writer, &waiting)
        };
        std::thread::Builder::new().name("bookkeeper".into()).spawn(run)?;
        Ok(Self { store, calls, writer })
    }

    /// Where accounts call.
    pub fn calls(&self) -> SyncSender<Call> {
        self.calls.clone()
    }

    /// Makes accounts with what they have asked before.
    pub fn opener(&self) -> impl Fn(AccountId) -> Account + Send + use<> {
        let store = self.store.clone();
        move |id| {
            let usage = store.get(id).unwrap_or_else(|error| {
                tracing::error!("usage of {id}: {error}");
                None
            });
            Account::new(id, usage.unwrap_or_default(), true)
        }
    }

    /// Puts down exactly what the accounts of `gate` have asked. Nothing may be asked any more.
    pub fn finish(self, gate: &Gate) {
        let differs = |entry: &Entry<'_>| {
            let usage = entry.account.usage();
            let put_down = || self.store.get(entry.account.id).ok().flatten().unwrap_or_default();
            usage != Usage::default() && usage != put_down()
        };
        let used: Vec<_> = gate.entries().filter(differs).collect();
        let mut writer = lock(&self.writer);
        writer.finished = true;
        for entries in used.chunks(BATCH) {
            let accounts = entries.iter().map(|entry| (entry.account.id, entry.account.usage()));
            writer.log(|store| store.put(accounts));
        }
        writer.log(Store::sync);
    }
}

/// What writes.
struct Writer {
    store: Store,
    /// What is wrong has been said.
    failed: bool,
    /// The exact counters are put down: nothing may be put ahead of them.
    finished: bool,
}

impl Writer {
    /// Puts down what has called.
    fn put(&mut self, calls: &[Call]) {
        if self.finished {
            return;
        }
        let ahead: Vec<_> = calls.iter().map(|call| call.account.ahead(call.slice)).collect();
        let accounts = calls.iter().zip(&ahead).map(|(call, (usage, _))| (call.account.id, *usage));
        self.log(|store| store.put(accounts));
        // Also where that failed: the next slice tries it again.
        for (call, &(_, enough_until)) in calls.iter().zip(&ahead) {
            call.account.is_saved(enough_until);
        }
    }

    fn log(&mut self, write: impl FnOnce(&Store) -> fjall::Result<()>) {
        let result = write(&self.store);
        if let Some(error) = result.as_ref().err().filter(|_| !self.failed) {
            tracing::error!("usage is not put down any more: {error}");
        }
        self.failed |= result.is_err();
    }
}

/// The thread: until the last who may call is gone.
fn run(writer: &Mutex<Writer>, waiting: &Receiver<Call>) {
    let (mut synced, mut is_new) = (Instant::now(), false);
    loop {
        match waiting.recv_timeout(SYNC) {
            Ok(call) => {
                let calls: Vec<Call> = [call].into_iter().chain(waiting.try_iter()).take(BATCH).collect();
                lock(writer).put(&calls);
                is_new = true;
                // Workers wake a thread that waits for their calls; so they do it once a pause at most.
                std::thread::sleep(PAUSE);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if is_new && synced.elapsed() >= SYNC {
            lock(writer).log(Store::sync);
            (synced, is_new) = (Instant::now(), false);
        }
    }
}

/// Whoever panicked left it whole: it holds no more than two flags.
fn lock(writer: &Mutex<Writer>) -> MutexGuard<'_, Writer> {
    writer.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{KeyList, KeyTable, Plan, Policy, Verdict};
    use crate::name::Name;

    /// A gate with one key and a daily quota, whose account is in the store.
    fn gate(bookkeeper: &Bookkeeper) -> Gate {
        let zone = Name::from_text(b"dq.example").unwrap();
        let plans = vec![Plan { daily: Some(40_000), ..Plan::new("x") }];
        let open = bookkeeper.opener();
        let policy = Policy::new(plans, vec![zone.clone()], None, &[], &open).with_calls(bookkeeper.calls());
        policy.clock().set(Duration::ZERO, 1_795_392_000);
        let list = KeyList { keys: vec![(AccountId::of_key(b"abcdefgh"), 0)] };
        let keys = KeyTable::new(&list, &KeyTable::default(), &open);
        Gate::new(&Arc::new(policy), Some(&Arc::new(keys)), [zone].iter())
    }

    fn ask(gate: &Gate, questions: usize) -> usize {
        let entry = gate.by_key(b"abcdefgh").unwrap();
        (0..questions).filter(|_| gate.charge(0, entry) == Verdict::Granted).count()
    }

    #[test]
    fn exact_after_a_stop_and_within_a_slice_after_a_sudden_end() {
        let directory = tempfile::tempdir().unwrap();
        let slice = 100;
        let bookkeeper = Bookkeeper::start(Store::open(directory.path()).unwrap()).unwrap();
        let first = gate(&bookkeeper);
        assert_eq!(ask(&first, 10_000), 10_000);
        bookkeeper.finish(&first);
        drop(first);
        let store = loop {
            // The thread ends when the last caller is gone.
            if let Ok(store) = Store::open(directory.path()) {
                break store;
            }
        };
        let usage = store.get(AccountId::of_key(b"abcdefgh")).unwrap().unwrap();
        assert_eq!(usage.granted, 10_000);
        let bookkeeper = Bookkeeper::start(store.clone()).unwrap();
        let second = gate(&bookkeeper);
        assert_eq!(ask(&second, 10_000), 10_000);
        let account = second.by_key(b"abcdefgh").unwrap().account;
        let put_down = || store.get(account.id).unwrap().unwrap().granted;
        while put_down() < 20_000 - slice / 2 {
            std::thread::yield_now();
        }
        // What is in the store now is what a sudden end would leave.
        assert!((20_000 - slice / 2..=20_000 + slice).contains(&put_down()), "{}", put_down());
        assert_eq!(ask(&second, 30_000), 20_000);
        assert_eq!(account.usage().granted, 40_000);
    }
}
