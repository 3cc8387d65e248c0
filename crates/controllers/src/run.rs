//! The process: follows the store, and writes while it is the leader.

use std::collections::BTreeSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tortie_agent::LogFormat;
use tortie_agent::service::{Served, Server, StopFlag, start_log};
use tortie_client::Client;
use tortie_store::Store;

use crate::follow::{self, News};
use crate::health::Health;
use crate::host_endpoints::{KINDS, plan};
use crate::leader::{self, Leadership};
use crate::state::State;
use crate::{log_event, writer};

/// How much news waits for the controllers.
const WAITING: usize = 256;
/// How long the controllers wait for their own writes to come back, and for a store that refuses one.
const AGAIN: Duration = Duration::from_secs(2);
/// The longest pause before what failed is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How often everything is compared although nothing happened.
const RECONCILE: Duration = Duration::from_secs(300);
/// How many names a line of the log has.
const NAMED: usize = 10;

/// How the controllers are started.
pub struct Options {
    /// The store.
    pub store: Arc<dyn Store>,
    /// How long the leader keeps its lease without renewing it.
    pub lease: Duration,
    /// Where probes and metrics are served; nowhere if absent.
    pub listen: Option<Served>,
    /// How the log is written.
    pub log_format: LogFormat,
}

/// Runs the controllers until a signal ends them. The error says what of the machine they cannot have.
pub fn run(options: Options) -> io::Result<()> {
    start_log(options.log_format, log_event::ALL);
    let (sender, receiver) = sync_channel(WAITING);
    let stop = Arc::new(StopFlag::default());
    let ending = Arc::new(StopFlag::default());
    signals(sender.clone(), ending.clone())?;
    log::info!(target: log_event::CONTROLLERS_STARTED, "the controllers follow the {}", options.store.describe());
    let health = Arc::new(Health::default());
    for kind in KINDS {
        let (store, news, stop) = (options.store.clone(), sender.clone(), stop.clone());
        thread(&format!("follow {kind}"), move || follow::run(&*store, kind, &news, &stop))?;
    }
    // The lease is given up when nothing is written any more.
    let leader_stop = Arc::new(StopFlag::default());
    let has_leases = options.store.leases().is_some();
    let leadership = Arc::new(if has_leases { Leadership::default() } else { Leadership::sole() });
    let leader = {
        let (store, leadership, stop, lease) =
            (options.store.clone(), leadership.clone(), leader_stop.clone(), options.lease);
        thread("leader", move || {
            if let Some(leases) = store.leases() {
                leader::run(leases, &leader::holder(), lease, &leadership, &sender, &stop);
            }
        })?
    };
    let _server = options.listen.map(|place| serve(place, health.clone(), leadership.clone())).transpose()?;
    Controllers {
        client: Client::new(options.store),
        leadership,
        health,
        state: State::default(),
        problems: BTreeSet::new(),
        ending,
        failing: Vec::new(),
        pause: AGAIN,
    }
    .work(&receiver);
    log::info!(target: log_event::CONTROLLERS_STOPPING, "the controllers end");
    stop.set();
    // What the threads still say is not for anybody.
    drop(receiver);
    leader_stop.set();
    // A thread that panicked has ended the process.
    let _ = leader.join();
    Ok(())
}

/// Starts a thread without which the controllers do nothing: if it panics, the process ends.
fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    let told = name.to_owned();
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            log::error!(target: log_event::THREAD_FAILED, "the thread {told} panicked; the process ends");
            std::process::exit(101);
        }
    })
}

