//! The [`Source`] of production: data files of the file system, compiled by `dataset`, put together
//! by `zone` and handed to whoever serves snapshots.

use std::cell::RefCell;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::cookies::CookieSecrets;
use super::keys::Keys;
use super::signing::Signers;
use super::{LoadError, Loaded, Order, Round, Source};
use crate::answer;
use crate::config::{DatasetConfig, ZoneConfig};
use crate::data_file::{DataFile, Limits, Stamp};
use crate::dataset::Dataset;
use crate::snapshot::{Settings, Snapshot};
use crate::zone::{RangesOptions, Status, Zone, ZoneOptions};
use crate::zone_file::diagnostic::Diagnostics;
use crate::zone_file::{Failure, Parser};

/// Data files, and where snapshots go.
pub struct Files<P> {
    settings: Settings,
    publish: P,
    /// Told how many octets of text were read since the last call.
    progress: Box<dyn Fn(u64) + Send>,
    /// What was published last: what its zones have made of data that stay is kept.
    published: RefCell<Option<Arc<Snapshot>>>,
    signers: Signers,
    keys: Keys,
    cookies: Option<CookieSecrets>,
}

impl<P: Fn(Arc<Snapshot>)> Files<P> {
    /// Snapshots are made with `settings` and given to `publish`.
    pub fn new(settings: Settings, publish: P) -> Self {
        Self {
            settings,
            publish,
            progress: Box::new(|_| ()),
            published: RefCell::default(),
            signers: Signers::new(0),
            keys: Keys::none(),
            cookies: None,
        }
    }

    /// Tells `progress`, while files are read, how many octets of text came since the last call.
    pub fn with_progress(self, progress: impl Fn(u64) + Send + 'static) -> Self {
        Self { progress: Box::new(progress), ..self }
    }

    /// Keeps signatures in so many octets of memory.
    pub fn with_signatures(self, octets: usize) -> Self {
        Self { signers: Signers::new(octets), ..self }
    }

    /// With rules for who may ask how much.
    pub fn with_keys(self, keys: Keys) -> Self {
        Self { keys, ..self }
    }

    /// Snapshots make cookies with these secrets.
    pub fn with_cookies(self, cookies: Option<CookieSecrets>) -> Self {
        Self { cookies, ..self }
    }

    /// The zone that datasets make, before it is signed.
    fn assembled(
        config: &ZoneConfig,
        datasets: &[Arc<Loaded<Self>>],
        status: Status,
        diagnostics: &mut Diagnostics,
    ) -> Zone {
        let options = ZoneOptions {
            dropin: config.dropin,
            default_ttl: config.read.ttl.default,
            negative_ttl: config.negative_ttl,
            test_value: config.test_entries.then_some(config.test_value),
            six_to_four: config.sixtofour,
            ranges: config.ranges.then(|| RangesOptions {
                block_bytes: config.block_bytes.into(),
                ttl: config.ranges_ttl.unwrap_or(config.read.ttl.default),
                clients: config.ranges_clients.clone(),
            }),
            delegations: config.delegations.clone(),
        };
        let datasets_of_zone = datasets.iter().map(|loaded| loaded.dataset.clone()).collect();
        Zone::new(config.name.clone(), datasets_of_zone, modified(datasets), status, options, diagnostics)
    }

