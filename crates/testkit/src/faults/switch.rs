//! Asks whether a deliberate mistake is switched on; never, outside of tests.
//!
//! A module of each crate that has faults (`#[path]` in its `lib.rs`), since the features that count are that crate's.

#[cfg(feature = "faults")]
pub(crate) fn is_on(name: &str) -> bool {
    tortie_testkit::faults::is_on(name)
}

#[cfg(not(feature = "faults"))]
pub(crate) fn is_on(_name: &str) -> bool {
    false
}
