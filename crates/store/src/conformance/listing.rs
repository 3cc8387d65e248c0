//! Claims about lists.

use tortie_api::{Key, Kind};

use super::Subject;
use super::support::{Must, create, delete, policy, tier, update};
use crate::Selection;

fn some_of_everything(subject: &dyn Subject) -> Vec<Key> {
    let mut keys = vec![
        tier("b"),
        policy("prod", "a"),
        policy("dev", "z"),
        Key::cluster(Kind::HostEndpoint, "web1"),
        policy("prod", "A"),
        tier("a"),
        tier("a.b"),
        tier("a-b"),
        policy("dev-2", "a"),
        Key::cluster(Kind::BGPPeer, "x"),
        Key::cluster(Kind::BlockAffinity, "x"),
    ];
    let store = subject.store();
    for key in &keys {
        store.one(create(key, "one"));
    }
    keys.sort();
    keys
}

fn keys_of(subject: &dyn Subject, selection: &Selection) -> Vec<Key> {
    let listing = subject.store().list(selection).expect("list");
    listing.items.into_iter().map(|stored| stored.key).collect()
}

/// By kind, then namespace, then name, in the order of their bytes.
pub fn a_list_is_in_the_order_of_keys(subject: &dyn Subject) {
    let keys = some_of_everything(subject);
    assert_eq!(keys_of(subject, &Selection::default()), keys);
}

/// Every selection by kind, namespace or both lists what it names.
pub fn a_list_is_of_its_selection_only(subject: &dyn Subject) {
    let keys = some_of_everything(subject);
    for kind in [None, Some(Kind::NetworkPolicy), Some(Kind::Tier)] {
        for namespace in [None, Some(""), Some("prod"), Some("dev"), Some("de")] {
            let selection = Selection { kind, namespace: namespace.map(Into::into) };
            let expected: Vec<_> = keys.iter().filter(|key| selection.contains(key)).cloned().collect();
            assert_eq!(keys_of(subject, &selection), expected, "{selection:?}");
        }
    }
}

/// Creating, updating and deleting move it; refused writes and reads do not.
pub fn the_revision_of_a_list_is_that_of_the_last_change(subject: &dyn Subject) {
    let store = subject.store();
    let created = store.one(create(&tier("a"), "one")).revision;
    assert_eq!(store.revision(), created);
    let updated = store.one(update(&tier("a"), "two", created)).revision;
    assert_eq!(store.revision(), updated);
    store.try_one(update(&tier("a"), "three", created)).expect_err("conflict");
    assert_eq!(store.revision(), updated);
    let deleted = store.one(delete(&tier("a"), None)).revision;
    assert_eq!(store.revision(), deleted);
}

/// An empty list is watched from its revision too.
pub fn a_selection_that_names_nothing_still_has_the_revision(subject: &dyn Subject) {
    let store = subject.store();
    let revision = store.one(create(&tier("a"), "one")).revision;
    let listing = store.list(&Selection::kind(Kind::Node)).expect("list");
    assert_eq!((listing.revision, listing.items), (revision, vec![]));
}
