//! A network namespace of a test's own. It goes with the thread that made it, also when the test fails.

#![allow(unsafe_code)] // unshare

use std::process::Command;

/// Runs `test` in a network namespace of its own, in which only `lo` is up.
pub fn in_namespace<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    let result = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: only this thread is moved, and it holds nothing of the old namespace.
            let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
            assert_eq!(result, 0, "these tests need root, or a user namespace: unshare -rn cargo test");
            run("ip", &["link", "set", "lo", "up"]);
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
