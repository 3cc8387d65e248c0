//! Whether a rule matches a packet, with sets as a kernel has them.

use std::net::IpAddr;

use ipnet::IpNet;
use tortie_policy::packet::Transport;
use tortie_policy::{Family, Icmp};

use crate::faults;
use crate::rule::{End, Ports, Rule};
use crate::set::{PortMember, SetId};
use crate::state::{SetState, State};

/// The header fields that a stage sees.
#[derive(Clone, Copy, Debug)]
pub(super) struct PacketHeader {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: u8,
    pub(super) transport: Transport,
}

/// TCP, UDP and SCTP: what has ports for rules.
fn is_ported(protocol: u8) -> bool {
    [6, 17, 132].contains(&protocol)
}

impl PacketHeader {
    pub(super) fn family(&self) -> Family {
        Family::of(self.destination)
    }

    /// Source and destination port.
    pub(super) fn ports(&self) -> Option<[u16; 2]> {
        if let Transport::Ports { source, destination } = self.transport { Some([source, destination]) } else { None }
    }

    /// Type and code, if it is ICMP of its own family.
    fn icmp(&self) -> Option<(u8, u8)> {
        let own = if self.family() == Family::V4 { 1 } else { 58 };
        match self.transport {
            Transport::Icmp { kind, code } if self.protocol == own => Some((kind, code)),
            _ => None,
        }
    }
}

impl State {
    pub(super) fn set_has(&self, id: &SetId, address: IpAddr) -> bool {
        let net = IpNet::from(address);
        match self.sets.get(id) {
            // The nets do not overlap, so only the last that does not come after the address can hold it.
            Some(SetState::Nets(nets)) => nets.range(..=net).next_back().is_some_and(|outer| outer.contains(&address)),
            _ => false,
        }
    }

    fn set_has_port(&self, id: &SetId, member: PortMember) -> bool {
        matches!(self.sets.get(id), Some(SetState::Ports(ports)) if ports.contains(&member))
    }

    pub(super) fn matches(&self, rule: &Rule, packet: &PacketHeader) -> bool {
        let Rule { number: _, action: _, family, protocol, not_protocol, icmp, not_icmp, source, destination } = rule;
        family.is_none_or(|only| only == packet.family())
            && protocol.is_none_or(|only| only.number() == packet.protocol)
            && (not_protocol.is_none_or(|not| not.number() != packet.protocol) || faults::is_on("not-protocol"))
            && icmp.is_none_or(|only| packet.icmp().is_some_and(|is| same(only, is)))
            && not_icmp.is_none_or(|not| packet.icmp().is_some_and(|is| !same(not, is)))
            && self.end_matches(source, packet, 0)
            && self.end_matches(destination, packet, 1)
    }

    fn end_matches(&self, end: &End, packet: &PacketHeader, which: usize) -> bool {
        let address = [packet.source, packet.destination][which];
        let member = packet.ports().map(|ports| PortMember { address, protocol: packet.protocol, port: ports[which] });
        let inside = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&address));
        let family = packet.family();
        let names_family = |nets: &[IpNet]| nets.iter().any(|net| Family::of_net(net) == family);
        let peers = end.peers.as_ref().is_none_or(|peers| {
            self.set_has(&peers.set, address) != (peers.negated && !faults::is_on("negated-peers"))
        });
        let service = end.service.as_ref().is_none_or(|set| match self.sets.get(set) {
            Some(SetState::Ports(_)) if faults::is_on("service-ports") => true,
            Some(SetState::Ports(_)) => member.is_some_and(|member| self.set_has_port(set, member)),
            _ => self.set_has(set, address),
        });
        let off = |ports: &Ports| match member {
            Some(member) => !self.on(ports, member),
            None => !is_ported(packet.protocol),
        };
        peers
            && service
            && (end.nets.is_empty() || inside(&end.nets))
            && (end.not_nets.is_empty()
                || (!inside(&end.not_nets) && (names_family(&end.not_nets) || faults::is_on("not-nets-family"))))
            && (end.ports.is_empty() || member.is_some_and(|member| self.on(&end.ports, member)))
            && (end.not_ports.is_empty() || off(&end.not_ports) || faults::is_on("not-ports"))
    }

    fn on(&self, ports: &Ports, member: PortMember) -> bool {
        (is_ported(member.protocol) && ports.ranges.iter().any(|range| range.contains(member.port)))
            || ports.named.iter().any(|set| self.set_has_port(set, member))
    }
}

fn same(icmp: Icmp, (kind, code): (u8, u8)) -> bool {
    icmp.kind.is_none_or(|only| only == kind)
        && (icmp.code.is_none_or(|only| only == code) || faults::is_on("icmp-code"))
}
