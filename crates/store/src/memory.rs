//! A store that lives in memory: for tests, and for work on a copy of another store's content.
//!
//! Clones share their content. It keeps the last [`MemoryStore::KEPT`] changes for watches.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tortie_api::Key;

use crate::{
    Event, Listing, Op, Revision, Selection, Stopped, Store, StoreError, Stored, Watch, Whole, Write, WriteError,
    Written,
};

/// A store in memory. Clones share their content.
#[derive(Clone, Default)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    revision: Revision,
    objects: BTreeMap<Key, Stored>,
    /// The last changes, one a revision: the last one is of `revision`.
    log: VecDeque<Event>,
}

impl MemoryStore {
    /// How many of the last changes a watch can ask for.
    pub const KEPT: usize = 10_000;

    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// A store with the content of another one, at the same revisions; it has no history.
    pub fn holding(listing: Listing) -> Self {
        let store = Self::new();
        let objects = listing.items.into_iter().map(|stored| (stored.key.clone(), stored)).collect();
        *store.state() = State { revision: listing.revision, objects, log: VecDeque::new() };
        store
    }

    /// Forgets the changes up to this revision, so that watching from before it is answered with
    /// [`StoreError::Compacted`].
    pub fn compact(&self, revision: Revision) {
        let mut state = self.state();
        while state.log.front().is_some_and(|event| event.revision() <= revision) {
            state.log.pop_front();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves whole objects: every change is made in one step.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The oldest revision from which a watch can start.
    fn kept(&self) -> Revision {
        self.revision - self.log.len() as Revision
    }

    fn trim(&mut self) {
        let excess = self.log.len().saturating_sub(MemoryStore::KEPT);
        self.log.drain(..excess);
    }

    fn can_watch(&self, from: Revision) -> Result<(), StoreError> {
        let kept = self.kept();
        if from < kept || from > self.revision {
            return Err(StoreError::Compacted { from, kept });
        }
        Ok(())
    }

    fn write(&mut self, write: &Write) -> Result<Written, WriteError> {
        write.op.check(self.objects.get(&write.key))?;
        self.revision += 1;
        let revision = self.revision;
        let previous = match &write.op {
            Op::Create(value) | Op::Update(value, _) => {
                let stored = Stored { key: write.key.clone(), revision, value: value.clone() };
                self.log.push_back(Event::Put(stored.clone()));
                self.objects.insert(write.key.clone(), stored)
            }
            Op::Delete(_) => {
                self.log.push_back(Event::Deleted(write.key.clone(), revision));
                self.objects.remove(&write.key)
            }
        };
        Ok(Written { revision, previous })
    }
}

impl Store for MemoryStore {
    fn describe(&self) -> String {
        "store in memory".to_owned()
    }

    fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        Ok(self.state().objects.get(key).cloned())
    }

    fn list(&self, selection: &Selection) -> Result<Listing, StoreError> {
        let state = self.state();
        Ok(Listing {
            revision: state.revision,
            items: state.objects.values().filter(|stored| selection.contains(&stored.key)).cloned().collect(),
        })
    }

    fn write(&self, writes: &[Write]) -> Result<Vec<Result<Written, WriteError>>, StoreError> {
        let mut state = self.state();
        let results = writes.iter().map(|write| state.write(write)).collect();
        state.trim();
        drop(state);
        self.shared.changed.notify_all();
        Ok(results)
    }

    fn write_whole(&self, writes: &[Write]) -> Result<Whole, StoreError> {
        let mut state = self.state();
        let check = |(at, write): (usize, &Write)| Some((at, write.op.check(state.objects.get(&write.key)).err()?));
        let refused: Vec<_> = writes.iter().enumerate().filter_map(check).collect();
        if !refused.is_empty() {
            return Ok(Whole { made: Vec::new(), stopped: Some(Stopped::Refused(refused)) });
        }
        let made = writes.iter().filter_map(|write| state.write(write).ok()).collect();
        state.trim();
        drop(state);
        self.shared.changed.notify_all();
        Ok(Whole { made, stopped: None })
    }

    fn watch(&self, selection: &Selection, from: Revision) -> Result<Box<dyn Watch>, StoreError> {
        self.state().can_watch(from)?;
        Ok(Box::new(MemoryWatch { store: self.clone(), selection: selection.clone(), position: from }))
    }
}

struct MemoryWatch {
    store: MemoryStore,
    selection: Selection,
    /// The revision up to which everything was told.
    position: Revision,
}

impl Watch for MemoryWatch {
    fn next(&mut self, wait: Duration) -> Result<Option<Event>, StoreError> {
        let deadline = Instant::now().checked_add(wait);
        let mut state = self.store.state();
        loop {
            state.can_watch(self.position)?;
            let told = (self.position - state.kept()) as usize;
            for event in state.log.range(told..) {
                self.position = event.revision();
                if self.selection.contains(event.key()) {
                    return Ok(Some(event.clone()));
                }
            }
            let left = match deadline {
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
                None => Duration::MAX,
            };
            if left.is_zero() {
                return Ok(None);
            }
            state = self.store.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
