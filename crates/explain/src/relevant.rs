//! The conditions that can tell the packets of a question apart: the rules, settings and endpoints that may judge them, and
//! the locations of addresses.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;
use tortie_classes::{AddressSet, Conditions, Domain, Partition, Ranges};
use tortie_eval::Subject;
use tortie_policy::{Direction, Family, HostEndpoint, Labels, PolicyId, Profile, Settings, Snapshot, WorkloadEndpoint};

use crate::owners::Owner;
use crate::question::Question;
use crate::topology::{Location, Topology};

/// One end of a question, resolved.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// One location. Of one IP version it has one address.
    Single(Location),
    /// One location with several of these addresses: it has all of them, or if they are not known, it may have any of them.
    OneOf { location: Location, addresses: AddressSet, is_known: bool },
    /// Many addresses.
    Many(AddressSet),
}

impl End {
    pub(crate) fn addresses(&self) -> AddressSet {
        match self {
            End::Single(location) => AddressSet::of(location.addresses()),
            End::Many(addresses) | End::OneOf { addresses, .. } => addresses.clone(),
        }
    }

    /// Whether its address is not known.
    pub(crate) fn has_unknown_address(&self) -> bool {
        matches!(self, End::OneOf { is_known: false, .. })
    }

    /// Whether packets of it have different addresses, and it is known which.
    pub(crate) fn has_known_addresses(&self) -> bool {
        matches!(self, End::Many(_) | End::OneOf { is_known: true, .. })
    }

    /// The location; one without addresses for many.
    pub(crate) fn location(&self) -> Location {
        match self {
            End::Single(location) | End::OneOf { location, .. } => location.clone(),
            End::Many(_) => Location::Outside(Vec::new()),
        }
    }

    fn node(&self) -> Option<&str> {
        match self {
            End::Single(location) | End::OneOf { location, .. } => location.node(),
            End::Many(_) => None,
        }
    }

    /// The same end with only some of its addresses.
    fn with_addresses(&self, of: AddressSet) -> Self {
        match self {
            End::OneOf { location, is_known, .. } => {
                End::OneOf { location: location.clone(), addresses: of, is_known: *is_known }
            }
            _ => End::Many(of),
        }
    }

    /// Which of two ends is divided first. Addresses that are not known are divided last, so that every class of the others is
    /// the same for all of them.
    pub(crate) fn rank(&self) -> usize {
        match self {
            End::Many(_) => 0,
            End::OneOf { is_known: true, .. } => 1,
            End::OneOf { is_known: false, .. } => 2,
            End::Single(_) => 3,
        }
    }
}

/// Addresses that routes do not tell the link of.
const ON_ANY_LINK: [&str; 4] = ["169.254.0.0/16", "fe80::/10", "0.0.0.0/32", "::/128"];

/// What may judge the packets of one question, with all that is looked up once for all of its packets.
pub(crate) struct Relevance<'q, 'w, 'a> {
    topology: &'q Topology<'w>,
    snapshot: &'a Snapshot,
    question: &'q Question,
    /// The workload endpoints of each interface of each node.
    interfaces: HashMap<&'a str, HashMap<&'a str, Vec<&'a WorkloadEndpoint>>>,
    /// The host endpoints of each node.
    hosts: HashMap<&'a str, Vec<&'a HostEndpoint>>,
    /// The policies of the labels that were looked at.
    policies: RefCell<HashMap<Labels, Vec<PolicyId>>>,
    /// No condition. Others are made from it, so that what selectors mean is found out once.
    none: Conditions<'a>,
}

impl<'q, 'w, 'a> Relevance<'q, 'w, 'a> {
    pub(crate) fn new(topology: &'q Topology<'w>, snapshot: &'a Snapshot, question: &'q Question) -> Self {
        let mut interfaces: HashMap<&str, HashMap<&str, Vec<&WorkloadEndpoint>>> = HashMap::new();
        for endpoint in snapshot.workload_endpoints.values() {
            interfaces.entry(&endpoint.node).or_default().entry(&endpoint.interface).or_default().push(endpoint);
        }
        let mut hosts: HashMap<&str, Vec<&HostEndpoint>> = HashMap::new();
        for endpoint in snapshot.host_endpoints.values() {
            hosts.entry(&endpoint.node).or_default().push(endpoint);
        }
        let none = Conditions::new(snapshot, Domain::default());
        Self { topology, snapshot, question, interfaces, hosts, policies: RefCell::default(), none }
    }

