//! Notices that data files, certificates and keys may have changed, and says so: nothing more. `reload` finds out what
//! changed, so a false alarm costs a look at the files, and a missed one waits for the next poll.
//!
//! Directories are watched and not files, since files are replaced by renaming: the directory of
//! each file, the one above it (the directory itself may be replaced), and every directory that
//! holds a symbolic link on the way (links are swapped). After each change the way is followed
//! anew. Of the directories with the keys of signed zones all key files matter, since those of new keys have
//! new names. Where the system cannot watch, polling is more frequent.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

use crate::config::{Config, Watch};
use crate::dnssec::key_file::is_key_file;

/// How often files are looked at where the system does not tell of changes.
const FALLBACK_POLL: Duration = Duration::from_secs(5);

/// Symbolic links on the way to one file; Linux follows 40.
const MAX_LINKS: u32 = 40;

/// Watches the files of a configuration.
pub struct Watcher {
    files: Vec<PathBuf>,
    key_directories: Vec<PathBuf>,
    system: Option<System>,
    events: mpsc::Receiver<()>,
    /// Keeps `events` open where there is no system; see also [`Self::told`].
    sender: mpsc::Sender<()>,
}

/// The system's watches.
struct System {
    watcher: RecommendedWatcher,
    /// The watched directories, with the device and inode that each had.
    watched: HashMap<PathBuf, (u64, u64)>,
    /// Where the files of the last [`Self::follow`] are: what tells whether an event matters.
    ways: Arc<Mutex<Ways>>,
}

/// What is to be watched for some files.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ways {
    directories: HashSet<PathBuf>,
    /// Files, directories and links on the ways.
    names: HashSet<PathBuf>,
    /// Directories of which all key files are meant.
    key_directories: HashSet<PathBuf>,
}

impl Watcher {
    /// Watches all data files, certificates, secrets and keys. The error says why the system does not tell of changes;
    /// the watcher then only polls.
    pub fn new(config: &Config) -> (Self, Option<notify::Error>) {
        let mut files: Vec<PathBuf> = config.data_files().cloned().collect();
        let encrypted = config.encrypted_listeners();
        files.extend(encrypted.flat_map(|listener| [listener.certificate.clone(), listener.key.clone()]));
        files.extend(config.cookies.secrets.clone());
        files.sort_unstable();
        files.dedup();
        let signed = config.zones.iter().filter_map(|zone| zone.signing.as_ref());
        let key_directories = signed.map(|signing| signing.keys.clone()).collect();
        let (sender, events) = mpsc::channel(1);
        let mut watcher = Self { files, key_directories, system: None, events, sender: sender.clone() };
        if !config.watch.notify {
            return (watcher, None);
        }
        let error = match System::new(sender) {
            Ok(system) => {
                watcher.system = Some(system);
                watcher.follow().err()
            }
            Err(error) => Some(error),
        };
        (watcher, error)
    }

    /// For somebody else who says that files may have changed, as often as he likes: he is listened to as the system is.
    pub fn told(&self) -> impl Fn() + Send + Sync + 'static {
        let sender = self.sender.clone();
        // A full channel means that the same is already said.
        move || {
            let _ = sender.try_send(());
        }
    }

    /// Calls `look` whenever files may have changed, for ever. `log` hears when the system stops
    /// telling of changes.
    pub async fn run(mut self, watch: Watch, mut look: impl FnMut(), mut log: impl FnMut(&str)) {
        loop {
            let poll = match (&self.system, watch.poll) {
                (None, Some(poll)) if watch.notify => Some(poll.min(FALLBACK_POLL)),
                (_, poll) => poll,
            };
            tokio::select! {
                () = self.changed(watch) => (),
                () = sleep_or_wait(poll) => (),
            }
            // First the watches, then the look: what changes in between is seen by one of them.
            if let Err(error) = self.follow() {
                log(&format!("{error}: looking at the files every {} s", FALLBACK_POLL.as_secs()));
            }
            look();
        }
    }

    /// Waits until something changed, and then until nothing does.
    async fn changed(&mut self, watch: Watch) {
        if self.events.recv().await.is_none() {
            return;
        }
        let limit = Instant::now() + watch.settle_limit;
        loop {
            let quiet = (Instant::now() + watch.settle).min(limit);
            if !matches!(timeout_at(quiet, self.events.recv()).await, Ok(Some(()))) {
                return;
            }
        }
    }

    /// Follows the ways to all files and watches what lies on them now.
    ///
    /// # Errors
    /// When the system cannot watch a directory; from then on it is not asked again.
    fn follow(&mut self) -> Result<(), notify::Error> {
        let Some(system) = &mut self.system else { return Ok(()) };
        let followed = system.follow(Ways::to(&self.files, &self.key_directories));
        if followed.is_err() {
            self.system = None;
        }
        followed
    }
}