    /// Reads the files of a dataset.
    fn read(
        &self,
        config: &DatasetConfig,
        now: SystemTime,
        diagnostics: &mut Diagnostics,
    ) -> Result<(Dataset, Vec<(Stamp, u64)>), LoadError> {
        let options = config.read.options(now);
        let limits = Limits { decompress: options.decompress, ..Limits::default() };
        // What cannot be told, or is compressed, is only less.
        let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |file| file.len());
        let octets = config.files.iter().map(size).sum();
        let mut parser = Parser::new(config.kind, &options).expecting(octets);
        let mut files = Vec::with_capacity(config.files.len());
        for path in &config.files {
            let mut file = DataFile::open(path, &limits).map_err(|error| failed(path, &error))?;
            let stamp = file.stamp();
            let mut text = Counting { text: &mut file, progress: &self.progress };
            let parsed = parser.file(path, stamp.modified, &mut text);
            parsed.map_err(unread)?;
            let hash = file.finish().map_err(|_| LoadError::Changed(path.display().to_string()))?;
            files.push((stamp, hash));
        }
        let (parsed, findings) = parser.finish();
        diagnostics.append(findings);
        let paths: Vec<Arc<PathBuf>> = config.files.iter().cloned().map(Arc::new).collect();
        let dataset = Dataset::compile(parsed, &paths, options.default_ttl, diagnostics)
            .map_err(|error| LoadError::Content(format!("{config}: {error}")))?;
        Ok((dataset, files))
    }
}

impl<P: Fn(Arc<Snapshot>)> Source for Files<P> {
    type Stamp = Stamp;
    type Dataset = Dataset;
    type Zone = Arc<Zone>;

    fn stamp(&self, file: &Path) -> io::Result<Stamp> {
        Stamp::of(file)
    }

    fn modified(&self, stamp: &Stamp) -> u64 {
        stamp.modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    fn hash(&self, file: &Path) -> io::Result<u64> {
        DataFile::open(file, &Limits::default())?.finish()
    }

    fn load(
        &self,
        config: &DatasetConfig,
        now: SystemTime,
        diagnostics: &mut Diagnostics,
    ) -> Result<Loaded<Self>, LoadError> {
        let (dataset, files) = self.read(config, now, diagnostics)?;
        Ok(Loaded {
            modified: files.iter().map(|(stamp, _)| self.modified(stamp)).max().unwrap_or(0),
            entries: dataset.summary.entries,
            expires: dataset.expires,
            errors: diagnostics.errors(),
            warnings: diagnostics.warnings(),
            dataset: Arc::new(dataset),
            files,
        })
    }

    fn zone(
        &self,
        config: &ZoneConfig,
        datasets: &[Arc<Loaded<Self>>],
        status: Status,
        diagnostics: &mut Diagnostics,
    ) -> Arc<Zone> {
        let zone = Self::assembled(config, datasets, status, diagnostics);
        let published = self.published.borrow();
        let zones = published.as_ref().map_or(&[][..], |snapshot| snapshot.zones());
        let before = zones.iter().find(|zone| *zone.name() == config.name);
        let zone = zone.with_ranges(before.map(|zone| &**zone), diagnostics);
        let signing = self.signers.signing(config, &zone, diagnostics);
        let stale_from = config.max_age.map(|age| modified(datasets).saturating_add(age.into()));
        let stale_from = stale_from.map(|time| u32::try_from(time).unwrap_or(u32::MAX));
        Arc::new(zone.with_signing(signing).stale_from(stale_from))
    }

    fn obstacle(&self, config: &ZoneConfig, datasets: &[Arc<Loaded<Self>>]) -> Option<String> {
        config.signing.as_ref()?;
        let zone = Self::assembled(config, datasets, Status::Serving, &mut Diagnostics::default());
        let obstacles = self.signers.obstacles(&zone);
        (!obstacles.is_empty()).then(|| obstacles.join("; "))
    }

    fn has_changed(&self, config: &ZoneConfig) -> bool {
        self.signers.have_changed(config)
    }

    fn look(&self, order: &Order, round: &mut Round) -> bool {
        self.keys.look(order, round)
    }

    fn problem(&self) -> Option<String> {
        self.keys.problem()
    }

    fn is_unsigned(&self, zone: &Arc<Zone>) -> bool {
        zone.status() == Status::Unsigned
    }

    fn keys_problem(&self, config: &ZoneConfig) -> Option<String> {
        self.signers.problem(&config.name)
    }

    fn look_at_secrets(&self) -> Result<bool, String> {
        let looked = self.cookies.as_ref().map_or(Ok(false), CookieSecrets::look);
        looked.map_err(|error| error.to_string())
    }

    fn prepare(&self, now: SystemTime) {
        if let Some(snapshot) = &*self.published.borrow() {
            let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as u32);
            answer::sign_ahead_of_keys(snapshot, now);
        }
    }

