//! How many selectors were evaluated, for tests that state the cost of something.

use std::cell::Cell;

thread_local! {
    static EVALUATED: Cell<u64> = const { Cell::new(0) };
}

pub(crate) fn count() {
    EVALUATED.set(EVALUATED.get() + 1);
}

/// How many selectors this thread has evaluated.
pub fn evaluated() -> u64 {
    EVALUATED.get()
}