async fn sleep_or_wait(poll: Option<Duration>) {
    match poll {
        Some(poll) => sleep(poll).await,
        None => std::future::pending().await,
    }
}

impl System {
    fn new(sender: mpsc::Sender<()>) -> Result<Self, notify::Error> {
        let ways: Arc<Mutex<Ways>> = Arc::default();
        let wanted = ways.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let wanted = wanted.lock().unwrap_or_else(PoisonError::into_inner);
            if event.map_or(true, |event| wanted.concern(&event)) {
                // A full channel means that the same is already said.
                let _ = sender.try_send(());
            }
        })?;
        Ok(Self { watcher, watched: HashMap::new(), ways })
    }

    fn follow(&mut self, ways: Ways) -> Result<(), notify::Error> {
        let directories = ways.directories.clone();
        *self.ways.lock().unwrap_or_else(PoisonError::into_inner) = ways;
        let mut watched = HashMap::new();
        for directory in directories {
            // What is gone again is noticed by the directory above it.
            let Ok(identity) = identity(&directory) else { continue };
            if self.watched.remove(&directory).is_some_and(|before| before != identity) {
                // Another directory of this name is watched, or was until it went.
                let _ = self.watcher.unwatch(&directory);
            }
            // Also if it seems to be watched: a directory made anew may get the inode of the old one.
            match self.watcher.watch(&directory, RecursiveMode::NonRecursive) {
                Err(_) if !directory.is_dir() => continue,
                result => result?,
            }
            watched.insert(directory, identity);
        }
        for (directory, _) in std::mem::replace(&mut self.watched, watched) {
            let _ = self.watcher.unwatch(&directory);
        }
        Ok(())
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

impl Ways {
    fn to(files: &[PathBuf], key_directories: &[PathBuf]) -> Self {
        let mut ways = Self::default();
        for file in files {
            // Without a working directory there is no way: the next poll tries again.
            if let Ok(file) = std::path::absolute(file) {
                ways.follow(&file);
            }
        }
        for directory in key_directories {
            // The way to any file in it is the way to them all.
            let any = std::path::absolute(directory.join("K"));
            let found = any.ok().and_then(|any| ways.follow(&any));
            ways.key_directories.extend(found);
        }
        ways
    }

    /// Whether an event may mean that a file changed. Reading is not one: `reload` itself reads.
    fn concern(&self, event: &notify::Event) -> bool {
        match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => (),
            EventKind::Access(_) => return false,
            _ => (),
        }
        let is_key = |path: &Path| {
            is_key_file(path) && path.parent().is_some_and(|above| self.key_directories.contains(above))
        };
        event.need_rescan()
            || event.paths.is_empty()
            || event.paths.iter().any(|path| self.names.contains(path) || is_key(path))
    }

    /// Walks from the root to the file, through symbolic links. The directory that the file is in, if the way
    /// leads so far.
    fn follow(&mut self, file: &Path) -> Option<PathBuf> {
        let mut directory = PathBuf::from("/");
        let mut ahead: Vec<OsString> = steps(file);
        let mut links = 0;
        while let Some(step) = ahead.pop() {
            if step == ".." {
                directory.pop();
                continue;
            }
            let next = directory.join(&step);
            self.names.insert(next.clone());
            match fs::read_link(&next) {
                Ok(target) if links < MAX_LINKS => {
                    links += 1;
                    self.directories.insert(directory.clone());
                    if target.is_absolute() {
                        directory = PathBuf::from("/");
                    }
                    ahead.extend(steps(&target));
                }
                Ok(_) => return None,
                Err(_) if ahead.is_empty() || !next.is_dir() => {
                    // The file, or where the way ends today.
                    if let Some(above) = directory.parent() {
                        self.directories.insert(above.to_owned());
                    }
                    self.directories.insert(directory.clone());
                    return ahead.is_empty().then_some(directory);
                }
                Err(_) => directory = next,
            }
        }
        None
    }
}

/// The components of a path, the last one first.
fn steps(path: &Path) -> Vec<OsString> {
    let named =
        path.components().rev().filter(|step| matches!(step, Component::Normal(_) | Component::ParentDir));
    named.map(|step| step.as_os_str().to_owned()).collect()
}

#[cfg(test)]
mod tests;
