//! Packets between two machines or workloads behind one bridge of a node: the bridge forwards their frames itself, and no policy is asked
//! unless a setting says so. Source: `br_nf_pre_routing` in net/bridge/br_netfilter_hooks.c.

use std::net::IpAddr;

use tortie_eval::{Packet, PacketPath};

use crate::answer::Hop;
use crate::interfaces::ASSUMED;
use crate::topology::{Location, Topology};

/// Whether rules of a node are asked about a packet that a bridge of it hands on between its ports; none if it is routed there, or if that is
/// not known.
pub(crate) fn asks_rules(topology: &Topology<'_>, node: &str, packet: &Packet) -> Option<bool> {
    let (bridge, asks) = same_bridge(topology, node, packet)?;
    let is_handed_on = is_of_link(topology, node, bridge, [packet.source, packet.destination])
        || has_no_address(topology, node, bridge, packet.destination);
    is_handed_on.then_some(asks)
}

/// Whether two ends are in one net of a bridge, so that they send each other their packets by it.
pub(crate) fn is_of_link(topology: &Topology<'_>, node: &str, bridge: &str, ends: [IpAddr; 2]) -> bool {
    let Some(machine) = topology.machine(node).filter(|machine| machine.bridges.contains_key(bridge)) else {
        return false;
    };
    // The net of the link itself: what a route leads to by a gateway may be sent to the node, which routes it back.
    machine.routes.iter().any(|route| {
        let is_connected = route.to.prefix_len() > 0 && (route.source.is_some() || route.to.addr().is_ipv6());
        let is_of_bridge = !route.local_table && route.interfaces == [bridge];
        is_connected && is_of_bridge && ends.iter().all(|end| route.to.contains(end))
    })
}

/// Whether the node itself has no address of the destination's IP version on a bridge, so that nobody behind it sends by the node.
fn has_no_address(topology: &Topology<'_>, node: &str, bridge: &str, to: IpAddr) -> bool {
    let link = topology.known_host(node).and_then(|host| host.links.iter().find(|link| link.name == bridge));
    let counts = |address: &&IpAddr| match address {
        IpAddr::V4(_) => to.is_ipv4(),
        IpAddr::V6(address) => to.is_ipv6() && !address.is_unicast_link_local(),
    };
    link.is_some_and(|link| !link.addresses.iter().any(|address| counts(&address)))
}

/// Why a bridge of a node hands nothing on between the two ends, whose ports are isolated; as the error what is assumed, where that is not
/// known. Source: `br_skb_isolated` in net/bridge/br_private.h.
pub(crate) fn between_isolated(
    topology: &Topology<'_>,
    node: &str,
    bridge: &str,
    ends: [&Location; 2],
) -> Option<Result<String, String>> {
    let machine = topology.machine(node)?;
    let ports: Vec<&str> =
        machine.ports.iter().filter(|port| port.master == bridge).map(|port| port.name.as_str()).collect();
    let port_of = |end: &Location| match end {
        Location::Workload(end) if end.node == node => ports.iter().copied().find(|port| *port == end.interface),
        _ => None,
    };
    let known = ends.map(port_of);
    let is_isolated = |port: &str| machine.isolated.iter().any(|name| name == port);
    if ports.iter().filter(|port| is_isolated(port)).count() < 2 {
        return None;
    }
    let others: Vec<&str> = ports.iter().copied().filter(|port| !known.contains(&Some(port))).collect();
    // Of an end whose port is not known: whether all ports that it may have are isolated, and whether one is.
    let [all, any] = [others.iter().all(|port| is_isolated(port)), others.iter().any(|port| is_isolated(port))];
    let certain = known.iter().all(|port| port.map_or(all && !others.is_empty(), is_isolated));
    let possible = known.iter().all(|port| port.map_or(any, is_isolated));
    match (certain, possible) {
        (true, _) => Some(Ok(format!(
            "the bridge {bridge} of {node} hands nothing on between its isolated ports, behind which both ends are"
        ))),
        (false, true) => Some(Err(format!(
            "{ASSUMED}the ends are not both behind isolated ports of the bridge {bridge} of {node}, between which it hands nothing on"
        ))),
        (false, false) => None,
    }
}

/// The bridge by which a packet enters a node and leaves it, and whether rules are asked about what it hands on between its ports.
fn same_bridge<'a>(topology: &Topology<'_>, node: &str, packet: &'a Packet) -> Option<(&'a str, bool)> {
    let PacketPath::Forward { from, to } = &packet.path else { return None };
    let [asks_ipv4, asks_ipv6] = *topology.machine(node)?.bridges.get(from)?;
    let is_same = topology.judged_at(node, to.clone()) == *from && packet.translated.is_none();
    is_same.then_some((from, if packet.destination.is_ipv4() { asks_ipv4 } else { asks_ipv6 }))
}

/// What is assumed of packets that bridges hand on, or may.
pub(crate) fn assumed(topology: &Topology<'_>, ends: [&Location; 2], hops: &[Hop]) -> Vec<String> {
    let note = |hop: &Hop| {
        let node = &hop.host.node;
        let (bridge, asks) = same_bridge(topology, node, &hop.packet)?;
        let setting = if hop.packet.destination.is_ipv4() { "iptables" } else { "ip6tables" };
        match (hop.is_bridged, asks) {
            (true, _) => Some(format!(
                "{ASSUMED}the bridge {bridge} of {node} hands it on between its ports, and asks no rules about that (net.bridge.bridge-nf-call-{setting} is not 1)"
            )),
            (false, false) => Some(format!(
                "{ASSUMED}its sender hands it to {node}, which routes it; if the sender's route leads to another machine behind the bridge {bridge}, no policy of {node} is asked"
            )),
            (false, true) => None,
        }
    };
    let isolated = |hop: &Hop| {
        let node = &hop.host.node;
        let (bridge, _) = same_bridge(topology, node, &hop.packet).filter(|_| hop.verdict.allowed)?;
        asks_rules(topology, node, &hop.packet)?;
        between_isolated(topology, node, bridge, ends)?.err()
    };
    hops.iter().filter_map(note).chain(hops.iter().filter_map(isolated)).collect()
}
