//! The thread that writes the snapshot cache, and the handle that other threads have on it.
//!
//! Changes are gathered and written ten times a second at most: one transaction for each would cost more than the writing itself.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tortie_api::{Key, Kind};
use tortie_store::{Event, Position, Stored};
use tortie_sync::{LastValid, Version};

use crate::supervisor::{self, Lifetime};

use super::file::{CacheError, CacheFile, Snapshot, SnapshotReader};

/// How many bytes of changes may wait to be written.
const BYTES: usize = 32 << 20;
/// How many pages of a listing may wait to be written.
const PAGES: usize = 2;
/// How long to wait for an answer from the disk.
const DISK_TIMEOUT: Duration = Duration::from_secs(10);
/// After a time-out, the wait is divided by this until an answer arrives in time.
const LESS_PATIENT: u32 = 20;
/// How long changes are gathered before they are written.
const GATHER: Duration = Duration::from_millis(100);

enum Job {
    /// The listing of a store, or of one of its kinds, begins. Its pages follow, among other jobs.
    Listing(String, Option<Kind>),
    Page(Vec<Stored>),
    /// The listing is complete, at this position; none if it was given up.
    Listed(Option<Position>),
    /// Changes are waiting to be written.
    Changes,
    LastValid(Stored, SyncSender<Option<Version>>),
    /// The policy of this node is in force from now on.
    Node(String, SyncSender<()>),
    /// The store was found to have another history, for this reason.
    OtherHistory(String),
    /// Everything before this is written.
    Sync(SyncSender<()>),
}

/// A handle on the snapshot cache. Clones are handles on the same one.
#[derive(Clone)]
pub(crate) struct CacheWriter {
    path: PathBuf,
    /// Unbounded, so that senders never wait: pages and questions are few, and changes wait in [`Shared`].
    jobs: Sender<Job>,
    patience: Duration,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    changes: Mutex<Changes>,
    /// How many pages wait to be written.
    pages: AtomicUsize,
    /// The last answer did not arrive in time.
    late: AtomicBool,
}

/// Changes that wait to be written, in their order.
#[derive(Default)]
struct Changes {
    batches: VecDeque<Batch>,
    /// How many beginnings and ends of listings were sent.
    bounds: u64,
    bytes: usize,
}

/// Changes between two bounds (beginnings and ends) of listings. They must not be written before what was sent before them.
#[derive(Default)]
struct Batch {
    /// How many bounds of listings were sent before.
    after: u64,
    events: Vec<Event>,
    /// The position after the last event.
    position: Position,
    /// Something could not be recorded, so the copy is incomplete.
    torn: bool,
}

impl Changes {
    /// The batch of now.
    fn batch(&mut self) -> &mut Batch {
        if self.batches.back().is_none_or(|last| last.after != self.bounds) {
            self.batches.push_back(Batch { after: self.bounds, ..Batch::default() });
        }
        let last = self.batches.len() - 1;
        &mut self.batches[last]
    }
}

impl Shared {
    fn changes(&self) -> MutexGuard<'_, Changes> {
        // A change is added in one step, so the list is consistent even after a panic.
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the changes that were recorded before bound number `bounds` of a listing was sent.
    fn take(&self, bounds: u64) -> Vec<Batch> {
        let mut changes = self.changes();
        let count = changes.batches.iter().take_while(|batch| batch.after <= bounds).count();
        let taken: Vec<Batch> = changes.batches.drain(..count).collect();
        changes.bytes -= taken.iter().flat_map(|batch| &batch.events).map(size).sum::<usize>();
        taken
    }
}

/// How many bytes of memory a change takes.
fn size(event: &Event) -> usize {
    size_of::<Event>() + if let Event::Put(stored) = event { stored.value.len() } else { 0 }
}

/// A listing on its way to the disk. One that is dropped before it is complete leaves the cache unchanged.
pub(crate) struct ListingWriter<'a> {
    disk: &'a CacheWriter,
    whole: Option<Position>,
    /// How much longer the listing may wait for the disk.
    patience: Cell<Duration>,
}

