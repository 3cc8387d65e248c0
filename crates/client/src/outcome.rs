//! The jobs of a batch, and the outcome of each.

use tortie_api::{Key, Object};
use tortie_manifest::Problem;

use super::ClientError;

/// How objects are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Make it; an object that exists is an error.
    Create,
    /// Make it; an object that exists is left alone.
    CreateSkipExisting,
    /// Make it, or replace what exists.
    Apply,
    /// Replace what exists; an object that does not exist is an error.
    Replace,
}

/// How the objects of a batch depend on each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchMode {
    /// All or nothing: all are planned before the first is written. An object that is given twice is an error.
    /// Written in the order in which they need each other, deleted in the reverse order.
    AllOrNothing,
    /// Each for itself, so that one that fails does not stop the others, but in the order in which they need each other.
    /// An object that is given twice is an error.
    KeepGoing,
    /// As Calico does it: each for itself, in the order in which they are given.
    Calico,
}

/// The result of a batch.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The outcome for each object, in the order of the input.
    pub outcomes: Vec<Outcome>,
    /// What the outcomes mean.
    pub extent: Extent,
}

/// How far a batch came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Each outcome says what was done.
    Each,
    /// Nothing was written. Outcomes without an error say what would have been done without the errors of others.
    Nothing,
    /// The store needed several transactions and did not finish them. Outcomes without an error were done, some of the
    /// others perhaps.
    Part,
}

/// The change of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was created.
    Created,
    /// It was changed.
    Changed,
    /// It was unchanged; nothing was written.
    Unchanged,
    /// It was skipped, as requested: it exists already, or does not exist.
    Skipped,
    /// It was deleted.
    Deleted,
}

/// The outcome for one object of a batch.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What it is about.
    pub key: Key,
    /// What happened, or why not.
    pub result: Result<Done, ClientError>,
}

/// A completed job.
#[derive(Clone, Debug)]
pub struct Done {
    /// What.
    pub change: Change,
    /// The object as it is now, or as it was when it was deleted or left alone.
    pub object: Object,
    /// Warnings.
    pub notes: Vec<Problem>,
    /// What was deleted along with it (a node's endpoints).
    pub along: Vec<Key>,
}

impl Done {
    pub(super) fn new(change: Change, object: Object) -> Self {
        Self { change, object, notes: Vec::new(), along: Vec::new() }
    }
}

/// An object to delete.
#[derive(Clone, Debug)]
pub struct Target {
    /// What.
    pub key: Key,
    /// Only if it is still at this `resourceVersion`; empty for any.
    pub resource_version: String,
}

impl From<Key> for Target {
    fn from(key: Key) -> Self {
        Self { key, resource_version: String::new() }
    }
}

/// One change of labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelChange {
    /// Set it; another value is replaced only with `overwrite`.
    Set {
        /// The label.
        key: String,
        /// Its value.
        value: String,
        /// Whether another value may be replaced.
        overwrite: bool,
    },
    /// Remove it; it must exist.
    Remove {
        /// The label.
        key: String,
    },
}
