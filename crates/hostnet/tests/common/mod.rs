//! What the tests share: a network namespace of a test's own.
//!
//! A namespace belongs to the thread that made it and goes with it, also when the test fails.

#![allow(dead_code)] // each test file uses its part
#![allow(clippy::unwrap_used, unreachable_pub)]

use std::time::{Duration, Instant};
use tortie_testkit::limit::limit;

use tortie_hostnet::Network;
pub use tortie_testkit::namespace::{in_namespace, run};

/// How long a condition may take to come true.
pub fn deadline() -> Duration {
    limit(Duration::from_secs(10))
}

/// Runs `ip`.
pub fn ip(arguments: &str) -> String {
    run("ip", &arguments.split_whitespace().collect::<Vec<_>>())
}

/// The time by which a condition must have come true.
pub fn soon() -> Instant {
    Instant::now() + deadline()
}

/// Lets the network work until `done`, or fails.
pub fn until(network: &mut Network, mut done: impl FnMut(&Network) -> bool) {
    let deadline = soon();
    loop {
        let worked = network.work().unwrap();
        if done(network) {
            return;
        }
        let problems: Vec<_> = network.model().open_problems().map(|(step, why)| format!("{step}: {why}")).collect();
        assert!(Instant::now() < deadline, "waited too long; problems: {problems:?}\n{}", ip("route"));
        network.wait(Some(worked.again.unwrap_or(deadline).min(deadline))).unwrap();
    }
}
