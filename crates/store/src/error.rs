//! Why a store could not answer at all, as opposed to why it refused one write.

use tortie_api::Kind;

use crate::{Operation, Position};

/// Why a store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The history from this position on is no longer kept, or never was this store's.
    #[error("revision {from} is compacted (kept since {kept})")]
    Compacted {
        /// What was asked for.
        from: Position,
        /// The oldest position that can be asked for, as far as the store knows.
        kept: Position,
    },
    /// The same of one kind, where each has its own history: the changes of the other kinds go on
    /// ([`Watch::resume`](crate::Watch::resume)).
    #[error("the history of {kind} is no longer kept from where it was watched")]
    Expired {
        /// The kind whose objects have to be listed again.
        kind: Kind,
    },
    /// The store can do no such thing with objects of this kind.
    #[error("operation {operation} is not supported on {kind}{}", .reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default())]
    Unsupported {
        /// What was asked for.
        operation: Operation,
        /// The kind.
        kind: Kind,
        /// Why, where there is more to say.
        reason: Option<String>,
    },
    /// Anything else, in words that name the place and the fix.
    #[error("{0}")]
    Failed(String),
}