fn signals(news: SyncSender<News>, ending: Arc<StopFlag>) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    thread("signals", move || {
        for _ in signals.forever() {
            ending.set();
            if news.send(News::Stop).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

fn serve(place: Served, health: Arc<Health>, leadership: Arc<Leadership>) -> io::Result<Server> {
    let at = format!("{}:{}", place.host, place.port);
    let report = move |result: io::Result<()>| match result {
        Ok(()) => log::info!(target: log_event::SERVICE_LISTENING, "probes and metrics are served on {at}"),
        Err(error) => log::error!(target: log_event::SERVICE_FAILED, "cannot serve on {at}, trying again: {error}"),
    };
    Server::start(place, None, move |path| health.answer(path, &leadership), report, "http")
}

struct Controllers {
    client: Client,
    leadership: Arc<Leadership>,
    health: Arc<Health>,
    state: State,
    /// The problems that were logged.
    problems: BTreeSet<String>,
    /// Set when the process is to end.
    ending: Arc<StopFlag>,
    /// The failures that were logged.
    failing: Vec<String>,
    /// How long to wait before what failed is tried again.
    pause: Duration,
}

impl Controllers {
    /// Works until it is told to end.
    fn work(mut self, news: &Receiver<News>) {
        let mut next = Some(Instant::now());
        loop {
            let wait = next.map_or(RECONCILE, |next| next.saturating_duration_since(Instant::now()));
            match news.recv_timeout(wait) {
                Ok(first) => {
                    let mut some = Some(first);
                    while let Some(one) = some {
                        if matches!(one, News::Stop) {
                            return;
                        }
                        if self.state.take(one) {
                            next = Some(Instant::now());
                        }
                        some = news.try_recv().ok();
                    }
                    self.health.update(|record| {
                        record.in_sync = self.state.is_in_sync();
                        record.lost = self.state.lost();
                    });
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let is_due = next.is_none_or(|next| next <= Instant::now());
            if is_due && self.state.is_in_sync() && self.leadership.may_write() {
                next = Some(Instant::now() + self.pass());
            } else if is_due {
                // There is news when this changes.
                next = Some(Instant::now() + RECONCILE);
            }
        }
    }

    /// Compares, and writes what is missing. How long to wait before that is done again although nothing happened.
    fn pass(&mut self) -> Duration {
        let plan = plan(&self.state.cluster);
        self.tell(plan.problems.iter().map(ToString::to_string).collect());
        let may_write = || self.leadership.may_write() && !self.ending.is_set();
        let summary = writer::act(&self.client, &plan, &may_write);
        self.health.update(|record| {
            record.wanted = plan.wanted;
            record.problems = plan.problems.len();
            for (count, names) in record.written.iter_mut().zip(&summary.done) {
                *count += names.len() as u64;
            }
            record.failed += summary.failed.len() as u64;
        });
        // What was written comes back by the watch; until then it counts as known.
        summary.objects.into_iter().for_each(|object| self.state.cluster.written(object));
        summary.done[2].iter().for_each(|name| self.state.cluster.deleted(name));
        for (what, names) in ["created", "updated", "deleted"].iter().zip(&summary.done) {
            if !names.is_empty() {
                let count = names.len();
                log::info!(target: log_event::HOST_ENDPOINTS_WRITTEN, "{what} {count} host endpoint{}: {}", plural(count), few(names));
            }
        }
        let stale = summary.stale;
        self.failed(summary.failed).or(stale.then_some(AGAIN)).unwrap_or(RECONCILE)
    }

    /// Logs failures once, and says how long to wait before the next try: longer each time.
    fn failed(&mut self, failed: Vec<String>) -> Option<Duration> {
        if failed.is_empty() {
            self.failing.clear();
            self.pause = AGAIN;
            return None;
        }
        if failed != self.failing {
            let count = failed.len();
            log::error!(
                target: log_event::HOST_ENDPOINTS_FAILED,
                "{count} host endpoint{} could not be written, which is tried again: {}",
                plural(count),
                few(&failed)
            );
            self.failing = failed;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        Some(pause)
    }

    /// Logs problems that are new, and those that are no more.
    fn tell(&mut self, problems: BTreeSet<String>) {
        for new in problems.difference(&self.problems) {
            log::warn!(target: log_event::HOST_ENDPOINT_PROBLEM, "{new}");
        }
        for solved in self.problems.difference(&problems) {
            log::info!(target: log_event::HOST_ENDPOINT_SOLVED, "solved: {solved}");
        }
        self.problems = problems;
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// Some names for a line of the log, and how many are left out.
fn few(names: &[String]) -> String {
    let some = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => some,
        more => format!("{some} and {more} more"),
    }
}
