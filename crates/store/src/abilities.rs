//! The abilities in which stores differ.

use std::fmt;

use tortie_api::Kind;

use crate::WriteError;

/// What can be done with objects of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Make a new one.
    Create,
    /// Replace one.
    Update,
    /// Delete one.
    Delete,
    /// Read all of them, and follow their changes. A store without this has none of them: it lists nothing.
    List,
}

impl Operation {
    /// As Calico's messages name it.
    pub const fn name(self) -> &'static str {
        match self {
            Operation::Create => "Create",
            Operation::Update => "Update",
            Operation::Delete => "Delete",
            Operation::List => "List",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The error of a store that does not support an operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unsupported {
    /// A reason, shown to users after Calico's text; may be empty.
    pub reason: Option<String>,
}

impl Unsupported {
    /// The refusal of a write that would be this operation.
    pub fn refusal(self, operation: Operation) -> WriteError {
        WriteError::Unsupported { operation, reason: self.reason }
    }
}

/// What a store promises as a whole. The default promises everything; callers can do without each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// There is one history of all kinds, which begins at [`Position::START`](crate::Position::START) and has a number for
    /// each change: lists of several kinds are of one moment, changes of different kinds come in their order, and an object's
    /// revision is the number of its last change. Without this, each of these holds within a kind only, and history
    /// cannot be watched from its start.
    pub one_history: bool,
    /// [`Store::write_together`](crate::Store::write_together) makes all or nothing, as far as the store's transactions reach: more
    /// changes than one transaction takes are made in several. Without this it makes the changes one by one,
    /// and stops at the first that is refused.
    pub transactions: bool,
    /// Any content under any name is returned byte for byte. Without this only objects that the store's
    /// own rules allow can be written, and they are returned with the same meaning.
    pub any_content: bool,
}

impl Default for Abilities {
    fn default() -> Self {
        Self { one_history: true, transactions: true, any_content: true }
    }
}

/// What a store says of one kind and one operation: nothing if it can do it.
pub type Support = Result<(), Unsupported>;

/// Kinds that are in Calico's layout of etcd, and so in every store of that layout.
pub(crate) fn by_default(kind: Kind) -> Support {
    if kind.is_calico() { Ok(()) } else { Err(Unsupported::default()) }
}
