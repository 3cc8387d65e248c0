//! Claims about watches whose history is kept.

use std::time::Duration;

use tortie_api::Kind;

use super::support::{Must, create, delete, in_order, next, policy, tier, until, update, update_at};
use super::{PATIENCE, Subject};
use crate::{Event, Position, Revision, Selection, Store};

/// A change as it is compared: the key, the revision, and whether the object exists then.
type Change = (tortie_api::Key, Revision, bool);

fn change(event: &Event) -> Change {
    (event.key().clone(), event.revision().clone(), matches!(event, Event::Put(_)))
}

fn changes(store: &dyn Store, events: Vec<Event>) -> Vec<Change> {
    in_order(store, events).iter().map(change).collect()
}

/// Creates, updates and deletes; gives the changes as they are to be watched, in the order that the store promises, and the
/// position after all of them.
fn some_changes(store: &dyn Store) -> (Vec<Change>, Position) {
    let (a, b) = (tier("a"), policy("prod", "b"));
    let mut position = Position::START;
    let mut all = Vec::new();
    let mut note = |key: &tortie_api::Key, written: crate::Written, exists| {
        position.advance(&written.position);
        all.push((key.clone(), written.revision.clone(), exists));
        written.revision
    };
    let first = note(&a, store.one(create(&a, "one")), true);
    note(&b, store.one(create(&b, "one")), true);
    note(&a, store.one(update(&a, "two", first)), true);
    note(&a, store.one(delete(&a, None)), false);
    note(&a, store.one(create(&a, "three")), true);
    if !store.abilities().one_history {
        all.sort_by_key(|(key, ..)| key.kind);
    }
    (all, position)
}

/// From the beginning every change is given, those included that later ones undid, with its content.
pub fn a_watch_from_the_beginning_gives_everything(subject: &dyn Subject) {
    let store = subject.store();
    let from = store.beginning();
    let mut early = store.follow(&from);
    let (expected, last) = some_changes(&*store);
    let mut late = subject.store().follow(&from);
    assert_eq!(changes(&*store, until(&mut *early, &last)), expected);
    let events = in_order(&*store, until(&mut *late, &last));
    let notes = ["one", "one", "two", "", "three"];
    let mut tiers = events.iter().filter(|event| event.key().kind == Kind::Tier);
    for note in [notes[0], notes[2], notes[3], notes[4]] {
        match tiers.next() {
            Some(Event::Put(stored)) => store.shows(stored, note),
            Some(Event::Deleted(..)) => assert_eq!(note, ""),
            None => panic!("a change of the tier is missing"),
        }
    }
    assert_eq!(events.iter().map(change).collect::<Vec<_>>(), expected);
}

/// From wherever a watch was on, exactly the later changes are given.
pub fn a_watch_from_a_position_gives_what_came_after(subject: &dyn Subject) {
    let store = subject.store();
    let mut first = store.follow(&store.beginning());
    let (expected, last) = some_changes(&*store);
    let mut given = Vec::new();
    while given.len() < expected.len() {
        given.push(change(&next(&mut *first)));
        let mut rest = expected.clone();
        rest.retain(|one| !given.contains(one));
        let mut watch = store.follow(&first.position());
        if rest.is_empty() {
            assert_eq!(watch.next(Duration::ZERO).expect("next"), None);
        } else {
            assert_eq!(changes(&*store, until(&mut *watch, &last)), rest);
        }
    }
    assert!(first.position().has_reached(&last));
}

/// What a list shows is not given again, and what came after it is.
pub fn a_list_and_a_watch_from_it_miss_nothing_and_repeat_nothing(subject: &dyn Subject) {
    let store = subject.store();
    store.one(create(&tier("before"), "one"));
    let listing = store.all();
    let between = store.one(create(&tier("between"), "one"));
    let mut watch = store.follow(&listing.position);
    let after = store.one(create(&tier("after"), "one"));
    let given: Vec<_> = until(&mut *watch, &after.position).iter().map(|event| event.revision().clone()).collect();
    assert_eq!(given, [between.revision, after.revision]);
}

