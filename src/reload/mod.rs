//! Reads data files again when they changed, and keeps the old data on any error.
//!
//! ```text
//! files ──stamp──▶ changed? ──hash──▶ other content? ──load──▶ dataset ──every zone──▶ accept or keep
//!                     │ no                 │ no (touched)                                  │
//!                     ▼                    ▼                                               ▼
//!                  nothing           only the times                                one new snapshot
//! ```
//!
//! A dataset (type, files, options) is loaded once, however many zones name it. A zone takes all
//! its new datasets together or none: it stays as it is while one of them does not load, while it
//! is strict and there are errors, while too much changed at once (RFC 6471, section 3.2), or while
//! it is signed and could not be signed with them. Who
//! wants a look at the files (`watch`, SIGHUP, NOTIFY, `control`) only says so; what changed is
//! found out here. The world is behind [`Source`], so that all this is tested without files; the
//! thread that runs a [`Loader`] is in [`service`].

pub mod certificates;
pub mod cookies;
pub mod files;
pub mod keys;
pub mod report;
pub mod service;
pub mod signing;
pub mod source;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use certificates::{CertificateReport, Certificates};
pub use report::{Notice, Problem, Report, ZoneReport};
pub use source::{LoadError, Loaded, Source};

use crate::config::{Config, DatasetConfig, ZoneConfig};
use crate::name::Name;
use crate::zone::Status;
use crate::zone_file::diagnostic::Diagnostics;

/// How often a file that changes while it is read is read again before its dataset is given up
/// until the next look.
const TRIES: u32 = 3;

/// A reload that changes the number of entries by less than this is never refused.
const GUARD_FROM: u64 = 1000;

/// All datasets and zones, and what is known of them.
pub struct Loader<S: Source> {
    source: S,
    /// Each distinct dataset once.
    datasets: Vec<DatasetState<S>>,
    zones: Vec<ZoneState<S>>,
    access: Option<AccessState<S>>,
    /// Why the secrets of cookies are not those that their file holds.
    secrets_problem: Option<String>,
    generation: u64,
    /// When the files were looked at last.
    looked: SystemTime,
}

struct DatasetState<S: Source> {
    config: DatasetConfig,
    /// The last that loaded.
    loaded: Option<Arc<Loaded<S>>>,
    /// Why what the files hold now is not loaded.
    error: Option<LoadError>,
}

struct ZoneState<S: Source> {
    config: ZoneConfig,
    /// Its datasets, by their place in [`Loader::datasets`].
    datasets: Vec<usize>,
    /// The datasets that are served; empty if none ever was.
    served: Vec<Arc<Loaded<S>>>,
    /// When `served` was taken.
    loaded: SystemTime,
    problem: Option<Problem>,
    /// What there is to say of what was published, as a whole.
    findings: Vec<String>,
    /// What was published, and its status then.
    published: Option<(S::Zone, Status)>,
}

struct AccessState<S: Source> {
    dataset: usize,
    served: Option<Arc<Loaded<S>>>,
    problem: Option<String>,
}

/// Which zones are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// These zones; all where `None`.
    pub zones: Option<Vec<Name>>,
    /// Take what the guard against large changes refused.
    pub force: bool,
}

/// What came of a look at the files.
#[derive(Debug, Default)]
pub struct Round {
    /// A new snapshot was published.
    pub published: bool,
    /// What is wrong, or strange: only what is new since the last look.
    pub complaints: Vec<Notice>,
    /// What became of the zones that changed.
    pub news: Vec<Notice>,
}

impl Round {
    /// All that there is to say.
    pub fn notices(&self) -> impl Iterator<Item = &Notice> {
        self.complaints.iter().chain(&self.news)
    }
}

impl<S: Source> Loader<S> {
    /// A loader that has not loaded anything yet.
    pub fn new(source: S, config: &Config) -> Self {
        let mut datasets: Vec<DatasetState<S>> = Vec::new();
        let mut index_of = |config: &DatasetConfig| {
            datasets.iter().position(|known| known.config == *config).unwrap_or_else(|| {
                datasets.push(DatasetState { config: config.clone(), loaded: None, error: None });
                datasets.len() - 1
            })
        };
        let access = config.access.as_ref().map(|dataset| AccessState {
            dataset: index_of(dataset),
            served: None,
            problem: None,
        });
        let zones = config.zones.iter().map(|zone| ZoneState {
            datasets: zone.all_datasets().map(&mut index_of).collect(),
            config: zone.clone(),
            served: Vec::new(),
            loaded: UNIX_EPOCH,
            problem: None,
            findings: Vec::new(),
            published: None,
        });
        let zones = zones.collect();
        let (secrets_problem, looked) = (None, UNIX_EPOCH);
        Self { source, datasets, zones, access, secrets_problem, generation: 0, looked }
    }

