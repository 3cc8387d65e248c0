//! A bell that rings once: the agent ends.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Whether the agent ends.
#[derive(Default)]
pub(crate) struct Stop {
    set: Mutex<bool>,
    rung: Condvar,
}

impl Stop {
    /// Rings.
    pub(crate) fn set(&self) {
        *self.set.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.rung.notify_all();
    }

    /// Whether it has rung.
    pub(crate) fn is_set(&self) -> bool {
        *self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it rings, for at most this long.
    pub(crate) fn wait(&self, most: Duration) {
        let set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.rung.wait_timeout_while(set, most, |set| !*set));
    }
}
