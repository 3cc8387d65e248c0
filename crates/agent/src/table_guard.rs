//! The thread that watches tortie's table for changes by other programs, and restores it. Changes from the store do not wait for
//! it.
//!
//! Watching has a budget of processor time. If other programs commit more changes than the budget allows,
//! checking them is delayed; changes from the store never are. Repairs are not counted.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tortie_dataplane_nft::Damage;

use crate::dataplane::DamageWatch;
use crate::dataplane_thread::{SharedDataplane, lock};
use crate::log_event;
use crate::status_cell::StatusCell;
use crate::stop_flag::StopFlag;
use crate::supervisor;

/// How long to wait for commits of other programs before checking whether the agent ends.
const STOP_CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// The share of a core that watching may use.
const SHARE: f64 = 0.05;
/// Processor seconds that may be spent at once.
const BURST: f64 = 2.0;
/// The longest pause: a deleted table must be restored within this time, even if watching then uses more than
/// its share.
const MAX_RESTORE_DELAY: Duration = Duration::from_secs(1);

/// The processor time that may be used.
struct Budget {
    /// In seconds; negative if too much was used.
    left: f64,
}

impl Budget {
    fn new() -> Self {
        Self { left: BURST }
    }

    /// Subtracts the processor time `spent`, and adds the share of the time `passed`. Returns how long to pause.
    fn spend(&mut self, spent: Duration, passed: Duration) -> Duration {
        let left = (self.left + passed.as_secs_f64() * SHARE).min(BURST) - spent.as_secs_f64();
        self.left = left.max(-MAX_RESTORE_DELAY.as_secs_f64() * SHARE);
        Duration::from_secs_f64((-self.left).max(0.0) / SHARE)
    }
}

/// The processor time of this thread.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Watches until the agent ends.
pub(crate) fn run(mut watch: Box<dyn DamageWatch>, dataplane: &SharedDataplane, status: &StatusCell, stop: &StopFlag) {
    let mut budget = Budget::new();
    let mut last = Instant::now();
    while !stop.is_set() {
        let working = supervisor::working();
        let began = processor_time();
        let found = watch.wait_for_damage(STOP_CHECK_INTERVAL);
        let pause = budget.spend(processor_time().saturating_sub(began), last.elapsed());
        last = Instant::now();
        let result = found.and_then(|damage| repair(&damage, dataplane, status));
        if result.is_err() {
            watch.recheck_all();
        }
        if let Some(reason) = status.set_problem("guard", result.err().as_deref()) {
            log::error!(target: log_event::TABLE_UNWATCHED, "cannot compare the table of tortie with what is in force: {reason}");
        }
        drop(working);
        stop.wait(pause);
    }
}

fn repair(damage: &Damage, dataplane: &SharedDataplane, status: &StatusCell) -> Result<(), String> {
    if damage.is_empty() {
        return Ok(());
    }
    lock(dataplane).repair_damage(damage)?;
    log::warn!(target: log_event::TABLE_REPAIRED, "another program had changed the table of tortie; it was restored: {damage}");
    status.update(|record| record.repairs += 1);
    Ok(())
}

#[cfg(test)]
mod tests;
