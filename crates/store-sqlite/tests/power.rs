//! Power loss, a full disk and a disk that fails, on a simulated disk: only what was not acknowledged may be
//! missing, a batch is there whole or not at all, and the next writer goes on with no repair.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

#[path = "support/simulated_disk.rs"]
mod simulated_disk;

use std::collections::BTreeMap;
use std::path::Path;

use simulated_disk::{Image, Mounted};
use support::{Dice, key};
use tortie_api::Key;
use tortie_store::{Op, Selection, Store, Stored, Write};
use tortie_store_sqlite::{Options, SqliteStore};

/// What the store was after each batch.
type History = BTreeMap<u64, BTreeMap<Key, Stored>>;

fn options() -> Options {
    Options {
        keep: 100, // So that trimming the log is among what is cut off.
        ..Options::default()
    }
}

/// Puts and deletes of a few objects, some of them large.
fn some_writes(current: &BTreeMap<Key, Stored>, dice: &mut Dice) -> Vec<Write> {
    let first = dice.below(10);
    (first..first + 1 + dice.below(5))
        .map(|n| {
            let key = key(format!("o{n}"));
            let most = if dice.below(3) == 0 { 40_000 } else { 300 };
            let fill = b'a' + dice.below(26) as u8;
            let value = vec![fill; dice.below(most) as usize].into();
            let op = match current.get(&key) {
                None => Op::Create(value),
                Some(_) if dice.below(5) == 0 => Op::Delete(None),
                Some(stored) => Op::Update(value, stored.revision.clone()),
            };
            Write { key, op }
        })
        .collect()
}

fn content(store: &SqliteStore) -> (u64, BTreeMap<Key, Stored>) {
    let listing = store.list(&Selection::default()).unwrap();
    let objects = listing.items.into_iter();
    (listing.position.number().unwrap(), objects.map(|stored| (stored.key.clone(), stored)).collect())
}

/// Starts again after a power loss and compares with what was.
fn check(image: &Image, history: &History) {
    let directory = tempfile::tempdir().unwrap();
    image.restore(directory.path());
    let path = directory.path().join("new/dir/tortie.db");
    let store = SqliteStore::open_with(&path, options()).unwrap();
    let (revision, objects) = content(&store);
    assert!(revision >= image.acknowledged, "{} was acknowledged, {revision} is there", image.acknowledged);
    match history.get(&revision) {
        Some(expected) => assert!(objects == *expected, "not what was at {revision}"),
        None => panic!("{revision} is in the midst of a batch"),
    }
    store.write(&[Write::create(key("after"), &b"{}"[..])]).unwrap().remove(0).unwrap();
    drop(store);
    check_sound(&path);
}

fn check_sound(path: &Path) {
    let sound: String =
        rusqlite::Connection::open(path).unwrap().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
}

#[test]
fn power_loss_loses_only_unacknowledged_writes() {
    let mut dice = Dice::seeded();
    let directory = tempfile::tempdir().unwrap();
    let disk = Mounted::on(directory.path(), dice.below(u64::MAX >> 11), 4);
    let path = directory.path().join("new/dir/tortie.db");
    let store = SqliteStore::open_with(&path, options()).unwrap();
    let mut history = History::from([(0, BTreeMap::new())]);
    let mut checked = 0;
    // Enough for several checkpoints, each of which starts the WAL anew.
    for _ in 0..200 {
        let (_, current) = content(&store);
        let results = store.write(&some_writes(&current, &mut dice)).unwrap();
        let (revision, objects) = content(&store);
        assert_eq!(results.last().unwrap().as_ref().unwrap().revision, revision);
        history.insert(revision, objects);
        disk.acknowledge(revision);
        let mut images = disk.images();
        if dice.below(3) == 0 {
            images.push(disk.lose_power());
        }
        checked += images.len();
        images.iter().for_each(|image| check(image, &history));
    }
    assert!(checked > 50, "{checked} power losses");
    assert!(disk.syncs() >= 200, "{} syncs", disk.syncs());
}

#[test]
fn power_loss_while_the_file_is_created_leaves_none_or_a_whole_one() {
    let mut dice = Dice::seeded();
    for _ in 0..20 {
        let directory = tempfile::tempdir().unwrap();
        // At every sync.
        let disk = Mounted::on(directory.path(), dice.below(u64::MAX >> 11), 1);
        let path = directory.path().join("new/dir/tortie.db");
        let store = SqliteStore::open(&path).unwrap();
        let writes = some_writes(&BTreeMap::new(), &mut dice);
        store.write(&writes).unwrap();
        let (revision, objects) = content(&store);
        let history = History::from([(0, BTreeMap::new()), (revision, objects)]);
        disk.acknowledge(revision);
        let mut images = disk.images();
        images.extend((0..4).map(|_| disk.lose_power()));
        images.iter().for_each(|image| check(image, &history));
    }
}

/// Lets the disk fail at each step of a write in turn, until a write meets no failure.
fn fail_at_each_step(store: &SqliteStore, set: impl Fn(Option<u64>), says: &str) -> u64 {
    let mut dice = Dice::new(7);
    for step in 0.. {
        let (before, objects) = content(store);
        let writes = some_writes(&objects, &mut dice);
        set(Some(step));
        let result = store.write(&writes);
        set(None);
        let (after, _) = content(store);
        match result {
            Ok(results) => {
                let last = results.last().unwrap().as_ref().unwrap().revision.number().unwrap();
                assert_eq!(last, after);
                if step > 100 {
                    return step;
                }
            }
            Err(error) => {
                assert_eq!(after, before, "refused at step {step}, but there");
                let text = error.to_string();
                assert!(text.contains(says), "{text}");
                assert!(text.contains(&store.path().display().to_string()), "{text}");
            }
        }
    }
    unreachable!("the steps have an end")
}

#[test]
fn a_full_disk_is_reported_and_the_store_stays_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Mounted::on(directory.path(), 1, 0);
    let path = directory.path().join("tortie.db");
    disk.set_room(Some(0));
    let store = SqliteStore::open(&path).unwrap();
    let create = Write::create(key("a"), &b"{}"[..]);
    let error = store.write(&[create]).unwrap_err().to_string();
    assert!(error.contains("no space is left"), "{error}");
    disk.set_room(None);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    fail_at_each_step(&store, |room| disk.set_room(room), "no space is left");
    drop(store);
    check_sound(&path);
}

#[test]
fn a_disk_that_does_not_sync_is_reported_and_nothing_is_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Mounted::on(directory.path(), 1, 0);
    let path = directory.path().join("tortie.db");
    let store = SqliteStore::open(&path).unwrap();
    let create = Write::create(key("a"), &b"{}"[..]);
    store.write(&[create]).unwrap().remove(0).unwrap();
    fail_at_each_step(&store, |sound| disk.set_sound(sound), "disk");
    drop(store);
    check_sound(&path);
}
