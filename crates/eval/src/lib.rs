//! The reference evaluator: what decides a packet, and why. It is the definition of our semantics.
//!
//! [`judge()`] takes everything in the store, one node's interfaces and one packet, and gives the [`Verdict`] with its
//! path: every stage that the packet passes on that node, in order, and in each what was evaluated and what decided.
//! It is slow, obvious and complete: no index, no cache, no cleverness. Its functions follow the
//! order of the kernel's hooks. [`Judge`] gives the same verdicts on many packets: it finds endpoints, their policies and the owners of
//! addresses once, and asks the same functions.
//! `calc` and the dataplane answer the same questions by other means and are held against it.

mod builtin;
mod default_decision;
mod endpoints;
mod failsafe_text;
mod governing;
mod judge;
mod many_packets;
mod matching;
mod members;
mod named_ports;
mod policies;
mod single_rule;
mod verdict;

pub use builtin::{failsafe, needs_hop_limit_255, usual_hop_limit};
pub use default_decision::DefaultDecision;
pub use endpoints::Endpoints;
pub use failsafe_text::failsafe_list;
pub use governing::{
    PolicyList, Subject, TierView, host_endpoint, specific_host_endpoint, wildcard_host_endpoint, workload_endpoint,
};
pub use judge::{Policies, decide, judge, judge_with};
pub use many_packets::Judge;
pub use matching::{PacketHeader, protocol_name};
pub use members::{effective_labels, has_members, has_too_many_ports, is_member, names_at, selects, unknown_member};
pub use single_rule::{End, single_rule};
pub use tortie_policy::packet::{Conntrack, Host, Link, Packet, PacketPath, Transport};
pub use verdict::{Builtin, DecidedBy, Decision, Entry, EntryKind, Mismatch, Outcome, RuleStep, Stage, Step, Verdict};
