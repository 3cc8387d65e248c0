//! Workloads whose interface carries no packets: packets to their addresses follow the other routes.

use std::net::IpAddr;

use tortie_net::Mac;
use tortie_policy::machine::{RouteDecision, RouteKind};
use tortie_policy::{EndpointId, Family, WorkloadEndpoint};

use crate::interfaces::ASSUMED;
use crate::topology::{Location, Topology};
use crate::{fault, not_in_force, own_nat};

/// Whether packets to the workload at this end, with this destination, do not go to its interface, as far as its machine tells; a note
/// then says why, and where they go.
pub(crate) fn passes_by(
    topology: &Topology<'_>,
    end: &Location,
    [source, destination]: [IpAddr; 2],
    notes: &mut Vec<String>,
) -> bool {
    let Location::Workload(endpoint) = end else { return false };
    let why = no_route(topology, endpoint).or_else(|| other_route(topology, endpoint, [source, destination]));
    let Some(why) = why else { return false };
    let node = &endpoint.node;
    // A floating IP is translated before the route is chosen.
    let floating = |address: &IpAddr| own_nat::floating_leads_to(topology.snapshot(), endpoint, *address);
    let address = endpoint.addresses.first().map(|address| floating(address).unwrap_or(*address));
    let leads = |address: IpAddr| {
        let machine = topology.complete_machine(node, Family::of(address))?;
        Some(machine.route_from(Some(source), address))
    };
    let is_lost = |address: &IpAddr| {
        leads(*address).is_some_and(|leads| leads.is_none_or(|leads| leads.kind == RouteKind::Blocked))
    };
    let goes = match address {
        Some(address) if is_lost(&address) => format!("{node} has no other route to {address} and drops the packet"),
        _ => format!("the packet does not reach it and follows the other routes of {node}"),
    };
    notes.push(format!("{why}; {goes}"));
    true
}

/// The node that drops packets to the workload at this end, since its interface carries none though a route leads by it; and why.
pub(crate) fn drops(topology: &Topology<'_>, end: &Location) -> Option<(String, String)> {
    let Location::Workload(endpoint) = end else { return None };
    Some((endpoint.node.clone(), no_link(topology, endpoint)?))
}

/// Why an interface carries no packets, as far as its machine tells.
pub(crate) fn carries_nothing(topology: &Topology<'_>, node: &str, interface: &str) -> Option<String> {
    let (machine, host) = (topology.machine(node)?, topology.known_host(node)?);
    if !host.links.iter().any(|link| link.name == *interface) {
        return Some(format!("{node} has no interface {interface}"));
    }
    let is_down = machine.down.iter().any(|name| name == interface);
    is_down.then(|| format!("{interface} of {node} is down or has no carrier"))
}

/// Notes that nothing comes from a workload whose interface carries no packets.
pub(crate) fn note_silent(topology: &Topology<'_>, from: &Location, notes: &mut Vec<String>) {
    if let Location::Workload(endpoint) = from
        && let Some(why) = no_link(topology, endpoint)
    {
        notes.push(format!("{ASSUMED}it sends a packet, although {why}"));
    }
}

/// The interface by which its node sends to a workload: where that is a port of another one, the one that the route leads by.
pub(crate) fn sent_by(topology: &Topology<'_>, endpoint: &WorkloadEndpoint, [source, to]: [IpAddr; 2]) -> String {
    let (node, interface) = (&endpoint.node, &endpoint.interface);
    let master = topology.judged_at(node, interface.clone());
    match topology.route_from(node, source, to) {
        Some(leads) if leads.interfaces == [master.as_str()] => master,
        _ => interface.clone(),
    }
}

/// What is to be said where a node sends to a workload by an interface that is a port: the workload's answer to the question for its MAC comes
/// in by the master. The agent makes a neighbour of each IPv4 address, so that nobody asks, if the endpoint has a MAC.
fn is_not_found(topology: &Topology<'_>, endpoint: &WorkloadEndpoint, to: IpAddr) -> Option<String> {
    let node = &endpoint.node;
    let port = topology.machine(node)?.port(&endpoint.interface)?;
    let has_mac = || endpoint.mac.parse().ok().and_then(|mac: Mac| mac.ethernet()).is_some();
    let is_asked = SEEN_AT_MASTER.contains(&port.kind.as_str()) && !(to.is_ipv4() && has_mac());
    is_asked.then(|| {
        format!("; it does not get them unless {node} knows its MAC there (ip neighbour): the answer to the question who has {to} comes in by {}", port.master)
    })
}

