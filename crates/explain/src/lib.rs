//! Users' questions about packets, and the answers in words: `tortie explain`.
//!
//! A [`Question`] names two ends and a protocol. [`Topology`] finds them in the store. [`trace()`] follows the packet over every
//! node on its path, hop by hop, and asks `eval` for the decision on each. [`text`] and [`json`] write the answer.
//!
//! Without a protocol, or if an end has many addresses, [`reach`] traces one packet of each class and groups those that
//! have the same answer. [`claim`] proves that all packets of a kind are allowed, or denied. [`endpoint`] says what applies to an
//! endpoint, [`policy`] what a policy decides, [`tier`] what a tier does, [`set`] what a network set is used for, [`profile`] what
//! a profile gives, [`node`] what is on a node; with the counters of rules ([`Counts`]) if they are known. [`mod@new_denial`] says which
//! connections a change would deny. [`policy_warnings()`] finds what is probably not intended in policies together.
//!
//! This crate has no store, no clock and no terminal: it turns values into values.

#![cfg_attr(test, allow(clippy::unwrap_used))]

/// Whether a deliberate mistake is switched on (feature `faults`).
#[cfg(feature = "faults")]
pub(crate) use tortie_testkit::faults::is_on as fault;
#[cfg(not(feature = "faults"))]
pub(crate) const fn fault(_: &str) -> bool {
    false
}

mod alike_interfaces;
mod answer;
mod bridged;
mod bypassed_host_endpoints;
pub mod claim;
mod conversion_notes;
mod counts;
mod dropped_by_routing;
pub mod endpoint;
mod entrances;
mod interfaces;
pub mod json;
mod multicast;
pub mod new_denial;
pub mod node;
pub mod not_in_force;
pub mod own_nat;
mod owners;
pub mod policy;
mod policy_warnings;
pub mod profile;
mod question;
pub mod reach;
mod relevant_conditions;
mod replaced_source;
mod services;
pub mod set;
mod several_addresses;
mod shortened_list;
mod staged;
pub mod suggest;
pub mod text;
pub mod tier;
mod topology;
mod trace;
mod translation;
mod transport_text;
mod undeliverable;
mod unknown_addresses;
mod unreachable;
mod unspecified_destination;
mod untracked_answers;

pub use answer::{Answer, Hop, OtherPrograms, PossiblePath};
pub use counts::Counts;
pub use policy_warnings::{PolicyWarning, PolicyWarningKind, policy_warnings, policy_warnings_of};
pub use question::{AskError, EndSpec, Question, State, TrafficSpec};
pub use replaced_source::ReplacedSource;
pub use services::{EndpointState, Service, ServiceAddress, ServiceEndpoint, ServicePort};
pub use shortened_list::shortened;
pub use staged::enforce_staged;
pub use topology::{AbsentPods, Location, Topology};
pub use trace::trace;
pub use translation::{Dnat, TranslatedBy};
