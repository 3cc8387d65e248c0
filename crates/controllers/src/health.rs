//! What the controllers report while they run: probes and metrics.

use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tortie_agent::service::Answer;

use crate::leader::Leadership;

/// The shared record of the threads.
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<Record>);

/// What is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    /// Whether everything in the store is known, and its changes are followed.
    pub(crate) in_sync: bool,
    /// Why not; empty at the start.
    pub(crate) lost: String,
    /// How many automatic host endpoints the nodes are to have.
    pub(crate) wanted: usize,
    /// What people have to mend.
    pub(crate) problems: usize,
    /// How many writes were made: created, updated, deleted.
    pub(crate) written: [u64; 3],
    /// How many writes failed.
    pub(crate) failed: u64,
}

impl Health {
    /// Changes the record.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Record)) {
        change(&mut self.record());
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a GET.
    pub(crate) fn answer(&self, path: &str, leadership: &Leadership) -> Answer {
        let record = self.record().clone();
        match path {
            "/liveness" => Answer::text(200, "live\n"),
            "/readiness" => {
                let role = match (leadership.may_write(), leadership.other()) {
                    (true, _) => "this process is the leader".to_owned(),
                    (false, Some(other)) => format!("{other} is the leader"),
                    (false, None) => "no leader is known".to_owned(),
                };
                match record.in_sync {
                    true => Answer::text(200, format!("ready; {role}\n")),
                    false if record.lost.is_empty() => Answer::text(503, "not ready: the store is not read yet\n"),
                    false => Answer::text(503, format!("not ready: the store is lost: {}\n", record.lost)),
                }
            }
            "/metrics" => Answer {
                kind: "text/plain; version=0.0.4; charset=utf-8",
                ..Answer::text(200, metrics(&record, leadership))
            },
            _ => Answer::text(404, "/liveness, /readiness and /metrics are here\n"),
        }
    }
}

fn metrics(record: &Record, leadership: &Leadership) -> String {
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, value: usize| {
        // Writing to a string cannot fail.
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n");
    };
    gauge("tortie_controllers_leader", "Whether this process is the leader.", usize::from(leadership.may_write()));
    gauge(
        "tortie_controllers_in_sync",
        "Whether the store is known as a whole and followed.",
        usize::from(record.in_sync),
    );
    gauge("tortie_controllers_host_endpoints", "Automatic host endpoints that nodes are to have.", record.wanted);
    gauge("tortie_controllers_problems", "What people have to mend; the log names each.", record.problems);
    let name = "tortie_controllers_writes_total";
    let _ = write!(text, "# HELP {name} Writes of host endpoints.\n# TYPE {name} counter\n");
    for (what, count) in ["created", "updated", "deleted"].iter().zip(record.written) {
        let _ = writeln!(text, "{name}{{result=\"{what}\"}} {count}");
    }
    let _ = writeln!(text, "{name}{{result=\"failed\"}} {}", record.failed);
    text
}
