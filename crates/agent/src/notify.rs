//! Messages to the service manager (sd_notify(3)): that the start is done, a line of status, and that the agent is alive.
//!
//! The start is done once the kernel has what the store or its copy on disk says. So a unit that is ordered before
//! `network-pre.target` has policy in place before an interface comes up. An agent that has neither store nor copy
//! reports that its start is done as well: there is nothing to enforce yet, and the network may be what it waits for.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::log_event;
use crate::probes;
use crate::status::StoreState;
use crate::status_cell::{StatusCell, StatusRecord};
use crate::stop_flag::StopFlag;

/// The time between two messages without a watchdog. The times in the line of status may be outdated by as much.
const MAX_SILENCE: Duration = Duration::from_secs(60);

/// Whether a service manager listens.
pub(crate) fn is_asked_for() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Sends messages to the service manager until the agent ends.
pub(crate) fn run(status: &StatusCell, stop: &StopFlag) {
    let watchdog = sd_notify::watchdog_enabled();
    // systemd advises half the time that it allows.
    let pause = watchdog.map_or(MAX_SILENCE, |most| most / 2);
    let mut last_line = String::new();
    let mut started = false;
    while !stop.is_set() {
        let (line, is_started, is_live) = {
            let record = status.read();
            (status_line(status, &record), is_started(&record), status.supervisor.failure().is_none())
        };
        let mut message = Vec::new();
        if is_started && !started {
            started = true;
            message.push(NotifyState::Ready);
        }
        if line != last_line {
            message.push(NotifyState::Status(&line));
        }
        if is_live && watchdog.is_some() {
            message.push(NotifyState::Watchdog);
        }
        if !message.is_empty()
            && let Err(error) = sd_notify::notify(&message)
        {
            log::warn!(target: log_event::SERVICE_MANAGER_UNREACHABLE, "cannot reach the service manager: {error}");
        }
        last_line = line;
        status.wait(pause, |record| {
            stop.is_set() || status_line(status, record) != last_line || (!started && self::is_started(record))
        });
    }
}

/// Tells the service manager that the agent ends.
pub(crate) fn stopping() {
    // A failure has no consequence any more.
    drop(sd_notify::notify(&[NotifyState::Stopping]));
}

/// Whether the kernel has what must be in force, or there is nothing to enforce.
fn is_started(record: &StatusRecord) -> bool {
    let has_nothing =
        matches!(record.store, StoreState::Waiting | StoreState::Missing) && !record.store_reason.is_empty();
    record.is_in_kernel() || has_nothing || record.has_no_copy
}

/// The line that `systemctl status` shows.
fn status_line(status: &StatusCell, record: &StatusRecord) -> String {
    probes::readiness(status, record).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_complete_when_policy_is_in_force_or_there_is_none() {
        let mut record = StatusRecord::default();
        assert!(!is_started(&record), "nothing is known yet");
        record.set_store(StoreState::Waiting, "t".to_owned(), "no route to host".to_owned());
        assert!(is_started(&record), "neither the store nor a copy can be read");
        record.set_store(StoreState::Missing, "t".to_owned(), "no file".to_owned());
        assert!(is_started(&record), "there is no store yet");
        record.set_store(StoreState::Stale, "t".to_owned(), "no route to host".to_owned());
        assert!(!is_started(&record), "the copy is not in the kernel yet");
        record.programmed = true;
        assert!(is_started(&record));
        record.failing = Some("no room".to_owned());
        assert!(!is_started(&record), "the kernel refuses it");
        let mut record = StatusRecord { unaccepted_name: Some("web2".to_owned()), ..StatusRecord::default() };
        record.set_store(StoreState::NotAsked, "t".to_owned(), "another name".to_owned());
        assert!(!is_started(&record), "the copy is not in the kernel yet");
        record.programmed = true;
        assert!(is_started(&record), "a service that is never started would be ended");
        (record.programmed, record.has_no_copy) = (false, true);
        assert!(is_started(&record), "there is no copy");
    }
}
