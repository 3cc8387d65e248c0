//! Starts every thread of the agent. A thread that panics, that ends although it must not, or that works on one item for
//! longer than [`HANG_LIMIT`] makes the agent neither live nor ready, and a moment later ends the process, which the service manager
//! starts again. Policy stays in the kernel meanwhile.
//!
//! ```text
//!   start(name, ..) ──> thread ── working() ──> busy since ──┐
//!                          └ panic, end ────────> failure ────┴─> failure() <── probes, status, service manager
//!                                                                     └──> watch(): ends the process
//! ```
//!
//! A thread reports its work with [`working`]; while it waits for work, it does not count as hanging. Threads that answer clients
//! and probes report nothing, and neither does the one that writes the copy of the store: policy does not depend on the disk, so
//! a disk that hangs must not end the agent. A thread that waits for an answer of the disk calls [`waiting`].
//!
//! A thread inherits the supervisor of the thread that started it. Tests
//! whose thread has no supervisor start unsupervised threads.

use crate::log_event;
use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// A thread that works on one item for longer than this counts as hanging.
const HANG_LIMIT: Duration = Duration::from_secs(90);
/// How long probes and `status` report a failure before the process ends.
const REPORT_TIME: Duration = Duration::from_secs(2);
/// How often hanging threads are looked for.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How long the end of the process may take.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a thread must run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// Until the agent ends.
    AsLongAsTheAgent,
    /// Until its work is done.
    UntilDone,
}

/// Knows the threads, and whether one has failed.
pub(crate) struct Supervisor {
    state: Mutex<State>,
    changed: Condvar,
    next: AtomicU64,
    hung: Duration,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), next: AtomicU64::new(0), hung: HANG_LIMIT }
    }
}

#[derive(Default)]
struct State {
    /// The name of each thread that works, and when it began its current item.
    working: BTreeMap<u64, (String, Instant)>,
    /// The first thread that panicked or ended.
    failure: Option<String>,
    /// Whether the agent ends, so that its threads may.
    stopping: bool,
}

/// The supervisor of a thread, and its name and number there.
#[derive(Clone)]
struct CurrentThread {
    supervisor: Arc<Supervisor>,
    id: u64,
    name: String,
}

thread_local! {
    static HERE: RefCell<Option<CurrentThread>> = const { RefCell::new(None) };
}

fn here() -> Option<CurrentThread> {
    HERE.with_borrow(Clone::clone)
}

impl Supervisor {
    /// A supervisor with another limit than [`HANG_LIMIT`].
    #[cfg(test)]
    pub(crate) fn with_limit(hung: Duration) -> Self {
        Self { hung, ..Self::default() }
    }

