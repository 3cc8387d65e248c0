//! The shared record that the threads of the agent publish to, and that probes, metrics and commands read: generations, the state
//! of store and dataplane, problems. It is small, so that its lock is never held for long.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tortie_api::{Key, Kind};
use tortie_policy::packet::Link;
use tortie_policy::{EndpointId, GovernedInterfaces, WorkloadEndpoint};
use tortie_sync::Unreadable;

use crate::config::Local;
use crate::lag::Lag;
use crate::links;
use crate::metrics::Measures;
use crate::off::Off;
use crate::programmed_since::{ProgrammedSince, since_boot};
use crate::status::{Progress, SettingNote, StoreState, StoreStatus, store_identity};
use crate::supervisor::Supervisor;
use crate::utc;

/// The current status: threads update it, read it, or wait until it changes.
#[derive(Default)]
pub(crate) struct StatusCell {
    record: Mutex<StatusRecord>,
    changed: Condvar,
    /// The supervisor of the threads.
    pub(crate) supervisor: Arc<Supervisor>,
    /// Measurements for metrics.
    pub(crate) measures: Measures,
    /// The thread that looks for changes that wait for a confirmation.
    pub(crate) confirmations: OnceLock<Thread>,
}

/// The status at one moment.
#[derive(Default)]
pub(crate) struct StatusRecord {
    /// How often this record was changed.
    pub(crate) changes: u64,
    /// The current name of this machine, if it is not the node that is enforced.
    pub(crate) unaccepted_name: Option<String>,
    /// Since when enforcement is off; none if it is on.
    pub(crate) off: Option<Off>,
    pub(crate) store_name: String,
    /// The API group of the store's objects, once it is known.
    pub(crate) api_group: Option<&'static str>,
    pub(crate) store: StoreState,
    /// Since when the store is in this state, in UTC.
    pub(crate) store_since: String,
    pub(crate) store_reason: String,
    /// When the store last answered.
    pub(crate) answered: Option<Answered>,
    /// Whether neither the store nor a copy of it could be read, so that there is nothing to enforce.
    pub(crate) has_no_copy: bool,
    /// How often the store was listed.
    pub(crate) resyncs: u64,
    /// How far the agent is behind the store.
    pub(crate) lag: Lag,
    pub(crate) wanted: Progress,
    pub(crate) in_kernel: Progress,
    /// Since when which positions are in the kernel.
    pub(crate) programmed_since: ProgrammedSince,
    /// Whether the agent has programmed anything yet.
    pub(crate) programmed: bool,
    /// What the agent found in the kernel when it started, in words.
    pub(crate) adopted: String,
    /// The mark that the network of workloads is at.
    pub(crate) network_at: Progress,
    /// The problems with the network of workloads.
    pub(crate) network: Vec<String>,
    /// Settings of the host that were changed for workloads.
    pub(crate) host_settings: Vec<String>,
    pub(crate) failing: Option<String>,
    pub(crate) failures: u64,
    pub(crate) repairs: u64,
    /// How many changes were applied.
    pub(crate) applied: u64,
    /// The objects that cannot be read.
    pub(crate) unreadable: BTreeMap<Key, Unreadable>,
    /// How many objects the store has of kinds that this release does not know.
    pub(crate) unknown_objects: usize,
    pub(crate) settings: Vec<SettingNote>,
    /// The tiers that enforced policies are in and that do not exist.
    pub(crate) missing_tiers: BTreeSet<String>,
    /// The settings of FelixConfigurations, also of other nodes, that cannot be used, with the reasons.
    pub(crate) unreadable_settings: BTreeMap<Key, Vec<String>>,
    pub(crate) problems: BTreeMap<&'static str, String>,
    /// Remarks on what is most likely not intended; they do not affect what is in force.
    pub(crate) notes: BTreeMap<&'static str, String>,
    /// The interfaces, by name.
    pub(crate) links: BTreeMap<String, Link>,
    /// The settings of this machine.
    pub(crate) local: Local,
    /// The interfaces that can carry packets.
    pub(crate) up: BTreeSet<String>,
    /// The endpoints of this node in the store, with the interfaces that they name.
    pub(crate) named_interfaces: BTreeMap<EndpointId, NamedInterface>,
    /// Whether the changes that wait for a confirmation were read from the store, and can be undone.
    pub(crate) puts_back: bool,
    /// How many changes were put back because nobody confirmed them.
    pub(crate) put_back: u64,
    /// When a command last asked which store the agent follows: it may write a change that waits for a confirmation.
    pub(crate) store_asked: Option<Instant>,
    /// How many objects of each kind the store has.
    pub(crate) counts: BTreeMap<Kind, usize>,
}

