//! etcd as the store, in Calico's layout: key for key and byte for byte, so that Calico's own components can
//! work on the same etcd beside us.
//!
//! ```text
//!   list   ── Range, Range, … ──┐  pages bounded by bytes, all at one revision
//!   write  ── Txn ──────────────┼──> one member; another one when it does not answer
//!   watch  ── one stream ───────┘  resumes where it was, or says "compacted"
//! ```
//!
//! What is promised, and what keeps it:
//!
//! - **A write is made once.** Every change has its condition in the transaction itself. When a connection is lost
//!   under a write, the write is tried again; if its condition does not hold any more because it had been made, that
//!   is found out and it counts as made.
//! - **A watch misses nothing and repeats nothing**, over lost connections and changes of the leader. It goes on
//!   after the last revision that it had whole. Progress notifications move that on while nothing happens, so that an
//!   idle watch is not compacted away. A member without a leader, or one that does not answer, is left.
//! - **Nothing is skipped in silence.** A key of this layout that names no kind we know is reported by
//!   [`Store::unread`](tortie_store::Store::unread). Values are bytes here; who reads them reports what he cannot read.
//! - **What tortie writes is kept with what was before**, in the transaction itself, under a prefix of its own (`history`).
//! - **A large batch is a few transactions**: writes within one share its revision and are seen at once or not at all.
//!
//! The runtime that gRPC needs stays inside; calls block and must not be made from
//! a runtime's own thread. The dozen messages that we send are written down in `wire`: every client library for etcd
//! generates them with `protoc`, which whoever builds tortie would have to have.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod all_or_nothing;
mod call_error;
mod connection;
mod discover;
mod history;
mod leases;
mod page;
mod path;
mod rpc;
mod runtime;
mod settings;
mod status_reports;
mod store;
mod tls;
mod unknown_keys;
mod watch;
mod wire;
mod write;

pub use settings::{Pem, RawSettings, Settings, SettingsError, TlsFiles, User};
pub use store::EtcdStore;
pub use watch::EtcdWatch;
