//! Sets of addresses in the user's own names: `10.65.0.2 (wep shop/db)`, `set office`, `198.51.100.0/24`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use tortie_policy::Snapshot;

use crate::addresses::AddressSet;

/// Everything that has a name and addresses.
pub struct Names {
    /// Network sets, by name.
    sets: Vec<(String, AddressSet)>,
    /// What stands at single addresses: endpoints, then nodes.
    singles: BTreeMap<IpAddr, String>,
}

impl Names {
    /// The names of a snapshot.
    pub fn new(snapshot: &Snapshot) -> Self {
        let mut singles: BTreeMap<IpAddr, String> = BTreeMap::new();
        let workloads = snapshot.workload_endpoints.values();
        for endpoint in workloads {
            let floating = endpoint.nats.iter().map(|nat| nat.external);
            for address in endpoint.addresses.iter().copied().chain(floating) {
                let name = || format!("wep {}/{}", endpoint.id.namespace, endpoint.id.name);
                singles.entry(address).or_insert_with(name);
            }
        }
        for endpoint in snapshot.host_endpoints.values() {
            for address in &endpoint.addresses {
                singles.entry(*address).or_insert_with(|| format!("hep {}", endpoint.name));
            }
        }
        for node in snapshot.nodes.values() {
            for address in node.addresses.iter().chain(&node.vxlan_peers) {
                singles.entry(*address).or_insert_with(|| format!("node {}", node.name));
            }
        }
        let sets = snapshot.network_sets.values();
        let sets = sets.map(|set| (set.id.to_string(), AddressSet::of_nets(&set.nets)));
        Self { sets: sets.filter(|(_, addresses)| !addresses.is_empty()).collect(), singles }
    }

    /// A set of addresses as parts that together are exactly it: network sets that are wholly in it, then single
    /// addresses with their names, then nets.
    pub fn parts(&self, addresses: &AddressSet) -> Vec<String> {
        let mut parts = Vec::new();
        let mut left = addresses.clone();
        for (name, set) in &self.sets {
            // A set of which nothing is left is told already, by others.
            if set.is_within(addresses) && set.meets(&left) {
                left = left.minus(set);
                parts.push(name.clone());
            }
        }
        let single: Vec<(&IpAddr, &String)> =
            self.singles.iter().filter(|(address, _)| left.contains(**address)).collect();
        left = left.minus(&AddressSet::of(single.iter().map(|(address, _)| *address)));
        parts.extend(single.iter().map(|(address, name)| format!("{address} ({name})")));
        parts.extend(left.nets().map(|net| {
            let whole = net.prefix_len() == net.max_prefix_len();
            if whole { net.addr().to_string() } else { net.to_string() }
        }));
        parts
    }
}