/// When the store answered.
#[derive(Clone, Copy)]
pub(crate) struct Answered {
    /// By the clock that nobody sets.
    pub(crate) at: Instant,
    pub(crate) time: Timestamp,
}

impl Answered {
    pub(crate) fn now() -> Self {
        Self { at: Instant::now(), time: Timestamp::now() }
    }
}

/// The interface that an endpoint names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum NamedInterface {
    /// A host endpoint.
    Host(GovernedInterfaces),
    /// A workload endpoint.
    Workload {
        /// Its name.
        interface: String,
        /// Whether the endpoint has `allowSpoofedSourcePrefixes`.
        spoofs: bool,
    },
}

impl NamedInterface {
    /// The placement of a workload endpoint.
    pub(crate) fn workload(endpoint: &WorkloadEndpoint) -> Self {
        Self::Workload { interface: endpoint.interface.clone(), spoofs: !endpoint.spoofing.is_empty() }
    }
}

impl StatusCell {
    /// The current status, for as long as the guard lives.
    pub(crate) fn read(&self) -> MutexGuard<'_, StatusRecord> {
        // Every change is made in one step, so the record is consistent even after a panic.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the status, and wakes waiting threads.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut StatusRecord) -> T) -> T {
        let result = {
            let mut record = self.read();
            let result = change(&mut record);
            record.changes += 1;
            let StatusRecord { lag, wanted, in_kernel, programmed_since, programmed, off, .. } = &mut *record;
            lag.note(wanted, in_kernel);
            programmed_since.note(&in_kernel.position, *programmed, off.is_some(), since_boot);
            result
        };
        self.changed.notify_all();
        result
    }

    /// Records a problem, or its end. Returns the problem if it is new.
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

    /// Records that nothing received up to this mark changes the kernel: the mark counts as programmed, unless an earlier one is
    /// not programmed yet. Returns whether it counts.
    pub(crate) fn mark_unchanged(&self, mark: &Progress) -> bool {
        self.update(|record| {
            let counts = record.is_in_kernel() && record.network_at == record.in_kernel;
            if counts {
                (record.in_kernel, record.network_at) = (mark.clone(), mark.clone());
            }
            counts
        })
    }

    /// Waits until `fits` holds, for at most this long. Returns whether it does.
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
    /// Whether the kernel has the content of the store as it was last read, for the existing interfaces and for the node
    /// with this machine's name.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_in_kernel() && self.unaccepted_name.is_none()
    }

    /// Whether the kernel is at the requested generation.
    pub(crate) fn is_in_kernel(&self) -> bool {
        self.programmed && self.failing.is_none() && !self.problems.contains_key(links::PROBLEM)
    }

    /// What distinguishes the store from others.
    pub(crate) fn store_identity(&self) -> String {
        store_identity(&self.store_name, self.api_group)
    }

    /// The state of the store.
    pub(crate) fn store_status(&self) -> StoreStatus {
        StoreStatus {
            name: self.store_identity(),
            state: self.store,
            since: self.store_since.clone(),
            answered: self.answered.map(|answered| utc::of(answered.time)).unwrap_or_default(),
            reason: self.store_reason.clone(),
            puts_back: self.puts_back,
        }
    }

    /// Records the state of the store; the time only if the state is new.
    pub(crate) fn set_store(&mut self, state: StoreState, since: String, reason: String) {
        if self.store != state {
            self.store_since = since;
        }
        self.store = state;
        self.store_reason = reason;
    }
}
