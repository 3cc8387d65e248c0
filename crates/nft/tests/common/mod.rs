//! What the tests share: a network namespace of a test's own, and the independent decoder.
//!
//! A namespace belongs to the thread that made it and goes with it, also when the test fails. The
//! thread keeps to one processor: there the packets it sends have gone their whole way, in order,
//! before it goes on, or wait behind each other in one queue.

#![allow(unsafe_code)] // affinity and packet sockets
#![allow(dead_code)] // each test file uses its part
#![allow(clippy::unwrap_used, unreachable_pub)]

pub mod everything;
pub mod link;
pub mod worlds;

use std::time::{Duration, Instant};
use tortie_testkit::limit::limit;

use tortie_nft::{Batch, Chain, Rule, Socket, Table, TableId};
use tortie_testkit::namespace;
pub use tortie_testkit::namespace::run;

/// How long a condition may take to come true.
pub fn deadline() -> Duration {
    limit(Duration::from_secs(10))
}

/// Runs `test` in a network namespace of its own, in which only `lo` is up, on one processor.
pub fn in_namespace<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    namespace::in_namespace(|| {
        keep_to_one_processor();
        test()
    })
}

fn keep_to_one_processor() {
    // SAFETY: the set is a plain bit field that the calls fill and read within its size.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        let cpu = libc::sched_getcpu();
        assert!(cpu >= 0);
        libc::CPU_SET(cpu as usize, &mut set);
        assert_eq!(libc::sched_setaffinity(0, size_of_val(&set), &set), 0);
    }
}

/// Feeds a script to `nft`.
pub fn nft_script(script: &str) {
    namespace::run_with_input("nft", &["-f", "-"], script);
}

/// Waits until `condition` gives something.
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < deadline(), "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A batch that makes `table` with these chains and rules.
pub fn program(table: &TableId, chains: &[Chain], rules: &[Rule]) -> Batch {
    let mut batch = Batch::new();
    batch.add_table(&Table::new(table.clone()));
    for chain in chains {
        batch.add_chain(table, chain);
    }
    for rule in rules {
        batch.append_rule(table, rule);
    }
    batch
}

/// The packets that the rule with this comment has counted.
pub fn counted(socket: &mut Socket, table: &TableId, comment: &str) -> u64 {
    let rules = tortie_nft::dump::rules(socket, table, None).unwrap();
    let rule = rules.iter().find(|rule| rule.comment.as_deref() == Some(comment)).unwrap();
    rule.counter().unwrap().packets
}
