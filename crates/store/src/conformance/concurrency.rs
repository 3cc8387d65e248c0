//! Claims about several writers and watchers at once, each with a handle of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tortie_api::Key;

use super::Subject;
use super::support::{Must, create, next, tier};
use crate::{Event, Selection, Store, Write, WriteError};

const WRITERS: usize = 4;
const TURNS: u64 = 25;

fn handles(subject: &dyn Subject) -> Vec<Arc<dyn Store>> {
    (0..WRITERS).map(|_| subject.store()).collect()
}

fn number(value: &[u8]) -> u64 {
    let text = std::str::from_utf8(value).expect("a number is text");
    text.parse().expect("a number")
}

/// Adds one to what stands there, again and again until nobody was faster.
fn increment(store: &dyn Store, key: &Key) {
    loop {
        let standing = store.standing(key);
        let sum = (number(&standing.value) + 1).to_string().into_bytes();
        match store.try_one(Write::update(key.clone(), sum, standing.revision)) {
            Ok(_) => return,
            Err(WriteError::Conflict(found)) => assert!(found.revision > standing.revision),
            Err(other) => panic!("{other}"),
        }
    }
}

/// Writers that add to one number at the revision they read: none of the additions is lost.
pub fn no_update_is_lost_among_writers(subject: &dyn Subject) {
    let counter = tier("counter");
    let store = subject.store();
    store.one(Write::create(counter.clone(), &b"0"[..]));
    thread::scope(|scope| {
        for store in handles(subject) {
            let counter = &counter;
            scope.spawn(move || (0..TURNS).for_each(|_| increment(&*store, counter)));
        }
    });
    let total = number(&store.standing(&counter).value);
    assert_eq!(total, WRITERS as u64 * TURNS);
}

/// Everyone creates the same object: one is told that it did.
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

/// All watchers are told the same: every accepted change, none twice, in the order of revisions.
pub fn every_watcher_sees_every_change_once_and_in_order(subject: &dyn Subject) {
    let (mut written, seen) = thread::scope(|scope| {
        let watchers: Vec<_> = handles(subject)
            .into_iter()
            .map(|store| {
                scope.spawn(move || {
                    let mut watch = store.follow(0);
                    (0..WRITERS as u64 * TURNS)
                        .map(|_| {
                            let event = next(&mut *watch);
                            (event.revision(), event.key().clone())
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
                            (store.one(create(&key, "one")).revision, key)
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
    for told in seen {
        assert_eq!(told, written);
    }
}

/// While objects change, every list is the sum of the changes up to its revision.
pub fn a_list_is_of_one_moment(subject: &dyn Subject) {
    let store = subject.store();
    let (left, right) = (tier("left"), tier("right"));
    store.one(Write::create(left.clone(), &b"0"[..]));
    store.one(Write::create(right.clone(), &b"0"[..]));
    let from = store.revision();
    let done = AtomicBool::new(false);
    let listings = thread::scope(|scope| {
        let reader = scope.spawn(|| list_until(&*store, &done));
        let writer = subject.store();
        let mut at = (writer.standing(&left).revision, writer.standing(&right).revision);
        for turn in 1..=TURNS {
            let number = turn.to_string().into_bytes();
            let results = writer
                .write(&[Write::update(left.clone(), number.clone(), at.0), Write::update(right.clone(), number, at.1)])
                .expect("write");
            at = (results[0].as_ref().expect("accepted").revision, results[1].as_ref().expect("accepted").revision);
        }
        done.store(true, Ordering::Release);
        reader.join().expect("no panic")
    });
    // What the watch told up to a list's revision is what the list shows.
    let mut told = std::collections::BTreeMap::new();
    let mut watch = store.follow(from);
    let mut at = from;
    for listing in listings {
        while at < listing.revision {
            let event = next(&mut *watch);
            at = event.revision();
            if let Event::Put(stored) = event {
                told.insert(stored.key.clone(), stored);
            }
        }
        assert_eq!(at, listing.revision);
        for stored in listing.items {
            if let Some(expected) = told.get(&stored.key) {
                assert_eq!(&stored, expected);
            } else {
                assert_eq!(&stored.value[..], b"0");
            }
        }
    }
}

/// Every different list until one that began after the end.
fn list_until(store: &dyn Store, done: &AtomicBool) -> Vec<crate::Listing> {
    let mut listings: Vec<crate::Listing> = Vec::new();
    loop {
        let last = done.load(Ordering::Acquire);
        let listing = store.list(&Selection::default()).expect("list");
        let known = listings.last().map_or(0, |listing| listing.revision);
        assert!(listing.revision >= known, "a list goes back in time");
        if listing.revision > known {
            listings.push(listing);
        }
        if last {
            return listings;
        }
    }
}
