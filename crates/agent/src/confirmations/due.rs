//! When a change that waits for a confirmation is put back, whatever becomes of the clock meanwhile.
//!
//! The store keeps the deadline as a time of the clock, since the agent or the machine may start anew in between. The clock may be
//! set. Forwards, the deadline comes earlier, which puts the machine back to what it was: nobody is locked out for that. Backwards,
//! it would come later than was asked for, possibly by hours. So the agent also counts the time since the machine was started,
//! from when it first saw the change: at that time a change has at most as long left as was asked for. What is over first counts.

use std::collections::BTreeMap;
use std::time::Duration;

use tortie_store::HistoryEntry;
use tortie_store::history::Pending;

/// The two clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// In milliseconds since 1970, as far as the clock is right.
    pub(super) clock: u64,
    /// Since the machine was started, which nobody can set, and which counts while it is suspended.
    pub(super) since_boot: Duration,
}

/// What is known of the changes that wait, by their first revisions.
#[derive(Default)]
pub(super) struct DueTimes(BTreeMap<u64, FirstSeen>);

/// When this agent first saw a change that waits, and how long it had left then, in milliseconds.
#[derive(Clone, Copy)]
struct FirstSeen {
    since_boot: Duration,
    left: u64,
}

impl DueTimes {
    /// When the change is put back, as the clock is set now.
    pub(super) fn of(&mut self, entry: &HistoryEntry, pending: &Pending, now: Now) -> u64 {
        let asked = pending.deadline.saturating_sub(entry.time);
        let left = pending.deadline.saturating_sub(now.clock).min(asked);
        let seen = *self.0.entry(entry.first).or_insert(FirstSeen { since_boot: now.since_boot, left });
        let elapsed = now.since_boot.saturating_sub(seen.since_boot).as_millis();
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
        now.clock.saturating_add(seen.left).saturating_sub(elapsed).min(pending.deadline)
    }

    /// Forgets the changes that do not wait any more.
    pub(super) fn keep(&mut self, waits: impl Fn(u64) -> bool) {
        self.0.retain(|first, _| waits(*first));
    }
}

#[cfg(test)]
mod tests {
    use tortie_store::Author;

    use super::*;

    const MINUTE: u64 = 60_000;
    /// When the change was written.
    const WRITTEN: u64 = 1_000 * MINUTE;
    const HOUR: u64 = 60 * MINUTE;

    /// A change that waits for two minutes.
    fn change() -> (HistoryEntry, Pending) {
        let pending = Pending { deadline: WRITTEN + 2 * MINUTE, enforced: None };
        let author = Author::default();
        let entry = HistoryEntry {
            first: 7,
            last: 8,
            time: WRITTEN,
            author,
            pending: Some(pending),
            expired: false,
            puts_back: None,
        };
        (entry, pending)
    }

    /// For each pair of the clock and the time since the start of the machine, in milliseconds: how long the change has left.
    fn left(at: &[(u64, u64)]) -> Vec<i64> {
        let (entry, pending) = change();
        let mut due = DueTimes::default();
        let signed = |time: u64| i64::try_from(time).unwrap();
        let left = at.iter().map(|&(clock, boot)| {
            let now = Now { clock, since_boot: Duration::from_millis(boot) };
            signed(due.of(&entry, &pending, now)) - signed(clock)
        });
        left.collect()
    }

    #[test]
    fn a_clock_that_goes_right_changes_nothing() {
        assert_eq!(
            left(&[(WRITTEN, 5), (WRITTEN + MINUTE, 5 + MINUTE), (WRITTEN + 3 * MINUTE, 5 + 3 * MINUTE)]),
            [120_000, 60_000, -60_000]
        );
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_make_a_change_wait_longer_than_was_asked_for() {
        let back = WRITTEN + MINUTE - HOUR;
        assert_eq!(left(&[(WRITTEN, 0), (back, MINUTE), (back + MINUTE, 2 * MINUTE)]), [120_000, 60_000, 0]);
        // To 1970 too, and before the agent sees the change for the first time (it started anew, perhaps with the machine).
        assert_eq!(left(&[(WRITTEN, 0), (0, MINUTE), (MINUTE, 2 * MINUTE)]), [120_000, 60_000, 0]);
        assert_eq!(left(&[(back, 0), (back + MINUTE, MINUTE), (back + 2 * MINUTE, 2 * MINUTE)]), [120_000, 60_000, 0]);
    }

    #[test]
    fn a_clock_that_is_set_forward_puts_a_change_back_and_one_set_right_again_later_does_not_delay_it() {
        assert_eq!(left(&[(WRITTEN, 0), (WRITTEN + HOUR, 1_000)]), [120_000, 2 * 60_000 - 3_600_000]);
        let seen_late = left(&[(WRITTEN + HOUR, 0), (WRITTEN + MINUTE, 1_000)]);
        assert!(seen_late.iter().all(|left| *left <= 0), "{seen_late:?}");
    }

    #[test]
    fn a_change_that_waits_no_more_is_forgotten() {
        let (entry, pending) = change();
        let mut due = DueTimes::default();
        due.of(&entry, &pending, Now { clock: WRITTEN, since_boot: Duration::ZERO });
        due.keep(|first| first == entry.first);
        assert_eq!(due.0.len(), 1);
        due.keep(|_| false);
        assert!(due.0.is_empty());
    }
}
