//! The thread of the dataplane: one change after the other, tried again until it is in force.
//!
//! It holds at most one change. While the dataplane works, or a change waits for its next try, the engine only collects; when the
//! dataplane is free it gets everything that came meanwhile as one change. A change that fails stays requested: later ones are
//! added, and all of them are tried together, so a later change can correct an earlier one.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tortie_dataplane::{Delta, State};

use crate::backoff::Backoff;
use crate::board::Board;
use crate::lag;
use crate::network::Desk;
use crate::status::Mark;
use crate::supervisor;
use crate::target::Target;
use crate::tracking::{before_host_endpoints, brings_host_endpoints, names_host_endpoints};

/// After so long without a change what the last ones needed is given back.
const REST: Duration = Duration::from_millis(500);

/// What the thread is asked to do.
pub(crate) enum Order {
    /// A change, and what is in force when it is made.
    Change(Box<Delta>, Mark),
    /// Remove everything of ours, and end. If that fails go on as before.
    Remove(SyncSender<Result<(), String>>),
    /// End, and leave everything as it is.
    Stop,
}

/// The dataplane, shared with whoever reads its state.
pub(crate) type Shared = Arc<Mutex<Box<dyn Target>>>;

/// The dataplane, for as long as the guard lives.
pub(crate) fn lock(target: &Shared) -> MutexGuard<'_, Box<dyn Target>> {
    target.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What could not be put in force yet.
struct Behind {
    /// The whole; or why that is not known.
    wanted: Result<State, String>,
    backoff: Backoff,
    next: Instant,
}

/// Applies changes until it is asked to stop. `free` is called when the next change may come, and `rest` a while after the last.
pub(crate) fn run(
    target: &Shared,
    orders: &Receiver<Order>,
    board: &Board,
    desk: &Desk,
    free: impl Fn(),
    rest: impl Fn(),
) {
    let mut behind: Option<Behind> = None;
    let mut mark = Mark::default();
    let mut changed: Option<Instant> = None;
    loop {
        let pause = match &behind {
            Some(behind) => Some(behind.next.saturating_duration_since(Instant::now())),
            None => changed.map(|at| REST.saturating_sub(at.elapsed())),
        };
        let order = match pause {
            None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(pause) => orders.recv_timeout(pause),
        };
        let _working = supervisor::working();
        match order {
            Ok(Order::Change(delta, at)) => {
                mark = at;
                changed = Some(Instant::now());
                change(target, board, desk, &mut behind, Some(&delta), &mark);
                free();
            }
            Ok(Order::Remove(answer)) => {
                let removed = lock(target).remove();
                let ends = removed.is_ok();
                match &removed {
                    Ok(()) => supervisor::stopping(),
                    Err(reason) => {
                        log::error!("cannot remove our tables, so they stay, and the agent goes on: {reason}")
                    }
                }
                // Nobody waits any more if this cannot be sent.
                let _ = answer.send(removed);
                if ends {
                    return;
                }
            }
            Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) if behind.is_some() => change(target, board, desk, &mut behind, None, &mark),
            Err(RecvTimeoutError::Timeout) => {
                changed = None;
                rest();
            }
        }
    }
}

/// Tries a change, with all that is behind.
fn change(
    target: &Shared,
    board: &Board,
    desk: &Desk,
    behind: &mut Option<Behind>,
    delta: Option<&Delta>,
    mark: &Mark,
) {
    if behind.is_none() && delta.is_none_or(Delta::is_empty) && board.read().programmed {
        board.tell(|facts| facts.in_kernel = mark.clone());
        return desk.changed(None, mark);
    }
    let started = Instant::now();
    board.tell(|facts| {
        facts.lag.begin(lag::PROGRAM);
    });
    let result = attempt(&mut **lock(target), behind, delta);
    let took = started.elapsed();
    match result {
        Ok(()) => {
            let late = behind.take().is_some();
            board.measures.apply_time.observe(took.as_secs_f64());
            board.measures.batch_size.observe(delta.map_or(0, Delta::len) as f64);
            if late {
                log::info!("the dataplane takes changes again");
            }
            board.tell(|facts| {
                facts.in_kernel = mark.clone();
                facts.programmed = true;
                facts.failing = None;
                facts.applied += 1;
                facts.lag.end(lag::PROGRAM);
            });
            if late { desk.replaced(lock(target).state(), mark) } else { desk.changed(delta, mark) }
        }
        Err(reason) => {
            if board.read().failing.as_ref() != Some(&reason) {
                log::error!("a change is not in force, and is tried again: {reason}");
            }
            board.tell(|facts| {
                facts.failing = Some(reason);
                facts.failures += 1;
                facts.lag.end(lag::PROGRAM);
            });
        }
    }
}

fn attempt(target: &mut dyn Target, behind: &mut Option<Behind>, delta: Option<&Delta>) -> Result<(), String> {
    let Some(late) = behind else {
        let Some(delta) = delta else { return Ok(()) };
        if brings_host_endpoints(delta) {
            before_host_endpoints(target);
        }
        // What is wanted is only worked out when the change cannot be made.
        return target.apply(delta).inspect_err(|_| {
            let backoff = Backoff::default();
            let wanted = Ok(target.state().clone()).and_then(|state| after(state, delta));
            *behind = Some(Behind { wanted, next: backoff.at(), backoff });
        });
    };
    if let Some(delta) = delta {
        let wanted = std::mem::replace(&mut late.wanted, Err(String::new()));
        late.wanted = wanted.and_then(|state| after(state, delta));
    }
    let wanted = late.wanted.clone();
    if wanted.as_ref().is_ok_and(|state| names_host_endpoints(state.endpoints.keys())) {
        before_host_endpoints(target);
    }
    wanted.and_then(|state| target.replace(state)).inspect_err(|_| {
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
