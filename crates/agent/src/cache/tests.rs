//! The copy on disk, the last valid versions, and who answers when.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use tortie_api::{Key, Kind};
use tortie_store::memory::MemoryStore;
use tortie_store::{
    Abilities, Event, Listing, Op, Position, Selection, Store, StoreError, Stored, Value, Watch, Write, WriteError,
    Written,
};
use tortie_sync::{LastValid, Message, Sync};

use super::file::{CacheFile, Snapshot};
use super::*;
use crate::status::StoreState;
use crate::status_cell::StatusCell;
use crate::stop_flag::StopFlag;

const SHORT: Duration = Duration::from_millis(50);

fn key(name: &str) -> Key {
    Key::cluster(Kind::GlobalNetworkPolicy, name)
}

fn value(name: &str, selector: &str) -> Arc<[u8]> {
    let text = format!(
        r#"{{"kind":"GlobalNetworkPolicy","apiVersion":"projectcalico.org/v3","metadata":{{"name":"{name}"}},"spec":{{"selector":"{selector}"}}}}"#
    );
    text.into_bytes().into()
}

fn write(store: &dyn Store, name: &str, selector: &str) {
    let key = key(name);
    let op = match store.get(&key).unwrap() {
        Some(stored) => Op::Update(value(name, selector), stored.revision),
        None => Op::Create(value(name, selector)),
    };
    store.write(&[Write { key, op }]).unwrap().remove(0).unwrap();
}

fn delete(store: &dyn Store, name: &str) {
    store.write(&[Write { key: key(name), op: Op::Delete(None) }]).unwrap().remove(0).unwrap();
}

/// A place on disk, and agents that come and go.
struct Machine {
    place: tempfile::TempDir,
    store: MemoryStore,
    away: Arc<AtomicBool>,
}

impl Machine {
    fn new() -> Self {
        Self::with(MemoryStore::new())
    }

    fn with(store: MemoryStore) -> Self {
        Self { place: tempfile::tempdir().unwrap(), store, away: Arc::default() }
    }

    /// The same place, with another store.
    fn with_store(self, store: MemoryStore) -> Self {
        Self { place: self.place, store, away: Arc::default() }
    }

    fn disk(&self) -> CacheWriter {
        CacheWriter::open(&self.place.path().join("agent.db"), |reason| panic!("{reason}")).unwrap()
    }

    fn cached_store(&self, name: &str, disk: &CacheWriter, status: &Arc<StatusCell>) -> CachedStore {
        let (store, away) = (self.store.clone(), self.away.clone());
        let opener: Opener = Box::new(move || {
            if away.load(Ordering::SeqCst) {
                return Err(StoreError::Failed("away".to_owned()));
            }
            Ok(Arc::new(store.clone()))
        });
        CachedStore::new(opener, name, Some(disk.clone()), status.clone(), Arc::new(StopFlag::default()))
    }

    /// An agent's life: what it is told until there is nothing more to tell.
    fn live(&self, name: &str) -> (Vec<String>, StoreState) {
        let (disk, status) = (self.disk(), Arc::new(StatusCell::default()));
        let cached_store = self.cached_store(name, &disk, &status);
        let mut sync = Sync::new(&cached_store, CachedLastValid::new(Some(disk.clone())));
        let messages = drain(&mut sync);
        disk.settle();
        let state = status.read().store;
        (messages, state)
    }
}

fn drain(sync: &mut Sync<'_>) -> Vec<String> {
    let mut messages = Vec::new();
    for _ in 0..3 {
        match sync.next(SHORT) {
            Some(Message::Changes(changes, _)) => {
                messages.extend(changes.iter().map(|change| {
                    let replaced =
                        change.unreadable.as_ref().map(|unreadable| format!(" {:?}", unreadable.replacement));
                    format!("{}{}", change.key.name, replaced.unwrap_or_default())
                }));
            }
            Some(Message::InSync(_)) => messages.push("in sync".to_owned()),
            Some(Message::Lost(why)) => messages.push(format!("lost: {why}")),
            None => {}
        }
    }
    messages
}

