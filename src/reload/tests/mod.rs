//! What is served after what happened to files: the cases by name, and random `histories` of them.

mod histories;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Weak;

use super::dataset::TRIES;
use super::*;
use crate::config::spec;
use crate::zone_file::diagnostic::Severity;

/// A file of the fake world.
#[derive(Clone, Debug, PartialEq)]
struct FakeFile {
    /// Stands for its octets.
    content: Content,
    /// Counts changes, as the modification time does.
    stamp: u64,
    /// How many of the next reads find that it changed meanwhile.
    unsteady: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Content {
    /// So many entries and skipped lines; the last number tells lists of one size apart.
    List { entries: u64, errors: u64, variant: u8 },
    /// Nothing that loads.
    Garbage,
    /// What nobody thought of.
    Trap,
}

/// What is served of a zone: its status and the contents of its files.
type Served = (Status, Vec<Content>);

#[derive(Default)]
struct World {
    files: RefCell<HashMap<PathBuf, FakeFile>>,
    clock: Cell<u64>,
    loads: Cell<u32>,
    expires: Cell<Option<u64>>,
    published: RefCell<Vec<(String, Served)>>,
    access: RefCell<Option<Vec<Content>>>,
    publications: Cell<u32>,
    /// A dataset that is not to be in memory while another is loaded.
    refused: RefCell<Weak<Vec<Content>>>,
}

impl World {
    fn write(&self, file: &str, content: Content) {
        self.clock.set(self.clock.get() + 1);
        let file_now = FakeFile { content, stamp: self.clock.get(), unsteady: 0 };
        self.files.borrow_mut().insert(file.into(), file_now);
    }

    fn change(&self, file: &str, change: impl FnOnce(&mut FakeFile)) {
        self.clock.set(self.clock.get() + 1);
        if let Some(file) = self.files.borrow_mut().get_mut(Path::new(file)) {
            file.stamp = self.clock.get();
            change(file);
        }
    }

    fn list(&self, file: &str, entries: u64) {
        self.write(file, Content::List { entries, errors: 0, variant: 0 });
    }

    fn served(&self, zone: &str) -> Served {
        let published = self.published.borrow();
        published.iter().find(|(name, _)| name == zone).map(|(_, served)| served.clone()).unwrap()
    }
}

impl Source for Rc<World> {
    type Stamp = u64;
    type Dataset = Vec<Content>;
    type Zone = (String, Served);

    fn stamp(&self, file: &Path) -> io::Result<u64> {
        self.files.borrow().get(file).map(|file| file.stamp).ok_or(io::ErrorKind::NotFound.into())
    }

    fn modified(&self, stamp: &u64) -> u64 {
        *stamp
    }

    fn hash(&self, file: &Path) -> io::Result<u64> {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let files = self.files.borrow();
        let file = files.get(file).ok_or(io::ErrorKind::NotFound)?;
        let mut hasher = DefaultHasher::new();
        file.content.hash(&mut hasher);
        Ok(hasher.finish())
    }

    fn load(
        &self,
        dataset: &DatasetConfig,
        _now: SystemTime,
        diagnostics: &mut Diagnostics,
    ) -> Result<Loaded<Self>, LoadError> {
        self.loads.set(self.loads.get() + 1);
        assert_eq!(self.refused.borrow().strong_count(), 0, "nobody needs it any more");
        let (mut contents, mut files, mut all_entries, mut all_errors) = (Vec::new(), Vec::new(), 0, 0);
        for path in &dataset.files {
            let stamp = self.stamp(path).map_err(|error| LoadError::Failed(error.to_string()))?;
            let hash = self.hash(path).map_err(|error| LoadError::Failed(error.to_string()))?;
            files.push((stamp, hash));
            let mut world = self.files.borrow_mut();
            let file = world.get_mut(path).unwrap();
            if file.unsteady > 0 {
                file.unsteady -= 1;
                return Err(LoadError::Changed(path.display().to_string()));
            }
            match file.content {
                Content::List { entries, errors, .. } => {
                    all_entries += entries;
                    all_errors += errors;
                    (0..errors).for_each(|_| diagnostics.push_plain(Severity::Error, "a bad line".into()));
                    contents.push(file.content.clone());
                }
                Content::Garbage => return Err(LoadError::Content(format!("{}: garbage", path.display()))),
                Content::Trap => panic!("a trap"),
            }
        }
        let modified = files.iter().map(|(stamp, _)| *stamp).max().unwrap();
        Ok(Loaded {
            dataset: Arc::new(contents),
            files,
            modified,
            entries: all_entries,
            expires: self.expires.get(),
            errors: all_errors,
            warnings: 0,
        })
    }

