//! The thread that writes the log of placements: each line with the generation and revision of the change and, where the store
//! records it, who wrote the change. Asking the store takes time, so the engine does not do it.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use tortie_store::{HistoryEntry, Position};

use crate::author::who;
use crate::cache::CachedStore;
use crate::log_event;
use crate::supervisor;

/// How many steps may wait. Further steps are written without an author.
const QUEUE_LENGTH: usize = 64;

/// The changes of placements by one delta.
pub(crate) struct Step {
    /// One line for each change.
    pub(crate) lines: Vec<String>,
    /// The requested generation.
    pub(crate) generation: u64,
    /// The position of the store before the change, and after it.
    pub(crate) from: Position,
    pub(crate) to: Position,
}

/// Sends steps to the thread.
#[derive(Clone)]
pub(crate) struct PlacementWriter(SyncSender<Step>);

impl PlacementWriter {
    /// Returns a writer, and the receiver for [`run`].
    pub(crate) fn new() -> (Self, Receiver<Step>) {
        let (sender, receiver) = sync_channel(QUEUE_LENGTH);
        (Self(sender), receiver)
    }

    /// Sends a step to the thread, or writes it at once without an author if the thread does not keep up or has ended.
    pub(crate) fn write(&self, step: Step) {
        if let Err(TrySendError::Full(step) | TrySendError::Disconnected(step)) = self.0.try_send(step) {
            write(&step, &Written::default());
        }
    }
}

/// Writes steps until the engine ends.
pub(crate) fn run(steps: &Receiver<Step>, store: &CachedStore) {
    while let Ok(step) = steps.recv() {
        let _working = supervisor::working();
        write(&step, &Written::between(&entries(store, &step), &step));
    }
}

/// The entries of the store's history that may have caused a step. None for the first step of an agent, which would have too many.
fn entries(store: &CachedStore, step: &Step) -> Vec<HistoryEntry> {
    let (Some(from), Some(to)) = (step.from.number(), step.to.number()) else { return Vec::new() };
    if from == 0 || from == to {
        return Vec::new();
    }
    let found =
        store.opened().and_then(|store| store.history().map(|history| history.entries_between(from + 1, to).ok()));
    found.flatten().unwrap_or_default()
}

/// Who wrote the changes that caused a step.
#[derive(Debug, Default, PartialEq)]
struct Written {
    author: String,
    /// The command, if there was one.
    command: String,
}

impl Written {
    fn between(entries: &[HistoryEntry], step: &Step) -> Self {
        let within = |entry: &&HistoryEntry| {
            step.from.number().is_some_and(|from| entry.last > from)
                && step.to.number().is_some_and(|to| entry.first <= to)
        };
        let entries: Vec<&HistoryEntry> = entries.iter().filter(within).collect();
        let authors: BTreeSet<String> = entries.iter().map(|entry| who(&entry.author)).collect();
        let printable = |text: &str| text.chars().map(|one| if one.is_control() { ' ' } else { one }).collect();
        Self {
            author: authors.into_iter().collect::<Vec<_>>().join(", "),
            command: match entries.as_slice() {
                [one] => printable(&one.author.command),
                _ => String::new(),
            },
        }
    }
}

fn write(step: &Step, written: &Written) {
    let Step { lines, generation, to, .. } = step;
    let Written { author, command } = written;
    let by = match (author.as_str(), command.as_str()) {
        ("", _) => String::new(),
        (author, "") => format!(", by {author}"),
        (author, command) => format!(", by {author}: {command}"),
    };
    let revision = to.to_string();
    for line in lines {
        log::info!(target: log_event::PLACEMENT_CHANGED, generation, revision = revision.as_str(), author = author.as_str(), command = command.as_str();
            "{line} (generation {generation}, revision {to}{by})");
    }
}

#[cfg(test)]
mod tests {
    use tortie_store::Author;

    use super::*;

    fn entry(first: u64, last: u64, uid: u32, command: &str) -> HistoryEntry {
        let author = Author { uid, command: command.to_owned(), ..Author::default() };
        HistoryEntry { first, last, time: 0, author, pending: None, expired: false, puts_back: None }
    }

    #[test]
    fn the_authors_of_a_step_are_those_of_the_changes_that_caused_it() {
        let entries =
            [entry(2, 4, 4_000_001, "one"), entry(5, 5, 4_000_002, "two\nlines"), entry(6, 9, 4_000_003, "three")];
        let step = |from: u64, to: u64| Step { lines: Vec::new(), generation: 1, from: from.into(), to: to.into() };
        let written = |from, to| {
            let written = Written::between(&entries, &step(from, to));
            (written.author, written.command)
        };
        assert_eq!(written(4, 5), ("uid 4000002".to_owned(), "two lines".to_owned()));
        assert_eq!(written(3, 4), ("uid 4000001".to_owned(), "one".to_owned()));
        assert_eq!(written(3, 5), ("uid 4000001, uid 4000002".to_owned(), String::new()));
        assert_eq!(written(9, 11), (String::new(), String::new()));
    }
}
