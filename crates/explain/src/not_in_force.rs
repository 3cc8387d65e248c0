//! Endpoints that are not in force, or that packets pass by, and why.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::net::IpAddr;

use tortie_eval::{Host, specific_host_endpoint, wildcard_host_endpoint};
use tortie_policy::{EndpointId, GovernedInterfaces, HostEndpoint, Snapshot, WorkloadEndpoint};

use crate::topology::{Topology, similar};

/// Why a host endpoint governs no interface. The text continues a sentence that begins with the endpoint's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotInForce {
    why: String,
    /// The host endpoint that governs the interface instead.
    pub first: Option<String>,
    /// No other object names its node.
    pub has_unknown_node: bool,
}

impl NotInForce {
    fn new(why: String) -> Self {
        Self { why, first: None, has_unknown_node: false }
    }

    fn behind(first: &HostEndpoint, why: &str) -> Self {
        let why = format!("is not in force: {} {why}", first.name);
        Self { first: Some(first.name.clone()), ..Self::new(why) }
    }

    /// The code of a warning of it.
    pub fn code(&self) -> &'static str {
        if self.has_unknown_node { "unknown-node" } else { "placement" }
    }
}

impl fmt::Display for NotInForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

/// Why a workload endpoint does not govern its interface, in a sentence about it; none if it does.
pub fn workload_endpoint(snapshot: &Snapshot, endpoint: &WorkloadEndpoint) -> Option<String> {
    let settings = snapshot.settings(&endpoint.node);
    let interface = &endpoint.interface;
    if !endpoint.has_place() {
        return Some(
            "its node or interface cannot be read, so its interface stays closed, whatever its policies say".to_owned(),
        );
    }
    if !settings.is_workload_interface(interface) {
        let prefixes = settings.interface_prefixes.join(", ");
        return Some(format!(
            "{interface} is no interface of workloads on {}, whose names begin with {prefixes} (interfacePrefix): its policies are not asked",
            endpoint.node
        ));
    }
    if !settings.admits(endpoint) {
        return Some(
            "it asks for allowSpoofedSourcePrefixes while workloadSourceSpoofing is Disabled, so it counts as absent"
                .to_owned(),
        );
    }
    let host = Host { node: endpoint.node.clone(), links: Vec::new() };
    let first = tortie_eval::workload_endpoint(snapshot, &host, interface)?;
    (first.id != endpoint.id).then(|| {
        format!(
            "{} governs {interface}, because it comes first by orchestrator, workload and endpoint",
            EndpointId::Workload(first.id.clone()).for_users()
        )
    })
}

/// Why packets of a workload pass by its policies, in a sentence about its interface; none if they do not, or if that is not known.
pub fn passed_by(topology: &Topology<'_>, endpoint: &WorkloadEndpoint) -> Option<String> {
    let settings = topology.snapshot().settings(&endpoint.node);
    let is_workload = |name: &str| settings.is_workload_interface(name);
    topology.machine(&endpoint.node)?.passes_by(&endpoint.interface, is_workload)
}

/// The workload endpoints whose packets pass by their policies, each with the reason.
pub fn all_passed_by<'a>(topology: &Topology<'a>) -> Vec<(&'a WorkloadEndpoint, String)> {
    let endpoints = topology.snapshot().workload_endpoints.values();
    endpoints.filter_map(|endpoint| Some((endpoint, passed_by(topology, endpoint)?))).collect()
}

/// Why a host endpoint governs no interface; none if it governs one, or if that cannot be known here.
pub fn host_endpoint(topology: &Topology<'_>, endpoint: &HostEndpoint) -> Option<NotInForce> {
    let snapshot = topology.snapshot();
    let of_node = snapshot.host_endpoints.values().filter(|one| one.node == endpoint.node);
    let has_workloads = |node: &str| snapshot.workload_endpoints.values().any(|one| one.node == node);
    not_in_force_among(topology, endpoint, of_node, has_workloads)
}

/// The host endpoints that govern no interface, by name, each with the reason.
pub fn all_host_endpoints(topology: &Topology<'_>) -> BTreeMap<String, NotInForce> {
    let mut by_node: HashMap<&str, Vec<&HostEndpoint>> = HashMap::new();
    for endpoint in topology.snapshot().host_endpoints.values() {
        by_node.entry(&endpoint.node).or_default().push(endpoint);
    }
    let workloads: HashSet<&str> =
        topology.snapshot().workload_endpoints.values().map(|one| one.node.as_str()).collect();
    let reason = |endpoint: &&HostEndpoint, all: &[&HostEndpoint]| {
        let why = not_in_force_among(topology, endpoint, all.iter().copied(), |node| workloads.contains(node))?;
        Some((endpoint.name.clone(), why))
    };
    by_node.values().flat_map(|all| all.iter().filter_map(|one| reason(one, all)).collect::<Vec<_>>()).collect()
}

/// [`host_endpoint`] for one endpoint, with the other host endpoints of its node.
fn not_in_force_among<'a>(
    topology: &Topology<'_>,
    endpoint: &HostEndpoint,
    of_node: impl Iterator<Item = &'a HostEndpoint> + Clone,
    has_workloads: impl Fn(&str) -> bool,
) -> Option<NotInForce> {
    if endpoint.node.is_empty() {
        return Some(NotInForce::new("is on no node, since its node cannot be read: it judges no packet".to_owned()));
    }
    if let Some(why) = unknown_node(topology, endpoint, has_workloads) {
        return Some(why);
    }
    // One whose interface cannot be read governs every interface.
    if let Some(first) = of_node.clone().find(|one| one.interface == GovernedInterfaces::Unreadable) {
        let why = "governs every interface of the host, because its own cannot be read";
        return (first.name != endpoint.name).then(|| NotInForce::behind(first, why));
    }
    match topology.known_host(&endpoint.node) {
        Some(host) => here(topology, host, endpoint),
        None => shadowed(endpoint, of_node),
    }
}