    fn publish(&self, zones: Vec<Arc<Zone>>, access: Option<&Arc<Loaded<Self>>>) {
        let access = access.map(|loaded| loaded.dataset.clone());
        let cookies = self.cookies.as_ref().map(CookieSecrets::current);
        let settings = Settings { cookies, ..self.settings.clone() };
        let snapshot = Snapshot::new(zones, settings, access);
        let snapshot = Arc::new(snapshot.with_gate(self.keys.policy(), self.keys.table().as_ref()));
        self.published.replace(Some(snapshot.clone()));
        (self.publish)(snapshot);
    }
}

/// The newest modification time of the files of a zone, in seconds since 1970.
fn modified<S: Source>(datasets: &[Arc<Loaded<S>>]) -> u64 {
    datasets.iter().map(|loaded| loaded.modified).max().unwrap_or(0)
}

fn failed(path: &Path, error: &io::Error) -> LoadError {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            ", or outside of what the confined process may read (`read` in `[process]`)"
        }
        _ => "",
    };
    LoadError::Failed(format!("{}: {error}{hint}", path.display()))
}

/// Whose fault it is that a file was not read to its end.
fn unread(failure: Failure) -> LoadError {
    let is_content = match &failure {
        // What has no number of the system's is a decoder's, or a limit's.
        Failure::Io { source, .. } => source.raw_os_error().is_none(),
        Failure::Line(_) => true,
        Failure::Early(_) => false,
    };
    let kind = if is_content { LoadError::Content } else { LoadError::Failed };
    kind(failure.to_string())
}

/// Text that counts as it is read.
struct Counting<'a, R> {
    text: &'a mut R,
    progress: &'a dyn Fn(u64),
}

impl<R: Read> Read for Counting<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.text.read(buffer)?;
        (self.progress)(count as u64);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::config::{Config, spec};

    #[test]
    fn what_time_may_mend_is_told_from_what_only_other_files_do() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("list");
        let mut config = Config::default();
        let spec = spec::zone_spec("bl:combined:list").unwrap();
        config.add(spec, directory.path(), &ZoneConfig::new).unwrap();
        let files = Files::new(Settings::default(), |_: Arc<Snapshot>| ());
        let load = || {
            let dataset = config.datasets().next().unwrap();
            files.load(dataset, UNIX_EPOCH, &mut Diagnostics::default()).map(|loaded| loaded.entries)
        };
        let is_content = |result| matches!(result, Err(LoadError::Content(_)));
        let may_pass = |result| matches!(result, Err(LoadError::Failed(_)));
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        let good = b"$DATASET ip4set @\n192.0.2.1\n";
        gzip.write_all(good).unwrap();
        let gzip = gzip.finish().unwrap();

        assert!(may_pass(load()), "there is no file");
        std::fs::create_dir(&file).unwrap();
        assert!(may_pass(load()), "it cannot be opened");
        std::fs::remove_dir(&file).unwrap();
        std::fs::write(&file, "$TIMESTAMP 2001-01-01\n").unwrap();
        assert!(may_pass(load()), "it is early");
        std::fs::write(&file, "192.0.2.1\n").unwrap();
        assert!(is_content(load()), "the line belongs to no section");
        std::fs::write(&file, &gzip[..gzip.len() - 3]).unwrap();
        assert!(is_content(load()), "its end is missing");
        for good in [&good[..], &gzip] {
            std::fs::write(&file, good).unwrap();
            assert_eq!(load(), Ok(1));
        }
    }
}
