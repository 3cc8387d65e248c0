//! Everything that can make a difference between the packets of a question: the rules, settings and endpoints that they
//! may meet on their way, and where addresses are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;
use tortie_classes::{AddressSet, Conditions, Domain, Ranges};
use tortie_eval::Subject;
use tortie_policy::{Direction, EndpointId, Labels, PolicyId, Profile, Settings, Snapshot};

use crate::ask::Question;
use crate::place::{Place, Places};

/// One end of a question.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// One place.
    Fixed(Place),
    /// Many addresses.
    Wide(AddressSet),
}

impl End {
    pub(crate) fn addresses(&self) -> AddressSet {
        match self {
            End::Fixed(place) => AddressSet::of(place.addresses()),
            End::Wide(addresses) => addresses.clone(),
        }
    }

    fn node(&self) -> Option<&str> {
        match self {
            End::Fixed(place) => place.node(),
            End::Wide(_) => None,
        }
    }
}

/// Addresses that routes do not tell the link of.
const ON_ANY_LINK: [&str; 2] = ["169.254.0.0/16", "fe80::/10"];

/// The conditions that the packets of a question may meet.
pub(crate) fn conditions<'a>(
    places: &Places<'_>,
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
    let mut found = Found {
        snapshot,
        nodes: BTreeSet::new(),
        policies: BTreeSet::new(),
        profiles: BTreeSet::new(),
        seen: HashMap::new(),
    };
    let behind = question.dnat.map(|(address, _)| places.at(address));
    found.nodes.extend([from.node(), to.node(), question.node.as_deref()].into_iter().flatten().map(str::to_owned));
    found.nodes.extend(behind.iter().filter_map(Place::node).map(str::to_owned));
    for end in [from, to].into_iter().chain(behind.map(End::Fixed).as_ref()) {
        if let End::Fixed(Place::Workload(endpoint)) = end {
            found.subject(&Subject::workload(snapshot, endpoint));
        }
    }
    let mut conditions = Conditions::new(snapshot, domain);
    for (end, is_source) in [(from, true), (to, false)] {
        if let End::Wide(addresses) = end {
            for group in found.standing(places, addresses) {
                if is_source { conditions.add_source(&group) } else { conditions.add_destination(&group) }
            }
        }
    }
    found.host_endpoints();
    found.add(&mut conditions);
    conditions
}

/// What was found to concern a question.
struct Found<'a> {
    snapshot: &'a Snapshot,
    nodes: BTreeSet<String>,
    policies: BTreeSet<PolicyId>,
    profiles: BTreeSet<String>,
    /// The policies of the labels that were looked at.
    seen: HashMap<Labels, Vec<PolicyId>>,
}

/// What tells the places of addresses apart: the node, and for workloads their policies and profiles, or the endpoint
/// itself where it is special.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Workload { node: String, policies: Vec<PolicyId>, profiles: Vec<String> },
    Special(EndpointId, IpAddr),
    Host(String, IpAddr),
}

impl Found<'_> {
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

    /// Every host endpoint of a node that packets may pass.
    fn host_endpoints(&mut self) {
        let snapshot = self.snapshot;
        for endpoint in
            snapshot.host_endpoints.values().filter(|endpoint| self.nodes.contains(&endpoint.node)).collect::<Vec<_>>()
        {
            self.subject(&Subject::host(snapshot, endpoint));
        }
    }

    /// The addresses of a wide end by where they are, so that what is in one group takes one way.
    fn standing(&mut self, places: &Places<'_>, addresses: &AddressSet) -> Vec<AddressSet> {
        let snapshot = self.snapshot;
        let mut groups: BTreeMap<Standing, Vec<IpAddr>> = BTreeMap::new();
        let mut known = BTreeSet::new();
        let mut interfaces: HashMap<(&str, &str), usize> = HashMap::new();
        for endpoint in snapshot.workload_endpoints.values() {
            *interfaces.entry((&endpoint.node, &endpoint.interface)).or_default() += 1;
        }
        for endpoint in snapshot.workload_endpoints.values() {
            let own = endpoint.addresses.iter().copied().filter(|address| addresses.contains(*address));
            let floating = endpoint.nats.iter().map(|nat| nat.external).filter(|address| addresses.contains(*address));
            let own: Vec<IpAddr> = own.filter(|address| known.insert(*address)).collect();
            let floating: Vec<IpAddr> = floating.filter(|address| known.insert(*address)).collect();
            if own.is_empty() && floating.is_empty() {
                continue;
            }
            self.nodes.insert(endpoint.node.clone());
            let subject = Subject::workload(snapshot, endpoint);
            let policies = self.subject(&subject);
            let shared = interfaces.get(&(&*endpoint.node, &*endpoint.interface)).is_some_and(|count| *count > 1);
            let special = shared || !endpoint.spoofing.is_empty();
            for address in own {
                let standing = if special {
                    Standing::Special(subject.id.clone(), address)
                } else {
                    let (policies, profiles) = (policies.clone(), subject.profiles.clone());
                    Standing::Workload { node: endpoint.node.clone(), policies, profiles }
                };
                groups.entry(standing).or_default().push(address);
            }
            for address in floating {
                groups.entry(Standing::Special(subject.id.clone(), address)).or_default().push(address);
            }
        }
        let hosts =
            snapshot.host_endpoints.values().flat_map(|one| one.addresses.iter().map(|address| (&one.node, *address)));
        let nodes = snapshot.nodes.values().flat_map(|one| one.addresses.iter().map(|address| (&one.name, *address)));
        let hosts: Vec<(String, IpAddr)> =
            hosts.chain(nodes).map(|(node, address)| (node.clone(), address)).chain(places.link_addresses()).collect();
        for (node, address) in hosts {
            if addresses.contains(address) && known.insert(address) {
                self.nodes.insert(node.clone());
                groups.entry(Standing::Host(node, address)).or_default().push(address);
            }
        }
        let nets = snapshot.pools.values().map(|pool| pool.net).chain(places.routed_nets());
        let any_link = ON_ANY_LINK.iter().filter_map(|net| net.parse::<IpNet>().ok());
        let nets = nets.chain(any_link).map(|net| AddressSet::of_nets([&net]));
        groups.into_values().map(|group| AddressSet::of(&group)).chain(nets).collect()
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
