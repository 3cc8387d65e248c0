//! Packets that nobody takes in though policies let them through. Translated ones that the kernel may not deliver: to a loopback address of
//! what came in, to a group, to everybody on a link, to no address (source: `ip_route_input_slow`), and to other machines from a loopback
//! address. And those for a floating IP that are
//! of no connection, so that nothing translates them: the route leads to the workload, which does not have the address.

use tortie_eval::{Conntrack, Packet, PacketPath, Verdict};
use tortie_policy::machine::RouteKind;
use tortie_policy::{EndpointId, Snapshot, WorkloadEndpoint};

use crate::answer::{Hop, is_tracked};
use crate::topology::Topology;

/// Why there is no answer for a packet that is translated so.
pub(crate) fn why(topology: &Topology<'_>, hop: &Hop) -> Option<String> {
    let (to, _) = hop.packet.translated.filter(|_| hop.verdict.allowed)?;
    // Source: `__mkroute_output` in net/ipv4/route.c, `ip6_rcv_core` in net/ipv6/ip6_input.c.
    let source = hop.packet.source;
    if let Some(name) = hop.leaves_by().filter(|name| source.is_loopback() && *name != "lo") {
        let leaves = if source.is_ipv4() {
            format!("leaves only if route_localnet of {name} is 1, and ")
        } else {
            String::new()
        };
        return Some(format!(
            "{} translates what {source} sends to {to}, by {name}: it {leaves}arrives only if its source is replaced, and whether that is so is not known",
            hop.host.node
        ));
    }
    // What a machine sends to itself comes in by the loopback interface.
    let enters = match &hop.packet.path {
        PacketPath::Input { interface } | PacketPath::Forward { from: interface, .. } => interface != "lo",
        PacketPath::Output { .. } => false,
    };
    let is_broadcast = || topology.route_to(&hop.host.node, to).is_some_and(|way| way.kind == RouteKind::Broadcast);
    let kind = match () {
        () if to.is_loopback() && enters => {
            "a loopback address, which the kernel drops of what comes in unless it is set otherwise"
        }
        () if to.is_unspecified() => "the unspecified address",
        () if to.is_multicast() => "a multicast address",
        () if to == std::net::IpAddr::from([255; 4]) || is_broadcast() => "a broadcast address",
        () => return None,
    };
    Some(format!("{to} is {kind}: what becomes of a packet that {} translates to it is not known", hop.host.node))
}

/// Why a workload does not take in a packet that its node lets through to its interface: the destination is not an address of it,
/// since it was not translated there.
pub(crate) fn not_its_address(
    snapshot: &Snapshot,
    end: &WorkloadEndpoint,
    packet: &Packet,
    verdict: &Verdict,
) -> Option<String> {
    let is_tracked = is_tracked(packet, verdict);
    packet.leaves_by(is_tracked).filter(|_| verdict.allowed)?;
    let stored = snapshot.workload_endpoints.get(&end.id)?;
    let destination = packet.translated.filter(|_| is_tracked).map_or(packet.destination, |(to, _)| to);
    if stored.addresses.contains(&destination) {
        return None;
    }
    let is_floating = || stored.nats.iter().any(|nat| nat.external == destination);
    if is_tracked && packet.translated.is_none() && snapshot.settings(&end.node).floating_ips && is_floating() {
        return None;
    }
    let (node, workload) = (&end.node, EndpointId::Workload(end.id.clone()).for_users());
    let why = match packet.tracking() {
        _ if is_tracked => format!("{node} does not translate {destination} once more"),
        _ if verdict.untracked => format!("{node} translates no packet that an untracked policy allows"),
        _ if packet.begins_nothing() => {
            format!("{node} translates no packet of an ICMP type that begins no connection, unless of an open one")
        }
        Conntrack::Untracked => format!("{node} translates no packet that connection tracking does not track"),
        _ => format!("{node} translates no packet that is of no connection"),
    };
    Some(format!("{why}, and {destination} is not an address of {workload} itself"))
}