    /// Looks at the files of the ordered zones, loads what changed, and publishes a new snapshot if
    /// that changes anything.
    pub fn look(&mut self, order: &Order, now: SystemTime) -> Round {
        let mut round = Round::default();
        self.looked = now;
        for index in self.ordered_datasets(order) {
            self.datasets[index].look(&self.source, now, &mut round);
        }
        let mut changed = self.generation == 0;
        changed |= self.source.look(order, &mut round);
        if let Some(access) = &mut self.access {
            changed |= access.take(&self.datasets[access.dataset], &mut round);
        }
        for zone in self.zones.iter_mut().filter(|zone| order.names(&zone.config.name)) {
            changed |= zone.take(&self.source, &self.datasets, order.force, now, &mut round);
            if zone.published.is_some() && self.source.has_changed(&zone.config) {
                round.news.push(Notice::of_zone(&zone.config.name, "its keys are read again".into()));
                zone.published = None;
            }
        }
        changed |= self.look_at_secrets(&mut round);
        self.publish(changed, now, &mut round);
        round
    }

    /// Publishes a new snapshot if data expired since the last one; looks at no file.
    pub fn expire(&mut self, now: SystemTime) -> Round {
        let mut round = Round::default();
        self.publish(false, now, &mut round);
        round
    }

    /// When data that is served now expires next.
    pub fn next_expiry(&self, now: SystemTime) -> Option<SystemTime> {
        let expiries = self.zones.iter().filter_map(ZoneState::expires);
        let times = expiries.filter_map(|expires| UNIX_EPOCH.checked_add(Duration::from_secs(expires)));
        times.filter(|&time| time > now).min()
    }

    /// The first of `names` that is no zone here.
    pub fn unknown<'n>(&self, names: &'n [Name]) -> Option<&'n Name> {
        names.iter().find(|&name| self.zones.iter().all(|zone| zone.config.name != *name))
    }

    /// How all zones are.
    pub fn report(&self) -> Report {
        Report {
            generation: self.generation,
            looked: seconds(self.looked),
            zones: self.zones.iter().map(|zone| zone.report(&self.source)).collect(),
            access_problem: {
                let problem = self.access.as_ref().and_then(|access| access.problem.clone());
                problem.or_else(|| self.source.problem())
            },
            secrets_problem: self.secrets_problem.clone(),
            certificates: Vec::new(),
        }
    }

    /// True if the secrets of cookies are others than before.
    fn look_at_secrets(&mut self, round: &mut Round) -> bool {
        let looked = self.source.look_at_secrets();
        let before = std::mem::replace(&mut self.secrets_problem, looked.as_ref().err().cloned());
        match &looked {
            Ok(true) => round.news.push("the secrets of cookies are read again".to_owned().into()),
            Ok(false) if before.is_some() => {
                round.news.push("the file of cookies' secrets is again as they are".to_owned().into());
            }
            Err(error) if before.as_ref() != Some(error) => {
                round.complaints.push(format!("the secrets of cookies stay: {error}").into());
            }
            Ok(false) | Err(_) => {}
        }
        looked == Ok(true)
    }

    fn ordered_datasets(&self, order: &Order) -> Vec<usize> {
        let zones = self.zones.iter().filter(|zone| order.names(&zone.config.name));
        let access = self.access.iter().map(|access| access.dataset);
        let mut indices: Vec<usize> =
            access.chain(zones.flat_map(|zone| zone.datasets.iter().copied())).collect();
        indices.sort_unstable();
        indices.dedup();
        indices
    }

    fn publish(&mut self, mut changed: bool, now: SystemTime, round: &mut Round) {
        let open = self.access.as_ref().is_none_or(|access| access.served.is_some());
        for zone in &mut self.zones {
            let status = zone.status(now, open);
            let before = zone.published.as_ref().map(|(_, status)| *status);
            if before == Some(status) {
                continue;
            }
            if status == Status::Expired {
                round.complaints.push(Notice::of_zone(&zone.config.name, "the data has expired".into()));
            }
            let mut findings = Diagnostics::default();
            let datasets = if status == Status::NeverLoaded { &[] } else { &zone.served[..] };
            let served = self.source.zone(&zone.config, datasets, status, &mut findings);
            let findings: Vec<_> = findings.kept().iter().map(|finding| finding.to_string()).collect();
            let new = findings.iter().filter(|finding| !zone.findings.contains(finding));
            round.complaints.extend(new.cloned().map(Notice::from));
            zone.findings = findings;
            zone.published = Some((served, status));
            changed = true;
        }
        if changed {
            let zones = self.zones.iter().filter_map(|zone| zone.published.as_ref());
            let access = self.access.as_ref().and_then(|access| access.served.as_ref());
            self.source.publish(zones.map(|(zone, _)| zone.clone()).collect(), access);
            self.generation += 1;
            round.published = true;
        }
        self.source.prepare(now);
    }
}

