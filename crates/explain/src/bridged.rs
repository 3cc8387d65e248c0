//! Packets between two machines or workloads behind one bridge of a node: the bridge forwards their frames itself, and no policy is asked
//! unless a setting says so. Source: `br_nf_pre_routing` in net/bridge/br_netfilter_hooks.c.

use tortie_eval::{Packet, PacketPath};

use crate::answer::Hop;
use crate::interfaces::ASSUMED;
use crate::topology::Topology;

/// Whether rules of a node are asked about a packet that a bridge of it hands on between its ports; none if it is routed there, or if that is
/// not known.
pub(crate) fn asks_rules(topology: &Topology<'_>, node: &str, packet: &Packet) -> Option<bool> {
    let (bridge, asks) = same_bridge(topology, node, packet)?;
    let ends = [packet.source, packet.destination];
    // The net of the link itself: what a route leads to by a gateway may be sent to the node, which routes it back.
    let is_of_link = topology.machine(node)?.routes.iter().any(|route| {
        let is_connected = route.to.prefix_len() > 0 && (route.source.is_some() || route.to.addr().is_ipv6());
        let is_of_bridge = !route.local_table && route.interfaces == [bridge];
        is_connected && is_of_bridge && ends.iter().all(|end| route.to.contains(end))
    });
    is_of_link.then_some(asks)
}

/// The bridge by which a packet enters a node and leaves it, and whether rules are asked about what it hands on between its ports.
fn same_bridge<'a>(topology: &Topology<'_>, node: &str, packet: &'a Packet) -> Option<(&'a str, bool)> {
    let PacketPath::Forward { from, to } = &packet.path else { return None };
    let [asks_ipv4, asks_ipv6] = *topology.machine(node)?.bridges.get(from)?;
    let is_same = topology.judged_at(node, to.clone()) == *from && packet.translated.is_none();
    is_same.then_some((from, if packet.destination.is_ipv4() { asks_ipv4 } else { asks_ipv6 }))
}

/// What is assumed of packets that bridges hand on, or may.
pub(crate) fn assumed(topology: &Topology<'_>, hops: &[Hop]) -> Vec<String> {
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
    hops.iter().filter_map(note).collect()
}