#[test]
fn a_start_without_the_store_sends_what_an_earlier_agent_received() {
    let machine = Machine::new();
    write(&machine.store, "kept", "all()");
    write(&machine.store, "gone", "all()");
    delete(&machine.store, "gone");
    assert_eq!(machine.live("s").0, ["kept", "in sync"]);
    machine.away.store(true, Ordering::SeqCst);
    assert_eq!(machine.live("s"), (vec!["kept".to_owned(), "in sync".to_owned()], StoreState::Stale));
    assert_eq!(machine.live("another store").0, ["lost: away"], "the copy of another store is of no use");
}

#[test]
fn changes_after_the_listing_are_in_the_copy_too() {
    let machine = Machine::new();
    write(&machine.store, "first", "all()");
    {
        let (disk, status) = (machine.disk(), Arc::new(StatusCell::default()));
        let cached_store = machine.cached_store("s", &disk, &status);
        let mut sync = Sync::new(&cached_store, CachedLastValid::new(Some(disk.clone())));
        drain(&mut sync);
        write(&machine.store, "second", "all()");
        delete(&machine.store, "first");
        assert_eq!(drain(&mut sync), ["second", "first"]);
        disk.settle();
    }
    machine.away.store(true, Ordering::SeqCst);
    assert_eq!(machine.live("s").0, ["second", "in sync"]);
}

#[test]
fn after_an_outage_the_store_is_followed_with_what_changed_meanwhile() {
    let machine = Machine::new();
    write(&machine.store, "same", "all()");
    write(&machine.store, "gone", "all()");
    machine.live("s");
    delete(&machine.store, "gone");
    write(&machine.store, "new", "all()");
    machine.away.store(true, Ordering::SeqCst);
    let (disk, status) = (machine.disk(), Arc::new(StatusCell::default()));
    let cached_store = machine.cached_store("s", &disk, &status);
    let mut sync = Sync::new(&cached_store, CachedLastValid::new(Some(disk.clone())));
    assert_eq!(drain(&mut sync), ["gone", "same", "in sync"]);
    assert_eq!(status.read().store, StoreState::Stale);
    machine.away.store(false, Ordering::SeqCst);
    let mut messages = Vec::new();
    while messages.is_empty() {
        messages = drain(&mut sync);
    }
    assert_eq!(messages, ["new", "gone"]);
    assert_ne!(status.read().store, StoreState::Stale);
}

#[test]
fn a_store_to_which_nothing_was_written_is_missing_even_if_another_store_is_accepted() {
    let machine = Machine::new();
    let told = |live: (Vec<String>, StoreState)| (live.0.concat().contains("nothing was ever written to it"), live.1);
    assert_eq!(told(machine.live("s")), (true, StoreState::Missing));
    {
        let (disk, status) = (machine.disk(), Arc::new(StatusCell::default()));
        let cached_store = machine.cached_store("s", &disk, &status);
        cached_store.accept(true);
        let mut sync = Sync::new(&cached_store, CachedLastValid::new(Some(disk.clone())));
        assert!(!drain(&mut sync).contains(&"in sync".to_owned()) && cached_store.is_missing());
        write(&machine.store, "first", "all()");
        assert_eq!(drain(&mut sync), ["first", "in sync"]);
        assert!(!cached_store.is_missing());
    }
    // One whose last object was deleted has a history, and is followed.
    delete(&machine.store, "first");
    assert_ne!(machine.live("s").1, StoreState::Missing);
}

#[test]
fn a_store_that_was_replaced_is_not_followed_until_it_is_accepted() {
    let machine = Machine::new();
    write(&machine.store, "kept", "all()");
    write(&machine.store, "kept", "has(a)");
    machine.live("s");
    let other = machine.with_store(MemoryStore::new());
    let kept = || vec!["kept".to_owned(), "in sync".to_owned()];
    assert_eq!(other.live("s"), (kept(), StoreState::Stale), "one without any history is not there yet");
    write(&other.store, "new", "all()");
    assert_eq!(other.live("s"), (kept(), StoreState::Replaced), "one whose history ends before");
    let (disk, status) = (other.disk(), Arc::new(StatusCell::default()));
    let cached_store = other.cached_store("s", &disk, &status);
    cached_store.accept(true);
    let mut sync = Sync::new(&cached_store, CachedLastValid::new(Some(disk.clone())));
    status.update(|record| record.lag.received = 9.into());
    assert_eq!(drain(&mut sync), ["new", "in sync"]);
    assert_eq!(status.read().lag.received, other.store.position().unwrap(), "and its history is the one received");
    disk.settle();
    drop(sync);
    drop((cached_store, disk));
    assert_eq!(other.live("s").0, ["new", "in sync"], "it is the store from then on");
}

