//! The watch of a store that is recorded on disk.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tortie_api::Kind;
use tortie_store::{Event, Position, Selection, Store, StoreError, Watch};

use super::{CachedStore, is_locked, keep_other_history, lock};
use crate::cache::identity::{self, Identity};
use crate::cache::writer::CacheWriter;
use crate::lag;
use crate::status_cell::{Answered, StatusCell};

/// A watch that records what it receives.
pub(super) struct RecordingWatch {
    inner: Box<dyn Watch>,
    store: Arc<dyn Store>,
    selection: Selection,
    disk: Option<CacheWriter>,
    seen: Arc<Mutex<Identity>>,
    suspect: Arc<Mutex<Option<Kind>>>,
    /// The kind of the last change.
    last: Option<Kind>,
    /// A kind whose history is no longer kept, until it is known whether that is the history that was read.
    expired: Option<Kind>,
    status: Arc<StatusCell>,
    /// The last event was handed over and is being processed.
    reading: bool,
    reopen: Arc<AtomicBool>,
    from: Position,
    /// The store said that it is not ready, or lost its GUID: it must be listed again.
    ended: bool,
}

impl RecordingWatch {
    /// Watches `store`, which `cached` has opened.
    pub(super) fn open(
        cached: &CachedStore,
        store: Arc<dyn Store>,
        selection: &Selection,
        from: &Position,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            inner: store.watch(selection, from)?,
            store,
            selection: selection.clone(),
            disk: cached.disk.clone(),
            seen: cached.seen.clone(),
            suspect: cached.suspect.clone(),
            last: None,
            expired: None,
            status: cached.status.clone(),
            reading: false,
            reopen: cached.reopen.clone(),
            from: from.clone(),
            ended: false,
        })
    }

    /// A kind must be listed again; everything, if the history of the store ends before what was read of it: of that kind, of the
    /// one that changed last, or of the one that has the GUID.
    fn expired(&mut self, kind: Kind) -> StoreError {
        self.expired = Some(kind);
        let kinds = [Some(kind), self.last.filter(|last| *last != kind), Some(Kind::ClusterInformation)];
        for one in kinds.into_iter().flatten() {
            let now = match self.store.position_of(&self.selection.of_kind(one)) {
                Ok(now) => now,
                Err(error) => return error,
            };
            // The whole listing says what became of it.
            if !lock(&self.seen).vanished(&now).is_empty() {
                self.ended = true;
                return self.over();
            }
            let other_history = lock(&self.seen).ends_before(&now);
            if let Some(why) = other_history {
                let now = match self.store.list(&Selection::kind(Kind::ClusterInformation)) {
                    Ok(information) => Identity::of(&information),
                    Err(error) => return error,
                };
                keep_other_history(&self.seen, self.disk.as_ref(), &now, &why);
                *lock(&self.suspect) = Some(one);
                self.ended = true;
                return self.over();
            }
        }
        self.expired = None;
        StoreError::Expired { kind }
    }

    fn over(&self) -> StoreError {
        StoreError::Compacted { from: self.from.clone(), kept: self.from.clone() }
    }

    /// Records a change. Returns none if it says that the store is not ready, or removes its GUID: deleting everything in etcd
    /// begins with that object, because a transaction reports deletions in the order of the keys.
    fn note(&mut self, event: Event) -> Option<Event> {
        self.last = Some(event.key().kind);
        self.ended = match &event {
            Event::Put(stored) => is_locked(stored),
            Event::Deleted(key, _) => *key == identity::key() && lock(&self.seen).guid.is_some(),
        };
        if !self.ended {
            let position = self.inner.position();
            lock(&self.seen).record_event(&event, &position);
            let first = !std::mem::replace(&mut self.reading, true);
            self.status.update(|record| {
                (record.lag.received, record.answered) = (position, Some(Answered::now()));
                if first {
                    record.lag.begin(lag::READ);
                }
            });
        }
        if let Some(disk) = self.disk.as_ref().filter(|_| !self.ended) {
            disk.event(&event, self.inner.position());
        }
        (!self.ended).then_some(event)
    }
}

impl Drop for RecordingWatch {
    fn drop(&mut self) {
        if self.reading {
            self.status.update(|record| record.lag.end(lag::READ));
        }
    }
}

impl Watch for RecordingWatch {
    fn next(&mut self, wait: Duration) -> Result<Option<Event>, StoreError> {
        // The caller has processed the previous events before it asks for the next one.
        if std::mem::take(&mut self.reading) {
            self.status.update(|record| record.lag.end(lag::READ));
        }
        if self.ended || self.reopen.load(Ordering::SeqCst) {
            return Err(self.over());
        }
        let event = match self.expired.map_or_else(|| self.inner.next(wait), |kind| Err(StoreError::Expired { kind })) {
            Err(StoreError::Expired { kind }) => return Err(self.expired(kind)),
            event => event?.and_then(|event| self.note(event)),
        };
        if self.ended { Err(self.over()) } else { Ok(event) }
    }

    fn more(&mut self) -> Option<Event> {
        if self.ended || self.reopen.load(Ordering::SeqCst) {
            return None;
        }
        let event = self.inner.more()?;
        self.note(event)
    }

    fn position(&self) -> Position {
        self.inner.position()
    }

    fn resume(&mut self, kind: Kind, from: &Position) -> Result<(), StoreError> {
        self.inner.resume(kind, from)
    }
}
