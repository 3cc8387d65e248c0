//! Random histories of a store that fails, is compacted, and is replaced by another: what the stream has told is, after
//! each message, what the store held at the revision that the message names, and never an older state than before.
//!
//! `TORTIE_SEED` says from which seed on.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tortie_api::{Key, Kind};
use tortie_policy::Item;
use tortie_store::memory::MemoryStore;
use tortie_store::{
    Event, Listing, Op, Position, Selection, Store, StoreError, Stored, Watch, Write, WriteError, Written,
};
use tortie_sync::{Content, Message, NoCache, Sync};
use tortie_testkit::worlds::Random;

const HISTORIES: u64 = 500;
const STEPS: usize = 80;
const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// The order of each policy that is there: every version of one has another.
type Held = BTreeMap<String, f64>;

/// A store with a bad connection. Clones share everything.
#[derive(Clone)]
struct Bad(Arc<Mutex<Inner>>);

struct Inner {
    store: MemoryStore,
    random: Random,
    /// Whether calls fail now and then.
    failing: bool,
    /// Whether each kind has its own history.
    by_kind: bool,
    /// How many stores stood here before this one.
    replaced: usize,
    versions: u32,
    /// Every state there ever was, in order, with its position.
    states: Vec<(Position, Held)>,
}

impl Inner {
    fn fails(&mut self) -> Result<(), StoreError> {
        let fails = self.failing && self.random.once_in(5);
        if fails { Err(StoreError::Failed("the connection is bad".to_owned())) } else { Ok(()) }
    }

    fn held(&self) -> Held {
        self.states.last().map(|(_, held)| held.clone()).unwrap_or_default()
    }

    /// Creates, updates or deletes something.
    fn change(&mut self) {
        let name = *self.random.pick(&NAMES);
        let key = Key::cluster(Kind::GlobalNetworkPolicy, name);
        let there = self.store.get(&key).unwrap().map(|stored| stored.revision);
        self.versions += 1;
        let order = f64::from(self.versions);
        let metadata = json!({ "name": name });
        let object = json!({
            "kind": "GlobalNetworkPolicy", "apiVersion": "projectcalico.org/v3", "metadata": metadata,
            "spec": { "order": order },
        });
        let value: Arc<[u8]> = serde_json::to_vec(&object).unwrap().into();
        let mut held = self.held();
        let op = match there {
            Some(revision) if self.random.once_in(3) => {
                held.remove(name);
                Op::Delete(Some(revision))
            }
            Some(revision) => {
                held.insert(name.to_owned(), order);
                Op::Update(value, revision)
            }
            None => {
                held.insert(name.to_owned(), order);
                Op::Create(value)
            }
        };
        let written = self.store.write(&[Write { key, op }]).unwrap().remove(0).unwrap();
        let mut position = self.states.last().map(|(at, _)| at.clone()).unwrap_or_default();
        position.advance(&written.position);
        self.states.push((position, held));
    }

    /// Another store stands here now, whose revisions mean something else.
    fn replace(&mut self) {
        self.store = if self.by_kind { MemoryStore::with_histories() } else { MemoryStore::new() };
        self.replaced += 1;
        self.states.push((self.store.position().unwrap(), Held::new()));
        for _ in 0..self.random.below(8) {
            self.change();
        }
    }
}

impl Bad {
    fn new(seed: u64, by_kind: bool) -> Self {
        let store = if by_kind { MemoryStore::with_histories() } else { MemoryStore::new() };
        let random = Random::new(seed);
        let states = vec![(store.position().unwrap(), Held::new())];
        Self(Arc::new(Mutex::new(Inner { store, random, failing: true, by_kind, replaced: 0, versions: 0, states })))
    }

    fn with<T>(&self, run: impl FnOnce(&mut Inner) -> T) -> T {
        run(&mut self.0.lock().unwrap())
    }
}

struct BadWatch {
    bad: Bad,
    inner: Box<dyn Watch>,
    replaced: usize,
}

impl Watch for BadWatch {
    fn next(&mut self, wait: Duration) -> Result<Option<Event>, StoreError> {
        self.bad.with(|inner| {
            inner.fails()?;
            if inner.replaced != self.replaced {
                return Err(StoreError::Compacted { from: Position::START, kept: Position::START });
            }
            Ok(())
        })?;
        self.inner.next(wait)
    }

