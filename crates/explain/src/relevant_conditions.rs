//! The conditions that can distinguish the packets of a question: the rules, settings and endpoints that may judge them, and
//! the locations of addresses.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::rc::Rc;

use ipnet::IpNet;
use tortie_classes::{AddressSet, Conditions, Domain, Partition, Ranges};
use tortie_eval::Subject;
use tortie_policy::{
    Direction, Family, GovernedInterfaces, HostEndpoint, Labels, PolicyId, Profile, Settings, Snapshot,
    WorkloadEndpoint,
};

use crate::owners::Owner;
use crate::question::Question;
use crate::topology::{Location, Topology};
use crate::translation::{Dnat, host_ports};
use crate::{fault, own_nat, replaced_source};

/// One end of a question, resolved.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// One location with one address of an IP version.
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

/// Addresses whose link is not known from routes.
const ON_ANY_LINK: [&str; 4] = ["169.254.0.0/16", "fe80::/10", "0.0.0.0/32", "::/128"];

/// The nets that routes and routing rules tell apart, and those of addresses whose link they do not tell.
pub(crate) fn link_nets(topology: &Topology<'_>) -> impl Iterator<Item = IpNet> {
    topology.routed_nets().chain(ON_ANY_LINK.into_iter().filter_map(|net| net.parse::<IpNet>().ok()))
}

