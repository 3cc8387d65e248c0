//! What outlives the agent: a copy of what the store last said, and the last valid version of every object.
//!
//! ```text
//!   store ──> Shelved ──> sync          every listing and event passes through, and is noted on disk
//!                │  └ away since the start: the copy answers in its place, until the store is back
//!                └──> Disk (agent.db, a thread) <── Kept: "the last valid version of this object?"
//! ```
//!
//! Writing is never waited for: policy does not depend on the disk. When the disk cannot follow, the copy is marked as
//! torn and not used until the store has been listed again.

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
