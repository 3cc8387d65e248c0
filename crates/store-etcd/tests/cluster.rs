//! Three members: the suite again, and again while members are killed and stopped under it.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use support::{Cluster, PATIENCE};
use tortie_api::{Key, Kind};
use tortie_store::conformance::Subject;
use tortie_store::{Event, Op, Revision, Selection, Store, Write};
use tortie_store_etcd::EtcdStore;

/// One cluster for many claims: each claim begins with an etcd that is new to it. That takes a new cluster.
struct SharedCluster(Cluster);

impl SharedCluster {
    fn new() -> Self {
        Self(Cluster::start(3))
    }
}

impl Subject for SharedCluster {
    fn store(&self) -> Arc<dyn Store> {
        self.0.store()
    }

    fn compact(&self) {
        let revision = self.0.store().list(&Selection::default()).expect("list").position;
        self.0.ctl(&["compaction", &revision.to_string()]);
    }
}

tortie_store::conformance!(SharedCluster::new);

fn tier(name: &str) -> Key {
    Key::cluster(Kind::Tier, name)
}

/// A change: its revision, the key and what stands there from then on.
type Seen = (u64, Key, Option<Vec<u8>>);

/// What writers did, as they were told.
#[derive(Default)]
struct WriteLog(Mutex<Vec<Seen>>);

/// Writes without a pause until told to stop: creates, updates and deletes of its own keys, each once.
fn write(store: &dyn Store, writer: usize, stop: &AtomicBool, log: &WriteLog) -> usize {
    let mut turns = 0;
    while !stop.load(Ordering::Relaxed) {
        let key = tier(&format!("w{writer}-{turns}"));
        let make = |note: &str| format!("{writer}-{turns}-{note}").into_bytes();
        let one = |write: Write| -> Revision {
            let value = match &write.op {
                Op::Create(value) | Op::Update(value, _) => Some(value.to_vec()),
                Op::Delete(_) => None,
            };
            let key = write.key.clone();
            let fate = store.write(&[write]).expect("the store answers").remove(0);
            let written = fate.unwrap_or_else(|refused| panic!("{key}: {refused}"));
            log.0.lock().unwrap().push((written.revision.number().unwrap(), key, value));
            written.revision
        };
        let first = one(Write::create(key.clone(), make("one")));
        let second = one(Write::update(key.clone(), make("two"), first));
        if turns % 2 == 0 {
            one(Write::delete(key, Some(second)));
        }
        turns += 1;
    }
    turns
}

/// Runs writers and watchers while something is done to the cluster, and compares what all were told at the end.
fn under(mut cluster: Cluster, trouble: impl FnOnce(&mut Cluster, &WriteLog)) {
    let (stop, log) = (AtomicBool::new(false), WriteLog::default());
    let stores: Vec<EtcdStore> = (0..3).map(|_| EtcdStore::new(cluster.settings())).collect();
    std::thread::scope(|scope| {
        let watchers: Vec<_> = (0..3)
            .map(|_| {
                let store = EtcdStore::new(cluster.settings());
                let (last, end) = mpsc::channel::<u64>();
                let handle = scope.spawn(move || follow(&store, &end));
                (last, handle)
            })
            .collect();
        let writers: Vec<_> = stores
            .iter()
            .enumerate()
            .map(|(writer, store)| {
                let (stop, log) = (&stop, &log);
                scope.spawn(move || write(store, writer, stop, log))
            })
            .collect();
        progress(&log);
        trouble(&mut cluster, &log);
        progress(&log);
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            assert!(writer.join().expect("no panic") > 0);
        }
        let end = cluster.store().list(&Selection::default()).expect("list").position.number().unwrap();
        let mut written = std::mem::take(&mut *log.0.lock().unwrap());
        written.sort();
        for (last, watcher) in watchers {
            last.send(end).expect("it listens");
            assert_same(watcher.join().expect("no panic"), &written);
        }
    });
}

/// What was seen is what was written. A delete whose answer was lost is told with a later revision than its own: nothing
/// in etcd says when a key went.
fn assert_same(mut seen: Vec<Seen>, written: &[Seen]) {
    assert!(seen.is_sorted_by_key(|(revision, _, _)| *revision), "out of order: {seen:?}");
    for (revision, key, value) in written.iter().filter(|(_, _, value)| value.is_none()) {
        if let Some(gone) = seen.iter_mut().find(|(_, other, now)| other == key && now == value) {
            assert!(gone.0 <= *revision, "{key} was gone at {}, and its writer was told {revision}", gone.0);
            gone.0 = *revision;
        }
    }
    seen.sort();
    assert_eq!(seen, written);
}

/// Waits until the writers have got on.
fn progress(log: &WriteLog) {
    let deadline = Instant::now() + PATIENCE;
    let count = || log.0.lock().unwrap().len();
    let before = count();
    while count() < before + 50 {
        assert!(Instant::now() < deadline, "nothing is written any more");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Takes every event up to a revision that is told when it is known.
fn follow(store: &EtcdStore, end: &mpsc::Receiver<u64>) -> Vec<Seen> {
    let mut watch = store.watch(&Selection::default(), &0.into()).expect("watch");
    let (mut seen, mut until) = (Vec::new(), None);
    let mut deadline = None;
    loop {
        if until.is_none() {
            until = match end.try_recv() {
                Err(mpsc::TryRecvError::Disconnected) => panic!("whoever knows the end is gone"),
                answer => answer.ok(),
            };
            deadline = until.map(|_| Instant::now() + PATIENCE);
        }
        if until.is_some_and(|until| seen.last().is_some_and(|(revision, _, _)| *revision >= until)) {
            return seen;
        }
        assert!(deadline.is_none_or(|deadline| Instant::now() < deadline), "the watch does not get to the end");
        // What is said meanwhile is for people; the watch goes on where it was.
        match watch.next(Duration::from_millis(100)) {
            Ok(Some(Event::Put(stored))) => {
                seen.push((stored.revision.number().unwrap(), stored.key, Some(stored.value.to_vec())))
            }
            Ok(Some(Event::Deleted(key, revision))) => seen.push((revision.number().unwrap(), key, None)),
            Ok(None) | Err(tortie_store::StoreError::Failed(_)) => {}
            Err(compacted) => panic!("{compacted}"),
        }
    }
}

#[test]
fn killing_the_leader_loses_nothing_and_repeats_nothing() {
    under(Cluster::start(3), |cluster, _| {
        let leader = cluster.leader();
        cluster.kill(leader);
    });
}

#[test]
fn restarting_every_member_in_turn_loses_nothing_and_repeats_nothing() {
    under(Cluster::start(3), |cluster, log| {
        for member in 0..3 {
            cluster.kill(member);
            cluster.resurrect(member);
            cluster.wait_for_all();
            progress(log);
        }
    });
}

#[test]
fn a_member_that_makes_no_progress_is_replaced_by_another() {
    under(Cluster::start(3), |cluster, log| {
        let leader = cluster.leader();
        cluster.pause(leader);
        // Let go only when everybody has got on without it; it must not bring anything back.
        progress(log);
        cluster.resume(leader);
        cluster.wait_for_all();
    });
}
