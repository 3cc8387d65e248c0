//! The thread of the host's network: it makes routes, neighbour entries and settings for workloads' interfaces, and the files
//! that say which workloads are up.
//!
//! It gets a change only when the dataplane has applied it, so nothing leads to a workload whose policy is not in force. While it
//! works, changes are merged in its queue, which has one entry for each interface: a slow kernel does not make it grow.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{io, mem};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::time::Timespec;
use tortie_api::error_with_causes;
use tortie_dataplane::{Delta, Endpoint, HostState, Place, State};
use tortie_hostnet::endpoint_status::status_file;
use tortie_hostnet::{Config, IPV6_MTU, Network};

use crate::config::NetworkSettings;
use crate::log_event;
use crate::status::Progress;
use crate::status_cell::StatusCell;
use crate::supervisor;

mod status_files;

use status_files::WantedStatusFiles;

/// The pause after the kernel could not be asked.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The changes that the network thread has not applied yet, merged.
pub(crate) struct NetworkQueue {
    queued: Mutex<QueuedChanges>,
    /// An eventfd, which wakes the thread.
    wake: OwnedFd,
}

/// One entry for each interface, so that the queue is never longer than the interfaces.
#[derive(Default)]
struct QueuedChanges {
    settings: Option<NetworkSettings>,
    host: Option<Box<HostState>>,
    /// The new state of workloads' interfaces; none if a workload is gone.
    endpoints: BTreeMap<String, Option<Endpoint>>,
    /// Interfaces that are not in `endpoints` have no workload.
    whole: bool,
    /// The mark that the kernel is at with these changes.
    mark: Option<Progress>,
}

impl NetworkQueue {
    /// An empty queue.
    pub(crate) fn new() -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { queued: Mutex::default(), wake })
    }

    /// Queues new settings.
    pub(crate) fn configure(&self, settings: NetworkSettings) {
        self.push(|queued| queued.settings = Some(settings));
    }

    /// Queues a change that is in force now.
    pub(crate) fn changed(&self, delta: Option<&Delta>, mark: &Progress) {
        self.push(|queued| {
            queued.mark = Some(mark.clone());
            let Some(delta) = delta else { return };
            if delta.host.is_some() {
                queued.host.clone_from(&delta.host);
            }
            let put = delta.endpoints_put.iter().map(|(place, endpoint)| (place, Some(endpoint)));
            let removed = delta.endpoints_removed.iter().map(|place| (place, None));
            queued.endpoints.extend(put.chain(removed).filter_map(workload));
        });
    }

    /// Queues a complete state that is in force now.
    pub(crate) fn replaced(&self, state: &State, mark: &Progress) {
        self.push(|queued| {
            queued.mark = Some(mark.clone());
            queued.host = state.host.clone().map(Box::new);
            queued.whole = true;
            queued.endpoints =
                state.endpoints.iter().map(|(place, one)| (place, Some(one))).filter_map(workload).collect();
        });
    }

    fn push(&self, work: impl FnOnce(&mut QueuedChanges)) {
        work(&mut self.queued());
        // It can only fail when it was written 2^64 times without a read.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    fn take(&self) -> QueuedChanges {
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        mem::take(&mut self.queued())
    }

    fn queued(&self) -> MutexGuard<'_, QueuedChanges> {
        // Every change is made in one step, so the queue is consistent even after a panic.
        self.queued.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is work, the kernel reports a change of the network, or the time has come.
    fn wait(&self, network: Option<&Network>, until: Option<Instant>) {
        let timeout = until.map(|until| until.saturating_duration_since(Instant::now()));
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut fds = vec![PollFd::new(&self.wake, PollFlags::IN)];
        fds.extend(network.map(|network| PollFd::from_borrowed_fd(network.as_fd(), PollFlags::IN)));
        // Even if it was interrupted, the caller looks for work.
        let _ = poll(&mut fds, timeout.as_ref());
    }
}

fn workload((place, endpoint): (&Place, Option<&Endpoint>)) -> Option<(String, Option<Endpoint>)> {
    match place {
        Place::Workload(interface) => Some((interface.clone(), endpoint.cloned())),
        Place::Host(_) | Place::AnyHost => None,
    }
}