impl Order {
    fn names(&self, zone: &Name) -> bool {
        self.zones.as_ref().is_none_or(|zones| zones.contains(zone))
    }
}

impl<S: Source> DatasetState<S> {
    fn look(&mut self, source: &S, now: SystemTime, round: &mut Round) {
        if self.error.is_none() && self.loaded.as_ref().is_some_and(|loaded| self.is_current(loaded, source))
        {
            return;
        }
        if let Some(touched) = self.touched(source) {
            self.loaded = Some(Arc::new(touched));
            self.error = None;
            return;
        }
        let mut diagnostics = Diagnostics::default();
        let mut result = self.load(source, now, &mut diagnostics);
        for _ in 1..TRIES {
            if !matches!(result, Err(LoadError::Changed(_))) {
                break;
            }
            diagnostics = Diagnostics::default();
            result = self.load(source, now, &mut diagnostics);
        }
        let is_news = match &result {
            Ok(_) => true,
            Err(error) => self.error.as_ref() != Some(error),
        };
        if is_news {
            round.complaints.extend(diagnostics.kept().iter().map(|finding| finding.to_string().into()));
        }
        match result {
            Ok(loaded) => {
                self.loaded = Some(Arc::new(loaded));
                self.error = None;
            }
            Err(error) => self.error = Some(error),
        }
    }

    /// What panics is bad data: it costs itself, and not the answers from the data before it.
    fn load(
        &self,
        source: &S,
        now: SystemTime,
        diagnostics: &mut Diagnostics,
    ) -> Result<Loaded<S>, LoadError> {
        catch_unwind(AssertUnwindSafe(|| source.load(&self.config, now, diagnostics)))
            .unwrap_or_else(|_| Err(LoadError::Failed(format!("{}: reading it panicked", self.config))))
    }

    fn is_current(&self, loaded: &Loaded<S>, source: &S) -> bool {
        let mut files = self.config.files.iter().zip(&loaded.files);
        files.all(|(file, (stamp, _))| source.stamp(file).is_ok_and(|now| now == *stamp))
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

    /// What the files hold now.
    fn current(&self) -> Result<&Arc<Loaded<S>>, String> {
        match (&self.error, &self.loaded) {
            (Some(error), _) => Err(error.to_string()),
            (None, Some(loaded)) => Ok(loaded),
            (None, None) => Err(format!("{}: not looked at yet", self.config)),
        }
    }
}

impl<S: Source> ZoneState<S> {
    /// Takes the new datasets if there are any and nothing speaks against them; true if it did.
    fn take(
        &mut self,
        source: &S,
        datasets: &[DatasetState<S>],
        force: bool,
        now: SystemTime,
        round: &mut Round,
    ) -> bool {
        let offered = self.offered(source, datasets, force);
        let problem = offered.as_ref().err().cloned();
        let name = &self.config.name;
        if let Some(problem) = problem.as_ref().filter(|&problem| self.problem.as_ref() != Some(problem)) {
            let keeps = if self.served.is_empty() { "has no data" } else { "keeps its old data" };
            round.complaints.push(Notice::of_zone(name, format!("{keeps}: {problem}")));
        }
        let recovered = self.problem.is_some() && problem.is_none();
        self.problem = problem;
        let Ok(offered) = offered else { return false };
        let is_same_data = same_data(&offered, &self.served);
        if is_same_data && recovered {
            round.news.push(Notice::of_zone(name, "its files are again as they are served".into()));
        }
        if same(&offered, &self.served) {
            return false;
        }
        let before = std::mem::replace(&mut self.served, offered);
        self.loaded = now;
        self.published = None;
        if before.is_empty() {
            round.news.push(Notice::of_zone(name, format!("{} entries", entries(&self.served))));
        } else if !is_same_data {
            let (old, new) = (entries(&before), entries(&self.served));
            round.news.push(Notice::of_zone(name, format!("{new} entries, before {old}")));
        }
        true
    }

