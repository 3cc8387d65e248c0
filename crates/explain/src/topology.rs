//! The topology as far as it is known: nodes, their interfaces and routes, and where the ends of a question are.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::rc::Rc;

use ipnet::IpNet;
use tortie_api::names::kubernetes;
use tortie_classes::{AddressSet, TransportClasses, address};
use tortie_eval::{Host, Judge, Link};
use tortie_policy::machine::{Machine, RouteDecision, RouteKind};
use tortie_policy::{
    Family, GovernedInterfaces, HostEndpoint, Limits, NamedPort, Snapshot, WorkloadEndpoint, WorkloadId,
};

use crate::interfaces::ASSUMED;
use crate::owners::{Owner, owners, tells_addresses};
use crate::question::{AskError, EndSpec, Question};
use crate::services::Service;
use crate::shortened_list::shortened;
use crate::{alike_interfaces, reach, unknown_addresses};

/// Addresses for ends that no object has: from the ranges reserved for documentation and benchmarks.
const STRANGERS: [&str; 8] = [
    "203.0.113.254",
    "198.51.100.254",
    "192.0.2.254",
    "198.18.255.254",
    "2001:db8:ffff::fffe",
    "2001:2:ffff::fffe",
    "3fff:ffff::fffe",
    "100::fffe",
];
/// An interface that no host endpoint names.
pub(crate) const ANOTHER: &str = "another interface";
/// The node of a workload endpoint whose node or interface cannot be read.
pub(crate) const UNKNOWN_NODE: &str = "(unknown node)";
/// How its interface ends, after the prefix of workloads' interfaces.
const UNKNOWN_INTERFACE: &str = "(unknown interface)";
const NEW_WORKLOAD: [&str; 2] = ["198.18.0.1", "2001:2::1"];

/// Where an end is.
#[derive(Clone, Debug, PartialEq)]
pub enum Location {
    /// A process on a node.
    Process {
        /// The node.
        node: String,
        /// Its addresses, those of the endpoint asked about first.
        addresses: Vec<IpAddr>,
        /// The interface asked about, when the question named a host endpoint.
        interface: Option<String>,
        /// The IP versions of which no address of the interface, or else of the node, is known: it may have any that nobody else
        /// has.
        unknown: Vec<Family>,
    },
    /// A workload.
    Workload(Box<WorkloadEndpoint>),
    /// Nobody that the store knows as an endpoint.
    Outside(Vec<IpAddr>),
}

impl Location {
    /// The node it is on.
    pub fn node(&self) -> Option<&str> {
        match self {
            Location::Process { node, .. } => Some(node),
            Location::Workload(endpoint) => Some(&endpoint.node),
            Location::Outside(_) => None,
        }
    }

    /// The IP versions of which none of its addresses is known.
    pub(crate) fn unknown_families(&self) -> &[Family] {
        match self {
            Location::Process { unknown, .. } => unknown,
            _ => &[],
        }
    }

    /// The same place with these addresses and no others.
    pub(crate) fn with_addresses(mut self, of: Vec<IpAddr>) -> Self {
        match &mut self {
            Location::Process { addresses, unknown, .. } => {
                *addresses = of;
                unknown.clear();
            }
            Location::Outside(addresses) => *addresses = of,
            Location::Workload(endpoint) => endpoint.addresses = of,
        }
        self
    }

    /// Its addresses.
    pub fn addresses(&self) -> &[IpAddr] {
        match self {
            Location::Process { addresses, .. } | Location::Outside(addresses) => addresses,
            Location::Workload(endpoint) => &endpoint.addresses,
        }
    }
}

/// Says of a pod (namespace, name) without an endpoint why it has none; nothing of one that does not exist.
pub type AbsentPods<'a> = Box<dyn Fn(&str, &str) -> Option<String> + 'a>;

/// The nodes, interfaces and routes that the store and the machines tell of.
pub struct Topology<'a> {
    snapshot: &'a Snapshot,
    /// Nodes whose interfaces are known better than the store knows them: this machine's.
    hosts: BTreeMap<String, Host>,
    /// The routes of such nodes.
    machines: BTreeMap<String, Machine>,
    /// The nets of local routes of such nodes.
    local_nets: Vec<(String, IpNet)>,
    /// The owner of each address; computed at the first use.
    owners: OnceCell<BTreeMap<IpAddr, Owner<'a>>>,
    /// The pods of each node that have a `hostPort`; made when they are first asked for.
    host_ports: OnceCell<HashMap<&'a str, Vec<&'a WorkloadEndpoint>>>,
    /// The host endpoints of each node, by name; made when they are first asked for.
    host_endpoints: OnceCell<HashMap<&'a str, Vec<&'a HostEndpoint>>>,
    /// The interfaces of nodes that were asked for.
    links: RefCell<HashMap<String, Rc<Host>>>,
    /// The policies of endpoints; computed at the first use.
    judge: OnceCell<Judge<'a>>,
    /// The services of Kubernetes, as far as they are known.
    services: Vec<Service>,
    services_unknown: bool,
    /// Why there is no endpoint of a pod.
    absent_pods: Option<AbsentPods<'a>>,
    /// Which interfaces stand for others, of those that were asked about.
    alike: RefCell<HashMap<(String, Vec<String>), Distinct>>,
    /// The kinds of sources that nodes behind one without a known address tell apart.
    source_classes: RefCell<HashMap<SourceClassesKey, SourceClasses>>,
    /// Whether nodes have routes to their workloads, by IP version.
    routed_workloads: RefCell<HashMap<(String, Family), Option<bool>>>,
    /// What the nodes behind one tell apart of the source ports that its settings name.
    port_classes: RefCell<HashMap<SourceClassesKey, PortClasses>>,
}