/// A node, and what of its host endpoints is asked.
type HostRulesKey = (String, Vec<String>);

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
    /// What the host endpoints of a node have, by node and what of them is asked.
    host_rules: RefCell<HashMap<HostRulesKey, Rc<Lists>>>,
    /// The sources that a node may give packets.
    sources: RefCell<HashMap<String, Rc<AddressSet>>>,
    /// Destinations that `natOutgoing` leaves out on some nodes, beside those of pools.
    not_masqueraded: Vec<AddressSet>,
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
        let (policies, host_rules, sources) = (RefCell::default(), RefCell::default(), RefCell::default());
        let not_masqueraded = own_nat::spared(snapshot);
        Self { topology, snapshot, question, interfaces, hosts, policies, host_rules, sources, not_masqueraded, none }
    }

    /// The sources that a node may give packets.
    fn sources_of(&self, node: &str) -> Rc<AddressSet> {
        let mut known = self.sources.borrow_mut();
        known.entry(node.to_owned()).or_insert_with(|| Rc::new(replaced_source::possible(self.topology, node))).clone()
    }

    /// The workload endpoints at the interface of one.
    fn at_interface(&self, endpoint: &WorkloadEndpoint) -> &[&'a WorkloadEndpoint] {
        let of_node = self.interfaces.get(endpoint.node.as_str());
        of_node.and_then(|all| all.get(endpoint.interface.as_str())).map_or(&[], Vec::as_slice)
    }

    /// No condition on the packets between two ends.
    pub(crate) fn no_conditions(&self, ends: [&End; 2]) -> Conditions<'a> {
        self.none_translated_to(ends, &[], AddressSet::default())
    }

    /// The same, of packets that `hostPort` of these pods may lead to them, and that may get these sources on their way.
    fn none_translated_to(
        &self,
        [from, to]: [&End; 2],
        pods: &[&WorkloadEndpoint],
        replaced: AddressSet,
    ) -> Conditions<'a> {
        let addresses = pods.iter().flat_map(|pod| pod.addresses.iter().copied());
        let translated: Vec<IpAddr> = self.question.dnat.address().into_iter().chain(addresses).collect();
        self.none.again(Domain {
            source: from.addresses(),
            destination: to.addresses(),
            translated: AddressSet::of(&translated),
            replaced,
            source_ports: self.question.source_port.map_or(Ranges::span(0u16, u16::MAX), Ranges::one),
        })
    }

    /// The conditions that the packets between two ends may meet.
    pub(crate) fn conditions(&self, [from, to]: [&End; 2]) -> Conditions<'a> {
        let behind = self.question.dnat.address().map(|address| self.topology.at(address));
        let node = self.question.node.as_deref();
        let mut relevant = Relevant::new(self);
        for (end, direction) in [(from, Direction::Egress), (to, Direction::Ingress)] {
            relevant.nodes.extend(end.node().map(|node| (node.to_owned(), direction)));
        }
        // What is between the ends is passed in both directions.
        for node in [node, behind.as_ref().and_then(Location::node)].into_iter().flatten() {
            relevant.nodes.extend(BOTH.map(|direction| (node.to_owned(), direction)));
        }
        for end in [from, to].into_iter().chain(behind.map(End::Single).as_ref()) {
            if let End::Single(Location::Workload(endpoint))
            | End::OneOf { location: Location::Workload(endpoint), .. } = end
            {
                relevant.sharing(endpoint);
            }
        }
        let directions = [(from, Direction::Egress), (to, Direction::Ingress)];
        let groups = directions.map(|(end, direction)| relevant.groups(end, direction));
        let pods = relevant.host_ports(to);
        let mut conditions = self.none_translated_to([from, to], &pods, relevant.replaced_sources());
        for pod in &pods {
            if !fault("host-port-policies") {
                relevant.sharing(pod);
            }
            add_host_ports(&mut conditions, pod);
        }
        if let End::OneOf { location: Location::Workload(endpoint), .. } = from {
            // Which of the endpoints of an interface judges it is not found out here.
            self.at_interface(endpoint).iter().for_each(|one| conditions.add_source_check(one));
        }
        let [sources, destinations] = groups;
        sources.iter().for_each(|group| conditions.add_source(group));
        destinations.iter().for_each(|group| conditions.add_destination(group));
        let crossed = self.crossed_interfaces([from, to]).filter(|_| pods.is_empty());
        relevant.host_endpoints(crossed);
        relevant.named_interfaces();
        relevant.add(&mut conditions);
        conditions
    }

    /// The interfaces of the target's node at which its host endpoints may judge the packets of a question, by their names; none
    /// if it may be any.
    fn crossed_interfaces(&self, [from, to]: [&End; 2]) -> Option<(String, Vec<String>)> {
        let Question { node: None, in_interface: None, out_interface: None, .. } = self.question else { return None };
        if self.question.dnat.address().is_some() {
            return None;
        }
        let (End::Single(Location::Process { node, interface: Some(interface), .. })
        | End::OneOf { location: Location::Process { node, interface: Some(interface), .. }, .. }) = to
        else {
            return None;
        };
        let is_apart = from.node().is_none_or(|other| other != node);
        is_apart.then(|| (node.clone(), vec![interface.clone(), "lo".to_owned()]))
    }

    /// What the host endpoints of a node have that are at these interfaces, or at any.
    fn of_hosts(&self, node: &str, interfaces: &[String]) -> Rc<Lists> {
        let key = (node.to_owned(), interfaces.to_vec());
        if let Some(known) = self.host_rules.borrow().get(&key) {
            return known.clone();
        }
        let is_crossed = |endpoint: &&&HostEndpoint| match &endpoint.interface {
            GovernedInterfaces::Named(name) => interfaces.is_empty() || interfaces.contains(name),
            _ => true,
        };
        let mut lists = Lists::default();
        for endpoint in self.hosts.get(node).into_iter().flatten().filter(is_crossed) {
            let subject = Subject::host(self.snapshot, endpoint);
            lists.policies.extend(self.policies_of(&subject.labels));
            lists.profiles.extend(subject.profiles);
        }
        let lists = Rc::new(lists);
        self.host_rules.borrow_mut().insert(key, lists.clone());
        lists
    }

    /// The enforced policies that select what has these labels.
    fn policies_of(&self, labels: &Labels) -> Vec<PolicyId> {
        let mut seen = self.policies.borrow_mut();
        let policies = seen.entry(labels.clone()).or_insert_with(|| {
            let all = self.snapshot.policies.values().filter(|policy| !policy.staged);
            all.filter(|policy| policy.selector.matches(labels)).map(|policy| policy.id.clone()).collect()
        });
        policies.clone()
    }

    /// The two ends of one family in parts, of each of which one packet with the same transport answers for all: an end that is
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
        let direction = if at == 0 { Direction::Egress } else { Direction::Ingress };
        let groups = Relevant::new(self).groups(end, direction);
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

/// Tells the packets that `hostPort` of a pod leads to it from all others.
fn add_host_ports(conditions: &mut Conditions<'_>, pod: &WorkloadEndpoint) {
    for family in [Family::V4, Family::V6] {
        for port in host_ports(pod, family).filter(|_| !fault("host-ports-undivided")) {
            conditions.add_destination_port(family, port.protocol.number(), port.port);
        }
    }
    let specific = pod.host_ports.iter().filter_map(|port| port.address).filter(|address| !address.is_unspecified());
    specific.for_each(|address| conditions.add_destination(&AddressSet::of([&address])));
}

const BOTH: [Direction; 2] = [Direction::Ingress, Direction::Egress];

/// Policies and profiles.
#[derive(Default)]
struct Lists {
    policies: BTreeSet<PolicyId>,
    profiles: BTreeSet<String>,
}

