//! The nftables dataplane: the desired state of one node as nf_tables objects, and how it gets into the kernel.
//!
//! ```text
//!   State ──render──> TableContent                  the whole table, as values
//!   Delta ──change──> Script ──> kernel        what a step changes, in one transaction or up to three
//!   kernel ──read_back──> TableContent              to compare
//! ```
//!
//! One table of family `inet` holds everything. Each stage at which endpoints judge packets is a base chain of its own, so a
//! verdict is a verdict and needs no mark (`stage`). Base chains (`skeleton`) dispatch by a map from interface to the
//! endpoint's program (`endpoint`), a program (`program`) jumps to the lists of rules (`rule_list`, `rule`) in their order, and
//! rules look addresses up in sets (`sets`). Lists of ports and nets are comparisons, or sets that rules share (`values`,
//! `set_references`). All of it follows from the state alone, so it is the same after a restart.
//!
//! An agent does this, all on one thread (the table belongs to the socket, and that to the thread's network namespace):
//!
//! ```no_run
//! # use tortie_dataplane::{Dataplane, Delta, State};
//! # use tortie_dataplane_nft::{ApplyError, Kernel, TableOptions};
//! # fn agent(store_in_sync: State, delta: Delta) -> Result<(), ApplyError> {
//! let mut kernel = Kernel::open(TableOptions::default())?;
//! kernel.adopt()?; // What an earlier agent left stays in force; connections are tracked from now on.
//! kernel.replace(store_in_sync)?; // Once the store is in sync: everything at once, no packet sees an empty moment.
//! kernel.apply(&delta)?; // Then only what changes. An empty change sends nothing.
//! for (refused, reason) in kernel.refused() {} // For status: what the kernel would not take, the rest is in force.
//! let mut watch = kernel.watch()?; // In a thread of its own: what others do to tables that are not owned is put right.
//! let damage = watch.wait_for_damage(std::time::Duration::from_secs(1))?;
//! kernel.repair_damage(&damage)?;
//! # Ok(()) }
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod change;
mod compare;
mod damage;
mod denied_log;
mod endpoint;
#[path = "../../testkit/src/faults/switch.rs"]
mod faults;
mod index;
mod kernel;
mod match_expr;
mod names;
mod options;
mod program;
mod programmed;
mod readback;
mod render;
mod rule;
mod rule_list;
mod script;
mod set_references;
mod sets;
mod skeleton;
mod stage;
mod state_view;
mod table_content;
mod undo;
mod values;
mod watch;

pub use compare::{
    Compared, Comparison, Difference, DifferenceKind, Origin, comment_text, compare, differences, element_text,
    element_verdict, interface_of, last_word,
};
pub use damage::Damage;
pub use denied_log::SEPARATOR as DENIED_SEPARATOR;
pub use kernel::{ApplyError, Existing, Kernel, Refused, TransactionSize};
pub use options::{Bits, TableOptions, TooFewBits};
pub use readback::read_back;
pub use render::{render, render_with_ipv6};
pub use skeleton::{FILTER, FLOATING_IPS, GIVES_SOURCE, MANGLE, RAW};
pub use table_content::{ChainContent, Line, SetContent, TableContent};
pub use watch::{Watch, WatchStatistics};
