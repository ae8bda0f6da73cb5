//! Directories of data files.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The modification time of every data file of a test, so that serial 0 is the same everywhere.
pub(crate) const MODIFIED: u64 = 1_700_000_000;

/// A directory that goes away with the value.
pub(crate) struct Directory(tempfile::TempDir);

impl Directory {
    /// An empty one, readable by everybody (some servers drop their privileges).
    pub(crate) fn new() -> Self {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::Builder::new().prefix("nibbl-test").tempdir().expect("a directory");
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).expect("permissions");
        Self(directory)
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file with the fixed modification time.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, content).expect("write");
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(MODIFIED);
        File::options().write(true).open(&path).and_then(|file| file.set_modified(time)).expect("mtime");
        path
    }
}
