//! How watchers are woken, and that they cost nothing otherwise: counted, not timed.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use support::{Peer, as_child, key, next};
use tortie_store::{Selection, Store, Watch, Write};
use tortie_store_sqlite::{Options, SqliteStore};

const TURNS: u64 = 30;

#[test]
fn child() {
    as_child(|role, path| match role {
        "write-when-told" => write_when_told(path, 1),
        "write-much-when-told" => write_when_told(path, 3_000),
        #[cfg(feature = "faults")]
        "write-without-wake" => {
            tortie_store_sqlite::faults::set(tortie_store_sqlite::faults::Fault::SkipWake, true);
            write_when_told(path, 1);
        }
        other => panic!("{other}"),
    });
}

/// Writes one batch of so many objects each time the parent lets it.
fn write_when_told(path: PathBuf, objects: u64) {
    let store = SqliteStore::open(path).unwrap();
    let mut turn = 0;
    while support::wait_for_go() {
        let writes: Vec<_> =
            (0..objects).map(|n| Write::create(key(format!("t{turn}-{n}")), vec![b' '; 1_000])).collect();
        store.write(&writes).unwrap().pop().unwrap().unwrap();
        turn += 1;
    }
}

/// An object that does not exist yet.
fn create(store: &SqliteStore, name: &str) {
    store.write(&[Write::create(key(name), &b"{}"[..])]).unwrap().remove(0).unwrap();
}

/// Options without polling, so that only a wake can reach a watcher.
fn never_polls() -> Options {
    Options { poll: Duration::from_secs(3_600), ..Options::default() }
}

#[test]
fn every_commit_of_another_process_wakes_watchers_by_its_touch() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tortie.db");
    let store = SqliteStore::open_with(&path, never_polls()).unwrap();
    // The file is there before: of the commit that makes it a watcher may see the file first, and its touch later.
    create(&store, "first");
    let mut watcher = store.watcher(&Selection::default(), &1.into()).unwrap();
    let mut writer = Peer::start("write-when-told", &path);
    for turn in 1..=TURNS {
        writer.go();
        assert_eq!(*next(&mut watcher).revision(), turn + 1);
        // A watcher that looks right behind the commit sees it before its touch, which is on its way then.
        let deadline = Instant::now() + Duration::from_secs(60);
        while watcher.stats().touches < turn && Instant::now() < deadline {
            assert!(watcher.next(Duration::from_millis(10)).unwrap().is_none(), "turn {turn}");
        }
        assert_eq!(watcher.stats().touches, turn);
    }
    // A commit costs its watchers one look and one read, and one of each to see that there is no more.
    assert!(watcher.stats().reads <= 2 * TURNS + 2, "{:?}", watcher.stats());
    writer.end();
}

#[test]
fn a_slow_commit_wakes_watchers_once_it_is_visible() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tortie.db");
    let store = SqliteStore::open_with(&path, never_polls()).unwrap();
    let mut watcher = store.watcher(&Selection::default(), &0.into()).unwrap();
    let mut writer = Peer::start("write-much-when-told", &path);
    for turn in 1..=3 {
        writer.go();
        let events = support::until(&mut watcher, &(turn * 3_000).into());
        assert_eq!(events.len(), 3_000);
    }
    // The long writing of the WAL wakes nobody: only its end does.
    let stats = watcher.stats();
    assert!(stats.looks < 50, "{stats:?}");
    writer.end();
}

#[test]
fn an_idle_watcher_only_polls() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tortie.db");
    let options = Options { poll: Duration::from_millis(100), ..Options::default() };
    let store = SqliteStore::open_with(&path, options).unwrap();
    create(&store, "a");
    // Others read and go meanwhile; their coming and going is not a change.
    let mut watcher = store.watcher(&Selection::default(), &1.into()).unwrap();
    let before = watcher.stats();
    assert_eq!(watcher.next(Duration::from_millis(550)).unwrap(), None);
    let after = watcher.stats();
    let looks = after.looks - before.looks;
    assert!((1..=7).contains(&looks), "{looks} looks in five and a half polls");
    assert_eq!(after.reads, before.reads, "the log is not read");
    assert_eq!(after.touches, before.touches);
}

#[test]
fn reads_of_others_do_not_keep_watchers_awake() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tortie.db");
    let store = SqliteStore::open_with(&path, never_polls()).unwrap();
    create(&store, "a");
    let mut watcher = store.watcher(&Selection::default(), &1.into()).unwrap();
    let before = watcher.stats();
    for _ in 0..50 {
        SqliteStore::open(&path).unwrap().list(&Selection::default()).unwrap();
    }
    create(&store, "b");
    assert_eq!(*next(&mut watcher).revision(), 2);
    assert!(watcher.stats().reads <= before.reads + 1);
}

#[test]
fn a_watcher_in_the_same_process_or_of_a_directory_that_is_created_later_is_woken() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new/tortie.db");
    let store = SqliteStore::open_with(&path, never_polls()).unwrap();
    let mut watch = store.watch(&Selection::default(), &0.into()).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(move || {
            for revision in 1..=3 {
                assert_eq!(*next(&mut *watch).revision(), revision);
            }
        });
        for name in ["a", "b", "c"] {
            create(&store, name);
        }
        waiting.join().unwrap();
    });
}

/// A writer is killed between COMMIT and its touch: the kernel closes its files, which wakes the watcher.
#[cfg(feature = "faults")]
#[test]
fn a_commit_without_a_touch_wakes_watchers_when_its_writer_has_ended() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tortie.db");
    let store = SqliteStore::open_with(&path, never_polls()).unwrap();
    create(&store, "a");
    let mut watcher = store.watcher(&Selection::default(), &1.into()).unwrap();
    let mut writer = Peer::start("write-without-wake", &path);
    writer.go();
    // The commit is there before the writer goes.
    let other = SqliteStore::open(&path).unwrap();
    let begun = std::time::Instant::now();
    while other.list(&Selection::default()).unwrap().position == 1.into() {
        assert!(begun.elapsed() < support::PATIENCE);
        std::thread::yield_now();
    }
    writer.kill();
    assert_eq!(*next(&mut watcher).revision(), 2);
    assert_eq!(watcher.stats().touches, 0);
}

/// If even that is missed, polling finds the commit.
#[cfg(feature = "faults")]
#[test]
fn a_commit_without_a_notification_is_found_by_polling() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tortie.db");
    let store = SqliteStore::open(&path).unwrap();
    create(&store, "a");
    let mut watcher = store.watcher(&Selection::default(), &1.into()).unwrap();
    let mut writer = Peer::start("write-without-wake", &path);
    for turn in 2..=3 {
        writer.go();
        assert_eq!(*next(&mut watcher).revision(), turn);
    }
    assert_eq!(watcher.stats().touches, 0);
    writer.end();
}
