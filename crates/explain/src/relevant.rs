//! The conditions that can tell the packets of a question apart: the rules, settings and endpoints that may judge them, and
//! the locations of addresses.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;
use tortie_classes::{AddressSet, Conditions, Domain, Ranges};
use tortie_eval::Subject;
use tortie_policy::{Direction, Labels, PolicyId, Profile, Settings, Snapshot, WorkloadEndpoint};

use crate::owners::Owner;
use crate::question::Question;
use crate::topology::{Location, Topology};

/// One end of a question, resolved.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// One location.
    Single(Location),
    /// Many addresses.
    Many(AddressSet),
}

impl End {
    pub(crate) fn addresses(&self) -> AddressSet {
        match self {
            End::Single(location) => AddressSet::of(location.addresses()),
            End::Many(addresses) => addresses.clone(),
        }
    }

    fn node(&self) -> Option<&str> {
        match self {
            End::Single(location) => location.node(),
            End::Many(_) => None,
        }
    }
}

/// Addresses that routes do not tell the link of.
const ON_ANY_LINK: [&str; 2] = ["169.254.0.0/16", "fe80::/10"];

/// The conditions that the packets of a question may meet.
pub(crate) fn conditions<'a>(
    topology: &Topology<'_>,
    snapshot: &'a Snapshot,
    question: &Question,
    from: &End,
    to: &End,
) -> Conditions<'a> {
    let translated = question.dnat.iter().map(|(address, _)| address);
    let source_ports = question.source_port.map_or(Ranges::span(0u16, u16::MAX), Ranges::one);
    let domain = Domain {
        source: from.addresses(),
        destination: to.addresses(),
        translated: AddressSet::of(translated),
        source_ports,
    };
    let mut relevant = Relevant {
        snapshot,
        nodes: BTreeSet::new(),
        policies: BTreeSet::new(),
        profiles: BTreeSet::new(),
        seen: HashMap::new(),
        interfaces: HashMap::new(),
    };
    for endpoint in snapshot.workload_endpoints.values() {
        relevant.interfaces.entry((&endpoint.node, &endpoint.interface)).or_default().push(endpoint);
    }
    let behind = question.dnat.map(|(address, _)| topology.at(address));
    relevant.nodes.extend([from.node(), to.node(), question.node.as_deref()].into_iter().flatten().map(str::to_owned));
    relevant.nodes.extend(behind.iter().filter_map(Location::node).map(str::to_owned));
    for end in [from, to].into_iter().chain(behind.map(End::Single).as_ref()) {
        if let End::Single(Location::Workload(endpoint)) = end {
            relevant.sharing(endpoint);
        }
    }
    let mut conditions = Conditions::new(snapshot, domain);
    for (end, is_source) in [(from, true), (to, false)] {
        if let End::Many(addresses) = end {
            for group in relevant.address_groups(topology, addresses) {
                if is_source { conditions.add_source(&group) } else { conditions.add_destination(&group) }
            }
        }
    }
    relevant.host_endpoints();
    relevant.add(&mut conditions);
    conditions
}

/// What is relevant for a question.
struct Relevant<'a> {
    snapshot: &'a Snapshot,
    nodes: BTreeSet<String>,
    policies: BTreeSet<PolicyId>,
    profiles: BTreeSet<String>,
    /// The policies of the labels that were looked at.
    seen: HashMap<Labels, Vec<PolicyId>>,
    /// The workload endpoints of each interface of each node.
    interfaces: HashMap<(&'a str, &'a str), Vec<&'a WorkloadEndpoint>>,
}

/// What packets from or to an address have in common with those of other addresses: the node, the policies and the profiles
/// of workloads. An address that differs in other things too is a group of its own.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum AddressGroup {
    Workload { node: String, policies: Vec<PolicyId>, profiles: Vec<String> },
    Single(IpAddr),
}

