//! A flag that is set once, when the process is to end. Threads wait for it instead of sleeping.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Whether the process ends.
#[derive(Default)]
pub struct StopFlag {
    set: Mutex<bool>,
    changed: Condvar,
}

impl StopFlag {
    /// Sets it, and wakes waiting threads.
    pub fn set(&self) {
        *self.set.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        *self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is set, for at most this long.
    pub fn wait(&self, most: Duration) {
        let set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_timeout_while(set, most, |set| !*set));
    }
}
