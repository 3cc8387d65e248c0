//! Decisions without policy: neighbour discovery, failsafes, tunnels between nodes, the source check.

use std::net::IpAddr;

use tortie_net::Protocol;
use tortie_policy::{Direction, Failsafe, Settings, Snapshot, WorkloadEndpoint};

use crate::matching::{PacketHeader, protocol_name};
use crate::verdict::Builtin;
use tortie_policy::packet::{Host, Packet, Transport};

const IPIP: u8 = 4;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// Multicast listener queries, reports and done, and version 2 reports.
const LISTENER: [u8; 4] = [130, 131, 132, 143];
/// Router and neighbour solicitation and advertisement, redirect not among what workloads may send unasked.
const DISCOVERY: [u8; 4] = [133, 134, 135, 136];
/// Packets that a workload may always send to its host.
const FROM_WORKLOAD: [u8; 6] = [130, 131, 132, 133, 135, 136];

fn icmpv6_type(header: &PacketHeader) -> Option<u8> {
    match header.transport {
        Transport::Icmp { kind, .. } if header.protocol == Protocol::ICMPV6.number() && header.source.is_ipv6() => {
            Some(kind)
        }
        _ => None,
    }
}

/// Whether packets of this kind are neighbour discovery, which receivers ignore unless its hop limit is 255.
pub fn needs_hop_limit_255(protocol: u8, transport: Transport) -> bool {
    let Transport::Icmp { kind, .. } = transport else { return false };
    protocol == Protocol::ICMPV6.number() && DISCOVERY.contains(&kind)
}

/// The hop limit with which a packet is judged whose own is not known: the one without which receivers ignore neighbour discovery
/// (RFC 4861), else the usual one.
pub fn usual_hop_limit(protocol: u8, transport: Transport) -> u8 {
    if needs_hop_limit_255(protocol, transport) { 255 } else { 64 }
}

/// Neighbour discovery between a host and its link, which no host endpoint polices: discovery with
/// hop limit 255, listener reports from a link-local or unspecified source.
pub(crate) fn is_neighbour_discovery(header: &PacketHeader, hop_limit: u8) -> bool {
    let link_local = match header.source {
        IpAddr::V6(source) => source.is_unspecified() || source.is_unicast_link_local(),
        IpAddr::V4(_) => false,
    };
    icmpv6_type(header)
        .is_some_and(|kind| (DISCOVERY.contains(&kind) && hop_limit == 255) || (LISTENER.contains(&kind) && link_local))
}

/// Neighbour discovery of a workload towards its host, allowed before any policy.
pub(crate) fn is_workload_discovery(header: &PacketHeader) -> bool {
    icmpv6_type(header).is_some_and(|kind| FROM_WORKLOAD.contains(&kind))
}

/// Packets that OpenStack's workloads may always send to their host.
pub(crate) fn is_openstack_service(settings: &Settings, header: &PacketHeader) -> bool {
    let Some((from, to)) = header.ports().filter(|_| settings.openstack) else { return false };
    let dhcp = if header.source.is_ipv4() { (68, 67) } else { (546, 547) };
    match header.protocol {
        UDP => (from, to) == dhcp || to == 53,
        TCP => settings
            .metadata
            .is_some_and(|server| (IpAddr::from(*server.ip()), server.port()) == (header.destination, to)),
        _ => false,
    }
}

/// The failsafe that opens a packet, as `tcp/22`. In raw it also opens the replies of the other direction.
pub fn failsafe(settings: &Settings, direction: Direction, header: &PacketHeader, raw: bool) -> Option<String> {
    let (source_port, destination_port) = header.ports()?;
    let (own, other, peer) = match direction {
        Direction::Ingress => (&settings.failsafe_inbound, &settings.failsafe_outbound, header.source),
        Direction::Egress => (&settings.failsafe_outbound, &settings.failsafe_inbound, header.destination),
    };
    let opens = |failsafe: &&Failsafe, port: u16| {
        failsafe.protocol.number() == header.protocol
            && failsafe.port == port
            && failsafe.net.is_none_or(|net| net.contains(&peer))
    };
    let text = |failsafe: &Failsafe, reply: &str| {
        let net = failsafe.net.map_or(String::new(), |net| format!(" for {net}"));
        format!("{}/{}{net}{reply}", protocol_name(failsafe.protocol.number()), failsafe.port)
    };
    own.iter().find(|failsafe| opens(failsafe, destination_port)).map(|failsafe| text(failsafe, "")).or_else(|| {
        let reply = other.iter().find(|failsafe| raw && opens(failsafe, source_port));
        reply.map(|failsafe| text(failsafe, " (its reply)"))
    })
}

