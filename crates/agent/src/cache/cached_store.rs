//! A store whose content is recorded in the snapshot cache, and which the snapshot replaces while it cannot be reached.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tortie_api::{Key, Kind, decode};
use tortie_store::{
    Abilities, Event, Listing, Operation, Position, Selection, Store, StoreError, Stored, Support, Watch, Write,
    WriteError, Written,
};

use super::file::Snapshot;
use super::history;
use super::identity::{self, Identity};
use super::writer::CacheWriter;
use crate::backoff::Backoff;
use crate::lag::{self, StepGuard};
use crate::logger::event;
use crate::status::StoreState;
use crate::status_cell::StatusCell;
use crate::stop_flag::StopFlag;
use crate::supervisor;
use crate::utc;

/// The pause between two looks at the copy of a store that is not asked.
const NOT_ASKED: Duration = Duration::from_secs(3600);

/// Opens the store, with what its files and certificates say now.
pub type Opener = Box<dyn Fn() -> Result<Arc<dyn Store>, StoreError> + Send + Sync>;

/// A store that is recorded on disk, and is replaced by its snapshot while it has not answered since the start.
pub(crate) struct CachedStore {
    opener: Opener,
    opened: Mutex<Option<Arc<dyn Store>>>,
    disk: Option<CacheWriter>,
    copy: Mutex<Option<Snapshot>>,
    /// The store that is obeyed, as far as it was seen.
    seen: Arc<Mutex<Identity>>,
    /// Why the last try did not obey what it found: another store, or none.
    refused: Mutex<Option<StoreState>>,
    /// Another store may take over.
    accepted: AtomicBool,
    /// Why the store is not asked at all, whatever it holds.
    not_asked: OnceLock<String>,
    /// Between tries while the copy stands in.
    backoff: Mutex<Backoff>,
    status: Arc<StatusCell>,
    stop: Arc<StopFlag>,
    /// The files are to be read again.
    reopen: Arc<AtomicBool>,
}

impl CachedStore {
    /// A store that this opens. `name` is what it is, as far as that is known without opening it.
    pub(crate) fn new(
        opener: Opener,
        name: &str,
        disk: Option<CacheWriter>,
        status: Arc<StatusCell>,
        stop: Arc<StopFlag>,
    ) -> Self {
        let copy = disk.as_ref().and_then(CacheWriter::copy);
        if let Some(other) = copy.as_ref().filter(|copy| copy.store != name) {
            log::warn!(target: event::CACHE_FAILED, "the snapshot cache is of {}, so it does not replace {name}", other.store);
        }
        // The copy of a store in which nothing ever was says nothing.
        let copy = copy.filter(|copy| copy.store == name && copy.identity != Identity::default());
        status.update(|record| record.store_name = name.to_owned());
        let seen = copy.as_ref().map(|copy| copy.identity.clone()).unwrap_or_default();
        Self {
            opener,
            opened: Mutex::default(),
            disk,
            seen: Arc::new(Mutex::new(seen)),
            refused: Mutex::default(),
            accepted: AtomicBool::default(),
            not_asked: OnceLock::new(),
            copy: Mutex::new(copy),
            backoff: Mutex::default(),
            status,
            stop,
            reopen: Arc::default(),
        }
    }

    /// Asks for the files to be read again.
    pub(crate) fn reopen(&self) {
        self.reopen.store(true, Ordering::SeqCst);
    }

    /// Lets another store, or another history, take over with the next listing; or no longer.
    pub(crate) fn accept(&self, may: bool) {
        self.accepted.store(may, Ordering::SeqCst);
    }

    /// Never asks the store: its copy stands in for as long as this lives.
    pub(crate) fn do_not_ask(&self, reason: String) {
        // A second reason would change nothing.
        drop(self.not_asked.set(reason));
    }

    /// Whether the last try found no store, or one that nothing was ever written to.
    pub(crate) fn is_missing(&self) -> bool {
        *self.refused() == Some(StoreState::Missing)
    }