impl ListingWriter<'_> {
    /// Records some objects. Waits for a slow disk, so that few pages are in memory at once; but not for long.
    pub(crate) fn page(&self, items: &[Stored]) {
        let (shared, start) = (&self.disk.shared, Instant::now());
        while shared.pages.load(Ordering::SeqCst) >= PAGES && start.elapsed() < self.patience.get() {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.patience.set(self.patience.get().saturating_sub(start.elapsed()));
        if shared.pages.load(Ordering::SeqCst) >= PAGES {
            shared.changes().batch().torn = true;
            return;
        }
        shared.pages.fetch_add(1, Ordering::SeqCst);
        if self.disk.jobs.send(Job::Page(items.to_vec())).is_err() {
            shared.pages.store(0, Ordering::SeqCst);
        }
    }

    /// Completes the listing, at this position.
    pub(crate) fn whole(mut self, position: Position) {
        self.whole = Some(position);
    }
}

impl Drop for ListingWriter<'_> {
    fn drop(&mut self) {
        self.disk.send_bound(Job::Listed(self.whole.take()));
    }
}

impl CacheWriter {
    /// Opens the cache at this path, which need not exist yet. `failed` is called when nothing can be written any more.
    pub(crate) fn open(path: &Path, failed: impl FnOnce(String) + Send + 'static) -> Result<Self, String> {
        let place = path.display().to_string();
        let describe = move |error: &CacheError| format!("{place}: {error}");
        let lock = lock(path).map_err(|error| describe(&error.into()))?;
        let (jobs, todo) = channel();
        let disk = Self { path: path.to_owned(), jobs, patience: DISK_TIMEOUT, shared: Arc::default() };
        let (path, shared) = (path.to_owned(), disk.shared.clone());
        let work = move || {
            let mut file = CacheFile::open(&path);
            if let Err(error) = work(&mut file, &todo, &shared) {
                // The next agent must not use a copy that lacks a change.
                file.give_up();
                failed(describe(&error));
            }
            drop(lock);
            // The thread ends, so nobody may wait for it any more.
            *shared.changes() = Changes::default();
            shared.pages.store(0, Ordering::SeqCst);
        };
        // It is not supervised for hangs: a disk that hangs must not end the agent.
        supervisor::start("disk", Lifetime::UntilDone, work).map_err(|error| error.to_string())?;
        Ok(disk)
    }

    /// Begins to record a listing of a store, or of one kind, page by page. There is at most one listing at a time.
    pub(crate) fn listing(&self, store: String, of: Option<Kind>) -> ListingWriter<'_> {
        self.send_bound(Job::Listing(store, of));
        ListingWriter { disk: self, whole: None, patience: Cell::new(self.patience) }
    }

    /// Sends the beginning or the end of a listing.
    fn send_bound(&self, job: Job) {
        let mut changes = self.shared.changes();
        changes.bounds += 1;
        // If the thread has ended, it has reported why.
        let _ = self.jobs.send(job);
    }

    /// Records one change, after which the store is at this position.
    pub(crate) fn event(&self, event: &Event, position: Position) {
        let mut changes = self.shared.changes();
        if changes.bytes > BYTES {
            changes.batch().torn = true;
            return;
        }
        let first = changes.batches.is_empty();
        changes.bytes += size(event);
        let batch = changes.batch();
        batch.events.push(event.clone());
        batch.position = position;
        drop(changes);
        if first && self.jobs.send(Job::Changes).is_err() {
            *self.shared.changes() = Changes::default();
        }
    }

    /// The snapshot on disk, if there is one.
    pub(crate) fn copy(&self) -> Option<Snapshot> {
        Snapshot::open(&self.path)
    }

    /// A reader of the current content, with every change that was recorded before this call.
    pub(crate) fn moment(&self) -> Result<SnapshotReader, CacheError> {
        self.settle();
        SnapshotReader::of(&self.path)
    }

    /// Records the node whose policy is in force. Returns whether it was written.
    pub(crate) fn set_node(&self, node: &str) -> bool {
        self.ask(|answer| Job::Node(node.to_owned(), answer)).is_some()
    }

    /// Records why the store has another history.
    pub(crate) fn set_other_history(&self, why: &str) {
        // Without a thread that writes there is no copy that could be used.
        drop(self.jobs.send(Job::OtherHistory(why.to_owned())));
    }

    /// Waits until everything is written.
    pub(crate) fn settle(&self) {
        self.ask(Job::Sync);
    }

    fn ask<T>(&self, job: impl FnOnce(SyncSender<T>) -> Job) -> Option<T> {
        // Waiting for a slow disk is not a hang, however many questions wait.
        let _waiting = supervisor::waiting();
        let (answer, answered) = sync_channel(1);
        self.jobs.send(job(answer)).ok()?;
        let is_late = self.shared.late.load(Ordering::SeqCst);
        let patience = if is_late { self.patience / LESS_PATIENT } else { self.patience };
        let answer = answered.recv_timeout(patience);
        self.shared.late.store(matches!(answer, Err(RecvTimeoutError::Timeout)), Ordering::SeqCst);
        answer.ok()
    }
}

