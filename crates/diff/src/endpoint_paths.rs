//! The ways in which packets pass an endpoint: in, out, forwarded, from or to its own host.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::rc::Rc;

use tortie_classes::AddressSet;
use tortie_eval::{Subject, host_endpoint, specific_host_endpoint, workload_endpoint};
use tortie_net::IpNet;
use tortie_policy::packet::{Host, Link, PacketPath};
use tortie_policy::{EndpointId, Family, GovernedInterfaces, Snapshot};

use crate::reduced_snapshot::{ReducedSnapshot, ReducedSnapshots};

/// The name of an interface that no endpoint is for by name. What is for all interfaces is for it too.
pub(crate) const OTHER: &str = "elsewhere";

/// What the name begins with of an interface that an endpoint is for by its addresses, on a machine whose interfaces are not known.
const BY_ADDRESS: &str = "if-";

/// Which packets of an endpoint are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrafficKind {
    /// To a host endpoint's machine itself, or to a workload.
    In,
    /// From a host endpoint's machine itself, or from a workload.
    Out,
    /// In by a host endpoint's interface, and forwarded.
    ForwardedIn,
    /// Forwarded, and out by a host endpoint's interface.
    ForwardedOut,
    /// From a workload to its own host.
    ToOwnHost,
    /// To a workload from its own host.
    FromOwnHost,
}

impl TrafficKind {
    /// Whether the endpoint is at the destination.
    pub fn is_inward(self) -> bool {
        matches!(self, TrafficKind::In | TrafficKind::ForwardedIn | TrafficKind::FromOwnHost)
    }
}

impl fmt::Display for TrafficKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrafficKind::In => "in",
            TrafficKind::Out => "out",
            TrafficKind::ForwardedIn => "in and forwarded",
            TrafficKind::ForwardedOut => "forwarded and out",
            TrafficKind::ToOwnHost => "out to its own host",
            TrafficKind::FromOwnHost => "in from its own host",
        })
    }
}

/// One way.
#[derive(Clone, Debug)]
pub(crate) struct EndpointPath {
    pub(crate) reach: TrafficKind,
    pub(crate) packet_path: PacketPath,
    /// The sources and destinations that are asked about.
    pub(crate) source: AddressSet,
    pub(crate) destination: AddressSet,
}

impl EndpointPath {
    /// Whether there are packets of an IP version.
    pub(crate) fn has(&self, family: Family) -> bool {
        !self.source.family(family).is_empty() && !self.destination.family(family).is_empty()
    }
}

/// Where an endpoint is.
#[derive(Debug)]
pub(crate) struct PlacedEndpoint {
    pub(crate) endpoint: EndpointId,
    /// Its node.
    pub(crate) host: Rc<Host>,
    /// Whether the machine itself told its interfaces and their addresses.
    pub(crate) is_known: bool,
    pub(crate) interface: String,
    /// Where this is, for users: `eth0`, with the node if the endpoint changes it.
    pub(crate) place: String,
    /// Whether the endpoint is in force on both sides and governs other interfaces on one than on the other.
    pub(crate) moves: bool,
    /// The endpoints that can have a say on its ways, on each side.
    pub(crate) governors: [Vec<Subject>; 2],
}

/// A node with the interfaces that the endpoints of either side name, unless its interfaces are known.
fn host(node: &str, known: Option<&Host>, sides: [&Snapshot; 2]) -> Host {
    if let Some(host) = known.filter(|host| host.node == node) {
        return host.clone();
    }
    let mut links: Vec<Link> = Vec::new();
    for endpoint in sides.iter().flat_map(|side| side.host_endpoints.values()).filter(|one| one.node == node) {
        let name = match &endpoint.interface {
            GovernedInterfaces::Named(name) => name.clone(),
            // Nobody knows its name, and one is as good as another.
            GovernedInterfaces::ByAddress => format!("{BY_ADDRESS}{}", endpoint.name),
            GovernedInterfaces::All | GovernedInterfaces::Unreadable => continue,
        };
        let known = links.iter_mut().find(|link| link.name == name);
        match known {
            Some(link) => link.addresses.extend(&endpoint.addresses),
            None => links.push(Link { name, addresses: endpoint.addresses.clone() }),
        }
    }
    Host { node: node.to_owned(), links }
}

