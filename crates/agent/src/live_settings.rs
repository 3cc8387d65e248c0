//! Applies the agent's own settings ([`AgentSettings`]) while it runs: the servers of probes and metrics, the log level, the mark
//! bits, the network. Settings that verdicts depend on are not here: `policy::Settings`, in the deltas of `calc`.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tortie_store::Store;

use crate::config::{AgentSettings, Served};
use crate::dataplane_thread::{SharedDataplane, lock};
use crate::http::{Answer, Server};
use crate::log_event;
use crate::network::NetworkQueue;
use crate::status_cell::StatusCell;
use crate::{metrics, probes};

/// The servers that run, and the settings that were applied last.
pub(crate) struct LiveSettings {
    node: String,
    status: Arc<StatusCell>,
    dataplane: SharedDataplane,
    network_queue: Arc<NetworkQueue>,
    store: Arc<dyn Store>,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    health: Slot,
    metrics: Slot,
    mask: u32,
}

/// A server, and the address that the settings ask for.
#[derive(Default)]
struct Slot {
    place: Option<Served>,
    server: Option<Server>,
    reports: Reports,
}

/// What a server reports to the status. It may still report when another one, or none, has taken its place: that is ignored.
#[derive(Clone, Default)]
struct Reports(Arc<Mutex<bool>>);

impl Reports {
    /// Reports of a server that starts.
    fn open() -> Self {
        Self(Arc::new(Mutex::new(true)))
    }

    /// From now on nothing is reported.
    fn close(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }

    /// Reports, unless another server took the place. No other one does so meanwhile.
    fn send(&self, report: impl FnOnce()) {
        let is_open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *is_open {
            report();
        }
    }
}

impl LiveSettings {
    /// Begins without servers; the dataplane was opened with these mark bits.
    pub(crate) fn new(
        node: &str,
        mask: u32,
        status: Arc<StatusCell>,
        dataplane: SharedDataplane,
        network_queue: Arc<NetworkQueue>,
        store: Arc<dyn Store>,
    ) -> Self {
        let running = Mutex::new(Running { mask, ..Running::default() });
        Self { node: node.to_owned(), status, dataplane, network_queue, store, running }
    }

    /// Applies the settings that differ from those applied last.
    pub(crate) fn apply(&self, settings: &AgentSettings) {
        log::set_max_level(settings.log);
        self.network_queue.configure(settings.network.clone());
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let status = self.status.clone();
        self.fill(&mut running.health, &settings.health, "health", move |path| probes::answer(path, &status));
        let (status, dataplane, node) = (self.status.clone(), self.dataplane.clone(), self.node.clone());
        let store = self.store.clone();
        let scrape = move |path: &str| metrics::answer(path, &node, &status, &dataplane, &store.left_out());
        self.fill(&mut running.metrics, &settings.metrics, "metrics", scrape);
        if running.mask != settings.mark_mask {
            let result = lock(&self.dataplane).set_mark_mask(settings.mark_mask);
            if result.is_ok() {
                running.mask = settings.mark_mask;
                log::info!(target: log_event::MARK_MASK_CHANGED, "packet marks: the bits of {:#010x}", running.mask);
            }
            report(&self.status, "mark mask", result);
        }
    }

    fn fill(
        &self,
        slot: &mut Slot,
        place: &Option<Served>,
        name: &'static str,
        answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
    ) {
        if slot.place == *place {
            return;
        }
        // What is to be encrypted is never served as before until that can be done.
        let is_as_open = slot.place.as_ref().map(|one| &one.tls) == place.as_ref().map(|one| &one.tls);
        let before = slot.server.take().filter(|_| is_as_open);
        slot.place.clone_from(place);
        slot.reports.close();
        let Some(place) = place.clone() else {
            return report(&self.status, name, Ok(()));
        };
        slot.reports = Reports::open();
        let (status, reports, at) =
            (self.status.clone(), slot.reports.clone(), format!("{}:{}", place.host, place.port));
        let on_result = move |result: io::Result<()>| {
            reports.send(|| {
                if result.is_ok() {
                    log::info!(target: log_event::SERVICE_LISTENING, "{name} on {at}");
                }
                report(
                    &status,
                    name,
                    result.map_err(|error| format!("cannot serve on {at} as it is set, trying again: {error}")),
                );
            });
        };
        match Server::start(place, before, answer, on_result, name) {
            Ok(server) => slot.server = Some(server),
            Err(error) => report(&self.status, name, Err(format!("cannot start a server: {error}"))),
        }
    }
}

/// Records a setting that could not be applied, and logs a new problem.
fn report(status: &StatusCell, what: &'static str, result: Result<(), String>) {
    if let Some(reason) = status.set_problem(what, result.err().as_deref()) {
        log::error!(target: log_event::SERVICE_FAILED, "{what}: {reason}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_was_replaced_reports_nothing_more() {
        let status = StatusCell::default();
        let problem = || status.read().problems.get("metrics").cloned();
        let first = Reports::open();
        let late = first.clone();
        late.send(|| report(&status, "metrics", Err("cannot serve".to_owned())));
        assert_eq!(problem().as_deref(), Some("cannot serve"));
        first.close();
        report(&status, "metrics", Ok(()));
        late.send(|| report(&status, "metrics", Err("cannot serve".to_owned())));
        assert_eq!(problem(), None);
    }
}