/// The transports that nodes behind one tell apart, for the source ports that it may give.
type PortClasses = Rc<TransportClasses>;

/// A node that replaces the source, the IP version, the nodes behind it, and the workload at the end.
pub(crate) type SourceClassesKey = (String, Family, Vec<String>, Option<WorkloadId>);

/// Sources in words, with an address that stands for them.
type SourceClasses = Rc<Vec<(String, IpAddr)>>;

/// Interfaces at which other policies, profiles or settings of the machine decide, with the number of others that each represents.
pub(crate) type Distinct = Rc<Vec<(String, usize)>>;

impl<'a> Topology<'a> {
    /// The topology as far as the store knows it.
    pub fn new(snapshot: &'a Snapshot) -> Self {
        Self {
            snapshot,
            hosts: BTreeMap::new(),
            machines: BTreeMap::new(),
            local_nets: Vec::new(),
            owners: OnceCell::new(),
            host_ports: OnceCell::new(),
            host_endpoints: OnceCell::new(),
            links: RefCell::default(),
            judge: OnceCell::new(),
            services: Vec::new(),
            services_unknown: false,
            absent_pods: None,
            alike: RefCell::default(),
            source_classes: RefCell::default(),
            routed_workloads: RefCell::default(),
            port_classes: RefCell::default(),
        }
    }

    /// Takes a node's interfaces from the machine instead of the store.
    #[must_use]
    pub fn with_host(mut self, host: Host) -> Self {
        self.hosts.insert(host.node.clone(), host);
        self.owners = OnceCell::new();
        self.links = RefCell::default();
        self.alike = RefCell::default();
        self.source_classes = RefCell::default();
        self.port_classes = RefCell::default();
        self
    }

    /// Sets a node's routes, as read on its machine. Without them it is unknown which of several interfaces a packet uses.
    #[must_use]
    pub fn with_machine(mut self, node: &str, machine: Machine) -> Self {
        self.routed_workloads = RefCell::default();
        self.alike = RefCell::default();
        let local = machine.routes.iter().filter(|route| route.kind == RouteKind::Local);
        self.local_nets.extend(local.map(|route| (node.to_owned(), route.to)));
        self.machines.insert(node.to_owned(), machine);
        self
    }

    /// Sets the services of Kubernetes. Without them a packet to an address of a service is one to nobody.
    #[must_use]
    pub fn with_services(mut self, services: Vec<Service>) -> Self {
        self.services = services;
        self
    }

    /// Says that there may be services of Kubernetes that could not be read.
    #[must_use]
    pub fn with_unknown_services(mut self, services_unknown: bool) -> Self {
        self.services_unknown = services_unknown;
        self
    }

    /// Sets what knows why a pod has no endpoint.
    #[must_use]
    pub fn with_absent_pods(mut self, absent_pods: AbsentPods<'a>) -> Self {
        self.absent_pods = Some(absent_pods);
        self
    }

    /// The services of Kubernetes that are known.
    pub(crate) fn services(&self) -> &[Service] {
        &self.services
    }

    /// Why a pod has no endpoint, if that is known.
    fn absent_pod(&self, namespace: &str, name: &str) -> Option<AskError> {
        self.absent_pods.as_ref()?(namespace, name).map(AskError)
    }

    /// What a node's machine says of its routes, if it was asked.
    pub(crate) fn machine(&self, node: &str) -> Option<&Machine> {
        self.machines.get(node)
    }

    /// The same, if it tells all of its routes of an IP version.
    pub(crate) fn complete_machine(&self, node: &str, family: Family) -> Option<&Machine> {
        self.machine(node).filter(|machine| machine.partial_for(family).is_none())
    }

    /// The node's links, where the machine itself tells them.
    pub(crate) fn known_host(&self, node: &str) -> Option<&Host> {
        self.hosts.get(node)
    }

    /// The nodes whose interfaces are known.
    pub(crate) fn known_hosts(&self) -> impl Iterator<Item = &str> {
        self.hosts.keys().map(String::as_str)
    }

