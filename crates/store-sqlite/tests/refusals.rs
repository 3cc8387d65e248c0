//! What is not a store of ours, or cannot be used, is refused with an error that names the path, and is left
//! as it was, with nothing new beside it.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use support::{Peer, as_child, key, next, say};
use tortie_store::{Op, Selection, Store, StoreError, Write, WriteError};
use tortie_store_sqlite::{Options, SqliteStore};

#[test]
fn child() {
    as_child(|role, path| match role {
        "lock" => lock(&path),
        other => panic!("{other}"),
    });
}

fn create(name: &str) -> Write {
    Write::create(key(name), &b"{}"[..])
}

/// Every file of a directory with its bytes.
fn snapshot(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().path()).map(|path| (path.clone(), fs::read(&path).unwrap_or_default())).collect()
}

/// The error of a store at this path: the same however it is used, and nothing is touched by any use.
fn refused(path: &Path) -> String {
    let before = snapshot(path.parent().unwrap());
    let error = SqliteStore::open(path).err().expect("it is refused");
    let text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()), "{text}");
    assert!(snapshot(path.parent().unwrap()) == before, "something was touched");
    text
}

fn store_with_content(path: &Path) {
    let store = SqliteStore::open(path).unwrap();
    for n in 0..200 {
        store.write(&[create(&format!("t{n}"))]).unwrap();
    }
}

/// Changes a store's file behind its back.
fn tamper(path: &Path, sql: &str) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.execute_batch(sql).unwrap();
}

#[test]
fn a_file_that_is_no_database_is_refused_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tortie.db");
    for content in [&b""[..], b"x", b"kind: Tier\nmetadata:\n  name: a\n", &[7; 9000]] {
        fs::write(&path, content).unwrap();
        assert!(refused(&path).contains("is not a tortie store"));
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(refused(&path).contains("is not a tortie store"));
}

#[test]
fn another_programs_database_is_refused_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("places.sqlite");
    // In WAL mode and with a WAL that was left behind: opening it would already change it.
    let elsewhere = tempfile::tempdir().unwrap();
    let original = elsewhere.path().join("places.sqlite");
    let connection = rusqlite::Connection::open(&original).unwrap();
    connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (a); INSERT INTO t VALUES (1);").unwrap();
    for suffix in ["", "-wal"] {
        let name = format!("places.sqlite{suffix}");
        fs::copy(elsewhere.path().join(&name), directory.path().join(&name)).unwrap();
    }
    // The copy's main file is not written yet but for what makes it a database.
    let text = refused(&path);
    assert!(text.contains("is not a tortie store"), "{text}");
    drop(connection);
    fs::copy(&original, &path).unwrap();
    let text = refused(&path);
    assert!(text.contains("another program"), "{text}");
}

#[test]
fn a_newer_schema_is_refused_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tortie.db");
    store_with_content(&path);
    tamper(&path, "PRAGMA user_version = 3");
    let text = refused(&path);
    assert!(text.contains("newer tortie"), "{text}");
}

#[test]
fn a_schema_raised_while_in_use_stops_reads_writes_and_watches() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tortie.db");
    let store = SqliteStore::open(&path).unwrap();
    store.write(&[create("a")]).unwrap();
    let mut watch = store.watch(&Selection::default(), &0.into()).unwrap();
    next(&mut *watch);
    // In the WAL only: the header of the file does not say it yet.
    tamper(&path, "PRAGMA user_version = 3");
    for error in [
        store.get(&key("a")).err(),
        store.list(&Selection::default()).err(),
        store.write(&[create("b")]).err(),
        watch.next(support::PATIENCE).err(),
    ] {
        let text = error.expect("it is refused").to_string();
        assert!(text.contains("newer tortie"), "{text}");
    }
    // Where an older tortie brings it back, the watch goes on where it was.
    tamper(&path, "PRAGMA user_version = 2");
    store.write(&[create("c")]).unwrap().remove(0).unwrap();
    assert_eq!(next(&mut *watch).key(), &key("c"));
}

#[test]
fn a_truncated_or_overwritten_database_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let whole = directory.path().join("whole.db");
    store_with_content(&whole);
    let bytes = fs::read(&whole).unwrap();
    let path = directory.path().join("tortie.db");
    for length in [16, 50, 99, 100, 600, 4096, bytes.len() / 2, bytes.len() - 4096] {
        fs::write(&path, &bytes[..length]).unwrap();
        let result = SqliteStore::open(&path).and_then(|store| {
            store.list(&Selection::default())?;
            store.write(&[create("more")])
        });
        let text = match result {
            Ok(_) => panic!("{length} of {} bytes are taken", bytes.len()),
            Err(error) => error.to_string(),
        };
        assert!(text.contains(path.to_str().unwrap()), "{length}: {text}");
        assert!(text.contains("damaged") || text.contains("not a tortie store"), "{length}: {text}");
        assert_eq!(fs::read(&path).unwrap(), &bytes[..length]);
    }
}

#[test]
fn a_missing_file_is_an_empty_store_that_only_a_write_creates() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new/tortie.db");
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.get(&key("a")).unwrap(), None);
    assert_eq!(store.list(&Selection::default()).unwrap().position, 0.into());
    let mut watch = store.watch(&Selection::default(), &0.into()).unwrap();
    assert_eq!(watch.next(Duration::ZERO).unwrap(), None);
    let nothing_to_change = [Write::delete(key("a"), None), Write::update(key("a"), &b"{}"[..], 1)];
    for result in store.write(&nothing_to_change).unwrap() {
        assert_eq!(result, Err(WriteError::Missing));
    }
    store.write(&[]).unwrap();
    assert!(!directory.path().join("new").exists());
    assert!(!store.created());

    store.write(&[create("a")]).unwrap().remove(0).unwrap();
    assert!(store.created());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for entry in fs::read_dir(path.parent().unwrap()).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
    assert_eq!(*next(&mut *watch).revision(), 1);
    assert!(!SqliteStore::open(&path).unwrap().created());
}