impl Relevant<'_> {
    /// Notes an endpoint's policies and profiles.
    fn subject(&mut self, subject: &Subject) -> Vec<PolicyId> {
        let snapshot = self.snapshot;
        let policies = self.seen.entry(subject.labels.clone()).or_insert_with(|| {
            let all = snapshot.policies.values().filter(|policy| !policy.staged);
            all.filter(|policy| policy.selector.matches(&subject.labels)).map(|policy| policy.id.clone()).collect()
        });
        self.policies.extend(policies.iter().cloned());
        self.profiles.extend(subject.profiles.iter().cloned());
        policies.clone()
    }

    /// Notes all workload endpoints of an interface, since any of them may be the one that judges its packets. Gives the
    /// policies of the last one, and whether it is the only one.
    fn sharing(&mut self, endpoint: &WorkloadEndpoint) -> (Vec<PolicyId>, bool) {
        let sharing = self.interfaces.get(&(&*endpoint.node, &*endpoint.interface)).cloned().unwrap_or_default();
        let policies = sharing.iter().map(|one| self.subject(&Subject::workload(self.snapshot, one)));
        (policies.last().unwrap_or_default(), sharing.len() == 1)
    }

    /// Every host endpoint of a node that packets may pass.
    fn host_endpoints(&mut self) {
        let snapshot = self.snapshot;
        for endpoint in
            snapshot.host_endpoints.values().filter(|endpoint| self.nodes.contains(&endpoint.node)).collect::<Vec<_>>()
        {
            self.subject(&Subject::host(snapshot, endpoint));
        }
    }

    /// The addresses of an end with many, grouped so that packets of one group take the same path.
    fn address_groups(&mut self, topology: &Topology<'_>, addresses: &AddressSet) -> Vec<AddressSet> {
        let mut groups: BTreeMap<AddressGroup, Vec<IpAddr>> = BTreeMap::new();
        for (&address, owner) in topology.owners().iter().filter(|(address, _)| addresses.contains(**address)) {
            let address_groups = match owner {
                Owner::Workload(endpoint) => self.workload(endpoint, address),
                Owner::Node(node) => {
                    self.nodes.insert(node.clone());
                    AddressGroup::Single(address)
                }
            };
            groups.entry(address_groups).or_default().push(address);
        }
        let nets = self.snapshot.pools.values().map(|pool| pool.net).chain(topology.routed_nets());
        let any_link = ON_ANY_LINK.iter().filter_map(|net| net.parse::<IpNet>().ok());
        let nets = nets.chain(any_link).map(|net| AddressSet::of_nets([&net]));
        groups.into_values().map(|group| AddressSet::of(&group)).chain(nets).collect()
    }

    /// Notes what may judge the packets of a workload, and tells its address from others.
    fn workload(&mut self, endpoint: &WorkloadEndpoint, address: IpAddr) -> AddressGroup {
        self.nodes.insert(endpoint.node.clone());
        let (policies, alone) = self.sharing(endpoint);
        if !alone || !endpoint.spoofing.is_empty() || !endpoint.addresses.contains(&address) {
            return AddressGroup::Single(address);
        }
        AddressGroup::Workload { node: endpoint.node.clone(), policies, profiles: endpoint.profiles.clone() }
    }

    fn add(&self, conditions: &mut Conditions<'_>) {
        let both = [Direction::Ingress, Direction::Egress];
        let mut settings: Vec<&Settings> = Vec::new();
        for node in &self.nodes {
            let of_node = self.snapshot.settings(node);
            if !settings.contains(&of_node) {
                settings.push(of_node);
                conditions.add_settings(of_node);
            }
            conditions.add_floating(node);
        }
        for policy in self.policies.iter().filter_map(|id| self.snapshot.policies.get(id)) {
            both.iter().flat_map(|direction| policy.rules(*direction)).for_each(|rule| conditions.add_rule(rule));
        }
        let profiles = self.profiles.iter().filter_map(|name| self.snapshot.profiles.get(name));
        let rules = profiles.flat_map(|Profile { ingress, egress, .. }| ingress.iter().chain(egress));
        rules.for_each(|rule| conditions.add_rule(rule));
    }
}
