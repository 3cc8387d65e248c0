//! How soon a watcher hears of another process's commit, and what it costs while nothing happens.
//!
//!     cargo run --release -p tortie-store-sqlite --example wake_latency [DIRECTORY]
//!
//! A second process writes into a store in that directory (the system's temporary one by default) and notes
//! the time at which each write returned, that is when its writer knows that it is committed. The time from
//! there to the watcher's event is the latency; below zero when the watcher knew first. `whole` counts from
//! the call of the write, so it contains the sync and, for large batches, the writing. Processor time is this
//! process's, all threads.

#![allow(clippy::print_stdout, reason = "it prints what it measures")]

use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tortie_api::{Key, Kind};
use tortie_store::{Selection, Store, StoreError, Watch, Write};
use tortie_store_sqlite::SqliteStore;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(first) if first == "--writer" => {
            let path = arguments.next().ok_or("which store?")?;
            write_when_told(&PathBuf::from(path))
        }
        directory => measure(&directory.map_or_else(std::env::temp_dir, PathBuf::from)),
    }
}

fn measure(parent: &Path) -> Result<(), Failure> {
    let directory = tempfile::tempdir_in(parent)?;
    println!("wake latency in ms, from the writer's return to the watcher's event");
    println!(
        "{:>8} {:>6} {:>8} {:>8} {:>8} {:>8} {:>11} {:>8}",
        "objects", "turns", "median", "p99", "max", "write", "whole", "p99"
    );
    for (objects, turns) in [(1, 1000), (100, 200), (5_000, 20)] {
        let path = directory.path().join(format!("{objects}.db"));
        measure_batches(&path, objects, turns)?;
    }
    measure_idle(&directory.path().join("1.db"))
}

fn measure_batches(path: &Path, objects: u64, turns: u64) -> Result<(), Failure> {
    let store = SqliteStore::open(path)?;
    let mut watch = store.watch(&Selection::default(), &0.into())?;
    let mut writer = Writer::start(path)?;
    let (mut after, mut calls, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..turns + 10 {
        let begun = writer.write(objects)?;
        let last = (turn + 1) * objects;
        let heard = until(&mut *watch, last)?;
        let returned = writer.returned()?;
        if turn >= 10 {
            after.push(heard - returned);
            calls.push(returned - begun);
            whole.push(heard - begun);
        }
    }
    let ms = |times: &mut Vec<i64>, share: usize| {
        times.sort_unstable();
        times[(times.len() - 1) * share / 100] as f64 / 1e6
    };
    println!(
        "{objects:>8} {turns:>6} {:>8.3} {:>8.3} {:>8.3} {:>8.3} {:>11.3} {:>8.3}",
        ms(&mut after, 50),
        ms(&mut after, 99),
        ms(&mut after, 100),
        ms(&mut calls, 50),
        ms(&mut whole, 50),
        ms(&mut whole, 99),
    );
    Ok(())
}

fn measure_idle(path: &Path) -> Result<(), Failure> {
    let store = SqliteStore::open(path)?;
    let listing = store.list(&Selection::default())?;
    let mut watch = store.watcher(&Selection::default(), &listing.position)?;
    let wait = Duration::from_secs(10);
    let (before, looks) = (processor_time()?, watch.stats().looks);
    watch.next(wait)?;
    let share = 100.0 * (processor_time()? - before) / wait.as_secs_f64();
    let looks = watch.stats().looks - looks;
    println!("idle for {} s: {share:.4} % of a core, {looks} looks", wait.as_secs());
    Ok(())
}

/// When the event of this revision came.
fn until(watch: &mut dyn Watch, revision: u64) -> Result<i64, StoreError> {
    loop {
        let event = watch.next(Duration::from_secs(60))?;
        if event.is_none_or(|event| *event.revision() >= revision) {
            return Ok(now());
        }
    }
}

/// The clock that all processes share.
fn now() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// In seconds, to the nanosecond, from the scheduler's own count.
fn processor_time() -> Result<f64, Failure> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Ok(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
}

/// The other process.
struct Writer {
    process: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Writer {
    fn start(path: &Path) -> Result<Self, Failure> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("--writer")
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = process.stdout.take().ok_or("no output")?;
        Ok(Self { process, lines: BufReader::new(stdout).lines() })
    }

    /// Has it write a batch; gives the time of the call.
    fn write(&mut self, objects: u64) -> Result<i64, Failure> {
        let stdin = self.process.stdin.as_mut().ok_or("no input")?;
        writeln!(stdin, "{objects}")?;
        self.returned()
    }

    /// The next time that it says.
    fn returned(&mut self) -> Result<i64, Failure> {
        Ok(self.lines.next().ok_or("the writer ended")??.parse()?)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn write_when_told(path: &Path) -> Result<(), Failure> {
    let store = SqliteStore::open(path)?;
    let mut count = 0_u64;
    for line in std::io::stdin().lines() {
        let objects: u64 = line?.parse()?;
        let writes: Vec<_> = (count..count + objects)
            .map(|n| Write::create(Key::cluster(Kind::Tier, format!("t{n}")), vec![b' '; 2_000]))
            .collect();
        count += objects;
        println!("{}", now());
        store.write(&writes)?;
        println!("{}", now());
    }
    Ok(())
}
