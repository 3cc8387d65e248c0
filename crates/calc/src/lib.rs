//! The incremental engine: what one node must enforce, kept up to date at a cost that follows the change.
//!
//! ```text
//!   Update ──> items (who is where, with which labels) ──> members of sets ─────────────┐
//!         ──> policies, tiers, profiles ──> lists of rules ──> sets                     ├──flush──> Delta
//!         ──> local endpoints ──> classes (who shares policies) ──> programs ──> places ┘
//! ```
//!
//! An update changes the engine's own picture, and the members of sets that are in use; the rest is worked out by a
//! flush, only where something has changed. There is no clock, no thread and no file here: the same updates give the
//! same deltas, and equal stores give equal states, whatever the way there.
//!
//! What makes it fast: selectors are filed by what they require, so a change of labels meets only those that it can
//! concern; nothing remembers who matches what, since it follows from the labels; endpoints that the same selectors
//! match share what follows from that; and sets are held only for the rules that apply here.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod classes;
mod cost;
mod ends;
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
mod peers;
mod policies;
mod profiles;
mod programs;
mod rules;
mod selectors;
mod sets;
mod shrink;
mod slab;
mod update;

pub use cost::Cost;
pub use engine::{Engine, Size};
pub use update::{Id, Update};
