//! The thread of the dataplane: one change after the other, tried again until it is in force.
//!
//! It holds at most one change. While the dataplane works, or a change waits for its next try, the engine only collects; when the
//! dataplane is idle it gets everything that came meanwhile as one change. A change that fails stays requested: later ones are
//! added, and all of them are tried together, so a later change can correct an earlier one.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tortie_dataplane::{Delta, State};

use crate::backoff::Backoff;
use crate::connection_tracking::{before_host_endpoints, brings_host_endpoints, names_host_endpoints};
use crate::dataplane::NodeDataplane;
use crate::lag;
use crate::logger::event;
use crate::network::NetworkQueue;
use crate::status::Mark;
use crate::status_cell::StatusCell;
use crate::supervisor;

/// After so long without a change what the last ones needed is given back.
const REST: Duration = Duration::from_millis(500);

/// What the thread is asked to do.
pub(crate) enum ApplyRequest {
    /// Apply this change; the mark says what is in force then.
    Change(Box<Delta>, Mark),
    /// Remove everything of ours, and end. If that fails go on as before.
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

/// Changes that could not be put in force yet.
struct Pending {
    /// The whole; or why that is not known.
    wanted: Result<State, String>,
    backoff: Backoff,
    next: Instant,
}

/// Applies changes until it is asked to stop. `idle` is called when the next change may come, and `rest` a while after the last.
pub(crate) fn run(
    dataplane: &SharedDataplane,
    requests: &Receiver<ApplyRequest>,
    status: &StatusCell,
    network_queue: &NetworkQueue,
    idle: impl Fn(),
    rest: impl Fn(),
) {
    let mut pending: Option<Pending> = None;
    let mut mark = Mark::default();
    let mut changed: Option<Instant> = None;
    loop {
        let pause = match &pending {
            Some(pending) => Some(pending.next.saturating_duration_since(Instant::now())),
            None => changed.map(|at| REST.saturating_sub(at.elapsed())),
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
                        log::error!(target: event::UNINSTALL_FAILED, "the tables of tortie could not be removed: they stay in force, and the agent continues: {reason}")
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

/// Tries a change, with all that are pending.
fn change(
    dataplane: &SharedDataplane,
    status: &StatusCell,
    network_queue: &NetworkQueue,
    pending: &mut Option<Pending>,
    delta: Option<&Delta>,
    mark: &Mark,
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
                target: event::CHANGE_APPLIED,
                "revision {} is in the kernel: {} parts in {} ms",
                mark.position,
                delta.map_or(0, Delta::len),
                took.as_millis()
            );
            status.measures.apply_time.observe(took.as_secs_f64());
            status.measures.batch_size.observe(delta.map_or(0, Delta::len) as f64);
            if late {
                log::info!(target: event::CHANGE_RECOVERED, "the kernel accepts changes again");
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
                log::error!(target: event::CHANGE_FAILED, "the kernel refused a change, which is not in force and is tried again: {reason}");
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
        // What is wanted is only worked out when the change cannot be made.
        return dataplane.apply(delta).inspect_err(|_| {
            let backoff = Backoff::default();
            let wanted = Ok(dataplane.state().clone()).and_then(|state| after(state, delta));
            *pending = Some(Pending { wanted, next: backoff.at(), backoff });
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
        late.backoff.longer();
        late.next = late.backoff.at();
    })
}

/// A state after a change. One that does not fit is a mistake of ours: nothing more is put into the kernel then.
fn after(mut state: State, delta: &Delta) -> Result<State, String> {
    match state.apply(delta) {
        Ok(()) => Ok(state),
        Err(broken) => Err(format!("a change does not fit what is there, start the agent anew: {broken}")),
    }
}

#[cfg(test)]
mod tests;
