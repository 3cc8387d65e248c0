//! One of the things that the controllers do: its plan is carried out, and what becomes of it is logged.

use std::collections::BTreeSet;
use std::time::Duration;

use tortie_api::Key;
use tortie_client::Client;

use crate::log_event;
use crate::plan::Plan;
use crate::probes_and_metrics::Counts;
use crate::writer::{self, Summary};

/// How long the controllers wait for their own writes to come back, and for a store that refuses one.
const RETRY_DELAY: Duration = Duration::from_secs(2);
/// The longest pause before what failed is tried again.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(60);
/// How many names a line of the log has.
const MAX_NAMED: usize = 10;

/// The words and events of a task.
#[derive(Debug)]
pub(crate) struct Words {
    one: &'static str,
    many: &'static str,
    name: fn(&Key) -> String,
    written: &'static str,
    failed: &'static str,
    problem: &'static str,
    solved: &'static str,
}

impl Words {
    fn count(&self, count: usize) -> String {
        format!("{count} {}", if count == 1 { self.one } else { self.many })
    }
}

/// Host endpoints of nodes.
pub(crate) const HOST_ENDPOINTS: Words = Words {
    one: "host endpoint",
    many: "host endpoints",
    name: |key| key.name.clone(),
    written: log_event::HOST_ENDPOINTS_WRITTEN,
    failed: log_event::HOST_ENDPOINTS_FAILED,
    problem: log_event::HOST_ENDPOINT_PROBLEM,
    solved: log_event::HOST_ENDPOINT_SOLVED,
};

/// Copies of what Kubernetes has.
pub(crate) const COPIES: Words = Words {
    one: "copy",
    many: "copies",
    name: |key| key.to_string(),
    written: log_event::COPIES_WRITTEN,
    failed: log_event::COPIES_FAILED,
    problem: log_event::COPY_PROBLEM,
    solved: log_event::COPY_SOLVED,
};

/// Labels of pods in workload endpoints.
pub(crate) const POD_LABELS: Words = Words {
    one: "workload endpoint",
    many: "workload endpoints",
    name: |key| key.to_string(),
    written: log_event::POD_LABELS_WRITTEN,
    failed: log_event::POD_LABELS_FAILED,
    problem: log_event::POD_LABEL_PROBLEM,
    solved: log_event::POD_LABEL_SOLVED,
};

/// Labels of Kubernetes' nodes in nodes.
pub(crate) const NODE_LABELS: Words = Words {
    one: "node",
    many: "nodes",
    name: |key| key.name.clone(),
    written: log_event::NODE_LABELS_WRITTEN,
    failed: log_event::NODE_LABELS_FAILED,
    problem: log_event::NODE_LABEL_PROBLEM,
    solved: log_event::NODE_LABEL_SOLVED,
};

/// A task, and what was logged of it.
#[derive(Debug)]
pub(crate) struct Task {
    words: Words,
    counts: Counts,
    /// The problems that were logged.
    problems: BTreeSet<String>,
    /// The failures that were logged.
    failing: Vec<String>,
    /// How long to wait before what failed is tried again.
    pause: Duration,
}

impl Task {
    /// A task that was not done yet.
    pub(crate) fn new(words: Words) -> Self {
        Self { words, counts: Counts::default(), problems: BTreeSet::new(), failing: Vec::new(), pause: RETRY_DELAY }
    }

    /// What it counted so far.
    pub(crate) fn counts(&self) -> Counts {
        self.counts.clone()
    }

    /// Carries a plan out. What was written, and how long to wait at most before the next one if not everything was.
    pub(crate) fn carry_out(
        &mut self,
        client: &Client,
        plan: &Plan,
        may_write: &dyn Fn() -> bool,
    ) -> (Summary, Option<Duration>) {
        self.tell(plan.problems.iter().map(ToString::to_string).collect());
        let summary = writer::act(client, plan, may_write);
        self.counts.wanted = plan.wanted;
        self.counts.problems = plan.problems.len();
        for (what, (count, keys)) in
            ["created", "updated", "deleted"].iter().zip(self.counts.written.iter_mut().zip(&summary.done))
        {
            *count += keys.len() as u64;
            if !keys.is_empty() {
                let names: Vec<String> = keys.iter().map(self.words.name).collect();
                log::info!(target: self.words.written, "{what} {}: {}", self.words.count(keys.len()), few(&names));
            }
        }
        self.counts.failed += summary.failed.len() as u64;
        let failed: Vec<String> =
            summary.failed.iter().map(|(key, why)| format!("{}: {why}", (self.words.name)(key))).collect();
        self.counts.failing = failed.first().cloned().unwrap_or_default();
        let wait = self.failed(failed).or(summary.stale.then_some(RETRY_DELAY));
        (summary, wait)
    }

    /// Logs failures once, and says how long to wait before the next try: longer each time.
    fn failed(&mut self, failed: Vec<String>) -> Option<Duration> {
        if failed.is_empty() {
            self.failing.clear();
            self.pause = RETRY_DELAY;
            return None;
        }
        if failed != self.failing {
            log::error!(
                target: self.words.failed,
                "{} could not be written, which is tried again: {}",
                self.words.count(failed.len()),
                few(&failed)
            );
            self.failing = failed;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(MAX_RETRY_DELAY);
        Some(pause)
    }

    /// Logs problems that are new, and those that are no more.
    fn tell(&mut self, problems: BTreeSet<String>) {
        for new in problems.difference(&self.problems) {
            log::warn!(target: self.words.problem, "{new}");
        }
        for solved in self.problems.difference(&problems) {
            log::info!(target: self.words.solved, "solved: {solved}");
        }
        self.problems = problems;
    }
}

/// Some names for a line of the log, and how many are left out.
fn few(names: &[String]) -> String {
    let some = names.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MAX_NAMED) {
        0 => some,
        more => format!("{some} and {more} more"),
    }
}