    fn position(&self) -> Position {
        self.inner.position()
    }

    fn resume(&mut self, kind: Kind, from: &Position) -> Result<(), StoreError> {
        self.inner.resume(kind, from)
    }
}

impl Store for Bad {
    fn describe(&self) -> String {
        "a store with a bad connection".to_owned()
    }

    fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.with(|inner| inner.store.get(key))
    }

    fn list(&self, selection: &Selection) -> Result<Listing, StoreError> {
        self.with(|inner| {
            inner.fails()?;
            let listing = inner.store.list(selection);
            // Somebody writes before the watch begins, and sometimes the changes are not kept that long.
            for _ in 0..inner.random.below(3) {
                inner.change();
            }
            if inner.random.once_in(6) {
                inner.store.compact();
            }
            listing
        })
    }

    fn write(&self, writes: &[Write]) -> Result<Vec<Result<Written, WriteError>>, StoreError> {
        self.with(|inner| inner.store.write(writes))
    }

    fn watch(&self, selection: &Selection, from: &Position) -> Result<Box<dyn Watch>, StoreError> {
        self.with(|inner| {
            inner.fails()?;
            let watch = inner.store.watch(selection, from)?;
            Ok(Box::new(BadWatch { bad: self.clone(), inner: watch, replaced: inner.replaced }) as Box<dyn Watch>)
        })
    }
}

/// What a reader of the stream knows.
struct Reader {
    held: Held,
    /// How far into the store's states it has come.
    at: usize,
    in_sync: u32,
}

impl Reader {
    fn take(&mut self, message: Message, bad: &Bad, seed: u64) {
        let position = match message {
            Message::Changes(changes, position) => {
                for change in changes {
                    match change.content {
                        Content::Gone => drop(self.held.remove(&change.key.name)),
                        Content::Item(item) => {
                            let Item::Policy(policy) = *item else { panic!("{item:?}") };
                            self.held.insert(change.key.name, policy.order.0.unwrap());
                        }
                        other => panic!("nobody wrote {other:?}"),
                    }
                }
                position
            }
            Message::InSync(position) => {
                self.in_sync += 1;
                position
            }
            Message::Lost(_) => return,
        };
        let states = bad.with(|inner| inner.states.clone());
        let later = states.iter().enumerate().skip(self.at);
        let found = later.into_iter().find(|(_, (known, held))| *known == position && *held == self.held);
        let Some((at, _)) = found else {
            panic!(
                "seed {seed}: at position {position} the store never held {:?} after {:?}",
                self.held, states[self.at]
            );
        };
        self.at = at;
    }
}

#[test]
fn the_stream_never_sends_a_state_that_was_not_in_the_store() {
    follow_histories(false);
}

#[test]
fn the_stream_is_consistent_where_each_kind_has_its_own_history_and_expires_alone() {
    follow_histories(true);
}

fn follow_histories(by_kind: bool) {
    let first = std::env::var("TORTIE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    println!("seeds {first} to {}", first + HISTORIES - 1);
    for seed in first..first + HISTORIES {
        let bad = Bad::new(seed, by_kind);
        let mut sync = Sync::new(&bad, NoCache);
        let mut reader = Reader { held: Held::new(), at: 0, in_sync: 0 };
        let mut choices = Random::new(!seed);
        for _ in 0..STEPS {
            match choices.below(20) {
                0 => bad.with(|inner| inner.store.compact()),
                1 => bad.with(Inner::replace),
                2..=7 => bad.with(Inner::change),
                _ => {
                    if let Some(message) = sync.next(Duration::ZERO) {
                        reader.take(message, &bad, seed);
                    }
                }
            }
        }
        // Once the connection holds, everything is told.
        bad.with(|inner| inner.failing = false);
        for tries in 0.. {
            if bad.with(|inner| inner.held()) == reader.held && reader.in_sync > 0 {
                break;
            }
            assert!(tries < 1000, "seed {seed}: stuck at {:?}", reader.held);
            if let Some(message) = sync.next(Duration::ZERO) {
                reader.take(message, &bad, seed);
            }
        }
        assert_eq!(reader.in_sync, 1, "seed {seed}: in sync is said once");
    }
}
