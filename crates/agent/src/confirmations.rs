//! Undoes changes that nobody confirmed in time (`tortie apply --confirm`), and records when such a change was in the kernel.
//!
//! The store keeps the deadline and the previous versions, so whatever ends in between (the command, its terminal, the agent,
//! the machine), the next agent that follows the store puts them back. That is a change of the store like any other. In a store of
//! several machines, the agent of the machine on which the change was written does it, and the others if that one does not.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tortie_api::Key;
use tortie_store::history::PutBack;
use tortie_store::{Author, History, HistoryEntry, Position, Revision, Store, StoreError};

use crate::author::this_machine;
use crate::cache::CachedStore;
use crate::dataplane::chain;
use crate::logger::event;
use crate::status::StoreState;
use crate::status_cell::StatusCell;
use crate::stop_flag::StopFlag;
use crate::utc;

/// How often to check in memory whether the store changed; and to read the store while a change waits.
const LOOK: Duration = Duration::from_millis(250);
/// How often to read the store in any case: not every change concerns this node.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// For how long a store of many machines is read often after a command has asked which store the agent follows.
const ATTENTIVE: Duration = Duration::from_secs(10);
/// How long after its deadline another machine undoes the change, in milliseconds.
const GRACE: u64 = 30_000;
/// The names of the problems and of the note in the status.
const NOT_WHOLE: &str = "confirmation";
const UNKNOWN: &str = "confirmations";
const NOTE: &str = "confirmation";