    /// All datasets as the files hold them now, or what speaks against them.
    fn offered(
        &self,
        source: &S,
        datasets: &[DatasetState<S>],
        force: bool,
    ) -> Result<Vec<Arc<Loaded<S>>>, Problem> {
        let offered: Result<Vec<_>, String> =
            self.datasets.iter().map(|&index| datasets[index].current().cloned()).collect();
        let offered = offered.map_err(|message| Problem::Unloaded { message })?;
        if same(&offered, &self.served) {
            return Ok(offered);
        }
        let errors = offered.iter().map(|loaded| loaded.errors).sum();
        if self.config.strict && errors > 0 {
            return Err(Problem::Strict { errors });
        }
        let (new, old) = (entries(&offered), entries(&self.served));
        let is_guarded = !self.served.is_empty() && !force;
        if is_guarded && self.config.max_change.is_some_and(|percent| too_many(old, new, percent)) {
            return Err(Problem::Guarded { zone: self.config.name.to_string(), entries: new, served: old });
        }
        if self.served.is_empty() {
            // Nothing is lost: the zone itself says why it cannot be signed.
            return Ok(offered);
        }
        match source.obstacle(&self.config, &offered) {
            Some(message) => Err(Problem::Unsignable { message }),
            None => Ok(offered),
        }
    }

    fn expires(&self) -> Option<u64> {
        self.served.iter().filter_map(|loaded| loaded.expires).min()
    }

    /// `open` is false while the server's access list was never loaded: then nobody gets anything.
    fn status(&self, now: SystemTime, open: bool) -> Status {
        let now = seconds(now);
        if self.served.is_empty() || !open {
            Status::NeverLoaded
        } else if self.expires().is_some_and(|expires| expires <= now) {
            Status::Expired
        } else {
            Status::Serving
        }
    }

    fn report(&self, source: &S) -> ZoneReport {
        let status = match &self.published {
            Some((zone, Status::Serving)) if source.is_unsigned(zone) => Status::Unsigned,
            Some((_, status)) => *status,
            None => Status::NeverLoaded,
        };
        ZoneReport {
            name: self.config.name.to_string(),
            status,
            entries: entries(&self.served),
            errors: self.served.iter().map(|loaded| loaded.errors).sum(),
            warnings: self.served.iter().map(|loaded| loaded.warnings).sum(),
            modified: self.served.iter().map(|loaded| loaded.modified).max().unwrap_or(0),
            loaded: seconds(self.loaded),
            expires: self.expires(),
            max_age: self.config.max_age.map(u64::from),
            problem: self.problem.clone(),
            keys_problem: source.keys_problem(&self.config),
            findings: self.findings.clone(),
        }
    }
}

impl<S: Source> AccessState<S> {
    fn take(&mut self, dataset: &DatasetState<S>, round: &mut Round) -> bool {
        let offered = dataset.current();
        let problem = offered.as_ref().err().cloned();
        if let Some(problem) = problem.as_ref().filter(|&problem| self.problem.as_ref() != Some(problem)) {
            let keeps =
                if self.served.is_some() { "is kept as it was" } else { "is missing: no zone is served" };
            round.complaints.push(format!("the server's access list {keeps}: {problem}").into());
        }
        self.problem = problem;
        match (offered, &self.served) {
            (Ok(new), Some(old)) if Arc::ptr_eq(new, old) => false,
            (Ok(new), _) => {
                self.served = Some(new.clone());
                true
            }
            (Err(_), _) => false,
        }
    }
}

/// Seconds since 1970.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn same<S: Source>(one: &[Arc<Loaded<S>>], other: &[Arc<Loaded<S>>]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| Arc::ptr_eq(one, other))
}

/// Equal, perhaps with other modification times.
fn same_data<S: Source>(one: &[Arc<Loaded<S>>], other: &[Arc<Loaded<S>>]) -> bool {
    let same = |(one, other): (&Arc<Loaded<S>>, &Arc<Loaded<S>>)| Arc::ptr_eq(&one.dataset, &other.dataset);
    one.len() == other.len() && one.iter().zip(other).all(same)
}

fn entries<S: Source>(datasets: &[Arc<Loaded<S>>]) -> u64 {
    datasets.iter().map(|loaded| loaded.entries).sum()
}

/// RFC 6471, section 3.2: the change is larger than `percent` of what is served, and not small.
fn too_many(old: u64, new: u64, percent: u32) -> bool {
    let change = old.abs_diff(new);
    change >= GUARD_FROM && u128::from(change) * 100 > u128::from(old) * u128::from(percent)
}

#[cfg(test)]
mod tests;
