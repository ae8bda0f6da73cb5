//! Real files in a temporary directory: every way in which a list is replaced is noticed.

use std::fs;
use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;
use crate::config::{SigningConfig, ZoneConfig, spec};
use crate::dnssec::validity::Validity;
use crate::zone::EmptyNonTerminals;

/// Only so that a failing test ends.
const LONG: Duration = Duration::from_secs(30);

const WATCH: Watch = Watch {
    notify: true,
    poll: None,
    settle: Duration::from_millis(20),
    settle_limit: Duration::from_secs(1),
};

fn watcher(dir: &Path, file: &str) -> Watcher {
    let mut config = Config { watch: WATCH, ..Config::default() };
    let spec = spec::zone_spec(&format!("bl:ip:{file}")).unwrap();
    config.add(spec, dir, &ZoneConfig::new).unwrap();
    let (watcher, error) = Watcher::new(&config);
    assert!(error.is_none(), "{error:?}");
    watcher
}

async fn notices(watcher: &mut Watcher) {
    tokio::time::timeout(LONG, watcher.changed(WATCH)).await.expect("the change is noticed");
    watcher.follow().unwrap();
}

/// A directory with `lists/v1/list`.
fn lists() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("lists/v1")).unwrap();
    fs::write(dir.path().join("lists/v1/list"), "1\n").unwrap();
    dir
}

#[tokio::test]
async fn writes_renames_and_deletes() {
    let dir = lists();
    let file = dir.path().join("lists/v1/list");
    let operations: [&dyn Fn(); 5] = [
        &|| fs::write(&file, "2\n").unwrap(),
        &|| {
            fs::write(dir.path().join("lists/v1/list.new"), "3\n").unwrap();
            fs::rename(dir.path().join("lists/v1/list.new"), &file).unwrap();
        },
        &|| fs::File::options().append(true).open(&file).unwrap().set_len(0).unwrap(),
        &|| fs::remove_file(&file).unwrap(),
        &|| fs::write(&file, "4\n").unwrap(),
    ];
    let mut watcher = watcher(dir.path(), "lists/v1/list");
    for operation in operations {
        operation();
        notices(&mut watcher).await;
    }
}

#[tokio::test]
async fn a_swapped_link_to_the_file() {
    let dir = lists();
    let link = dir.path().join("current");
    fs::create_dir(dir.path().join("other")).unwrap();
    fs::write(dir.path().join("other/list"), "2\n").unwrap();
    symlink("lists/v1/list", &link).unwrap();
    let mut watcher = watcher(dir.path(), "current");
    fs::write(dir.path().join("lists/v1/list"), "3\n").unwrap();
    notices(&mut watcher).await;
    symlink("other/list", dir.path().join("current.new")).unwrap();
    fs::rename(dir.path().join("current.new"), &link).unwrap();
    notices(&mut watcher).await;
    fs::write(dir.path().join("other/list"), "4\n").unwrap();
    notices(&mut watcher).await;
}

#[tokio::test]
async fn a_swapped_link_to_the_directory() {
    let dir = lists();
    fs::create_dir(dir.path().join("lists/v2")).unwrap();
    fs::write(dir.path().join("lists/v2/list"), "2\n").unwrap();
    symlink(dir.path().join("lists/v1"), dir.path().join("lists/current")).unwrap();
    let mut watcher = watcher(dir.path(), "lists/current/list");
    symlink("v2", dir.path().join("lists/new")).unwrap();
    fs::rename(dir.path().join("lists/new"), dir.path().join("lists/current")).unwrap();
    notices(&mut watcher).await;
    fs::write(dir.path().join("lists/v2/list"), "3\n").unwrap();
    notices(&mut watcher).await;
}

#[tokio::test]
async fn a_replaced_directory() {
    let dir = lists();
    let mut watcher = watcher(dir.path(), "lists/v1/list");
    fs::rename(dir.path().join("lists/v1"), dir.path().join("lists/old")).unwrap();
    notices(&mut watcher).await;
    fs::create_dir(dir.path().join("lists/v1")).unwrap();
    notices(&mut watcher).await;
    fs::write(dir.path().join("lists/v1/list"), "2\n").unwrap();
    notices(&mut watcher).await;
    fs::remove_dir_all(dir.path().join("lists")).unwrap();
    notices(&mut watcher).await;
}

#[tokio::test]
async fn a_directory_that_comes_later() {
    let dir = tempfile::tempdir().unwrap();
    let mut watcher = watcher(dir.path(), "lists/v1/list");
    fs::create_dir(dir.path().join("lists")).unwrap();
    notices(&mut watcher).await;
    fs::create_dir(dir.path().join("lists/v1")).unwrap();
    notices(&mut watcher).await;
    fs::write(dir.path().join("lists/v1/list"), "1\n").unwrap();
    notices(&mut watcher).await;
}

