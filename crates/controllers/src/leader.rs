//! Which of several controllers writes: the one that holds a lease of the store.
//!
//! The holder renews the lease often. One that cannot stops writing when two thirds of the lease's time are over, counted from
//! before the last renewal was asked for: the last third is for what it has begun. Every write names the version that it
//! replaces, so one that arrives even later overwrites nothing.

use std::sync::mpsc::SyncSender;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tortie_agent::daemon::StopFlag;
use tortie_store::{Holding, Leases, StoreError};

use crate::follow::News;
use crate::log_event;

/// The name of the lease.
pub const LEASE: &str = "tortie-controllers";

/// How often, at least, it is looked who holds the lease.
const LEASE_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Whether this process may write.
#[derive(Debug, Default)]
pub(crate) struct Leadership(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Until when it may.
    until: Option<Instant>,
    /// Who holds the lease, as far as is known.
    holder: String,
    /// Why the lease can neither be taken nor renewed; empty if the store answered.
    failing: String,
}

impl Leadership {
    /// For a store without leases: nobody else writes.
    pub(crate) fn sole() -> Self {
        let far = Instant::now() + Duration::from_secs(100 * 365 * 24 * 3600);
        Self(Mutex::new(State { until: Some(far), ..State::default() }))
    }

    /// Whether this process may begin a write now.
    pub(crate) fn may_write(&self) -> bool {
        self.may_write_at(Instant::now())
    }

    fn may_write_at(&self, now: Instant) -> bool {
        self.state().until.is_some_and(|until| now < until)
    }

    /// Who holds the lease, where it is another process.
    pub(crate) fn other(&self) -> Option<String> {
        let state = self.state();
        (state.until.is_none() && !state.holder.is_empty()).then(|| state.holder.clone())
    }

    /// Takes in that the lease can neither be taken nor renewed.
    pub(crate) fn fails(&self, reason: &str) {
        reason.clone_into(&mut self.state().failing);
    }

    /// Why the lease can neither be taken nor renewed.
    pub(crate) fn failing(&self) -> Option<String> {
        let state = self.state();
        (!state.failing.is_empty())
            .then(|| format!("the lease {LEASE} can neither be taken nor renewed: {}", state.failing))
    }

    /// Takes in that the lease was asked for at `asked`, and what the answer was. Whether anything is different.
    fn take(&self, asked: Instant, time: Duration, holding: Holding) -> bool {
        let mut state = self.state();
        state.failing.clear();
        match holding {
            Holding::Ours => {
                let before = state.until.replace(asked + time * 2 / 3);
                state.holder.clear();
                before.is_none_or(|before| before <= asked)
            }
            Holding::Of(other) => {
                let was_ours = state.until.take().is_some();
                let changed = was_ours || state.holder != other;
                state.holder = other;
                changed
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who this process is to others: its machine, its number, and what no other process has.
pub(crate) fn holder() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}_{}_{}", name.trim(), std::process::id(), uuid::Uuid::new_v4().simple())
}

/// Holds the lease while it can, until the process ends; then gives it up.
pub(crate) fn run(
    leases: &dyn Leases,
    holder: &str,
    time: Duration,
    leadership: &Leadership,
    news: &SyncSender<News>,
    stop: &StopFlag,
) {
    let mut failed = false;
    while !stop.is_set() {
        let asked = Instant::now();
        match leases.hold(LEASE, holder, time) {
            Ok(holding) => {
                failed = false;
                let ours = holding == Holding::Ours;
                let was_ours = leadership.may_write_at(asked);
                if leadership.take(asked, time, holding) {
                    match leadership.other() {
                        None if ours => {
                            log::info!(target: log_event::LEADER_GAINED, "this process holds the lease: it writes")
                        }
                        Some(other) if was_ours => {
                            log::warn!(target: log_event::LEADER_LOST, "{other} holds the lease now: this process does not write any more");
                        }
                        Some(other) => {
                            log::info!(target: log_event::LEADER_OTHER, "{other} holds the lease: this process waits")
                        }
                        None => {}
                    }
                    if news.send(News::Leadership).is_err() {
                        break;
                    }
                }
            }
            Err(error) => {
                let text = match error {
                    StoreError::Failed(text) => text,
                    error => error.to_string(),
                };
                leadership.fails(&text);
                if !std::mem::replace(&mut failed, true) {
                    log::error!(target: log_event::LEASE_FAILED, "the lease {LEASE} can neither be taken nor renewed, which is tried again: {text}");
                }
            }
        }
        stop.wait((time / 7).min(LEASE_CHECK_INTERVAL));
    }
    if leadership.may_write()
        && let Err(error) = leases.release(LEASE, holder)
    {
        log::warn!(target: log_event::LEASE_FAILED, "the lease {LEASE} could not be given up, and ends by itself: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_that_cannot_renew_stops_before_its_lease_ends() {
        let leadership = Leadership::default();
        let (start, lease) = (Instant::now(), Duration::from_secs(15));
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!leadership.may_write_at(start), "nobody has answered yet");
        assert!(leadership.take(start, lease, Holding::Ours), "it is the leader now");
        assert!(leadership.may_write_at(at(9)) && !leadership.may_write_at(at(10)));
        assert!(!leadership.take(at(2), lease, Holding::Ours), "a renewal is no news");
        assert!(leadership.may_write_at(at(11)) && !leadership.may_write_at(at(12)));
        assert!(leadership.take(at(20), lease, Holding::Ours), "it could not renew in time, and took the lease anew");
        assert!(leadership.take(at(21), lease, Holding::Of("b".to_owned())));
        assert!(!leadership.may_write_at(at(21)), "another has it");
        assert_eq!(leadership.other().as_deref(), Some("b"));
        assert!(!leadership.take(at(22), lease, Holding::Of("b".to_owned())));
        assert!(leadership.take(at(23), lease, Holding::Of("c".to_owned())));
    }
}
