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
    /// One location.
    Single(Location),
    /// One location whose address is not known: it may have any of these.
    UnknownAddress(Location, AddressSet),
    /// Many addresses.
    Many(AddressSet),
}

impl End {
    pub(crate) fn addresses(&self) -> AddressSet {
        match self {
            End::Single(location) => AddressSet::of(location.addresses()),
            End::Many(addresses) | End::UnknownAddress(_, addresses) => addresses.clone(),
        }
    }

    /// Whether its address is not known.
    pub(crate) fn has_unknown_address(&self) -> bool {
        matches!(self, End::UnknownAddress(..))
    }

    /// The location; one without addresses for many.
    pub(crate) fn location(&self) -> Location {
        match self {
            End::Single(location) | End::UnknownAddress(location, _) => location.clone(),
            End::Many(_) => Location::Outside(Vec::new()),
        }
    }

    fn node(&self) -> Option<&str> {
        match self {
            End::Single(location) | End::UnknownAddress(location, _) => location.node(),
            End::Many(_) => None,
        }
    }

    /// The same end with only some of its addresses.
    fn with_addresses(&self, of: AddressSet) -> Self {
        match self {
            End::UnknownAddress(location, _) => End::UnknownAddress(location.clone(), of),
            _ => End::Many(of),
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
    interfaces: HashMap<(&'a str, &'a str), Vec<&'a WorkloadEndpoint>>,
    /// The host endpoints of each node.
    hosts: HashMap<&'a str, Vec<&'a HostEndpoint>>,
    /// The policies of the labels that were looked at.
    policies: RefCell<HashMap<Labels, Vec<PolicyId>>>,
    /// No condition. Others are made from it, so that what selectors mean is found out once.
    none: Conditions<'a>,
}

impl<'q, 'w, 'a> Relevance<'q, 'w, 'a> {
    pub(crate) fn new(topology: &'q Topology<'w>, snapshot: &'a Snapshot, question: &'q Question) -> Self {
        let mut interfaces: HashMap<(&str, &str), Vec<&WorkloadEndpoint>> = HashMap::new();
        for endpoint in snapshot.workload_endpoints.values() {
            interfaces.entry((&endpoint.node, &endpoint.interface)).or_default().push(endpoint);
        }
        let mut hosts: HashMap<&str, Vec<&HostEndpoint>> = HashMap::new();
        for endpoint in snapshot.host_endpoints.values() {
            hosts.entry(&endpoint.node).or_default().push(endpoint);
        }
        let none = Conditions::new(snapshot, Domain::default());
        Self { topology, snapshot, question, interfaces, hosts, policies: RefCell::default(), none }
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
            if let End::Single(Location::Workload(endpoint)) = end {
                relevant.sharing(endpoint);
            }
        }
        let mut conditions = self.no_conditions([from, to]);
        for (end, is_source) in [(from, true), (to, false)] {
            if let End::Many(addresses) | End::UnknownAddress(_, addresses) = end {
                for group in relevant.address_groups(addresses) {
                    if is_source { conditions.add_source(&group) } else { conditions.add_destination(&group) }
                }
            }
        }
        relevant.host_endpoints();
        relevant.named_interfaces();
        relevant.add(&mut conditions);
        conditions
    }

    /// The two ends of one family in parts, of each of which one packet with the same payload answers for all: an end that is
    /// many addresses is divided by location first, so that conditions of one node divide the addresses of no other. Addresses that
    /// are not known are divided last: so each part of an end that is many addresses is the same for all of them.
    pub(crate) fn parts(&self, from: &End, to: &End, family: Family) -> Vec<[End; 2]> {
        if from.has_unknown_address() && matches!(to, End::Many(_)) {
            let pairs = self.divided([from, to], 1, family).into_iter();
            let pairs = pairs.map(|to| (self.divided([from, &to], 0, family), to));
            return pairs.flat_map(|(all, to)| all.into_iter().map(move |from| [from, to.clone()])).collect();
        }
        let sources = self.divided([from, to], 0, family);
        let pairs = sources.into_iter().map(|from| (self.divided([&from, to], 1, family), from));
        pairs.flat_map(|(all, from)| all.into_iter().map(move |to| [from.clone(), to])).collect()
    }

    /// One of the two ends, divided.
    fn divided(&self, ends: [&End; 2], at: usize, family: Family) -> Vec<End> {
        let end = ends[at];
        let (End::Many(addresses) | End::UnknownAddress(_, addresses)) = end else { return vec![end.clone()] };
        let mut relevant = Relevant::new(self);
        let groups = relevant.address_groups(addresses);
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
        let sharing = of.interfaces.get(&(&*endpoint.node, &*endpoint.interface)).map_or(&[][..], Vec::as_slice);
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
            let endpoints = named.iter().filter_map(|name| of.interfaces.get(&(node.as_str(), name))?.first().copied());
            endpoints.collect::<Vec<_>>().into_iter().for_each(|endpoint| drop(self.sharing(endpoint)));
        }
    }

    /// The addresses of an end with many, grouped so that packets of one group take the same path.
    fn address_groups(&mut self, addresses: &AddressSet) -> Vec<AddressSet> {
        let Relevance { topology, snapshot, .. } = self.of;
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
        let nets = snapshot.pools.values().map(|pool| pool.net).chain(topology.routed_nets());
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
