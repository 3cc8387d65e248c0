//! What the controllers report while they run: probes and metrics.

use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tortie_agent::daemon::Answer;

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
    /// Whether all of Kubernetes is known and followed, and why not; none if it is not copied.
    pub(crate) kubernetes: Option<(bool, String)>,
    /// Host endpoints.
    pub(crate) host_endpoints: Counts,
    /// Copies of what Kubernetes has.
    pub(crate) copies: Counts,
    /// Labels of pods in workload endpoints.
    pub(crate) pod_labels: Counts,
    /// Labels of Kubernetes' nodes in nodes.
    pub(crate) node_labels: Counts,
}

/// What a task counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// How many objects there are to be.
    pub(crate) wanted: usize,
    /// Problems that need manual correction.
    pub(crate) problems: usize,
    /// How many writes were made: created, updated, deleted.
    pub(crate) written: [u64; 3],
    /// How many writes failed.
    pub(crate) failed: u64,
    /// Why a write failed that has to be tried again; empty if none has.
    pub(crate) failing: String,
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
                match record.waits_for() {
                    None => match why_not_written(&record, leadership) {
                        None => Answer::text(200, format!("ready; {role}\n")),
                        Some(reason) => Answer::text(503, format!("not ready: {reason}\n")),
                    },
                    Some((what, "")) => Answer::text(503, format!("not ready: {what} is not read yet\n")),
                    Some((what, reason)) => Answer::text(503, format!("not ready: {what} is lost: {reason}\n")),
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

impl Record {
    /// What has to be read first, and why it is not.
    fn waits_for(&self) -> Option<(&str, &str)> {
        match &self.kubernetes {
            _ if !self.in_sync => Some(("the store", &self.lost)),
            Some((false, lost)) => Some(("Kubernetes", lost)),
            _ => None,
        }
    }

    /// Why a write failed that is to be tried again.
    fn failing(&self) -> Option<String> {
        let tasks = [&self.host_endpoints, &self.copies, &self.pod_labels, &self.node_labels];
        let failing = tasks.into_iter().find(|counts| !counts.failing.is_empty())?;
        Some(format!("a write failed and is tried again: {}", failing.failing))
    }
}

/// Why this process cannot write what it is to write.
fn why_not_written(record: &Record, leadership: &Leadership) -> Option<String> {
    if leadership.may_write() { record.failing() } else { leadership.failing() }
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
    let (host_endpoints, copies) = (&record.host_endpoints, &record.copies);
    gauge(
        "tortie_controllers_host_endpoints",
        "Automatic host endpoints that nodes are to have.",
        host_endpoints.wanted,
    );
    let problems = [host_endpoints, copies, &record.pod_labels, &record.node_labels].iter().map(|it| it.problems).sum();
    gauge("tortie_controllers_problems", "Problems that need manual correction; the log names each.", problems);
    if let Some((in_sync, _)) = record.kubernetes {
        gauge(
            "tortie_controllers_kubernetes_in_sync",
            "Whether what is copied of Kubernetes is known as a whole and followed.",
            usize::from(in_sync),
        );
        gauge("tortie_controllers_copies", "Copies of what Kubernetes has that there are to be.", copies.wanted);
        writes(&mut text, "tortie_controllers_copy_writes_total", "Writes of copies.", copies);
        let help = "Writes of labels of pods into workload endpoints.";
        writes(&mut text, "tortie_controllers_pod_label_writes_total", help, &record.pod_labels);
        let help = "Writes of labels of Kubernetes' nodes into nodes.";
        writes(&mut text, "tortie_controllers_node_label_writes_total", help, &record.node_labels);
    }
    writes(&mut text, "tortie_controllers_writes_total", "Writes of host endpoints.", host_endpoints);
    text
}

fn writes(text: &mut String, name: &str, help: &str, counts: &Counts) {
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} counter\n");
    for (what, count) in ["created", "updated", "deleted"].iter().zip(counts.written) {
        let _ = writeln!(text, "{name}{{result=\"{what}\"}} {count}");
    }
    let _ = writeln!(text, "{name}{{result=\"failed\"}} {}", counts.failed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_cannot_write_is_not_ready_and_says_why() {
        let health = Health::default();
        health.update(|record| record.in_sync = true);
        let readiness = |leadership: &Leadership| {
            let answer = health.answer("/readiness", leadership);
            (answer.code, answer.body)
        };
        let (leader, waiting) = (Leadership::sole(), Leadership::default());
        assert_eq!((readiness(&leader).0, readiness(&waiting).0), (200, 200));
        waiting.fails("permission denied");
        let text = "not ready: the lease tortie-controllers can neither be taken nor renewed: permission denied\n";
        assert_eq!(readiness(&waiting), (503, text.to_owned()));
        health.update(|record| record.copies.failing = "NetworkPolicy(shop/a): too slow".to_owned());
        let text = "not ready: a write failed and is tried again: NetworkPolicy(shop/a): too slow\n";
        assert_eq!(readiness(&leader), (503, text.to_owned()));
        assert_eq!(readiness(&Leadership::default()).0, 200, "another process writes");
    }
}