/// The last valid versions of objects, from the copy if there is one.
pub(crate) struct CachedLastValid {
    disk: Option<CacheWriter>,
    /// Without a copy, the versions of settings are kept in memory: they are few, and losing them could change every verdict.
    settings: RefCell<BTreeMap<Key, Version>>,
}

impl CachedLastValid {
    /// Last valid versions from this copy.
    pub(crate) fn new(disk: Option<CacheWriter>) -> Self {
        Self { disk, settings: RefCell::default() }
    }
}

impl LastValid for CachedLastValid {
    fn keep(&self, stored: &Stored) {
        // The cache has every version that was received, recorded before it was known whether it is valid.
        if self.disk.is_none() && stored.key.kind == Kind::FelixConfiguration {
            self.settings.keep(stored);
        }
    }

    fn find(&self, present: &Stored) -> Option<Version> {
        match &self.disk {
            Some(disk) => disk.ask(|answer| Job::LastValid(present.clone(), answer))?,
            None => self.settings.find(present),
        }
    }

    fn forget(&self, key: &Key) {
        self.settings.forget(key);
    }
}

/// Locks the directory of a cache, so that two agents never share it.
fn lock(path: &Path) -> io::Result<File> {
    let directory = File::open(path.parent().unwrap_or(Path::new("/")))?;
    let patience = Instant::now() + Duration::from_millis(500);
    loop {
        match directory.try_lock() {
            Ok(()) => return Ok(directory),
            Err(std::fs::TryLockError::Error(error)) => return Err(error),
            // An agent that is ending may still hold it for a moment.
            Err(std::fs::TryLockError::WouldBlock) if Instant::now() < patience => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(std::fs::TryLockError::WouldBlock) => return Err(io::Error::other("another agent writes there")),
        }
    }
}

