//! The process: follows the store, and writes while it is the leader.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tortie_agent::LogFormat;
use tortie_agent::daemon::{Served, Server, StopFlag, start_log};
use tortie_client::Client;
use tortie_store::Store;

use crate::copies;
use crate::enabled::Environment;
use crate::follow::{self, News, Origin};
use crate::leader::{self, Leadership};
use crate::plan::Plan;
use crate::probes_and_metrics::Health;
use crate::state::{self, State};
use crate::task::{self, Task};
use crate::{host_endpoints, log_event, node_labels, pod_labels};

/// How much news waits for the controllers.
const QUEUE_LENGTH: usize = 256;
/// How often everything is compared although nothing happened.
const RECONCILE: Duration = Duration::from_secs(300);

/// How the controllers are started.
pub struct Options {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The Kubernetes of which the store gets copies; none if it gets none.
    pub kubernetes: Option<Arc<dyn Store>>,
    /// What the environment says, whatever the configuration says.
    pub environment: Environment,
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
    let (sender, receiver) = sync_channel(QUEUE_LENGTH);
    let stop = Arc::new(StopFlag::default());
    let ending = Arc::new(StopFlag::default());
    signals(sender.clone(), ending.clone())?;
    log::info!(target: log_event::CONTROLLERS_STARTED, "the controllers follow the {}", options.store.describe());
    let health = Arc::new(Health::default());
    let is_copied = options.kubernetes.is_some();
    let kinds = |from| state::kinds(is_copied, options.environment, from).into_iter();
    let mut followed: Vec<_> = kinds(Origin::Store).map(|kind| (options.store.clone(), Origin::Store, kind)).collect();
    if let Some(kubernetes) = &options.kubernetes {
        let text = "what is copied into the store is that of the";
        log::info!(target: log_event::CONTROLLERS_STARTED, "{text} {}", kubernetes.describe());
        for from in [Origin::Kubernetes, Origin::Pods, Origin::Nodes] {
            followed.extend(kinds(from).map(|kind| (kubernetes.clone(), from, kind)));
        }
    }
    for (store, from, kind) in followed {
        let (news, stop) = (sender.clone(), stop.clone());
        thread(&format!("follow {kind}"), move || follow::run(&*store, from, kind, &news, &stop))?;
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
        state: State::new(is_copied, options.environment),
        left: false,
        host_endpoints: Task::new(task::HOST_ENDPOINTS),
        copies: Task::new(task::COPIES),
        pod_labels: Task::new(task::POD_LABELS),
        node_labels: Task::new(task::NODE_LABELS),
        copied: None,
        ending,
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
    /// Whether it was logged that host endpoints stay as they are.
    left: bool,
    host_endpoints: Task,
    copies: Task,
    pod_labels: Task,
    node_labels: Task,
    /// What is copied, as it was logged.
    copied: Option<String>,
    /// Set when the process is to end.
    ending: Arc<StopFlag>,
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
                        (record.in_sync, record.lost) = (self.state.store.is_in_sync(), self.state.store.lost());
                        record.kubernetes = self.state.copies.is_some().then(|| self.state.kubernetes_health());
                    });
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let is_due = next.is_none_or(|next| next <= Instant::now());
            if is_due && self.state.store.is_in_sync() && self.leadership.may_write() {
                next = Some(Instant::now() + self.pass());
            } else if is_due {
                // There is news when this changes.
                next = Some(Instant::now() + RECONCILE);
            }
        }
    }

    /// Compares, and writes what is missing. How long to wait before that is done again although nothing happened.
    fn pass(&mut self) -> Duration {
        // Labels of nodes come first: host endpoints get them too.
        let waits = [
            self.pass_of_node_labels(),
            self.pass_of_host_endpoints(),
            self.pass_of_copies(),
            self.pass_of_pod_labels(),
        ];
        waits.into_iter().flatten().min().unwrap_or(RECONCILE)
    }

    fn pass_of_host_endpoints(&mut self) -> Option<Duration> {
        if self.state.cluster.left != self.left {
            self.left = self.state.cluster.left;
            let text = match self.left {
                true => {
                    "the controller of nodes does not run: ENABLED_CONTROLLERS or KubeControllersConfiguration default does not name it, \
                     so all automatic host endpoints stay as they are"
                }
                false => "the controller of nodes runs",
            };
            log::info!(target: log_event::HOST_ENDPOINTS_CHANGED, "{text}");
        }
        let plan = host_endpoints::plan(&self.state.cluster);
        let may_write = || self.leadership.may_write() && !self.ending.is_set();
        let (summary, wait) = self.host_endpoints.carry_out(&self.client, &plan, &may_write);
        self.health.update(|record| record.host_endpoints = self.host_endpoints.counts());
        // What was written comes back by the watch; until then it counts as known.
        summary.objects.into_iter().for_each(|object| self.state.cluster.written(object));
        summary.done[2].iter().for_each(|key| self.state.cluster.deleted(&key.name));
        wait
    }

    fn pass_of_copies(&mut self) -> Option<Duration> {
        let Some(copies) = &mut self.state.copies else { return None };
        if let Ok(enabled) = &copies.enabled {
            let copied = enabled.copied(self.state.cluster.labels);
            if self.copied.as_ref() != Some(&copied) {
                let what = if copied.is_empty() { "nothing" } else { &copied };
                log::info!(target: log_event::COPYING_CHANGED, "copied of Kubernetes: {what}");
                self.copied = Some(copied);
            }
        }
        if !self.state.kubernetes.was_listed() {
            return None;
        }
        let plan = copies::plan(copies, self.state.cluster.locked, self.state.kubernetes.is_in_sync());
        let may_write = || self.leadership.may_write() && !self.ending.is_set();
        let (summary, wait) = self.copies.carry_out(&self.client, &plan, &may_write);
        self.health.update(|record| record.copies = self.copies.counts());
        summary.objects.into_iter().for_each(|object| copies.written(object));
        summary.done[2].iter().for_each(|key| copies.deleted(key));
        // The next plan has stand-ins for them.
        summary.too_large.into_iter().for_each(|(key, reason)| copies.refused(key, reason));
        wait
    }

    fn pass_of_pod_labels(&mut self) -> Option<Duration> {
        let runs = self.state.copies.as_ref()?.enabled.as_ref().is_ok_and(|enabled| enabled.pod_labels);
        if self.state.cluster.locked {
            return None;
        }
        // Where it does not run, what failed before is not tried again, and does not keep the process from being ready.
        let plan = match runs {
            true => pod_labels::plan(&self.state.pod_labels),
            false => Plan::default(),
        };
        let may_write = || self.leadership.may_write() && !self.ending.is_set();
        let (summary, wait) = self.pod_labels.carry_out(&self.client, &plan, &may_write);
        self.health.update(|record| record.pod_labels = self.pod_labels.counts());
        summary.objects.iter().for_each(|object| self.state.pod_labels.written(object));
        wait
    }

    fn pass_of_node_labels(&mut self) -> Option<Duration> {
        if self.state.copies.is_none() || self.state.cluster.locked {
            return None;
        }
        let plan = match self.state.cluster.labels {
            true => node_labels::plan(&self.state.node_labels),
            false => Plan::default(),
        };
        let may_write = || self.leadership.may_write() && !self.ending.is_set();
        let (summary, wait) = self.node_labels.carry_out(&self.client, &plan, &may_write);
        self.health.update(|record| record.node_labels = self.node_labels.counts());
        summary.objects.iter().for_each(|object| self.state.node_labels.written(object));
        wait
    }
}