/// Keeps the network up to date, beginning with the first change that is in force. Until then nothing is changed.
pub(crate) fn run(mut network: Network, network_queue: &NetworkQueue, status: &StatusCell) {
    let mut files = WantedStatusFiles::default();
    let mut begun = false;
    // Nobody reports a static neighbour that another program changes, so everything is compared again after a while.
    let mut compared = Instant::now();
    let (mut again, mut deaf, mut every) = (None, false, None);
    loop {
        let working = supervisor::working();
        let now = Instant::now();
        let mut queued = network_queue.take();
        if let Some(settings) = &queued.settings {
            every = settings.refresh;
        }
        if begun && every.is_some_and(|every| now >= compared + every) {
            network.refresh();
            files.recheck();
            compared = now;
        }
        let mark = queued.mark.take();
        begun |= mark.is_some();
        take(&mut network, &mut files, &mut queued);
        if begun {
            let worked = network.work();
            deaf = worked.is_err();
            let mut problems = Vec::new();
            match worked {
                Ok(worked) => {
                    again = worked.again;
                    files.is_outdated |= worked.done > 0 || !worked.changes.is_empty();
                }
                Err(error) => {
                    problems.push(error_with_causes(&error));
                    network.refresh();
                    again = Some(Instant::now() + RETRY_DELAY);
                }
            }
            let model = network.model();
            files.update(|interface| model.is_up(interface));
            problems.extend(model.open_problems().map(|(step, why)| format!("could not {step}: {why}")));
            problems.extend(model.without_ipv6().map(no_ipv6));
            problems.extend_from_slice(files.problems());
            note_settings(status, &network);
            report(status, problems, mark);
        }
        let refresh = every.filter(|_| begun).map(|every| compared + every);
        let times = [refresh, again, files.next_update()];
        drop(working);
        network_queue.wait((begun && !deaf).then_some(&network), times.into_iter().flatten().min());
    }
}

/// What is missing for a workload whose interface has no IPv6. The rest of it is set up, and its file is there.
fn no_ipv6((interface, addresses): (&str, Vec<IpAddr>)) -> String {
    let addresses: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    format!(
        "{interface} has no IPv6, because its MTU is below {IPV6_MTU}: nothing leads to {} (set a larger MTU on both ends)",
        addresses.join(", ")
    )
}

/// Applies pending work to the model.
fn take(network: &mut Network, files: &mut WantedStatusFiles, queued: &mut QueuedChanges) {
    if let Some(settings) = queued.settings.take() {
        let now = network.model().config();
        // Settings that verdicts also depend on are part of the delta.
        let (prefixes, floating_ips, ipv6) = (now.prefixes.clone(), now.floating_ips, now.ipv6);
        network.configure(Config { prefixes, floating_ips, ipv6, ..settings.network });
        files.move_to(settings.status_files);
    }
    if queued.whole {
        let kept: BTreeSet<&str> = queued.endpoints.keys().map(String::as_str).collect();
        network.keep_only(&kept);
        files.keep_only(&kept);
    }
    let mut delta = Delta { host: queued.host.take(), ..Delta::default() };
    for (interface, endpoint) in mem::take(&mut queued.endpoints) {
        files.set_file(&interface, endpoint.as_ref().and_then(|endpoint| status_file(&interface, endpoint)));
        let place = Place::Workload(interface);
        match endpoint {
            Some(endpoint) => delta.endpoints_put.push((place, endpoint)),
            None => delta.endpoints_removed.push(place),
        }
    }
    network.apply(&delta);
}

/// Reports which settings of the host were changed.
fn note_settings(status: &StatusCell, network: &Network) {
    let all: Vec<String> =
        network.changed_settings().map(|one| format!("{} = {} (was {})", one.name(), one.now, one.was)).collect();
    let known = status.read().host_settings.clone();
    if all == known {
        return;
    }
    for one in all.iter().filter(|one| !known.contains(one)) {
        log::info!(target: log_event::HOST_SETTING_CHANGED, "changed for the workloads of this machine: {one}");
    }
    status.update(|record| record.host_settings = all);
}

fn report(status: &StatusCell, problems: Vec<String>, mark: Option<Progress>) {
    let known = status.read().network.clone();
    for trouble in problems.iter().filter(|trouble| !known.contains(trouble)) {
        log::error!(target: log_event::NETWORK_FAILED, "the network of workloads is not set up completely: {trouble}");
    }
    if mark.is_some() || problems != known {
        status.update(|record| {
            record.network = problems;
            if let Some(mark) = mark {
                record.network_at = mark;
            }
        });
    }
}
