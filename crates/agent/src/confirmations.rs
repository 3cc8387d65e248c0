//! Undoes changes that nobody confirmed in time (`tortie apply --confirm`), and records when such a change was in the kernel.
//!
//! The store keeps the deadline and the previous versions, so whatever ends in between (the command, its terminal, the agent,
//! the machine), the next agent that follows the store puts them back. That is a change of the store like any other. In a store of
//! several machines, the agent of the machine on which the change was written does it, and the others if that one does not.

mod due;
mod notices;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tortie_api::error_with_causes;
use tortie_store::{Author, History, HistoryEntry, StoreError};

use crate::author::this_machine;
use crate::cache::CachedStore;
use crate::log_event;
use crate::programmed_since::since_boot;
use crate::status::StoreState;
use crate::status_cell::StatusCell;
use crate::stop_flag::StopFlag;
use crate::utc;
use due::{DueTimes, Now};
use notices::Notices;

/// How often to look while a change waits, or a command may write one.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);
/// How often to look otherwise: not every change concerns this node.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// For how long a command may write such a change after it has asked which store the agent follows.
const ATTENTIVE: Duration = Duration::from_secs(10);
/// How long after its deadline another machine undoes the change, in milliseconds.
const OTHER_MACHINE_DELAY_MS: u64 = 30_000;
/// The names of the problem and of the notes in the status.
const UNKNOWN: &str = "confirmations";
const NOTE: &str = "confirmation";
const PUT_BACK: &str = "not confirmed";

/// Runs until the agent ends. Whoever records that a command asked about the store unparks this thread.
pub(crate) fn run(store: &CachedStore, status: &StatusCell, stop: &StopFlag) {
    // Only this thread sets it.
    drop(status.confirmations.set(std::thread::current()));
    let mut seen = None;
    let mut looked: Option<Instant> = None;
    let mut waits = false;
    let (mut notices, mut due_times) = (Notices::default(), DueTimes::default());
    let mut waiting = Vec::new();
    while !stop.is_set() {
        let (state, received, asked) = {
            let record = status.read();
            (record.store, record.wanted.position.clone(), record.store_asked)
        };
        let is_attentive = || asked.is_some_and(|asked| asked.elapsed() < ATTENTIVE);
        // The deadline also passes while the store does not answer.
        note(&waiting, &notices, status);
        // A store that the agent does not follow is left alone.
        let opened = store.opened().filter(|_| matches!(state, StoreState::InSync | StoreState::Missing));
        if let Some(opened) = &opened {
            let interval = opened.history().and_then(History::poll_interval);
            let since = looked.map_or(Duration::MAX, |looked| looked.elapsed());
            let is_due = match interval {
                None => seen.as_ref() != Some(&received) || since >= LOOK_AGAIN,
                // Many machines ask this store: often only if a change of this machine waits, or may be about to.
                Some(interval) => waits || since >= interval || is_attentive(),
            };
            if is_due {
                looked = Some(Instant::now());
                let found =
                    opened.history().map(|history| look(history, &mut due_times, &mut notices, &mut waiting, status));
                status.read().puts_back = matches!(found, Some(Ok(_)));
                match found {
                    Some(Err(error)) if interval.is_none() || waits => {
                        report(
                            status,
                            UNKNOWN,
                            &format!("what waits for a confirmation is not known: {}", error_with_causes(&error)),
                        );
                    }
                    // If this agent cannot read it, `--confirm` is refused.
                    Some(Err(_)) => {}
                    Some(Ok(found)) => {
                        status.set_problem(UNKNOWN, None);
                        waits = found;
                        // While a change waits, it is checked again.
                        seen = (!found).then_some(received);
                    }
                    None => seen = Some(received),
                }
            }
        }
        // What the store holds once it is followed may be overdue.
        let is_watchful = opened.is_none() || waits || !waiting.is_empty() || is_attentive();
        std::thread::park_timeout(if is_watchful { CHECK_INTERVAL } else { LOOK_AGAIN });
    }
}

/// Whether an entry was written on this machine, whose agent undoes it.
fn is_here(entry: &HistoryEntry) -> bool {
    entry.author.host.is_empty() || entry.author.host == this_machine()
}

/// A change that waits for a confirmation, as it was last read from the store.
struct Waiting {
    revision: u64,
    deadline: u64,
}

