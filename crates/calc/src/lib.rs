//! The incremental engine: what one node must enforce, kept up to date at a cost that follows the change.
//!
//! ```text
//!   Update ──> items (who is where, with which labels) ──> members of sets ─────────────┐
//!         ──> policies, tiers, profiles ──> lists of rules ──> sets                     ├──flush──> Delta
//!         ──> local endpoints ──> classes (who shares policies) ──> programs ──> places ┘
//! ```
//!
//! An update changes the objects that the engine holds and the members of sets that are in use. A flush computes the rest, only
//! where something has changed. The engine uses no clock, thread or file: the same updates give the same deltas, and equal
//! stores give equal states, whatever their history.
//!
//! What makes it fast: selectors are indexed by what they require, so a change of labels visits only those that it can
//! affect; which selector matches which object is not stored, since it follows from the labels; endpoints that the same selectors
//! match share everything that follows from that; and only the sets of rules that apply to this node are kept.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cost;
mod endpoint_classes;
mod engine;
#[path = "../../testkit/src/faults/switch.rs"]
mod faults;
mod flush;
mod index;
mod intern;
mod items;
mod labels;
mod local_endpoints;
mod members;
mod names;
mod objects;
mod policies;
mod profiles;
mod programs;
mod release_memory;
mod rule_ends;
mod rules;
mod selectors;
mod sets;
mod slab;
mod unlabelled_members;
mod update;

pub use cost::Cost;
pub use engine::{Engine, Size};
pub use update::{Id, Update};
