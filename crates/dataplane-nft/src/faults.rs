//! Asks whether a deliberate mistake is switched on; never, outside of tests.

#[cfg(feature = "faults")]
pub(crate) fn is_on(name: &str) -> bool {
    tortie_testkit::faults::is_on(name)
}

#[cfg(not(feature = "faults"))]
pub(crate) fn is_on(_name: &str) -> bool {
    false
}
