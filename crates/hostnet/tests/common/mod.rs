//! What the tests share: a network namespace of a test's own.
//!
//! A namespace belongs to the thread that made it and goes with it, also when the test fails.

#![allow(unsafe_code)] // unshare
#![allow(dead_code)] // each test file uses its part
#![allow(clippy::unwrap_used, unreachable_pub)]

use std::process::Command;
use std::time::{Duration, Instant};

use tortie_hostnet::Network;

/// How long a condition may take to come true.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// Runs `test` in a network namespace of its own, in which only `lo` is up.
pub fn in_namespace<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    let result = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: only this thread is moved, and it holds nothing of the old namespace.
            let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
            assert_eq!(result, 0, "these tests need root, or a user namespace: unshare -rn cargo test");
            ip("link set lo up");
            test()
        });
        thread.join()
    });
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Runs a program to its end and returns what it printed.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs `ip`.
pub fn ip(arguments: &str) -> String {
    run("ip", &arguments.split_whitespace().collect::<Vec<_>>())
}

/// The time by which a condition must have come true.
pub fn soon() -> Instant {
    Instant::now() + DEADLINE
}

/// Lets the network work until `done`, or fails.
pub fn until(network: &mut Network, mut done: impl FnMut(&Network) -> bool) {
    let deadline = soon();
    loop {
        let worked = network.work().unwrap();
        if done(network) {
            return;
        }
        let troubles: Vec<_> = network.model().troubles().map(|(step, why)| format!("{step}: {why}")).collect();
        assert!(Instant::now() < deadline, "waited too long; troubles: {troubles:?}\n{}", ip("route"));
        network.wait(Some(worked.again.unwrap_or(deadline).min(deadline))).unwrap();
    }
}
