//! What a change of the store means, for `tortie diff` and `--dry-run`.
//!
//! ```text
//!   stored before, stored after ──> objects    created, deleted, changed field by field
//!   in force before, in force after ─┬─> defaults   what becomes of a packet that no rule of a policy decides
//!                                    └─> verdicts   which packets of which endpoints are judged otherwise
//! ```
//!
//! Both sides are values: nothing is read here. Verdicts are computed, not sampled: [`verdicts()`] judges one packet of each
//! class that the rules of both sides can tell apart, and a class is told exactly.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod affected;
mod cells;
mod defaults;
mod objects;
mod part;
mod traffic;
mod verdicts;
mod ways;

pub use defaults::{Default, DefaultChange, defaults};
pub use objects::{Field, ObjectChange, ObjectWord, objects};
pub use verdicts::{Reach, TooMany, VerdictChange, Verdicts, verdicts};