/// The conditions for some of the packets.
struct Relevant<'r, 'q, 'w, 'a> {
    of: &'r Relevance<'q, 'w, 'a>,
    /// The nodes that packets pass, and in which direction their host endpoints may judge them.
    nodes: BTreeSet<(String, Direction)>,
    policies: BTreeSet<(PolicyId, Direction)>,
    profiles: BTreeSet<(String, Direction)>,
    /// The nodes to which packets go, of an end that is many addresses.
    receivers: BTreeSet<String>,
}

/// What packets from or to an address have in common with those of other addresses: the node, the policies and the profiles
/// of workloads. An address that differs in other things too is a group of its own.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum AddressGroup {
    /// A process on a node. What judges its packets follows from the node.
    Node(String),
    Workload {
        node: String,
        policies: Vec<PolicyId>,
        profiles: Vec<String>,
    },
    Single(IpAddr),
}

impl<'r, 'q, 'w, 'a> Relevant<'r, 'q, 'w, 'a> {
    fn new(of: &'r Relevance<'q, 'w, 'a>) -> Self {
        Self {
            of,
            nodes: BTreeSet::new(),
            policies: BTreeSet::new(),
            profiles: BTreeSet::new(),
            receivers: BTreeSet::new(),
        }
    }

    /// Notes an endpoint's policies and profiles.
    fn subject(&mut self, subject: &Subject) -> Vec<PolicyId> {
        let policies = self.of.policies_of(&subject.labels);
        for direction in BOTH {
            self.policies.extend(policies.iter().map(|id| (id.clone(), direction)));
            self.profiles.extend(subject.profiles.iter().map(|name| (name.clone(), direction)));
        }
        policies
    }

    /// Notes all workload endpoints of an interface, since any of them may be the one that judges its packets. Gives the
    /// policies of the last one, and whether it is the only one.
    fn sharing(&mut self, endpoint: &WorkloadEndpoint) -> (Vec<PolicyId>, bool) {
        let of = self.of;
        let sharing = of.at_interface(endpoint);
        let policies = sharing.iter().map(|one| self.subject(&Subject::workload(of.snapshot, one)));
        (policies.last().unwrap_or_default(), sharing.len() == 1)
    }

