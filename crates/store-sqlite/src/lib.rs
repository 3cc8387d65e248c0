//! The embedded store: one SQLite file, any number of processes.
//!
//! ```text
//!   tortie apply ──┐                         ┌── tortie agent (watches)
//!   tortie delete ─┼──> tortie.db ───────────┼── an agent in another network namespace
//!   a script ──────┘    tortie.db-wal, -shm  └── a test that waits
//!                       tortie.db.wake: opened and closed after each commit; that wakes watchers
//! ```
//!
//! What is promised, and what keeps it:
//!
//! - **What was acknowledged survives power loss.** WAL with `synchronous=FULL`, checked on every connection;
//!   a new file is made whole beside its name and then linked to it, so no process ever sees a part of one.
//! - **Changes are whole.** A call of [`Store::write`](tortie_store::Store::write) is one transaction with a
//!   savepoint an object; writers wait for each other, and give up with a clear error after [`Options::busy`].
//! - **A watcher hears of a commit at once** and costs nothing while idle: the writer touches the wake file
//!   *after* COMMIT. (The WAL is written before the commit can be seen, so events of that are of no use.) A
//!   writer killed between the two wakes watchers as well, because the kernel closes its files; a slow poll
//!   ([`Options::poll`]) is the fallback.
//! - **The history is bounded.** The log keeps at least the last [`Options::keep`] changes and is trimmed by
//!   each writing transaction; older ones are answered as compacted. The WAL is checkpointed by writers, after
//!   the touch; no read is long enough to hinder that for more than a moment.
//! - **Who changed what is kept with it.** Each transaction is an entry with its author; each change keeps what was before it, so
//!   that it can be taken back. What waits for a confirmation is not trimmed, and is put back in one transaction.
//! - **What is not ours is not touched.** Another program's file, a newer schema, a network file system: an
//!   error that names the path and the fix. A file that does not exist is an empty store; only a write that
//!   creates an object makes it. A file that was there and is gone is an error, not an empty store.
//!
//! SQLite must be 3.51.3 or later: earlier ones have a bug that corrupts a WAL which several processes reset.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod connection;
mod create;
pub mod faults;
mod filesystem;
mod header;
mod history;
mod leases;
mod read;
mod schema;
mod sqlite_error;
mod store;
mod store_file;
mod wake;
mod watch;
mod write;

pub use store::{DEFAULT_PATH, Options, SqliteStore};
pub use watch::{Stats, Watcher};
