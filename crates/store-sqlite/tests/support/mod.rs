//! What the tests of several processes share: this test program started again in another role, and lines
//! between the two.
//!
//! A test file has a test named `child` that calls [`as_child`] and does nothing when it is run as a test.

#![allow(dead_code, reason = "each test file uses its part")]

use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tortie_api::{Key, Kind};
use tortie_random::Random;
use tortie_store::{Event, Position, Watch};

/// How long anything that has to come is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

const ROLE: &str = "TORTIE_TEST_ROLE";
const STORE: &str = "TORTIE_TEST_STORE";

/// Marks the lines that are ours among those of the test harness.
const MARK: &str = "@ ";

/// Another process on the same file.
pub(crate) struct Peer {
    process: Child,
    lines: Box<dyn Iterator<Item = String> + Send>,
}

impl Peer {
    /// Starts this program again; its test `child` will find the role and the path.
    pub(crate) fn start(role: &str, store: &Path) -> Self {
        let program = std::env::current_exe().unwrap();
        Self::start_as(&mut Command::new(program), role, store)
    }

    /// As [`start`](Self::start), with a command that names the program and may say more about it.
    pub(crate) fn start_as(command: &mut Command, role: &str, store: &Path) -> Self {
        let mut process = command
            .args(["child", "--exact", "--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .env(STORE, store)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap())
            .lines()
            // A killed process may leave half a line, which says nothing.
            .map_while(Result::ok)
            .filter_map(|line| Some(line.strip_prefix(MARK)?.strip_suffix(" .")?.to_owned()));
        Self { process, lines: Box::new(lines) }
    }

    /// The next thing it says; none when it has ended.
    pub(crate) fn line(&mut self) -> Option<String> {
        self.lines.next()
    }

    /// Tells it to go on.
    pub(crate) fn go(&mut self) {
        let stdin = self.process.stdin.as_mut().unwrap();
        stdin.write_all(b"go\n").unwrap();
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Waits for its end, which must be a good one.
    pub(crate) fn end(mut self) {
        drop(self.process.stdin.take());
        while self.line().is_some() {}
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs as another process if this is one.
pub(crate) fn as_child(run: impl FnOnce(&str, PathBuf)) {
    if let (Ok(role), Some(store)) = (std::env::var(ROLE), std::env::var_os(STORE)) {
        // The harness has begun a line.
        let _ = std::io::stdout().write_all(b"\n");
        run(&role, store.into());
    }
}

/// Says something to the process that started this one.
pub(crate) fn say(text: impl std::fmt::Display) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{MARK}{text} .").and_then(|()| stdout.flush());
}

/// Waits for [`Peer::go`]; false when the other process is gone.
pub(crate) fn wait_for_go() -> bool {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap_or(0) > 0
}

pub(crate) fn key(name: impl Into<String>) -> Key {
    Key::cluster(Kind::Tier, name)
}

/// The next event, which must come.
pub(crate) fn next(watch: &mut dyn Watch) -> Event {
    watch.next(PATIENCE).unwrap().expect("an event comes")
}

/// The events up to this revision.
pub(crate) fn until(watch: &mut dyn Watch, position: &Position) -> Vec<Event> {
    let mut events = vec![next(watch)];
    while !watch.position().has_reached(position) {
        events.push(next(watch));
    }
    events
}

/// A small generator of numbers, so that a failing run can be repeated from its seed.
pub(crate) struct Dice(Random);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Random::new(seed))
    }

    /// The same in every run, but for a seed given on purpose.
    pub(crate) fn seeded() -> Self {
        Self::new(std::env::var("TORTIE_SEED").map_or(1, |seed| seed.parse().unwrap()))
    }

    /// A number below the bound.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0.number() % bound
    }
}