#[test]
fn a_store_that_was_found_to_have_another_history_is_refused_also_after_it_was_written_past_what_was_seen() {
    let machine = Machine::new();
    write(&machine.store, "kept", "all()");
    write(&machine.store, "kept", "has(a)");
    machine.live("s");
    let other = machine.with_store(MemoryStore::new());
    write(&other.store, "new", "all()");
    let (disk, status) = (other.disk(), Arc::new(StatusCell::default()));
    let cached_store = other.cached_store("s", &disk, &status);
    let mut sync = Sync::new(&cached_store, CachedLastValid::new(Some(disk.clone())));
    let kept = || vec!["kept".to_owned(), "in sync".to_owned()];
    assert_eq!((drain(&mut sync), status.read().store), (kept(), StoreState::Replaced));
    // Nothing that is left of its history differs from the copy now.
    ["has(a)", "has(b)", "has(c)"].iter().for_each(|selector| write(&other.store, "new", selector));
    other.store.compact_to(4);
    assert!(
        cached_store
            .list(&Selection::default())
            .is_ok_and(|listing| listing.items.iter().all(|one| one.key.name == "kept"))
    );
    assert_eq!(status.read().store, StoreState::Replaced, "by this agent");
    disk.settle();
    drop(sync);
    drop((cached_store, disk));
    assert_eq!(other.live("s"), (kept(), StoreState::Replaced), "and by the next one");
}

/// A store that is put back to another one while it is watched.
struct PutBack {
    before: MemoryStore,
    after: MemoryStore,
    is_put_back: AtomicBool,
}

impl PutBack {
    fn now(&self) -> &MemoryStore {
        if self.is_put_back.load(Ordering::SeqCst) { &self.after } else { &self.before }
    }
}

impl Store for PutBack {
    fn describe(&self) -> String {
        self.now().describe()
    }

    fn abilities(&self) -> Abilities {
        self.now().abilities()
    }

    fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.now().get(key)
    }

    fn list(&self, selection: &Selection) -> Result<Listing, StoreError> {
        self.now().list(selection)
    }

    fn position_of(&self, selection: &Selection) -> Result<Position, StoreError> {
        self.now().position_of(selection)
    }

    fn write(&self, writes: &[Write]) -> Result<Vec<Result<Written, WriteError>>, StoreError> {
        self.now().write(writes)
    }

    fn watch(&self, selection: &Selection, from: &Position) -> Result<Box<dyn Watch>, StoreError> {
        self.now().watch(selection, from)
    }
}

/// A store with its own history of each kind, its copy, and a store with this GUID that takes its place while it is watched.
fn put_back(guid: &str) -> (Machine, Arc<PutBack>, CachedStore, CacheWriter) {
    let machine = Machine::with(MemoryStore::with_histories());
    let after = MemoryStore::with_histories();
    information(&machine.store, "one");
    information(&after, guid);
    write(&after, "kept", "all()");
    for selector in ["all()", "has(a)"] {
        write(&machine.store, "kept", selector);
    }
    let store = Arc::new(PutBack { before: machine.store.clone(), after, is_put_back: AtomicBool::default() });
    let (disk, status, opened) = (machine.disk(), Arc::new(StatusCell::default()), store.clone());
    let opener: Opener = Box::new(move || Ok(opened.clone()));
    let cached_store = CachedStore::new(opener, "s", Some(disk.clone()), status, Arc::new(StopFlag::default()));
    let position = cached_store.list(&Selection::default()).unwrap().position;
    let mut watch = cached_store.watch(&Selection::default(), &position).unwrap();
    write(&machine.store, "kept", "has(b)");
    machine.store.expire(Kind::GlobalNetworkPolicy);
    store.is_put_back.store(true, Ordering::SeqCst);
    assert!(matches!(watch.next(SHORT), Err(StoreError::Compacted { .. })));
    disk.settle();
    (machine, store, cached_store, disk)
}

#[test]
fn another_history_that_a_watch_finds_is_in_the_copy_before_the_store_is_listed_again() {
    let (_machine, _, _, disk) = put_back("one");
    let why = disk.copy().unwrap().identity.other_history.unwrap();
    assert!(why.starts_with("has another history: "), "{why}");
}

