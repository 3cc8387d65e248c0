//! Measures how long stored objects take that are made to hurt: the processor time of five readings, the median, and the memory of
//! one. The kernel counts processor time by ticks, so it is true to some milliseconds.
//!
//! Ends with an error if one misses its limit: 100 ms, and 20 times its size.
#![allow(clippy::print_stdout)]

#[path = "../tests/hostile/objects.rs"]
mod objects;

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use tortie_policy::Item;

const MOST: Duration = Duration::from_millis(100);
const TIMES: f64 = 20.0;

fn main() -> ExitCode {
    println!("| object | bytes | ms | memory, times its size |\n|---|---|---|---|");
    let mut missed = 0;
    for objects::Hostile { name, key, bytes } in objects::all() {
        // Shapes of kinds are compiled once.
        Item::read_stored(&key, b"{}");
        let mut took: Vec<Duration> = (0..5)
            .map(|_| {
                let begin = used();
                drop(Item::read_stored(&key, &bytes));
                used().saturating_sub(begin)
            })
            .collect();
        took.sort();
        let memory = allocation_counter::measure(|| drop(Item::read_stored(&key, &bytes))).bytes_max;
        // What is noted of mistakes does not grow with the object.
        let times = memory as f64 / bytes.len().max(1 << 16) as f64;
        let misses = took[2] > MOST || times > TIMES;
        missed += usize::from(misses);
        let mark = if misses { " MISSED" } else { "" };
        println!("| {name} | {} | {:.1}{mark} | {times:.1} |", bytes.len(), took[2].as_secs_f64() * 1000.0);
    }
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The processor time of this thread until now.
fn used() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|field| field.parse().ok());
    Duration::from_nanos(nanoseconds.expect("the kernel counts the processor time of threads"))
}
