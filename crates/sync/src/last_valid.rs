//! The store of the last valid versions of objects.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use tortie_api::Key;
use tortie_store::{Revision, Stored};

/// A version of an object: its revision and its bytes.
pub type Version = (Revision, Arc<[u8]>);

/// Keeps the last valid version of each object, over restarts where it can.
pub trait LastValid {
    /// This version is valid.
    fn keep(&self, stored: &Stored);

    /// The last valid version of an object whose present one is not.
    fn find(&self, present: &Stored) -> Option<Version>;

    /// The object was deleted.
    fn forget(&self, key: &Key);
}

/// Stores no versions.
pub struct NoCache;

impl LastValid for NoCache {
    fn keep(&self, _: &Stored) {}

    fn find(&self, _: &Stored) -> Option<Version> {
        None
    }

    fn forget(&self, _: &Key) {}
}

/// Keeps them in memory, for as long as the process runs.
impl LastValid for RefCell<BTreeMap<Key, Version>> {
    fn keep(&self, stored: &Stored) {
        self.borrow_mut().insert(stored.key.clone(), (stored.revision.clone(), (&stored.value).into()));
    }

    fn find(&self, present: &Stored) -> Option<Version> {
        self.borrow().get(&present.key).cloned()
    }

    fn forget(&self, key: &Key) {
        self.borrow_mut().remove(key);
    }
}

/// Versions that were stored elsewhere.
impl LastValid for BTreeMap<Key, Version> {
    fn keep(&self, _: &Stored) {}

    fn find(&self, present: &Stored) -> Option<Version> {
        self.get(&present.key).cloned()
    }

    fn forget(&self, _: &Key) {}
}
