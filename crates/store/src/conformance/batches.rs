//! Claims about several writes in one call.

use tortie_api::{Key, Kind};

use super::Subject;
use super::support::{Must, create, delete, next, note, tier, until, update_at};
use crate::{Operation, Position, Revision, Stopped, Write, WriteError};

/// No writes, no results, no revision.
pub fn an_empty_batch_changes_nothing(subject: &dyn Subject) {
    let store = subject.store();
    assert_eq!(store.write(&[]).expect("write"), vec![]);
    let before = store.all();
    assert_eq!(store.write(&[]).expect("write"), vec![]);
    assert_eq!(store.all().items, before.items);
    if store.abilities().one_history {
        assert_eq!(before.position, Position::START);
        assert_eq!(store.all().position, before.position);
    }
}

/// Each write of a batch has its own result, given in the order of the writes.
pub fn a_refused_write_does_not_stop_the_rest(subject: &dyn Subject) {
    let store = subject.store();
    let a = store.one(create(&tier("a"), "one"));
    let b = store.one(create(&tier("b"), "one"));
    let results = store
        .write(&[
            create(&tier("a"), "refused: exists"),
            create(&tier("c"), "one"),
            update_at(&tier("missing"), "refused: missing", &a.revision),
            update_at(&tier("a"), "two", &a.revision),
            update_at(&tier("b"), "refused: conflict", &a.revision),
            delete(&tier("missing"), None),
            delete(&tier("b"), Some(&b.revision)),
        ])
        .expect("write");
    assert!(matches!(&results[0], Err(WriteError::Exists(at)) if at.revision == a.revision));
    assert!(matches!(&results[1], Ok(done) if done.previous.is_none()));
    assert_eq!(results[2], Err(WriteError::Missing));
    assert!(matches!(&results[3], Ok(done) if done.previous.is_some()));
    assert!(matches!(&results[4], Err(WriteError::Conflict(at)) if at.revision == b.revision));
    assert_eq!(results[5], Err(WriteError::Missing));
    assert!(matches!(&results[6], Ok(done) if done.previous.is_some()));
    assert_eq!(results.len(), 7);
    for (name, note) in [("a", "two"), ("c", "one")] {
        store.shows(&store.object(&tier(name)), note);
    }
    assert_eq!(store.get(&tier("b")).expect("get"), None);
}

/// Within a batch and between batches revisions grow, and each is the object's own.
pub fn every_change_has_its_own_growing_revision(subject: &dyn Subject) {
    let store = subject.store();
    let mut last = Revision::default();
    let mut position = Position::START;
    for batch in 0..5 {
        let writes: Vec<_> = (0..7).map(|n| create(&tier(&format!("t{batch}-{n}")), "one")).collect();
        for (write, result) in writes.iter().zip(store.write(&writes).expect("write")) {
            let written = result.expect("accepted");
            let revision = written.revision;
            assert!(revision > last, "{revision} after {last}");
            assert_eq!(store.object(&write.key).revision, revision);
            position.advance(&written.position);
            last = revision;
        }
    }
    assert!(store.all().position.has_reached(&position));
}

/// The same key twice in one batch: each write meets what the one before it left.
pub fn a_later_write_of_a_batch_sees_the_earlier(subject: &dyn Subject) {
    let store = subject.store();
    let key = tier("a");
    let from = store.beginning();
    let results = store
        .write(&[
            create(&key, "one"),
            create(&key, "two"),
            delete(&key, None),
            delete(&key, None),
            create(&key, "three"),
        ])
        .expect("write");
    let first = &results[0].as_ref().expect("accepted").revision;
    assert!(matches!(&results[1], Err(WriteError::Exists(at)) if at.revision == *first));
    let deleted = results[2].as_ref().expect("accepted");
    assert_eq!(deleted.previous.as_ref().map(|stored| &stored.revision), Some(first));
    assert_eq!(results[3], Err(WriteError::Missing));
    let last = results[4].as_ref().expect("accepted");
    assert!(*first < deleted.revision && deleted.revision < last.revision);
    store.shows(&store.object(&key), "three");
    // A watch gives all three, not only what was left in the end.
    let events = until(&mut *store.follow(&from), &last.position);
    let given: Vec<_> = events.iter().map(|event| event.revision()).collect();
    assert_eq!(given, [first, &deleted.revision, &last.revision]);
}

/// Every second one of many cannot be made: the others are, and the results are in their places.
pub fn a_large_batch_is_made_without_what_is_refused(subject: &dyn Subject) {
    let store = subject.store();
    let key = |n: usize| tier(&format!("t{n:03}"));
    let old = (0..300).step_by(2).map(|n| (n, store.one(create(&key(n), "old"))));
    let old: Vec<_> = old.map(|(n, written)| (n, written.revision)).collect();
    let writes: Vec<Write> = (0..300).map(|n| create(&key(n), "new")).collect();
    for (n, result) in store.write(&writes).expect("write").into_iter().enumerate() {
        let at = old.iter().find(|(place, _)| *place == n);
        match (at, result) {
            (None, Ok(written)) => assert_eq!(store.object(&key(n)).revision, written.revision),
            (Some((_, revision)), Err(WriteError::Exists(found))) => assert_eq!(found.revision, *revision),
            (_, result) => panic!("{n}: {result:?}"),
        }
    }
}

