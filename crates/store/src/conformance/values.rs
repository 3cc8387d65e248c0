//! Claims about what may be stored: other programs write names and bytes that ours never would.

use tortie_api::{Key, Kind};

use super::Subject;
use super::support::{Must, create, delete, next, policy, tier, value};
use crate::Write;

/// A megabyte comes back from get, list and watch, and leaves no trace in its neighbour.
pub fn a_large_value_comes_back(subject: &dyn Subject) {
    let store = subject.store();
    if !store.abilities().any_content {
        return;
    }
    let from = store.beginning();
    let large: Vec<u8> = (0..1_000_000_u32).map(|n| b' ' + (n % 90) as u8).collect();
    store.one(Write::create(tier("large"), large.clone()));
    store.one(create(&tier("small"), "one"));
    assert_eq!(store.object(&tier("large")).value[..], large[..]);
    let items = store.all().items;
    assert_eq!(items[0].value[..], large[..]);
    assert_eq!(items[1].value[..], value(&tier("small"), "one")[..]);
    let mut watch = store.follow(&from);
    match next(&mut *watch) {
        crate::Event::Put(stored) => assert_eq!(stored.value[..], large[..]),
        other => panic!("{other:?}"),
    }
    let removed = store.one(delete(&tier("large"), None)).previous;
    assert_eq!(removed.expect("it was there").value[..], large[..]);
}

/// A store reads nothing into the bytes: spaces, order, and what is no JSON at all.
pub fn bytes_come_back_as_written(subject: &dyn Subject) {
    let store = subject.store();
    if !store.abilities().any_content {
        return;
    }
    let all: Vec<u8> = (0..=255).collect();
    for (name, bytes) in [
        ("empty", &b""[..]),
        ("spaced", b" { \"b\" : 1.0 , \"a\":\t1e2 } \n"),
        ("twice", b"{\"a\":1,\"a\":2}"),
        ("nul", b"\0"),
        ("all", &all),
    ] {
        store.one(Write::create(tier(name), bytes));
        assert_eq!(&store.object(&tier(name)).value[..], bytes, "{name}");
    }
}

/// `_`, capitals, dots, spaces, long and foreign names: kept, listed and deletable.
pub fn names_that_no_validator_passes_are_kept(subject: &dyn Subject) {
    let store = subject.store();
    if !store.abilities().any_content {
        return;
    }
    let long = "n".repeat(2_000);
    let mut keys: Vec<Key> = [
        "under_score",
        "Capital",
        "a.b.c",
        "with space",
        "per%cent",
        "quo'te\"",
        "ünïcödé-東京-🐈",
        "*",
        "-",
        long.as_str(),
    ]
    .into_iter()
    .flat_map(|name| [tier(name), policy("Name_Space", name), Key::cluster(Kind::HostEndpoint, name)])
    .collect();
    for key in &keys {
        store.one(create(key, "one"));
    }
    keys.sort();
    let listed = store.all().items;
    assert!(listed.iter().map(|stored| &stored.key).eq(&keys));
    let mut watch = store.follow(&store.all().position);
    for key in &keys {
        store.shows(&store.object(key), "one");
        store.one(delete(key, None));
        assert_eq!(next(&mut *watch).key(), key);
    }
    assert_eq!(store.all().items, []);
}

/// Case, Unicode forms and places of separators keep objects apart.
pub fn names_that_look_alike_are_apart(subject: &dyn Subject) {
    let store = subject.store();
    if !store.abilities().any_content {
        return;
    }
    let keys = [
        tier("web"),
        tier("Web"),
        tier("web "),
        tier("caf\u{e9}"),
        tier("cafe\u{301}"),
        policy("a", "b.c"),
        policy("a.b", "c"),
        policy("", "web"),
        policy("web", ""),
    ];
    for (n, key) in keys.iter().enumerate() {
        store.one(create(key, &n.to_string()));
    }
    for (n, key) in keys.iter().enumerate() {
        store.shows(&store.object(key), &n.to_string());
    }
    let listed = store.all().items;
    assert_eq!(listed.len(), keys.len());
}
