//! Eight writers and eight watchers, each a process of its own, on one file.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::path::{Path, PathBuf};

use support::{Peer, as_child, key, next, say};
use tortie_store::{Op, Selection, Store, Write, WriteError};
use tortie_store_sqlite::SqliteStore;

const PROCESSES: usize = 8;
/// What each writer does: so many objects created, so many additions to the one counter.
const TURNS: usize = 25;
const CHANGES: usize = 1 + PROCESSES * TURNS * 2;

#[test]
fn child() {
    as_child(|role, path| match role {
        "writer" => writer(path),
        "watcher" => watcher(path),
        "creator" => creator(path),
        other => panic!("{other}"),
    });
}

fn writer(path: PathBuf) {
    let store = SqliteStore::open(path).unwrap();
    say("ready");
    support::wait_for_go();
    for turn in 0..TURNS {
        let name = format!("w{}-{turn}", std::process::id());
        let create = Write::create(key(name.clone()), &b"{}"[..]);
        let written = store.write(&[create]).unwrap().remove(0).unwrap();
        say(format!("{} {name}", written.revision));
        say(format!("{} counter", add_one(&store)));
    }
}

/// Adds one to the counter at the revision where it was read, until nobody was faster.
fn add_one(store: &SqliteStore) -> u64 {
    loop {
        let stored = store.get(&key("counter")).unwrap().unwrap();
        let number: u64 = std::str::from_utf8(&stored.value).unwrap().parse().unwrap();
        let write = Write {
            key: key("counter"),
            op: Op::Update((number + 1).to_string().into_bytes().into(), stored.revision.clone()),
        };
        match store.write(&[write]).unwrap().remove(0) {
            Ok(written) => return written.revision.number().unwrap(),
            Err(WriteError::Conflict(found)) => assert!(found.revision > stored.revision),
            Err(other) => panic!("{other}"),
        }
    }
}

fn watcher(path: PathBuf) {
    let store = SqliteStore::open(path).unwrap();
    let mut watch = store.watch(&Selection::default(), &0.into()).unwrap();
    say("ready");
    for _ in 0..CHANGES {
        let event = next(&mut *watch);
        say(format!("{} {}", event.revision(), event.key().name));
    }
}

/// Starts processes and waits until each is ready.
fn ready(role: &str, path: &Path) -> Vec<Peer> {
    let mut peers: Vec<_> = (0..PROCESSES).map(|_| Peer::start(role, path)).collect();
    for peer in &mut peers {
        assert_eq!(peer.line().as_deref(), Some("ready"));
    }
    peers
}

/// Everything that processes say until their end, each on its own.
fn all_lines(peers: Vec<Peer>) -> Vec<Vec<String>> {
    peers.into_iter().map(|mut peer| std::iter::from_fn(|| peer.line()).collect()).collect()
}

#[test]
fn every_watcher_sees_every_change_once_and_in_order_and_no_update_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tortie.db");
    let store = SqliteStore::open(&path).unwrap();
    // Half of the watchers are there before there is a file.
    let mut watchers = ready("watcher", &path);
    watchers.truncate(PROCESSES / 2);
    let counter = Write::create(key("counter"), &b"0"[..]);
    store.write(&[counter]).unwrap().remove(0).unwrap();
    let mut late = ready("watcher", &path);
    watchers.extend(late.drain(..PROCESSES / 2));
    let mut writers = ready("writer", &path);
    for writer in &mut writers {
        writer.go();
    }
    let mut written: Vec<String> = all_lines(writers).concat();
    written.push("1 counter".to_owned());
    written.sort_by_key(|line| -> u64 { line.split(' ').next().unwrap().parse().unwrap() });
    assert_eq!(written.len(), CHANGES);
    for seen in all_lines(watchers) {
        assert_eq!(seen, written);
    }
    let total = store.get(&key("counter")).unwrap().unwrap().value;
    let expected = (PROCESSES * TURNS).to_string().into_bytes();
    assert_eq!(&total[..], expected);
}

fn creator(path: PathBuf) {
    say("ready");
    support::wait_for_go();
    let store = SqliteStore::open(path).unwrap();
    let name = std::process::id().to_string();
    let create = Write::create(key(name), &b"{}"[..]);
    store.write(&[create]).unwrap().remove(0).unwrap();
    say(store.created());
}

#[test]
fn of_several_first_writers_one_creates_the_file_and_all_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new/dir/tortie.db");
    let mut creators = ready("creator", &path);
    for creator in &mut creators {
        creator.go();
    }
    let said = all_lines(creators).concat();
    assert_eq!(said.len(), PROCESSES);
    assert_eq!(said.iter().filter(|created| *created == "true").count(), 1);
    let listing = SqliteStore::open(&path).unwrap().list(&Selection::default()).unwrap();
    assert_eq!(listing.items.len(), PROCESSES);
    // Nothing else is left beside it but the wake file.
    let mut names: Vec<_> = std::fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["tortie.db", "tortie.db.wake"]);
}
