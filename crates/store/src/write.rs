//! Writes to a store: changes, each with the condition under which it may be made, and their results.

use std::sync::Arc;

use tortie_api::Key;

use crate::{Operation, Position, Revision, StoreError, Stored};

/// One change to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// What to change.
    pub key: Key,
    /// How.
    pub op: Op,
}

impl Write {
    /// Make a new object.
    pub fn create(key: Key, value: impl Into<Arc<[u8]>>) -> Self {
        Self { key, op: Op::Create(value.into()) }
    }

    /// Replace an object that is still at `revision`.
    pub fn update(key: Key, value: impl Into<Arc<[u8]>>, revision: impl Into<Revision>) -> Self {
        Self { key, op: Op::Update(value.into(), revision.into()) }
    }

    /// Remove an object, if a revision is given only at that one.
    pub fn delete(key: Key, revision: Option<Revision>) -> Self {
        Self { key, op: Op::Delete(revision) }
    }
}

/// How to change an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Make it; fails with [`WriteError::Exists`].
    Create(Arc<[u8]>),
    /// Replace it if it is still at this revision; fails with [`WriteError::Missing`] or [`WriteError::Conflict`].
    Update(Arc<[u8]>, Revision),
    /// Remove it, if a revision is given only at that one; fails as an update does.
    Delete(Option<Revision>),
}

impl Op {
    /// The operation, for which a store says whether it [supports](crate::Store::supports) it.
    pub fn operation(&self) -> Operation {
        match self {
            Op::Create(_) => Operation::Create,
            Op::Update(..) => Operation::Update,
            Op::Delete(_) => Operation::Delete,
        }
    }

    /// Whether the change may be made to the object as it is now. Every backend that decides for itself
    /// decides by this.
    pub fn check(&self, current: Option<&Stored>) -> Result<(), WriteError> {
        let wanted = match self {
            Op::Create(_) => {
                return match current {
                    Some(stored) => Err(WriteError::Exists(stored.clone())),
                    None => Ok(()),
                };
            }
            Op::Update(_, revision) => Some(revision),
            Op::Delete(revision) => revision.as_ref(),
        };
        let current = current.ok_or(WriteError::Missing)?;
        if wanted.is_some_and(|wanted| *wanted != current.revision) {
            return Err(WriteError::Conflict(current.clone()));
        }
        Ok(())
    }
}

/// What one write did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The revision of the object after this change. Of a delete that of the deletion, or one at which it had been done.
    pub revision: Revision,
    /// A position that a watch has reached as soon as it has given this change. Where kinds have each their own history it
    /// has the part of this one only.
    pub position: Position,
    /// The object before: the one that was replaced or deleted.
    pub previous: Option<Stored>,
}

/// The result of writing changes that belong together.
#[derive(Debug, Default)]
pub struct WrittenTogether {
    /// The changes that were made: the beginning of all, in their order.
    pub made: Vec<Written>,
    /// Why the others were not; none when all were made.
    pub stopped: Option<Stopped>,
}

/// Why changes that belong together were not all made.
#[derive(Debug)]
pub enum Stopped {
    /// These cannot be made, each by its number among the changes. Nothing behind the beginning was made.
    Refused(Vec<(usize, WriteError)>),
    /// The store stopped answering: it is not known whether the next changes were made.
    Failed(StoreError),
}

/// Why one write was refused. The others of its batch are not touched by that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Create found an object.
    #[error("it exists already, at revision {}", .0.revision)]
    Exists(Stored),
    /// Update or delete found none.
    #[error("it does not exist")]
    Missing,
    /// The object has moved on.
    #[error("it was changed meanwhile, at revision {}", .0.revision)]
    Conflict(Stored),
    /// The store does no such thing with objects of this kind.
    #[error("operation {operation} is not supported{}", .reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default())]
    Unsupported {
        /// What was asked for.
        operation: Operation,
        /// Why, where there is more to say.
        reason: Option<String>,
    },
    /// The store refuses the object: it is too large, or the server's own rules forbid it.
    #[error("the store refuses it: {0}")]
    Refused(String),
}

#[cfg(test)]
mod tests {
    use tortie_api::Kind;

    use super::*;

    #[test]
    fn an_operation_is_allowed_or_not_by_the_present_object() {
        let stored = Stored { key: Key::cluster(Kind::Tier, "a"), revision: 7.into(), value: b"{}".to_vec().into() };
        let value: Arc<[u8]> = Arc::from(*b"{}");
        let exists = Err(WriteError::Exists(stored.clone()));
        let conflict = Err(WriteError::Conflict(stored.clone()));
        let missing = Err(WriteError::Missing);
        for (op, on_none, on_seven) in [
            (Op::Create(value.clone()), Ok(()), exists),
            (Op::Update(value.clone(), 7.into()), missing.clone(), Ok(())),
            (Op::Update(value, 6.into()), missing.clone(), conflict.clone()),
            (Op::Delete(None), missing.clone(), Ok(())),
            (Op::Delete(Some(7.into())), missing.clone(), Ok(())),
            (Op::Delete(Some(8.into())), missing, conflict),
        ] {
            assert_eq!(op.check(None), on_none, "{op:?}");
            assert_eq!(op.check(Some(&stored)), on_seven, "{op:?}");
        }
    }
}
