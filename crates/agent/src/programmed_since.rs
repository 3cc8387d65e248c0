//! Since when the kernel enforces a revision of the store without a pause. A confirmation over SSH counts only from a session that
//! began later.
//!
//! Times are of the clock that runs since the machine was started, as those of processes in `/proc`: setting the machine's clock does
//! not change their order.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tortie_store::Position;

/// More programmed positions are not kept: those that somebody may still ask for are noted four times a second.
const MAX_POSITIONS: usize = 1024;

/// The time since the machine was started.
pub fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default())
}

/// When which positions were programmed.
#[derive(Debug, Default)]
pub(crate) struct ProgrammedSince {
    /// The positions in their order, each with the time at which it was in the kernel.
    positions: VecDeque<(Position, Duration)>,
    /// The times of revisions that somebody asked for.
    asked: BTreeMap<u64, Duration>,
    /// The time of the first position: others may have been in the kernel before it, under an earlier agent or before `tortie off`.
    first: Option<Duration>,
    /// Whether enforcement was off before.
    was_off: bool,
}

impl ProgrammedSince {
    /// Notes what the kernel has now.
    pub(crate) fn note(&mut self, position: &Position, programmed: bool, is_off: bool, now: impl FnOnce() -> Duration) {
        let last = self.positions.back().map(|(position, _)| position);
        // A store that replaced another one may have lower revisions.
        if is_off || last.is_some_and(|last| position.is_behind(last)) {
            self.was_off |= is_off;
            self.positions.clear();
            self.asked.clear();
        }
        if is_off || !programmed || self.positions.back().is_some_and(|(last, _)| last == position) {
            return;
        }
        let now = now();
        if self.positions.is_empty() {
            self.first = Some(now);
        }
        self.positions.push_back((position.clone(), now));
        if self.positions.len() > MAX_POSITIONS {
            self.positions.pop_front();
        }
    }

    /// Since when a revision is enforced. None if it is not, or if enforcement is off.
    pub(crate) fn of(&mut self, revision: u64) -> Option<Duration> {
        if let Some(time) = self.asked.get(&revision) {
            return Some(*time);
        }
        let wanted = Position::at(revision);
        let (_, time) = self.positions.iter().find(|(position, _)| position.has_reached(&wanted))?;
        self.asked.insert(revision, *time);
        Some(*time)
    }

    /// Since when the last position is enforced.
    pub(crate) fn of_last(&self) -> Option<Duration> {
        self.positions.back().map(|(_, time)| *time)
    }

    /// Forgets all revisions that somebody asked for but these.
    pub(crate) fn keep(&mut self, waiting: impl Fn(u64) -> bool) {
        self.asked.retain(|revision, _| waiting(*revision));
    }

    /// What happened at that time, for users.
    pub(crate) fn event(&self, time: Duration) -> &'static str {
        match self.first == Some(time) {
            true if self.was_off => "enforcement was switched on again",
            true => "this agent first enforced the store",
            false => "the change was in the kernel",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_enforced_since_it_was_programmed_and_anew_after_off() {
        let mut since = ProgrammedSince::default();
        let mut note = |revision: u64, programmed, is_off, at| {
            since.note(&Position::at(revision), programmed, is_off, || Duration::from_secs(at));
            (since.of(7), since.of(9))
        };
        let seconds = |at| Some(Duration::from_secs(at));
        assert_eq!(note(0, false, false, 1), (None, None), "nothing is programmed yet");
        assert_eq!(note(8, true, false, 2), (seconds(2), None));
        assert_eq!(note(8, true, false, 3), (seconds(2), None));
        assert_eq!(note(9, true, false, 4), (seconds(2), seconds(4)));
        assert_eq!(note(10, true, true, 5), (None, None), "enforcement is off");
        assert_eq!(note(10, true, false, 6), (seconds(6), seconds(6)));
        assert_eq!(note(7, true, false, 7), (seconds(7), None), "another store");
    }

    #[test]
    fn what_was_asked_for_is_kept_however_many_changes_follow() {
        let mut since = ProgrammedSince::default();
        for revision in 1..=5_000 {
            since.note(&Position::at(revision), true, false, || Duration::from_secs(revision));
            assert_eq!(since.of(1), Some(Duration::from_secs(1)));
        }
        assert_eq!(since.positions.len(), MAX_POSITIONS);
        assert_eq!(since.event(Duration::from_secs(1)), "this agent first enforced the store");
        assert_eq!(since.event(Duration::from_secs(2)), "the change was in the kernel");
        since.keep(|_| false);
        assert_eq!(since.of(1), Some(Duration::from_secs(5_000 - MAX_POSITIONS as u64 + 1)));
    }
}
