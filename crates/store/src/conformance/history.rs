//! What every history promises. A claim wants a store of its own in which nobody else writes, so these are no part of the suite:
//! the backends that keep a history call them by name.

use std::time::Duration;

use tortie_api::{Key, Kind};
use tortie_random::Random;

use crate::history::PutBack;
use crate::{Author, History, HistoryEntry, Selection, Store, Write};

/// Objects to write: the name of each, and its value, or none where it is deleted.
pub type Objects<'a> = [(&'a str, Option<&'a str>)];

/// The key of an object with this name.
pub fn key(name: &str) -> Key {
    Key::cluster(Kind::HostEndpoint, name)
}

/// The author of what the claims write; what must be confirmed within an hour, if anything.
pub fn author(confirm: bool) -> Author {
    Author {
        uid: 7,
        host: "web1".into(),
        command: "a command".into(),
        confirm_within: confirm.then_some(Duration::from_secs(3600)),
        ..Author::default()
    }
}

/// The history of a store that keeps one.
fn history(store: &dyn Store) -> &dyn History {
    store.history().expect("the store keeps a history")
}

/// The writes that make objects so, whatever they are now.
pub fn writes(store: &dyn Store, objects: &Objects<'_>) -> Vec<Write> {
    let write = |(name, value): &(&str, Option<&str>)| {
        let key = key(name);
        match (store.get(&key).expect("the store answers a get"), value) {
            (None, Some(value)) => Write::create(key, value.as_bytes()),
            (Some(stored), Some(value)) => Write::update(key, value.as_bytes(), stored.revision),
            (_, None) => Write::delete(key, None),
        }
    };
    objects.iter().map(write).collect()
}

/// Makes writes in one transaction. Gives its entry.
fn batch(store: &dyn Store, writes: &[Write], confirm: bool) -> HistoryEntry {
    let history = history(store);
    history.set_author(author(confirm));
    let stopped = store.write_together(writes).expect("the store answers a write").stopped;
    assert!(stopped.is_none(), "{stopped:?}");
    history.set_author(author(false));
    history.entries().expect("the history is read").remove(0)
}

/// Writes objects in one transaction. Gives its entry.
pub fn write(store: &dyn Store, objects: &Objects<'_>, confirm: bool) -> HistoryEntry {
    batch(store, &writes(store, objects), confirm)
}

/// All objects in words: `a=1 b=2`.
pub fn content(store: &dyn Store) -> String {
    let items = store.list(&Selection::default()).expect("the store answers a list").items;
    let item = |one: &crate::Stored| format!("{}={}", one.key.name, String::from_utf8_lossy(&one.value));
    items.iter().map(item).collect::<Vec<_>>().join(" ")
}

/// The names of what was put back, and of what was left.
pub fn names(done: Option<PutBack>) -> (Vec<String>, Vec<String>) {
    let done = done.expect("it waited");
    let names = |keys: Vec<Key>| keys.into_iter().map(|key| key.name).collect();
    (names(done.restored), names(done.left))
}

/// What is not confirmed is put back once, byte for byte, and the history shows that.
pub fn an_unconfirmed_change_is_put_back_byte_for_byte(store: &dyn Store) {
    let history = history(store);
    write(store, &[("a", Some("1")), ("gone", Some("x"))], false);
    let before = content(store);
    let entry = write(store, &[("a", Some("2")), ("new", Some("y")), ("gone", None)], true);
    assert!(entry.pending.is_some_and(|pending| pending.deadline > entry.time && pending.enforced.is_none()));
    history.note_enforced(&entry, 5).expect("a note");
    history.note_enforced(&entry, 6).expect("a note");
    let (found, pending) = history.pending().expect("what waits").remove(0);
    assert_eq!((found.first, pending.enforced), (entry.first, Some(5)), "the first time counts");
    let noted = history.entries().expect("the history is read").remove(0).pending;
    assert_eq!(noted, Some(pending), "entries say the same");
    let (mut restored, left) = names(history.put_back(&entry).expect("an answer"));
    restored.sort();
    assert_eq!((restored.join(" ").as_str(), left.len()), ("a gone new", 0));
    assert_eq!(content(store), before);
    assert_eq!(history.put_back(&entry).expect("an answer"), None, "once");
    assert!(!history.confirm(&entry).expect("an answer"), "it is too late");
    assert_eq!(content(store), before);
    let entries = history.entries().expect("the history is read");
    assert_eq!((entries[0].puts_back, entries[1].expired, entries[1].pending), (Some(entry.first), true, None));
}