fn work(file: &mut CacheFile, todo: &Receiver<Job>, shared: &Shared) -> Result<(), CacheError> {
    // When the waiting changes must be written.
    let mut due: Option<Instant> = None;
    // How many bounds of listings were handled.
    let mut bounds = 0;
    loop {
        let job = match due {
            None => todo.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(due) => todo.recv_timeout(due.saturating_duration_since(Instant::now())),
        };
        if let Ok(Job::Changes) = job {
            due = due.or_else(|| Some(Instant::now() + GATHER));
            continue;
        }
        // Changes that were recorded before the job are written before it; those that follow a listing, after the listing.
        for batch in shared.take(bounds) {
            file.changes(&batch.events, &batch.position, batch.torn)?;
        }
        if matches!(job, Ok(Job::Listing(..) | Job::Listed(_))) {
            bounds += 1;
        }
        match job {
            Ok(Job::Listing(store, None)) => file.listing(&store)?,
            Ok(Job::Listing(_, Some(kind))) => file.listing_of(kind),
            Ok(Job::Page(items)) => {
                file.page(&items)?;
                shared.pages.fetch_sub(1, Ordering::SeqCst);
            }
            Ok(Job::Listed(position)) => file.listed(position.as_ref())?,
            Ok(Job::LastValid(present, answer)) => send(&answer, file.last_valid(&present)?),
            Ok(Job::Node(node, answer)) => {
                file.set_node(node)?;
                send(&answer, ());
            }
            Ok(Job::OtherHistory(why)) => file.set_other_history(&why)?,
            Ok(Job::Sync(answer)) => send(&answer, ()),
            Ok(Job::Changes) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        due = (!shared.changes().batches.is_empty()).then(|| Instant::now() + GATHER);
    }
}

/// Sends an answer. The receiver may have given up.
fn send<T>(answer: &SyncSender<T>, what: T) {
    let _ = answer.send(what);
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEST_DEADLINE: Duration = Duration::from_secs(30);

    /// A disk that never does anything, and its jobs.
    fn hanging(patience: Duration) -> (CacheWriter, Receiver<Job>) {
        let (jobs, todo) = channel();
        (CacheWriter { path: PathBuf::new(), jobs, patience, shared: Arc::default() }, todo)
    }

    #[test]
    fn a_disk_that_hangs_delays_no_caller_however_often_it_is_asked() {
        let (disk, _jobs) = hanging(Duration::from_millis(200));
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let begin = Instant::now();
            for _ in 0..100 {
                assert!(!disk.set_node("node"));
                disk.listing("store".to_owned(), None).whole(Position::START);
            }
            sender.send(begin.elapsed()).unwrap();
        });
        let took = receiver.recv_timeout(TEST_DEADLINE).expect("nobody waits for good");
        assert!(
            took < Duration::from_millis(200) * 50,
            "after the first answer that did not come it waits less: {took:?}"
        );
    }

    fn policy(name: &str, revision: u64) -> Stored {
        let key = Key::cluster(Kind::GlobalNetworkPolicy, name);
        Stored { key, revision: revision.into(), value: b"{}".as_slice().into() }
    }

    /// The names of the objects in the copy, after a disk that was late has done everything; none if the copy is incomplete.
    fn copied(disk: CacheWriter, todo: &Receiver<Job>) -> Option<(Vec<String>, Position)> {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("agent.db");
        let CacheWriter { jobs, shared, .. } = disk;
        drop(jobs);
        work(&mut CacheFile::open(&path), todo, &shared).unwrap();
        let copy = SnapshotReader::of(&path).unwrap();
        let mut names = Vec::new();
        let take = |stored: Stored| {
            names.push(stored.key.name);
            Ok::<_, ()>(())
        };
        copy.each(take).unwrap().unwrap();
        names.sort();
        copy.position.map(|position| (names, position))
    }

    #[test]
    fn a_change_that_follows_a_listing_is_in_the_copy_however_late_the_disk_is() {
        let (disk, todo) = hanging(TEST_DEADLINE);
        for (name, at) in [("a", 1), ("b", 3)] {
            let listing = disk.listing("store".to_owned(), None);
            listing.page(&[policy(name, at)]);
            listing.whole(at.into());
            disk.event(&Event::Put(policy(&format!("{name} after"), at + 1)), (at + 1).into());
        }
        assert_eq!(copied(disk, &todo), Some((vec!["b".to_owned(), "b after".to_owned()], 4.into())));
    }

    #[test]
    fn a_page_or_a_change_that_a_late_disk_did_not_take_makes_the_copy_incomplete() {
        let (disk, todo) = hanging(Duration::from_millis(1));
        let listing = disk.listing("store".to_owned(), None);
        for at in 0..=PAGES as u64 {
            listing.page(&[policy("a", at)]);
        }
        listing.whole(9.into());
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("agent.db");
        let CacheWriter { jobs, shared, .. } = disk;
        drop(jobs);
        work(&mut CacheFile::open(&path), &todo, &shared).unwrap();
        assert!(!path.exists(), "a page is missing");

        let (disk, todo) = hanging(TEST_DEADLINE);
        disk.listing("store".to_owned(), None).whole(1.into());
        disk.shared.changes().bytes = BYTES + 1;
        disk.event(&Event::Put(policy("a", 2)), 2.into());
        disk.shared.changes().bytes = 0;
        assert_eq!(copied(disk, &todo), None, "a change is missing");
    }

    #[test]
    fn waiting_for_the_disk_is_not_a_hang() {
        let hung = Duration::from_millis(200);
        let (disk, _jobs) = hanging(hung * 3);
        let supervisor = Arc::new(supervisor::Supervisor::with_limit(hung));
        supervisor.enter();
        let (asked, answered) = channel();
        let work = move || {
            let _working = supervisor::working();
            asked.send(disk.set_node("node")).unwrap();
        };
        supervisor::start("store", Lifetime::UntilDone, work).unwrap();
        let written = loop {
            assert_eq!(supervisor.failure(), None);
            match answered.recv_timeout(hung / 10) {
                Err(RecvTimeoutError::Timeout) => {}
                written => break written,
            }
        };
        assert_eq!(written, Ok(false));
    }
}
