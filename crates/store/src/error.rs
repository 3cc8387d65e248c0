//! Why a store could not answer at all, as opposed to why it refused one write.

use tortie_api::Kind;

use crate::Position;

/// Why a store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The history from this position on is no longer kept, or never was this store's.
    #[error("revision {from} is compacted (kept since {kept})")]
    Compacted {
        /// The requested position.
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
    /// Anything else, in words that name the place and the fix.
    #[error("{0}")]
    Failed(String),
}
