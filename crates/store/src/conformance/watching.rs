//! Claims about watches that fall behind nothing.

use std::time::Duration;

use tortie_api::Kind;

use super::support::{Must, create, delete, next, policy, tier, until, update, value};
use super::{PATIENCE, Subject};
use crate::{Event, Revision, Selection, Store, Stored};

/// Creates, updates and deletes, and gives the events that tell of it.
fn some_changes(store: &dyn Store) -> Vec<Event> {
    let put = |key: &tortie_api::Key, note, revision| {
        Event::Put(Stored { key: key.clone(), revision, value: value(key, note) })
    };
    let (a, b) = (tier("a"), policy("prod", "b"));
    let r1 = store.one(create(&a, "one")).revision;
    let r2 = store.one(create(&b, "one")).revision;
    let r3 = store.one(update(&a, "two", r1)).revision;
    let r4 = store.one(delete(&a, None)).revision;
    let r5 = store.one(create(&a, "three")).revision;
    vec![
        put(&a, "one", r1),
        put(&b, "one", r2),
        put(&a, "two", r3),
        Event::Deleted(a.clone(), r4),
        put(&a, "three", r5),
    ]
}

fn last(events: &[Event]) -> Revision {
    events.last().map_or(0, Event::revision)
}

/// From revision 0 every change is told, those included that later ones undid.
pub fn a_watch_from_zero_tells_everything(subject: &dyn Subject) {
    let store = subject.store();
    let mut early = store.follow(0);
    let expected = some_changes(&*store);
    let mut late = subject.store().follow(0);
    assert_eq!(until(&mut *early, last(&expected)), expected);
    assert_eq!(until(&mut *late, last(&expected)), expected);
}

/// From any revision on, exactly the later changes are told.
pub fn a_watch_from_a_revision_tells_what_came_after(subject: &dyn Subject) {
    let store = subject.store();
    let expected = some_changes(&*store);
    for (place, event) in expected.iter().enumerate() {
        let mut watch = store.follow(event.revision());
        let after = &expected[place + 1..];
        if after.is_empty() {
            assert_eq!(watch.next(Duration::ZERO).expect("next"), None);
        } else {
            assert_eq!(until(&mut *watch, last(after)), after);
        }
    }
}

/// What a list shows is not told again, and what came after it is.
pub fn a_list_and_a_watch_from_it_miss_nothing_and_repeat_nothing(subject: &dyn Subject) {
    let store = subject.store();
    store.one(create(&tier("before"), "one"));
    let listing = store.list(&Selection::default()).expect("list");
    let between = store.one(create(&tier("between"), "one")).revision;
    let mut watch = store.follow(listing.revision);
    let after = store.one(create(&tier("after"), "one")).revision;
    let told: Vec<_> = until(&mut *watch, after).iter().map(Event::revision).collect();
    assert_eq!(told, [between, after]);
}

/// Changes of other objects are passed over, and do not stand in the way of those after them.
pub fn a_watch_tells_what_its_selection_names(subject: &dyn Subject) {
    let store = subject.store();
    let prod = Some("prod".to_owned());
    let mut of_kind = store.watch(&Selection::kind(Kind::Tier), 0).expect("watch");
    let mut of_namespace = store.watch(&Selection { kind: None, namespace: prod.clone() }, 0).expect("watch");
    let mut of_both = store.watch(&Selection { kind: Some(Kind::NetworkSet), namespace: prod }, 0).expect("watch");
    let expected = some_changes(&*store);
    let set = tortie_api::Key { kind: Kind::NetworkSet, namespace: "prod".into(), name: "s".into() };
    let set_revision = store.one(create(&set, "one")).revision;
    let tiers: Vec<_> = expected.iter().filter(|event| event.key().kind == Kind::Tier).cloned().collect();
    assert_eq!(until(&mut *of_kind, last(&tiers)), tiers);
    assert_eq!(of_kind.next(Duration::ZERO).expect("next"), None);
    let told: Vec<_> = until(&mut *of_namespace, set_revision).iter().map(|event| event.key().name.clone()).collect();
    assert_eq!(told, ["b", "s"]);
    assert_eq!(next(&mut *of_both).revision(), set_revision);
}

/// Asking without waiting is answered at once, again and again.
pub fn a_watch_without_changes_says_so(subject: &dyn Subject) {
    let store = subject.store();
    let mut watch = store.follow(0);
    for _ in 0..3 {
        assert_eq!(watch.next(Duration::ZERO).expect("next"), None);
    }
    let revision = store.one(create(&tier("a"), "one")).revision;
    assert_eq!(next(&mut *watch).revision(), revision);
    for _ in 0..3 {
        assert_eq!(watch.next(Duration::ZERO).expect("next"), None);
    }
}

/// A change made while the watch waits ends the waiting, also when another handle made it.
pub fn a_watch_waits_for_a_later_change(subject: &dyn Subject) {
    let (store, other) = (subject.store(), subject.store());
    let mut watch = store.follow(0);
    std::thread::scope(|scope| {
        // One event a turn, each written only after the one before it was told: so the watch is mostly
        // waiting when it comes.
        let (told, tell) = std::sync::mpsc::channel();
        scope.spawn(move || {
            for turn in 0..20 {
                let revision = other.one(create(&tier(&format!("t{turn}")), "one")).revision;
                let seen: Revision = tell.recv_timeout(PATIENCE).expect("the event is told");
                assert_eq!(seen, revision);
            }
        });
        for _ in 0..20 {
            told.send(next(&mut *watch).revision()).expect("the writer listens");
        }
    });
}

/// The change after a refused one is the next event.
pub fn refused_writes_are_not_told(subject: &dyn Subject) {
    let store = subject.store();
    let mut watch = store.follow(0);
    store.one(create(&tier("a"), "one"));
    next(&mut *watch);
    store
        .write(&[create(&tier("a"), "refused"), update(&tier("a"), "refused", 999_999), delete(&tier("missing"), None)])
        .expect("write");
    let revision = store.one(create(&tier("b"), "one")).revision;
    assert_eq!(next(&mut *watch).revision(), revision);
}
