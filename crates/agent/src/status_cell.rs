//! The shared record that the threads of the agent publish to, and that probes, metrics and commands read: generations, the state
//! of store and dataplane, problems. It is small, so that its lock is never held for long.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tortie_api::{Key, Kind};
use tortie_policy::packet::Link;
use tortie_policy::{EndpointId, Interface, WorkloadEndpoint};
use tortie_sync::Unreadable;

use crate::config::Local;
use crate::lag::Lag;
use crate::links;
use crate::metrics::Measures;
use crate::off::Off;
use crate::status::{Mark, SettingNote, StoreState, StoreStatus};
use crate::supervisor::Supervisor;

/// The current status: threads update it, read it, or wait until it changes.
#[derive(Default)]
pub(crate) struct StatusCell {
    record: Mutex<StatusRecord>,
    changed: Condvar,
    /// How the threads are.
    pub(crate) supervisor: Arc<Supervisor>,
    /// What is measured while the agent runs.
    pub(crate) measures: Measures,
}

/// The status at one moment.
#[derive(Default)]
pub(crate) struct StatusRecord {
    /// How often anything of this was changed.
    pub(crate) changes: u64,
    /// What this machine is called, where that is not the node that is enforced.
    pub(crate) called: Option<String>,
    /// Enforcement is switched off.
    pub(crate) off: Option<Off>,
    pub(crate) store_name: String,
    pub(crate) store: StoreState,
    /// Since when the store is so, as UTC.
    pub(crate) store_since: String,
    pub(crate) store_reason: String,
    /// Neither the store nor a copy of it could be read, so there is nothing to enforce.
    pub(crate) has_no_copy: bool,
    /// How often everything was read anew.
    pub(crate) resyncs: u64,
    /// How far the agent is behind the store.
    pub(crate) lag: Lag,
    pub(crate) wanted: Mark,
    pub(crate) in_kernel: Mark,
    /// Whether anything of ours was put into the kernel yet.
    pub(crate) programmed: bool,
    /// What was found in the kernel at the start, in words.
    pub(crate) adopted: String,
    /// What the network of workloads follows.
    pub(crate) network_at: Mark,
    /// What could not be done to it.
    pub(crate) network: Vec<String>,
    /// Settings of the host that were changed for it.
    pub(crate) host_settings: Vec<String>,
    pub(crate) failing: Option<String>,
    pub(crate) failures: u64,
    pub(crate) repairs: u64,
    /// How many changes were applied.
    pub(crate) applied: u64,
    /// The objects that cannot be read.
    pub(crate) unreadable: BTreeMap<Key, Unreadable>,
    pub(crate) settings: Vec<SettingNote>,
    /// The settings of FelixConfigurations, also of other nodes, that cannot be used, with the reasons.
    pub(crate) unreadable_settings: BTreeMap<Key, Vec<String>>,
    pub(crate) problems: BTreeMap<&'static str, String>,
    /// What is most likely not meant, and keeps nothing from being in force.
    pub(crate) notes: BTreeMap<&'static str, String>,
    /// The interfaces, by name.
    pub(crate) links: BTreeMap<String, Link>,
    /// What this machine says of the settings.
    pub(crate) local: Local,
    /// The interfaces that can carry packets.
    pub(crate) up: BTreeSet<String>,
    /// The endpoints of this node that the store has, with the interfaces that they ask for.
    pub(crate) locals: BTreeMap<EndpointId, Placement>,
    /// Whether what waits for a confirmation in the store was read, and can be put back.
    pub(crate) puts_back: bool,
    /// When a command asked which store is obeyed: it may write what waits for a confirmation.
    pub(crate) store_asked: Option<Instant>,
    /// How many objects of each kind the store has.
    pub(crate) counts: BTreeMap<Kind, usize>,
}

/// Which interface an endpoint asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Placement {
    /// A host endpoint.
    Host(Interface),
    /// A workload's interface.
    Workload {
        /// Its name.
        interface: String,
        /// Whether the endpoint has `allowSpoofedSourcePrefixes`.
        spoofs: bool,
    },
}

impl Placement {
    /// The placement of a workload endpoint.
    pub(crate) fn workload(endpoint: &WorkloadEndpoint) -> Self {
        Self::Workload { interface: endpoint.interface.clone(), spoofs: !endpoint.spoofing.is_empty() }
    }
}

impl StatusCell {
    /// The current status, for as long as the guard lives.
    pub(crate) fn read(&self) -> MutexGuard<'_, StatusRecord> {
        // Every change is made in one step, so what a panic left is whole.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the status, and wakes those who wait.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut StatusRecord) -> T) -> T {
        let result = {
            let mut record = self.read();
            let result = change(&mut record);
            record.changes += 1;
            let StatusRecord { lag, wanted, in_kernel, .. } = &mut *record;
            lag.note(wanted, in_kernel);
            result
        };
        self.changed.notify_all();
        result
    }

    /// Notes a problem, or with none that it is over. Returns the problem if it was not noted before.
    pub(crate) fn set_problem<'a>(&self, what: &'static str, problem: Option<&'a str>) -> Option<&'a str> {
        if self.read().problems.get(what).map(String::as_str) == problem {
            return None;
        }
        self.update(|record| match problem {
            Some(problem) => drop(record.problems.insert(what, problem.to_owned())),
            None => drop(record.problems.remove(what)),
        });
        problem
    }

    /// Nothing that was received up to this mark changes the kernel: it counts as in the kernel, unless something before it is not
    /// there yet. Returns whether it counts.
    pub(crate) fn mark_unchanged(&self, mark: &Mark) -> bool {
        self.update(|record| {
            let counts = record.is_in_kernel() && record.network_at == record.in_kernel;
            if counts {
                (record.in_kernel, record.network_at) = (mark.clone(), mark.clone());
            }
            counts
        })
    }

    /// Waits until the status fits, for at most this long. Returns whether it does.
    pub(crate) fn wait(&self, most: Duration, fits: impl Fn(&StatusRecord) -> bool) -> bool {
        let record = self.read();
        let (record, _) = self
            .changed
            .wait_timeout_while(record, most, |record| !fits(record))
            .unwrap_or_else(PoisonError::into_inner);
        fits(&record)
    }
}

impl StatusRecord {
    /// Whether the kernel has what the store held when it was last read, for the interfaces that exist, and for the node
    /// that this machine is.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_in_kernel() && self.called.is_none()
    }

    /// Whether the kernel has what is to be in force.
    pub(crate) fn is_in_kernel(&self) -> bool {
        self.programmed && self.failing.is_none() && !self.problems.contains_key(links::PROBLEM)
    }

    /// How it stands with the store.
    pub(crate) fn store_status(&self) -> StoreStatus {
        StoreStatus {
            name: self.store_name.clone(),
            state: self.store,
            since: self.store_since.clone(),
            reason: self.store_reason.clone(),
            puts_back: self.puts_back,
        }
    }

    /// Notes how it stands with the store; the time only when that is new.
    pub(crate) fn set_store(&mut self, state: StoreState, since: String, reason: String) {
        if self.store != state {
            self.store_since = since;
        }
        self.store = state;
        self.store_reason = reason;
    }
}
