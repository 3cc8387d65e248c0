//! Sets of addresses in the user's own names: `10.65.0.2 (wep shop/db)`, `set office`, `198.51.100.0/24`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use tortie_policy::{EndpointId, Snapshot};

use crate::addresses::AddressSet;
use crate::exceptions::{MAX_MISSING_PIECES, NetExcept, nets_with_exceptions};

/// A part with exceptions in parentheses, where it stands among others or is an exception itself, so that it is read in one way.
pub fn enclosed(part: &str) -> String {
    if part.contains(" except ") { format!("({part})") } else { part.to_owned() }
}

/// Everything that has a name and addresses.
pub struct Names {
    /// Network sets by name, then the nets that rules name, large ones first.
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
                let name = || EndpointId::Workload(endpoint.id.clone()).for_users().replacen('/', " ", 1);
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
        let policies = snapshot.policies.values().flat_map(|policy| policy.ingress.iter().chain(&policy.egress));
        let profiles = snapshot.profiles.values().flat_map(|profile| profile.ingress.iter().chain(&profile.egress));
        let sides = policies.chain(profiles).flat_map(|rule| [&rule.source, &rule.destination]);
        let nets: BTreeSet<(u8, IpNet)> = sides
            .flat_map(|side| side.nets.iter().chain(&side.not_nets))
            .filter(|net| net.prefix_len() > 0 && net.prefix_len() < net.max_prefix_len())
            .map(|net| (net.prefix_len(), net.trunc()))
            .collect();
        let nets = nets.into_iter().map(|(_, net)| (net.to_string(), AddressSet::of_nets([&net])));
        Self { sets: sets.chain(nets).filter(|(_, addresses)| !addresses.is_empty()).collect(), singles }
    }

    /// A set of addresses as parts that together are exactly it, as far as they are in `within`: network sets and nets
    /// that rules name, where all or nearly all of them is in it, then nets of which nearly all is in it where that is shorter, then single
    /// addresses with their names, then nets.
    pub fn parts(&self, addresses: &AddressSet, within: &AddressSet) -> Vec<String> {
        let mut parts = Vec::new();
        let mut left = addresses.clone();
        for (name, set) in &self.sets {
            if left.is_empty() {
                break;
            }
            // A set of which nothing is left is told already, by others.
            if !set.meets(&left) {
                continue;
            }
            let set = set.intersection(within);
            let new = set.intersection(&left);
            if new.is_empty() {
                continue;
            }
            let but: Vec<IpNet> = set.minus(addresses).nets().take(MAX_MISSING_PIECES + 1).collect();
            if but.is_empty() {
                parts.push(name.clone());
            } else if but.len() <= MAX_MISSING_PIECES && new.nets().count() > but.len() {
                let but: Vec<String> = but.iter().map(|net| self.net(net)).collect();
                parts.push(format!("{name} except {}", but.join(" and ")));
            } else {
                continue;
            }
            left = left.minus(&new);
        }
        // What has a name of its own is not worth a net.
        let named: Vec<IpAddr> = self.singles.keys().copied().filter(|address| left.contains(*address)).collect();
        // What is not asked about may be in a net or not.
        let meant = addresses.union(&AddressSet::all().minus(within));
        for NetExcept { net, exceptions } in nets_with_exceptions(&left.minus(&AddressSet::of(&named)), &meant) {
            let but: Vec<String> = exceptions.iter().map(|hole| self.net(hole)).collect();
            let except = if but.is_empty() { String::new() } else { format!(" except {}", but.join(" and ")) };
            parts.push(format!("{}{except}", self.net(&net)));
            left = left.minus(&AddressSet::of_nets([&net]));
        }
        let single: Vec<IpAddr> = self.singles.keys().copied().filter(|address| left.contains(*address)).collect();
        left = left.minus(&AddressSet::of(&single));
        parts.extend(single.into_iter().map(|address| self.net(&IpNet::from(address))));
        parts.extend(left.nets().map(|net| self.net(&net)));
        parts
    }

    /// A net, or an address with its name.
    fn net(&self, net: &IpNet) -> String {
        if net.prefix_len() < net.max_prefix_len() {
            return net.to_string();
        }
        match self.singles.get(&net.addr()) {
            Some(name) => format!("{} ({name})", net.addr()),
            None => net.addr().to_string(),
        }
    }
}
