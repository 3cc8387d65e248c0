//! Claims about several writers and watchers at once, each with a handle of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tortie_api::Key;

use super::Subject;
use super::support::{Must, create, next, note, tier, update_at};
use crate::{Event, Listing, Store, Stored, WriteError};

const WRITERS: usize = 4;
const TURNS: u64 = 25;

fn handles(subject: &dyn Subject) -> Vec<Arc<dyn Store>> {
    (0..WRITERS).map(|_| subject.store()).collect()
}

fn number(stored: &Stored) -> u64 {
    note(stored).parse().expect("a number")
}

/// Adds one to a number, again and again until nobody was faster.
fn increment(store: &dyn Store, key: &Key) {
    loop {
        let before = store.object(key);
        let sum = (number(&before) + 1).to_string();
        match store.try_one(update_at(key, &sum, &before.revision)) {
            Ok(_) => return,
            Err(WriteError::Conflict(found)) => assert!(found.revision != before.revision),
            Err(other) => panic!("{other}"),
        }
    }
}

/// Writers that add to one number at the revision they read: none of the additions is lost.
pub fn no_update_is_lost_among_writers(subject: &dyn Subject) {
    let counter = tier("counter");
    let store = subject.store();
    store.one(create(&counter, "0"));
    thread::scope(|scope| {
        for store in handles(subject) {
            let counter = &counter;
            scope.spawn(move || (0..TURNS).for_each(|_| increment(&*store, counter)));
        }
    });
    let total = number(&store.object(&counter));
    assert_eq!(total, WRITERS as u64 * TURNS);
}

/// Everyone creates the same object: exactly one create succeeds.
pub fn one_of_many_creators_wins(subject: &dyn Subject) {
    let stores = handles(subject);
    for turn in 0..10 {
        let key = tier(&format!("t{turn}"));
        let made = thread::scope(|scope| {
            let tries: Vec<_> = stores.iter().map(|store| scope.spawn(|| store.try_one(create(&key, "one")))).collect();
            tries
                .into_iter()
                .map(|tried| tried.join().expect("no panic"))
                .filter(|result| match result {
                    Ok(_) => true,
                    Err(WriteError::Exists(_)) => false,
                    Err(other) => panic!("{other}"),
                })
                .count()
        });
        assert_eq!(made, 1);
    }
}

/// All watchers are given the same: every accepted change, none twice, in the order of revisions.
pub fn every_watcher_sees_every_change_once_and_in_order(subject: &dyn Subject) {
    let from = &subject.store().beginning();
    let (mut written, seen) = thread::scope(|scope| {
        let watchers: Vec<_> = handles(subject)
            .into_iter()
            .map(|store| {
                scope.spawn(move || {
                    let mut watch = store.follow(from);
                    (0..WRITERS as u64 * TURNS)
                        .map(|_| {
                            let event = next(&mut *watch);
                            (event.revision().number(), event.key().clone())
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        let writers: Vec<_> = handles(subject)
            .into_iter()
            .enumerate()
            .map(|(writer, store)| {
                scope.spawn(move || {
                    (0..TURNS)
                        .map(|turn| {
                            let key = tier(&format!("w{writer}-{turn}"));
                            (store.one(create(&key, "one")).revision.number(), key)
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        let written: Vec<_> = writers.into_iter().flat_map(|writer| writer.join().expect("no panic")).collect();
        let seen: Vec<_> = watchers.into_iter().map(|watcher| watcher.join().expect("no panic")).collect();
        (written, seen)
    });
    written.sort();
    for given in seen {
        assert_eq!(given, written);
    }
}

/// While objects change, every list is the sum of the changes up to its position, where there is one history.
pub fn a_list_is_of_one_moment(subject: &dyn Subject) {
    let store = subject.store();
    if !store.abilities().one_history {
        return;
    }
    let (left, right) = (tier("left"), tier("right"));
    store.one(create(&left, "0"));
    store.one(create(&right, "0"));
    let from = store.all().position;
    let done = AtomicBool::new(false);
    let listings = thread::scope(|scope| {
        let reader = scope.spawn(|| list_until(&*store, &done));
        let writer = subject.store();
        let mut at = (writer.object(&left).revision, writer.object(&right).revision);
        for turn in 1..=TURNS {
            let number = turn.to_string();
            let writes = [update_at(&left, &number, &at.0), update_at(&right, &number, &at.1)];
            let mut results = writer.write(&writes).expect("write").into_iter().map(|result| result.expect("accepted"));
            let mut next = || results.next().expect("a result for each").revision;
            at = (next(), next());
        }
        done.store(true, Ordering::Release);
        reader.join().expect("no panic")
    });
    // What the watch gave up to a list's position is what the list shows.
    let mut given = std::collections::BTreeMap::new();
    let mut watch = store.follow(&from);
    for listing in listings {
        while !watch.position().has_reached(&listing.position) {
            if let Event::Put(stored) = next(&mut *watch) {
                given.insert(stored.key.clone(), stored);
            }
        }
        assert_eq!(watch.position(), listing.position);
        for stored in listing.items {
            if let Some(expected) = given.get(&stored.key) {
                assert_eq!(&stored, expected);
            } else {
                assert_eq!(number(&stored), 0);
            }
        }
    }
}

/// Every different list until one that began after the end.
fn list_until(store: &dyn Store, done: &AtomicBool) -> Vec<Listing> {
    let mut listings: Vec<Listing> = Vec::new();
    loop {
        let last = done.load(Ordering::Acquire);
        let listing = store.all();
        let known = listings.last().map(|listing| listing.position.clone()).unwrap_or_default();
        assert!(listing.position.has_reached(&known), "a list goes back in time");
        if listing.position != known {
            listings.push(listing);
        }
        if last {
            return listings;
        }
    }
}
