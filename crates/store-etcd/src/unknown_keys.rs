//! Keys of the layout that name nothing we know: collected, so that they can be reported.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// How many are kept; more than that is no longer read one by one by anybody.
const MAX_KEPT: usize = 1_000;

/// The keys that were found and name no kind that this release knows.
#[derive(Default)]
pub(crate) struct UnknownKeys {
    paths: Mutex<BTreeSet<String>>,
}

impl UnknownKeys {
    /// One was found.
    pub(crate) fn add(&self, path: &[u8]) {
        let mut known = self.lock();
        if known.len() < MAX_KEPT {
            known.insert(shown(path));
        }
    }

    /// These, and no others, were found under a prefix.
    pub(crate) fn replace(&self, prefix: &[u8], paths: &[Bytes]) {
        let prefix = shown(prefix);
        self.lock().retain(|path| !path.starts_with(&prefix));
        paths.iter().for_each(|path| self.add(path));
    }

    /// One was deleted.
    pub(crate) fn remove(&self, path: &[u8]) {
        self.lock().remove(&shown(path));
    }

    /// All of them, each as a line.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lock().iter().map(|path| format!("{path:?} is the key of no kind that this release knows")).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
