//! The history of a store: who changed it, when, by which command, and how a change is taken back. The embedded store keeps
//! all changes, etcd those that tortie made; the Kubernetes API keeps none.
//!
//! A [`HistoryEntry`] is what one transaction changed. One that waits for a confirmation is put back when its deadline passes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tortie_api::Key;

use crate::{Listing, Op, Position, StoreError, Stored};

/// The author of a write, and the reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Author {
    /// The user's id.
    pub uid: u32,
    /// The user who became that user with `sudo`; empty if none did.
    pub sudo_user: String,
    /// The name of the machine; empty in a store that only one machine writes to.
    pub host: String,
    /// The command as it was typed.
    pub command: String,
    /// The user's message about it; may be empty.
    pub message: String,
    /// The time after which the change is put back unless it is confirmed.
    pub confirm_within: Option<Duration>,
    /// The first revision of the entry that is taken back (`tortie undo`).
    pub takes_back: Option<u64>,
}

/// One entry of the history: what one transaction changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The revision of its first change.
    pub first: u64,
    /// The revision of its last change.
    pub last: u64,
    /// Its time, in milliseconds since 1970.
    pub time: u64,
    /// Its author.
    pub author: Author,
    /// The confirmation that it waits for; none if it does not wait, or not any more.
    pub pending: Option<Pending>,
    /// Whether it was put back because it was not confirmed in time.
    pub expired: bool,
    /// The first revision of the entry that this one put back.
    pub puts_back: Option<u64>,
}

/// A change that waits for a confirmation. Times are in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// When it is put back.
    pub deadline: u64,
    /// When it was in the kernel of the machine whose agent puts it back; none before.
    pub enforced: Option<u64>,
}

/// One change of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedChange {
    /// The revision of the change.
    pub revision: u64,
    /// The object.
    pub key: Key,
    /// The object before; none where it did not exist.
    pub before: Option<Arc<[u8]>>,
    /// The object afterwards; none where it was deleted.
    pub after: Option<Arc<[u8]>>,
}

impl LoggedChange {
    /// The write that takes the change back if the object is `current` now; none if it does not exist, and did not before.
    pub fn taking_back(&self, current: Option<&Stored>) -> Option<Op> {
        match (current, self.before.clone()) {
            (None, None) => None,
            (None, Some(before)) => Some(Op::Create(before)),
            (Some(stored), Some(before)) => Some(Op::Update(before, stored.revision.clone())),
            (Some(stored), None) => Some(Op::Delete(Some(stored.revision.clone()))),
        }
    }
}

/// The tier that a stored policy is in, as far as it can be read.
pub fn tier_of(stored: &Stored) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(&stored.value).ok()?;
    Some(value.pointer("/spec/tier")?.as_str()?.to_owned())
}

/// The result of putting an entry back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutBack {
    /// The objects that are as they were before the entry.
    pub restored: Vec<Key>,
    /// The objects that somebody else has changed since, which stay.
    pub left: Vec<Key>,
    /// The objects that a later unconfirmed change has changed too: that change now has the version from before as the one to put back.
    pub waiting: Vec<Key>,
    /// Tiers that the entry created and that stay, each with a policy of somebody else that is in it now.
    pub in_use: Vec<(Key, Key)>,
}

/// The history of a store.
pub trait History: Send + Sync {
    /// Whether every change of the store is in it. Otherwise only what tortie wrote is.
    fn is_complete(&self) -> bool {
        true
    }

    /// Why a write through this handle is not in the history; none if all of them are.
    fn not_kept(&self) -> Option<String> {
        None
    }

    /// How often each of many machines may ask for pending changes; none if only one machine asks.
    fn poll_interval(&self) -> Option<Duration> {
        None
    }

    /// Sets the author of later writes through this handle.
    fn set_author(&self, author: Author);

    /// What is kept of the past, the newest first. Changes that were written before authors were kept are in none.
    fn entries(&self) -> Result<Vec<HistoryEntry>, StoreError>;

    /// The entries with a change from the first of these revisions up to the last, the newest first.
    fn entries_between(&self, first: u64, last: u64) -> Result<Vec<HistoryEntry>, StoreError> {
        let mut entries = self.entries()?;
        entries.retain(|entry| entry.last >= first && entry.first <= last);
        Ok(entries)
    }

