//! Decisions without policy: established/related connections, failsafes, tunnels, neighbour discovery, sources.

use std::net::IpAddr;

use tortie_policy::packet::{Packet, Transport};
use tortie_policy::{Direction, Failsafe, Settings};

use super::answer::{DecidedBy, Outcome};
use super::matching::PacketHeader;
use crate::endpoint::{Endpoint, HostState};
use crate::faults;
use crate::set::SetId;
use crate::state::State;

const UDP: u8 = 17;
const IPIP: u8 = 4;

/// A decision, and why.
pub(super) type Decided = (Outcome, DecidedBy);

fn icmpv6(packet: &PacketHeader) -> Option<u8> {
    match (packet.protocol, packet.transport) {
        (58, Transport::Icmp { kind, .. }) if packet.source.is_ipv6() => Some(kind),
        _ => None,
    }
}

/// Between a host and its link: 133 to 136 with hop limit 255, listener reports from a link-local source or none.
pub(super) fn neighbours(packet: &PacketHeader, hop_limit: u8) -> Option<Decided> {
    let near = matches!(packet.source, IpAddr::V6(source)
        if source.is_unspecified() || source.segments()[0] & 0xffc0 == 0xfe80);
    let exempt = match icmpv6(packet)? {
        133..=136 => hop_limit == 255 || faults::is_on("hop-limit"),
        130..=132 | 143 => near,
        _ => false,
    };
    exempt.then_some((Outcome::Pass, DecidedBy::NeighbourDiscovery))
}

/// Packets that a workload may always send to its host.
pub(super) fn workload_neighbours(packet: &PacketHeader) -> Option<Decided> {
    matches!(icmpv6(packet)?, 130..=133 | 135 | 136).then_some((Outcome::Pass, DecidedBy::NeighbourDiscovery))
}

/// DHCP, DNS and the metadata server, where OpenStack runs.
pub(super) fn openstack(settings: &Settings, packet: &PacketHeader) -> Option<Decided> {
    let [from, to] = packet.ports()?;
    let server = settings.metadata.filter(|server| IpAddr::from(*server.ip()) == packet.destination);
    let open = match (packet.protocol, from, to) {
        (17, _, 53) => true,
        (17, 68, 67) => packet.source.is_ipv4(),
        (17, 546, 547) => packet.source.is_ipv6(),
        (6, _, port) => server.is_some_and(|server| server.port() == port),
        _ => false,
    };
    (open && settings.openstack).then_some((Outcome::Pass, DecidedBy::OpenStack))
}

/// Ports that stay open. In raw, the replies of the other direction's too.
pub(super) fn failsafes(
    settings: &Settings,
    direction: Direction,
    packet: &PacketHeader,
    raw: bool,
) -> Option<Decided> {
    let [from, to] = packet.ports()?;
    let (forth, back, peer) = match direction {
        Direction::Ingress => (&settings.failsafe_inbound, &settings.failsafe_outbound, packet.source),
        Direction::Egress => (&settings.failsafe_outbound, &settings.failsafe_inbound, packet.destination),
    };
    let hit = |list: &[Failsafe], port: u16| {
        list.iter().any(|one| {
            one.port == port
                && one.protocol.number() == packet.protocol
                && (one.net.is_none_or(|net| net.contains(&peer)) || faults::is_on("failsafe-net"))
        })
    };
    let reply = raw && hit(back, from) && !faults::is_on("failsafe-reply");
    (hit(forth, to) || reply).then_some((Outcome::Pass, DecidedBy::Failsafe))
}

/// Encapsulated packets that a workload may not send.
pub(super) fn encapsulation(settings: &Settings, packet: &PacketHeader) -> Option<Decided> {
    let vxlan = packet.protocol == UDP && packet.ports().is_some_and(|ports| ports[1] == settings.vxlan_port);
    let ipip = packet.protocol == IPIP;
    let forbidden = (vxlan && !settings.vxlan_from_workloads) || (ipip && !settings.ipip_from_workloads);
    (forbidden && !faults::is_on("encapsulation")).then_some((Outcome::Deny, DecidedBy::Encapsulation))
}

