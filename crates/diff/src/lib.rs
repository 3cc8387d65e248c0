//! What a change of the store means, for `tortie diff` and `--dry-run`.
//!
//! ```text
//!   stored before, stored after ──> objects    created, deleted, changed field by field
//!   in force before, in force after ─┬─> defaults   what happens to packets that no rule of a policy decides
//!                                    └─> verdicts   which packets of which endpoints are judged otherwise
//! ```
//!
//! Both sides are values: nothing is read here. Verdicts are computed, not sampled: [`verdicts()`] decides each
//! class of packets that the rules of both sides can distinguish and that may be judged otherwise, and reports exactly these
//! packets.
#![cfg_attr(test, allow(clippy::unwrap_used))]

/// Whether a deliberate mistake is switched on (feature `faults`).
#[cfg(feature = "faults")]
pub(crate) use tortie_testkit::faults::is_on as fault;
#[cfg(not(feature = "faults"))]
pub(crate) const fn fault(_: &str) -> bool {
    false
}

mod affected;
mod align;
mod applied;
mod decisions;
mod defaults;
mod endpoint_paths;
mod objects;
mod packet_classes;
mod reduced_snapshot;
mod regions;
mod rows;
mod rule_sequence;
mod traffic;
mod verdicts;
mod walk_facts;

pub use defaults::{Default, DefaultChange, defaults};
pub use objects::{Field, ObjectChange, ObjectWord, objects};
pub use verdicts::{TooMany, TrafficKind, VerdictChange, Verdicts, verdicts};