    /// Supervises the threads that this thread starts from now on.
    pub(crate) fn enter(self: &Arc<Self>) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        HERE.set(Some(CurrentThread { supervisor: self.clone(), id, name: "main".to_owned() }));
    }

    /// The failure of a thread; none while there is none.
    pub(crate) fn failure(&self) -> Option<String> {
        let state = self.state();
        let hung = || {
            let (name, since) = state.working.values().find(|(_, since)| since.elapsed() > self.hung)?;
            Some(format!(
                "the thread {name} has been working on one item for {} s: it hangs",
                since.elapsed().as_secs()
            ))
        };
        state.failure.clone().or_else(hung)
    }

    /// Records that the agent ends, so that its threads may.
    pub(crate) fn stopping(&self) {
        self.state().stopping = true;
        self.changed.notify_all();
    }

    /// Waits for a failure, and calls `end` a moment after it. Returns when the agent ends.
    pub(crate) fn watch(&self, end: impl FnOnce(&str)) {
        loop {
            if let Some(failure) = self.failure() {
                log::error!(target: log_event::THREAD_FAILED, "{failure}; the agent ends, and policy stays in place");
                if !self.wait(REPORT_TIME, |state| state.stopping).stopping {
                    end(&failure);
                }
                return;
            }
            if self.wait(CHECK_INTERVAL.min(self.hung), |state| state.stopping || state.failure.is_some()).stopping {
                return;
            }
        }
    }

    fn wait(&self, most: Duration, until: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.changed.wait_timeout_while(self.state(), most, |state| !until(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is made in one step, so the state is consistent even after a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self, here: &CurrentThread, runs: Lifetime, result: Result<(), Box<dyn Any + Send>>) {
        let mut state = self.state();
        state.working.remove(&here.id);
        let failure = match result {
            Err(panic) => format!("the thread {} panicked: {}", here.name, panic_message(&*panic)),
            Ok(()) if runs == Lifetime::AsLongAsTheAgent && !state.stopping => {
                format!("the thread {} ended", here.name)
            }
            Ok(()) => return,
        };
        state.failure.get_or_insert(failure);
        self.changed.notify_all();
    }
}

/// Starts a thread.
pub(crate) fn start(name: &str, runs: Lifetime, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    let builder = Builder::new().name(name.to_owned());
    let Some(CurrentThread { supervisor, .. }) = here() else { return builder.spawn(work) };
    let id = supervisor.next.fetch_add(1, Ordering::Relaxed);
    let here = CurrentThread { supervisor, id, name: name.to_owned() };
    builder.spawn(move || {
        HERE.set(Some(here.clone()));
        // Nothing that the work touched is used after a panic: the process ends.
        let result = catch_unwind(AssertUnwindSafe(work));
        here.supervisor.ended(&here, runs, result);
    })
}

/// Reports that this thread works on one item until the guard is dropped.
pub(crate) fn working() -> WorkGuard {
    let here = here();
    if let Some(here) = &here {
        here.supervisor.state().working.insert(here.id, (here.name.clone(), Instant::now()));
    }
    WorkGuard(here)
}

/// An item that a thread works on.
pub(crate) struct WorkGuard(Option<CurrentThread>);

impl Drop for WorkGuard {
    fn drop(&mut self) {
        if let Some(here) = &self.0 {
            here.supervisor.state().working.remove(&here.id);
        }
    }
}

/// Reports that this thread's item made progress: it is large, and the thread does not hang.
pub(crate) fn made_progress() {
    if let Some(here) = here()
        && let Some((_, since)) = here.supervisor.state().working.get_mut(&here.id)
    {
        *since = Instant::now();
    }
}

/// Reports that this thread waits, until the guard is dropped; meanwhile it does not count as hanging.
pub(crate) fn waiting() -> Waiting {
    let here = here().filter(|here| here.supervisor.state().working.remove(&here.id).is_some());
    Waiting(here)
}

/// A thread that waits.
pub(crate) struct Waiting(Option<CurrentThread>);

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(here) = &self.0 {
            here.supervisor.state().working.insert(here.id, (here.name.clone(), Instant::now()));
        }
    }
}

/// Records for the supervisor of this thread that the agent ends, so that its threads may.
pub(crate) fn stopping() {
    if let Some(here) = here() {
        here.supervisor.stopping();
    }
}

