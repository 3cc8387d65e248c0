//! How far the agent is behind the store: what was received, which step each thread works on, and for how long something has
//! been waiting to be programmed.
//!
//! A thread publishes a step before it begins, so a step that takes long is visible while it runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tortie_store::Position;

use crate::status::{LagStatus, Progress};
use crate::status_cell::StatusCell;

/// Reading and checking events of the store.
pub(crate) const READ: &str = "reading events of the store";
/// Computing what changes on this node.
pub(crate) const CALCULATE: &str = "computing what changes on this node";
/// Changing the kernel.
pub(crate) const PROGRAM: &str = "changing the kernel";

/// The lag as it is known now.
#[derive(Default)]
pub(crate) struct Lag {
    /// The latest position of the store that is known, whether its changes were read or not.
    pub(crate) received: Position,
    /// The steps that run, each with its start.
    steps: BTreeMap<&'static str, Instant>,
    /// The first generation that is not in the kernel, and since when it is requested.
    waiting: Option<(u64, Instant)>,
}

impl Lag {
    /// Records that a step begins.
    pub(crate) fn begin(&mut self, step: &'static str) {
        self.steps.entry(step).or_insert_with(Instant::now);
    }

    /// Records that a step has ended.
    pub(crate) fn end(&mut self, step: &'static str) {
        self.steps.remove(step);
    }

    /// Records the requested and the programmed mark.
    pub(crate) fn note(&mut self, wanted: &Progress, in_kernel: &Progress) {
        if self.waiting.is_some_and(|(generation, _)| in_kernel.generation >= generation) {
            self.waiting = None;
        }
        if self.waiting.is_none() && in_kernel.generation < wanted.generation {
            self.waiting = Some((wanted.generation, Instant::now()));
        }
    }

    /// The lag for `status`; none if nothing waits.
    pub(crate) fn status(&self) -> Option<LagStatus> {
        let longest = self.steps.iter().min_by_key(|(_, since)| **since);
        let waiting = self.waiting.map(|(_, since)| since);
        let since = longest.map(|(_, since)| *since).into_iter().chain(waiting).min()?;
        let step = longest.map(|(step, _)| (*step).to_owned()).unwrap_or_default();
        Some(LagStatus { milliseconds: milliseconds(since.elapsed()), step })
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A step, which ends when this is dropped.
pub(crate) struct StepGuard(Arc<StatusCell>, &'static str);

impl StepGuard {
    /// Publishes that a step begins.
    pub(crate) fn begin(status: &Arc<StatusCell>, step: &'static str) -> Self {
        status.update(|record| record.lag.begin(step));
        Self(status.clone(), step)
    }
}

impl Drop for StepGuard {
    fn drop(&mut self) {
        self.0.update(|record| record.lag.end(self.1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(generation: u64) -> Progress {
        Progress { generation, position: Position::START }
    }

    #[test]
    fn a_step_is_seen_while_it_runs_and_gone_when_it_has_ended() {
        let status = Arc::new(StatusCell::default());
        let lag = || status.read().lag.status();
        let running = StepGuard::begin(&status, CALCULATE);
        assert_eq!(lag().map(|lag| lag.step).as_deref(), Some(CALCULATE));
        drop(running);
        assert_eq!(lag(), None);
    }

    #[test]
    fn the_lag_counts_until_a_change_is_in_the_kernel() {
        let mut lag = Lag::default();
        lag.note(&mark(3), &mark(3));
        assert_eq!(lag.status(), None);
        lag.note(&mark(4), &mark(3));
        lag.note(&mark(9), &mark(3));
        let since = lag.waiting;
        assert_eq!(since.map(|(generation, _)| generation), Some(4), "the oldest counts");
        lag.note(&mark(9), &mark(4));
        assert_eq!(lag.waiting.map(|(generation, _)| generation), Some(9));
        lag.note(&mark(9), &mark(9));
        assert_eq!(lag.status(), None);
    }
}