    /// A node's routes, if they are known completely.
    pub(crate) fn route_to(&self, node: &str, address: IpAddr) -> Option<RouteDecision<'_>> {
        self.complete_machine(node, Family::of(address))?.route_to(address)
    }

    /// The same for packets from a source.
    pub(crate) fn route_from(&self, node: &str, source: IpAddr, address: IpAddr) -> Option<RouteDecision<'_>> {
        self.complete_machine(node, Family::of(address))?.route_from(Some(source), address)
    }

    /// Whether a node whose machine tells its routes has one to a workload of its own, of an IP version. None if it has no such workload.
    pub(crate) fn has_routes_to_workloads(&self, node: &str, family: Family) -> Option<bool> {
        let key = (node.to_owned(), family);
        *self.routed_workloads.borrow_mut().entry(key).or_insert_with(|| {
            let machine = self.machine(node)?;
            let own = self.snapshot.workload_endpoints.values().filter(|endpoint| endpoint.node == node);
            let addresses = |endpoint: &'a WorkloadEndpoint| {
                endpoint.addresses.iter().map(move |address| (&endpoint.interface, *address))
            };
            let own: Vec<_> = own.flat_map(addresses).filter(|(_, address)| Family::of(*address) == family).collect();
            let leads = |(interface, address): &(&String, IpAddr)| {
                machine.route_to(*address).is_some_and(|leads| leads.interfaces.contains(&interface.as_str()))
            };
            (!own.is_empty()).then(|| own.iter().any(leads))
        })
    }

    /// The node on one of whose links an address is the broadcast address, as far as the machines tell.
    pub(crate) fn broadcasts_at(&self, address: IpAddr) -> Option<&str> {
        let is_broadcast =
            |machine: &Machine| machine.route_to(address).is_some_and(|way| way.kind == RouteKind::Broadcast);
        self.machines.iter().find(|(_, machine)| is_broadcast(machine)).map(|(node, _)| node.as_str())
    }

    /// The broadcast addresses of links, as far as the machines tell.
    pub(crate) fn broadcast_nets(&self) -> impl Iterator<Item = IpNet> {
        let routes = self.machines.values().flat_map(|machine| &machine.routes);
        routes.filter(|route| route.kind == RouteKind::Broadcast).map(|route| route.to)
    }

    /// A process with the address first that the machine uses towards its peer.
    pub(crate) fn facing(&self, location: Location, peer: &Location) -> Location {
        let Location::Process { node, mut addresses, interface: None, unknown } = location else { return location };
        for v4 in [true, false] {
            let towards = peer.addresses().iter().find(|address| address.is_ipv4() == v4);
            let Some(leads) = towards.and_then(|address| self.route_to(&node, *address)) else { continue };
            let (RouteKind::Unicast, [interface]) = (leads.kind, leads.interfaces.as_slice()) else { continue };
            let link = self.hosts.get(&node).and_then(|host| host.links.iter().find(|link| link.name == *interface));
            let mut liked: Vec<IpAddr> = leads.source.into_iter().collect();
            liked.extend(link.iter().flat_map(|link| &link.addresses));
            let rank = |address: &IpAddr| liked.iter().position(|one| one == address).unwrap_or(liked.len());
            addresses.sort_by_key(rank);
        }
        Location::Process { node, addresses, interface: None, unknown }
    }

    /// Every address that somebody has, with its owner.
    pub(crate) fn owners(&self) -> &BTreeMap<IpAddr, Owner<'a>> {
        self.owners.get_or_init(|| owners(self.snapshot, &self.hosts))
    }

    /// The addresses of a set that somebody has, with their owners.
    pub(crate) fn owners_within(&self, addresses: &AddressSet) -> impl Iterator<Item = (IpAddr, &Owner<'a>)> {
        let of = |family| {
            addresses.family(family).iter().map(move |(first, last)| address(family, first)..=address(family, last))
        };
        let ranges = of(Family::V4).chain(of(Family::V6));
        ranges.flat_map(|range| self.owners().range(range)).map(|(address, owner)| (*address, owner))
    }

    /// Judges by the snapshot.
    pub(crate) fn judge(&self) -> &Judge<'a> {
        self.judge.get_or_init(|| Judge::new(self.snapshot))
    }

    /// Of some interfaces of a node those that differ in what decides there.
    pub(crate) fn distinct_interfaces(&self, node: &str, names: Vec<String>) -> Distinct {
        let key = (node.to_owned(), names);
        if let Some(known) = self.alike.borrow().get(&key) {
            return known.clone();
        }
        let found = Rc::new(alike_interfaces::distinct(self, node, &key.1));
        self.alike.borrow_mut().insert(key, found.clone());
        found
    }

    /// The kinds of sources that were found before.
    pub(crate) fn source_classes(&self, key: &SourceClassesKey) -> Option<SourceClasses> {
        self.source_classes.borrow().get(key).cloned()
    }

    /// Keeps the kinds of sources that were found.
    pub(crate) fn keep_source_classes(&self, key: SourceClassesKey, classes: SourceClasses) {
        self.source_classes.borrow_mut().insert(key, classes);
    }

    /// The transports that were found before, or those that are found now.
    pub(crate) fn port_classes(&self, key: SourceClassesKey, find: impl FnOnce() -> TransportClasses) -> PortClasses {
        self.port_classes.borrow_mut().entry(key).or_insert_with(|| Rc::new(find())).clone()
    }

    /// The nets that routes of machines tell apart, and their rules that drop packets.
    pub(crate) fn routed_nets(&self) -> impl Iterator<Item = IpNet> {
        let routes = self.machines.values().flat_map(|machine| &machine.routes);
        let routes = routes.flat_map(|route| [Some(route.to), route.from]).flatten();
        let rules = self.machines.values().flat_map(|machine| &machine.dropping_rules);
        routes.chain(rules.flat_map(|rule| [rule.from, rule.to]).flatten())
    }

    /// The objects that packets are judged by.
    pub fn snapshot(&self) -> &'a Snapshot {
        self.snapshot
    }

    /// A node's interfaces. The store knows only those of host endpoints.
    pub fn host(&self, node: &str) -> Rc<Host> {
        if let Some(known) = self.links.borrow().get(node) {
            return known.clone();
        }
        let host = Rc::new(self.hosts.get(node).cloned().unwrap_or_else(|| self.stored_host(node)));
        self.links.borrow_mut().insert(node.to_owned(), host.clone());
        host
    }

    fn stored_host(&self, node: &str) -> Host {
        let links = self.host_endpoints(node).filter_map(|endpoint| {
            interface_of(endpoint).map(|name| Link { name, addresses: endpoint.addresses.clone() })
        });
        Host { node: node.to_owned(), links: links.collect() }
    }

    /// The named ports of a place: of a process those of the host endpoints that may stand before it.
    pub(crate) fn ports(&self, location: &Location) -> Vec<&'a NamedPort> {
        match location {
            Location::Workload(endpoint) => {
                let found = self.snapshot.workload_endpoints.get(&endpoint.id);
                found.map(|endpoint| endpoint.ports.iter().collect()).unwrap_or_default()
            }
            Location::Process { node, addresses, interface, unknown } => self
                .host_endpoints(node)
                .filter(|endpoint| match interface {
                    Some(_) if self.interface_of(endpoint) == *interface => true,
                    None if !unknown.is_empty() && endpoint.addresses.is_empty() => true,
                    _ => self.has_one_of(endpoint, addresses),
                })
                .flat_map(|endpoint| &endpoint.ports)
                .collect(),
            Location::Outside(_) => Vec::new(),
        }
    }

    /// Whether a host endpoint, or the interface that it names, has one of these addresses.
    fn has_one_of(&self, endpoint: &HostEndpoint, addresses: &[IpAddr]) -> bool {
        let link = match &endpoint.interface {
            GovernedInterfaces::Named(name) => {
                self.hosts.get(&endpoint.node).and_then(|host| host.links.iter().find(|link| link.name == *name))
            }
            _ => None,
        };
        let own = endpoint.addresses.iter().chain(link.into_iter().flat_map(|link| &link.addresses));
        own.into_iter().any(|address| addresses.contains(address))
    }

    /// The interface at which the packets of another are judged: what a port of a bridge, a bond or a VRF receives is seen at
    /// its master. Other interfaces are their own.
    pub(crate) fn judged_at(&self, node: &str, interface: String) -> String {
        let Some(machine) = self.machine(node) else { return interface };
        let mut at = interface;
        // A port of a bond may belong to a bridge. No chain is longer than the list.
        for _ in &machine.ports {
            let Some(port) = machine.port(&at) else { break };
            at.clone_from(&port.master);
        }
        at
    }

    /// The interface at which the packets of a host endpoint's interface are judged.
    fn interface_of(&self, endpoint: &HostEndpoint) -> Option<String> {
        self.own_interface_of(endpoint).map(|name| self.judged_at(&endpoint.node, name))
    }

    /// The interface that a host endpoint is on: the machine's, where that is known.
    fn own_interface_of(&self, endpoint: &HostEndpoint) -> Option<String> {
        let by_address = endpoint.interface == GovernedInterfaces::ByAddress;
        match self.hosts.get(&endpoint.node) {
            Some(host) if by_address => {
                let has = |link: &&Link| endpoint.addresses.iter().any(|address| link.addresses.contains(address));
                host.links.iter().find(has).map(|link| link.name.clone())
            }
            _ => interface_of(endpoint),
        }
    }

    /// The interfaces of a node that packets from elsewhere may come in by, or leave by.
    pub fn uplinks(&self, node: &str) -> Vec<String> {
        let settings = self.snapshot.settings(node);
        let mut names: Vec<String> = Vec::new();
        for link in &self.host(node).links {
            let is_port = self.machine(node).is_some_and(|machine| machine.port(&link.name).is_some());
            let outward = link.name != "lo" && !settings.is_workload_interface(&link.name) && !is_port;
            if outward && !names.contains(&link.name) {
                names.push(link.name.clone());
            }
        }
        let every = |endpoint: &HostEndpoint| endpoint.interface == GovernedInterfaces::All;
        if names.is_empty() {
            names.push("uplink".to_owned());
        } else if !self.hosts.contains_key(node) && self.host_endpoints(node).any(every) {
            // The store does not name them all, and the endpoint for all of them governs the others.
            names.push(ANOTHER.to_owned());
        }
        names
    }

    /// The pods of a node that have a `hostPort`, by namespace and name.
    pub(crate) fn host_ports(&self, node: &str) -> &[&'a WorkloadEndpoint] {
        let by_node = self.host_ports.get_or_init(|| {
            let mut by_node: HashMap<&str, Vec<&WorkloadEndpoint>> = HashMap::new();
            for endpoint in self.snapshot.workload_endpoints.values().filter(|one| !one.host_ports.is_empty()) {
                by_node.entry(&endpoint.node).or_default().push(endpoint);
            }
            by_node
        });
        by_node.get(node).map_or(&[], Vec::as_slice)
    }

    /// The host endpoints of a node, by name.
    pub(crate) fn host_endpoints(&self, node: &str) -> impl Iterator<Item = &'a HostEndpoint> {
        let by_node = self.host_endpoints.get_or_init(|| {
            let mut by_node: HashMap<&str, Vec<&HostEndpoint>> = HashMap::new();
            for endpoint in self.snapshot.host_endpoints.values() {
                by_node.entry(&endpoint.node).or_default().push(endpoint);
            }
            by_node
        });
        by_node.get(node).cloned().unwrap_or_default().into_iter()
    }

    /// Finds one end.
    pub fn find(&self, party: &EndSpec, node: Option<&str>) -> Result<Location, AskError> {
        match party {
            EndSpec::Address(address) => Ok(self.at(*address)),
            EndSpec::Any => Ok(Location::Outside(self.strangers())),
            EndSpec::Net(net) => {
                Err(AskError(format!("{net} is many addresses, which are answered by class{BOTH_ENDS}")))
            }
            EndSpec::Set(..) => {
                Err(AskError(format!("a network set is many addresses, which are answered by class{BOTH_ENDS}")))
            }
            EndSpec::Node(name) => self.process(name),
            EndSpec::HostEndpoint(name) => self.at_host_endpoint(name),
            EndSpec::Pod(namespace, name) => self.pod(namespace, name).ok_or_else(|| {
                if self.workload(namespace, name).is_some() {
                    let meant = "it is the name of a workload endpoint; did you mean";
                    return AskError(format!("there is no pod {namespace}/{name}: {meant} wep/{namespace}/{name}?"));
                }
                self.absent_pod(namespace, name).unwrap_or_else(|| {
                    let pods = self.pods_of(namespace);
                    AskError(format!("there is no pod {namespace}/{name}; pods of {namespace}: {pods}"))
                })
            }),
            EndSpec::Workload(namespace, name) => self
                .workload(namespace, name)
                .ok_or_else(|| {
                    let absent = || AskError(format!("there is no workload endpoint {namespace}/{name}"));
                    self.absent_pod(namespace, name).unwrap_or_else(absent)
                }),
            EndSpec::Either(namespace, name) => {
                self.pod(namespace, name).or_else(|| self.workload(namespace, name)).ok_or_else(|| {
                    self.absent_pod(namespace, name).unwrap_or_else(|| {
                        AskError(format!(
                            "there is neither a pod nor a workload endpoint {namespace}/{name}; pods of {namespace}: {}",
                            self.pods_of(namespace)
                        ))
                    })
                })
            }
            EndSpec::Labels(labels) => Ok(self.new_workload(labels, node)),
            EndSpec::At(place, address) => {
                let location = self.find(place, node)?;
                if !location.addresses().contains(address) && !self.may_have(&location, *address) {
                    let known: Vec<String> = location.addresses().iter().map(IpAddr::to_string).collect();
                    let known: Vec<&str> = known.iter().map(String::as_str).collect();
                    return Err(AskError(format!("{place} has no address {address}; its addresses: {}", list(&known))));
                }
                Ok(location.with_addresses(vec![*address]))
            }
        }
    }

    /// Whether an end may have an address that is not known to be its own: one of an IP version of which none is known, or one that
    /// its machine takes in by a local route.
    fn may_have(&self, location: &Location, address: IpAddr) -> bool {
        let Location::Process { node, unknown, .. } = location else { return false };
        unknown.contains(&Family::of(address)) && unknown_addresses::possible_at(self, location).contains(address)
            || self.taken_in(node).contains(address)
    }

    /// What is assumed of an end that is asked about with an address that nobody knows to be its own.
    pub(crate) fn assumed_address(&self, end: &EndSpec) -> Option<String> {
        let EndSpec::At(place, address) = end else { return None };
        let location = self.find(place, None).ok()?;
        let is_unknown = location.unknown_families().contains(&Family::of(*address));
        (is_unknown && !location.addresses().contains(address))
            .then(|| format!("{ASSUMED}{place} has the address {address}, which nobody told"))
    }

    /// What is assumed of a destination that no endpoint and no node has, if services could not be read.
    pub(crate) fn assumed_no_service(&self, to: &EndSpec) -> Option<String> {
        let EndSpec::Address(address) = to else { return None };
        let is_owned = !matches!(self.at(*address), Location::Outside(_));
        (self.services_unknown && !is_owned).then(|| {
            format!("{ASSUMED}{address} is no address of a Kubernetes service; the services could not be read")
        })
    }

    /// The owner of an address.
    pub fn at(&self, address: IpAddr) -> Location {
        match self.owners().get(&address) {
            // It may have others: this is the one that is asked about.
            Some(Owner::Workload(endpoint)) => {
                self.workload_at(WorkloadEndpoint { addresses: vec![address], ..(*endpoint).clone() })
            }
            owner => {
                let node = self.takes_in(address).or(match owner {
                    Some(Owner::Node(node)) => Some(node),
                    _ => None,
                });
                let addresses = vec![address];
                match node {
                    Some(node) => {
                        Location::Process { node: node.to_owned(), addresses, interface: None, unknown: Vec::new() }
                    }
                    None => Location::Outside(addresses),
                }
            }
        }
    }

    /// The node whose routes take an address in as the machine's own, on an interface or not.
    fn takes_in(&self, address: IpAddr) -> Option<&str> {
        // A machine may have very many routes; few of them are of this kind.
        let among = |(node, net): &&(String, IpNet)| {
            let machine = || self.machines.get(node).and_then(|machine| machine.route_to(address));
            net.contains(&address) && machine().is_some_and(|leads| leads.kind == RouteKind::Local)
        };
        self.local_nets.iter().find(among).map(|(node, _)| node.as_str())
    }

    /// The addresses that a node takes in by its local routes and that none of its interfaces has: nets of a loopback interface,
    /// and where it forwards IPv6 the first address of each net (the anycast address of its routers). None where no machine
    /// tells.
    pub(crate) fn taken_in(&self, node: &str) -> AddressSet {
        let own = self.hosts.get(node).into_iter().flat_map(|host| &host.links).flat_map(|link| &link.addresses);
        let nets = self.local_nets.iter().filter(|(of, _)| of == node).map(|(_, net)| net);
        let all = AddressSet::of_nets(nets).minus(&AddressSet::of(own));
        let broadcasts: Vec<IpNet> = self.broadcast_nets().collect();
        let others: Vec<IpAddr> = self.owners_within(&all).map(|(address, _)| address).collect();
        reach::crossing(&all).minus(&AddressSet::of_nets(&broadcasts)).minus(&AddressSet::of(&others))
    }

    /// Whether an address that the store says of a node is the node's, as far as its machine tells.
    fn is_of(&self, node: &str, address: IpAddr) -> bool {
        let Some(host) = self.hosts.get(node).filter(|host| tells_addresses(host)) else { return true };
        host.links.iter().any(|link| link.addresses.contains(&address)) || self.takes_in(address) == Some(node)
    }

    fn process(&self, name: &str) -> Result<Location, AskError> {
        let mut addresses: Vec<IpAddr> = Vec::new();
        let own = self.snapshot.nodes.get(name);
        addresses.extend(own.iter().flat_map(|node| &node.addresses));
        for endpoint in self.host_endpoints(name) {
            addresses.extend(&endpoint.addresses);
        }
        addresses.retain(|address| self.is_of(name, *address));
        if let Some(host) = self.hosts.get(name) {
            let loopback = |address: &&IpAddr| !address.is_loopback();
            addresses.extend(host.links.iter().flat_map(|link| &link.addresses).filter(loopback));
        }
        self.known(name)?;
        let mut seen = Vec::new();
        addresses.retain(|address| {
            !seen.contains(address) && {
                seen.push(*address);
                true
            }
        });
        let unknown = self.without_address(name, &addresses);
        Ok(Location::Process { node: name.to_owned(), addresses, interface: None, unknown })
    }

    /// The IP versions of which no address of a node, or of an interface of it, is known. Its machine knows all of them.
    fn without_address(&self, node: &str, addresses: &[IpAddr]) -> Vec<Family> {
        if self.hosts.get(node).is_some_and(tells_addresses) {
            return Vec::new();
        }
        let is_unknown = |family: &Family| addresses.iter().all(|address| Family::of(*address) != *family);
        [Family::V4, Family::V6].into_iter().filter(is_unknown).collect()
    }

    /// An error if the node that a question names is unknown.
    pub(crate) fn named_node(&self, question: &Question) -> Result<(), AskError> {
        question.node.as_deref().map_or(Ok(()), |node| self.known(node))
    }

    /// An error if a node is unknown, with the names of known nodes.
    pub(crate) fn known(&self, name: &str) -> Result<(), AskError> {
        let known = self.snapshot.nodes.contains_key(name)
            || self.hosts.contains_key(name)
            || self.host_endpoints(name).next().is_some()
            || self.snapshot.workload_endpoints.values().any(|endpoint| endpoint.node == name);
        if known {
            return Ok(());
        }
        let nodes = self.node_names();
        let endpoint = self.snapshot.host_endpoints.get(name);
        let endpoint = endpoint.map(|one| format!("; hep/{name} is a host endpoint on node/{}", one.node));
        let meant = similar(name, nodes.iter().copied()).map(|near| format!("; did you mean {near}?"));
        Err(AskError(format!(
            "there is no node {name:?}: no object in the store names it{}; nodes: {}",
            endpoint.or(meant).unwrap_or_default(),
            list(&nodes)
        )))
    }

    fn at_host_endpoint(&self, name: &str) -> Result<Location, AskError> {
        let Some(endpoint) = self.snapshot.host_endpoints.get(name) else {
            let names: Vec<&str> = self.snapshot.host_endpoints.keys().map(String::as_str).collect();
            let node = self.node_names().contains(&name).then(|| format!("; node/{name} is a node"));
            let meant = || similar(name, names.iter().copied()).map(|near| format!("; did you mean {near}?"));
            let meant = node.or_else(meant).unwrap_or_default();
            return Err(AskError(format!("there is no host endpoint {name:?}{meant}; there are: {}", list(&names))));
        };
        if endpoint.node.is_empty() {
            return Err(AskError(format!(
                "host endpoint {name:?} is on no node, since its node cannot be read: it judges no packet"
            )));
        }
        let Location::Process { node, addresses, unknown, .. } = self.process(&endpoint.node)? else {
            return Err(AskError(format!("host endpoint {name:?} is on no node")));
        };
        let interface = self.interface_of(endpoint);
        let mut own = self.addresses_at(endpoint);
        // What another interface of the node has says nothing of this one.
        let unknown = interface.as_ref().map_or(unknown, |_| self.without_address(&node, &own));
        let others = addresses.into_iter().filter(|address| !own.contains(address));
        own.extend(others.collect::<Vec<_>>());
        Ok(Location::Process { node, addresses: own, interface, unknown })
    }

    /// The addresses that are known of a host endpoint's interface: its own first, then those of others for the same interface,
    /// then what the machine says. Of one for every interface only its own.
    fn addresses_at(&self, endpoint: &HostEndpoint) -> Vec<IpAddr> {
        let node = &endpoint.node;
        let interface = self.own_interface_of(endpoint);
        let is_same = |other: &&HostEndpoint| interface.is_some() && self.own_interface_of(other) == interface;
        let mut addresses = endpoint.addresses.clone();
        addresses.extend(self.host_endpoints(node).filter(is_same).flat_map(|other| &other.addresses));
        addresses.retain(|address| self.is_of(node, *address));
        let links = self.hosts.get(node).into_iter().flat_map(|host| &host.links);
        addresses.extend(links.filter(|link| Some(&link.name) == interface.as_ref()).flat_map(|link| &link.addresses));
        let mut seen = Vec::new();
        addresses.retain(|address| {
            !seen.contains(address) && {
                seen.push(*address);
                true
            }
        });
        addresses
    }

    fn pod(&self, namespace: &str, name: &str) -> Option<Location> {
        let found = self
            .snapshot
            .workload_endpoints
            .values()
            .find(|endpoint| endpoint.id.namespace == namespace && endpoint.pod == name);
        found.map(|endpoint| self.workload_at(endpoint.clone()))
    }

    /// Where a workload endpoint is. One whose node or interface cannot be read is behind an interface of workloads that no
    /// endpoint governs, since the agent of its node leaves that closed.
    fn workload_at(&self, mut endpoint: WorkloadEndpoint) -> Location {
        if !endpoint.has_place() {
            let prefixes = &self.snapshot.settings(UNKNOWN_NODE).interface_prefixes;
            endpoint.node = UNKNOWN_NODE.to_owned();
            endpoint.interface = prefixes.first().cloned().unwrap_or_default() + UNKNOWN_INTERFACE;
        }
        Location::Workload(Box::new(endpoint))
    }

    fn workload(&self, namespace: &str, name: &str) -> Option<Location> {
        let id = WorkloadId { namespace: namespace.to_owned(), name: name.to_owned() };
        self.snapshot.workload_endpoints.get(&id).map(|endpoint| self.workload_at(endpoint.clone()))
    }

    fn new_workload(&self, labels: &BTreeMap<String, String>, node: Option<&str>) -> Location {
        let mut labels = labels.clone();
        let namespace = labels.remove("ns").unwrap_or_else(|| "default".to_owned());
        let account = labels.remove("sa");
        let mut profiles = vec![kubernetes::namespace_profile(&namespace)];
        labels.insert("projectcalico.org/namespace".to_owned(), namespace.clone());
        labels.insert("projectcalico.org/orchestrator".to_owned(), "k8s".to_owned());
        if let Some(account) = account {
            profiles.push(kubernetes::account_profile(&namespace, &account));
            labels.insert("projectcalico.org/serviceaccount".to_owned(), account);
        }
        // Only profiles that exist: where there are none, a real one would name none.
        profiles.retain(|profile| self.snapshot.profiles.contains_key(profile));
        let node = node.map_or_else(|| self.first_node(), str::to_owned);
        let prefix = self.snapshot.settings(&node).interface_prefixes.first().cloned().unwrap_or_default();
        Location::Workload(Box::new(WorkloadEndpoint {
            id: WorkloadId { namespace, name: "(not there yet)".to_owned() },
            precedence: Default::default(),
            node,
            interface: format!("{prefix}-new"),
            pod: "(not there yet)".to_owned(),
            addresses: NEW_WORKLOAD.iter().filter_map(|text| text.parse().ok()).collect(),
            nats: Vec::new(),
            labels,
            profiles,
            ports: Vec::new(),
            host_ports: Vec::new(),
            mac: String::new(),
            spoofing: Vec::new(),
            ingress_limits: Limits::default(),
            egress_limits: Limits::default(),
            unsupported_qos: Default::default(),
            missing: Default::default(),
        }))
    }

    /// One address of each family that no endpoint and no set has.
    fn strangers(&self) -> Vec<IpAddr> {
        let mut found: Vec<IpAddr> = Vec::new();
        for address in STRANGERS.iter().filter_map(|text| text.parse::<IpAddr>().ok()) {
            let unknown = tortie_eval::names_at(self.snapshot, address).is_empty();
            if unknown && !found.iter().any(|one| one.is_ipv4() == address.is_ipv4()) {
                found.push(address);
            }
        }
        found
    }

    /// What to say where a workload that does not exist yet was put on a node that nobody named.
    pub(crate) fn chosen_node(&self, named: Option<&str>, chosen: &str) -> Option<String> {
        let nodes = self.node_names().len();
        (named.is_none() && nodes > 1).then(|| {
            format!("the workload is taken to be on {chosen}, the first of {nodes} nodes: --node names another")
        })
    }

    fn first_node(&self) -> String {
        let placed = || self.snapshot.workload_endpoints.values().find(|endpoint| endpoint.has_place());
        let by_endpoint = || placed().map(|endpoint| endpoint.node.clone());
        let first = self.snapshot.nodes.keys().next().cloned().or_else(by_endpoint);
        first.unwrap_or_else(|| "(some node)".to_owned())
    }

    fn pods_of(&self, namespace: &str) -> String {
        let pods: Vec<&str> = self
            .snapshot
            .workload_endpoints
            .values()
            .filter(|endpoint| endpoint.id.namespace == namespace)
            .map(|endpoint| if endpoint.pod.is_empty() { endpoint.id.name.as_str() } else { endpoint.pod.as_str() })
            .collect();
        list(&pods)
    }

    /// Every node that an object or a machine names.
    pub fn node_names(&self) -> Vec<&str> {
        let mut nodes: Vec<&str> = self.snapshot.nodes.keys().chain(self.hosts.keys()).map(String::as_str).collect();
        nodes.extend(self.snapshot.host_endpoints.values().map(|endpoint| endpoint.node.as_str()));
        nodes.extend(self.snapshot.workload_endpoints.values().map(|endpoint| endpoint.node.as_str()));
        nodes.retain(|node| !node.is_empty());
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }
}

