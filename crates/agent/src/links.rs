//! The thread of the interfaces: it reports every interface first, then changes. A watcher that fails is replaced by a new one,
//! and the agent is not ready until then. What changed in between is reported like any other change.
//!
//! The cost of an event depends on what it changes, not on the number of interfaces.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use tortie_api::error_with_causes;
use tortie_hostnet::links::{Change, Interfaces, Watcher};
use tortie_store::Backoff;

use crate::log_event;
use crate::status_cell::StatusCell;
use crate::supervisor;

/// The name of the problem in the status.
pub(crate) const PROBLEM: &str = "interfaces";

/// An interface as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InterfaceState {
    pub(crate) addresses: Vec<IpAddr>,
    /// Whether it can carry packets.
    pub(crate) running: bool,
}

/// The new state of some interfaces, by name; none if an interface does not exist any more.
pub(crate) type Changes = Vec<(String, Option<InterfaceState>)>;

/// What was reported of interfaces, by name. If two have one name, the newest counts.
#[derive(Default)]
struct Names {
    indexes: BTreeMap<String, BTreeSet<u32>>,
    reported: BTreeMap<String, InterfaceState>,
}

impl Names {
    /// What must be reported after these changes, which led to `interfaces`.
    fn changes(&mut self, changes: &[Change], interfaces: &Interfaces) -> Changes {
        let mut touched = BTreeSet::new();
        for change in changes {
            if let Some(was) = &change.was {
                if let Some(all) = self.indexes.get_mut(&was.name) {
                    all.remove(&was.index);
                    if all.is_empty() {
                        self.indexes.remove(&was.name);
                    }
                }
                touched.insert(was.name.as_str());
            }
            if let Some(is) = &change.is {
                self.indexes.entry(is.name.clone()).or_default().insert(is.index);
                touched.insert(is.name.as_str());
            }
        }
        touched.into_iter().filter_map(|name| self.report(name, interfaces)).collect()
    }

    /// What must be reported if these are the interfaces, whatever was reported before.
    fn all(&mut self, interfaces: &Interfaces) -> Changes {
        self.indexes.clear();
        for one in interfaces.values() {
            self.indexes.entry(one.name.clone()).or_default().insert(one.index);
        }
        let names: BTreeSet<String> = self.indexes.keys().chain(self.reported.keys()).cloned().collect();
        names.iter().filter_map(|name| self.report(name, interfaces)).collect()
    }

    fn report(&mut self, name: &str, interfaces: &Interfaces) -> Option<(String, Option<InterfaceState>)> {
        let newest = self.indexes.get(name).and_then(BTreeSet::last).and_then(|index| interfaces.get(index));
        let now = newest.map(|one| InterfaceState { addresses: one.addresses.clone(), running: one.running });
        if self.reported.get(name) == now.as_ref() {
            return None;
        }
        match now.clone() {
            Some(now) => drop(self.reported.insert(name.to_owned(), now)),
            None => drop(self.reported.remove(name)),
        }
        Some((name.to_owned(), now))
    }
}

/// Watches the interfaces of this network namespace until nobody listens.
pub(crate) fn run(mut watcher: Watcher, status: &StatusCell, report: impl Fn(Changes) -> bool) {
    let mut names = Names::default();
    let mut backoff = Backoff::default();
    // Even if there are none: they are known then.
    let working = supervisor::working();
    if !report(names.all(watcher.interfaces())) {
        return;
    }
    drop(working);
    loop {
        let changed = match watcher.wait(None) {
            Ok(changed) => {
                backoff = Backoff::default();
                Some(changed)
            }
            Err(error) => {
                watcher = again(error_with_causes(&error), status, &mut backoff);
                None
            }
        };
        let _working = supervisor::working();
        let changes = match changed {
            Some(changed) => names.changes(&changed, watcher.interfaces()),
            None => names.all(watcher.interfaces()),
        };
        if !changes.is_empty() && !report(changes) {
            return;
        }
    }
}

/// Replaces a watcher that failed.
fn again(mut reason: String, status: &StatusCell, backoff: &mut Backoff) -> Watcher {
    loop {
        log::error!(target: log_event::INTERFACES_LOST, "the interfaces cannot be watched, trying again: {reason}");
        status.update(|record| drop(record.problems.insert(PROBLEM, reason)));
        std::thread::sleep(backoff.pause());
        match Watcher::open() {
            Ok(watcher) => {
                log::info!(target: log_event::INTERFACES_WATCHED, "the interfaces are watched again");
                status.update(|record| drop(record.problems.remove(PROBLEM)));
                return watcher;
            }
            Err(error) => reason = error_with_causes(&error),
        }
    }
}

#[cfg(test)]
mod tests;
