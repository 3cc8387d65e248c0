//! A store with a copy behind it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tortie_api::{Key, Kind, decode};
use tortie_store::{Event, Listing, Revision, Selection, Store, StoreError, Stored, Watch, Write, WriteError, Written};

use super::book::Copy;
use super::disk::Disk;
use crate::backoff::Backoff;
use crate::board::{self, Board};
use crate::status::StoreState;
use crate::stop::Stop;

/// Opens the store, with what its files and certificates say now.
pub type Opener = Box<dyn Fn() -> Result<Arc<dyn Store>, StoreError> + Send + Sync>;

/// A store that notes on disk what it says, and is stood in for by its copy while it has not answered yet.
pub(crate) struct Shelved {
    opener: Opener,
    opened: Mutex<Option<Arc<dyn Store>>>,
    disk: Option<Disk>,
    copy: Mutex<Option<Copy>>,
    /// The latest that was heard.
    revision: AtomicU64,
    /// Between tries while the copy stands in.
    backoff: Mutex<Backoff>,
    board: Arc<Board>,
    stop: Arc<Stop>,
    /// The files are to be read again.
    reopen: Arc<AtomicBool>,
}

impl Shelved {
    /// A store that this opens. `name` is what it is, as far as that is known without opening it.
    pub(crate) fn new(opener: Opener, name: &str, disk: Option<Disk>, board: Arc<Board>, stop: Arc<Stop>) -> Self {
        let copy = disk.as_ref().and_then(Disk::copy);
        if let Some(other) = copy.as_ref().filter(|copy| copy.store != name) {
            log::warn!("the copy on disk is of {}, so it does not stand in for {name}", other.store);
        }
        let copy = copy.filter(|copy| copy.store == name);
        board.tell(|facts| facts.store_name = name.to_owned());
        Self {
            opener,
            opened: Mutex::default(),
            disk,
            revision: AtomicU64::default(),
            copy: Mutex::new(copy),
            backoff: Mutex::default(),
            board,
            stop,
            reopen: Arc::default(),
        }
    }

    /// Asks for the files to be read again.
    pub(crate) fn reopen(&self) {
        self.reopen.store(true, Ordering::SeqCst);
    }