/// What the tunnels between nodes say to a packet to the host itself.
pub(crate) fn tunnel_in(snapshot: &Snapshot, settings: &Settings, header: &PacketHeader) -> Option<Builtin> {
    let v4 = header.source.is_ipv4();
    if settings.ipip && v4 && header.protocol == IPIP {
        let known = is_node(snapshot, settings, header.source);
        return Some(if known { Builtin::TunnelAllowed } else { Builtin::TunnelDenied });
    }
    let port = header.ports().map(|(_, destination)| destination).filter(|_| header.protocol == UDP)?;
    if vxlan(settings, v4) && port == settings.vxlan_port {
        let known = is_vxlan_peer(snapshot, header.source);
        return Some(if known { Builtin::TunnelAllowed } else { Builtin::TunnelDenied });
    }
    (wireguard(settings, v4) == Some(port)).then_some(Builtin::TunnelAllowed)
}

/// Whether a packet from the host itself is one of its tunnels'.
pub(crate) fn tunnel_out(snapshot: &Snapshot, settings: &Settings, header: &PacketHeader) -> bool {
    let v4 = header.source.is_ipv4();
    if settings.ipip && v4 && header.protocol == IPIP {
        return is_node(snapshot, settings, header.destination);
    }
    let Some((source, destination)) = header.ports().filter(|_| header.protocol == UDP) else { return false };
    (vxlan(settings, v4) && destination == settings.vxlan_port && is_vxlan_peer(snapshot, header.destination))
        || wireguard(settings, v4) == Some(source)
}

fn vxlan(settings: &Settings, v4: bool) -> bool {
    if v4 { settings.vxlan } else { settings.vxlan_v6 }
}

fn wireguard(settings: &Settings, v4: bool) -> Option<u16> {
    if v4 { settings.wireguard } else { settings.wireguard_v6 }
}

fn is_node(snapshot: &Snapshot, settings: &Settings, address: IpAddr) -> bool {
    snapshot.nodes.values().any(|node| node.addresses.contains(&address))
        || settings.external_nodes.iter().any(|net| net.contains(&address))
}

fn is_vxlan_peer(snapshot: &Snapshot, address: IpAddr) -> bool {
    snapshot.nodes.values().any(|node| node.vxlan_peers.contains(&address))
}

/// Whether a workload sends encapsulated packets that it may not send.
pub(crate) fn is_forbidden_encapsulation(settings: &Settings, header: &PacketHeader) -> bool {
    let vxlan =
        header.protocol == UDP && header.ports().is_some_and(|(_, destination)| destination == settings.vxlan_port);
    (vxlan && !settings.vxlan_from_workloads) || (header.protocol == IPIP && !settings.ipip_from_workloads)
}

/// Whether a packet's source belongs to the workload that sends it, and its destination is not the host's loopback
/// interface.
pub(crate) fn source_check(
    settings: &Settings,
    _host: &Host,
    endpoint: Option<&WorkloadEndpoint>,
    packet: &Packet,
) -> Builtin {
    // What the host serves on its loopback interface alone is for the host. Translation has not taken place yet.
    if packet.destination.is_loopback() {
        return Builtin::ToLoopback;
    }
    let Some(endpoint) = endpoint else {
        // No route leads to an interface that nothing is known of, unless the host's owner made one.
        return if packet.source_route_ok == Some(true) { Builtin::SourceOk } else { Builtin::UnknownWorkload };
    };
    if settings.spoofing_allowed && endpoint.spoofing.iter().any(|net| net.contains(&packet.source)) {
        return Builtin::SourceExcepted;
    }
    let floating = settings.floating_ips && endpoint.nats.iter().any(|nat| nat.external == packet.source);
    let own = endpoint.addresses.contains(&packet.source) || floating || passes_any_source_check(packet);
    if packet.source_route_ok.unwrap_or(own) { Builtin::SourceOk } else { Builtin::SourceWrong }
}

/// Sources that the kernel's reverse path check accepts on every interface: link-local ones, and the unspecified
/// address where it asks for an address of its own.
fn passes_any_source_check(packet: &Packet) -> bool {
    match (packet.source, packet.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            source.octets()[0] == 0 && (destination.is_broadcast() || destination.octets()[..3] == [224, 0, 0])
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            source.is_unicast_link_local()
                || (source.is_unspecified()
                    && packet.protocol == Protocol::ICMPV6.number()
                    && (destination.is_unicast_link_local() || destination.octets()[..2] == [0xff, 0x02]))
        }
        _ => false,
    }
}
