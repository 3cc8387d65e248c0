//! Puts back what nobody confirmed in time (`tortie apply --confirm`), and notes when such a change was in the kernel.
//!
//! The store keeps the deadline and what was before the change, so whatever ends in between (the command, its terminal, the agent,
//! the machine), the next agent that obeys the store does what is due. It is a change of the store like any other.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tortie_store::{Act, Author, History, Position, StoreError};

use crate::cache::CachedStore;
use crate::dataplane::chain;
use crate::logger::event;
use crate::status::StoreState;
use crate::status_cell::StatusCell;
use crate::stop_flag::StopFlag;

/// How often it is looked whether something was written, in memory; and in the store while something waits.
const LOOK: Duration = Duration::from_millis(250);
/// How often it is looked in the store all the same: not every change concerns this node.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// The names of the problems and of the note in the status.
const NOT_WHOLE: &str = "confirmation";
const UNKNOWN: &str = "confirmations";
const NOTE: &str = "confirmation";

/// Runs until the agent ends.
pub(crate) fn run(store: &CachedStore, status: &StatusCell, stop: &StopFlag) {
    let mut seen = None;
    let mut looked = Instant::now();
    while !stop.is_set() {
        let (state, received) = {
            let record = status.read();
            (record.store, record.wanted.position.clone())
        };
        // Another store than the one that is obeyed is none of our business.
        if let (StoreState::InSync, Some(opened)) = (state, store.opened())
            && (seen.as_ref() != Some(&received) || looked.elapsed() >= LOOK_AGAIN)
        {
            looked = Instant::now();
            let found = opened.history().map(|history| look(history, status));
            if !matches!(found, Some(Err(_))) {
                status.set_problem(UNKNOWN, None);
            }
            match found {
                // While something waits it is looked at again.
                Some(Ok(true)) => seen = None,
                Some(Ok(false)) | None => seen = Some(received),
                Some(Err(error)) => {
                    report(status, UNKNOWN, &format!("what waits for a confirmation is not known: {}", chain(&error)))
                }
            }
        }
        stop.wait(LOOK);
    }
}

/// Does what is due. Whether something waits still.
fn look(history: &dyn History, status: &StatusCell) -> Result<bool, StoreError> {
    let mut waits = Vec::new();
    for (act, pending) in history.pending()? {
        let now = now();
        if pending.deadline <= now {
            put_back(history, &act, status)?;
            continue;
        }
        waits.push(format!(
            "revision {} is put back at {} unless `tortie confirm` comes before",
            act.last,
            time(pending.deadline)
        ));
        let in_kernel = status.read().in_kernel.position.has_reached(&Position::at(act.last));
        if pending.enforced.is_none() && in_kernel {
            history.note_enforced(&act, now)?;
            log::info!(target: event::CONFIRMATION_AWAITED, "revision {} is in the kernel, and is put back unless it is confirmed", act.last);
        }
    }
    let note = waits.join("; ");
    if status.read().notes.get(NOTE).map_or("", String::as_str) != note {
        status.update(|record| match note.is_empty() {
            true => drop(record.notes.remove(NOTE)),
            false => drop(record.notes.insert(NOTE, note)),
        });
    }
    Ok(!waits.is_empty())
}

fn put_back(history: &dyn History, act: &Act, status: &StatusCell) -> Result<(), StoreError> {
    let command = format!("tortie agent: revision {} was not confirmed", act.last);
    history.sign(Author { uid: rustix::process::getuid().as_raw(), command, ..Author::default() });
    let Some(done) = history.put_back(act)? else { return Ok(()) };
    log::warn!(target: event::CHANGE_PUT_BACK, "revision {} was not confirmed: {} objects were put back", act.last, done.restored.len());
    if !done.left.is_empty() {
        let left: Vec<String> = done.left.iter().map(ToString::to_string).collect();
        report(
            status,
            NOT_WHOLE,
            &format!(
                "revision {} was not confirmed and was put back, but for what somebody else changed since: {}",
                act.last,
                left.join(", ")
            ),
        );
    }
    Ok(())
}

/// A time in milliseconds since 1970, as UTC, for people.
fn time(milliseconds: u64) -> String {
    let time = i64::try_from(milliseconds).ok().and_then(|time| jiff::Timestamp::from_millisecond(time).ok());
    time.map_or_else(String::new, |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
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