    /// The pods to which `hostPort` leads packets to an end. These pass their nodes in both directions.
    fn host_ports(&mut self, to: &End) -> Vec<&'w WorkloadEndpoint> {
        if self.of.question.dnat != Dnat::Known {
            return Vec::new();
        }
        let nodes: BTreeSet<String> = match to {
            End::Single(Location::Process { node, .. })
            | End::OneOf { location: Location::Process { node, .. }, .. } => BTreeSet::from([node.clone()]),
            End::Many(_) => std::mem::take(&mut self.receivers),
            End::Single(_) | End::OneOf { .. } => BTreeSet::new(),
        };
        let mut pods = Vec::new();
        for node in nodes {
            let of_node = self.of.topology.host_ports(&node);
            if !of_node.is_empty() {
                pods.extend(of_node);
                self.nodes.extend(BOTH.map(|direction| (node.clone(), direction)));
            }
        }
        pods
    }

    /// Every host endpoint of a node that packets may pass; of one node perhaps only those of some interfaces.
    fn host_endpoints(&mut self, crossed: Option<(String, Vec<String>)>) {
        // What a workload's interface does not take follows the other routes of its machine, and leaves it again.
        let told: Vec<_> = self.nodes.iter().filter(|(node, _)| self.of.topology.machine(node).is_some()).collect();
        let told: Vec<_> = told.iter().flat_map(|(node, _)| BOTH.map(|direction| (node.clone(), direction))).collect();
        self.nodes.extend(told);
        for (node, direction) in &self.nodes {
            let interfaces = crossed.as_ref().filter(|(of, _)| of == node).map_or(&[][..], |(_, names)| names);
            let lists = self.of.of_hosts(node, interfaces);
            self.policies.extend(lists.policies.iter().map(|id| (id.clone(), *direction)));
            self.profiles.extend(lists.profiles.iter().map(|name| (name.clone(), *direction)));
        }
    }

    /// The workloads behind the interfaces that a question names: their policies judge what is said to cross there.
    fn named_interfaces(&mut self) {
        let of = self.of;
        let named: Vec<&str> =
            [&of.question.in_interface, &of.question.out_interface].into_iter().flatten().map(String::as_str).collect();
        let nodes: BTreeSet<String> = self.nodes.iter().map(|(node, _)| node.clone()).collect();
        for node in &nodes {
            let Some(interfaces) = of.interfaces.get(node.as_str()) else { continue };
            let endpoints = named.iter().filter_map(|name| interfaces.get(name)?.first().copied());
            endpoints.collect::<Vec<_>>().into_iter().for_each(|endpoint| drop(self.sharing(endpoint)));
        }
    }

    /// The sources that `natOutgoing` of nodes on the way may give before another node gets the packets.
    fn replaced_sources(&self) -> AddressSet {
        let nodes: BTreeSet<&String> = self.nodes.iter().map(|(node, _)| node).collect();
        if nodes.len() < 2 || !replaced_source::is_used(self.of.snapshot) || fault("replaced-sources-undivided") {
            return AddressSet::default();
        }
        // A node that translates the destination sends the packet on too.
        let is_translated = self.of.question.dnat.address().is_some();
        let sending = self.nodes.iter().filter(|(_, direction)| is_translated || *direction == Direction::Egress);
        let all: Vec<Rc<AddressSet>> = sending.map(|(node, _)| self.of.sources_of(node)).collect();
        AddressSet::union_of(all.iter().map(Rc::as_ref))
    }

    /// The addresses of an end, grouped so that packets of one group take the same path.
    fn groups(&mut self, end: &End, direction: Direction) -> Vec<AddressSet> {
        let mut groups = match end {
            End::Many(addresses) => self.locations(addresses, direction),
            End::OneOf { .. } => Vec::new(),
            End::Single(_) => return Vec::new(),
        };
        if direction == Direction::Ingress {
            groups.extend(self.of.not_masqueraded.iter().cloned());
        }
        let nets = self.of.snapshot.pools.values().map(|pool| pool.net).chain(link_nets(self.of.topology));
        groups.extend(nets.map(|net| AddressSet::of_nets([&net])));
        groups
    }

    /// The addresses that somebody has, by who that is.
    fn locations(&mut self, addresses: &AddressSet, direction: Direction) -> Vec<AddressSet> {
        let topology = self.of.topology;
        let mut groups: BTreeMap<AddressGroup, Vec<IpAddr>> = BTreeMap::new();
        for (address, owner) in topology.owners_within(addresses) {
            let group = match owner {
                Owner::Workload(endpoint) => self.workload(endpoint, address, direction),
                Owner::Node(_) => match topology.at(address) {
                    Location::Process { node, .. } => AddressGroup::Node(node),
                    _ => AddressGroup::Single(address),
                },
            };
            groups.entry(group).or_default().push(address);
        }
        for group in groups.keys() {
            if let AddressGroup::Node(node) = group {
                self.nodes.insert((node.clone(), direction));
                if direction == Direction::Ingress {
                    self.receivers.insert(node.clone());
                }
            }
        }
        groups.into_values().map(|group| AddressSet::of(&group)).collect()
    }

    /// Notes what may judge the packets of a workload, and tells its address from others.
    fn workload(&mut self, endpoint: &WorkloadEndpoint, address: IpAddr, direction: Direction) -> AddressGroup {
        self.nodes.insert((endpoint.node.clone(), direction));
        let (policies, alone) = self.sharing(endpoint);
        if !alone || !endpoint.spoofing.is_empty() || !endpoint.addresses.contains(&address) {
            return AddressGroup::Single(address);
        }
        AddressGroup::Workload { node: endpoint.node.clone(), policies, profiles: endpoint.profiles.clone() }
    }

    fn add(&self, conditions: &mut Conditions<'_>) {
        let mut settings: Vec<&Settings> = Vec::new();
        let nodes: BTreeSet<&String> = self.nodes.iter().map(|(node, _)| node).collect();
        for node in nodes {
            let of_node = self.of.snapshot.settings(node);
            if !settings.contains(&of_node) {
                settings.push(of_node);
                conditions.add_settings(of_node);
            }
            conditions.add_floating(node);
        }
        for (id, direction) in &self.policies {
            let policy = self.of.snapshot.policies.get(id);
            policy.iter().flat_map(|policy| policy.rules(*direction)).for_each(|rule| conditions.add_rule(rule));
        }
        for (name, direction) in &self.profiles {
            let profile = self.of.snapshot.profiles.get(name);
            let rules = profile.iter().flat_map(|Profile { ingress, egress, .. }| match direction {
                Direction::Ingress => ingress,
                Direction::Egress => egress,
            });
            rules.for_each(|rule| conditions.add_rule(rule));
        }
    }
}
