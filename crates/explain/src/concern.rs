//! Everything that can make a difference between the packets of a question: the rules, settings and endpoints that they
//! may meet on their way, and where addresses are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;
use tortie_classes::{AddressSet, Conditions, Domain, Ranges};
use tortie_eval::Subject;
use tortie_policy::{Direction, Labels, PolicyId, Profile, Settings, Snapshot, WorkloadEndpoint};

use crate::ask::Question;
use crate::owners::Owner;
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
        interfaces: HashMap::new(),
    };
    for endpoint in snapshot.workload_endpoints.values() {
        found.interfaces.entry((&endpoint.node, &endpoint.interface)).or_default().push(endpoint);
    }
    let behind = question.dnat.map(|(address, _)| places.at(address));
    found.nodes.extend([from.node(), to.node(), question.node.as_deref()].into_iter().flatten().map(str::to_owned));
    found.nodes.extend(behind.iter().filter_map(Place::node).map(str::to_owned));
    for end in [from, to].into_iter().chain(behind.map(End::Fixed).as_ref()) {
        if let End::Fixed(Place::Workload(endpoint)) = end {
            found.sharing(endpoint);
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
    /// The workload endpoints of each interface of each node.
    interfaces: HashMap<(&'a str, &'a str), Vec<&'a WorkloadEndpoint>>,
}

/// What tells the places of addresses apart: the node, and for workloads their policies and profiles, or the address
/// itself where it is special.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Workload { node: String, policies: Vec<PolicyId>, profiles: Vec<String> },
    Single(IpAddr),
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

    /// The addresses of a wide end by where they are, so that what is in one group takes one way.
    fn standing(&mut self, places: &Places<'_>, addresses: &AddressSet) -> Vec<AddressSet> {
        let mut groups: BTreeMap<Standing, Vec<IpAddr>> = BTreeMap::new();
        for (&address, owner) in places.owners().iter().filter(|(address, _)| addresses.contains(**address)) {
            let standing = match owner {
                Owner::Workload(endpoint) => self.workload(endpoint, address),
                Owner::Node(node) => {
                    self.nodes.insert(node.clone());
                    Standing::Single(address)
                }
            };
            groups.entry(standing).or_default().push(address);
        }
        let nets = self.snapshot.pools.values().map(|pool| pool.net).chain(places.routed_nets());
        let any_link = ON_ANY_LINK.iter().filter_map(|net| net.parse::<IpNet>().ok());
        let nets = nets.chain(any_link).map(|net| AddressSet::of_nets([&net]));
        groups.into_values().map(|group| AddressSet::of(&group)).chain(nets).collect()
    }

    /// Notes what may judge the packets of a workload, and tells its address from others.
    fn workload(&mut self, endpoint: &WorkloadEndpoint, address: IpAddr) -> Standing {
        self.nodes.insert(endpoint.node.clone());
        let (policies, alone) = self.sharing(endpoint);
        if !alone || !endpoint.spoofing.is_empty() || !endpoint.addresses.contains(&address) {
            return Standing::Single(address);
        }
        Standing::Workload { node: endpoint.node.clone(), policies, profiles: endpoint.profiles.clone() }
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
