//! The snapshot cache: the agent's copy of the store on disk, with the last valid version of every object. It outlives the agent.
//!
//! ```text
//!   store ──> CachedStore ──> sync      every listing and event passes through, and is recorded on disk
//!                    │  └ cannot be reached since the start: the snapshot replaces it until it can
//!                    └──> CacheWriter (agent.db, a thread) <── CachedLastValid: "the last valid version of this object?"
//! ```
//!
//! Policy does not depend on the disk. Changes are recorded without waiting; whoever needs an answer of the disk (the last valid
//! version of an object, what the snapshot holds now, that the node is noted) waits 10 s at most, and so does a listing. When the
//! disk is too slow, the snapshot is marked as incomplete and is not used until the store has been listed again.

mod cached_store;
mod continuity;
mod file;
mod identity;
mod writer;

pub(crate) use cached_store::CachedStore;
pub use cached_store::Opener;
pub(crate) use file::{Snapshot, SnapshotReader};
pub(crate) use writer::{CacheWriter, CachedLastValid};

/// The file of the snapshot cache in the state directory.
pub(crate) const CACHE_FILE: &str = "agent.db";

#[cfg(test)]
mod tests;