#[test]
fn a_store_is_followed_again_after_a_watch_found_another_store_in_its_place() {
    let (_machine, store, cached_store, disk) = put_back("two");
    assert_eq!(disk.copy().unwrap().identity.other_history, None);
    let refusal = cached_store.list(&Selection::default()).unwrap_err().to_string();
    assert!(refusal.contains("is another store"), "{refusal}");
    store.is_put_back.store(false, Ordering::SeqCst);
    let names: Vec<String> =
        cached_store.list(&Selection::default()).unwrap().items.into_iter().map(|one| one.key.name).collect();
    assert_eq!(names, ["default", "kept"]);
}

/// An agent's life on a store whose first changes an earlier agent has seen, and which goes on as this says. Before the
/// earlier agent ended it had seen `before`.
fn made_progress(before: &[(&str, &str)], after: &[(&str, &str)], compact: Option<u64>) -> StoreState {
    let change = |store: &MemoryStore, (name, selector): &(&str, &str)| match *selector {
        "" => delete(store, name),
        selector => write(store, name, selector),
    };
    let machine = Machine::new();
    let other = MemoryStore::new();
    for store in [&machine.store, &other] {
        information(store, "one");
        for name in ["a", "b", "c"] {
            write(store, name, "all()");
        }
    }
    before.iter().for_each(|one| change(&machine.store, one));
    machine.live("s");
    after.iter().for_each(|one| change(&other, one));
    if let Some(revision) = compact {
        other.compact_to(revision);
    }
    machine.with_store(other).live("s").1
}

#[test]
fn a_backup_that_was_written_past_what_was_seen_is_another_history() {
    // The agent has seen revision 6; the backup is of revision 4.
    let seen = [("a", "has(x)"), ("b", "has(x)")];
    for (after, compact) in [
        // The last change is another.
        (&[("a", "has(x)"), ("c", "has(x)"), ("b", "has(x)")][..], None),
        // The last change is the same, and one before it is not.
        (&[("c", "has(x)"), ("b", "has(x)"), ("a", "has(x)")][..], None),
        (&[("a", "has(y)"), ("b", "has(x)"), ("d", "all()")][..], None),
        // An object was removed, or was not.
        (&[("a", ""), ("b", "has(x)"), ("d", "all()")][..], None),
        // The same number of changes.
        (&[("a", "has(x)"), ("b", "has(y)")][..], None),
        // The log was compacted past the revision, and the objects differ.
        (&[("a", "has(x)"), ("c", "has(x)"), ("b", "has(x)"), ("d", "all()")][..], Some(7)),
        // A part of the log is left.
        (&[("a", "has(x)"), ("c", "has(x)"), ("b", "has(x)")][..], Some(5)),
    ] {
        assert_eq!(made_progress(&seen, after, compact), StoreState::Replaced, "{after:?} {compact:?}");
    }
}

#[test]
fn a_store_whose_log_continues_is_the_same_however_much_of_the_log_is_left() {
    let seen = [("a", "has(x)"), ("b", ""), ("d", "all()"), ("d", "")];
    let more = [("c", ""), ("a", "has(y)"), ("e", "all()"), ("b", "all()")];
    let all = [&seen[..], &more[..]].concat();
    for compact in [None, Some(4), Some(7), Some(8), Some(9), Some(11)] {
        assert_ne!(made_progress(&seen, &all, compact), StoreState::Replaced, "{compact:?}");
    }
    assert_ne!(made_progress(&seen, &seen, None), StoreState::Replaced);
}

#[test]
fn a_row_that_was_changed_or_removed_without_a_log_is_another_history() {
    for (text, after, compact, expected) in [
        (Some("all()"), false, None, true),
        (None, false, None, true),
        (Some("all()"), true, None, true),
        (None, true, None, true),
        (Some("all()"), true, Some(7), true),
        // It may have been removed in the part of the log that is compacted.
        (None, true, Some(8), false),
    ] {
        let machine = Machine::new();
        ["a", "b"].iter().for_each(|name| write(&machine.store, name, "has(x)"));
        machine.live("s");
        if after {
            write(&machine.store, "c", "has(x)");
            write(&machine.store, "c", "has(y)");
        }
        compact.iter().for_each(|number| machine.store.compact_to(*number));
        let key = Key::cluster(Kind::GlobalNetworkPolicy, "a");
        let stored = machine.store.get(&key).unwrap().unwrap();
        let value = text.map(|text| String::from_utf8_lossy(&stored.value).replace("has(x)", text).into_bytes().into());
        machine.store.tamper(&key, value);
        let is_replaced = machine.live("s").1 == StoreState::Replaced;
        assert_eq!(is_replaced, expected, "{text:?} {after} {compact:?}");
    }
}

