//! Claims about one write: what it does, and when it is refused.

use super::Subject;
use super::support::{Must, create, delete, tier, update, value};
use crate::{Selection, WriteError};

/// Nothing was written: nothing is there, and the revision is 0.
pub fn an_empty_store_is_at_revision_zero_and_has_nothing(subject: &dyn Subject) {
    let store = subject.store();
    assert_eq!(store.get(&tier("a")).expect("get"), None);
    let listing = store.list(&Selection::default()).expect("list");
    assert_eq!((listing.revision, listing.items), (0, vec![]));
    assert!(!store.describe().is_empty());
}

/// The object has the bytes, the key and the revision of its creation.
pub fn what_is_created_comes_back(subject: &dyn Subject) {
    let store = subject.store();
    let written = store.one(create(&tier("a"), "one"));
    assert_eq!(written.previous, None);
    assert!(written.revision > 0);
    let stored = store.standing(&tier("a"));
    assert_eq!(stored.key, tier("a"));
    assert_eq!(stored.revision, written.revision);
    assert_eq!(stored.value, value(&tier("a"), "one"));
}

/// The refusal shows what stands there, and that stays.
pub fn create_is_refused_where_an_object_stands(subject: &dyn Subject) {
    let store = subject.store();
    store.one(create(&tier("a"), "one"));
    let standing = store.standing(&tier("a"));
    let refused = store.try_one(create(&tier("a"), "two"));
    assert_eq!(refused, Err(WriteError::Exists(standing.clone())));
    assert_eq!(store.standing(&tier("a")), standing);
}

/// An update at the object's revision replaces it and gives back what was replaced.
pub fn update_replaces_what_is_still_at_the_revision(subject: &dyn Subject) {
    let store = subject.store();
    let first = store.one(create(&tier("a"), "one"));
    store.one(create(&tier("b"), "another object's change is no conflict"));
    let before = store.standing(&tier("a"));
    let second = store.one(update(&tier("a"), "two", first.revision));
    assert_eq!(second.previous, Some(before));
    assert!(second.revision > first.revision);
    let after = store.standing(&tier("a"));
    assert_eq!(after.revision, second.revision);
    assert_eq!(after.value, value(&tier("a"), "two"));
}

/// An update at an older or an unknown revision shows what stands there, and that stays.
pub fn update_of_what_moved_on_is_a_conflict(subject: &dyn Subject) {
    let store = subject.store();
    let first = store.one(create(&tier("a"), "one"));
    let second = store.one(update(&tier("a"), "two", first.revision));
    let standing = store.standing(&tier("a"));
    for revision in [first.revision, second.revision + 1, 0] {
        let refused = store.try_one(update(&tier("a"), "three", revision));
        assert_eq!(refused, Err(WriteError::Conflict(standing.clone())));
    }
    assert_eq!(store.standing(&tier("a")), standing);
}

/// What is not there can be neither replaced nor removed, whatever the revision.
pub fn update_and_delete_of_nothing_are_missing(subject: &dyn Subject) {
    let store = subject.store();
    for _ in 0..2 {
        for write in [
            update(&tier("a"), "one", 0),
            update(&tier("a"), "one", 1),
            delete(&tier("a"), None),
            delete(&tier("a"), 1),
        ] {
            assert_eq!(store.try_one(write), Err(WriteError::Missing));
        }
        assert_eq!(store.get(&tier("a")).expect("get"), None);
        store.one(create(&tier("b"), "a store that has something"));
        store.one(delete(&tier("b"), None));
    }
}

/// A delete, with or without a revision, gives back what it removed.
pub fn delete_removes_and_tells_what_was_there(subject: &dyn Subject) {
    let store = subject.store();
    for at_revision in [false, true] {
        let created = store.one(create(&tier("a"), "one"));
        let standing = store.standing(&tier("a"));
        let revision = at_revision.then_some(created.revision);
        let deleted = store.one(delete(&tier("a"), revision));
        assert_eq!(deleted.previous, Some(standing));
        assert!(deleted.revision > created.revision);
        assert_eq!(store.get(&tier("a")).expect("get"), None);
    }
}

/// A delete at an older revision shows what stands there, and that stays.
pub fn delete_of_what_moved_on_is_a_conflict(subject: &dyn Subject) {
    let store = subject.store();
    let first = store.one(create(&tier("a"), "one"));
    store.one(update(&tier("a"), "two", first.revision));
    let standing = store.standing(&tier("a"));
    let refused = store.try_one(delete(&tier("a"), first.revision));
    assert_eq!(refused, Err(WriteError::Conflict(standing.clone())));
    assert_eq!(store.standing(&tier("a")), standing);
}

/// A new object under an old name has a new revision, and the old one's revision fits it no more.
pub fn what_was_deleted_can_be_created_again(subject: &dyn Subject) {
    let store = subject.store();
    let first = store.one(create(&tier("a"), "one"));
    let deleted = store.one(delete(&tier("a"), None));
    let second = store.one(create(&tier("a"), "one"));
    assert_eq!(second.previous, None);
    assert!(first.revision < deleted.revision && deleted.revision < second.revision);
    let standing = store.standing(&tier("a"));
    let refused = store.try_one(update(&tier("a"), "two", first.revision));
    assert_eq!(refused, Err(WriteError::Conflict(standing)));
}

/// As soon as a write returns, every other handle sees it.
pub fn a_write_is_seen_through_every_handle(subject: &dyn Subject) {
    let (one, other) = (subject.store(), subject.store());
    assert_eq!(other.get(&tier("a")).expect("get"), None);
    let mut revision = one.one(create(&tier("a"), "0")).revision;
    for turn in 1..20 {
        let (writer, reader) = if turn % 2 == 0 { (&one, &other) } else { (&other, &one) };
        let note = turn.to_string();
        revision = writer.one(update(&tier("a"), &note, revision)).revision;
        let seen = reader.standing(&tier("a"));
        assert_eq!(seen.revision, revision);
        assert_eq!(seen.value, value(&tier("a"), &note));
        assert_eq!(reader.revision(), revision);
    }
}
