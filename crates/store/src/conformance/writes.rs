//! Claims about one write: what it does, and when it is refused.

use super::Subject;
use tortie_api::{Key, Kind};

use super::support::{Must, create, delete, tier, update, update_at};
use crate::{Operation, Position, Revision, WriteError};

/// Nothing was written: nothing exists, and history is at its start.
pub fn an_empty_store_is_at_the_start_and_has_nothing(subject: &dyn Subject) {
    let store = subject.store();
    assert_eq!(store.get(&tier("a")).expect("get"), None);
    let listing = store.all();
    if store.abilities().one_history {
        assert_eq!((listing.position, listing.items), (Position::START, vec![]));
    }
    assert!(!store.describe().is_empty());
}

/// The object has the bytes, the key and the revision of its creation.
pub fn what_is_created_comes_back(subject: &dyn Subject) {
    let store = subject.store();
    let written = store.one(create(&tier("a"), "one"));
    assert_eq!(written.previous, None);
    assert!(written.revision != Revision::default());
    let stored = store.object(&tier("a"));
    assert_eq!(stored.key, tier("a"));
    assert_eq!(stored.revision, written.revision);
    store.shows(&stored, "one");
}

/// The refusal shows the object that exists, and that is unchanged.
pub fn create_is_refused_where_an_object_exists(subject: &dyn Subject) {
    let store = subject.store();
    store.one(create(&tier("a"), "one"));
    let before = store.object(&tier("a"));
    let refused = store.try_one(create(&tier("a"), "two"));
    assert_eq!(refused, Err(WriteError::Exists(before.clone())));
    assert_eq!(store.object(&tier("a")), before);
}

/// An update at the object's revision replaces it and gives back what was replaced.
pub fn update_replaces_what_is_still_at_the_revision(subject: &dyn Subject) {
    let store = subject.store();
    let first = store.one(create(&tier("a"), "one"));
    store.one(create(&tier("b"), "another object's change is no conflict"));
    let previous = store.object(&tier("a"));
    let second = store.one(update_at(&tier("a"), "two", &first.revision));
    assert_eq!(second.previous, Some(previous));
    assert!(second.revision > first.revision);
    let after = store.object(&tier("a"));
    assert_eq!(after.revision, second.revision);
    store.shows(&after, "two");
}

/// An update at an older or an unknown revision shows the object as it is, and that is unchanged.
pub fn update_of_what_moved_on_is_a_conflict(subject: &dyn Subject) {
    let store = subject.store();
    let first = store.one(create(&tier("a"), "one"));
    let second = store.one(update_at(&tier("a"), "two", &first.revision));
    let before = store.object(&tier("a"));
    let never = second.revision.number().map_or_else(|| "never".into(), |number| Revision::from(number + 1));
    for revision in [first.revision, never, 0.into()] {
        let refused = store.try_one(update(&tier("a"), "three", revision));
        assert_eq!(refused, Err(WriteError::Conflict(before.clone())));
    }
    assert_eq!(store.object(&tier("a")), before);
}

/// What does not exist can be neither replaced nor deleted, whatever the revision.
pub fn update_and_delete_of_nothing_are_missing(subject: &dyn Subject) {
    let store = subject.store();
    for _ in 0..2 {
        for write in [
            update(&tier("a"), "one", 0),
            update(&tier("a"), "one", 1),
            delete(&tier("a"), None),
            delete(&tier("a"), Some(&1.into())),
        ] {
            assert_eq!(store.try_one(write), Err(WriteError::Missing));
        }
        assert_eq!(store.get(&tier("a")).expect("get"), None);
        store.one(create(&tier("b"), "a store that has something"));
        store.one(delete(&tier("b"), None));
    }
}

/// A delete, with or without a revision, gives back what it deleted.
pub fn delete_gives_back_what_it_deleted(subject: &dyn Subject) {
    let store = subject.store();
    for at_revision in [false, true] {
        let created = store.one(create(&tier("a"), "one"));
        let before = store.object(&tier("a"));
        let revision = at_revision.then_some(&created.revision);
        let deleted = store.one(delete(&tier("a"), revision));
        assert_eq!(deleted.previous, Some(before));
        assert!(deleted.revision > created.revision);
        assert_eq!(store.get(&tier("a")).expect("get"), None);
    }
}

/// A delete at an older revision shows the object as it is, and that is unchanged.
pub fn delete_of_what_moved_on_is_a_conflict(subject: &dyn Subject) {
    let store = subject.store();
    let first = store.one(create(&tier("a"), "one"));
    store.one(update_at(&tier("a"), "two", &first.revision));
    let before = store.object(&tier("a"));
    let refused = store.try_one(delete(&tier("a"), Some(&first.revision)));
    assert_eq!(refused, Err(WriteError::Conflict(before.clone())));
    assert_eq!(store.object(&tier("a")), before);
}

/// A new object under an old name has a new revision, and the old one's revision fits it no more.
pub fn what_was_deleted_can_be_created_again(subject: &dyn Subject) {
    let store = subject.store();
    let first = store.one(create(&tier("a"), "one"));
    let deleted = store.one(delete(&tier("a"), None));
    let second = store.one(create(&tier("a"), "one"));
    assert_eq!(second.previous, None);
    assert!(first.revision < deleted.revision && deleted.revision < second.revision);
    let before = store.object(&tier("a"));
    let refused = store.try_one(update_at(&tier("a"), "two", &first.revision));
    assert_eq!(refused, Err(WriteError::Conflict(before)));
}

/// As soon as a write returns, every other handle sees it.
pub fn a_write_is_seen_through_every_handle(subject: &dyn Subject) {
    let (one, other) = (subject.store(), subject.store());
    assert_eq!(other.get(&tier("a")).expect("get"), None);
    let mut written = one.one(create(&tier("a"), "0"));
    for turn in 1..20 {
        let (writer, reader) = if turn % 2 == 0 { (&one, &other) } else { (&other, &one) };
        let note = turn.to_string();
        written = writer.one(update(&tier("a"), &note, written.revision));
        let seen = reader.object(&tier("a"));
        assert_eq!(seen.revision, written.revision);
        reader.shows(&seen, &note);
        assert!(reader.all().position.has_reached(&written.position));
    }
}

/// What a store says that it cannot do it refuses, with the operation, and nothing is changed; and a kind that it has
/// no objects of lists as nothing.
pub fn what_is_not_supported_is_refused_with_its_operation(subject: &dyn Subject) {
    let store = subject.store();
    for &kind in Kind::ALL.iter().chain(Kind::KUBERNETES) {
        let namespace = if kind.namespaced() { "prod" } else { "" };
        let key = Key { kind, namespace: namespace.into(), name: "a".into() };
        for (operation, write) in [
            (Operation::Create, create(&key, "one")),
            (Operation::Update, update(&key, "one", 1)),
            (Operation::Delete, delete(&key, None)),
        ] {
            let Err(unsupported) = store.supports(kind, operation) else { continue };
            let refused = WriteError::Unsupported { operation, reason: unsupported.reason };
            assert_eq!(store.try_one(write), Err(refused), "{kind}");
        }
        if store.supports(kind, Operation::List).is_err() {
            let listing = store.list(&crate::Selection::kind(kind)).expect("list");
            assert_eq!(listing.items, [], "{kind}");
        }
    }
}