#[test]
fn kinds_that_an_earlier_release_did_not_copy_are_no_other_history() {
    let machine = Machine::new();
    write(&machine.store, "a", "all()");
    machine.live("s");
    let sql = Connection::open(machine.place.path().join("agent.db")).unwrap();
    sql.execute_batch("delete from forms; update facts set value = 'Node Tier' where name = 'kinds'").unwrap();
    drop(sql);
    assert_ne!(machine.live("s").1, StoreState::Replaced);
    let sql = Connection::open(machine.place.path().join("agent.db")).unwrap();
    sql.execute_batch("delete from forms").unwrap();
    drop(sql);
    assert_eq!(machine.live("s").1, StoreState::Replaced, "this release copies them");
}

/// Says in a store whether it is ready.
fn set_ready(store: &dyn Store, ready: bool) {
    inform(store, &format!(r#"{{"datastoreReady":{ready}}}"#));
}

/// Gives a store a GUID.
fn information(store: &dyn Store, guid: &str) {
    inform(store, &format!(r#"{{"clusterGUID":"{guid}"}}"#));
}

fn inform(store: &dyn Store, spec: &str) {
    let key = Key::cluster(Kind::ClusterInformation, "default");
    let text = format!(
        r#"{{"kind":"ClusterInformation","apiVersion":"projectcalico.org/v3","metadata":{{"name":"default"}},"spec":{spec}}}"#
    );
    let value: Arc<[u8]> = text.into_bytes().into();
    let op =
        store.get(&key).unwrap().map_or(Op::Create(Arc::clone(&value)), |stored| Op::Update(value, stored.revision));
    store.write(&[Write { key, op }]).unwrap().remove(0).unwrap();
}

#[test]
fn another_guid_is_another_store_whatever_its_revision_and_a_first_one_is_not() {
    let machine = Machine::new();
    write(&machine.store, "kept", "all()");
    machine.live("s");
    information(&machine.store, "one");
    assert_eq!(machine.live("s").0.len(), 3, "a GUID that was not there before");
    {
        // One that is changed while that is followed is the same store still.
        let (disk, status) = (machine.disk(), Arc::new(StatusCell::default()));
        let cached_store = machine.cached_store("s", &disk, &status);
        let mut sync = Sync::new(&cached_store, CachedLastValid::new(Some(disk.clone())));
        drain(&mut sync);
        information(&machine.store, "two");
        drain(&mut sync);
        disk.settle();
    }
    assert_ne!(machine.live("s").1, StoreState::Replaced);
    let other = machine.with_store(MemoryStore::new());
    for _ in 0..9 {
        information(&other.store, "three");
    }
    let (messages, state) = other.live("s");
    assert_eq!((messages.len(), state), (3, StoreState::Replaced), "{messages:?}");
}

#[test]
fn while_the_store_is_not_ready_what_was_received_stays_in_force() {
    let machine = Machine::new();
    write(&machine.store, "kept", "all()");
    set_ready(&machine.store, true);
    {
        let (disk, status) = (machine.disk(), Arc::new(StatusCell::default()));
        let cached_store = machine.cached_store("s", &disk, &status);
        let mut sync = Sync::new(&cached_store, CachedLastValid::new(Some(disk.clone())));
        assert_eq!(drain(&mut sync), ["default", "kept", "in sync"]);
        set_ready(&machine.store, false);
        delete(&machine.store, "kept");
        let messages = drain(&mut sync);
        assert!(matches!(&messages[..], [lost] if lost.contains("datastoreReady is false")), "{messages:?}");
        assert!(drain(&mut sync).is_empty(), "what is written meanwhile is not followed");
        disk.settle();
    }
    // Nor is it by an agent that starts now: the copy stands in.
    assert_eq!(machine.live("s"), (vec!["default".into(), "kept".into(), "in sync".into()], StoreState::Stale));
    set_ready(&machine.store, true);
    assert_eq!(machine.live("s").0, ["default", "in sync"]);
}

#[test]
fn a_store_that_loses_its_guid_while_it_is_followed_is_not_followed_any_more() {
    let machine = Machine::new();
    write(&machine.store, "kept", "all()");
    information(&machine.store, "one");
    let (disk, status) = (machine.disk(), Arc::new(StatusCell::default()));
    let cached_store = machine.cached_store("s", &disk, &status);
    let mut sync = Sync::new(&cached_store, CachedLastValid::new(Some(disk.clone())));
    assert_eq!(drain(&mut sync), ["default", "kept", "in sync"]);
    let key_of_guid = Key::cluster(Kind::ClusterInformation, "default");
    machine.store.write(&[Write { key: key_of_guid, op: Op::Delete(None) }]).unwrap().remove(0).unwrap();
    delete(&machine.store, "kept");
    let messages = drain(&mut sync);
    assert!(matches!(&messages[..], [lost] if lost.contains("it has no GUID")), "{messages:?}");
    assert_eq!(status.read().store, StoreState::Replaced);
    assert!(drain(&mut sync).is_empty(), "what is deleted behind it is not followed");
    information(&machine.store, "one");
    assert_eq!(drain(&mut sync), ["default", "kept"], "it is the same store again");
}

#[test]
fn the_last_valid_version_survives_a_restart_of_the_agent() {
    let machine = Machine::new();
    write(&machine.store, "p", "has(a)");
    machine.live("s");
    write(&machine.store, "p", "a = b");
    for _ in 0..2 {
        assert_eq!(machine.live("s").0, ["p LastValid(1)", "in sync"]);
    }
    write(&machine.store, "p", "b = c");
    assert_eq!(machine.live("s").0, ["p LastValid(1)", "in sync"], "a bad form does not take a good one's place");
    write(&machine.store, "p", "has(b)");
    assert_eq!(machine.live("s").0, ["p", "in sync"]);
    write(&machine.store, "p", "c = d");
    assert_eq!(machine.live("s").0, ["p LastValid(4)", "in sync"]);
    delete(&machine.store, "p");
    machine.live("s");
    write(&machine.store, "p", "d = e");
    assert_eq!(machine.live("s").0, ["p DenyByDefault", "in sync"], "another object of its name begins anew");
}

#[test]
fn an_unreadable_object_that_is_listed_again_unchanged_keeps_its_last_valid_version() {
    let machine = Machine::new();
    write(&machine.store, "p", "has(a)");
    write(&machine.store, "q", "has(a)");
    machine.live("s");
    write(&machine.store, "p", "a = b");
    write(&machine.store, "q", "a = b");
    {
        let (disk, status) = (machine.disk(), Arc::new(StatusCell::default()));
        let cached_store = machine.cached_store("s", &disk, &status);
        let mut sync = Sync::new(&cached_store, CachedLastValid::new(Some(disk.clone())));
        assert_eq!(drain(&mut sync), ["p LastValid(1)", "q LastValid(2)", "in sync"]);
        cached_store.reopen();
        write(&machine.store, "q", "has(b)");
        let messages: Vec<String> = (0..3).flat_map(|_| drain(&mut sync)).collect();
        assert_eq!(messages, ["q"], "only what differs is told");
        write(&machine.store, "q", "b = c");
        assert_eq!(drain(&mut sync), ["q LastValid(5)"]);
        disk.settle();
    }
    assert_eq!(machine.live("s").0, ["p LastValid(1)", "q LastValid(5)", "in sync"]);
}

#[test]
fn a_file_that_is_not_a_copy_is_not_used_and_is_replaced() {
    let machine = Machine::new();
    write(&machine.store, "kept", "all()");
    machine.live("s");
    let path = machine.place.path().join("agent.db");
    let whole = std::fs::read(&path).unwrap();
    for damaged in [b"something else".as_slice(), &whole[..100], &whole[..whole.len() / 2], &[]] {
        std::fs::write(&path, damaged).unwrap();
        machine.away.store(true, Ordering::SeqCst);
        let messages = machine.live("s").0;
        assert!(matches!(&messages[..], [lost] if lost.starts_with("lost: ")), "{}: {messages:?}", damaged.len());
        machine.away.store(false, Ordering::SeqCst);
        assert_eq!(machine.live("s").0, ["kept", "in sync"]);
        machine.away.store(true, Ordering::SeqCst);
        assert_eq!(machine.live("s").0, ["kept", "in sync"]);
    }
}

#[test]
fn a_file_of_another_format_is_not_used_and_is_replaced() {
    let machine = Machine::new();
    write(&machine.store, "kept", "all()");
    machine.live("s");
    let path = machine.place.path().join("agent.db");
    let live = |is_away: bool| {
        machine.away.store(is_away, Ordering::SeqCst);
        machine.live("s").0
    };
    // Releases before wrote no version.
    for (version, is_known) in [(0, true), (2, false)] {
        Connection::open(&path).unwrap().execute_batch(&format!("pragma user_version = {version}")).unwrap();
        assert_eq!(live(true) == ["kept", "in sync"], is_known, "{version}");
        assert_eq!(live(false), ["kept", "in sync"]);
        assert_eq!(live(true), ["kept", "in sync"]);
    }
}

#[test]
fn an_incomplete_copy_is_not_used_until_it_is_complete_again() {
    let machine = Machine::new();
    let path = machine.place.path().join("agent.db");
    let stored = |revision: u64, selector| Stored {
        key: key("p"),
        revision: revision.into(),
        value: value("p", selector).into(),
    };
    let mut file = CacheFile::open(&path);
    let list = |file: &mut CacheFile| {
        file.listing("s").unwrap();
        file.page(&[stored(1, "all()")]).unwrap();
        file.listed(Some(&1.into())).unwrap();
    };
    let held = || Snapshot::open(&path).and_then(|copy| copy.open_complete()).map(|held| held.position);
    list(&mut file);
    assert_eq!(held(), Some(1.into()));
    file.changes(&[Event::Put(stored(3, "has(a)"))], &3.into(), true).unwrap();
    assert_eq!(held(), None);
    assert_eq!(file.last_valid(&stored(4, "a = b")).unwrap().unwrap().0, 3, "what it had is known still");
    file.listing("s").unwrap();
    file.listed(None).unwrap();
    assert_eq!(held(), None, "a listing that was given up is none");
    list(&mut file);
    assert_eq!(held(), Some(1.into()));
    file.give_up();
    assert_eq!(held(), None);
}

#[test]
fn a_compacted_copy_has_the_same_content() {
    let machine = Machine::new();
    let path = machine.place.path().join("agent.db");
    let stored = |name: &str, revision: u64, selector| Stored {
        key: key(name),
        revision: revision.into(),
        value: value(name, selector).into(),
    };
    let mut file = CacheFile::open(&path);
    file.listing("s").unwrap();
    file.page(&[stored("a", 1, "all()"), stored("b", 2, "all()"), stored("c", 3, "all()")]).unwrap();
    file.listed(Some(&3.into())).unwrap();
    let (bad, other) = (stored("a", 4, "a = b"), stored("b", 5, "has(b)"));
    file.changes(&[Event::Put(bad.clone()), Event::Put(other), Event::Deleted(key("c"), 6.into())], &6.into(), false)
        .unwrap();
    assert_eq!(file.last_valid(&bad).unwrap().unwrap().0, 1);
    let held = || {
        let (held, mut names) = (Snapshot::open(&path).unwrap().open_complete().unwrap(), Vec::new());
        held.pages(&mut |page| {
            names.extend(page.iter().map(|one| (one.key.name.clone(), one.revision.number().unwrap())))
        })
        .unwrap();
        (names, held.position)
    };
    assert_eq!(held(), (vec![("a".to_owned(), 4), ("b".to_owned(), 5)], 6.into()));
    let many: Vec<Event> = (7..60_000).map(|revision| Event::Put(stored("b", revision, "has(b)"))).collect();
    file.changes(&many, &59_999.into(), false).unwrap();
    assert_eq!(held(), (vec![("a".to_owned(), 4), ("b".to_owned(), 59_999)], 59_999.into()));
    let forms = "select group_concat(revision) from (select revision from forms order by revision)";
    let forms: String = Connection::open(&path).unwrap().query_row(forms, [], |row| row.get(0)).unwrap();
    assert_eq!(forms, "1,4,59999", "with the last valid version of the bad one");
    assert_eq!(file.last_valid(&bad).unwrap().unwrap().0, 1);
    assert_eq!(file.last_valid(&stored("c", 60_000, "a = b")).unwrap(), None, "what was deleted is forgotten");
}

#[test]
fn two_agents_never_share_a_file() {
    let machine = Machine::new();
    let _first = machine.disk();
    assert!(CacheWriter::open(&machine.place.path().join("agent.db"), drop).is_err());
}

#[test]
fn asking_to_read_files_again_opens_the_store_anew() {
    let machine = Machine::new();
    write(&machine.store, "p", "all()");
    let (disk, status) = (machine.disk(), Arc::new(StatusCell::default()));
    let cached_store = machine.cached_store("s", &disk, &status);
    let mut sync = Sync::new(&cached_store, CachedLastValid::new(Some(disk.clone())));
    drain(&mut sync);
    assert_eq!(status.read().resyncs, 1);
    cached_store.reopen();
    machine.away.store(true, Ordering::SeqCst);
    assert_eq!(drain(&mut sync), ["lost: away"], "it is opened again, which fails now");
    machine.away.store(false, Ordering::SeqCst);
    drain(&mut sync);
    assert_eq!(status.read().resyncs, 2);
    let stored = machine.store.get(&key("p")).unwrap().unwrap();
    assert!(CachedLastValid::new(None).find(&stored).is_none());
}

#[test]
fn the_copy_follows_a_kind_that_expired_and_was_listed_again_alone() {
    let machine = Machine::with(MemoryStore::with_histories());
    for name in ["changed", "gone", "kept"] {
        write(&machine.store, name, "all()");
    }
    let (disk, status) = (machine.disk(), Arc::new(StatusCell::default()));
    let cached_store = machine.cached_store("s", &disk, &status);
    let mut sync = Sync::new(&cached_store, CachedLastValid::new(Some(disk.clone())));
    let mut messages = drain(&mut sync);
    messages.sort();
    assert_eq!(messages, ["changed", "gone", "in sync", "kept"]);
    write(&machine.store, "changed", "has(a)");
    delete(&machine.store, "gone");
    write(&machine.store, "new", "all()");
    machine.store.expire(Kind::GlobalNetworkPolicy);
    let mut messages = drain(&mut sync);
    messages.sort();
    assert_eq!(messages, ["changed", "gone", "new"]);
    assert_eq!(status.read().resyncs, 1, "only the kind was listed again");
    let position = machine.store.position().unwrap();
    assert!(status.read().lag.received.has_reached(&position));
    disk.settle();
    let held = disk.copy().unwrap().open_complete().unwrap();
    let mut copied = Vec::new();
    held.pages(&mut |page| copied.extend(page)).unwrap();
    copied.sort_by(|a, b| a.key.cmp(&b.key));
    assert_eq!(copied, machine.store.list(&Selection::default()).unwrap().items);
    assert_eq!(held.position, position);
    drop(sync);
    drop((cached_store, disk));
    machine.away.store(true, Ordering::SeqCst);
    let (mut messages, state) = machine.live("s");
    messages.sort();
    assert_eq!(
        (messages, state),
        (["changed", "in sync", "kept", "new"].map(str::to_owned).to_vec(), StoreState::Stale)
    );
}

#[test]
fn the_copy_keeps_why_an_object_cannot_be_read_and_versions_that_are_no_numbers() {
    let machine = Machine::new();
    let path = machine.place.path().join("agent.db");
    let stored = |revision: &str, value| Stored { key: key("p"), revision: revision.into(), value };
    let good = stored("007", value("p", "all()").into());
    let bad = stored("12/", Value::cannot_be_read("the port is not a port"));
    let mut file = CacheFile::open(&path);
    file.listing("s").unwrap();
    file.page(std::slice::from_ref(&good)).unwrap();
    file.listed(Some(&1.into())).unwrap();
    file.changes(&[Event::Put(bad.clone())], &2.into(), false).unwrap();
    let mut copied = Vec::new();
    Snapshot::open(&path).unwrap().open_complete().unwrap().pages(&mut |page| copied.extend(page)).unwrap();
    assert_eq!(copied, std::slice::from_ref(&bad));
    let (revision, found) = file.last_valid(&bad).unwrap().unwrap();
    assert_eq!((revision, &found[..]), (good.revision.clone(), &good.value[..]));
    let again = Stored { revision: "13/".into(), ..bad };
    file.changes(&[Event::Put(again.clone())], &3.into(), false).unwrap();
    assert_eq!(file.last_valid(&again).unwrap().unwrap().0, good.revision, "what cannot be read is no valid version");
}
