//! Objects that cannot be read: what is said of them, and where their last good form is kept.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use tortie_api::Key;
use tortie_store::{Revision, Stored};

/// What could not be read of an object, for status, log and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Each field with its reason, or why the whole cannot be read.
    pub reasons: Vec<String>,
    /// What is in force instead.
    pub in_force: InForce,
}

/// What stands for an object that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InForce {
    /// Its form at this revision.
    LastGood(Revision),
    /// What could be read, closed part by part.
    Closed,
    /// Nothing: it applies nowhere, and what it governs stays closed.
    Nothing,
}

/// Keeps the last good form of objects, over restarts where it can.
pub trait LastGood {
    /// This form is good.
    fn keep(&self, stored: &Stored);

    /// The last good form of an object whose present one is not.
    fn find(&self, present: &Stored) -> Option<(Revision, Arc<[u8]>)>;

    /// The object is gone.
    fn forget(&self, key: &Key);
}

/// Keeps nothing.
pub struct Nowhere;

impl LastGood for Nowhere {
    fn keep(&self, _: &Stored) {}

    fn find(&self, _: &Stored) -> Option<(Revision, Arc<[u8]>)> {
        None
    }

    fn forget(&self, _: &Key) {}
}

/// Keeps them in memory, for as long as the process runs.
impl LastGood for RefCell<BTreeMap<Key, (Revision, Arc<[u8]>)>> {
    fn keep(&self, stored: &Stored) {
        self.borrow_mut().insert(stored.key.clone(), (stored.revision, stored.value.clone()));
    }

    fn find(&self, present: &Stored) -> Option<(Revision, Arc<[u8]>)> {
        self.borrow().get(&present.key).cloned()
    }

    fn forget(&self, key: &Key) {
        self.borrow_mut().remove(key);
    }
}
