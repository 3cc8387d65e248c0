//! Why a store could not answer at all, as opposed to why it refused one write.

use crate::Revision;

/// Why a store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The history from this revision on is no longer kept, or never was this store's.
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