    /// The changes that wait for a confirmation, the newest first.
    fn pending(&self) -> Result<Vec<(HistoryEntry, Pending)>, StoreError>;

    /// The changes of an entry, in their order.
    fn changes(&self, entry: &HistoryEntry) -> Result<Vec<LoggedChange>, StoreError>;

    /// Notes that an entry was in the kernel at this time, if nobody has noted that before.
    fn note_enforced(&self, entry: &HistoryEntry, time: u64) -> Result<(), StoreError>;

    /// Confirms a change. False if it does not wait any more.
    fn confirm(&self, entry: &HistoryEntry) -> Result<bool, StoreError>;

    /// Puts an unconfirmed change back, in one transaction. None if it does not wait any more.
    fn put_back(&self, entry: &HistoryEntry) -> Result<Option<PutBack>, StoreError>;
}

/// Each object of some changes, once: its last revision among them, and its versions before and after them.
pub fn by_object(changes: Vec<LoggedChange>) -> Vec<LoggedChange> {
    let mut order: Vec<Key> = Vec::new();
    let mut of: BTreeMap<Key, LoggedChange> = BTreeMap::new();
    for change in changes {
        match of.get_mut(&change.key) {
            Some(known) => {
                known.revision = change.revision;
                known.after = change.after;
            }
            None => {
                order.push(change.key.clone());
                of.insert(change.key.clone(), change);
            }
        }
    }
    order.iter().filter_map(|key| of.remove(key)).collect()
}

/// Why the content of a store at a revision is unknown.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    /// It is no longer kept, or never was.
    #[error("revision {revision} is no longer kept: the oldest that can be compared is {oldest}")]
    NotKept {
        /// The requested revision.
        revision: u64,
        /// The oldest revision that is kept.
        oldest: u64,
    },
    /// There is no such revision yet.
    #[error("there is no revision {revision} yet: the store is at {last}")]
    Future {
        /// The requested revision.
        revision: u64,
        /// The last one.
        last: u64,
    },
    /// The history could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The content of a store after a revision, computed from its present content. A revision in the middle of a transaction means the end of it.
pub fn content_at(history: &dyn History, now: &Listing, revision: u64) -> Result<Listing, PastError> {
    let last = now.position.number_or_never();
    if revision > last {
        return Err(PastError::Future { revision, last });
    }
    // What was written since the listing was made does not count.
    let entries: Vec<HistoryEntry> = history.entries()?.into_iter().filter(|entry| entry.first <= last).collect();
    let is_in = |entry: &HistoryEntry| (entry.first..=entry.last).contains(&revision);
    let revision = entries.iter().find(|entry| is_in(entry)).map_or(revision, |entry| entry.last);
    let mut values: BTreeMap<Key, Option<Arc<[u8]>>> = BTreeMap::new();
    // Up to here nothing is missing.
    let mut reached = last;
    for entry in entries.iter().take_while(|entry| entry.first > revision) {
        let changes = history.changes(entry)?;
        // The log is trimmed in the middle of a transaction too.
        let is_whole = changes.first().is_some_and(|change| change.revision == entry.first);
        if entry.last != reached || !is_whole {
            break;
        }
        reached = entry.first - 1;
        for change in by_object(changes) {
            values.insert(change.key, change.before);
        }
    }
    if reached > revision {
        return Err(PastError::NotKept { revision, oldest: reached });
    }
    // Who puts a change back that waits for a confirmation may tell a later one what to put back, so what is noted as before
    // that one is not what was there.
    let mut open: BTreeSet<Key> = values.keys().cloned().collect();
    for entry in entries.iter().filter(|entry| entry.last <= revision) {
        if open.is_empty() {
            break;
        }
        for change in by_object(history.changes(entry)?) {
            if open.remove(&change.key) {
                values.insert(change.key, change.after);
            }
        }
    }
    let mut items: BTreeMap<Key, Stored> =
        now.items.iter().map(|stored| (stored.key.clone(), stored.clone())).collect();
    for (key, value) in values {
        match value {
            Some(value) => {
                drop(items.insert(key.clone(), Stored { key, revision: revision.into(), value: value.into() }))
            }
            None => drop(items.remove(&key)),
        }
    }
    Ok(Listing { position: Position::at(revision), items: items.into_values().collect() })
}
