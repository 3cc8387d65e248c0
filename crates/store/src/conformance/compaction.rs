//! Claims about history that is no longer kept.

use tortie_api::Kind;

use super::Subject;
use super::support::{Must, create, delete, forgotten, kept, next, policy, tier, update};
use crate::{Position, Selection, Store, StoreError, Written};

fn some_history(store: &dyn Store) -> Vec<Written> {
    (0..5).map(|n| store.one(create(&tier(&format!("t{n}")), "one"))).collect()
}

/// From before what is kept there is no watch; the answer names from where there is one.
pub fn a_forgotten_position_is_answered_as_compacted(subject: &dyn Subject) {
    let store = subject.store();
    let before = store.beginning();
    let history = some_history(&*store);
    subject.compact();
    if !store.abilities().one_history {
        let error = forgotten(&*store, &before);
        assert!(matches!(error, StoreError::Expired { .. } | StoreError::Compacted { .. }), "{error}");
    } else {
        for from in [&Position::START, &history[0].position, &history[3].position] {
            let kept = kept(forgotten(&*store, from), from);
            assert!(from.is_behind(&kept), "kept since {kept}, asked from {from}");
            assert!(store.all().position.has_reached(&kept));
            store.follow(&kept);
        }
    }
    // The objects themselves all exist.
    assert!(store.all().items.len() >= history.len());
}

/// A watch that did not take its events in time gets an error, not fewer events.
pub fn a_watch_that_fell_behind_gets_an_error(subject: &dyn Subject) {
    let store = subject.store();
    let mut watch = store.follow(&store.beginning());
    let history: Vec<_> = some_history(&*store).into_iter().map(|written| written.revision).collect();
    assert_eq!(*next(&mut *watch).revision(), history[0]);
    subject.compact();
    // What it had received already it may still give; then it has to say that something is missing.
    let mut given = 1;
    let error = loop {
        let before = watch.position();
        match watch.next(super::PATIENCE) {
            Ok(Some(event)) => {
                assert_eq!(*event.revision(), history[given], "nothing is left out");
                given += 1;
                if given == history.len() {
                    return; // It had received them all: nothing is missing.
                }
            }
            Ok(None) => panic!("neither an event nor an error"),
            Err(error) => break (error, before),
        }
    };
    match error {
        // The history of every kind was compacted, and any of them may be the first that is found lost.
        (StoreError::Expired { .. }, _) => {}
        (error, before) => drop(kept(error, &before)),
    }
}

/// The way on after "compacted": list, and watch from there.
pub fn after_compaction_a_new_list_can_be_watched(subject: &dyn Subject) {
    let store = subject.store();
    some_history(&*store);
    subject.compact();
    let mut watch = store.follow(&store.all().position);
    let deleted = store.one(delete(&tier("t0"), None));
    let event = next(&mut *watch);
    assert_eq!(*event.key(), tier("t0"));
    assert!(watch.position().has_reached(&deleted.position));
}

/// A position from another store's history is not waited for: the caller has to list again.
pub fn a_position_never_reached_is_answered_as_compacted(subject: &dyn Subject) {
    let store = subject.store();
    if !store.abilities().one_history {
        return;
    }
    let never = |from: Position| drop(kept(forgotten(&*store, &from), &from));
    never(Position::at(1));
    let last = some_history(&*store)[4].position.number().expect("there is one history");
    never(Position::at(last + 1));
    never(Position::at(u64::MAX));
}

/// A kind whose history is lost is listed and watched again alone; no change of another kind is lost or given twice by that.
pub fn an_expired_kind_is_resumed_and_the_others_go_on(subject: &dyn Subject) {
    let store = subject.store();
    if store.abilities().one_history {
        return;
    }
    let key = policy("prod", "a");
    let first = store.one(create(&key, "one"));
    let from = store.position().expect("the store says where it stands");
    let mut watch = store.follow(&from);
    some_history(&*store);
    if !subject.expire(Kind::Tier) {
        return;
    }
    let other = store.one(update(&key, "two", first.revision));
    let mut events = Vec::new();
    let mut expired = false;
    while !expired || events.is_empty() {
        match watch.next(super::PATIENCE) {
            Ok(Some(event)) => events.push(event),
            Ok(None) => panic!("neither an event nor an error"),
            Err(StoreError::Expired { kind: Kind::Tier }) => expired = true,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(events.iter().map(|event| event.key()).collect::<Vec<_>>(), [&key]);
    let before = store.one(create(&tier("before"), "one"));
    assert!(!watch.position().has_reached(&before.position), "what expired is not known");
    let listing = store.list(&Selection::kind(Kind::Tier)).expect("list");
    watch.resume(Kind::Tier, &listing.position).expect("resume");
    assert!(watch.position().has_reached(&before.position) && watch.position().has_reached(&other.position));
    let after = store.one(create(&tier("after"), "one"));
    assert_eq!(*next(&mut *watch).revision(), after.revision, "what the list had is not given again");
    let last = store.one(update(&key, "three", other.revision));
    assert_eq!(*next(&mut *watch).revision(), last.revision);
}
