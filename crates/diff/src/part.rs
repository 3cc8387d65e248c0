//! What packets of one interface can meet of a side. Of a large store nothing else is asked packet by packet.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use tortie_eval::{effective_labels, selects};
use tortie_policy::packet::{Host, Link};
use tortie_policy::{
    HostEndpoint, Interface, Labels, Missing, NamedPort, NetworkSet, Peers, PortMatch, Rule, Snapshot,
    UNREADABLE_LABELS, WorkloadEndpoint,
};

use crate::ways::OTHER;

/// What a packet is judged by.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// All that can matter of a side, and more is no mistake.
    pub(crate) snapshot: Snapshot,
    /// The node, with the interface and none of its others.
    pub(crate) host: Host,
}

/// One side, ordered by where its endpoints are.
pub(crate) struct Parts<'a> {
    side: &'a Snapshot,
    named: BTreeMap<(&'a str, &'a str), Vec<&'a HostEndpoint>>,
    /// Host endpoints that no interface is named for, by node.
    others: BTreeMap<&'a str, Vec<&'a HostEndpoint>>,
    workloads: BTreeMap<(&'a str, &'a str), Vec<&'a WorkloadEndpoint>>,
    /// Workloads with floating IPs, by node.
    floating: BTreeMap<&'a str, Vec<&'a WorkloadEndpoint>>,
    labels: OnceCell<AllLabels<'a>>,
}