#[test]
fn a_file_removed_while_in_use_is_reported_and_not_created_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tortie.db");
    let store = SqliteStore::open(&path).unwrap();
    store.write(&[create("a")]).unwrap();
    let mut watch = store.watch(&Selection::default(), &1.into()).unwrap();
    let aside = directory.path().join("aside.db");
    fs::rename(&path, &aside).unwrap();
    for error in [
        store.get(&key("a")).err(),
        store.list(&Selection::default()).err(),
        store.write(&[create("b")]).err(),
        watch.next(support::PATIENCE).err(),
    ] {
        let text = error.expect("it is refused").to_string();
        assert!(text.contains("was removed while in use"), "{text}");
    }
    assert!(!path.exists());
    // Whatever is put there has another history.
    fs::rename(&aside, &path).unwrap();
    assert!(store.get(&key("a")).unwrap().is_some());
    let compacted = watch.next(support::PATIENCE).unwrap_err();
    assert!(matches!(compacted, StoreError::Compacted { from, .. } if from == 1.into()));
}

#[test]
fn an_older_content_put_into_the_same_file_and_written_past_the_position_is_another_history() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tortie.db");
    let store = SqliteStore::open(&path).unwrap();
    store.write(&[create("a"), create("b"), create("c")]).unwrap();
    let mut watch = store.watch(&Selection::default(), &3.into()).unwrap();
    let mut same = store.watch(&Selection::default(), &2.into()).unwrap();
    tamper(&path, "BEGIN; DELETE FROM log WHERE revision > 2; DELETE FROM objects WHERE revision > 2; COMMIT");
    store.write(&[create("d"), create("e")]).unwrap();
    let compacted = watch.next(support::PATIENCE).unwrap_err();
    assert!(matches!(&compacted, StoreError::Compacted { from, .. } if *from == 3.into()), "{compacted}");
    // What was read ahead of the change is another history too.
    assert_eq!(next(&mut *same).key(), &key("c"));
    assert!(matches!(same.next(support::PATIENCE).unwrap_err(), StoreError::Compacted { .. }));
}

#[test]
fn a_file_that_replaced_the_store_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tortie.db");
    let other = directory.path().join("other.db");
    let store = SqliteStore::open(&path).unwrap();
    store.write(&[create("a")]).unwrap();
    let mut watch = store.watch(&Selection::default(), &0.into()).unwrap();
    next(&mut *watch);
    store_with_content(&other);
    // As one does it: what stands beside the old file goes with it.
    for beside in ["-wal", "-shm"] {
        fs::remove_file(format!("{}{beside}", path.display())).unwrap();
    }
    fs::rename(&other, &path).unwrap();
    assert_eq!(store.list(&Selection::default()).unwrap().position, 200.into());
    let compacted = watch.next(support::PATIENCE).unwrap_err();
    assert!(matches!(compacted, StoreError::Compacted { .. }));
    store.write(&[create("b")]).unwrap().remove(0).unwrap();
    assert!(SqliteStore::open(&path).unwrap().get(&key("b")).unwrap().is_some());
}

#[test]
fn a_link_is_followed_and_one_without_a_target_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let real = directory.path().join("real.db");
    store_with_content(&real);
    let link = directory.path().join("link.db");
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let store = SqliteStore::open(&link).unwrap();
    let mut watch = store.watch(&Selection::default(), &200.into()).unwrap();
    SqliteStore::open(&real).unwrap().write(&[create("a")]).unwrap();
    assert_eq!(next(&mut *watch).key(), &key("a"));
    let nowhere = directory.path().join("nowhere.db");
    std::os::unix::fs::symlink(directory.path().join("gone.db"), &nowhere).unwrap();
    let store = SqliteStore::open(&nowhere).unwrap();
    let text = store.write(&[create("a")]).unwrap_err().to_string();
    assert!(text.contains("symbolic link to nothing"), "{text}");
}

#[test]
fn too_large_an_object_is_refused_and_the_rest_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path().join("tortie.db")).unwrap();
    let large = Write { key: key("large"), op: Op::Create(vec![b' '; 17 << 20].into()) };
    let results = store.write(&[create("a"), large, create("b")]).unwrap();
    assert!(matches!(&results[1], Err(WriteError::Refused(why)) if why.contains("16 MiB")));
    assert_eq!(results[0].as_ref().unwrap().revision, 1);
    assert_eq!(results[2].as_ref().unwrap().revision, 2);
    let mut watch = store.watch(&Selection::default(), &0.into()).unwrap();
    assert_eq!(support::until(&mut *watch, &2.into()).len(), 2);
}

/// Holds the writers' lock until it is killed.
fn lock(path: &Path) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    say("locked");
    support::wait_for_go();
}

#[test]
fn a_lock_that_is_never_released_is_reported_and_reads_continue() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tortie.db");
    let options = Options { busy: Duration::from_millis(50), ..Options::default() };
    let store = SqliteStore::open_with(&path, options).unwrap();
    store.write(&[create("a")]).unwrap();
    let mut other = Peer::start("lock", &path);
    assert_eq!(other.line().as_deref(), Some("locked"));
    let text = store.write(&[create("b")]).unwrap_err().to_string();
    assert!(text.contains("locked"), "{text}");
    assert!(text.contains(path.to_str().unwrap()), "{text}");
    assert!(store.get(&key("a")).unwrap().is_some());
    other.kill();
    store.write(&[create("b")]).unwrap().remove(0).unwrap();
}
