//! A process of a test that ends with it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A program with its arguments, and its process while it runs.
#[derive(Default)]
pub(super) struct Process {
    program: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    child: Option<Child>,
}

impl Process {
    /// None.
    pub(super) fn idle() -> Self {
        Self::default()
    }

    /// Starts a program, whose errors go to the log.
    pub(super) fn start(program: &Path, arguments: Vec<String>, log: PathBuf) -> Self {
        let mut process = Self { program: program.to_owned(), arguments, log, child: None };
        process.start_again();
        process
    }

    /// Starts it as it was started.
    pub(super) fn start_again(&mut self) {
        let log = File::options().create(true).append(true).open(&self.log).expect("a log file");
        // Should this thread end without ending it, the kernel does.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(&self.program).args(&self.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().expect("the program runs: scripts/deps installs what it needs"));
    }

    /// Whether it runs.
    pub(super) fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().expect("its state is known").is_none())
    }

    /// Its number, or 0.
    pub(super) fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Ends it at once, and waits for that.
    pub(super) fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, name: &str) {
        let child = self.child.as_ref().expect("it runs");
        let status = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status();
        assert!(status.expect("kill runs").success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}