impl Waiting {
    fn describe(&self, now: u64) -> String {
        let (revision, due) = (self.revision, utc::of_milliseconds(self.deadline));
        if self.deadline <= now {
            format!(
                "revision {revision} is overdue: it was to be put back at {due}, and that is done as soon as it can be"
            )
        } else {
            format!("revision {revision} is put back at {due} unless `tortie confirm` comes before")
        }
    }
}

/// Writes into the status which changes wait, and which were put back.
fn note(waiting: &[Waiting], notices: &Notices, status: &StatusCell) {
    let now = now();
    let waits = waiting.iter().map(|one| one.describe(now)).collect::<Vec<_>>().join("\n");
    for (name, note) in [(NOTE, waits), (PUT_BACK, notices.recent(now))] {
        if status.read().notes.get(name).map_or("", String::as_str) != note {
            status.update(|record| match note.is_empty() {
                true => drop(record.notes.remove(name)),
                false => drop(record.notes.insert(name, note)),
            });
        }
    }
}

/// Undoes the changes whose deadline has passed. Returns whether others still wait.
fn look(
    history: &dyn History,
    due_times: &mut DueTimes,
    notices: &mut Notices,
    waiting: &mut Vec<Waiting>,
    status: &StatusCell,
) -> Result<bool, StoreError> {
    let (mut now_waiting, mut failed) = (Vec::new(), None);
    let pending = history.pending()?;
    notices.begin(history, now());
    due_times.keep(|first| pending.iter().any(|(entry, _)| entry.first == first));
    for (entry, pending) in pending {
        let now = now();
        let deadline = due_times.of(&entry, &pending, Now { clock: now, since_boot: since_boot() });
        if !is_here(&entry) && now < deadline.saturating_add(OTHER_MACHINE_DELAY_MS) {
            continue;
        }
        if deadline <= now {
            if let Err(error) = put_back(history, &entry, notices, status) {
                now_waiting.push(Waiting { revision: entry.last, deadline });
                failed.get_or_insert(error);
            }
            continue;
        }
        now_waiting.push(Waiting { revision: entry.last, deadline });
        // Asked for, so that its time is kept. While enforcement is off, nothing is in force.
        let in_kernel = status.read().programmed_since.of(entry.last).is_some();
        if pending.enforced.is_none() && in_kernel && failed.is_none() {
            history.note_enforced(&entry, now)?;
            log::info!(target: log_event::CONFIRMATION_AWAITED, "revision {} is in the kernel, and is put back unless it is confirmed", entry.last);
        }
    }
    status.read().programmed_since.keep(|revision| now_waiting.iter().any(|one| one.revision == revision));
    *waiting = now_waiting;
    note(waiting, notices, status);
    match failed {
        Some(error) => Err(error),
        None => Ok(!waiting.is_empty()),
    }
}

fn put_back(
    history: &dyn History,
    entry: &HistoryEntry,
    notices: &mut Notices,
    status: &StatusCell,
) -> Result<(), StoreError> {
    let command = format!("tortie agent: revision {} was not confirmed", entry.last);
    let uid = rustix::process::getuid().as_raw();
    history.set_author(Author { uid, host: this_machine(), command, ..Author::default() });
    let Some(done) = history.put_back(entry)? else { return Ok(()) };
    // What is not known is not told; the change was put back all the same.
    let later = history.entries_between(entry.first, u64::MAX).unwrap_or_default();
    let by = later.iter().find(|one| one.puts_back == Some(entry.first)).map(|one| one.last);
    let notice = notices.add(entry, &done, now(), by);
    log::warn!(target: log_event::CHANGE_PUT_BACK, "{notice}");
    status.update(|record| record.put_back += 1);
    Ok(())
}

fn report(status: &StatusCell, name: &'static str, problem: &str) {
    if let Some(problem) = status.set_problem(name, Some(problem)) {
        log::error!(target: log_event::CONFIRMATION_FAILED, "{problem}");
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_overdue_from_its_deadline_on_whether_or_not_the_store_answers() {
        let waiting = Waiting { revision: 7, deadline: 1_000 };
        assert_eq!(
            waiting.describe(999),
            "revision 7 is put back at 1970-01-01T00:00:01Z unless `tortie confirm` comes before"
        );
        let overdue = "revision 7 is overdue: it was to be put back at 1970-01-01T00:00:01Z, and that is done as soon as it can be";
        assert_eq!(waiting.describe(1_000), overdue);
    }
}
