//! The embedded store of what was asked: account to [`Usage`].
//!
//! It is fjall, a log-structured store: a change is appended to a log, and what the log holds outlives
//! the process (also one that is killed) without a sync. The other store that was looked at, redb,
//! writes pages of a B-tree in place: each change that is to outlive the process takes a sync of the
//! disk and 4 KiB for every account, and accounts are put down hundreds of times a second.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::access::{AccountId, Usage};

/// Memory for what was read, in octets; accounts are read once, when their keys are.
const CACHE: u64 = 4 << 20;
/// The log is at most so long, in octets, before it is merged: the least that there is.
const LOG: u64 = 64 << 20;
const MEMORY: u64 = 8 << 20;

/// The open store. Clones are the same.
#[derive(Clone)]
pub struct Store {
    database: Database,
    usage: Keyspace,
}

impl Store {
    /// Opens the store in a directory, or makes it. Starts a thread that merges its files.
    ///
    /// # Errors
    /// What the store says: another process has it, or its files cannot be read.
    pub fn open(directory: &Path) -> fjall::Result<Self> {
        let builder = Database::builder(directory).cache_size(CACHE).max_journaling_size(LOG);
        let database = builder.worker_threads(1).open()?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMORY);
        Ok(Self { usage: database.keyspace("usage", options)?, database })
    }

    /// What an account has asked so far.
    ///
    /// # Errors
    /// What the store says.
    pub fn get(&self, id: AccountId) -> fjall::Result<Option<Usage>> {
        Ok(self.usage.get(id.0)?.and_then(|bytes| Usage::from_bytes(&bytes)))
    }

    /// Puts accounts down, all or none: when this returns, they outlive the process.
    ///
    /// # Errors
    /// What the store says. It takes nothing more until it is opened again.
    pub fn put(&self, accounts: impl Iterator<Item = (AccountId, Usage)>) -> fjall::Result<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
        accounts.for_each(|(id, usage)| batch.insert(&self.usage, id.0, usage.to_bytes()));
        batch.commit()
    }

    /// Brings everything to the disk: then it outlives the system, too.
    ///
    /// # Errors
    /// What the store says.
    pub fn sync(&self) -> fjall::Result<()> {
        self.database.persist(PersistMode::SyncData)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_down_is_there_again() {
        let directory = tempfile::tempdir().unwrap();
        let [one, other] = [&b"one-key-"[..], b"another-"].map(AccountId::of_key);
        let usage = |granted| Usage { granted, denied: 2, day: 3, month: 4 };
        let store = Store::open(directory.path()).unwrap();
        assert_eq!(store.get(one).unwrap(), None);
        store.put([(one, usage(1)), (other, usage(5))].into_iter()).unwrap();
        store.put([(one, usage(7))].into_iter()).unwrap();
        store.sync().unwrap();
        assert_eq!(store.get(one).unwrap(), Some(usage(7)));
        drop(store);
        let store = Store::open(directory.path()).unwrap();
        assert_eq!([one, other].map(|id| store.get(id).unwrap()), [Some(usage(7)), Some(usage(5))]);
        assert!(Store::open(directory.path()).is_err(), "one process at a time");
    }
}
