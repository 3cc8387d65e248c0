//! A reduced snapshot, before or after the change, with only the endpoints, profiles and settings that can concern packets of one
//! interface, and without policies. In a large store only these are evaluated.

use std::collections::BTreeMap;

use tortie_policy::packet::{Host, Link};
use tortie_policy::{GovernedInterfaces, HostEndpoint, Snapshot, WorkloadEndpoint};

use crate::endpoint_paths::OTHER;

/// What a packet is judged by.
#[derive(Clone, Debug)]
pub(crate) struct ReducedSnapshot {
    /// All that can matter of a side, and more is no mistake.
    pub(crate) snapshot: Snapshot,
    /// The node, with the interface and none of its others.
    pub(crate) host: Host,
}

/// One side, ordered by where its endpoints are.
pub(crate) struct ReducedSnapshots<'a> {
    side: &'a Snapshot,
    named: BTreeMap<(&'a str, &'a str), Vec<&'a HostEndpoint>>,
    /// Host endpoints that no interface is named for, by node.
    others: BTreeMap<&'a str, Vec<&'a HostEndpoint>>,
    workloads: BTreeMap<(&'a str, &'a str), Vec<&'a WorkloadEndpoint>>,
    /// Workloads with floating IPs, by node.
    floating: BTreeMap<&'a str, Vec<&'a WorkloadEndpoint>>,
}

impl<'a> ReducedSnapshots<'a> {
    pub(crate) fn new(side: &'a Snapshot) -> Self {
        let mut parts = Self {
            side,
            named: BTreeMap::new(),
            others: BTreeMap::new(),
            workloads: BTreeMap::new(),
            floating: BTreeMap::new(),
        };
        for endpoint in side.host_endpoints.values() {
            match &endpoint.interface {
                GovernedInterfaces::Named(name) => {
                    parts.named.entry((&endpoint.node, name)).or_default().push(endpoint)
                }
                _ => parts.others.entry(&endpoint.node).or_default().push(endpoint),
            }
        }
        for endpoint in side.workload_endpoints.values() {
            parts.workloads.entry((&endpoint.node, &endpoint.interface)).or_default().push(endpoint);
            if !endpoint.nats.is_empty() {
                parts.floating.entry(&endpoint.node).or_default().push(endpoint);
            }
        }
        parts
    }

    /// The endpoints that may govern an interface, or one that no endpoint is named for; without any policy.
    pub(crate) fn governing(&self, host: &Host, interface: &str) -> ReducedSnapshot {
        let node = host.node.as_str();
        let links: Vec<Link> =
            host.links.iter().filter(|link| link.name == interface || link.name == OTHER).cloned().collect();
        let is_here = |endpoint: &HostEndpoint| {
            endpoint.interface != GovernedInterfaces::ByAddress
                || links.iter().any(|link| endpoint.addresses.iter().any(|one| link.addresses.contains(one)))
        };
        let names = [interface, OTHER];
        let named = names.iter().filter_map(|name| self.named.get(&(node, *name)));
        let others = self.others.get(node).into_iter().flatten().filter(|endpoint| is_here(endpoint));
        let hosts = named.flatten().chain(others);
        let workloads = names.iter().filter_map(|name| self.workloads.get(&(node, *name)));
        let workloads = workloads.chain(self.floating.get(node)).flatten();
        let mut snapshot = Snapshot {
            host_endpoints: hosts.map(|one| (one.name.clone(), (*one).clone())).collect(),
            workload_endpoints: workloads.map(|one| (one.id.clone(), (*one).clone())).collect(),
            default_settings: self.side.settings(node).clone(),
            ..Snapshot::default()
        };
        self.add_profiles(&mut snapshot);
        ReducedSnapshot { snapshot, host: Host { node: node.to_owned(), links } }
    }

    /// The profiles that the endpoints and sets of a part name.
    fn add_profiles(&self, snapshot: &mut Snapshot) {
        let hosts = snapshot.host_endpoints.values().flat_map(|one| &one.profiles);
        let workloads = snapshot.workload_endpoints.values().flat_map(|one| &one.profiles);
        let sets = snapshot.network_sets.values().flat_map(|one| &one.profile);
        let names = hosts.chain(workloads).chain(sets);
        let found = names.filter_map(|name| self.side.profiles.get_key_value(name));
        snapshot.profiles = found.map(|(name, profile)| (name.clone(), profile.clone())).collect();
    }
}
