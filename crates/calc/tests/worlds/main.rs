//! Random worlds: the engine and the fake dataplane answer every packet as the evaluator does, stage by stage.
//!
//! `TORTIE_WORLDS` says how many, `TORTIE_SEED` from which seed on. A case that fails is made small and kept in
//! `cases/`; what stands there is played on every run.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod damage;
#[cfg(feature = "faults")]
mod faults;
mod histories;
mod reach;
mod run;

use std::fs;
use std::path::PathBuf;
use std::thread;

use tortie_testkit::worlds::{Case, shrink};

use run::play;

/// Worlds when nothing else is said.
const WORLDS: u64 = 3000;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn cases() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/worlds/cases")
}

/// Runs a closure for every seed, on as many threads as there are cores.
fn for_seeds(count: u64, run: impl Fn(u64) + Sync) {
    let first = number("TORTIE_SEED", 1);
    println!("seeds {first} to {}", first + count - 1);
    let threads = thread::available_parallelism().map_or(2, |count| count.get() as u64);
    thread::scope(|scope| {
        let run = &run;
        let workers: Vec<_> = (0..threads)
            .map(|worker| scope.spawn(move || (first + worker..first + count).step_by(threads as usize).for_each(run)))
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
}

#[test]
fn engine_and_evaluator_agree_on_random_worlds() {
    for_seeds(number("TORTIE_WORLDS", WORLDS), |seed| {
        let case = Case::random(seed);
        let Err(problem) = play(&case) else { return };
        let small = shrink(&case, |case| play(case).is_err());
        let problem = play(&small).err().unwrap_or(problem);
        let path = cases().join(format!("seed-{seed}.json"));
        fs::write(&path, small.to_json()).unwrap();
        panic!("seed {seed}: {problem}\nkept as {}", path.display());
    });
}

#[test]
fn cases_that_failed_once_pass() {
    for entry in fs::read_dir(cases()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let case: Case = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            play(&case).unwrap_or_else(|problem| panic!("{}: {problem}", path.display()));
        }
    }
}