    /// The store itself, if it is open.
    pub(crate) fn opened(&self) -> Option<Arc<dyn Store>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn store(&self) -> Result<Arc<dyn Store>, StoreError> {
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

    /// What the store has, piece by piece. One that says that it is not ready is taken for away; and so is one that was
    /// known to hold something and is now empty and younger: a disk that is not mounted must not open the machine.
    fn real(&self, page: &mut dyn FnMut(Vec<Stored>)) -> Result<Revision, StoreError> {
        let store = self.store()?;
        let not_ready = || {
            StoreError::Failed(format!(
                "{} says that it is not ready (ClusterInformation default: datastoreReady is false); \
                 `calicoctl datastore migrate unlock` sets it",
                store.describe()
            ))
        };
        // Asked before everything is fetched, and looked at again in what was.
        if store.get(&readiness())?.is_some_and(|stored| is_locked(&stored)) {
            return Err(not_ready());
        }
        let copying = self.disk.as_ref().map(|disk| disk.listing(self.describe()));
        let (mut locked, mut empty) = (false, true);
        let revision = store.list_pages(&Selection::default(), &mut |items| {
            locked = locked || items.iter().any(is_locked);
            empty = empty && items.is_empty();
            if !locked {
                if let Some(copying) = &copying {
                    copying.page(&items);
                }
                page(items);
            }
        })?;
        if locked {
            return Err(not_ready());
        }
        let mut most = self.revision.fetch_max(revision, Ordering::SeqCst);
        if empty && let Some(held) = self.copy().and_then(|copy| copy.hold()) {
            most = most.max(held.revision);
        }
        if empty && revision < most {
            let name = store.describe();
            return Err(StoreError::Failed(format!(
                "{name} is empty and at revision {revision}; it was at {most} before"
            )));
        }
        if let Some(copying) = copying {
            copying.whole(revision);
        }
        Ok(revision)
    }

    fn copy(&self) -> Option<Copy> {
        self.copy.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The copy has done its work, and need not be held.
    fn drop_copy(&self) {
        *self.copy.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Store for Shelved {
    fn describe(&self) -> String {
        self.board.read().store_name.clone()
    }

    fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.store()?.get(key)
    }

    fn list(&self, selection: &Selection) -> Result<Listing, StoreError> {
        let mut items = Vec::new();
        let revision = self.list_pages(selection, &mut |page| items.extend(page))?;
        Ok(Listing { revision, items })
    }

    fn list_pages(&self, _: &Selection, page: &mut dyn FnMut(Vec<Stored>)) -> Result<Revision, StoreError> {
        match self.real(page) {
            Ok(revision) => {
                self.drop_copy();
                self.board.tell(|facts| {
                    facts.resyncs += 1;
                    if facts.store == StoreState::Stale {
                        log::info!("the store answers again");
                        facts.set_store(StoreState::Waiting, board::now(), String::new());
                    }
                });
                Ok(revision)
            }
            Err(error) => {
                let Some(copy) = self.copy().and_then(|copy| copy.hold()) else { return Err(error) };
                let reason = error.to_string();
                if self.board.read().store != StoreState::Stale {
                    log::error!(
                        "the store cannot be asked ({reason}); what it said until {} is enforced",
                        copy.written
                    );
                }
                self.board.tell(|facts| facts.set_store(StoreState::Stale, copy.written.clone(), reason));
                copy.pages(page).map_err(|error| StoreError::Failed(format!("the copy of the store: {error}")))?;
                Ok(copy.revision)
            }
        }
    }

    fn write(&self, writes: &[Write]) -> Result<Vec<Result<Written, WriteError>>, StoreError> {
        self.store()?.write(writes)
    }

    fn is_quiet(&self, after: Revision, until: Revision) -> Result<bool, StoreError> {
        self.store()?.is_quiet(after, until)
    }

    fn watch(&self, selection: &Selection, from: Revision) -> Result<Box<dyn Watch>, StoreError> {
        if self.copy().is_some() {
            let mut backoff = self.backoff.lock().unwrap_or_else(PoisonError::into_inner);
            let pause = backoff.pause();
            backoff.longer();
            return Ok(Box::new(Standing { pause, stop: self.stop.clone(), from }));
        }
        let inner = self.store()?.watch(selection, from)?;
        Ok(Box::new(Noted { inner, disk: self.disk.clone(), reopen: self.reopen.clone(), from, locked: false }))
    }
}

/// The object in which a store says whether it is ready.
fn readiness() -> Key {
    Key::cluster(Kind::ClusterInformation, "default")
}

/// Whether an object says that the store is not ready: that it is being migrated, and what is in it may be half of it.
fn is_locked(stored: &Stored) -> bool {
    let ready = |stored: &Stored| {
        let object = decode::stored(&stored.key, &stored.value).ok()?;
        object.body.get("spec")?.get("datastoreReady")?.as_bool()
    };
    stored.key == readiness() && ready(stored) == Some(false)
}

/// A watch that notes what it tells.
struct Noted {
    inner: Box<dyn Watch>,
    disk: Option<Disk>,
    reopen: Arc<AtomicBool>,
    from: Revision,
    /// The store has said that it is not ready: it is asked anew from then on.
    locked: bool,
}

impl Noted {
    /// Notes a change; none if it says that the store is not ready.
    fn note(&mut self, event: Event) -> Option<Event> {
        self.locked = matches!(&event, Event::Put(stored) if is_locked(stored));
        if let Some(disk) = self.disk.as_ref().filter(|_| !self.locked) {
            disk.event(&event);
        }
        (!self.locked).then_some(event)
    }
}

impl Watch for Noted {
    fn next(&mut self, wait: Duration) -> Result<Option<Event>, StoreError> {
        let over = StoreError::Compacted { from: self.from, kept: self.from };
        if self.locked || self.reopen.load(Ordering::SeqCst) {
            return Err(over);
        }
        let event = self.inner.next(wait)?.and_then(|event| self.note(event));
        if self.locked { Err(over) } else { Ok(event) }
    }

    fn more(&mut self) -> Option<Event> {
        if self.locked || self.reopen.load(Ordering::SeqCst) {
            return None;
        }
        let event = self.inner.more()?;
        self.note(event)
    }
}

/// The watch of a copy: nothing changes, and every now and then the store is to be tried again, which is what an
/// overtaken watch asks for.
struct Standing {
    pause: Duration,
    stop: Arc<Stop>,
    from: Revision,
}

impl Watch for Standing {
    fn next(&mut self, _: Duration) -> Result<Option<Event>, StoreError> {
        self.stop.wait(self.pause);
        Err(StoreError::Compacted { from: self.from, kept: self.from })
    }
}