/// Whether it is the interface of a workload endpoint whose node or interface cannot be read.
pub(crate) fn is_unknown(interface: &str) -> bool {
    interface.ends_with(UNKNOWN_INTERFACE)
}

/// The node of an endpoint in words.
pub(crate) fn node_text(node: &str) -> &str {
    if node.is_empty() { UNKNOWN_NODE } else { node }
}

/// The name that is most likely meant: the same in another case, the same host with or without its domain, or one
/// letter away.
pub(crate) fn similar<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = name.to_ascii_lowercase();
    let host = |name: &str| name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let rank = |known: &str| {
        let lower = known.to_ascii_lowercase();
        let domain = plain.contains('.') != lower.contains('.');
        if lower == plain {
            Some(0)
        } else if domain && host(&plain) == host(&lower) {
            Some(1)
        } else {
            one_letter_apart(&plain, &lower).then_some(2)
        }
    };
    known.into_iter().filter_map(|known| Some((rank(known)?, known))).min().map(|(_, known)| known)
}

/// What is answered by class needs another end.
const BOTH_ENDS: &str = ": name two ends, as in `tortie explain set/office hep/web1`";

/// Whether one letter more, less or other, or two that changed places, make one name the other. What differs in a digit is
/// another machine.
fn one_letter_apart(a: &str, b: &str) -> bool {
    let (long, short) = if a.len() >= b.len() { (a.as_bytes(), b.as_bytes()) } else { (b.as_bytes(), a.as_bytes()) };
    let start = long.iter().zip(short).take_while(|(a, b)| a == b).count();
    let rest = if long.len() == short.len() { short.get(start + 1..) } else { short.get(start..) };
    let differing = [long.get(start), short.get(start)];
    let digit = differing.into_iter().flatten().any(u8::is_ascii_digit);
    if let ([a, b, long_rest @ ..], [c, d, short_rest @ ..]) = (&long[start..], &short[start..])
        && (a, b, long_rest) == (d, c, short_rest)
    {
        return !a.is_ascii_digit() && !b.is_ascii_digit();
    }
    short.len() > 2 && long.len() - short.len() <= 1 && !digit && long.get(start + 1..) == rest
}

/// The interface a host endpoint is on, as far as the store can tell; none for `*`.
fn interface_of(endpoint: &HostEndpoint) -> Option<String> {
    match &endpoint.interface {
        GovernedInterfaces::Named(name) => Some(name.clone()),
        GovernedInterfaces::ByAddress => endpoint.addresses.first().map(|address| format!("<{address}>")),
        GovernedInterfaces::All | GovernedInterfaces::Unreadable => None,
    }
}

pub(crate) fn list(names: &[&str]) -> String {
    const MAX_LISTED: usize = 10;
    if names.is_empty() { "none".to_owned() } else { shortened(names, MAX_LISTED) }
}
