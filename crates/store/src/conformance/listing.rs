//! Claims about lists.

use tortie_api::{Key, Kind};

use super::Subject;
use super::support::{Must, create, delete, policy, tier, update_at};
use crate::Selection;

/// Objects of several kinds and namespaces, with what else existed before.
fn some_of_everything(subject: &dyn Subject) -> Vec<Key> {
    let store = subject.store();
    let mut keys = vec![
        tier("b"),
        policy("prod", "a"),
        policy("dev", "z"),
        Key::cluster(Kind::HostEndpoint, "web1"),
        tier("a"),
        tier("a-b"),
        Key::cluster(Kind::GlobalNetworkSet, "a.b"),
        Key::cluster(Kind::GlobalNetworkSet, "a-b"),
        policy("dev-2", "a"),
        Key::cluster(Kind::BGPPeer, "x"),
        Key::cluster(Kind::GlobalNetworkSet, "x"),
    ];
    if store.abilities().any_content {
        keys.push(policy("prod", "A"));
    }
    let before = store.all().items;
    for key in &keys {
        store.one(create(key, "one"));
    }
    keys.extend(before.into_iter().map(|stored| stored.key));
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
            let selection = Selection { kind, namespace: namespace.map(Into::into), ..Selection::default() };
            let expected: Vec<_> = keys.iter().filter(|key| selection.contains(key)).cloned().collect();
            assert_eq!(keys_of(subject, &selection), expected, "{selection:?}");
        }
    }
}

/// Creating, updating and deleting move it; refused writes and reads do not, where there is one history.
pub fn the_position_of_a_list_is_that_of_the_last_change(subject: &dyn Subject) {
    let store = subject.store();
    let moved_to = |position: &crate::Position| {
        let now = store.all().position;
        assert!(now.has_reached(position), "{now} has not reached {position}");
        if store.abilities().one_history {
            assert_eq!(now, *position);
        }
    };
    let created = store.one(create(&tier("a"), "one"));
    moved_to(&created.position);
    let updated = store.one(update_at(&tier("a"), "two", &created.revision));
    moved_to(&updated.position);
    store.try_one(update_at(&tier("a"), "three", &created.revision)).expect_err("conflict");
    moved_to(&updated.position);
    let deleted = store.one(delete(&tier("a"), None));
    moved_to(&deleted.position);
    assert!(created.position.is_behind(&updated.position) && updated.position.is_behind(&deleted.position));
}

/// An empty list is watched from its position too.
pub fn a_selection_that_names_nothing_still_has_a_position(subject: &dyn Subject) {
    let store = subject.store();
    let written = store.one(create(&tier("a"), "one"));
    let nothing = Selection { kind: Some(Kind::NetworkSet), ..Selection::default() };
    let listing = store.list(&nothing).expect("list");
    assert_eq!(listing.items, []);
    if store.abilities().one_history {
        assert_eq!(listing.position, written.position);
    }
    let set = Key { kind: Kind::NetworkSet, namespace: "prod".into(), name: "s".into() };
    let mut watch = store.watch(&nothing, &listing.position).expect("watch");
    let revision = store.one(create(&set, "one")).revision;
    assert_eq!(*super::support::next(&mut *watch).revision(), revision);
}

/// Pages have together what a list has, and a position from which the selection is watched as from the list.
pub fn pages_have_what_a_list_has(subject: &dyn Subject) {
    let keys = some_of_everything(subject);
    let store = subject.store();
    let mut paged = Vec::new();
    let position =
        store.list_pages(&Selection::default(), &mut |page| paged.extend(page)).expect("the store answers in pages");
    paged.sort_by(|a, b| a.key.cmp(&b.key));
    let listing = store.all();
    assert_eq!(paged, listing.items);
    assert!(position.has_reached(&listing.position) && listing.position.has_reached(&position));
    assert_eq!(paged.len(), keys.len());
    let mut watch = store.follow(&position);
    let last = store.one(create(&tier("z"), "one"));
    assert_eq!(*super::support::next(&mut *watch).revision(), last.revision);
}