    fn zone(
        &self,
        config: &ZoneConfig,
        datasets: &[Arc<Loaded<Self>>],
        status: Status,
        _diagnostics: &mut Diagnostics,
    ) -> Self::Zone {
        let contents = datasets.iter().flat_map(|loaded| loaded.dataset.iter().cloned()).collect();
        (config.name.to_string(), (status, contents))
    }

    fn publish(&self, zones: Vec<Self::Zone>, access: Option<&Arc<Loaded<Self>>>) {
        *self.published.borrow_mut() = zones;
        *self.access.borrow_mut() = access.map(|loaded| loaded.dataset.to_vec());
        self.publications.set(self.publications.get() + 1);
    }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn config(specs: &[&str], change: impl Fn(&mut ZoneConfig)) -> Config {
    let mut config = Config::default();
    for text in specs {
        let spec = spec::zone_spec(text).unwrap();
        config.add(spec, Path::new(""), &ZoneConfig::new).unwrap();
    }
    config.zones.iter_mut().for_each(change);
    config
}

fn world_of(config: &Config) -> (Rc<World>, Loader<Rc<World>>) {
    let world = Rc::new(World::default());
    for file in config.datasets().flat_map(|dataset| &dataset.files) {
        world.list(&file.to_string_lossy(), 10);
    }
    (world.clone(), Loader::new(world, config))
}

fn look(loader: &mut Loader<Rc<World>>) -> Round {
    loader.look(&Order::default(), at(1))
}

fn lines(round: Round) -> Vec<String> {
    round.notices().map(ToString::to_string).collect()
}

fn force(zones: Option<&str>) -> Order {
    let zones = zones.map(|zone| vec![Name::from_text(zone.as_bytes()).unwrap()]);
    Order { zones, force: true, again: true }
}

#[test]
fn shared_datasets_load_once_and_only_when_their_content_changes() {
    let config = config(&["one:ip:a,b", "two:ip:a,b", "two:ip:c"], |_| ());
    let (world, mut loader) = world_of(&config);
    assert!(look(&mut loader).published);
    assert_eq!(world.loads.get(), 2);
    assert!(!look(&mut loader).published, "nothing changed");
    assert_eq!(world.loads.get(), 2);

    let before = loader.report().zones[0].modified;
    world.change("b", |_| ());
    assert!(look(&mut loader).published, "a newer modification time may be a serial");
    assert_eq!(world.loads.get(), 2, "touched files are not compiled again");
    assert!(loader.report().zones[0].modified > before);

    world.list("c", 11);
    let round = look(&mut loader);
    assert_eq!(lines(round), ["zone two: 31 entries, before 30"]);
    assert_eq!(world.loads.get(), 3);
}

#[test]
fn a_failed_reload_keeps_the_old_data_and_says_so_once() {
    let (world, mut loader) = world_of(&config(&["bl:ip:a"], |_| ()));
    look(&mut loader);
    let good = world.served("bl");
    world.write("a", Content::Garbage);
    assert_eq!(lines(look(&mut loader)), ["zone bl: keeps its old data: a: garbage"]);
    for _ in 0..5 {
        let round = look(&mut loader);
        assert_eq!((round.published, lines(round).len()), (false, 0));
    }
    assert_eq!(world.served("bl"), good);
    assert!(!loader.report().is_clean());
    world.files.borrow_mut().clear();
    assert_eq!(lines(look(&mut loader)), ["zone bl: keeps its old data: entity not found"]);
    world.list("a", 10);
    assert_eq!(lines(look(&mut loader)), ["zone bl: its files are again as they are served"]);
    assert!(loader.report().is_clean());
}

#[test]
fn data_that_panics_its_reader_costs_only_itself() {
    let (world, mut loader) = world_of(&config(&["bl:ip:a"], |_| ()));
    look(&mut loader);
    let good = world.served("bl");
    world.write("a", Content::Trap);
    assert!(lines(look(&mut loader))[0].ends_with("reading it panicked"));
    assert_eq!(world.served("bl"), good);
    world.list("a", 11);
    look(&mut loader);
    assert!(loader.report().is_clean());
}

#[test]
fn a_zone_without_data_waits_for_its_first_good_load() {
    let (world, mut loader) = world_of(&config(&["bl:ip:a", "other:ip:b"], |_| ()));
    world.write("a", Content::Garbage);
    assert_eq!(lines(look(&mut loader))[0], "zone bl: has no data: a: garbage");
    assert_eq!(world.served("bl"), (Status::NeverLoaded, vec![]));
    assert_eq!(world.served("other").0, Status::Serving);
    world.list("a", 5);
    look(&mut loader);
    assert_eq!(world.served("bl").0, Status::Serving);
}

#[test]
fn strict_zones_refuse_errors_that_others_take() {
    let strict = |zone: &mut ZoneConfig| zone.strict = zone.name.to_string() == "strict";
    let (world, mut loader) = world_of(&config(&["strict:ip:a", "lax:ip:a"], strict));
    look(&mut loader);
    let good = world.served("strict");
    world.write("a", Content::List { entries: 12, errors: 2, variant: 1 });
    let lines = lines(look(&mut loader));
    assert!(lines.contains(&"zone strict: keeps its old data: 2 errors, and the zone is strict".to_owned()));
    assert_eq!(world.served("strict"), good);
    assert_ne!(world.served("lax"), good);
    loader.look(&force(None), at(1));
    assert_eq!(world.served("strict"), good, "--force is for the guard alone");
}

#[test]
fn findings_that_are_not_said_one_by_one_are_counted() {
    let (world, mut loader) = world_of(&config(&["bl:ip:a"], |_| ()));
    world.write("a", Content::List { entries: 1, errors: 1000, variant: 0 });
    let said = lines(look(&mut loader));
    assert_eq!(said[Diagnostics::KEPT - 1], "error: a bad line");
    assert_eq!(
        said[Diagnostics::KEPT..],
        ["... 900 more; in all 1000 errors and 0 warnings", "zone bl: 1 entries"]
    );
}

#[test]
fn large_changes_wait_for_force() {
    for (old, new, percent, refused) in [
        (10_000, 15_000, 50, false),
        (10_000, 15_001, 50, true),
        (10_000, 4_999, 50, true),
        (1_500, 0, 50, true),
        (999, 0, 50, false),
        (10, 1_009, 50, false),
        (10, 1_010, 50, true),
        (10_000, 11_001, 10, true),
        (0, 5_000, 50, true),
        (u64::MAX, 0, 100, false),
    ] {
        assert_eq!(too_many(old, new, percent), refused, "{old} -> {new} at {percent} %");
    }
    let (world, mut loader) = world_of(&config(&["bl:ip:a", "other:ip:a"], |_| ()));
    world.list("a", 10_000);
    look(&mut loader);
    world.list("a", 100);
    let lines = lines(look(&mut loader));
    assert!(lines[0].contains("keeps its old data: 100 entries in place of 10000"), "{lines:?}");
    assert!(lines[0].contains("nibbl reload --force bl"), "{lines:?}");
    assert!(!look(&mut loader).published);
    loader.look(&force(Some("bl")), at(1));
    let entries: Vec<u64> = loader.report().zones.iter().map(|zone| zone.entries).collect();
    assert_eq!(entries, [100, 10_000], "only the zone that was named");
    assert!(matches!(
        loader.report().zones[1].problem,
        Some(Problem::Guarded { entries: 100, served: 10_000, .. })
    ));
    loader.look(&force(None), at(1));
    assert!(loader.report().is_clean());
}

#[test]
fn a_file_that_changes_while_it_is_read_is_read_again() {
    let (world, mut loader) = world_of(&config(&["bl:ip:a"], |_| ()));
    world.change("a", |file| file.unsteady = TRIES - 1);
    look(&mut loader);
    assert_eq!(world.served("bl").0, Status::Serving);
    world.list("a", 11);
    world.change("a", |file| file.unsteady = TRIES);
    assert_eq!(lines(look(&mut loader)), ["zone bl: keeps its old data: a: keeps changing while it is read"]);
    assert_eq!(lines(look(&mut loader)), ["zone bl: 11 entries, before 10"]);
}

#[test]
fn what_cannot_be_loaded_is_read_again_when_it_changed_or_on_order() {
    let (world, mut loader) = world_of(&config(&["bl:ip:a"], |_| ()));
    look(&mut loader);
    for bad in [Content::Garbage, Content::Trap] {
        world.write("a", bad);
        look(&mut loader);
        let loads = world.loads.get();
        for _ in 0..3 {
            assert_eq!(lines(look(&mut loader)), [""; 0]);
            assert!(loader.report().zones[0].problem.is_some());
        }
        assert_eq!(world.loads.get(), loads, "the same octets fail again");
        assert_eq!(lines(loader.look(&Order { again: true, ..Order::default() }, at(1))), [""; 0]);
        assert_eq!(world.loads.get(), loads + 1);
        world.change("a", |_| ());
        look(&mut loader);
        assert_eq!(world.loads.get(), loads + 2);
        look(&mut loader);
        assert_eq!(world.loads.get(), loads + 2);
    }
    world.files.borrow_mut().clear();
    let loads = world.loads.get();
    look(&mut loader);
    look(&mut loader);
    assert_eq!(world.loads.get(), loads + 2, "what the system refuses it may give later");
}

#[test]
fn what_all_zones_refused_is_not_in_memory_while_the_next_is_loaded() {
    let (world, mut loader) = world_of(&config(&["bl:ip:a", "other:ip:a"], |_| ()));
    let held =
        |loader: &Loader<Rc<World>>| Arc::downgrade(&loader.datasets[0].loaded.as_ref().unwrap().dataset);
    world.list("a", 10_000);
    look(&mut loader);
    let served = held(&loader);
    for entries in [100, 200] {
        world.list("a", entries);
        look(&mut loader);
        *world.refused.borrow_mut() = held(&loader);
        look(&mut loader);
        assert_eq!(world.refused.borrow().strong_count(), 1, "--force may take it");
    }
    assert!(served.strong_count() > 0);
    loader.look(&force(Some("bl")), at(1));
    assert_eq!(loader.report().zones[0].entries, 200);
    world.refused.take();
    world.write("a", Content::Garbage);
    look(&mut loader);
    let loads = world.loads.get();
    world.list("a", 200);
    look(&mut loader);
    assert_eq!(world.loads.get(), loads, "a zone serves it: it was kept, and is found again");
}

#[test]
fn data_expires_by_the_clock_alone() {
    let (world, mut loader) = world_of(&config(&["bl:ip:a"], |_| ()));
    world.expires.set(Some(100));
    look(&mut loader);
    assert_eq!(loader.next_expiry(at(1)), Some(at(100)));
    assert!(!loader.expire(at(99)).published);
    let round = loader.expire(at(100));
    assert_eq!((round.published, lines(round)), (true, vec!["zone bl: the data has expired".to_owned()]));
    assert_eq!(world.served("bl").0, Status::Expired);
    assert_eq!(loader.next_expiry(at(100)), None);
    assert!(!loader.expire(at(101)).published);
    world.expires.set(Some(200));
    world.list("a", 10);
    world.change("a", |file| file.content = Content::List { entries: 10, errors: 0, variant: 1 });
    assert!(loader.look(&Order::default(), at(102)).published);
    assert_eq!(world.served("bl").0, Status::Serving);
}

#[test]
fn without_the_servers_access_list_nobody_is_served() {
    let (world, mut loader) = world_of(&config(&["bl:ip:a", ":acl:clients"], |_| ()));
    world.write("clients", Content::Garbage);
    assert!(lines(look(&mut loader)).iter().any(|line| line.contains("access list is missing")));
    assert_eq!(world.served("bl").0, Status::NeverLoaded);
    world.list("clients", 1);
    look(&mut loader);
    assert_eq!(world.served("bl").0, Status::Serving);
    let good = world.access.borrow().clone();
    world.write("clients", Content::Garbage);
    assert!(lines(look(&mut loader))[0].contains("access list is kept as it was"));
    assert_eq!(world.served("bl").0, Status::Serving);
    assert_eq!(*world.access.borrow(), good);
    assert!(loader.report().access_problem.is_some());
}

#[test]
fn only_the_ordered_zones_are_looked_at() {
    let (world, mut loader) = world_of(&config(&["one:ip:a", "two:ip:b"], |_| ()));
    look(&mut loader);
    world.list("a", 11);
    world.list("b", 12);
    let order = Order { zones: Some(vec![Name::from_text(b"TWO.").unwrap()]), ..Order::default() };
    assert_eq!(lines(loader.look(&order, at(1))), ["zone two: 12 entries, before 10"]);
    assert_eq!(loader.report().zones[0].entries, 10);
    let nowhere = [Name::from_text(b"three").unwrap()];
    assert_eq!(loader.unknown(&nowhere), Some(&nowhere[0]));
}

#[test]
fn requests_are_served_by_a_thread_and_answered() {
    let (handle, service) = service::channel(Report::default());
    let config = config(&["bl:ip:a"], |_| ());
    let thread = std::thread::spawn(move || {
        let (_, loader) = world_of(&config);
        let mut lines = Vec::new();
        service.run(
            loader,
            Certificates::default(),
            || at(1),
            |round| lines.extend(round.notices().map(ToString::to_string)),
        );
        lines
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let zone = |name: &str| Order {
        zones: Some(vec![Name::from_text(name.as_bytes()).unwrap()]),
        ..Order::default()
    };
    runtime.block_on(async {
        let report = handle.reload(Order::default()).await.unwrap();
        assert_eq!(report.zones[0].entries, 10);
        assert_eq!(handle.report(), report);
        handle.look_again();
        assert!(handle.reload(zone("bl")).await.is_ok());
        assert_eq!(
            handle.reload(zone("other")).await,
            Err(service::OrderError::UnknownZone(Name::from_text(b"other").unwrap()))
        );
    });
    drop(handle);
    assert_eq!(thread.join().unwrap(), ["zone bl: 10 entries"]);
}
