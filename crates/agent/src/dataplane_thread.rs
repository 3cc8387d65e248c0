//! The thread of the dataplane: it applies one change after the other, and tries again until it is in force.
//!
//! It holds at most one change. While the dataplane works, or a change waits for its next attempt, the engine only collects; when
//! the dataplane is idle, it gets everything that was received meanwhile as one change. A change that fails stays requested:
//! later changes are added, and all of them are tried together, so a later change can correct an earlier one.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tortie_dataplane::{Delta, State};
use tortie_store::Backoff;

use crate::connection_tracking::{before_host_endpoints, brings_host_endpoints, names_host_endpoints};
use crate::dataplane::NodeDataplane;
use crate::lag;
use crate::log_event;
use crate::network::NetworkQueue;
use crate::status::Progress;
use crate::status_cell::StatusCell;
use crate::supervisor;

/// After this time without a change, free memory is returned to the system.
const IDLE_BEFORE_MEMORY_RELEASE: Duration = Duration::from_millis(500);

/// A request to the thread.
pub(crate) enum ApplyRequest {
    /// Apply this change, after which the kernel is at this mark.
    Change(Box<Delta>, Progress),
    /// Remove everything that tortie has in the kernel, and end. If that fails, continue as before.
    Remove(SyncSender<Result<(), String>>),
    /// End, and leave everything as it is.
    Stop,
}

/// The dataplane, shared with whoever reads its state.
pub(crate) type SharedDataplane = Arc<Mutex<Box<dyn NodeDataplane>>>;

/// The dataplane, for as long as the guard lives.
pub(crate) fn lock(dataplane: &SharedDataplane) -> MutexGuard<'_, Box<dyn NodeDataplane>> {
    dataplane.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Changes that could not be applied yet.
struct Pending {
    /// The desired state with these changes; or why it cannot be computed.
    wanted: Result<State, String>,
    backoff: Backoff,
    next: Instant,
}

/// Applies changes until it is asked to stop. `idle` is called when the next change may be sent, and `rest` a while after the
/// last one.
pub(crate) fn run(
    dataplane: &SharedDataplane,
    requests: &Receiver<ApplyRequest>,
    status: &StatusCell,
    network_queue: &NetworkQueue,
    idle: impl Fn(),
    rest: impl Fn(),
) {
    let mut pending: Option<Pending> = None;
    let mut mark = Progress::default();
    let mut changed: Option<Instant> = None;
    loop {
        let pause = match &pending {
            Some(pending) => Some(pending.next.saturating_duration_since(Instant::now())),
            None => changed.map(|at| IDLE_BEFORE_MEMORY_RELEASE.saturating_sub(at.elapsed())),
        };
        let request = match pause {
            None => requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(pause) => requests.recv_timeout(pause),
        };
        let _working = supervisor::working();
        match request {
            Ok(ApplyRequest::Change(delta, at)) => {
                mark = at;
                changed = Some(Instant::now());
                change(dataplane, status, network_queue, &mut pending, Some(&delta), &mark);
                idle();
            }
            Ok(ApplyRequest::Remove(answer)) => {
                let removed = lock(dataplane).remove();
                let ends = removed.is_ok();
                match &removed {
                    Ok(()) => supervisor::stopping(),
                    Err(reason) => {
                        log::error!(target: log_event::UNINSTALL_FAILED, "the table of tortie could not be removed: it stays in force, and the agent continues: {reason}")
                    }
                }
                // Nobody waits any more if this cannot be sent.
                let _ = answer.send(removed);
                if ends {
                    return;
                }
            }
            Ok(ApplyRequest::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) if pending.is_some() => {
                change(dataplane, status, network_queue, &mut pending, None, &mark)
            }
            Err(RecvTimeoutError::Timeout) => {
                changed = None;
                rest();
            }
        }
    }
}

/// Tries to apply a change together with all that are pending.
fn change(
    dataplane: &SharedDataplane,
    status: &StatusCell,
    network_queue: &NetworkQueue,
    pending: &mut Option<Pending>,
    delta: Option<&Delta>,
    mark: &Progress,
) {
    if pending.is_none() && delta.is_none_or(Delta::is_empty) && status.read().programmed {
        status.update(|record| record.in_kernel = mark.clone());
        return network_queue.changed(None, mark);
    }
    let started = Instant::now();
    status.update(|record| {
        record.lag.begin(lag::PROGRAM);
    });
    let result = attempt(&mut **lock(dataplane), pending, delta);
    let took = started.elapsed();
    match result {
        Ok(()) => {
            let late = pending.take().is_some();
            log::debug!(
                target: log_event::CHANGE_APPLIED,
                "revision {} is in the kernel: {} parts in {} ms",
                mark.position,
                delta.map_or(0, Delta::len),
                took.as_millis()
            );
            status.measures.apply_time.observe(took.as_secs_f64());
            status.measures.batch_size.observe(delta.map_or(0, Delta::len) as f64);
            if late {
                log::info!(target: log_event::CHANGE_RECOVERED, "the kernel accepts changes again");
            }
            status.update(|record| {
                record.in_kernel = mark.clone();
                record.programmed = true;
                record.failing = None;
                record.applied += 1;
                record.lag.end(lag::PROGRAM);
            });
            if late {
                network_queue.replaced(lock(dataplane).state(), mark)
            } else {
                network_queue.changed(delta, mark)
            }
        }
        Err(reason) => {
            if status.read().failing.as_ref() != Some(&reason) {
                log::error!(target: log_event::CHANGE_FAILED, "the kernel refused a change, which is not in force and is tried again: {reason}");
            }
            status.update(|record| {
                record.failing = Some(reason);
                record.failures += 1;
                record.lag.end(lag::PROGRAM);
            });
        }
    }
}

fn attempt(
    dataplane: &mut dyn NodeDataplane,
    pending: &mut Option<Pending>,
    delta: Option<&Delta>,
) -> Result<(), String> {
    let Some(late) = pending else {
        let Some(delta) = delta else { return Ok(()) };
        if brings_host_endpoints(delta) {
            before_host_endpoints(dataplane);
        }
        // The desired state is only computed if the change cannot be applied.
        return dataplane.apply(delta).inspect_err(|_| {
            let mut backoff = Backoff::default();
            let wanted = Ok(dataplane.state().clone()).and_then(|state| after(state, delta));
            *pending = Some(Pending { wanted, next: Instant::now() + backoff.pause(), backoff });
        });
    };
    if let Some(delta) = delta {
        let wanted = std::mem::replace(&mut late.wanted, Err(String::new()));
        late.wanted = wanted.and_then(|state| after(state, delta));
    }
    let wanted = late.wanted.clone();
    if wanted.as_ref().is_ok_and(|state| names_host_endpoints(state.endpoints.keys())) {
        before_host_endpoints(dataplane);
    }
    wanted.and_then(|state| dataplane.replace(state)).inspect_err(|_| {
        late.next = Instant::now() + late.backoff.pause();
    })
}

/// The state after a change. A change that does not fit is a bug in tortie; then nothing more is programmed.
fn after(mut state: State, delta: &Delta) -> Result<State, String> {
    match state.apply(delta) {
        Ok(()) => Ok(state),
        Err(broken) => Err(format!(
            "a change does not fit the state in the kernel, which is a bug in tortie; restart the agent: {broken}"
        )),
    }
}

#[cfg(test)]
mod tests;