/// Kinds of masters at which all packets of their ports come in.
const SEEN_AT_MASTER: [&str; 3] = ["bridge", "bond", "team"];

/// Notes which policies of workloads at the ends are not asked although they govern the interfaces.
pub(crate) fn note_passed_by(
    topology: &Topology<'_>,
    [from, end]: [&Location; 2],
    ways: [IpAddr; 2],
    assumed: &mut Vec<String>,
) {
    for (location, is_sender) in [(from, true), (end, false)] {
        let Location::Workload(endpoint) = location else { continue };
        let Some(why) = not_in_force::passed_by(topology, endpoint) else { continue };
        let (name, node, interface) = (name(endpoint), &endpoint.node, &endpoint.interface);
        let is_port = topology.judged_at(node, interface.clone()) != *interface;
        let asked = match () {
            () if !is_port => format!("this answer is for a packet that does not pass by {interface}"),
            () if is_sender => format!("no policy of {name} is asked about what it sends"),
            () if sent_by(topology, endpoint, ways) != *interface => {
                format!("no policy of {name} is asked about what {node} sends to it")
            }
            () => {
                let lost = is_not_found(topology, endpoint, ways[1]).unwrap_or_default();
                format!("policies of {name} are asked only about what {node} itself routes to it by {interface}{lost}")
            }
        };
        assumed.push(format!("{why}; {asked}"));
    }
}

/// Why the agent has no route to a workload; none if it has one, or will have as soon as the endpoint is in force.
fn no_route(topology: &Topology<'_>, endpoint: &WorkloadEndpoint) -> Option<String> {
    let machine = topology.machine(&endpoint.node)?;
    let stored = topology.snapshot().workload_endpoints.get(&endpoint.id)?;
    let by_it = |leads: RouteDecision<'_>| leads.interfaces.contains(&endpoint.interface.as_str());
    if endpoint.addresses.iter().any(|address| machine.route_to(*address).is_some_and(by_it)) {
        return None;
    }
    no_link(topology, endpoint).or_else(|| {
        let why = not_in_force::workload_endpoint(topology.snapshot(), stored)?;
        Some(format!("{} has no route of its own, since it is not in force: {why}", name(endpoint)))
    })
}

/// Why packets to an address of a workload do not go to its interface although that carries packets: another route is for this address alone
/// too, and is chosen before the agent's.
fn other_route(topology: &Topology<'_>, endpoint: &WorkloadEndpoint, [source, to]: [IpAddr; 2]) -> Option<String> {
    let (node, interface) = (&endpoint.node, &endpoint.interface);
    topology.snapshot().workload_endpoints.get(&endpoint.id)?;
    let is_alone = topology.machine(node)?.has_route_to_only(to);
    let leads = topology.route_from(node, source, to).filter(|_| is_alone && !fault("route-of-another-ignored"))?;
    let is_other = match leads.kind {
        RouteKind::Blocked | RouteKind::NotForwarded => true,
        RouteKind::Unicast => !leads.interfaces.is_empty() && !leads.interfaces.contains(&interface.as_str()),
        RouteKind::Local | RouteKind::Broadcast | RouteKind::Multicast => false,
    };
    is_other.then(|| format!("{node}'s route to {to} does not lead by {interface}"))
}

/// Why the interface of a workload carries no packets; none if it does, or if nobody tells.
pub(crate) fn no_link(topology: &Topology<'_>, endpoint: &WorkloadEndpoint) -> Option<String> {
    let (node, interface) = (&endpoint.node, &endpoint.interface);
    let machine = topology.machine(node)?;
    let host = topology.known_host(node)?;
    topology.snapshot().workload_endpoints.get(&endpoint.id)?;
    if !host.links.iter().any(|link| link.name == *interface) {
        return Some(format!("{node} has no interface {interface}, which {} waits for", name(endpoint)));
    }
    let is_down = machine.down.contains(interface);
    is_down.then(|| format!("{interface}, the interface of {}, is down or has no carrier", name(endpoint)))
}

fn name(endpoint: &WorkloadEndpoint) -> String {
    EndpointId::Workload(endpoint.id.clone()).for_users()
}