/// Changes of other objects are passed over, and do not delay those after them.
pub fn a_watch_gives_what_its_selection_names(subject: &dyn Subject) {
    let store = subject.store();
    let prod = Some("prod".to_owned());
    let from = store.beginning();
    let watch = |selection: Selection| store.watch(&selection, &from).expect("watch");
    let mut of_kind = watch(Selection::kind(Kind::Tier));
    let mut of_namespace = watch(Selection { namespace: prod.clone(), ..Selection::default() });
    let mut of_both = watch(Selection { kind: Some(Kind::NetworkSet), namespace: prod, ..Selection::default() });
    let (mut tiers, _) = some_changes(&*store);
    let set = tortie_api::Key { kind: Kind::NetworkSet, namespace: "prod".into(), name: "s".into() };
    let set_revision = store.one(create(&set, "one")).revision;
    tiers.retain(|(key, ..)| key.kind == Kind::Tier);
    let given: Vec<_> = tiers.iter().map(|_| change(&next(&mut *of_kind))).collect();
    assert_eq!(given, tiers);
    assert_eq!(of_kind.next(Duration::ZERO).expect("next"), None);
    let given: Vec<_> = (0..2).map(|_| next(&mut *of_namespace).key().name.clone()).collect();
    assert_eq!(given, ["b", "s"]);
    assert_eq!(*next(&mut *of_both).revision(), set_revision);
}

/// Asking without waiting is answered at once, again and again.
pub fn a_watch_without_changes_says_so(subject: &dyn Subject) {
    let store = subject.store();
    let mut watch = store.follow(&store.beginning());
    for _ in 0..3 {
        assert_eq!(watch.next(Duration::ZERO).expect("next"), None);
    }
    let revision = store.one(create(&tier("a"), "one")).revision;
    assert_eq!(*next(&mut *watch).revision(), revision);
    for _ in 0..3 {
        assert_eq!(watch.next(Duration::ZERO).expect("next"), None);
    }
}

/// A change made while the watch waits ends the waiting, also when another handle made it.
pub fn a_watch_waits_for_a_later_change(subject: &dyn Subject) {
    let (store, other) = (subject.store(), subject.store());
    let mut watch = store.follow(&store.beginning());
    std::thread::scope(|scope| {
        // One event a turn, each written only after the one before it was given: so the watch is mostly
        // waiting when it comes.
        let (given, taken) = std::sync::mpsc::channel();
        scope.spawn(move || {
            for turn in 0..20 {
                let revision = other.one(create(&tier(&format!("t{turn}")), "one")).revision;
                let seen: Revision = taken.recv_timeout(PATIENCE).expect("the event is given");
                assert_eq!(seen, revision);
            }
        });
        for _ in 0..20 {
            given.send(next(&mut *watch).revision().clone()).expect("the writer listens");
        }
    });
}

/// The change after a refused one is the next event.
pub fn refused_writes_are_not_given(subject: &dyn Subject) {
    let store = subject.store();
    let mut watch = store.follow(&store.beginning());
    let first = store.one(create(&tier("a"), "one"));
    let second = store.one(update_at(&tier("a"), "two", &first.revision));
    next(&mut *watch);
    next(&mut *watch);
    let refused = store
        .write(&[
            create(&tier("a"), "refused"),
            update_at(&tier("a"), "refused", &first.revision),
            delete(&tier("missing"), None),
        ])
        .expect("write");
    assert!(refused.iter().all(Result::is_err));
    let last = store.one(create(&tier("b"), "one")).revision;
    assert!(last != second.revision);
    assert_eq!(*next(&mut *watch).revision(), last);
}

/// The position of a write is reached as soon as a watch has given the change, and not before; and where the store
/// stands after it is never before it.
pub fn the_position_of_a_write_is_reached_when_it_is_given(subject: &dyn Subject) {
    let store = subject.store();
    let mut watch = store.follow(&store.beginning());
    let mut all = Position::START;
    for key in [tier("a"), policy("prod", "b"), tier("c")] {
        let written = store.one(create(&key, "one"));
        assert!(!watch.position().has_reached(&written.position), "{key}");
        assert!(store.position().expect("position").has_reached(&written.position), "{key}");
        assert_eq!(*next(&mut *watch).key(), key);
        assert!(watch.position().has_reached(&written.position), "{key}");
        all.advance(&written.position);
    }
    assert!(store.all().position.has_reached(&all) && watch.position().has_reached(&all));
    assert!(!watch.position().is_behind(&all));
}