/// The endpoints of both sides, of some nodes, with the interfaces that they govern on one of them.
pub(crate) fn placed(
    sides: [&Snapshot; 2],
    known: Option<&Host>,
    is_node: impl Fn(&str) -> bool,
) -> Vec<PlacedEndpoint> {
    let mut found: Vec<(EndpointId, Rc<Host>, String)> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut hosts: BTreeMap<&str, Rc<Host>> = BTreeMap::new();
    let parts = sides.map(ReducedSnapshots::new);
    // The nodes and interfaces of each endpoint, on each side.
    let mut places: HashMap<EndpointId, [BTreeSet<(&str, String)>; 2]> = HashMap::new();
    for (at, (side, parts)) in sides.into_iter().zip(&parts).enumerate() {
        // Which interfaces of a node each endpoint governs, looked for once.
        let mut governed: BTreeMap<&str, BTreeMap<String, Vec<String>>> = BTreeMap::new();
        for endpoint in side.host_endpoints.values().filter(|one| !one.node.is_empty() && is_node(&one.node)) {
            let host = hosts.entry(&endpoint.node).or_insert_with(|| host(&endpoint.node, known, sides).into());
            let governed = governed.entry(&endpoint.node).or_insert_with(|| by_governor(parts, host));
            let id = EndpointId::Host(endpoint.name.clone());
            for interface in governed.get(&endpoint.name).into_iter().flatten() {
                places.entry(id.clone()).or_default()[at].insert((&endpoint.node, interface.clone()));
                // An endpoint for all interfaces is asked about at one that has none of its own.
                let by_name = !matches!(endpoint.interface, GovernedInterfaces::All) || interface == OTHER;
                if by_name && seen.insert((id.to_string(), &endpoint.node, interface.clone())) {
                    found.push((id.clone(), host.clone(), interface.clone()));
                }
            }
        }
        for endpoint in side.workload_endpoints.values().filter(|one| one.has_place() && is_node(&one.node)) {
            let (id, interface) = (EndpointId::Workload(endpoint.id.clone()), endpoint.interface.clone());
            places.entry(id.clone()).or_default()[at].insert((&endpoint.node, interface.clone()));
            if seen.insert((id.to_string(), &endpoint.node, interface.clone())) {
                let host = hosts.entry(&endpoint.node).or_insert_with(|| host(&endpoint.node, known, sides).into());
                found.push((id, host.clone(), interface));
            }
        }
    }
    let placed = found.into_iter().map(|(endpoint, host, interface)| {
        let governors = parts.each_ref().map(|parts| governors(&parts.governing(&host, &interface), &interface));
        let is_known = known.is_some_and(|known| known.node == host.node);
        let [before, after] = &places[&endpoint];
        let moves = before != after && !before.is_empty() && !after.is_empty();
        let node = &host.node;
        let is_moved = before.iter().chain(after).any(|(other, _)| other != node);
        let mut place = place(&host, is_known, &interface, &parts);
        if is_moved {
            place += &format!(" of {node}");
        }
        PlacedEndpoint { endpoint, host, is_known, interface, place, moves, governors }
    });
    placed.collect()
}

/// An interface for users. One that stands for all that no endpoint is for by name is told by those that have one on either side.
fn place(host: &Host, is_known: bool, interface: &str, parts: &[ReducedSnapshots; 2]) -> String {
    let name = |interface: &str| match interface.strip_prefix(BY_ADDRESS) {
        Some(endpoint) if !is_known => format!("the interface with the expectedIPs of {endpoint}"),
        _ => interface.to_owned(),
    };
    if interface != OTHER {
        return name(interface);
    }
    let has_own = |interface: &str| {
        parts.iter().any(|parts| {
            let ReducedSnapshot { snapshot, host } = parts.governing(host, interface);
            specific_host_endpoint(&snapshot, &host, interface).is_some()
        })
    };
    let all: Vec<String> =
        host.links.iter().map(|link| link.name.as_str()).filter(|name| has_own(name)).map(name).collect();
    match all.is_empty() {
        true => "every interface except those of workloads".to_owned(),
        false => format!("every interface except {} and those of workloads", all.join(", ")),
    }
}

