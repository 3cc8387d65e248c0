//! The owner of an address: a workload, also by a floating IP, otherwise a node.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use tortie_eval::Host;
use tortie_policy::{Snapshot, WorkloadEndpoint};

/// The owner of an address. Of several workloads it is the first by namespace and name.
#[derive(Clone, Debug)]
pub(crate) enum Owner<'a> {
    /// A workload.
    Workload(&'a WorkloadEndpoint),
    /// A node, by its name.
    Node(String),
}

/// Whether the addresses of a node are known from its machine. If they are, those in the store, which may be outdated, are ignored.
pub(crate) fn tells_addresses(host: &Host) -> bool {
    host.links.iter().flat_map(|link| &link.addresses).any(|address| !address.is_loopback())
}

/// Every address that somebody has, with its owner. Of nodes whose machine tells its addresses the store is not asked, and
/// those of known machines come first.
pub(crate) fn owners<'a>(snapshot: &'a Snapshot, hosts: &BTreeMap<String, Host>) -> BTreeMap<IpAddr, Owner<'a>> {
    let mut owners = BTreeMap::new();
    // An endpoint whose place cannot be read hides none that has one.
    let (placed, others): (Vec<_>, Vec<_>) = snapshot.workload_endpoints.values().partition(|one| one.has_place());
    // Of several workloads of a node with one floating IP, it leads to that with the lowest address.
    let mut lowest: HashMap<(&str, IpAddr), (IpAddr, &WorkloadEndpoint)> = HashMap::new();
    for endpoint in &placed {
        for nat in endpoint.nats.iter().filter(|_| snapshot.settings(&endpoint.node).floating_ips) {
            let of = lowest.entry((&endpoint.node, nat.external)).or_insert((nat.internal, endpoint));
            if nat.internal < of.0 {
                *of = (nat.internal, endpoint);
            }
        }
    }
    for endpoint in placed.into_iter().chain(others) {
        for address in &endpoint.addresses {
            owners.entry(*address).or_insert(Owner::Workload(endpoint));
        }
        for nat in &endpoint.nats {
            if let Some((_, endpoint)) = lowest.get(&(endpoint.node.as_str(), nat.external)) {
                owners.entry(nat.external).or_insert(Owner::Workload(endpoint));
            }
        }
    }
    let links = hosts.values().flat_map(|host| host.links.iter().map(|link| (&host.node, &link.addresses)));
    let placed = snapshot.host_endpoints.values().filter(|endpoint| !endpoint.node.is_empty());
    let endpoints = placed.map(|endpoint| (&endpoint.node, &endpoint.addresses));
    let nodes = snapshot.nodes.values().map(|node| (&node.name, &node.addresses));
    let is_unknown = |(node, _): &(&String, _)| !hosts.get(*node).is_some_and(tells_addresses);
    for (node, addresses) in links.chain(endpoints.chain(nodes).filter(is_unknown)) {
        for address in addresses {
            owners.entry(*address).or_insert_with(|| Owner::Node(node.clone()));
        }
    }
    owners
}