    /// The workload endpoints at the interface of one.
    fn at_interface(&self, endpoint: &WorkloadEndpoint) -> &[&'a WorkloadEndpoint] {
        let of_node = self.interfaces.get(endpoint.node.as_str());
        of_node.and_then(|all| all.get(endpoint.interface.as_str())).map_or(&[], Vec::as_slice)
    }

    /// No condition on the packets between two ends.
    pub(crate) fn no_conditions(&self, [from, to]: [&End; 2]) -> Conditions<'a> {
        let translated = self.question.dnat.iter().map(|(address, _)| address);
        self.none.again(Domain {
            source: from.addresses(),
            destination: to.addresses(),
            translated: AddressSet::of(translated),
            source_ports: self.question.source_port.map_or(Ranges::span(0u16, u16::MAX), Ranges::one),
        })
    }

    /// The conditions that the packets between two ends may meet.
    pub(crate) fn conditions(&self, [from, to]: [&End; 2]) -> Conditions<'a> {
        let behind = self.question.dnat.map(|(address, _)| self.topology.at(address));
        let node = self.question.node.as_deref();
        let mut relevant = Relevant::new(self);
        let nodes = [from.node(), to.node(), node, behind.as_ref().and_then(Location::node)];
        relevant.nodes.extend(nodes.into_iter().flatten().map(str::to_owned));
        for end in [from, to].into_iter().chain(behind.map(End::Single).as_ref()) {
            if let End::Single(Location::Workload(endpoint))
            | End::OneOf { location: Location::Workload(endpoint), .. } = end
            {
                relevant.sharing(endpoint);
            }
        }
        let mut conditions = self.no_conditions([from, to]);
        if let End::OneOf { location: Location::Workload(endpoint), .. } = from {
            // Which of the endpoints of an interface judges it is not found out here.
            self.at_interface(endpoint).iter().for_each(|one| conditions.add_source_check(one));
        }
        for (end, is_source) in [(from, true), (to, false)] {
            for group in relevant.groups(end) {
                if is_source { conditions.add_source(&group) } else { conditions.add_destination(&group) }
            }
        }
        relevant.host_endpoints();
        relevant.named_interfaces();
        relevant.add(&mut conditions);
        conditions
    }

    /// The two ends of one family in parts, of each of which one packet with the same payload answers for all: an end that is
    /// many addresses is divided by location first, so that conditions of one node divide the addresses of no other. The end
    /// that is divided first ([`End::rank`]) is divided alike for all addresses of the other one.
    pub(crate) fn parts(&self, from: &End, to: &End, family: Family) -> Vec<[End; 2]> {
        let first = usize::from(to.rank() < from.rank());
        let mut parts = Vec::new();
        for one in self.divided([from, to], first, family) {
            let mut ends = [from, to];
            ends[first] = &one;
            for other in self.divided(ends, 1 - first, family) {
                let mut part = [one.clone(), one.clone()];
                part[1 - first] = other;
                parts.push(part);
            }
        }
        parts
    }

    /// One of the two ends, divided.
    fn divided(&self, ends: [&End; 2], at: usize, family: Family) -> Vec<End> {
        let end = ends[at];
        let (End::Many(addresses) | End::OneOf { addresses, .. }) = end else { return vec![end.clone()] };
        let groups = Relevant::new(self).groups(end);
        let groups = groups.iter().map(|group| group.family(family));
        let mut divided = Vec::new();
        for location in Partition::new(addresses.family(family), groups).iter() {
            let location = end.with_addresses(AddressSet::of_family(family, location.clone()));
            let mut ends = ends;
            ends[at] = &location;
            let classes = self.conditions(ends).classes(family);
            let classes = if at == 0 { classes.sources } else { classes.destinations };
            divided
                .extend(classes.iter().map(|class| end.with_addresses(AddressSet::of_family(family, class.clone()))));
        }
        divided
    }
}

/// What is relevant for some of the packets.
struct Relevant<'r, 'q, 'w, 'a> {
    of: &'r Relevance<'q, 'w, 'a>,
    nodes: BTreeSet<String>,
    policies: BTreeSet<PolicyId>,
    profiles: BTreeSet<String>,
}

/// What packets from or to an address have in common with those of other addresses: the node, the policies and the profiles
/// of workloads. An address that differs in other things too is a group of its own.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum AddressGroup {
    Workload { node: String, policies: Vec<PolicyId>, profiles: Vec<String> },
    Single(IpAddr),
}

