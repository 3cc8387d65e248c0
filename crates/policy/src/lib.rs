//! The checked policy model: what the resources of a store mean, valid once built.
//!
//! `api` holds what users wrote; a value of this crate cannot hold anything that has no meaning. Each kind has one
//! file here for its meaning and one in `from_api/` for the way into it; an unreadable part has the path of its field.
//! [`Snapshot`] is everything at one revision: `eval` answers packets from it, `calc` follows its changes.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod endpoint;
pub mod from_api;
pub mod machine;
mod missing_tier;
pub mod packet;
mod policy;
mod referenced;
mod rule;
mod settings;
mod snapshot;

pub use endpoint::{
    EndpointId, GovernedInterfaces, HostEndpoint, HostPort, Labels, Limits, Missing, NamedPort, Nat, Rate,
    UNREADABLE_LABELS, UnsupportedQos, WorkloadEndpoint, WorkloadId, unreadable_labels,
};
pub use from_api::{Invalid, Item, MAX_SELECTOR_BYTES, Stored, enforced_kind, staged_deletion};
pub use missing_tier::missing_tier;
pub use policy::{Direction, Order, Policy, PolicyId, PolicyStage, Tier, TierEnd, Types};
pub use referenced::{EndpointSlice, NetworkSet, Node, Pool, Profile, ServiceId, SetId, SliceId};
pub use rule::{Action, Family, Icmp, PeerMatch, Peers, PortMatch, Rule, UnknownMembers, asks_unreadable};
pub use settings::{Failsafe, HostAction, LogLimit, NatOutgoing, Refusal, Settings};
pub use snapshot::Snapshot;
