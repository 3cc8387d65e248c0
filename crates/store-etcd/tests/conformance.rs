//! etcd keeps the contract: the suite of `tortie-store` against a real one of a single member.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::sync::Arc;

use support::Cluster;
use tortie_api::{Key, Kind};
use tortie_store::conformance::Subject;
use tortie_store::{Selection, StatusReports, Store, Write};
use tortie_store_etcd::EtcdStore;

struct One(Cluster);

impl One {
    fn new() -> Self {
        Self(Cluster::start(1))
    }
}

impl Subject for One {
    fn store(&self) -> Arc<dyn Store> {
        self.0.store()
    }

    fn compact(&self) {
        compact(&self.0);
    }
}

/// Forgets everything before the last change.
fn compact(cluster: &Cluster) {
    let revision = cluster.store().list(&Selection::default()).expect("list").position;
    cluster.ctl(&["compaction", &revision.to_string()]);
}

tortie_store::conformance!(One::new);

#[test]
fn a_revision_that_changed_no_object_is_known_to_change_nothing() {
    let cluster = Cluster::start(1);
    let store = EtcdStore::new(cluster.settings());
    let node = |name: &str| Key::cluster(Kind::Node, name);
    let write = |write: Write| store.write(&[write]).unwrap().remove(0).unwrap().revision.number().unwrap();
    let now = || store.list(&Selection::default()).unwrap().position.number().unwrap();
    write(Write::create(node("a"), &b"{}"[..]));
    let first = write(Write::create(node("b"), &b"{}"[..]));
    store.put("/calico/felix/v2/no-region/host/a/status", b"{}", None).unwrap();
    let is_unchanged_between =
        |after: u64, until: u64| store.is_unchanged_between(&after.into(), &until.into()).unwrap();
    assert!(now() > first && is_unchanged_between(first, now()));
    let second = write(Write::delete(node("a"), None));
    store.put("/calico/felix/v2/no-region/host/a/status", b"{}", None).unwrap();
    assert!(!is_unchanged_between(first, now()), "a deletion");
    assert!(is_unchanged_between(second, now()));
    // One goes and another comes: as many as before.
    write(Write::create(node("a"), &b"{}"[..]));
    assert!(!is_unchanged_between(first, now()));
    assert!(!is_unchanged_between(1, now()));
    assert!(is_unchanged_between(now(), now()));
    let last = now();
    compact(&cluster);
    assert!(!is_unchanged_between(last - 1, last), "what is not kept is not known");
}

#[test]
fn a_watched_range_is_known_to_be_unchanged_also_after_compaction() {
    let cluster = Cluster::start(1);
    let store = EtcdStore::new(cluster.settings());
    let node = |name: &str| Key::cluster(Kind::Node, name);
    let write = |write: Write| store.write(&[write]).unwrap().remove(0).unwrap().revision.number().unwrap();
    let beside = || store.put("/calico/felix/v2/no-region/host/a/status", b"{}", None).unwrap();
    let now = || store.list(&Selection::default()).unwrap().position.number().unwrap();
    let compacted = || cluster.ctl(&["compaction", &now().to_string()]);
    write(Write::create(node("a"), &b"{}"[..]));
    let first = write(Write::create(node("b"), &b"{}"[..]));
    beside();
    let is_unchanged_between =
        |after: u64, until: u64| store.is_unchanged_between(&after.into(), &until.into()).unwrap();
    let next_revision = |watch: &mut dyn tortie_store::Watch| {
        watch.next(support::PATIENCE).unwrap().unwrap().revision().number().unwrap()
    };
    let mut watch = store.watch(&Selection::default(), &(first - 1).into()).unwrap();
    assert_eq!(next_revision(&mut *watch), first);
    beside();
    compacted();
    assert!(is_unchanged_between(first, now()));
    let second = write(Write::update(node("a"), &b"{ }"[..], first - 1));
    assert!(!is_unchanged_between(first, now()), "it was not told yet");
    assert_eq!(next_revision(&mut *watch), second);
    let third = write(Write::delete(node("a"), None));
    beside();
    compacted();
    assert!(!is_unchanged_between(second, now()), "a deletion");
    assert_eq!(next_revision(&mut *watch), third);
    assert!(is_unchanged_between(third, now()));
    assert!(!is_unchanged_between(second, now()));
    beside();
    let fourth = write(Write::create(node("c"), &b"{}"[..]));
    compacted();
    assert_eq!(next_revision(&mut *watch), fourth);
    assert!(is_unchanged_between(fourth, now()));
}

#[test]
fn status_reports_exist_until_their_time_is_over() {
    let cluster = Cluster::start(1);
    let store = EtcdStore::new(cluster.settings());
    store.put("/calico/felix/v1/host/a/endpoint/x", b"1", None).unwrap();
    store.put("/calico/felix/v1/host/a/endpoint/y", b"2", Some(std::time::Duration::from_secs(1))).unwrap();
    store.put("/calico/felix/v1/host/ab/endpoint/z", b"3", None).unwrap();
    let names = || -> Vec<String> {
        let all = store.list_values("/calico/felix/v1/host/a/").unwrap();
        all.into_iter().map(|(path, _)| path.rsplit('/').next().unwrap().to_owned()).collect()
    };
    assert_eq!(names(), ["x", "y"]);
    let deadline = std::time::Instant::now() + support::PATIENCE;
    while names() != ["x"] {
        assert!(std::time::Instant::now() < deadline, "it does not go away");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    store.remove("/calico/felix/v1/host/a/endpoint/x").unwrap();
    store.remove("/calico/felix/v1/host/a/endpoint/x").unwrap();
    assert!(names().is_empty());
    assert!(store.list(&Selection::default()).unwrap().items.is_empty());
}
