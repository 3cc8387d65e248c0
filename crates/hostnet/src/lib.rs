//! The network of one host.
//!
//! ```text
//!   kernel ──links::Watcher──> interfaces and addresses, and what changes of them
//! ```
//!
//! [`links`] tells which interfaces there are and what addresses they have, first all, then changes.
//!
//! Everything speaks netlink itself and works on the network namespace of the thread that opened it. Reading picks
//! the few attributes that matter and passes over all others: a kernel newer than this text, or a link of an unheard-of
//! kind, is no reason to see nothing.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod links;
mod netlink;

pub use netlink::Error;