/// The interfaces of a node that have an endpoint, by its name.
fn by_governor(parts: &ReducedSnapshots, host: &Host) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for interface in host.links.iter().map(|link| link.name.as_str()).chain([OTHER]) {
        let ReducedSnapshot { snapshot, host } = parts.governing(host, interface);
        if let Some(governor) = host_endpoint(&snapshot, &host, interface) {
            found.entry(governor.name.clone()).or_default().push(interface.to_owned());
        }
    }
    found
}

/// The endpoints that can have a say on the ways of those of an interface, on one side.
fn governors(ReducedSnapshot { snapshot, host }: &ReducedSnapshot, interface: &str) -> Vec<Subject> {
    let mut found = Vec::new();
    let of_host = |interface: &str| host_endpoint(snapshot, host, interface).map(|one| Subject::host(snapshot, one));
    found.extend(of_host(OTHER));
    found.extend(of_host(interface));
    found.extend(workload_endpoint(snapshot, host, interface).map(|one| Subject::workload(snapshot, one)));
    found
}

/// What stands for no other machine: this host, or an address that is not known yet. `explain` leaves them out as well.
const UNSPECIFIED: [&str; 2] = ["0.0.0.0/8", "::/128"];

/// The ways of an endpoint. `forwards` is whether a policy of a host endpoint applies to forwarded packets, on either side.
pub(crate) fn paths(placed: &PlacedEndpoint, sides: [&Snapshot; 2], forwards: bool) -> Vec<EndpointPath> {
    let interface = placed.interface.clone();
    let other = OTHER.to_owned();
    let all = AddressSet::all;
    let unspecified: Vec<IpNet> = UNSPECIFIED.iter().filter_map(|net| net.parse().ok()).collect();
    let others = AddressSet::all().minus(&AddressSet::of_nets(&unspecified));
    let through = |from: &String, to: &String| PacketPath::Forward { from: from.clone(), to: to.clone() };
    let (own, is_host) = match &placed.endpoint {
        EndpointId::Host(name) => {
            // The endpoint governs its interface for every address. Its expectedIPs are what other rules see of it, so an
            // interface of a machine that did not tell its addresses may have any.
            let link = placed.host.links.iter().find(|link| placed.is_known && link.name == interface);
            let own = link.map_or_else(all, |link| {
                let ours = sides.iter().filter_map(|side| side.host_endpoints.get(name)).flat_map(|one| &one.addresses);
                AddressSet::of(link.addresses.iter().chain(ours))
            });
            (if own.is_empty() { all() } else { own }, true)
        }
        EndpointId::Workload(id) => {
            let endpoints = sides.iter().filter_map(|side| side.workload_endpoints.get(id));
            let mut own = AddressSet::default();
            for endpoint in endpoints {
                let floating = endpoint.nats.iter().map(|nat| &nat.external);
                own = own.union(&AddressSet::of(endpoint.addresses.iter().chain(floating)));
                own = own.union(&AddressSet::of_nets(&endpoint.spoofing));
            }
            (own, false)
        }
    };
    let one = |reach: TrafficKind, packet_path: PacketPath| {
        let (source, destination) = match reach {
            TrafficKind::In | TrafficKind::FromOwnHost => (others.clone(), own.clone()),
            TrafficKind::Out | TrafficKind::ToOwnHost => (own.clone(), others.clone()),
            TrafficKind::ForwardedIn | TrafficKind::ForwardedOut => (others.clone(), others.clone()),
        };
        EndpointPath { reach, packet_path, source, destination }
    };
    if !is_host {
        return vec![
            one(TrafficKind::In, through(&other, &interface)),
            one(TrafficKind::Out, through(&interface, &other)),
            one(TrafficKind::ToOwnHost, PacketPath::Input { interface: interface.clone() }),
            one(TrafficKind::FromOwnHost, PacketPath::Output { interface }),
        ];
    }
    let mut found = vec![
        one(TrafficKind::In, PacketPath::Input { interface: interface.clone() }),
        one(TrafficKind::Out, PacketPath::Output { interface: interface.clone() }),
    ];
    if forwards {
        found.push(one(TrafficKind::ForwardedIn, through(&interface, &other)));
        found.push(one(TrafficKind::ForwardedOut, through(&other, &interface)));
    }
    found
}
