//! Time limits of tests, longer on a slow or busy machine.

use std::time::Duration;

/// By how much limits are longer: TORTIE_TEST_TIME_FACTOR (1 unless set), times the programs that wait for each processor. A connection
/// that nothing keeps from being made takes the longer, the more others run.
pub fn time_factor() -> f64 {
    let factor = std::env::var("TORTIE_TEST_TIME_FACTOR").ok().and_then(|factor| factor.parse().ok()).unwrap_or(1.0);
    f64::max(factor, 1.0) * load().clamp(1.0, 4.0)
}

/// A limit after which a test gives up, as long as this machine needs.
pub fn limit(limit: Duration) -> Duration {
    limit.mul_f64(time_factor())
}

/// How many programs run, or wait for a processor, for each processor.
fn load() -> f64 {
    let load = std::fs::read_to_string("/proc/loadavg").ok();
    let load = load.and_then(|text| text.split(' ').next()?.parse::<f64>().ok()).unwrap_or(1.0);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    load / processors as f64
}
