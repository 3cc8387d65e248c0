//! An interpreter of nf_tables state: what the kernel would do with a packet, without sending one.
//!
//! A [`Ruleset`] is made of tables as [`dump`](crate::dump) read them. [`Ruleset::hook`] walks a
//! [`Packet`] through the base chains of one hook in the kernel's order and says what became of it,
//! which rules it passed, and which counters it moved. The packet itself carries on what was set: mark,
//! priority, connection. A drop ends the way; an accept ends only the base chain it is in.
//!
//! ```text
//!   dump ──> Ruleset ─┐
//!   Packet ───────────┼──> hook(prerouting) ──> hook(input) ──> ...   Outcome each
//!   Environment ─────┘    (routes, rates, connection counts: what a packet cannot know)
//! ```
//!
//! Every expression means what it means in the kernel, down to what a short transport load reads from
//! a non-first fragment. What is not understood, or left [`OpenBits`], is an [`InterpError`], never a guess. Real packets are the
//! proof: `tests/interp.rs` sends random ones through random tables and compares the counters.
//!
//! Source: `nft_do_chain` and the `*_eval` functions of `net/netfilter/`.

mod environment;
mod eval;
mod extension;
mod index;
mod loads;
mod nat;
mod packet;
mod packet_spec;
mod registers;
mod ruleset;
mod walk;

pub use environment::{Environment, FibAnswer, FibQuestion};
pub use packet::{Connection, Interface, OpenBits, Packet, Tracking};
pub use packet_spec::{Fragment, PacketSpec, TransportHeader};
pub use ruleset::{LoadError, NAT_DESTINATION, NAT_SOURCE, Ruleset};
pub use walk::{Counted, Ending, InterpError, Outcome, RuleAt, Step};

#[cfg(test)]
mod tests;