/// Runs until the agent ends.
pub(crate) fn run(store: &CachedStore, status: &StatusCell, stop: &StopFlag) {
    let mut seen = None;
    let mut looked: Option<Instant> = None;
    let mut waits = false;
    let mut left = Vec::new();
    let mut waiting = Vec::new();
    while !stop.is_set() {
        let (state, received, asked) = {
            let record = status.read();
            (record.store, record.wanted.position.clone(), record.store_asked)
        };
        // The deadline also passes while the store does not answer.
        note(&waiting, status);
        // A store that the agent does not follow is left alone.
        let opened = store.opened().filter(|_| matches!(state, StoreState::InSync | StoreState::Missing));
        if let Some(opened) = &opened {
            let interval = opened.history().and_then(History::poll_interval);
            let since = looked.map_or(Duration::MAX, |looked| looked.elapsed());
            let is_due = match interval {
                None => seen.as_ref() != Some(&received) || since >= LOOK_AGAIN,
                // Many machines ask this store: often only if a change of this machine waits, or may be about to.
                Some(interval) => waits || since >= interval || asked.is_some_and(|asked| asked.elapsed() < ATTENTIVE),
            };
            if is_due {
                looked = Some(Instant::now());
                let found = opened.history().map(|history| look(history, &**opened, &mut left, &mut waiting, status));
                status.read().puts_back = matches!(found, Some(Ok(_)));
                match found {
                    Some(Err(error)) if interval.is_none() || waits => {
                        report(
                            status,
                            UNKNOWN,
                            &format!("what waits for a confirmation is not known: {}", chain(&error)),
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
        stop.wait(LOOK);
    }
}

/// Whether an entry was written on this machine, whose agent undoes it.
fn is_here(entry: &HistoryEntry) -> bool {
    entry.author.host.is_empty() || entry.author.host == this_machine()
}

/// An object that was not put back, and its revision at that time; none if it did not exist.
type Left = (Key, Option<Revision>);

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

/// Writes the changes that wait into the status.
fn note(waiting: &[Waiting], status: &StatusCell) {
    let now = now();
    let note = waiting.iter().map(|one| one.describe(now)).collect::<Vec<_>>().join("; ");
    if status.read().notes.get(NOTE).map_or("", String::as_str) != note {
        status.update(|record| match note.is_empty() {
            true => drop(record.notes.remove(NOTE)),
            false => drop(record.notes.insert(NOTE, note)),
        });
    }
}

/// Undoes the changes whose deadline has passed. Returns whether others still wait.
fn look(
    history: &dyn History,
    store: &dyn Store,
    left: &mut Vec<Left>,
    waiting: &mut Vec<Waiting>,
    status: &StatusCell,
) -> Result<bool, StoreError> {
    let (mut now_waiting, mut failed) = (Vec::new(), None);
    for (entry, pending) in history.pending()? {
        let now = now();
        if !is_here(&entry) && now < pending.deadline.saturating_add(GRACE) {
            continue;
        }
        if pending.deadline <= now {
            if let Err(error) = put_back(history, store, &entry, left, status) {
                now_waiting.push(Waiting { revision: entry.last, deadline: pending.deadline });
                failed.get_or_insert(error);
            }
            continue;
        }
        now_waiting.push(Waiting { revision: entry.last, deadline: pending.deadline });
        let in_kernel = status.read().in_kernel.position.has_reached(&Position::at(entry.last));
        if pending.enforced.is_none() && in_kernel && failed.is_none() {
            history.note_enforced(&entry, now)?;
            log::info!(target: event::CONFIRMATION_AWAITED, "revision {} is in the kernel, and is put back unless it is confirmed", entry.last);
        }
    }
    *waiting = now_waiting;
    note(waiting, status);
    if let Some(error) = failed {
        return Err(error);
    }
    forget_what_was_seen_to(store, left, status)?;
    Ok(!waiting.is_empty())
}

fn put_back(
    history: &dyn History,
    store: &dyn Store,
    entry: &HistoryEntry,
    left: &mut Vec<Left>,
    status: &StatusCell,
) -> Result<(), StoreError> {
    let command = format!("tortie agent: revision {} was not confirmed", entry.last);
    let uid = rustix::process::getuid().as_raw();
    history.set_author(Author { uid, host: this_machine(), command, ..Author::default() });
    let Some(done) = history.put_back(entry)? else { return Ok(()) };
    log::warn!(target: event::CHANGE_PUT_BACK, "{}", describe(entry.last, &done));
    let stays = left_unchanged(&done);
    if !stays.is_empty() {
        report(status, NOT_WHOLE, &format!("revision {} was not confirmed, and {}", entry.last, stays.join("; ")));
        for key in done.left.into_iter().chain(done.in_use.into_iter().map(|(tier, _)| tier)) {
            let revision = store.get(&key)?.map(|stored| stored.revision);
            left.push((key, revision));
        }
    }
    Ok(())
}

/// The result of undoing an entry, for the log.
fn describe(revision: u64, done: &PutBack) -> String {
    let objects = match done.restored.len() {
        0 => "no object was put back".to_owned(),
        1 => "1 object was put back".to_owned(),
        count => format!("{count} objects were put back"),
    };
    let mut text = format!("revision {revision} was not confirmed: {objects}");
    if !done.waiting.is_empty() {
        text += &format!("; a later change that waits for a confirmation itself has {}", names(&done.waiting));
    }
    text
}

/// The objects that were not put back, and why.
fn left_unchanged(done: &PutBack) -> Vec<String> {
    let mut all = Vec::new();
    if !done.left.is_empty() {
        all.push(format!("what was changed since was not put back: {}", names(&done.left)));
    }
    all.extend(
        done.in_use
            .iter()
            .map(|(tier, policy)| format!("{} stays: {} is in it", tier.as_argument(), policy.as_argument())),
    );
    all
}

/// Ends the problem when somebody has changed each object that was not put back.
fn forget_what_was_seen_to(store: &dyn Store, left: &mut Vec<Left>, status: &StatusCell) -> Result<(), StoreError> {
    if left.is_empty() {
        return Ok(());
    }
    let mut still = Vec::new();
    for (key, revision) in left.iter() {
        if store.get(key)?.map(|stored| stored.revision) == *revision {
            still.push((key.clone(), revision.clone()));
        }
    }
    *left = still;
    if left.is_empty() {
        status.set_problem(NOT_WHOLE, None);
    }
    Ok(())
}

fn names(keys: &[Key]) -> String {
    keys.iter().map(Key::as_argument).collect::<Vec<_>>().join(", ")
}

fn report(status: &StatusCell, name: &'static str, problem: &str) {
    if let Some(problem) = status.set_problem(name, Some(problem)) {
        log::error!(target: event::CONFIRMATION_FAILED, "{problem}");
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use tortie_api::Kind;

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

    #[test]
    fn objects_that_were_not_put_back_are_named_with_the_reason() {
        let tier = Key::cluster(Kind::Tier, "extra");
        let policy = Key::cluster(Kind::GlobalNetworkPolicy, "extra.theirs");
        let done = PutBack {
            restored: vec![tier.clone()],
            in_use: vec![(tier.clone(), policy.clone())],
            left: vec![policy.clone()],
            waiting: vec![],
        };
        assert_eq!(describe(7, &done), "revision 7 was not confirmed: 1 object was put back");
        assert_eq!(
            left_unchanged(&done),
            [
                "what was changed since was not put back: globalnetworkpolicy/extra.theirs",
                "tier/extra stays: globalnetworkpolicy/extra.theirs is in it"
            ]
        );
        // An own later change that waits is no fault.
        let done = PutBack { waiting: vec![policy], ..PutBack::default() };
        assert!(left_unchanged(&done).is_empty());
        assert_eq!(
            describe(7, &done),
            "revision 7 was not confirmed: no object was put back; a later change that waits for a confirmation itself has globalnetworkpolicy/extra.theirs"
        );
    }
}
