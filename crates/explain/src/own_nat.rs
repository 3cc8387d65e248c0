//! What tortie itself translates of a packet on a node: floating IPs, `natOutgoing` of pools, and the source of a workload that calls its
//! own floating IP. It agrees with the rules that the dataplane renders, which a test of the crate `verify` compares.

use std::collections::BTreeMap;
use std::net::IpAddr;

use tortie_classes::AddressSet;
use tortie_eval::{Host, Packet, PacketPath, Verdict};
use tortie_policy::packet::OwnNat;
use tortie_policy::{Family, Settings, Snapshot, WorkloadEndpoint};

use crate::answer::{Hop, is_tracked};
use crate::fault;

/// The translations that a packet may meet on its node. Nothing that is of no connection is translated.
pub fn of(snapshot: &Snapshot, host: &Host, packet: &Packet, verdict: &Verdict) -> OwnNat {
    if !is_tracked(packet, verdict) {
        return OwnNat::default();
    }
    let floating = floating_ips(snapshot, &host.node);
    let by_others = packet.translated.map(|(to, _)| to);
    // A connection is translated once.
    let destination = floating.get(&packet.destination).copied().filter(|_| by_others.is_none());
    let to = destination.or(by_others).unwrap_or(packet.destination);
    let Some(leaves_by) = packet.leaves_by(to != packet.destination) else {
        return OwnNat { destination, ..OwnNat::default() };
    };
    // Of several floating IPs the lowest.
    let own = floating.iter().find(|(_, own)| packet.source == to && **own == to).map(|(external, _)| *external);
    if own.is_some() {
        return OwnNat { destination, masquerades: true, source: own };
    }
    OwnNat {
        destination,
        masquerades: replaces_source(snapshot, &host.node, packet.source, to, leaves_by),
        source: named_source(snapshot, &host.node, Family::of(packet.source)),
    }
}

/// The source that the settings of a node name for `natOutgoing`.
pub(crate) fn named_source(snapshot: &Snapshot, node: &str, family: Family) -> Option<IpAddr> {
    snapshot.settings(node).nat_outgoing.address.map(IpAddr::V4).filter(|_| family == Family::V4)
}

/// Destinations that `natOutgoing` of some node leaves out, beside those of pools.
pub(crate) fn spared(snapshot: &Snapshot) -> Vec<AddressSet> {
    let all = snapshot.node_settings.values().chain([&snapshot.default_settings]);
    let spares = |settings: &&Settings| settings.nat_outgoing.spare_nodes && !fault("spared-nodes-undivided");
    let sparing: Vec<&Settings> = all.filter(spares).collect();
    if sparing.is_empty() {
        return Vec::new();
    }
    let nodes = AddressSet::of(snapshot.nodes.values().flat_map(|node| &node.addresses));
    sparing.iter().map(|settings| AddressSet::of_nets(&settings.external_nodes).union(&nodes)).collect()
}

/// What to say of a packet that a translation sends back to its sender: it arrives with an address of the receiver as the source.
/// Source: `fib_validate_source` in net/ipv4/fib_frontend.c, `accept_local`.
pub(crate) fn own_source_note(hops: &[Hop]) -> Option<String> {
    let is_back = |hop: &&Hop| {
        let to = hop.own_nat.destination.or(hop.packet.translated.map(|(to, _)| to));
        let is_forwarded = matches!(hop.packet.path, PacketPath::Forward { .. });
        is_forwarded && to == Some(hop.packet.source) && !hop.own_nat.masquerades
    };
    let source = hops.last().filter(is_back)?.packet.source;
    Some(format!(
        "{source} gets it with its own address as the source: Linux drops that there, unless the source is replaced as well or accept_local is set"
    ))
}

/// The address to which the node of a workload translates one of its floating IPs.
pub(crate) fn floating_leads_to(snapshot: &Snapshot, endpoint: &WorkloadEndpoint, address: IpAddr) -> Option<IpAddr> {
    let stored = snapshot.workload_endpoints.get(&endpoint.id)?;
    if stored.addresses.contains(&address) || !stored.nats.iter().any(|nat| nat.external == address) {
        return None;
    }
    floating_ips(snapshot, &stored.node).get(&address).copied()
}

/// The floating IPs that a node translates, each with the lowest address to which it is translated.
fn floating_ips(snapshot: &Snapshot, node: &str) -> BTreeMap<IpAddr, IpAddr> {
    let mut all = BTreeMap::new();
    if !snapshot.settings(node).floating_ips {
        return all;
    }
    let here = snapshot.workload_endpoints.values().filter(|endpoint| endpoint.node == node);
    for nat in here.flat_map(|endpoint| &endpoint.nats) {
        let internal = all.entry(nat.external).or_insert(nat.internal);
        *internal = nat.internal.min(*internal);
    }
    all.retain(|external, internal| Family::of(*external) == Family::of(*internal));
    all
}

/// Whether `natOutgoing` of a node gives another source to what goes to an address and leaves by an interface.
pub(crate) fn replaces_source(snapshot: &Snapshot, node: &str, source: IpAddr, to: IpAddr, leaves_by: &str) -> bool {
    let settings = snapshot.settings(node);
    let nat = &settings.nat_outgoing;
    let is_by = |name: &String| match name.strip_suffix('+') {
        Some(prefix) => leaves_by.starts_with(prefix),
        None => leaves_by == name,
    };
    let pool_of = |address: IpAddr| {
        let pools = snapshot.pools.values().filter(|pool| !pool.load_balancer_only);
        pools.filter(move |pool| pool.net.contains(&address))
    };
    let is_node = || {
        snapshot.nodes.values().any(|node| node.addresses.contains(&to))
            || settings.external_nodes.iter().any(|net| net.contains(&to))
    };
    nat.interface.as_ref().is_none_or(is_by)
        && pool_of(source).any(|pool| pool.nat_outgoing)
        && pool_of(to).next().is_none()
        && !(nat.spare_nodes && is_node())
}
