//! kill -9 of a writer at random points, again and again on the same file: everything acknowledged is
//! there, no batch is there in part, and the next writer and all watchers go on with no repair.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use support::{Dice, Peer, as_child, key, say, until};
use tortie_store::{Event, Op, Selection, Store, Write};
use tortie_store_sqlite::{Options, SqliteStore};

const KILLS: u64 = 200;
/// How many of them are of a writer that has yet to make the file.
const KILLS_AT_CREATION: u64 = 40;
const OBJECTS: u64 = 12;

#[test]
fn child() {
    as_child(|_, path| write_forever(path));
}

fn options() -> Options {
    Options {
        keep: 300, // So that trimming the log is among what is killed.
        ..Options::default()
    }
}

/// Batches of puts, and deletes between; each value says which batch it is of and how large that is.
fn write_forever(path: PathBuf) {
    let store = SqliteStore::open_with(path, options()).unwrap();
    let mut dice = Dice::new(std::process::id().into());
    for turn in 0_u64.. {
        let listing = store.list(&Selection::default()).unwrap();
        let at: BTreeMap<_, _> =
            listing.items.iter().map(|stored| (stored.key.clone(), stored.revision.clone())).collect();
        if let Some(stored) = listing.items.first()
            && dice.below(5) == 0
        {
            let delete = Write::delete(stored.key.clone(), Some(stored.revision.clone()));
            say(store.write(&[delete]).unwrap().remove(0).unwrap().revision);
            continue;
        }
        let mut names: Vec<_> = (0..OBJECTS).map(|n| key(format!("o{n}"))).collect();
        let size = 1 + dice.below(4);
        while names.len() as u64 > size {
            names.swap_remove(dice.below(names.len() as u64) as usize);
        }
        let writes: Vec<_> = names
            .into_iter()
            .map(|key| {
                let value = value(&format!("{}-{turn} {size}", std::process::id()), &mut dice);
                let op = match at.get(&key) {
                    None => Op::Create(value),
                    Some(revision) => Op::Update(value, revision.clone()),
                };
                Write { key, op }
            })
            .collect();
        for result in store.write(&writes).unwrap() {
            say(result.unwrap().revision);
        }
    }
}

/// A value that shows whether it is whole: its batch, its length, its content.
fn value(batch: &str, dice: &mut Dice) -> std::sync::Arc<[u8]> {
    let most = if dice.below(8) == 0 { 30_000 } else { 500 };
    let length = 1 + dice.below(most);
    let mut text = format!("{batch} {length} ");
    text.extend((0..length).map(|n| char::from(b'a' + (n % 26) as u8)));
    text.into_bytes().into()
}

/// The batch of a value and how many changes it made; panics when the value is not whole.
fn batch_of(value: &[u8]) -> (String, usize) {
    let text = std::str::from_utf8(value).unwrap();
    let mut words = text.split(' ');
    let batch = words.next().unwrap().to_owned();
    let size = words.next().unwrap().parse().unwrap();
    let length: usize = words.next().unwrap().parse().unwrap();
    assert_eq!(words.next().unwrap().len(), length);
    (batch, size)
}

/// Lets a writer run until it has acknowledged `acks` changes and a moment more, kills it, and gives the
/// last revision that it acknowledged.
fn run_and_kill(path: &Path, acks: u64, moment: Duration) -> u64 {
    let mut writer = Peer::start("writer", path);
    let mut last = 0;
    for _ in 0..acks {
        let line = writer.line().expect("a writer goes on until it is killed");
        last = line.parse().unwrap();
    }
    // When exactly is left to chance: any point of the writer's work will do.
    let until = Instant::now() + moment;
    while Instant::now() < until {
        std::hint::spin_loop();
    }
    writer.kill();
    while let Some(line) = writer.line() {
        last = line.parse().unwrap();
    }
    last
}

/// What the file says of itself: its pages are sound, and the objects are what the log left.
fn check_file(path: &Path) {
    let sql = rusqlite::Connection::open(path).unwrap();
    let sound: String = sql.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    let strays: i64 = sql
        .query_row(
            "SELECT count(*) FROM objects o LEFT JOIN log l ON l.revision = o.revision
             WHERE o.revision >= (SELECT min(revision) FROM log)
               AND (l.name IS NOT o.name OR l.value IS NOT o.value)",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(strays, 0, "objects whose last change is not in the log");
    let lost: i64 = sql
        .query_row(
            "SELECT count(*) FROM log l LEFT JOIN objects o ON o.name = l.name
             WHERE l.revision = (SELECT max(revision) FROM log WHERE name = l.name)
               AND l.value IS NOT o.value",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(lost, 0, "last changes that are not in the objects");
}

/// Batches are whole: as many changes of each as it says.
fn check_batches(events: &[Event]) {
    let mut batches: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for event in events {
        if let Event::Put(stored) = event {
            let (batch, size) = batch_of(&stored.value);
            batches.entry(batch).or_insert((size, 0)).1 += 1;
        }
    }
    for (batch, (size, found)) in batches {
        assert_eq!(found, size, "batch {batch}");
    }
}

#[test]
fn a_writer_killed_at_any_moment_loses_no_acknowledged_write_and_leaves_no_partial_one() {
    let mut dice = Dice::seeded();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tortie.db");
    // One watcher lives through it all.
    let store = SqliteStore::open_with(&path, options()).unwrap();
    let mut watch = store.watch(&Selection::default(), &0.into()).unwrap();
    let mut last = 0;
    for kill in 0..KILLS - KILLS_AT_CREATION {
        let moment = Duration::from_micros(dice.below(6_000));
        let acks = 1 + dice.below(8);
        let acknowledged = run_and_kill(&path, acks, moment);
        let listing = store.list(&Selection::default()).unwrap();
        let end = listing.position.number().unwrap();
        assert!(end >= acknowledged, "kill {kill}: {acknowledged} was acknowledged, {} is there", end);
        let events = until(&mut *watch, &listing.position);
        for event in &events {
            assert_eq!(*event.revision(), last + 1, "kill {kill}");
            last += 1;
        }
        check_batches(&events);
        for stored in listing.items {
            batch_of(&stored.value);
        }
        check_file(&path);
    }
}

#[test]
fn a_writer_killed_while_it_creates_the_file_leaves_none_or_a_whole_one() {
    let mut dice = Dice::seeded();
    for kill in 0..KILLS_AT_CREATION {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/tortie.db");
        let mut writer = Peer::start("writer", &path);
        // From before the first step of the creation to after it.
        if kill % 2 == 0 {
            let begun = Instant::now() + support::PATIENCE;
            while !path.parent().unwrap().exists() && Instant::now() < begun {
                std::hint::spin_loop();
            }
        }
        let until = Instant::now() + Duration::from_micros(dice.below(3_000));
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        writer.kill();
        let acknowledged = std::iter::from_fn(|| writer.line()).last();
        let acknowledged: u64 = acknowledged.map_or(0, |line| line.parse().unwrap());
        let store = SqliteStore::open(&path).unwrap();
        let listing = store.list(&Selection::default()).unwrap();
        let end = listing.position.number().unwrap();
        assert!(end >= acknowledged);
        let create = Write::create(key("after"), &b"after 1 1 a"[..]);
        store.write(&[create]).unwrap().remove(0).unwrap();
        assert_eq!(store.get(&key("after")).unwrap().unwrap().revision, end + 1);
    }
}
