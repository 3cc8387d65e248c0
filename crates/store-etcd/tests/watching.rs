//! Watches of a real etcd under what the suite of every store knows nothing of: messages in fragments, history that goes
//! while nothing happens, members without a leader.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::time::{Duration, Instant};

use support::{Cluster, PATIENCE};
use tortie_api::{Key, Kind};
use tortie_store::{Event, Selection, StatusReports, Store, StoreError, Watch, Write};
use tortie_store_etcd::{EtcdStore, Settings};

fn node(name: impl Into<String>) -> Key {
    Key::cluster(Kind::Node, name)
}

fn create(store: &dyn Store, name: impl Into<String>, value: &[u8]) -> u64 {
    store.write(&[Write::create(node(name), value)]).unwrap().remove(0).unwrap().revision.number().unwrap()
}

#[test]
fn a_message_in_fragments_is_received_as_one() {
    let cluster = Cluster::start(1);
    let store = cluster.store();
    // More than etcd sends at once.
    let values: Vec<Vec<u8>> = (0..24).map(|n| vec![b'a' + n; 300_000]).collect();
    for (n, value) in values.iter().enumerate() {
        create(&*store, format!("n{n}"), value);
    }
    let mut watch = store.watch(&Selection::default(), &0.into()).unwrap();
    for (n, value) in values.iter().enumerate() {
        let Some(Event::Put(stored)) = watch.next(PATIENCE).unwrap() else { panic!("nothing at {n}") };
        assert!(stored.key == node(format!("n{n}")) && *stored.value == **value, "{n}");
    }
    let last = create(&*store, "last", b"{}");
    assert_eq!(watch.next(PATIENCE).unwrap().unwrap().revision().number().unwrap(), last, "and nothing twice");
}

#[test]
fn an_idle_watcher_is_not_compacted_away() {
    let mut cluster = Cluster::start_with(1, &["--experimental-watch-progress-notify-interval=100ms"]);
    let store = EtcdStore::new(cluster.settings());
    let deadline = Instant::now() + PATIENCE;
    let mut revision = create(&store, "a", b"{}");
    let mut watch = store.watch(&Selection::default(), &(revision - 1).into()).unwrap();
    assert_eq!(watch.next(PATIENCE).unwrap().unwrap().revision().number().unwrap(), revision);
    loop {
        // Nothing happens to objects, and much beside them; then history goes, and the connection with it.
        (0..10).for_each(|_| store.put("/calico/felix/v2/no-region/host/a/status", b"{}", None).unwrap());
        assert_eq!(watch.next(Duration::from_millis(500)).unwrap(), None);
        let now = store.list(&Selection::default()).unwrap().position.number().unwrap();
        assert!(now > revision);
        cluster.ctl(&["compaction", &now.to_string()]);
        cluster.kill(0);
        cluster.resurrect(0);
        cluster.wait_for_all();
        let next = create(&store, format!("n{now}"), b"{}");
        match following(&mut *watch, deadline) {
            Ok(event) => return assert_eq!(event, next),
            // A member that is slow may not have said yet how far it is.
            Err(compacted) => assert!(Instant::now() < deadline, "{compacted}"),
        }
        (revision, watch) = (next, store.watch(&Selection::default(), &next.into()).unwrap());
    }
}

#[test]
fn a_watch_leaves_a_member_without_a_leader() {
    let mut cluster = Cluster::start(3);
    let store = cluster.store();
    let impatient = EtcdStore::new(Settings { call_timeout: Duration::from_secs(2), ..cluster.settings() });
    let mut watch = impatient.watch(&Selection::default(), &0.into()).unwrap();
    let first = create(&*store, "first", b"{}");
    assert_eq!(watch.next(PATIENCE).unwrap().unwrap().revision().number().unwrap(), first);
    cluster.kill(0);
    cluster.kill(1);
    let deadline = Instant::now() + PATIENCE;
    let said = loop {
        match watch.next(Duration::from_millis(100)) {
            Ok(None) => assert!(Instant::now() < deadline, "nothing is said of it"),
            Ok(Some(event)) => panic!("{event:?}"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(said.starts_with("etcd at http://127.0.0.1:") && !said.contains('\n'), "{said}");
    cluster.resurrect(0);
    cluster.resurrect(1);
    cluster.wait_for_all();
    let second = create(&*store, "second", b"{}");
    assert_eq!(following(&mut *watch, Instant::now() + PATIENCE).unwrap(), second);
}

#[test]
fn a_watch_leaves_a_member_on_which_a_call_had_no_answer() {
    let cluster = Cluster::start(3);
    // Without keepalive, which would notice it too, but later.
    let never = Duration::from_secs(3_600);
    let store = EtcdStore::new(Settings { keepalive: (never, never), ..cluster.settings() });
    let mut last = create(&store, "first", b"{}");
    let mut watch = store.watch(&Selection::default(), &last.into()).unwrap();
    for member in 0..3 {
        cluster.pause(member);
        // If it is the member of the watch, this is answered by another one after five seconds.
        store.position().unwrap();
        let others = cluster.endpoints().into_iter().enumerate().filter(|(other, _)| *other != member);
        let writer = EtcdStore::new(Settings { call_timeout: PATIENCE, ..Settings::plain(others.map(|(_, one)| one)) });
        last = create(&writer, format!("n{member}"), b"{}");
        assert_eq!(following(&mut *watch, Instant::now() + PATIENCE).unwrap(), last);
        cluster.resume(member);
    }
    drop(cluster);
}

/// The revision of the next event, whatever is said meanwhile.
fn following(watch: &mut dyn Watch, deadline: Instant) -> Result<u64, StoreError> {
    loop {
        match watch.next(Duration::from_millis(100)) {
            Ok(Some(event)) => return Ok(event.revision().number().unwrap()),
            Err(error @ StoreError::Compacted { .. }) => return Err(error),
            Ok(None) | Err(_) => assert!(Instant::now() < deadline, "nothing is told"),
        }
    }
}
