//! What one node must enforce: a value, changes to it, and what any dataplane promises to do with them.
//!
//! ```text
//!   calc ──Delta──> Dataplane        State: sets <─ rules <─ programs <─ endpoints, host
//! ```
//!
//! Names follow from content, not from the order of changes: equal stores give equal states, whatever their history.
//! A [`Delta`] is applied as one change, in the order of its fields, so that nothing is used before it exists or
//! removed while it is used. [`Fake`] is a dataplane that keeps the state, checks that promise and judges packets by it.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod delta;
mod endpoint;
pub mod fake;
#[path = "../../testkit/src/faults/switch.rs"]
mod faults;
mod program;
mod rule;
mod set;
mod state;

pub use delta::{Dataplane, Delta, SetChange};
pub use endpoint::{Endpoint, HostState, PerDirection, Place, Programs};
pub use fake::Fake;
pub use program::{Profile, Program, ProgramEnd, ProgramId, Tier};
pub use rule::{End, Owner, PeerSet, Ports, Rule, RulesId, first_catch_all};
pub use set::{Members, PortMember, SetId};
pub use state::{InvalidDelta, SetState, State};
