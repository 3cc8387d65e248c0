//! What any store of resources promises, and the client that speaks Calico's rules on top of it.
//!
//! A [`Store`] keeps bytes (the JSON of one object) under a [`Key`] and knows nothing of their meaning.
//! Every write has its own revision; revisions only grow; a watch gives every change after a revision
//! once and in order, or says that the revision is [`StoreError::Compacted`].
//!
//! The calls block: a caller that wants to wait for several things at once gives each a thread. A backend
//! that needs an async runtime keeps it to itself.

use std::sync::Arc;
use std::time::Duration;

use tortie_api::{Key, Kind};

/// A point in a store's history. 0 is before everything.
pub type Revision = u64;

/// One object as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What names it.
    pub key: Key,
    /// The revision of its last change.
    pub revision: Revision,
    /// Its JSON, byte for byte as written.
    pub value: Arc<[u8]>,
}

/// Everything that a [`Selection`] names, at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The revision at which this was true; watch from here.
    pub revision: Revision,
    /// The objects, in the order of their keys.
    pub items: Vec<Stored>,
}

/// Which objects to list or watch. The default names all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only this kind.
    pub kind: Option<Kind>,
    /// Only this namespace (of namespaced kinds).
    pub namespace: Option<String>,
}

impl Selection {
    /// Whether the selection names this key.
    pub fn contains(&self, key: &Key) -> bool {
        self.kind.is_none_or(|kind| kind == key.kind)
            && self
                .namespace
                .as_deref()
                .is_none_or(|namespace| namespace == key.namespace)
    }
}

/// One change to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// What to change.
    pub key: Key,
    /// How.
    pub op: Op,
}

/// How to change an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Make it; fails with [`WriteError::Exists`].
    Create(Arc<[u8]>),
    /// Replace it if it is still at this revision; fails with [`WriteError::Missing`] or [`WriteError::Conflict`].
    Update(Arc<[u8]>, Revision),
    /// Remove it, if a revision is given only at that one.
    Delete(Option<Revision>),
}

/// What one write did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The revision of this change.
    pub revision: Revision,
    /// What stood there before: the replaced or the removed object.
    pub previous: Option<Stored>,
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
}

/// One change that a watch tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Created or updated.
    Put(Stored),
    /// Removed, at this revision.
    Deleted(Key, Revision),
}

/// A store of resources.
pub trait Store: Send + Sync {
    /// What this store is, for messages: `embedded store /var/lib/tortie/tortie.db`.
    fn describe(&self) -> String;

    /// One object as it is now.
    fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError>;

    /// All objects of a selection, at one revision.
    fn list(&self, selection: &Selection) -> Result<Listing, StoreError>;

    /// Makes each change or says why not; a refused one does not stop the rest. When this returns, every
    /// accepted one is durable. An `Err` means that nothing of this call can be relied on being there.
    fn write(&self, writes: &[Write]) -> Result<Vec<Result<Written, WriteError>>, StoreError>;

    /// Every change after revision `from`, once and in order.
    fn watch(&self, selection: &Selection, from: Revision) -> Result<Box<dyn Watch>, StoreError>;
}

/// A running watch.
pub trait Watch: Send {
    /// The next change; `None` when there was none within `wait`. After [`StoreError::Compacted`] list again.
    fn next(&mut self, wait: Duration) -> Result<Option<Event>, StoreError>;
}

/// Why a store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The history from this revision on is no longer kept.
    #[error("revision {from} is compacted (kept since {kept})")]
    Compacted {
        /// What was asked for.
        from: Revision,
        /// The oldest revision that can be asked for.
        kept: Revision,
    },
    /// Anything else, in words that name the place and the fix.
    #[error("{0}")]
    Failed(String),
}
