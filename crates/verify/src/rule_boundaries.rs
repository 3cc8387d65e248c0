//! The boundaries of a rule: values on both sides of each of its conditions.

use std::net::IpAddr;

use ipnet::IpNet;
use tortie_eval::is_member;
use tortie_net::Protocol;
use tortie_policy::packet::Transport;
use tortie_policy::{Family, Icmp, PeerMatch, PortMatch, Rule, Snapshot};

/// How many addresses of one end are tried for one rule.
const ADDRESSES: usize = 8;

/// An address that no one here has, for either family.
pub(crate) fn unused_address(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::from([198, 18, 255, 99]),
        Family::V6 => IpAddr::from([0x2001, 0x2, 0, 0xffff, 0, 0, 0, 0x99]),
    }
}

/// Addresses in and beside what one end must be.
pub(crate) fn addresses(snapshot: &Snapshot, side: &PeerMatch, family: Family) -> Vec<IpAddr> {
    let nets = side.nets.iter().chain(&side.not_nets).filter(|net| Family::of_net(net) == family);
    let mut found: Vec<IpAddr> = nets.flat_map(edges).take(ADDRESSES).collect();
    if let Some(peers) = &side.peers {
        let member = |address: &IpAddr| is_member(snapshot, &peers.selector, *address);
        let (inside, outside): (Vec<IpAddr>, Vec<IpAddr>) =
            known(snapshot).filter(|address| Family::of(*address) == family).take(256).partition(member);
        found.extend(inside.into_iter().take(2));
        found.extend(outside.into_iter().take(2));
    }
    if let Some(service) = &side.service {
        let addresses = snapshot.slices_of(service).flat_map(|slice| slice.addresses.iter().copied());
        found.extend(addresses.filter(|one| Family::of(*one) == family).take(2));
    }
    found.push(unused_address(family));
    found
}

/// The first and last address of a net, and those just outside.
fn edges(net: &IpNet) -> Vec<IpAddr> {
    [Some(net.network()), Some(net.broadcast()), beside(net.network(), -1), beside(net.broadcast(), 1)]
        .into_iter()
        .flatten()
        .collect()
}

fn beside(address: IpAddr, by: i8) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => Some(IpAddr::V4(address.to_bits().checked_add_signed(by.into())?.into())),
        IpAddr::V6(address) => Some(IpAddr::V6(address.to_bits().checked_add_signed(by.into())?.into())),
    }
}

/// One address of each endpoint and each net of each set.
fn known(snapshot: &Snapshot) -> impl Iterator<Item = IpAddr> {
    let workloads = snapshot.workload_endpoints.values().flat_map(|endpoint| endpoint.addresses.iter().copied());
    let hosts = snapshot.host_endpoints.values().flat_map(|endpoint| endpoint.addresses.iter().copied());
    let sets = snapshot.network_sets.values().flat_map(|set| set.nets.iter().take(2).map(IpNet::addr));
    hosts.chain(sets).chain(workloads)
}

/// Protocols that the rule distinguishes.
pub(crate) fn protocols(rule: &Rule, family: Family) -> Vec<u8> {
    let named = rule.protocol.into_iter().chain(rule.not_protocol).map(Protocol::number);
    let icmp = match family {
        Family::V4 => Protocol::ICMP,
        Family::V6 => Protocol::ICMPV6,
    };
    let icmp = (rule.icmp.is_some() || rule.not_icmp.is_some()).then_some(icmp.number());
    let mut found: Vec<u8> = named.chain(icmp).collect();
    for usual in [Protocol::TCP, Protocol::UDP] {
        if !found.contains(&usual.number()) {
            found.push(usual.number());
        }
    }
    found
}

/// Ports and ICMP types that the rule distinguishes, for one protocol.
pub(crate) fn transports(snapshot: &Snapshot, rule: &Rule, protocol: u8) -> Vec<Transport> {
    match protocol {
        1 | 58 => {
            let pairs = [rule.icmp, rule.not_icmp].into_iter().flatten().flat_map(icmp);
            pairs
                .chain([if protocol == 1 { (8, 0) } else { (128, 0) }])
                .map(|(kind, code)| Transport::Icmp { kind, code })
                .collect()
        }
        6 | 17 | 132 | 136 => {
            let to = ports(snapshot, &rule.destination);
            let from = ports(snapshot, &rule.source);
            let (first_to, first_from) = (to[0], from[0]);
            let one = |source, destination| Transport::Ports { source, destination };
            let mut found: Vec<Transport> = to.into_iter().map(|port| one(first_from, port)).collect();
            found.extend(from.into_iter().skip(1).map(|port| one(port, first_to)));
            found.push(Transport::Opaque);
            found
        }
        _ => vec![Transport::Opaque],
    }
}

fn icmp(named: Icmp) -> Vec<(u8, u8)> {
    let (kind, code) = (named.kind.unwrap_or(8), named.code.unwrap_or(0));
    vec![(kind, code), (kind, code.wrapping_add(1)), (kind.wrapping_add(1), code)]
}

/// Ports on and beside the boundaries of the condition of one end; a port that no rule names if there is no condition.
fn ports(snapshot: &Snapshot, side: &PeerMatch) -> Vec<u16> {
    let mut found = Vec::new();
    for named in side.ports.iter().chain(&side.not_ports) {
        match named {
            PortMatch::Range(range) => {
                found.extend([range.first(), range.last()]);
                found.extend(range.first().checked_sub(1));
                found.extend(range.last().checked_add(1));
            }
            PortMatch::Named(name) => found.extend(named_ports(snapshot, name).take(4)),
        }
    }
    found.push(1023);
    found
}

fn named_ports(snapshot: &Snapshot, name: &str) -> impl Iterator<Item = u16> {
    let workloads = snapshot.workload_endpoints.values().flat_map(|endpoint| &endpoint.ports);
    let hosts = snapshot.host_endpoints.values().flat_map(|endpoint| &endpoint.ports);
    workloads.chain(hosts).filter(move |port| port.name == name).map(|port| port.port)
}
