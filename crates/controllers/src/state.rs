//! What is known of the store, and whether it is everything.

use std::collections::BTreeMap;

use tortie_api::Kind;

use crate::follow::News;
use crate::host_endpoints::{Cluster, KINDS};
use crate::log_event;

/// What is known of the store.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Its content.
    pub(crate) cluster: Cluster,
    /// The kinds that were listed; with a reason while they cannot be followed.
    kinds: BTreeMap<Kind, Result<(), String>>,
    /// The kinds that cannot be listed yet.
    waiting: BTreeMap<Kind, String>,
}

impl State {
    /// Takes news in. Whether something has to be compared anew.
    pub(crate) fn take(&mut self, news: News) -> bool {
        match news {
            News::Listed(kind, all) => {
                self.cluster.list(kind, &all);
                self.reached(kind);
                true
            }
            News::Changed(event) => self.cluster.take(&event),
            News::Reached(kind) => {
                self.reached(kind);
                true
            }
            News::Lost(kind, reason) => {
                self.losing(kind, reason);
                false
            }
            News::Leadership => true,
            News::Stop => false,
        }
    }

    /// Whether everything is known and followed: nothing is written by what is known of a store that cannot be reached.
    pub(crate) fn is_in_sync(&self) -> bool {
        KINDS.iter().all(|kind| matches!(self.kinds.get(kind), Some(Ok(()))))
    }

    /// Why it is not; empty if it is, or at the start.
    pub(crate) fn lost(&self) -> String {
        let lost = self.kinds.values().find_map(|kind| kind.as_ref().err());
        lost.or_else(|| self.waiting.values().next()).cloned().unwrap_or_default()
    }

    fn reached(&mut self, kind: Kind) {
        let was_lost = !self.lost().is_empty();
        self.waiting.remove(&kind);
        self.kinds.insert(kind, Ok(()));
        if was_lost && self.lost().is_empty() {
            log::info!(target: log_event::STORE_REACHED, "the store is followed again");
        }
    }

    fn losing(&mut self, kind: Kind, reason: String) {
        if self.lost().is_empty() {
            log::error!(target: log_event::STORE_LOST, "the store cannot be followed, so nothing is written until it can: {reason}");
        }
        match self.kinds.get_mut(&kind) {
            Some(known) => *known = Err(reason),
            None => drop(self.waiting.insert(kind, reason)),
        }
    }
}
