//! One dataset of the [`Loader`](super::Loader), however many zones name it: what its files held when
//! they were read last, and whether they are to be read again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::SystemTime;

use super::{LoadError, Loaded, Notice, Round, Source};
use crate::config::DatasetConfig;
use crate::zone_file::diagnostic::Diagnostics;

/// How often a file that changes while it is read is read again before its dataset is given up
/// until the next look.
pub(super) const TRIES: u32 = 3;

/// A dataset, and what is known of it.
pub(super) struct DatasetState<S: Source> {
    /// Its files, and how they are read.
    pub(super) config: DatasetConfig,
    /// The last that loaded.
    pub(super) loaded: Option<Arc<Loaded<S>>>,
    failed: Option<Failed<S>>,
}

/// Why what the files hold now is not loaded.
struct Failed<S: Source> {
    error: LoadError,
    /// How the files were, if loading them so again would fail again.
    stamps: Option<Vec<S::Stamp>>,
}

impl<S: Source> DatasetState<S> {
    /// A dataset that was not looked at yet.
    pub(super) fn new(config: DatasetConfig) -> Self {
        Self { config, loaded: None, failed: None }
    }

    /// Loads the files if they changed. What failed for what the files hold is tried again only then, or if
    /// `again` says so; what failed for any other reason, always.
    pub(super) fn look(&mut self, source: &S, again: bool, now: SystemTime, round: &mut Round) {
        if self.is_known(source, again) {
            return;
        }
        if let Some(touched) = self.touched(source) {
            self.loaded = Some(Arc::new(touched));
            self.failed = None;
            return;
        }
        self.drop_refused();
        let mut tries = 0;
        let (stamps, diagnostics, result) = loop {
            tries += 1;
            // The stamps are taken first: if a file changes after them, the next look sees that.
            let stamps = self.config.files.iter().map(|file| source.stamp(file));
            let stamps: Result<Vec<_>, _> = stamps.collect();
            let mut diagnostics = Diagnostics::default();
            let result = self.load(source, now, &mut diagnostics);
            if tries == TRIES || !matches!(result, Err(LoadError::Changed(_))) {
                break (stamps, diagnostics, result);
            }
        };
        let is_news = match &result {
            Ok(_) => true,
            Err(error) => self.failed.as_ref().is_none_or(|failed| failed.error != *error),
        };
        if is_news {
            round.complaints.extend(diagnostics.lines().map(Notice::from));
        }
        match result {
            Ok(loaded) => {
                self.loaded = Some(Arc::new(loaded));
                self.failed = None;
            }
            Err(error) => {
                let is_lasting = matches!(error, LoadError::Content(_));
                self.failed = Some(Failed { error, stamps: stamps.ok().filter(|_| is_lasting) });
            }
        }
    }

    /// What the files hold now.
    pub(super) fn current(&self) -> Result<&Arc<Loaded<S>>, String> {
        match (&self.failed, &self.loaded) {
            (Some(failed), _) => Err(failed.error.to_string()),
            (None, Some(loaded)) => Ok(loaded),
            (None, None) => Err(format!("{}: not looked at yet", self.config)),
        }
    }

    /// True if the files are as they were when they were loaded, or could not be.
    fn is_known(&self, source: &S, again: bool) -> bool {
        match (&self.failed, &self.loaded) {
            (Some(Failed { stamps: Some(stamps), .. }), _) => !again && self.are(stamps.iter(), source),
            (None, Some(loaded)) => self.are(loaded.files.iter().map(|(stamp, _)| stamp), source),
            _ => false,
        }
    }

    fn are<'s>(&self, stamps: impl Iterator<Item = &'s S::Stamp>, source: &S) -> bool
    where
        S::Stamp: 's,
    {
        let mut files = self.config.files.iter().zip(stamps);
        files.all(|(file, stamp)| source.stamp(file).is_ok_and(|now| now == *stamp))
    }

    /// The loaded dataset with new times, if the files still hold what was loaded.
    fn touched(&self, source: &S) -> Option<Loaded<S>> {
        let loaded = self.loaded.as_ref()?;
        let mut files = Vec::with_capacity(loaded.files.len());
        for (file, (_, hash)) in self.config.files.iter().zip(&loaded.files) {
            // The stamp is taken first: if the file changes after it, the next look sees that.
            let stamp = source.stamp(file).ok()?;
            if source.hash(file).ok()? != *hash {
                return None;
            }
            files.push((stamp, *hash));
        }
        let modified = files.iter().map(|(stamp, _)| source.modified(stamp)).max();
        let modified = modified.unwrap_or(loaded.modified);
        let dataset = loaded.dataset.clone();
        let Loaded { entries, expires, errors, warnings, .. } = **loaded;
        Some(Loaded { dataset, files, modified, entries, expires, errors, warnings })
    }

    /// Frees what every zone refused, so that it does not stand in memory beside what is served and
    /// what is loaded in its place.
    fn drop_refused(&mut self) {
        let is_refused = |loaded: &mut Arc<Loaded<S>>| {
            Arc::strong_count(loaded) == 1 && Arc::strong_count(&loaded.dataset) == 1
        };
        self.loaded.take_if(is_refused);
    }

    /// What panics is bad data: it costs itself, and not the answers from the data before it.
    fn load(
        &self,
        source: &S,
        now: SystemTime,
        diagnostics: &mut Diagnostics,
    ) -> Result<Loaded<S>, LoadError> {
        catch_unwind(AssertUnwindSafe(|| source.load(&self.config, now, diagnostics)))
            .unwrap_or_else(|_| Err(LoadError::Content(format!("{}: reading it panicked", self.config))))
    }
}
