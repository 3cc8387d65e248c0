//! Packets between two machines or workloads behind one bridge of a node: the bridge forwards their frames itself, and no policy is asked
//! unless a setting says so. Source: `br_nf_pre_routing` in net/bridge/br_netfilter_hooks.c.

use tortie_eval::{Packet, PacketPath};

use crate::answer::Hop;
use crate::interfaces::ASSUMED;
use crate::topology::Topology;

/// Whether rules of a node are asked about a packet that a bridge of it hands on between its ports; none if it is routed there, or if that is
/// not known.
pub(crate) fn asks_rules(topology: &Topology<'_>, node: &str, packet: &Packet) -> Option<bool> {
    let PacketPath::Forward { from, to } = &packet.path else { return None };
    let machine = topology.machine(node)?;
    let [asks_ipv4, asks_ipv6] = *machine.bridges.get(from)?;
    let is_bridged = topology.judged_at(node, to.clone()) == *from && packet.translated.is_none();
    let ends = [packet.source, packet.destination];
    let is_of_link = machine.routes.iter().any(|route| {
        !route.local_table && route.interfaces == [from.as_str()] && ends.iter().all(|end| route.to.contains(end))
    });
    (is_bridged && is_of_link).then_some(if packet.destination.is_ipv4() { asks_ipv4 } else { asks_ipv6 })
}

/// What is assumed of packets that bridges hand on.
pub(crate) fn assumed(hops: &[Hop]) -> Vec<String> {
    let note = |hop: &Hop| {
        let PacketPath::Forward { from, .. } = &hop.packet.path else { return None };
        let setting = if hop.packet.destination.is_ipv4() { "iptables" } else { "ip6tables" };
        Some(format!(
            "{ASSUMED}the bridge {from} of {} hands it on between its ports, and asks no rules about that (net.bridge.bridge-nf-call-{setting} is not 1)",
            hop.host.node
        ))
    };
    hops.iter().filter(|hop| hop.is_bridged).filter_map(note).collect()
}
