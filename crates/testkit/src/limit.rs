//! Time limits of tests, longer on a slow machine.

use std::time::Duration;

/// By how much limits are longer: TORTIE_TEST_TIME_FACTOR, 1 unless set.
pub fn time_factor() -> u32 {
    std::env::var("TORTIE_TEST_TIME_FACTOR").ok().and_then(|factor| factor.parse().ok()).unwrap_or(1)
}

/// A limit after which a test gives up, as long as this machine needs.
pub fn limit(limit: Duration) -> Duration {
    limit * time_factor()
}
