//! The nftables dataplane: the desired state of one node as nf_tables objects, and how it gets into the kernel.
//!
//! ```text
//!   State ──render──> Ruleset        values; the whole table
//! ```
//!
//! One table of family `inet` holds everything. A place where an endpoint has its say is a base chain of its own, so a
//! verdict is a verdict and needs no mark (`stage`). Base chains (`skeleton`) dispatch by a map from interface to the
//! endpoint's program (`place`), a program (`program`) jumps to the lists of rules (`list`, `rule`) in their order, and
//! rules look addresses up in sets (`sets`). All of it follows from the state alone, so it is the same after a restart.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod batch;
mod form;
mod list;
mod names;
mod options;
mod place;
mod program;
mod render;
mod rule;
mod sets;
mod skeleton;
mod stage;
mod words;

pub use batch::replace;
pub use form::{ChainForm, Line, Ruleset, SetForm};
pub use options::{Bits, Options, TooFewBits};
pub use render::render;