/// Everything that rules may ask for by label, with its labels.
struct AllLabels<'a> {
    hosts: Vec<(&'a HostEndpoint, Labels)>,
    workloads: Vec<(&'a WorkloadEndpoint, Labels)>,
    sets: Vec<(&'a NetworkSet, Labels)>,
}

/// What the rules that may be asked want to know of other endpoints and sets.
struct Asked {
    peers: Vec<Peers>,
    named_ports: bool,
    services: bool,
}

impl<'a> Parts<'a> {
    pub(crate) fn new(side: &'a Snapshot) -> Self {
        let mut parts = Self {
            side,
            named: BTreeMap::new(),
            others: BTreeMap::new(),
            workloads: BTreeMap::new(),
            floating: BTreeMap::new(),
            labels: OnceCell::new(),
        };
        for endpoint in side.host_endpoints.values() {
            match &endpoint.interface {
                Interface::Named(name) => parts.named.entry((&endpoint.node, name)).or_default().push(endpoint),
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
    pub(crate) fn governing(&self, host: &Host, interface: &str) -> Part {
        let node = host.node.as_str();
        let links: Vec<Link> =
            host.links.iter().filter(|link| link.name == interface || link.name == OTHER).cloned().collect();
        let is_here = |endpoint: &HostEndpoint| {
            endpoint.interface != Interface::ByAddress
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
        Part { snapshot, host: Host { node: node.to_owned(), links } }
    }

    /// The same with everything that judging a packet asks: the policies of those endpoints, and what their rules ask for.
    pub(crate) fn judging(&self, host: &Host, interface: &str) -> Part {
        let mut part = self.governing(host, interface);
        let Part { snapshot, .. } = &mut part;
        let of = |labels, profiles: &[String]| effective_labels(self.side, labels, profiles);
        let hosts = snapshot.host_endpoints.values().map(|one| of(&one.labels, &one.profiles));
        let workloads = snapshot.workload_endpoints.values().map(|one| of(&one.labels, &one.profiles));
        let subjects: Vec<Labels> = hosts.chain(workloads).collect();
        let policies = self.side.policies.iter();
        let policies = policies.filter(|(_, policy)| subjects.iter().any(|labels| policy.selector.matches(labels)));
        snapshot.policies = policies.map(|(id, policy)| (id.clone(), policy.clone())).collect();
        snapshot.tiers = self.side.tiers.clone();
        snapshot.nodes = self.side.nodes.clone();
        snapshot.pools = self.side.pools.clone();
        let asked = Asked::by(snapshot);
        if asked.services {
            snapshot.slices = self.side.slices.clone();
        }
        self.add_members(&asked, snapshot);
        self.add_profiles(snapshot);
        part
    }

    /// What rules ask for by label or by the name of a port. What cannot be read may be any of it.
    fn add_members(&self, asked: &Asked, snapshot: &mut Snapshot) {
        let all = self.labels.get_or_init(|| AllLabels::of(self.side));
        for (one, labels) in &all.hosts {
            if asked.meets(labels) || asked.meets_ports(&one.ports, one.missing) {
                snapshot.host_endpoints.insert(one.name.clone(), (*one).clone());
            }
        }
        for (one, labels) in &all.workloads {
            if asked.meets(labels) || asked.meets_ports(&one.ports, one.missing) {
                snapshot.workload_endpoints.insert(one.id.clone(), (*one).clone());
            }
        }
        let sets = all.sets.iter().filter(|(_, labels)| asked.meets(labels));
        snapshot.network_sets.extend(sets.map(|(one, _)| (one.id.clone(), (*one).clone())));
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

impl<'a> AllLabels<'a> {
    fn of(side: &'a Snapshot) -> Self {
        let of = |labels, profiles: &[String]| effective_labels(side, labels, profiles);
        Self {
            hosts: side.host_endpoints.values().map(|one| (one, of(&one.labels, &one.profiles))).collect(),
            workloads: side.workload_endpoints.values().map(|one| (one, of(&one.labels, &one.profiles))).collect(),
            sets: side.network_sets.values().map(|one| (one, of(&one.labels, one.profile.as_slice()))).collect(),
        }
    }
}

impl Asked {
    /// By all rules of a part.
    fn by(snapshot: &Snapshot) -> Self {
        let policies = snapshot.policies.values().flat_map(|one| one.ingress.iter().chain(&one.egress));
        let profiles = snapshot.profiles.values().flat_map(|one| one.ingress.iter().chain(&one.egress));
        let mut asked = Self { peers: Vec::new(), named_ports: false, services: false };
        for Rule { source, destination, .. } in policies.chain(profiles) {
            for side in [source, destination] {
                let is_named = |port: &PortMatch| matches!(port, PortMatch::Named(_));
                asked.named_ports |= side.ports.iter().chain(&side.not_ports).any(is_named);
                asked.services |= side.service.is_some();
                let new = side.peers.as_deref().filter(|peers| !asked.peers.contains(peers));
                asked.peers.extend(new.cloned().into_iter().collect::<Vec<_>>());
            }
        }
        asked
    }

    fn meets(&self, labels: &Labels) -> bool {
        labels.contains_key(UNREADABLE_LABELS) || self.peers.iter().any(|peers| selects(&peers.selector, labels))
    }

    fn meets_ports(&self, ports: &[NamedPort], missing: Missing) -> bool {
        self.named_ports && (!ports.is_empty() || missing.addresses || missing.ports)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tortie_testkit::worlds::{Step, World};

    use super::*;

    /// A store of many endpoints, each with a policy of its own, which asks for a set.
    fn world(count: usize) -> World {
        let mut world = World::new();
        let mut put = |object: Value| world.apply(&Step::Put(object)).unwrap();
        for n in 0..count {
            let (node, own) = (format!("n{}", n % 3), format!("x{n}"));
            put(json!({"kind": "HostEndpoint", "name": own, "labels": {"x": own},
                "spec": {"node": node, "interfaceName": format!("eth{n}"), "expectedIPs": [format!("192.0.2.{n}")]}}));
            put(json!({"kind": "GlobalNetworkSet", "name": own, "labels": {"set": own}, "spec": {"nets": []}}));
            put(json!({"kind": "GlobalNetworkPolicy", "name": own, "labels": {}, "spec": {
                "selector": format!("x == '{own}'"), "types": ["Ingress"],
                "ingress": [{"action": "Allow", "source": {"selector": format!("set == '{own}' || x == 'x1'")}}]}}));
        }
        world
    }

    #[test]
    fn what_a_packet_is_judged_by_does_not_grow_with_the_rest_of_the_store() {
        for count in [4, 40, 200] {
            let world = world(count);
            let host = Host { node: "n0".to_owned(), links: Vec::new() };
            let Part { snapshot, .. } = Parts::new(&world.snapshot).judging(&host, "eth0");
            let endpoints: Vec<&String> = snapshot.host_endpoints.keys().collect();
            assert_eq!(endpoints, ["x0", "x1"], "its own, and the one that its rule asks for");
            assert_eq!((snapshot.policies.len(), snapshot.network_sets.len()), (1, 1), "of {count}");
        }
    }
}
