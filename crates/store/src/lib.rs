//! What any store of resources promises.
//!
//! A [`Store`] keeps bytes (the JSON of one object) under a [`Key`](tortie_api::Key) and knows nothing of
//! their meaning. Every version of an object has its own [`Revision`]; a watch gives every change after a [`Position`] once
//! and in order, or says that the history from there on is [`StoreError::Compacted`].
//!
//! ```text
//!   list(selection) ──> Listing { position: 41, items }      what is
//!   watch(selection, 41) ──> Put(42) ─> Deleted(43) ─> …      every later change, without a gap
//! ```
//!
//! What stores differ in is part of the contract: whether all kinds have one history ([`Abilities`]), and what can be done
//! with objects of a kind ([`Store::supports`]).
//!
//! The calls block: a caller that wants to wait for several things at once gives each a thread. A backend
//! that needs an async runtime keeps it to itself.
//!
//! [`memory`] is the smallest store that keeps the promises,
//! [`Overlay`] one that keeps changes to itself over another store, for plans;
//! `conformance` (feature `conformance`) is the suite that every backend runs to show that it keeps them too; `Layer`, of the same
//! feature, is for stores that tests put in front of another.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod abilities;
pub mod backoff;
mod contract;
mod definitions;
mod error;
pub mod history;
mod leases;
mod left_out;
pub mod locked_file;
pub mod memory;
mod object;
mod overlay;
mod position;
mod revision;
pub mod status_reports;
pub mod system_ca;
mod write;

#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "conformance")]
mod layer;

pub use abilities::{Abilities, Operation, Support, Unsupported};
pub use backoff::{Backoff, part_of};
pub use contract::{Store, Watch, list_by_pages, unread_in_one_line};
pub use definitions::Definitions;
pub use error::StoreError;
pub use history::{Author, History, HistoryEntry};
#[cfg(feature = "conformance")]
pub use layer::Layer;
pub use leases::{Holding, Leases};
pub use left_out::{Effect, LeftOut};
pub use object::{Event, Listing, Purpose, Selection, Stored, Value};
pub use overlay::Overlay;
pub use position::Position;
pub use revision::Revision;
pub use status_reports::StatusReports;
pub use write::{Op, Stopped, Write, WriteError, Written, WrittenTogether};