impl State {
    /// Tunnel packets to the host itself.
    pub(super) fn tunnel_in(&self, settings: &Settings, packet: &PacketHeader) -> Option<Decided> {
        let from = |peers| match self.set_has(&SetId::new(peers), packet.source) {
            true => Some((Outcome::Pass, DecidedBy::TunnelAllowed)),
            false => Some((Outcome::Deny, DecidedBy::TunnelDenied)),
        };
        let v4 = packet.source.is_ipv4();
        if packet.protocol == IPIP && v4 && settings.ipip {
            return from(SetId::IPIP_PEERS);
        }
        let [_, port] = packet.ports().filter(|_| packet.protocol == UDP)?;
        let (vxlan, wireguard) =
            if v4 { (settings.vxlan, settings.wireguard) } else { (settings.vxlan_v6, settings.wireguard_v6) };
        if vxlan && port == settings.vxlan_port {
            return from(SetId::VXLAN_PEERS);
        }
        (wireguard == Some(port)).then_some((Outcome::Pass, DecidedBy::TunnelAllowed))
    }

    /// Tunnel packets from the host itself.
    pub(super) fn tunnel_out(&self, settings: &Settings, packet: &PacketHeader) -> Option<Decided> {
        let v4 = packet.source.is_ipv4();
        let to = |peers| self.set_has(&SetId::new(peers), packet.destination);
        let ours = if packet.protocol == IPIP && v4 && settings.ipip {
            to(SetId::IPIP_PEERS)
        } else if let Some([from, port]) = packet.ports().filter(|_| packet.protocol == UDP) {
            let (vxlan, wireguard) =
                if v4 { (settings.vxlan, settings.wireguard) } else { (settings.vxlan_v6, settings.wireguard_v6) };
            (vxlan && port == settings.vxlan_port && to(SetId::VXLAN_PEERS)) || wireguard == Some(from)
        } else {
            false
        };
        ours.then_some((Outcome::Pass, DecidedBy::TunnelAllowed))
    }
}

/// Whether a packet from a workload's interface may have the source that it has.
pub(super) fn source(host: &HostState, endpoint: Option<&Endpoint>, packet: &Packet) -> Decided {
    if packet.destination.is_loopback() {
        return (Outcome::Deny, DecidedBy::ToLoopback);
    }
    let Some(endpoint) = endpoint else {
        return match packet.source_route_ok {
            Some(true) => (Outcome::Pass, DecidedBy::SourceOk),
            _ => (Outcome::Deny, DecidedBy::UnknownWorkload),
        };
    };
    let excepted = endpoint.spoofing.iter().any(|net| net.contains(&packet.source));
    if excepted && host.settings.spoofing_allowed {
        return (Outcome::Pass, DecidedBy::SourceExcepted);
    }
    let routed = || {
        endpoint.addresses.contains(&packet.source)
            || (host.settings.floating_ips && endpoint.nats.iter().any(|nat| nat.external == packet.source))
            || always_routed(packet)
    };
    match packet.source_route_ok.unwrap_or_else(routed) {
        true => (Outcome::Pass, DecidedBy::SourceOk),
        false => (Outcome::Deny, DecidedBy::SourceWrong),
    }
}

/// Sources whose reverse route the kernel finds on every interface.
fn always_routed(packet: &Packet) -> bool {
    match (packet.source, packet.destination) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            from.octets()[0] == 0 && (to == std::net::Ipv4Addr::BROADCAST || to.octets().starts_with(&[224, 0, 0]))
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let link_local = |address: std::net::Ipv6Addr| address.segments()[0] & 0xffc0 == 0xfe80;
            let near = link_local(to) || to.segments()[0] == 0xff02;
            link_local(from) || (from.is_unspecified() && packet.protocol == 58 && near)
        }
        _ => false,
    }
}
