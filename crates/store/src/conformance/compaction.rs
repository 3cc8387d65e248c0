//! Claims about history that is no longer kept.

use super::Subject;
use super::support::{Must, compacted, create, delete, kept, next, tier};
use crate::{Revision, Selection, Store};

fn some_history(store: &dyn Store) -> Vec<Revision> {
    (0..5).map(|n| store.one(create(&tier(&format!("t{n}")), "one")).revision).collect()
}

/// From before what is kept there is no watch; the answer names from where there is one.
pub fn a_forgotten_revision_is_answered_as_compacted(subject: &dyn Subject) {
    let store = subject.store();
    let history = some_history(&*store);
    subject.compact();
    for from in [0, history[0], history[3]] {
        let kept = compacted(&*store, from);
        assert!(kept > from, "kept since {kept}, asked from {from}");
        assert!(kept <= store.revision());
        store.follow(kept);
    }
    // The objects themselves are all there.
    let listing = store.list(&Selection::default()).expect("list");
    assert!(listing.items.len() >= history.len());
}

/// A watch that did not take its events in time is told so, rather than told less.
pub fn a_watch_that_fell_behind_is_told(subject: &dyn Subject) {
    let store = subject.store();
    let mut watch = store.follow(0);
    let history = some_history(&*store);
    assert_eq!(next(&mut *watch).revision(), history[0]);
    subject.compact();
    // What it had taken already it may still tell; then it has to say that something is missing.
    let mut told = history[0];
    let error = loop {
        match watch.next(super::PATIENCE) {
            Ok(Some(event)) => {
                assert!(history.contains(&event.revision()) && event.revision() > told);
                told = event.revision();
                if told == history[4] {
                    return; // It had taken them all: nothing is missing.
                }
            }
            Ok(None) => panic!("neither an event nor an error"),
            Err(error) => break error,
        }
    };
    kept(error, told);
}

/// The way on after "compacted": list, and watch from there.
pub fn after_compaction_a_new_list_can_be_watched(subject: &dyn Subject) {
    let store = subject.store();
    some_history(&*store);
    subject.compact();
    let listing = store.list(&Selection::default()).expect("list");
    let mut watch = store.follow(listing.revision);
    let deleted = store.one(delete(&tier("t0"), None)).revision;
    assert!(deleted > listing.revision);
    assert_eq!(next(&mut *watch).revision(), deleted);
}

/// A revision from another store's history is not waited for: the caller has to list again.
pub fn a_revision_never_reached_is_answered_as_compacted(subject: &dyn Subject) {
    let store = subject.store();
    compacted(&*store, 1);
    let last = some_history(&*store)[4];
    compacted(&*store, last + 1);
    compacted(&*store, Revision::MAX);
}