/// An entry says which one it takes back, also where that one waited and is put back.
pub fn what_takes_another_entry_back_says_so(store: &dyn Store) {
    let history = history(store);
    let one = write(store, &[("a", Some("1"))], false);
    let two = write(store, &[("a", Some("2"))], true);
    let taking = |entry: &HistoryEntry| Author { takes_back: Some(entry.first), ..author(false) };
    history.set_author(taking(&two));
    drop(history.put_back(&two).expect("an answer"));
    history.set_author(taking(&one));
    store.write_together(&writes(store, &[("a", None)])).expect("the store answers a write");
    history.set_author(author(false));
    write(store, &[("b", Some("1"))], false);
    let entries = history.entries().expect("the history is read");
    let taken: Vec<_> = entries.iter().map(|entry| (entry.author.takes_back, entry.puts_back)).collect();
    let first = |entry: &HistoryEntry| Some(entry.first);
    assert_eq!(taken, [(None, None), (first(&one), None), (first(&two), first(&two)), (None, None), (None, None)]);
}

/// What is confirmed is not put back.
pub fn a_confirmed_change_stays(store: &dyn Store) {
    let history = history(store);
    let entry = write(store, &[("a", Some("1"))], true);
    assert!(history.confirm(&entry).expect("an answer"));
    assert!(!history.confirm(&entry).expect("an answer"), "it waits no more");
    assert_eq!(history.put_back(&entry).expect("an answer"), None);
    assert_eq!(content(store), "a=1");
}

/// A tier stays while somebody else's policy is in it, and goes with what its own entry put into it.
pub fn a_tier_that_policies_of_others_are_in_is_not_put_back(store: &dyn Store) {
    let history = history(store);
    let tier = Key::cluster(Kind::Tier, "extra");
    let exists = || store.get(&tier).expect("the store answers a get").is_some();
    let policy = |name: &str| {
        let value = br#"{"spec":{"tier":"extra"}}"#;
        Write::create(Key::cluster(Kind::GlobalNetworkPolicy, name), *value)
    };
    let entry = batch(store, &[Write::create(tier.clone(), *b"{}"), policy("extra.ours")], true);
    batch(store, &[policy("extra.theirs")], false);
    let done = history.put_back(&entry).expect("an answer").expect("it waited");
    assert_eq!(done.in_use, [(tier.clone(), policy("extra.theirs").key)]);
    assert_eq!(done.restored, [policy("extra.ours").key]);
    assert!(exists());
    batch(store, &[Write::delete(tier.clone(), None), Write::delete(policy("extra.theirs").key, None)], false);
    let entry = batch(store, &[Write::create(tier.clone(), *b"{}"), policy("extra.ours")], true);
    let done = history.put_back(&entry).expect("an answer").expect("it waited");
    assert_eq!((done.restored.len(), done.in_use.len()), (2, 0));
    assert!(!exists());
}

/// Random changes of these objects that wait, confirmed or put back in random order, for so many seeds.
pub fn in_whatever_order_changes_are_confirmed_or_expire_the_last_confirmed_version_remains(
    store: &dyn Store,
    names: &[&str],
    seeds: u64,
) {
    let history = history(store);
    let value = |name: &str| {
        let stored = store.get(&key(name)).expect("the store answers a get");
        stored.map(|one| String::from_utf8_lossy(&one.value).into_owned())
    };
    for seed in 0..seeds {
        let mut random = Random::new(seed);
        let there: Vec<_> = names.iter().filter(|name| value(name).is_some()).map(|name| (*name, None)).collect();
        if !there.is_empty() {
            write(store, &there, false);
        }
        let mut entries = Vec::new();
        // For each object the versions that entries gave it, in their order.
        let mut versions: Vec<Vec<(usize, Option<String>)>> = vec![Vec::new(); names.len()];
        for at in 0..2 + random.below(4) {
            let mut change = Vec::new();
            for (n, name) in names.iter().enumerate() {
                if random.below(2) == 0 {
                    let new = (value(name).is_none() || random.below(3) > 0).then(|| format!("{seed}-{at}"));
                    versions[n].push((at, new.clone()));
                    change.push((*name, new));
                }
            }
            let change: Vec<_> = change.iter().map(|(name, value)| (*name, value.as_deref())).collect();
            if !change.is_empty() {
                entries.push((at, write(store, &change, true)));
            }
        }
        let mut confirmed = Vec::new();
        while !entries.is_empty() {
            let (at, entry) = entries.remove(random.below(entries.len()));
            if random.below(3) == 0 {
                assert!(history.confirm(&entry).expect("an answer"));
                confirmed.push(at);
            } else {
                assert!(history.put_back(&entry).expect("an answer").is_some());
            }
        }
        for (n, name) in names.iter().enumerate() {
            let last = versions[n].iter().rev().find(|(at, _)| confirmed.contains(at));
            let expected = last.and_then(|(_, value)| value.clone());
            assert_eq!(value(name), expected, "seed {seed}, {name}: {versions:?} {confirmed:?}");
        }
        assert!(history.pending().expect("what waits").is_empty());
    }
}
