//! Who changed what, and how it is put back.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use tortie_random::Random;
use tortie_store::conformance::history::{self, content, key, names, write};
use tortie_store::history::{PastError, content_at};
use tortie_store::{History, Listing, Selection, Store, Write};
use tortie_store_sqlite::{Options, SqliteStore};

fn store() -> (tempfile::TempDir, SqliteStore) {
    let place = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(place.path().join("tortie.db")).unwrap();
    (place, store)
}

#[test]
fn a_history_entry_has_its_author_and_the_content_before_each_change() {
    let (_place, store) = store();
    write(&store, &[("a", Some("1"))], false);
    let entry = write(&store, &[("a", Some("2")), ("b", Some("1"))], false);
    assert_eq!((entry.first, entry.last, entry.author.uid, entry.author.command.as_str()), (2, 3, 7, "a command"));
    assert!(entry.pending.is_none() && entry.time > 1_600_000_000_000);
    let changes = store.changes(&entry).unwrap();
    let text = |value: &Option<std::sync::Arc<[u8]>>| value.as_ref().map(|v| String::from_utf8_lossy(v).into_owned());
    let found: Vec<_> =
        changes.iter().map(|one| (one.revision, one.key.name.as_str(), text(&one.before), text(&one.after))).collect();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(found, [(2, "a", some("1"), some("2")), (3, "b", None, some("1"))]);
    // What changed nothing is no entry.
    assert!(store.write_together(&[Write::create(key("a"), *b"3")]).unwrap().stopped.is_some());
    assert_eq!(store.entries().unwrap().len(), 2);
}

#[test]
fn an_unconfirmed_change_is_put_back_byte_for_byte() {
    let (_place, store) = store();
    history::an_unconfirmed_change_is_put_back_byte_for_byte(&store);
}

#[test]
fn a_confirmed_change_stays() {
    let (_place, store) = store();
    history::a_confirmed_change_stays(&store);
}

#[test]
fn objects_that_somebody_else_changed_since_stay_and_the_others_are_put_back() {
    let (_place, store) = store();
    write(&store, &[("a", Some("1")), ("b", Some("1")), ("c", Some("1"))], false);
    let entry = write(&store, &[("a", Some("2")), ("b", Some("2")), ("c", Some("2"))], true);
    write(&store, &[("b", Some("theirs")), ("c", None)], false);
    let (restored, left) = names(store.put_back(&entry).unwrap());
    assert_eq!((restored, left), (vec!["a".into()], vec!["b".into(), "c".into()]));
    assert_eq!(content(&store), "a=1 b=theirs");
}

#[test]
fn an_object_that_somebody_else_wrote_again_with_equal_content_stays() {
    let (_place, store) = store();
    write(&store, &[("a", Some("1")), ("b", Some("1"))], false);
    let entry = write(&store, &[("a", Some("2")), ("b", None)], true);
    write(&store, &[("a", Some("3")), ("b", Some("4"))], false);
    write(&store, &[("a", Some("2")), ("b", None)], false);
    let (restored, left) = names(store.put_back(&entry).unwrap());
    assert_eq!((restored.len(), left), (0, vec!["a".into(), "b".into()]));
    assert_eq!(content(&store), "a=2");
}

#[test]
fn a_tier_that_policies_of_others_are_in_is_not_put_back() {
    let (_place, store) = store();
    history::a_tier_that_policies_of_others_are_in_is_not_put_back(&store);
}

#[test]
fn the_history_shows_what_expired_and_what_put_it_back() {
    let (_place, store) = store();
    let entry = write(&store, &[("a", Some("1"))], true);
    store.put_back(&entry).unwrap().unwrap();
    let entries = store.entries().unwrap();
    let found: Vec<_> = entries.iter().map(|entry| (entry.first, entry.expired, entry.puts_back)).collect();
    assert_eq!(found, [(2, false, Some(1)), (1, true, None)]);
}

#[test]
fn what_takes_another_entry_back_says_so() {
    let (_place, store) = store();
    history::what_takes_another_entry_back_says_so(&store);
}

#[test]
fn several_unconfirmed_changes_do_not_affect_each_other() {
    // The later one changes the same object; whichever is put back first, what was confirmed last is the end.
    for first_ends_first in [true, false] {
        let (_place, store) = store();
        write(&store, &[("a", Some("1"))], false);
        let one = write(&store, &[("a", Some("2"))], true);
        let two = write(&store, &[("a", Some("3"))], true);
        let order = if first_ends_first { [&one, &two] } else { [&two, &one] };
        order.iter().for_each(|entry| drop(store.put_back(entry).unwrap()));
        assert_eq!(content(&store), "a=1", "{first_ends_first}");
    }
    let (_place, store) = store();
    write(&store, &[("a", Some("1"))], false);
    let one = write(&store, &[("a", Some("2"))], true);
    let two = write(&store, &[("a", Some("3"))], true);
    store.confirm(&two).unwrap();
    assert_eq!(names(store.put_back(&one).unwrap()).1, ["a"]);
    assert_eq!(content(&store), "a=3", "the confirmed one stays");
}

#[test]
fn in_whatever_order_changes_are_confirmed_or_expire_the_last_confirmed_version_remains() {
    let (_place, store) = store();
    history::in_whatever_order_changes_are_confirmed_or_expire_the_last_confirmed_version_remains(
        &store,
        &["a", "b", "c"],
        150,
    );
}

