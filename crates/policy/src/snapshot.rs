//! Everything in the store at one revision, as it is enforced.

use std::collections::{BTreeMap, BTreeSet};

use tortie_api::{Key, Kind};

use crate::endpoint::{HostEndpoint, WorkloadEndpoint, WorkloadId};
use crate::policy::{Policy, PolicyId, Tier};
use crate::referenced::{EndpointSlice, NetworkSet, Node, Pool, Profile, ServiceId, SetId, SliceId};
use crate::settings::Settings;

/// The whole of a store, checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Tiers that exist as resources, by name.
    pub tiers: BTreeMap<String, Tier>,
    /// Policies, staged ones too.
    pub policies: BTreeMap<PolicyId, Policy>,
    /// Enforced policies whose deletion is staged; they hold until then.
    pub staged_deletions: BTreeSet<PolicyId>,
    /// Profiles, the built-in one too.
    pub profiles: BTreeMap<String, Profile>,
    /// Host endpoints of every node, by name.
    pub host_endpoints: BTreeMap<String, HostEndpoint>,
    /// Workload endpoints of every node.
    pub workload_endpoints: BTreeMap<WorkloadId, WorkloadEndpoint>,
    /// Network sets.
    pub network_sets: BTreeMap<SetId, NetworkSet>,
    /// The endpoints of services; see [`Snapshot::slices_of`].
    pub slices: BTreeMap<SliceId, EndpointSlice>,
    /// Nodes.
    pub nodes: BTreeMap<String, Node>,
    /// What of objects of Kubernetes could not be converted, as lines for users. It is not in force.
    pub left_out: BTreeMap<Key, Vec<String>>,
    /// Pools.
    pub pools: BTreeMap<String, Pool>,
    /// The settings of each node that has its own; see [`Snapshot::settings`].
    pub node_settings: BTreeMap<String, Settings>,
    /// The settings of all other nodes.
    pub default_settings: Settings,
}

impl Snapshot {
    /// The settings in force on a node.
    pub fn settings(&self, node: &str) -> &Settings {
        self.node_settings.get(node).unwrap_or(&self.default_settings)
    }

    /// The endpoints of a service: slices in its namespace that name it.
    pub fn slices_of(&self, service: &ServiceId) -> impl Iterator<Item = &EndpointSlice> {
        let namespace = &service.namespace;
        let first = SliceId { namespace: namespace.clone(), name: String::new() };
        let inside = self.slices.range(first..).take_while(move |(id, _)| id.namespace == *namespace);
        inside.map(|(_, slice)| slice).filter(move |slice| slice.service == *service)
    }

    /// Removes the object of a key. The built-in profile takes the place of a deleted profile with its name.
    pub fn remove(&mut self, key: &Key) {
        let Key { kind, namespace, name } = key.clone();
        match kind {
            Kind::Tier => drop(self.tiers.remove(&name)),
            Kind::Profile => {
                self.profiles.remove(&name);
                let open = Profile::default_allow();
                if open.name == name {
                    self.profiles.insert(name, open);
                }
            }
            Kind::HostEndpoint => drop(self.host_endpoints.remove(&name)),
            Kind::WorkloadEndpoint => drop(self.workload_endpoints.remove(&WorkloadId { namespace, name })),
            Kind::NetworkSet | Kind::GlobalNetworkSet => drop(self.network_sets.remove(&SetId { namespace, name })),
            Kind::Node => drop(self.nodes.remove(&name)),
            Kind::IPPool => drop(self.pools.remove(&name)),
            Kind::KubernetesEndpointSlice => drop(self.slices.remove(&SliceId { namespace, name })),
            Kind::NetworkPolicy
            | Kind::GlobalNetworkPolicy
            | Kind::StagedNetworkPolicy
            | Kind::StagedGlobalNetworkPolicy
            | Kind::StagedKubernetesNetworkPolicy
            | Kind::KubernetesNetworkPolicy
            | Kind::KubernetesClusterNetworkPolicy => drop(self.policies.remove(&PolicyId { kind, namespace, name })),
            _ => {}
        }
    }
}