    fn refused(&self) -> MutexGuard<'_, Option<StoreState>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store itself, if it is open.
    pub(crate) fn opened(&self) -> Option<Arc<dyn Store>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn store(&self) -> Result<Arc<dyn Store>, StoreError> {
        if let Some(reason) = self.not_asked.get() {
            return Err(StoreError::Failed(reason.clone()));
        }
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if self.reopen.load(Ordering::SeqCst) {
            *opened = None;
        }
        if let Some(store) = &*opened {
            return Ok(store.clone());
        }
        let store = (self.opener)()?;
        self.reopen.store(false, Ordering::SeqCst);
        Ok(opened.insert(store).clone())
    }

    /// Refuses a store that is not the one that is obeyed, unless it was accepted.
    fn check(&self, store: &dyn Store, now: &Identity) -> Result<(), StoreError> {
        let differs = lock(&self.seen).differs(now);
        let Some(why) = differs.map_or_else(|| self.other_history(store), |why| Ok(Some(why)))? else { return Ok(()) };
        // One without any history does not exist (yet): a disk that is not mounted, say. That cannot be accepted.
        if *now == Identity::default() {
            return Err(StoreError::Failed(format!(
                "{}; it was at {} before",
                absence(store),
                lock(&self.seen).position
            )));
        }
        if self.accepted.load(Ordering::SeqCst) {
            log::warn!(target: event::STORE_ACCEPTED, "{} {why}; the agent follows it, because --accept-store was given", store.describe());
            return Ok(());
        }
        *self.refused() = Some(StoreState::Replaced);
        Err(StoreError::Failed(format!(
            "{} {why}; what was in force stays in force, and `tortie agent --accept-store` lets this store take over",
            store.describe()
        )))
    }

    /// What the store says otherwise of the revisions that were seen; none if nothing was seen yet, or nothing can be compared.
    fn other_history(&self, store: &dyn Store) -> Result<Option<String>, StoreError> {
        let is_comparable = || lock(&self.seen).position.number().is_some_and(|at| at > 0);
        let Some(disk) = self.disk.as_ref().filter(|_| is_comparable()) else { return Ok(None) };
        // Without a snapshot there is nothing to compare with; that it cannot be read has been reported elsewhere.
        let Ok(seen) = disk.moment() else { return Ok(None) };
        history::difference(store, &seen)
    }

    /// What the store has, piece by piece. One that says that it is not ready is taken for away; and so is one that is not
    /// the store that was obeyed: a disk that is not mounted must not open the machine.
    fn real(&self, selection: &Selection, page: &mut dyn FnMut(Vec<Stored>)) -> Result<Position, StoreError> {
        let store = self.store()?;
        let not_ready = || {
            StoreError::Failed(format!(
                "{} says that it is not ready (ClusterInformation default: datastoreReady is false); \
                 `calicoctl datastore migrate unlock` sets it",
                store.describe()
            ))
        };
        *self.refused() = None;
        // Asked before everything is fetched, and looked at again in what was.
        let information = store.list(&Selection::kind(Kind::ClusterInformation))?;
        if information.items.iter().any(is_locked) {
            return Err(not_ready());
        }
        let now = Identity::of(&information);
        self.check(&*store, &now)?;
        let copying = self.disk.as_ref().map(|disk| disk.listing(self.describe(), selection.kind));
        let (mut locked, mut guid, mut is_empty) = (false, None, information.items.is_empty());
        let position = store.list_pages(selection, &mut |items| {
            is_empty = is_empty && items.is_empty();
            locked = locked || items.iter().any(is_locked);
            guid = guid.take().or_else(|| items.iter().find_map(identity::guid));
            if !locked {
                if let Some(copying) = &copying {
                    copying.page(&items);
                }
                page(items);
            }
            // A store is read for as long as it takes.
            supervisor::made_progress();
        })?;
        if locked {
            return Err(not_ready());
        }
        if position.is_behind(&now.position) {
            return Err(StoreError::Failed(format!("{} was replaced while it was read", store.describe())));
        }
        // Nobody has written to it: what it will say is not known, and that is not "no policy".
        if is_empty && selection.kind.is_none() && *lock(&self.seen) == Identity::default() {
            *self.refused() = Some(StoreState::Missing);
            return Err(StoreError::Failed(absence(store.as_ref())));
        }
        match selection.kind {
            None => *lock(&self.seen) = Identity { guid, position: position.clone() },
            Some(_) => lock(&self.seen).position.advance(&position),
        }
        self.accept(false);
        if let Some(copying) = copying {
            copying.whole(position.clone());
        }
        Ok(position)
    }

