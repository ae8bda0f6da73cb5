//! The file of access keys: read again when it changed, and kept as it was on any error, or when too
//! much changed at once, as zones do it.

use std::cell::RefCell;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Notice, Order, Round, too_many};
use crate::access::{Account, AccountId, KeyList, KeyTable, Policy, key_file};
use crate::data_file::{DataFile, Limits, Stamp};
use crate::zone_file::diagnostic::Diagnostics;

/// Share of the keys in per cent that may change at once.
const MAX_CHANGE: u32 = 50;

/// The policy, and the keys as they were read last.
pub struct Keys {
    policy: Arc<Policy>,
    file: Option<PathBuf>,
    open: Box<Open>,
    state: RefCell<State>,
}

/// Makes the account of a key that was not in the file before.
pub type Open = dyn Fn(AccountId) -> Account + Send;

#[derive(Default)]
struct State {
    /// The last that was taken.
    table: Option<Arc<KeyTable>>,
    /// Of the file as it was looked at last, and its content.
    seen: Option<(Stamp, u64)>,
    /// Why the file's keys are not those that are served.
    problem: Option<String>,
    /// They were refused since too many changed.
    guarded: bool,
}

impl Keys {
    /// The keys of `file`, not read yet.
    pub fn new(policy: Arc<Policy>, file: Option<PathBuf>, open: Box<Open>) -> Self {
        Self { policy, file, open, state: RefCell::default() }
    }

    /// No keys, and no rules.
    pub fn none() -> Self {
        Self::new(Arc::default(), None, Box::new(Account::unsaved))
    }

    /// What the configuration says.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// The keys that are served.
    pub fn table(&self) -> Option<Arc<KeyTable>> {
        self.state.borrow().table.clone()
    }

    /// Why they are not those of the file.
    pub fn problem(&self) -> Option<String> {
        let state = self.state.borrow();
        state.problem.as_ref().map(|problem| format!("access keys: {problem}"))
    }

    /// Reads the file if it changed; true if other keys are served from now on.
    pub fn look(&self, order: &Order, round: &mut Round) -> bool {
        let Some(path) = &self.file else { return false };
        let state = &mut *self.state.borrow_mut();
        let forced = order.force && state.guarded;
        let stamp = Stamp::of(path).ok();
        let is_seen = state.seen.as_ref().is_some_and(|(seen, _)| Some(seen) == stamp.as_ref());
        if is_seen && !forced {
            return false;
        }
        let mut diagnostics = Diagnostics::default();
        let (list, seen) = match read(path, &self.policy, &mut diagnostics) {
            Ok(read) => read,
            Err(error) => {
                state.seen = None;
                return state.keep(round, format!("{}: {error}", path.display()), false);
            }
        };
        let is_same = state.seen.as_ref().is_some_and(|(_, content)| *content == seen.1);
        state.seen = Some(seen);
        if is_same && !forced {
            return false;
        }
        round.complaints.extend(diagnostics.lines().map(Notice::from));
        let none = KeyTable::default();
        let before = state.table.as_deref().unwrap_or(&none);
        let (new, old) = (list.keys.len() as u64, before.len() as u64);
        if state.table.is_some() && !forced && too_many(old, new, MAX_CHANGE) {
            let why =
                format!("{new} in place of {old} are too many changes; `nibbl reload --force` takes them");
            return state.keep(round, why, true);
        }
        let table = KeyTable::new(&list, before, &self.open);
        let counts = if state.table.is_some() {
            format!("{new} access keys, before {old}")
        } else {
            format!("{new} access keys")
        };
        round.news.push(counts.into());
        *state = State { table: Some(Arc::new(table)), seen: state.seen.take(), ..State::default() };
        true
    }
}

impl State {
    /// Says, if that is new, why the keys stay as they are.
    fn keep(&mut self, round: &mut Round, problem: String, guarded: bool) -> bool {
        if self.problem.as_ref() != Some(&problem) {
            let keeps =
                if self.table.is_some() { "are kept as they were" } else { "are missing: nobody may ask" };
            round.complaints.push(format!("the access keys {keeps}: {problem}").into());
        }
        (self.problem, self.guarded) = (Some(problem), guarded);
        false
    }
}

/// The keys in a file, and its state and content.
///
/// # Errors
/// It cannot be read, or changed meanwhile.
pub fn read(
    path: &Path,
    policy: &Policy,
    diagnostics: &mut Diagnostics,
) -> io::Result<(KeyList, (Stamp, u64))> {
    let mut file = DataFile::open(path, &Limits::default())?;
    let stamp = file.stamp();
    let list =
        key_file::read(BufReader::new(&mut file), &Arc::new(path.to_owned()), &policy.plans, diagnostics)?;
    Ok((list, (stamp, file.finish()?)))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::access::Plan;

    fn said(round: &Round) -> String {
        round.notices().map(|notice| format!("{notice}\n")).collect()
    }

    #[test]
    fn keys_change_and_stay_on_errors() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        let policy = Policy::new(vec![Plan::new("free")], vec![], None, &[], Account::unsaved);
        let keys = Keys::new(Arc::new(policy), Some(path.clone()), Box::new(Account::unsaved));
        let look = |force| {
            let mut round = Round::default();
            let changed = keys.look(&Order { force, ..Order::default() }, &mut round);
            (changed, said(&round))
        };
        let write = |count: u32| {
            let mut text = String::new();
            (0..count).for_each(|key| writeln!(text, "customer-{key} free").unwrap());
            // Another inode, so that the state differs even where the clock is coarse.
            std::fs::write(path.with_extension("new"), text).unwrap();
            std::fs::rename(path.with_extension("new"), &path).unwrap();
        };
        let (changed, first) = look(false);
        assert!(!changed && first.contains("are missing: nobody may ask"), "{first}");
        assert_eq!(look(false), (false, String::new()), "said once");
        write(3000);
        assert_eq!(look(false), (true, "3000 access keys\n".into()));
        assert_eq!((look(false), keys.problem()), ((false, String::new()), None));
        write(3000);
        assert_eq!(look(false), (false, String::new()), "touched");
        write(1000);
        let (changed, guarded) = look(false);
        assert!(!changed && guarded.contains("1000 in place of 3000"), "{guarded}");
        assert!(keys.problem().unwrap().contains("--force"));
        assert_eq!(look(false), (false, String::new()));
        assert_eq!(look(true), (true, "1000 access keys, before 3000\n".into()));
        std::fs::remove_file(&path).unwrap();
        let (changed, kept) = look(false);
        assert!(!changed && kept.contains("are kept as they were") && keys.table().unwrap().len() == 1000);
        write(1000);
        assert_eq!((look(false).0, keys.problem()), (true, None));
        std::fs::write(&path, "customer-0 free\n".to_owned() + &"customer-1 nothing\n".repeat(1000)).unwrap();
        let (_, said) = look(false);
        assert!(said.contains("\n... 900 more; in all 1000 errors and 0 warnings\n"), "{said}");
    }
}
