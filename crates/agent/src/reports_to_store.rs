//! Reports to a store that keeps such values (etcd) that this agent is alive, and whether its endpoints are up. Other programs read
//! them: Calico's OpenStack driver considers a host dead if its agent does not report.
//!
//! Nothing in tortie reads the reports. A write that fails is tried again, and `status` shows the problem.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tortie_api::names::workload;
use tortie_dataplane::{Place, State};
use tortie_policy::EndpointId;
use tortie_store::{Position, StatusReports, StoreError, status_reports, unread_in_one_line};

use crate::cache::CachedStore;
use crate::config::Reporting;
use crate::dataplane_thread::{SharedDataplane, lock};
use crate::log_event;
use crate::status::StoreState;
use crate::status_cell::{StatusCell, StatusRecord};
use crate::stop_flag::StopFlag;
use crate::supervisor;
use crate::utc;

/// The pause while there are no settings yet, or no store.
const IDLE_PAUSE: Duration = Duration::from_secs(1);
/// After which time a store that has not changed is asked again for entries that this release does not know: it may not have answered.
const LOOK_FOR_UNKNOWN: Duration = Duration::from_secs(10);
/// After this many delays all reports in the store are read again.
const DELAYS_UNTIL_REREAD: u32 = 180;

/// Writes the reports.
pub(crate) struct Reporter {
    node: String,
    status: Arc<StatusCell>,
    dataplane: SharedDataplane,
    store: Arc<CachedStore>,
    settings: Mutex<Option<Reporting>>,
}

impl Reporter {
    /// A reporter that writes nothing before [`Reporter::set_settings`].
    pub(crate) fn new(
        node: &str,
        status: Arc<StatusCell>,
        dataplane: SharedDataplane,
        store: Arc<CachedStore>,
    ) -> Self {
        Self { node: node.to_owned(), status, dataplane, store, settings: Mutex::default() }
    }

    /// Sets the settings that [`Reporter::run`] uses from now on.
    pub(crate) fn set_settings(&self, reporting: &Reporting) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = Some(reporting.clone());
    }

    /// Writes reports until the agent ends.
    pub(crate) fn run(&self, stop: &StopFlag) {
        let mut reported =
            Reported { started: Instant::now(), settings: None, alive: None, looked: None, written: BTreeMap::new() };
        let mut looked_at = None;
        while !stop.is_set() {
            let settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone();
            stop.wait(settings.as_ref().and_then(|settings| settings.endpoints).unwrap_or(IDLE_PAUSE));
            let Some(settings) = settings else { continue };
            let _working = supervisor::working();
            let (in_sync, position) = {
                let record = self.status.read();
                (record.store == StoreState::InSync, record.wanted.position.clone())
            };
            let Some(store) = self.store.opened().filter(|_| in_sync) else { continue };
            let is_known = |(at, when): &(Position, Instant)| *at == position && when.elapsed() < LOOK_FOR_UNKNOWN;
            if !looked_at.as_ref().is_some_and(is_known) {
                self.note_unknown(&store.unread());
                looked_at = Some((position, Instant::now()));
            }
            let Some(reports) = store.status_reports() else { continue };
            let result = self.write(reports, &settings, &mut reported);
            self.problem("status in the store", result.err().map(|error| error.to_string()));
        }
    }

    /// Records the entries of the store that this release does not know.
    fn note_unknown(&self, unknown: &[String]) {
        if self.status.read().unknown_objects != unknown.len() {
            self.status.update(|record| record.unknown_objects = unknown.len());
        }
        let reason = unread_in_one_line(unknown);
        if let Some(reason) = self.status.set_problem("unknown objects", reason.as_deref()) {
            log::warn!(target: log_event::OBJECT_UNREADABLE, "unknown objects: {reason}");
        }
    }

    /// Records a problem, or that there is none, and logs a new one.
    fn problem(&self, what: &'static str, reason: Option<String>) {
        if let Some(reason) = self.status.set_problem(what, reason.as_deref()) {
            log::warn!(target: log_event::REPORT_FAILED, "{what}: {reason}");
        }
    }

    fn write(
        &self,
        store: &dyn StatusReports,
        settings: &Reporting,
        reported: &mut Reported,
    ) -> Result<(), StoreError> {
        if reported.settings.as_ref() != Some(settings) {
            reported.looked = None;
            reported.settings = Some(settings.clone());
        }
        let region = status_reports::region(&settings.region);
        if let Some((interval, time_to_live)) = settings.alive
            && reported.alive.is_none_or(|alive| alive.elapsed() >= interval)
        {
            let value = reported.alive(&utc::now());
            store.put(
                &status_reports::node_status(&region, &self.node, false),
                value.as_bytes(),
                Some(time_to_live),
            )?;
            store.put(&status_reports::node_status(&region, &self.node, true), value.as_bytes(), None)?;
            reported.alive = Some(Instant::now());
        }
        let Some(delay) = settings.endpoints else { return Ok(()) };
        if reported.looked.is_none_or(|looked| looked.elapsed() >= delay * DELAYS_UNTIL_REREAD) {
            reported.written.clear();
            for prefix in
                [status_reports::host_statuses(&self.node), status_reports::workload_statuses(&region, &self.node)]
            {
                reported.written.extend(store.list_values(&prefix)?);
            }
            reported.looked = Some(Instant::now());
        }
        let wanted = {
            let dataplane = lock(&self.dataplane);
            statuses(&self.node, &region, &self.status.read(), dataplane.state())
        };
        for (path, status) in &wanted {
            let value = format!("{{\"status\":\"{status}\"}}").into_bytes();
            if reported.written.get(path) != Some(&value) {
                store.put(path, &value, None)?;
                reported.written.insert(path.clone(), value);
            }
        }
        for path in reported.written.keys().filter(|path| !wanted.contains_key(*path)).cloned().collect::<Vec<_>>() {
            store.remove(&path)?;
            reported.written.remove(&path);
        }
        Ok(())
    }
}

