//! Asks the store whether it answers when a client asks the agent: a watch that hangs looks like a store in which nothing changes.
//!
//! Nothing is read while no client asks, so an idle agent costs its store nothing. Clients that ask at the same time share one read.
//! It has a thread of its own: a read that hangs holds up a client for at most [`ANSWER_TIMEOUT`], and the enforcement of policy never.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tortie_api::Kind;
use tortie_store::{Selection, StoreError};

use crate::cache::CachedStore;
use crate::log_event;
use crate::status::{StoreState, StoreStatus};
use crate::status_cell::{Answered, StatusCell};
use crate::supervisor::{self, Lifetime};

/// A store that answered within this time is not asked again.
const ANSWER_LIFETIME: Duration = Duration::from_secs(1);
/// How long a client waits for the answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Asks the store on behalf of clients.
pub(crate) struct StoreCheck {
    store: Arc<CachedStore>,
    status: Arc<StatusCell>,
    /// What is read: few objects.
    selection: Selection,
    reads: Mutex<Reads>,
    ended: Condvar,
}

#[derive(Default)]
struct Reads {
    /// Whether one runs.
    is_running: bool,
    /// When the last one that has ended began, and why it failed if it did.
    last: Option<(Instant, Option<String>)>,
    /// Whether the log says that the store does not answer.
    is_logged: bool,
}

impl StoreCheck {
    /// Reads objects of one kind for the purpose of this selection.
    pub(crate) fn new(store: Arc<CachedStore>, status: Arc<StatusCell>, selection: &Selection) -> Arc<Self> {
        let selection = selection.of_kind(Kind::ClusterInformation);
        Arc::new(Self { store, status, selection, reads: Mutex::default(), ended: Condvar::new() })
    }

    /// The state of the store: in sync only if the store answered a moment ago.
    pub(crate) fn store_status(self: &Arc<Self>) -> StoreStatus {
        let failure = self.failure();
        let mut status = self.status.read().store_status();
        if let Some(reason) = failure.filter(|_| status.state == StoreState::InSync) {
            (status.state, status.since, status.reason) = (StoreState::NotAnswering, status.answered.clone(), reason);
        }
        status
    }