#[test]
fn ways_go_through_links_and_end_in_loops() {
    let dir = lists();
    let real = dir.path().canonicalize().unwrap();
    symlink("loop", real.join("loop")).unwrap();
    symlink("../v1", real.join("lists/v1/up")).unwrap();
    let ways = Ways::to(&[real.join("lists/v1/up/list"), real.join("loop/list")], &[]);
    for directory in ["lists", "lists/v1", ""] {
        assert!(ways.directories.contains(&real.join(directory)), "{directory}: {ways:?}");
    }
    for name in ["lists/v1/up", "lists/v1/list", "loop"] {
        assert!(ways.names.contains(&real.join(name)), "{name}: {ways:?}");
    }
}

#[test]
fn reading_and_other_files_do_not_matter() {
    use notify::event::{CreateKind, Flag};
    let names = HashSet::from([PathBuf::from("/d/list")]);
    let ways = Ways { names, key_directories: HashSet::from(["/k".into()]), ..Ways::default() };
    let event = |kind, path: &str| notify::Event::new(kind).add_path(path.into());
    let written = EventKind::Access(AccessKind::Close(AccessMode::Write));
    let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
    let created = EventKind::Create(CreateKind::File);
    assert!(ways.concern(&event(written, "/d/list")));
    assert!(ways.concern(&event(created, "/d/list")));
    assert!(!ways.concern(&event(created, "/d/other")));
    assert!(ways.concern(&event(created, "/k/Kbl.example.+013+00001.key")));
    assert!(!ways.concern(&event(created, "/k/Kbl.example.+013+00001.key.new")));
    assert!(!ways.concern(&event(created, "/d/a.key")));
    assert!(!ways.concern(&event(opened, "/d/list")));
    assert!(ways.concern(&notify::Event::new(EventKind::Other).set_flag(Flag::Rescan)));
}

#[tokio::test(start_paused = true)]
async fn polls_and_settles_by_the_clock() {
    let (sender, events) = mpsc::channel(1);
    let watcher = Watcher {
        files: Vec::new(),
        key_directories: Vec::new(),
        system: None,
        events,
        sender: sender.clone(),
    };
    let watch = Watch {
        notify: false,
        poll: Some(Duration::from_secs(60)),
        settle: Duration::from_millis(200),
        settle_limit: Duration::from_secs(2),
    };
    let start = Instant::now();
    let (looks, mut looked) = mpsc::unbounded_channel();
    let running = tokio::spawn(watcher.run(watch, move || looks.send(start.elapsed()).unwrap(), |_| ()));
    assert_eq!(looked.recv().await.unwrap().as_secs(), 60, "the poll");
    sender.send(()).await.unwrap();
    let settled = looked.recv().await.unwrap().as_millis();
    assert!((60_200..60_210).contains(&settled), "quiet at once: {settled}");
    let busy = tokio::spawn(async move {
        loop {
            sender.send(()).await.unwrap();
            sleep(Duration::from_millis(100)).await;
        }
    });
    let settled = looked.recv().await.unwrap().as_millis();
    assert!((62_200..62_210).contains(&settled), "never quiet: {settled}");
    busy.abort();
    running.abort();
}

#[tokio::test]
async fn keys_of_signed_zones() {
    let dir = lists();
    fs::create_dir(dir.path().join("keys-1")).unwrap();
    symlink("keys-1", dir.path().join("keys")).unwrap();
    let mut config = Config { watch: WATCH, ..Config::default() };
    let spec = spec::zone_spec("bl:ip:lists/v1/list").unwrap();
    config.add(spec, dir.path(), &ZoneConfig::new).unwrap();
    config.zones[0].signing = Some(SigningConfig {
        keys: dir.path().join("keys"),
        validity: Validity::default(),
        empty_non_terminals: EmptyNonTerminals::Marker,
        withdraw_ds: false,
    });
    let (mut watcher, error) = Watcher::new(&config);
    assert!(error.is_none(), "{error:?}");
    // A key that is new, one that is replaced, another directory.
    let key = dir.path().join("keys/Kbl.example.+013+00001.private");
    fs::write(&key, "1\n").unwrap();
    notices(&mut watcher).await;
    fs::write(dir.path().join("keys/new"), "2\n").unwrap();
    fs::rename(dir.path().join("keys/new"), &key).unwrap();
    notices(&mut watcher).await;
    fs::create_dir(dir.path().join("keys-2")).unwrap();
    symlink("keys-2", dir.path().join("link")).unwrap();
    fs::rename(dir.path().join("link"), dir.path().join("keys")).unwrap();
    notices(&mut watcher).await;
    fs::write(&key, "3\n").unwrap();
    notices(&mut watcher).await;
}