    fn copy(&self) -> Option<Snapshot> {
        self.copy.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The snapshot is not needed any more.
    fn drop_copy(&self) {
        *self.copy.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Store for CachedStore {
    fn describe(&self) -> String {
        self.status.read().store_name.clone()
    }

    fn abilities(&self) -> Abilities {
        self.opened().map(|store| store.abilities()).unwrap_or_default()
    }

    fn left_out(&self) -> Vec<String> {
        self.opened().map(|store| store.left_out()).unwrap_or_default()
    }

    fn supports(&self, kind: Kind, operation: Operation) -> Support {
        self.opened().map_or(Ok(()), |store| store.supports(kind, operation))
    }

    fn would_take(&self, write: &Write) -> Result<Result<(), WriteError>, StoreError> {
        self.store()?.would_take(write)
    }

    fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.store()?.get(key)
    }

    fn position(&self) -> Result<Position, StoreError> {
        self.store()?.position()
    }

    fn list(&self, selection: &Selection) -> Result<Listing, StoreError> {
        let mut items = Vec::new();
        let position = self.list_pages(selection, &mut |page| items.extend(page))?;
        Ok(Listing { position, items })
    }

    fn list_pages(&self, selection: &Selection, page: &mut dyn FnMut(Vec<Stored>)) -> Result<Position, StoreError> {
        let _reading = StepGuard::begin(&self.status, lag::READ);
        match self.real(selection, page) {
            Ok(position) => {
                self.drop_copy();
                self.status.update(|record| {
                    if selection.kind.is_none() {
                        record.resyncs += 1;
                    }
                    match selection.kind {
                        // Another store may have taken over, whose revisions are lower.
                        None => record.lag.received = position.clone(),
                        Some(_) => record.lag.received.advance(&position),
                    }
                    if matches!(record.store, StoreState::Stale | StoreState::Replaced | StoreState::Missing) {
                        let word = if record.store == StoreState::Missing { "exists now" } else { "answers again" };
                        log::info!(target: event::STORE_REACHED, "the store {word}");
                        record.set_store(StoreState::Waiting, utc::now(), String::new());
                    }
                });
                Ok(position)
            }
            Err(error) => {
                let state = match self.not_asked.get() {
                    Some(_) => StoreState::NotAsked,
                    None => self.refused().unwrap_or(StoreState::Stale),
                };
                let reason = error.to_string();
                if state == StoreState::Missing && self.status.read().store != StoreState::Missing {
                    let adopted = self.status.read().adopted.clone();
                    log::error!(target: event::STORE_MISSING, "{reason}; {adopted}");
                }
                let copy = self.copy().and_then(|copy| copy.open_complete());
                if state == StoreState::Replaced && self.status.read().store != StoreState::Replaced {
                    log::error!(target: event::STORE_REPLACED, "the store was REPLACED: {reason}");
                }
                let Some(copy) = copy else {
                    self.status.update(|record| {
                        record.has_no_copy = record.resyncs == 0;
                        match (state, record.store) {
                            (StoreState::Replaced | StoreState::NotAsked | StoreState::Missing, _) => {
                                record.set_store(state, utc::now(), reason);
                            }
                            (_, StoreState::Replaced) if record.resyncs > 0 => {
                                record.set_store(StoreState::Lost, utc::now(), reason);
                            }
                            (_, StoreState::Replaced | StoreState::Missing) => {
                                record.set_store(StoreState::Waiting, utc::now(), reason)
                            }
                            _ => {}
                        }
                    });
                    return Err(error);
                };
                if state == StoreState::Stale && self.status.read().store != StoreState::Stale {
                    log::error!(target: event::STORE_LOST, "the store cannot be reached ({reason}); what it held until {} is enforced",
                        copy.written
                    );
                }
                let since = if state == StoreState::Replaced { utc::now() } else { copy.written.clone() };
                self.status.update(|record| record.set_store(state, since, reason));
                copy.pages(page).map_err(|error| StoreError::Failed(format!("the copy of the store: {error}")))?;
                self.status.update(|record| record.lag.received = copy.position.clone());
                Ok(copy.position)
            }
        }
    }

    fn write(&self, writes: &[Write]) -> Result<Vec<Result<Written, WriteError>>, StoreError> {
        self.store()?.write(writes)
    }

    fn is_unchanged_between(&self, after: &Position, until: &Position) -> Result<bool, StoreError> {
        self.store()?.is_unchanged_between(after, until)
    }

    fn watch(&self, selection: &Selection, from: &Position) -> Result<Box<dyn Watch>, StoreError> {
        if self.not_asked.get().is_some() {
            return Ok(Box::new(SnapshotWatch { pause: NOT_ASKED, stop: self.stop.clone(), from: from.clone() }));
        }
        if self.copy().is_some() {
            let mut backoff = self.backoff.lock().unwrap_or_else(PoisonError::into_inner);
            let pause = backoff.pause();
            backoff.longer();
            return Ok(Box::new(SnapshotWatch { pause, stop: self.stop.clone(), from: from.clone() }));
        }
        let inner = self.store()?.watch(selection, from)?;
        Ok(Box::new(RecordingWatch {
            inner,
            disk: self.disk.clone(),
            seen: self.seen.clone(),
            status: self.status.clone(),
            reading: false,
            reopen: self.reopen.clone(),
            from: from.clone(),
            ended: false,
        }))
    }
}

fn lock(seen: &Mutex<Identity>) -> MutexGuard<'_, Identity> {
    // Every change is made in one step, so what a panic left is whole.
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// That a store is empty, and why.
fn absence(store: &dyn Store) -> String {
    match store.exists() {
        true => format!("{} is empty: nothing was ever written to it", store.describe()),
        false => format!("{} does not exist", store.describe()),
    }
}

/// Whether an object says that the store is not ready: that it is being migrated, and what is in it may be half of it.
fn is_locked(stored: &Stored) -> bool {
    let ready = |stored: &Stored| {
        let object = decode::stored(&stored.key, &stored.value).ok()?;
        object.body.get("spec")?.get("datastoreReady")?.as_bool()
    };
    stored.key == identity::key() && ready(stored) == Some(false)
}

/// A watch that records what it receives.
struct RecordingWatch {
    inner: Box<dyn Watch>,
    disk: Option<CacheWriter>,
    seen: Arc<Mutex<Identity>>,
    status: Arc<StatusCell>,
    /// An event was handed over and is being processed.
    reading: bool,
    reopen: Arc<AtomicBool>,
    from: Position,
    /// The store has said that it is not ready, or lost its GUID: it is asked anew from then on.
    ended: bool,
}

impl RecordingWatch {
    /// Records a change; none if it says that the store is not ready, or takes its GUID away. Whoever empties a store begins with
    /// that in etcd, whose transactions tell deletions in the order of the keys.
    fn note(&mut self, event: Event) -> Option<Event> {
        self.ended = match &event {
            Event::Put(stored) => is_locked(stored),
            Event::Deleted(key, _) => *key == identity::key() && lock(&self.seen).guid.is_some(),
        };
        if !self.ended {
            let position = self.inner.position();
            lock(&self.seen).record_event(&event, &position);
            let first = !std::mem::replace(&mut self.reading, true);
            self.status.update(|record| {
                record.lag.received = position;
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
        // Whoever asks for the next change has handed on those before.
        if std::mem::take(&mut self.reading) {
            self.status.update(|record| record.lag.end(lag::READ));
        }
        let over = StoreError::Compacted { from: self.from.clone(), kept: self.from.clone() };
        if self.ended || self.reopen.load(Ordering::SeqCst) {
            return Err(over);
        }
        let event = self.inner.next(wait)?.and_then(|event| self.note(event));
        if self.ended { Err(over) } else { Ok(event) }
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

/// The watch of a snapshot: nothing changes, and from time to time the store is tried again, which a compacted watch asks for.
struct SnapshotWatch {
    pause: Duration,
    stop: Arc<StopFlag>,
    from: Position,
}

impl Watch for SnapshotWatch {
    fn next(&mut self, _: Duration) -> Result<Option<Event>, StoreError> {
        let _waiting = supervisor::waiting();
        self.stop.wait(self.pause);
        Err(StoreError::Compacted { from: self.from.clone(), kept: self.from.clone() })
    }

    fn position(&self) -> Position {
        self.from.clone()
    }
}
