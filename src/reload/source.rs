//! What [`Loader`](super::Loader) needs from the world: files that can be stamped, hashed and read,
//! and a place to publish zones. In the server it is the file system and the snapshot that queries
//! are answered from; in tests it is a few values.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::{Order, Round};
use crate::config::{DatasetConfig, ZoneConfig};
use crate::zone::Status;
use crate::zone_file::diagnostic::Diagnostics;

/// Files in, zones out.
pub trait Source {
    /// What tells one state of a file from another without reading it.
    type Stamp: Clone + PartialEq;
    /// A compiled dataset.
    type Dataset;
    /// A zone as it is served; cheap to clone.
    type Zone: Clone;

    /// The state of a file.
    ///
    /// # Errors
    /// When the system does not tell.
    fn stamp(&self, file: &Path) -> io::Result<Self::Stamp>;

    /// The modification time in a stamp, in seconds since 1970.
    fn modified(&self, stamp: &Self::Stamp) -> u64;

    /// A hash of a file's octets as they are stored.
    ///
    /// # Errors
    /// When the file cannot be read.
    fn hash(&self, file: &Path) -> io::Result<u64>;

    /// Reads and compiles a dataset. Its findings go to `diagnostics`, also when it fails.
    ///
    /// # Errors
    /// See [`LoadError`].
    fn load(
        &self,
        dataset: &DatasetConfig,
        now: SystemTime,
        diagnostics: &mut Diagnostics,
    ) -> Result<Loaded<Self>, LoadError>;

    /// Makes the zone that is served: of `datasets`, in the order of
    /// [`ZoneConfig::all_datasets`], or of nothing if it was never loaded. Findings about the zone
    /// as a whole go to `diagnostics`.
    fn zone(
        &self,
        config: &ZoneConfig,
        datasets: &[Arc<Loaded<Self>>],
        status: Status,
        diagnostics: &mut Diagnostics,
    ) -> Self::Zone;

    /// Why these datasets cannot be served as the zone, though each of them is right: what a signed zone cannot have.
    fn obstacle(&self, _config: &ZoneConfig, _datasets: &[Arc<Loaded<Self>>]) -> Option<String> {
        None
    }

    /// True if what a zone is made of besides its datasets, the keys of a signed one, is not as it was when
    /// [`Self::zone`] made it.
    fn has_changed(&self, _config: &ZoneConfig) -> bool {
        false
    }

    /// Looks at what belongs to no zone, the access keys; true if it is not as it was. What there is to say
    /// goes to `round`.
    fn look(&self, _order: &Order, _round: &mut Round) -> bool {
        false
    }

    /// Why what [`Self::look`] looks at is not served as the files hold it.
    fn problem(&self) -> Option<String> {
        None
    }

    /// True if a zone that has data cannot be signed as it is to be.
    fn is_unsigned(&self, _zone: &Self::Zone) -> bool {
        false
    }

    /// Why a zone is not signed with the keys that its files hold.
    fn keys_problem(&self, _config: &ZoneConfig) -> Option<String> {
        None
    }

    /// True if the secrets that all zones share are not those that were published last.
    ///
    /// # Errors
    /// What is there now cannot be used: they stay.
    fn look_at_secrets(&self) -> Result<bool, String> {
        Ok(false)
    }

    /// Makes ready what published zones need soon. Called about every minute.
    fn prepare(&self, _now: SystemTime) {}

    /// Serves these zones (in the order of the configuration), and no others, from now on.
    fn publish(&self, zones: Vec<Self::Zone>, access: Option<&Arc<Loaded<Self>>>);
}

/// A dataset that was read and compiled.
#[derive(Debug)]
pub struct Loaded<S: Source + ?Sized> {
    /// The compiled dataset.
    pub dataset: Arc<S::Dataset>,
    /// Each file as it was when it was read, with the hash of what was read.
    pub files: Vec<(S::Stamp, u64)>,
    /// The newest modification time of the files, in seconds since 1970. It may be later than the
    /// dataset's own: touching a file does not compile it again.
    pub modified: u64,
    /// Entries read, exceptions included.
    pub entries: u64,
    /// `$TIMESTAMP`'s expiry, in seconds since 1970.
    pub expires: Option<u64>,
    /// Lines that were skipped.
    pub errors: u64,
    /// Warnings.
    pub warnings: u64,
}

/// Why a dataset was not loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// A file changed while it was read: reading again may help.
    #[error("{0}: keeps changing while it is read")]
    Changed(String),
    /// What the files hold cannot be loaded, with the place: only other files help.
    #[error("{0}")]
    Content(String),
    /// Anything else, with its place: the same files may load at another time.
    #[error("{0}")]
    Failed(String),
}
