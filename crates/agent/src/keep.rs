//! The snapshot cache: the agent's copy of the store on disk, with the last valid version of every object. It outlives the agent.
//!
//! ```text
//!   store ──> Shelved ──> sync          every listing and event passes through, and is recorded on disk
//!                │  └ cannot be reached since the start: the snapshot replaces it until it can
//!                └──> Disk (agent.db, a thread) <── Kept: "the last valid version of this object?"
//! ```
//!
//! Policy does not depend on the disk. Changes are recorded without waiting; whoever needs an answer of the disk (the last valid
//! version of an object, what the snapshot holds now, that the node is noted) waits 10 s at most, and so does a listing. When the
//! disk is too slow, the snapshot is marked as incomplete and is not used until the store has been listed again.

mod book;
mod disk;
mod history;
mod identity;
mod shelved;

pub(crate) use book::{Copy, Moment};
pub(crate) use disk::{Disk, Kept};
pub use shelved::Opener;
pub(crate) use shelved::Shelved;

#[cfg(test)]
mod tests;