/// Hundreds of objects in one call all exist, and are given in order.
pub fn a_large_batch_is_kept_whole(subject: &dyn Subject) {
    let store = subject.store();
    let from = store.beginning();
    let before = store.all().items.len();
    let writes: Vec<Write> = (0..500).map(|n| create(&tier(&format!("t{n:03}")), "one")).collect();
    let results = store.write(&writes).expect("write");
    assert!(results.iter().all(Result::is_ok));
    let listing = store.all();
    assert_eq!(listing.items.len(), before + writes.len());
    // They may share revisions: a store may make a large batch in few steps.
    let mut watch = store.follow(&from);
    let given: Vec<_> = writes.iter().map(|_| next(&mut *watch)).collect();
    let last = results.last().and_then(|result| result.as_ref().ok()).expect("accepted");
    assert_eq!(given.last().map(|event| event.revision()), Some(&last.revision));
    assert!(watch.position().has_reached(&last.position));
    assert!(given.iter().map(|event| event.key()).eq(writes.iter().map(|write| &write.key)));
}

/// Changes of every kind in one call, each under its condition.
pub fn changes_that_belong_together_are_all_made(subject: &dyn Subject) {
    let store = subject.store();
    let a = store.one(create(&tier("a"), "one"));
    let b = store.one(create(&tier("b"), "one"));
    let writes =
        [create(&tier("c"), "new"), update_at(&tier("a"), "two", &a.revision), delete(&tier("b"), Some(&b.revision))];
    let whole = store.write_together(&writes).expect("write");
    assert!(whole.stopped.is_none(), "{whole:?}");
    let previous: Vec<_> =
        whole.made.iter().map(|written| written.previous.as_ref().map(|stored| &stored.revision)).collect();
    assert_eq!(previous, [None, Some(&a.revision), Some(&b.revision)]);
    store.shows(&store.object(&tier("a")), "two");
    assert_eq!(store.object(&tier("c")).revision, whole.made[0].revision);
    assert_eq!(store.get(&tier("b")).expect("get"), None);
    assert!(store.write_together(&[]).expect("write").made.is_empty());
}

/// A conflict, an object that exists, one that does not, or a kind that the store does not write: nothing is changed, nothing is given to watches, and each reason
/// is given; where the store has transactions.
pub fn one_refused_change_keeps_all_that_belong_to_it_back(subject: &dyn Subject) {
    let store = subject.store();
    if !store.abilities().transactions {
        return;
    }
    let a = store.one(create(&tier("a"), "one"));
    store.one(update_at(&tier("a"), "two", &a.revision));
    let before = store.all();
    let unwritable = Kind::KubernetesService;
    let writes = [
        create(&tier("new"), "one"),
        update_at(&tier("a"), "three", &a.revision),
        create(&tier("a"), "four"),
        update_at(&tier("missing"), "one", &a.revision),
        create(&Key::namespaced(unwritable, "prod", "a"), "one"),
    ];
    assert!(store.supports(unwritable, Operation::Create).is_err());
    for (refused, kind) in [(1, "conflict"), (2, "exists"), (3, "missing"), (4, "unsupported")] {
        let whole = store.write_together(&[writes[0].clone(), writes[refused].clone()]).expect("write");
        assert!(whole.made.is_empty(), "{kind}: {whole:?}");
        let Some(Stopped::Refused(reasons)) = whole.stopped else { panic!("{kind} is refused") };
        let [(1, reason)] = reasons.as_slice() else { panic!("{kind}: {reasons:?}") };
        let fits = match reason {
            WriteError::Conflict(_) => kind == "conflict",
            WriteError::Exists(_) => kind == "exists",
            WriteError::Missing => kind == "missing",
            WriteError::Unsupported { operation, .. } => kind == "unsupported" && *operation == Operation::Create,
            WriteError::Refused(_) => false,
        };
        assert!(fits, "{kind}: {reason:?}");
    }
    assert_eq!(store.all(), before);
    let next_change = store.one(create(&tier("z"), "one"));
    let given = next(&mut *store.follow(&before.position));
    assert_eq!((given.key(), given.revision()), (&tier("z"), &next_change.revision));
}

/// However many they are: what was made is the beginning, in the order of the changes, and nothing behind it.
pub fn of_many_that_belong_together_only_the_beginning_is_made(subject: &dyn Subject) {
    let store = subject.store();
    let key = |n: usize| tier(&format!("t{n:03}"));
    store.one(create(&key(250), "old"));
    let writes: Vec<Write> = (0..300).map(|n| create(&key(n), "new")).collect();
    let whole = store.write_together(&writes).expect("write");
    assert!(matches!(&whole.stopped, Some(Stopped::Refused(reasons)) if reasons[0].0 == 250), "{:?}", whole.stopped);
    assert!(whole.made.len() <= 250);
    for n in 0..300 {
        let stored = store.get(&key(n)).expect("get").map(|stored| note(&stored));
        let expected = match n {
            250 => Some("old"),
            n if n < whole.made.len() => Some("new"),
            _ => None,
        };
        assert_eq!(stored.as_deref(), expected, "{n}");
    }
}