#[test]
fn the_log_keeps_what_may_have_to_be_put_back() {
    let place = tempfile::tempdir().unwrap();
    let options = Options { keep: 5, ..Options::default() };
    let store = SqliteStore::open_with(place.path().join("tortie.db"), options).unwrap();
    write(&store, &[("a", Some("1"))], false);
    let entry = write(&store, &[("a", Some("2"))], true);
    for round in 0..200 {
        write(&store, &[("other", Some(&round.to_string()))], false);
    }
    assert_eq!(names(store.put_back(&entry).unwrap()).0, ["a"]);
    assert!(content(&store).starts_with("a=1"));
    // Then it is trimmed, entries and all.
    for round in 0..200 {
        write(&store, &[("other", Some(&round.to_string()))], false);
    }
    assert!(store.entries().unwrap().len() < 40, "{}", store.entries().unwrap().len());
}

fn tamper(path: &Path, sql: &str) {
    rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn the_file_of_an_older_release_is_read_unchanged_and_converted_by_the_first_write() {
    let (place, store) = store();
    let path = place.path().join("tortie.db");
    write(&store, &[("a", Some("1"))], false);
    drop(store);
    tamper(&path, "ALTER TABLE log DROP COLUMN before; DROP TABLE acts; PRAGMA user_version = 1");
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(content(&store), "a=1");
    assert!(store.entries().unwrap().is_empty());
    let version = |path: &Path| -> i64 {
        let sql = rusqlite::Connection::open(path).unwrap();
        sql.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(version(&path), 1, "reading changes nothing");
    let mut watch = store.watch(&Selection::default(), &0.into()).unwrap();
    assert!(watch.next(Duration::ZERO).unwrap().is_some());
    let entry = write(&store, &[("a", Some("2"))], true);
    assert_eq!(version(&path), 2);
    assert!(watch.next(Duration::from_secs(30)).unwrap().is_some(), "a watch goes on");
    assert_eq!(names(store.put_back(&entry).unwrap()).0, ["a"]);
    assert_eq!(content(&store), "a=1");
}

#[test]
fn the_content_after_each_revision_is_known_as_far_as_the_log_goes() {
    let (_place, store) = store();
    let now = || store.list(&Selection::default()).unwrap();
    let told = |listing: Listing| {
        let item = |one: &tortie_store::Stored| format!("{}={}", one.key.name, String::from_utf8_lossy(&one.value));
        listing.items.iter().map(item).collect::<Vec<_>>().join(" ")
    };
    let mut random = Random::new(5);
    let mut known: Vec<(u64, String)> = vec![(now().position.number().unwrap(), content(&store))];
    for turn in 0..60 {
        let names = ["a", "b", "c", "d"];
        let mut objects: Vec<(&str, Option<String>)> = Vec::new();
        for name in names {
            let exists = store.get(&key(name)).unwrap().is_some();
            match random.below(3) {
                0 if exists => objects.push((name, None)),
                1 => objects.push((name, Some(format!("\"{turn}\"")))),
                _ => {}
            }
        }
        if objects.is_empty() {
            continue;
        }
        let objects: Vec<(&str, Option<&str>)> =
            objects.iter().map(|(name, value)| (*name, value.as_deref())).collect();
        let entry = write(&store, &objects, random.once_in(4));
        known.push((entry.last, content(&store)));
        // What waits is put back out of order, which tells later changes that wait what to put back.
        if random.once_in(4)
            && let Some((entry, _)) = store.pending().unwrap().pop()
        {
            store.put_back(&entry).unwrap();
            known.push((now().position.number().unwrap(), content(&store)));
        }
    }
    for (revision, content) in &known {
        assert_eq!(told(content_at(&store, &now(), *revision).unwrap()), *content, "after revision {revision}");
    }
    // The middle of a transaction was never seen: its end is meant.
    let entry = store.entries().unwrap().into_iter().find(|entry| entry.first < entry.last).unwrap();
    let [first, last] = [entry.first, entry.last].map(|revision| told(content_at(&store, &now(), revision).unwrap()));
    assert_eq!(first, last);
    let last = now().position.number().unwrap();
    assert!(matches!(content_at(&store, &now(), last + 1), Err(PastError::Future { .. })));
}

#[test]
fn the_content_of_a_revision_before_the_log_is_unknown() {
    let (place, store) = store();
    let keep = Options { keep: 10, ..Options::default() };
    drop(store);
    let store = SqliteStore::open_with(place.path().join("tortie.db"), keep).unwrap();
    for turn in 0..100 {
        write(&store, &[("a", Some(&format!("\"{turn}\""))), ("b", Some(&format!("\"{turn}\"")))], false);
    }
    let now = store.list(&Selection::default()).unwrap();
    let last = now.position.number().unwrap();
    let Err(PastError::NotKept { oldest, .. }) = content_at(&store, &now, 1) else { panic!("revision 1 is kept") };
    assert!(oldest > last - 60 && oldest < last, "{oldest} of {last}");
    content_at(&store, &now, oldest).unwrap();
    assert!(matches!(content_at(&store, &now, oldest - 1), Err(PastError::NotKept { .. })));
}