    /// Why a store that counts as in sync does not answer now.
    fn failure(self: &Arc<Self>) -> Option<String> {
        let asked = Instant::now();
        let is_recent = |time: Instant| time + ANSWER_LIFETIME > asked;
        let mut reads = self.reads();
        loop {
            let (state, answered) = {
                let record = self.status.read();
                (record.store, record.answered.map(|answered| answered.at))
            };
            if state != StoreState::InSync || answered.is_some_and(is_recent) {
                return None;
            }
            match &reads.last {
                Some((begun, failure)) if is_recent(*begun) => return failure.clone(),
                _ => {}
            }
            if !reads.is_running {
                let check = self.clone();
                match supervisor::start("store check", Lifetime::UntilDone, move || check.read()) {
                    Ok(_) => reads.is_running = true,
                    Err(error) => return Some(format!("it cannot be asked: {error}")),
                }
            }
            let left = ANSWER_TIMEOUT.saturating_sub(asked.elapsed());
            if left.is_zero() {
                let failure = format!("a read has no answer within {} s", ANSWER_TIMEOUT.as_secs());
                reads.log(Some(&failure));
                return Some(failure);
            }
            reads = self.ended.wait_timeout(reads, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Reads, and publishes the result.
    fn read(&self) {
        let begun = Instant::now();
        let failure = self.ask().err().map(|error| format!("a read fails: {error}"));
        if failure.is_none() {
            self.status.update(|record| record.answered = Some(Answered::now()));
        }
        let mut reads = self.reads();
        reads.log(failure.as_deref());
        (reads.is_running, reads.last) = (false, Some((begun, failure)));
        self.ended.notify_all();
    }

    fn ask(&self) -> Result<(), StoreError> {
        // One that is not open is not in sync either.
        let Some(store) = self.store.opened() else { return Ok(()) };
        store.position_of(&self.selection).map(drop)
    }

    fn reads(&self) -> MutexGuard<'_, Reads> {
        // Every change is made in one step, so what a panic left is whole.
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reads {
    /// Logs that the store does not answer, or does again, once.
    fn log(&mut self, failure: Option<&str>) {
        match failure {
            Some(failure) if !self.is_logged => {
                log::warn!(target: log_event::STORE_NOT_ANSWERING, "a client asked about the store: {failure}");
            }
            None if self.is_logged => log::info!(target: log_event::STORE_REACHED, "the store answers reads again"),
            _ => {}
        }
        self.is_logged = failure.is_some();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tortie_api::Key;
    use tortie_store::memory::MemoryStore;
    use tortie_store::{Listing, Position, Store, Stored, Watch, Write, WriteError, Written};

    use super::*;
    use crate::stop_flag::StopFlag;

    /// A store that counts how often it is asked, and answers once it may.
    #[derive(Default)]
    struct Slow {
        inner: MemoryStore,
        asked: AtomicUsize,
        is_failing: Mutex<bool>,
        hangs: Mutex<bool>,
        changed: Condvar,
    }

    impl Slow {
        fn set_hanging(&self, hangs: bool) {
            *self.hangs.lock().unwrap() = hangs;
            self.changed.notify_all();
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::SeqCst)
        }
    }

    impl Store for Slow {
        fn describe(&self) -> String {
            self.inner.describe()
        }

        fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
            self.inner.get(key)
        }

        fn list(&self, selection: &Selection) -> Result<Listing, StoreError> {
            self.inner.list(selection)
        }

        fn position_of(&self, _: &Selection) -> Result<Position, StoreError> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            drop(self.changed.wait_while(self.hangs.lock().unwrap(), |hangs| *hangs));
            if *self.is_failing.lock().unwrap() {
                return Err(StoreError::Failed("connection refused".to_owned()));
            }
            self.inner.position()
        }

        fn write(&self, writes: &[Write]) -> Result<Vec<Result<Written, WriteError>>, StoreError> {
            self.inner.write(writes)
        }

        fn watch(&self, selection: &Selection, from: &Position) -> Result<Box<dyn Watch>, StoreError> {
            self.inner.watch(selection, from)
        }
    }

    /// A store that counts as in sync and answered long ago.
    fn in_sync() -> (Arc<Slow>, Arc<StatusCell>, Arc<StoreCheck>) {
        let (store, status) = (Arc::new(Slow::default()), Arc::new(StatusCell::default()));
        let opened = store.clone();
        let opener = Box::new(move || Ok(opened.clone() as Arc<dyn Store>));
        let cached = CachedStore::new(opener, "s", None, status.clone(), Arc::new(StopFlag::default()));
        let information = Key::cluster(Kind::ClusterInformation, "default");
        store.inner.write(&[Write::create(information, b"{}".as_slice())]).unwrap().remove(0).unwrap();
        cached.list(&Selection::default()).unwrap();
        assert!(status.read().answered.is_some(), "a listing is an answer");
        status.update(|record| record.set_store(StoreState::InSync, "then".to_owned(), String::new()));
        forget(&status);
        let check = StoreCheck::new(Arc::new(cached), status.clone(), &Selection::default());
        (store, status, check)
    }

    fn forget(status: &StatusCell) {
        status.update(|record| record.answered = None);
    }

    #[test]
    fn a_store_is_asked_only_for_clients_and_only_if_it_did_not_answer_within_the_last_second() {
        let (store, status, check) = in_sync();
        assert_eq!(store.asked(), 0);
        for _ in 0..3 {
            let told = check.store_status();
            assert!(told.state == StoreState::InSync && told.since == "then" && !told.answered.is_empty(), "{told:?}");
        }
        assert_eq!(store.asked(), 1);
        status.update(|record| record.set_store(StoreState::Lost, "now".to_owned(), "gone".to_owned()));
        forget(&status);
        assert_eq!((check.store_status().state, store.asked()), (StoreState::Lost, 1), "the watch has found it out");
    }

    #[test]
    fn clients_of_a_store_that_hangs_share_one_read_and_are_answered_while_it_hangs() {
        let (store, _, check) = in_sync();
        store.set_hanging(true);
        let told: Vec<StoreStatus> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..4).map(|_| scope.spawn(|| check.store_status())).collect();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        assert_eq!(store.asked(), 1);
        for one in told {
            let told = (one.state, one.reason.as_str());
            assert_eq!(told, (StoreState::NotAnswering, "a read has no answer within 2 s"));
        }
        store.set_hanging(false);
        assert_eq!(check.store_status().state, StoreState::InSync);
        assert_eq!(store.asked(), 1, "the answer to the first read counts");
    }

    #[test]
    fn a_read_that_fails_is_told_with_its_reason_and_an_old_failure_is_not() {
        let (store, status, check) = in_sync();
        *store.is_failing.lock().unwrap() = true;
        let told = check.store_status();
        assert_eq!((told.state, told.reason.as_str()), (StoreState::NotAnswering, "a read fails: connection refused"));
        *store.is_failing.lock().unwrap() = false;
        // As if a second had passed.
        check.reads().last.as_mut().unwrap().0 -= ANSWER_LIFETIME;
        assert_eq!(check.store_status().state, StoreState::InSync);
        // A read that began for an earlier client and fails only now says nothing about now.
        forget(&status);
        check.reads().last = None;
        store.set_hanging(true);
        assert_eq!(check.store_status().state, StoreState::NotAnswering);
        *store.is_failing.lock().unwrap() = true;
        let later = std::thread::spawn(move || check.store_status());
        *store.hangs.lock().unwrap() = false;
        store.changed.notify_all();
        assert_eq!(later.join().unwrap().reason, "a read fails: connection refused");
        assert_eq!(store.asked(), 4, "it was asked again");
    }
}
