//! What does not grow: the WAL under steady writing with a permanent watcher, and the log.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use support::{key, next, until};
use tortie_store::{Selection, Store, StoreError, Write};
use tortie_store_sqlite::{Options, SqliteStore};

fn wal_length(path: &Path) -> u64 {
    let wal = path.with_extension("db-wal");
    fs::metadata(wal).map_or(0, |metadata| metadata.len())
}

/// Replaces one object by another large one.
fn put(store: &SqliteStore, name: &str, size: usize) -> u64 {
    let at = store.get(&key(name)).unwrap();
    let value = vec![b' '; size];
    let write = match at {
        None => Write::create(key(name), value),
        Some(stored) => Write::update(key(name), value, stored.revision),
    };
    store.write(&[write]).unwrap().remove(0).unwrap().revision.number().unwrap()
}

#[test]
fn the_wal_stays_small_under_steady_writing_with_a_permanent_watcher() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tortie.db");
    let options = Options { keep: 50, ..Options::default() };
    let store = SqliteStore::open_with(&path, options).unwrap();
    let mut watch = store.watch(&Selection::default(), &0.into()).unwrap();
    let mut longest = 0;
    for turn in 0..600 {
        put(&store, &format!("t{}", turn % 10), 50_000);
        next(&mut *watch);
        longest = longest.max(wal_length(&path));
    }
    // 60 MB went through it.
    assert!(longest < 8 << 20, "the WAL grew to {longest} bytes");
    let database = fs::metadata(&path).unwrap().len();
    assert!(database < 16 << 20, "the database grew to {database} bytes");
}

#[test]
fn a_huge_transaction_leaves_no_huge_wal() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tortie.db");
    let store = SqliteStore::open(&path).unwrap();
    let mut watch = store.watch(&Selection::default(), &0.into()).unwrap();
    let writes: Vec<_> = (0..400).map(|n| Write::create(key(format!("t{n}")), vec![b' '; 50_000])).collect();
    store.write(&writes).unwrap();
    assert_eq!(until(&mut *watch, &400.into()).len(), 400);
    put(&store, "after", 1);
    let length = wal_length(&path);
    assert!(length < 8 << 20, "the WAL is {length} bytes");
}

#[test]
fn the_log_keeps_at_least_what_was_promised_and_not_much_more() {
    let directory = tempfile::tempdir().unwrap();
    let keep = 100;
    let options = Options { keep, ..Options::default() };
    let store = SqliteStore::open_with(directory.path().join("tortie.db"), options).unwrap();
    for turn in 1..=500 {
        let last = put(&store, &format!("t{}", turn % 7), 10);
        let wanted = last.saturating_sub(keep);
        let mut watch = store.watch(&Selection::default(), &wanted.into()).unwrap();
        if turn % 50 == 0 {
            assert_eq!(until(&mut *watch, &last.into()).len() as u64, last - wanted);
        }
        if wanted > 1 {
            let Err(StoreError::Compacted { from, kept }) =
                store.watch(&Selection::default(), &(wanted - 2).into()).map(|_| ())
            else {
                panic!("revision {} is still kept at {last}", wanted - 2);
            };
            assert_eq!(from, (wanted - 2).into());
            store.watch(&Selection::default(), &kept).unwrap();
        }
    }
}

#[test]
fn a_batch_larger_than_the_log_reaches_every_watcher_and_is_compacted_later() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { keep: 10, ..Options::default() };
    let store = SqliteStore::open_with(directory.path().join("tortie.db"), options).unwrap();
    let mut watch = store.watch(&Selection::default(), &0.into()).unwrap();
    let writes: Vec<_> = (0..200).map(|n| Write::create(key(format!("t{n}")), &b"{}"[..])).collect();
    store.write(&writes).unwrap();
    assert_eq!(until(&mut *watch, &200.into()).len(), 200);
    // Each later write takes a little of it away.
    for _ in 0..20 {
        put(&store, "t0", 10);
    }
    let compacted = store.watch(&Selection::default(), &200.into()).map(|_| ());
    assert!(matches!(compacted, Err(StoreError::Compacted { .. })));
}

#[test]
fn the_log_is_bounded_by_bytes_and_a_watcher_that_is_behind_is_notified() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tortie.db");
    let options = Options { keep_bytes: 4 << 20, ..Options::default() };
    let store = SqliteStore::open_with(&path, options).unwrap();
    put(&store, "first", 1);
    let mut close = store.watch(&Selection::default(), &1.into()).unwrap();
    let mut last = 1;
    // 60 MB in large and in small values, all within the number of revisions that is kept.
    for turn in 0..300 {
        let size = if turn % 3 == 0 { 500_000 } else { 50_000 };
        last = put(&store, &format!("t{}", turn % 5), size);
        next(&mut *close);
    }
    let database = fs::metadata(&path).unwrap().len();
    assert!(database < 20 << 20, "the database grew to {database} bytes");
    let far = store.watch(&Selection::default(), &1.into()).and_then(|mut watch| watch.next(Duration::ZERO));
    assert!(matches!(far, Err(StoreError::Compacted { .. })), "{far:?}");
    assert!(store.watch(&Selection::default(), &(last - 1).into()).unwrap().next(Duration::ZERO).unwrap().is_some());
}

#[test]
fn objects_of_kinds_that_are_unknown_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tortie.db");
    let store = SqliteStore::open(&path).unwrap();
    put(&store, "known", 1);
    assert!(store.unread().is_empty());
    let sql = rusqlite::Connection::open(&path).unwrap();
    for (kind, namespace, name) in [("Zebra", "", "z"), ("Aardvark", "zoo", "a")] {
        let insert = "INSERT INTO objects (kind, namespace, name, revision, value) VALUES (?1, ?2, ?3, 1, x'7b7d')";
        sql.execute(insert, [kind, namespace, name]).unwrap();
    }
    let lines = store.unread();
    let names: Vec<_> = lines.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, ["Aardvark(zoo/a)", "Zebra(z)"]);
}