/// The reason if no other object names its node.
fn unknown_node(
    topology: &Topology<'_>,
    endpoint: &HostEndpoint,
    has_workloads: impl Fn(&str) -> bool,
) -> Option<NotInForce> {
    let snapshot = topology.snapshot();
    let node = endpoint.node.as_str();
    if snapshot.nodes.contains_key(node) || topology.known_host(node).is_some() || has_workloads(node) {
        return None;
    }
    let host = topology.known_hosts().filter_map(|name| topology.known_host(name));
    let mut by_address = host.filter_map(|host| Some((host, own_address(host, endpoint)?)));
    if let Some((host, address)) = by_address.next() {
        let why = format!(
            "is on {node}, a node that no other object names, and {0} has its address {address}; did you mean {0}?",
            host.node
        );
        return Some(NotInForce { has_unknown_node: true, ..NotInForce::new(why) });
    }
    let certain = snapshot.nodes.keys().map(String::as_str).chain(topology.known_hosts());
    // Without objects of kind Node any name may be right; one that looks like a known one most likely is not.
    let meant = similar(node, certain);
    if meant.is_none() && snapshot.nodes.is_empty() {
        return None;
    }
    let meant = meant.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
    let why = format!("is on {node}, a node that no other object names{meant}");
    Some(NotInForce { has_unknown_node: true, ..NotInForce::new(why) })
}

/// An address of an endpoint that a host has, and that other hosts do not have too by their nature.
fn own_address(host: &Host, endpoint: &HostEndpoint) -> Option<IpAddr> {
    let is_shared = |address: &IpAddr| match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local(),
    };
    let has = |address: &IpAddr| host.links.iter().any(|link| link.addresses.contains(address));
    endpoint.addresses.iter().find(|address| !is_shared(address) && has(address)).copied()
}

/// The reason when the interfaces of its node are not known: an endpoint of the same interface, or with all of its addresses,
/// sorts first by name.
fn shadowed<'a>(endpoint: &HostEndpoint, of_node: impl Iterator<Item = &'a HostEndpoint>) -> Option<NotInForce> {
    let mut earlier = of_node.filter(|one| one.name < endpoint.name);
    let by = earlier.find(|one| {
        one.interface == endpoint.interface && endpoint.interface != GovernedInterfaces::ByAddress
            || one.interface == GovernedInterfaces::ByAddress
                && endpoint.interface == GovernedInterfaces::ByAddress
                && endpoint.addresses.iter().all(|address| one.addresses.contains(address))
    })?;
    Some(match &endpoint.interface {
        GovernedInterfaces::Named(name) => governed(by, name),
        GovernedInterfaces::All | GovernedInterfaces::Unreadable => NotInForce::behind(by, ALL_TOO),
        GovernedInterfaces::ByAddress => NotInForce::behind(by, "has its addresses too, and its name sorts first"),
    })
}

const ALL_TOO: &str = "is for every interface too, and its name sorts first";

fn governed(first: &HostEndpoint, interface: &str) -> NotInForce {
    NotInForce::behind(first, &format!("governs {interface}, because its name sorts first"))
}

/// The reason when the interfaces of its node are known.
fn here(topology: &Topology<'_>, host: &Host, endpoint: &HostEndpoint) -> Option<NotInForce> {
    let snapshot = topology.snapshot();
    if endpoint.interface == GovernedInterfaces::All {
        let first = wildcard_host_endpoint(snapshot, host)?;
        return (first.name != endpoint.name).then(|| NotInForce::behind(first, ALL_TOO));
    }
    let names = match &endpoint.interface {
        GovernedInterfaces::Named(name) => vec![name.as_str()],
        _ => {
            let has = |address: &IpAddr| endpoint.addresses.contains(address);
            let links = host.links.iter().filter(|link| link.addresses.iter().any(has));
            links.map(|link| link.name.as_str()).collect()
        }
    };
    if names.is_empty() {
        let why = format!("is not in force: no interface of {} has one of its expectedIPs", host.node);
        return Some(NotInForce::new(why));
    }
    let governs =
        |name: &str| specific_host_endpoint(snapshot, host, name).is_some_and(|first| first.name == endpoint.name);
    let settings = snapshot.settings(&host.node);
    let why = |name: &str| -> Option<NotInForce> {
        if settings.is_workload_interface(name) {
            return Some(NotInForce::new(format!("is not in force: {name} is an interface of workloads")));
        }
        if settings.is_excluded_interface(name) {
            return Some(NotInForce::new(format!("is not in force: interfaceExclude has {name}")));
        }
        if !governs(name) {
            return Some(governed(specific_host_endpoint(snapshot, host, name)?, name));
        }
        if !host.links.iter().any(|link| link.name == name) {
            let why = format!("waits: {} has no interface {name}; it is in force as soon as there is one", host.node);
            return Some(NotInForce::new(why));
        }
        let port = topology.machine(&host.node)?.port(name)?;
        let (kind, master) = (&port.kind, &port.master);
        Some(NotInForce::new(format!(
            "judges no packet: {name} is a port of {kind} {master}, where its packets are judged"
        )))
    };
    let reasons: Vec<NotInForce> = names.iter().filter_map(|name| why(name)).collect();
    if reasons.len() == names.len() { reasons.into_iter().next() } else { None }
}