/// The reports that were written.
struct Reported {
    started: Instant,
    settings: Option<Reporting>,
    /// When the agent was last reported as alive.
    alive: Option<Instant>,
    /// When the reports in the store were last read.
    looked: Option<Instant>,
    /// The reports in the store, by path.
    written: BTreeMap<String, Vec<u8>>,
}

impl Reported {
    fn alive(&self, now: &str) -> String {
        let (uptime, first) = (self.started.elapsed().as_secs_f64(), self.alive.is_none());
        format!("{{\"time\":\"{now}\",\"uptime\":{uptime},\"first_update\":{first}}}")
    }
}

/// The status of each endpoint of this node, by its path in the store.
fn statuses(node: &str, region: &str, record: &StatusRecord, state: &State) -> BTreeMap<String, &'static str> {
    let mut places: BTreeMap<&EndpointId, BTreeSet<&Place>> = BTreeMap::new();
    for (place, endpoint) in &state.endpoints {
        places.entry(&endpoint.id).or_default().insert(place);
    }
    let none = BTreeSet::new();
    let one = |id: &EndpointId| {
        let places = places.get(id).unwrap_or(&none);
        match id {
            EndpointId::Host(name) => Some((status_reports::host_status(node, name), host(places, record))),
            EndpointId::Workload(id) => {
                // An endpoint whose name does not have four parts has no path.
                let [_, orchestrator, workload, endpoint] = workload::parts(&id.name)?;
                let workload = format!("{}/{workload}", id.namespace);
                let path = status_reports::workload_status(region, node, &orchestrator, &workload, &endpoint);
                let up = places.iter().any(|place| matches!(place, Place::Workload(name) if is_up(record, name)));
                Some((path, if up { "up" } else { "down" }))
            }
        }
    };
    record.named_interfaces.keys().filter_map(one).collect()
}

/// The status of a host endpoint: up if all its interfaces are, an error if it has none; `*` is not an interface.
fn host(places: &BTreeSet<&Place>, record: &StatusRecord) -> &'static str {
    let there = |name: &String| record.links.contains_key(name);
    let mut found = places.iter().filter_map(|place| match place {
        Place::AnyHost => Some(true),
        Place::Host(name) | Place::Workload(name) => there(name).then(|| is_up(record, name)),
    });
    match found.next() {
        None => "error",
        Some(first) if first && found.all(|up| up) => "up",
        Some(_) => "down",
    }
}

fn is_up(record: &StatusRecord, interface: &str) -> bool {
    record.up.contains(interface)
}

#[cfg(test)]
mod tests;