/// Ends the process, even if an exit handler hangs.
pub(crate) fn end_process(_: &str) {
    let abort = || {
        std::thread::sleep(END_TIMEOUT);
        std::process::abort();
    };
    drop(Builder::new().name("abort".to_owned()).spawn(abort));
    std::process::exit(1);
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    const TEST_DEADLINE: Duration = Duration::from_secs(30);

    /// A supervisor of this thread, and what it says when it ends the process.
    fn supervised(hung: Duration) -> (Arc<Supervisor>, Receiver<String>) {
        let supervisor = Arc::new(Supervisor::with_limit(hung));
        supervisor.enter();
        let (sender, receiver) = channel();
        let watched = supervisor.clone();
        std::thread::spawn(move || watched.watch(|failure| sender.send(failure.to_owned()).unwrap()));
        (supervisor, receiver)
    }

    #[test]
    fn a_panic_of_any_thread_is_reported_and_then_ends_the_process() {
        for runs in [Lifetime::AsLongAsTheAgent, Lifetime::UntilDone] {
            let (supervisor, end) = supervised(HANG_LIMIT);
            assert_eq!(supervisor.failure(), None);
            // Also one that a supervised thread started.
            let work = move || drop(start("inner", runs, || panic!("no {}", "more")).unwrap().join());
            start("outer", Lifetime::UntilDone, work).unwrap().join().unwrap();
            let expected = "the thread inner panicked: no more";
            assert_eq!(supervisor.failure().as_deref(), Some(expected));
            assert_eq!(end.recv_timeout(TEST_DEADLINE).unwrap(), expected);
        }
    }

    #[test]
    fn a_thread_that_ends_before_the_agent_does_ends_the_process() {
        let (supervisor, end) = supervised(HANG_LIMIT);
        start("client", Lifetime::UntilDone, || ()).unwrap().join().unwrap();
        assert_eq!(supervisor.failure(), None);
        start("links", Lifetime::AsLongAsTheAgent, || ()).unwrap().join().unwrap();
        assert_eq!(end.recv_timeout(TEST_DEADLINE).unwrap(), "the thread links ended");
    }

    #[test]
    fn a_thread_that_hangs_ends_the_process_and_one_that_waits_or_continues_does_not() {
        let hung = Duration::from_millis(300);
        let (supervisor, end) = supervised(hung);
        let (go, wait) = channel::<()>();
        let idle = start("idle", Lifetime::UntilDone, move || {
            drop(working());
            let _ = wait.recv();
        });
        let busy = start("busy", Lifetime::UntilDone, move || {
            let _working = working();
            let begin = Instant::now();
            while begin.elapsed() < hung * 3 {
                made_progress();
            }
            let _waiting = waiting();
            std::thread::sleep(hung * 3);
        });
        busy.unwrap().join().unwrap();
        assert_eq!(supervisor.failure(), None);
        assert!(end.try_recv().is_err());
        let (release, held) = channel::<()>();
        let hanging = start("dataplane", Lifetime::UntilDone, move || {
            let _working = working();
            let _ = held.recv();
        });
        let said = end.recv_timeout(TEST_DEADLINE).unwrap();
        assert!(said.starts_with("the thread dataplane has been working on one item for"), "{said}");
        drop((go, release));
        idle.unwrap().join().unwrap();
        hanging.unwrap().join().unwrap();
    }

    #[test]
    fn threads_may_end_with_the_agent() {
        let (supervisor, end) = supervised(HANG_LIMIT);
        start("links", Lifetime::AsLongAsTheAgent, stopping).unwrap().join().unwrap();
        assert_eq!(supervisor.failure(), None);
        assert!(end.recv_timeout(TEST_DEADLINE).is_err(), "the watch ends without an end of the process");
    }

    /// Not a test by itself: the process that the test below starts.
    #[test]
    fn child() {
        if std::env::var_os("TORTIE_TEST_SUPERVISED").is_none() {
            return;
        }
        let supervisor = Arc::new(Supervisor::default());
        supervisor.enter();
        let watched = supervisor.clone();
        start("supervisor", Lifetime::AsLongAsTheAgent, move || watched.watch(end_process)).unwrap();
        drop(start("engine", Lifetime::AsLongAsTheAgent, || panic!("as asked")));
        std::thread::sleep(TEST_DEADLINE * 2);
    }

    #[test]
    fn the_process_ends_with_a_failure() {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "supervisor::tests::child", "--nocapture"]).env("TORTIE_TEST_SUPERVISED", "1");
        let begin = Instant::now();
        let output = child.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(begin.elapsed() < TEST_DEADLINE, "it ends by itself");
    }
}