impl<'r, 'q, 'w, 'a> Relevant<'r, 'q, 'w, 'a> {
    fn new(of: &'r Relevance<'q, 'w, 'a>) -> Self {
        Self { of, nodes: BTreeSet::new(), policies: BTreeSet::new(), profiles: BTreeSet::new() }
    }

    /// Notes an endpoint's policies and profiles.
    fn subject(&mut self, subject: &Subject) -> Vec<PolicyId> {
        let mut seen = self.of.policies.borrow_mut();
        let policies = seen.entry(subject.labels.clone()).or_insert_with(|| {
            let all = self.of.snapshot.policies.values().filter(|policy| !policy.staged);
            all.filter(|policy| policy.selector.matches(&subject.labels)).map(|policy| policy.id.clone()).collect()
        });
        self.policies.extend(policies.iter().cloned());
        self.profiles.extend(subject.profiles.iter().cloned());
        policies.clone()
    }

    /// Notes all workload endpoints of an interface, since any of them may be the one that judges its packets. Gives the
    /// policies of the last one, and whether it is the only one.
    fn sharing(&mut self, endpoint: &WorkloadEndpoint) -> (Vec<PolicyId>, bool) {
        let of = self.of;
        let sharing = of.at_interface(endpoint);
        let policies = sharing.iter().map(|one| self.subject(&Subject::workload(of.snapshot, one)));
        (policies.last().unwrap_or_default(), sharing.len() == 1)
    }

    /// Every host endpoint of a node that packets may pass.
    fn host_endpoints(&mut self) {
        let of = self.of;
        let nodes: Vec<_> = self.nodes.iter().filter_map(|node| of.hosts.get(node.as_str())).collect();
        for endpoint in nodes.into_iter().flatten() {
            self.subject(&Subject::host(of.snapshot, endpoint));
        }
    }

    /// The workloads behind the interfaces that a question names: their policies judge what is said to cross there.
    fn named_interfaces(&mut self) {
        let of = self.of;
        let named: Vec<&str> =
            [&of.question.in_interface, &of.question.out_interface].into_iter().flatten().map(String::as_str).collect();
        let nodes: Vec<String> = self.nodes.iter().cloned().collect();
        for node in &nodes {
            let Some(interfaces) = of.interfaces.get(node.as_str()) else { continue };
            let endpoints = named.iter().filter_map(|name| interfaces.get(name)?.first().copied());
            endpoints.collect::<Vec<_>>().into_iter().for_each(|endpoint| drop(self.sharing(endpoint)));
        }
    }

    /// The addresses of an end, grouped so that packets of one group take the same path.
    fn groups(&mut self, end: &End) -> Vec<AddressSet> {
        let mut groups = match end {
            End::Many(addresses) => self.locations(addresses),
            End::OneOf { .. } => Vec::new(),
            End::Single(_) => return Vec::new(),
        };
        let nets = self.of.snapshot.pools.values().map(|pool| pool.net).chain(self.of.topology.routed_nets());
        let any_link = ON_ANY_LINK.iter().filter_map(|net| net.parse::<IpNet>().ok());
        groups.extend(nets.chain(any_link).map(|net| AddressSet::of_nets([&net])));
        groups
    }

    /// The addresses that somebody has, by who that is.
    fn locations(&mut self, addresses: &AddressSet) -> Vec<AddressSet> {
        let topology = self.of.topology;
        let mut groups: BTreeMap<AddressGroup, Vec<IpAddr>> = BTreeMap::new();
        for (address, owner) in topology.owners_within(addresses) {
            let address_groups = match owner {
                Owner::Workload(endpoint) => self.workload(endpoint, address),
                Owner::Node(node) => {
                    self.nodes.insert(node.clone());
                    AddressGroup::Single(address)
                }
            };
            groups.entry(address_groups).or_default().push(address);
        }
        groups.into_values().map(|group| AddressSet::of(&group)).collect()
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
            let of_node = self.of.snapshot.settings(node);
            if !settings.contains(&of_node) {
                settings.push(of_node);
                conditions.add_settings(of_node);
            }
            conditions.add_floating(node);
        }
        for policy in self.policies.iter().filter_map(|id| self.of.snapshot.policies.get(id)) {
            both.iter().flat_map(|direction| policy.rules(*direction)).for_each(|rule| conditions.add_rule(rule));
        }
        let profiles = self.profiles.iter().filter_map(|name| self.of.snapshot.profiles.get(name));
        let rules = profiles.flat_map(|Profile { ingress, egress, .. }| ingress.iter().chain(egress));
        rules.for_each(|rule| conditions.add_rule(rule));
    }
}
