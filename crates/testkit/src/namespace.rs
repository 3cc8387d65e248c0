//! A network namespace of a test's own, and programs that are run in it. It goes with the thread that made it, also when
//! the test fails.

#![allow(unsafe_code)] // unshare

use std::io::Write as _;
use std::process::{Command, Stdio};

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

/// Runs a program to its end and returns what it printed. It must succeed.
pub fn run(program: &str, arguments: &[&str]) -> String {
    run_with_input(program, arguments, "")
}

/// Runs a program to its end with something to read. It must succeed.
pub fn run_with_input(program: &str, arguments: &[&str], input: &str) -> String {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
    let mut stdin = child.stdin.take().expect("the program's input is a pipe");
    if !input.is_empty() {
        stdin.write_all(input.as_bytes()).unwrap_or_else(|error| panic!("{program} reads nothing: {error}"));
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {stderr}\n{input}");
    String::from_utf8(output.stdout).unwrap_or_else(|error| panic!("{program} prints {error}"))
}
