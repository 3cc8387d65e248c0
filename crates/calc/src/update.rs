//! The updates that the engine receives.

use tortie_api::{Key, Kind};
use tortie_policy::packet::Link;
use tortie_policy::{Item, PolicyId, SetId, Settings, SliceId, WorkloadId};

/// One change of the store, of this node's settings or of its interfaces.
#[derive(Clone, Debug)]
pub enum Update {
    /// An object exists; it replaces one with the same name.
    Put(Item),
    /// An object was deleted.
    Delete(Id),
    /// The settings of this node.
    Settings(Box<Settings>),
    /// The interfaces of this node, all of them, with their addresses.
    Links(Vec<Link>),
    /// The present state of one interface of this node; none if it does not exist.
    Link(String, Option<Link>),
}

/// The identity of an object, for its deletion.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Id {
    /// A tier.
    Tier(String),
    /// A policy of any kind.
    Policy(PolicyId),
    /// A profile.
    Profile(String),
    /// A host endpoint.
    HostEndpoint(String),
    /// A workload endpoint.
    WorkloadEndpoint(WorkloadId),
    /// A network set of either scope.
    NetworkSet(SetId),
    /// A node.
    Node(String),
    /// A pool.
    Pool(String),
    /// Endpoints of a service.
    EndpointSlice(SliceId),
}

impl Id {
    /// The identity of an item; none for items that have no meaning for the engine.
    pub fn of(item: &Item) -> Option<Id> {
        Some(match item {
            Item::Tier(tier) => Id::Tier(tier.name.clone()),
            Item::Policy(policy) => Id::Policy(policy.id.clone()),
            Item::Profile(profile) => Id::Profile(profile.name.clone()),
            Item::HostEndpoint(endpoint) => Id::HostEndpoint(endpoint.name.clone()),
            Item::WorkloadEndpoint(endpoint) => Id::WorkloadEndpoint(endpoint.id.clone()),
            Item::NetworkSet(set) => Id::NetworkSet(set.id.clone()),
            Item::Node(node) => Id::Node(node.name.clone()),
            Item::Pool(pool) => Id::Pool(pool.name.clone()),
            Item::EndpointSlice(slice) => Id::EndpointSlice(slice.id.clone()),
            Item::Nothing => return None,
        })
    }

    /// The identity of the object with a key; none for kinds that the engine does not use.
    pub fn named(key: Key) -> Option<Id> {
        let Key { kind, namespace, name } = key;
        Some(match kind {
            Kind::Tier => Id::Tier(name),
            Kind::Profile => Id::Profile(name),
            Kind::HostEndpoint => Id::HostEndpoint(name),
            Kind::WorkloadEndpoint => Id::WorkloadEndpoint(WorkloadId { namespace, name }),
            Kind::NetworkSet | Kind::GlobalNetworkSet => Id::NetworkSet(SetId { namespace, name }),
            Kind::Node => Id::Node(name),
            Kind::IPPool => Id::Pool(name),
            Kind::KubernetesEndpointSlice => Id::EndpointSlice(SliceId { namespace, name }),
            Kind::NetworkPolicy
            | Kind::GlobalNetworkPolicy
            | Kind::StagedNetworkPolicy
            | Kind::StagedGlobalNetworkPolicy
            | Kind::StagedKubernetesNetworkPolicy
            | Kind::KubernetesNetworkPolicy
            | Kind::KubernetesClusterNetworkPolicy => Id::Policy(PolicyId { kind, namespace, name }),
            _ => return None,
        })
    }
}
