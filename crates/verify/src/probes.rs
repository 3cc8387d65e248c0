//! The probe packets of one interface: for each rule that can concern it one packet that the rule means, and one beside each
//! boundary of each condition; combinations of what two rules say; and what is asked of every endpoint whatever its rules say.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;

use tortie_policy::packet::{Conntrack, Host, Packet, PacketPath, Transport};
use tortie_policy::{Direction, Family, PeerMatch, Rule, Settings, Snapshot};

use crate::governed::GovernedInterface;
use crate::rule_boundaries::{addresses, protocols, transports, unused_address};

/// How many packets of one way combine what two rules say.
const ACROSS: usize = 1000;
/// Every packet is compared with every rule, so that packets for every rule would be quadratic. So many comparisons are made
/// for one endpoint whatever it has,
const MAX_COMPARISONS: usize = 4_000_000;
/// and so many more for each rule, times the logarithm of their number.
const MORE: usize = 64;

/// How many packets a rule may have beside the boundaries of its ports, however many rules there are.
const FEWEST: usize = 16;

/// The probe packets of one interface.
pub(crate) struct Probes {
    /// Every packet once.
    pub(crate) packets: Vec<Packet>,
    /// How many rules can concern the endpoint.
    pub(crate) rules: usize,
    /// How many of them have packets at every boundary.
    pub(crate) probed: usize,
    /// How often a packet is compared with a rule or with what selects a policy, at most.
    pub(crate) comparisons: usize,
}

/// Those of one interface.
pub(crate) fn probes(snapshot: &Snapshot, host: &Host, governed: &GovernedInterface) -> Probes {
    let mut asked = Asked { snapshot, governed, seen: HashSet::new(), packets: Vec::new() };
    let settings = snapshot.settings(&host.node);
    let other = other_link(settings, host, governed);
    let directions =
        [Direction::Ingress, Direction::Egress].map(|direction| (direction, rules(snapshot, governed, direction)));
    let total: usize = directions.iter().map(|(_, rules)| rules.len()).sum();
    // A rule with many ports or nets is compared as often as it has these.
    let sizes = directions.iter().flat_map(|(_, rules)| rules).map(|rule| size(rule));
    let compared = sizes.sum::<usize>() + snapshot.policies.len();
    let families = families(governed);
    let room = packet_budget(compared) / (directions.len() * 2 * families.len());
    let mut probed = 0;
    for (direction, rules) in directions {
        let mut most = 0;
        for path in paths(governed, direction, &other) {
            for &family in &families {
                let near = own_address(governed, family);
                asked.standard_probes(settings, &path, direction, family, near);
                let end = asked.packets.len() + room;
                let each = (room / rules.len().max(1)).max(FEWEST);
                let spread = evenly_spread(rules.len()).map(|at| rules[at]);
                let mut whole = 0;
                let done: Vec<&Rule> = spread
                    .take_while(|rule| {
                        let is_room = asked.packets.len() < end;
                        if is_room {
                            whole += usize::from(asked.around(rule, &path, direction, family, near, each));
                        }
                        is_room
                    })
                    .collect();
                asked.cross_rule_probes(&done, &path, direction, family, near, ACROSS.min(room));
                most = most.max(whole);
            }
        }
        probed += most;
    }
    let comparisons = asked.packets.len() * compared;
    Probes { packets: asked.packets, rules: total, probed, comparisons }
}

/// What comparing a packet with a rule costs at most: 1 for a rule of few conditions, and one port or net an eighth of that.
fn size(rule: &Rule) -> usize {
    let of = |side: &PeerMatch| side.ports.len() + side.not_ports.len() + side.nets.len() + side.not_nets.len();
    1 + (of(&rule.source) + of(&rule.destination)) / 8
}

/// How many packets there may be where each is compared so often.
fn packet_budget(compared: usize) -> usize {
    let logarithm = usize::try_from(compared.max(2).ilog2()).unwrap_or(1);
    MAX_COMPARISONS / compared.max(1) + MORE * logarithm
}

/// All numbers below this one, so that the first few of them are spread evenly: 0, the middle, the quarters, and so on.
fn evenly_spread(count: usize) -> impl Iterator<Item = usize> {
    let bits = count.next_power_of_two().ilog2();
    let reversed = move |at: usize| if bits == 0 { 0 } else { at.reverse_bits() >> (usize::BITS - bits) };
    (0..count.next_power_of_two()).map(reversed).filter(move |at| *at < count)
}

/// The rules that can concern an endpoint, of all stages, profiles included.
fn rules<'a>(snapshot: &'a Snapshot, governed: &GovernedInterface, direction: Direction) -> Vec<&'a Rule> {
    let Some(subject) = &governed.subject else { return Vec::new() };
    let policies = snapshot.policies.values();
    let selecting = policies.filter(|policy| !policy.staged && policy.selector.matches(&subject.labels));
    let profiles = subject.profiles.iter().filter_map(|name| snapshot.profiles.get(name));
    let of_profiles = profiles.flat_map(|profile| match direction {
        Direction::Ingress => &profile.ingress,
        Direction::Egress => &profile.egress,
    });
    selecting.flat_map(|policy| policy.rules(direction)).chain(of_profiles).collect()
}

/// How packets of a direction pass an interface.
fn paths(governed: &GovernedInterface, direction: Direction, other: &str) -> [PacketPath; 2] {
    let interface = governed.interface.clone();
    let through = |from: &str, to: &str| PacketPath::Forward { from: from.to_owned(), to: to.to_owned() };
    let towards_interface = governed.workload == (direction == Direction::Ingress);
    if towards_interface {
        [through(other, &interface), PacketPath::Output { interface }]
    } else {
        [through(&interface, other), PacketPath::Input { interface }]
    }
}

/// Another interface of the host's, for what is forwarded; a name that no interface has when there is none.
fn other_link(settings: &Settings, host: &Host, governed: &GovernedInterface) -> String {
    let others = host.links.iter().map(|link| link.name.as_str());
    let mut others =
        others.filter(|name| *name != governed.interface && *name != "lo" && !settings.is_workload_interface(name));
    others.next().unwrap_or("elsewhere").to_owned()
}

/// The IP versions of the endpoint's addresses; both if it has none.
fn families(governed: &GovernedInterface) -> Vec<Family> {
    let all = [Family::V4, Family::V6];
    let has = |family: &Family| governed.own.iter().any(|address| Family::of(*address) == *family);
    let own: Vec<Family> = all.into_iter().filter(has).collect();
    if own.is_empty() { all.to_vec() } else { own }
}

fn own_address(governed: &GovernedInterface, family: Family) -> IpAddr {
    let unused = match family {
        Family::V4 => IpAddr::from([198, 18, 255, 1]),
        Family::V6 => IpAddr::from([0x2001, 0x2, 0, 0xffff, 0, 0, 0, 1]),
    };
    governed.own.iter().copied().find(|address| Family::of(*address) == family).unwrap_or(unused)
}

struct Asked<'a> {
    snapshot: &'a Snapshot,
    governed: &'a GovernedInterface,
    seen: HashSet<Packet>,
    packets: Vec<Packet>,
}

impl Asked<'_> {
    fn add(&mut self, packet: Packet) {
        // A floating address is translated, so an entry of connection tracking would say to whom.
        let nats = self.snapshot.workload_endpoints.values().flat_map(|endpoint| &endpoint.nats);
        let floating = packet.conntrack != Conntrack::New
            && nats.into_iter().any(|nat| nat.external == packet.destination || nat.internal == packet.source);
        if !floating && self.seen.insert(packet.clone()) {
            self.packets.push(packet);
        }
    }

    /// The probe packets of every endpoint: strangers, failsafes, states, neighbours, tunnels, fragments, spoofed sources.
    fn standard_probes(
        &mut self,
        settings: &Settings,
        path: &PacketPath,
        direction: Direction,
        family: Family,
        near: IpAddr,
    ) {
        let base = between(path, direction, near, unused_address(family));
        let tcp = |port| (6, Transport::Ports { source: 40000, destination: port });
        let icmp = match family {
            Family::V4 => [(1, 8), (1, 3)],
            Family::V6 => [(58, 128), (58, 135)],
        };
        let mut headers =
            vec![tcp(1), (17, Transport::Ports { source: 40000, destination: 1 }), (6, Transport::Opaque)];
        headers.extend(icmp.map(|(protocol, kind)| (protocol, Transport::Icmp { kind, code: 0 })));
        headers.extend([(4, Transport::Opaque), (253, Transport::Opaque)]);
        let vxlan = Transport::Ports { source: 40000, destination: settings.vxlan_port };
        headers.push((17, vxlan));
        for failsafe in settings.failsafe_inbound.iter().chain(&settings.failsafe_outbound) {
            let transport = Transport::Ports { source: 40000, destination: failsafe.port };
            headers.push((failsafe.protocol.number(), transport));
        }
        for (protocol, transport) in headers {
            for hop_limit in [64, 255] {
                if hop_limit == 64 || protocol == 58 {
                    self.add(Packet { protocol, transport, hop_limit, ..base.clone() });
                }
            }
        }
        let (protocol, transport) = tcp(1);
        for conntrack in [Conntrack::Established, Conntrack::Invalid, Conntrack::Untracked] {
            self.add(Packet { protocol, transport, conntrack, ..base.clone() });
        }
        self.add(Packet { protocol, transport, source_route_ok: Some(false), ..base });
        // Tunnels of this node and of others.
        let nodes = self.snapshot.nodes.values().flat_map(|node| node.addresses.iter().chain(&node.vxlan_peers));
        for node in nodes.copied().filter(|address| Family::of(*address) == family).take(4) {
            for (protocol, transport) in [(4, Transport::Opaque), (17, vxlan)] {
                self.add(Packet { protocol, transport, ..between(path, direction, near, node) });
            }
        }
    }

    /// What one rule says of the far end with what another says of ports: where one rule comes before another.
    fn cross_rule_probes(
        &mut self,
        rules: &[&Rule],
        path: &PacketPath,
        direction: Direction,
        family: Family,
        near: IpAddr,
        most: usize,
    ) {
        let mut fars = BTreeSet::new();
        let mut headers = Vec::new();
        for rule in rules {
            fars.insert(addresses(self.snapshot, far_side(rule, direction), family)[0]);
            let protocol = protocols(rule, family)[0];
            let header = (protocol, transports(self.snapshot, rule, protocol)[0]);
            if !headers.contains(&header) {
                headers.push(header);
            }
            if fars.len() * headers.len() >= most {
                break;
            }
        }
        for &far in &fars {
            for &(protocol, transport) in &headers {
                self.add(Packet { protocol, transport, ..between(path, direction, near, far) });
            }
        }
    }

    /// One packet that a rule matches, and one beside each boundary: at most so many beside those of its
    /// ports, evenly chosen. Whether that was every boundary.
    fn around(
        &mut self,
        rule: &Rule,
        path: &PacketPath,
        direction: Direction,
        family: Family,
        near: IpAddr,
        most: usize,
    ) -> bool {
        let near_side = match direction {
            Direction::Ingress => &rule.destination,
            Direction::Egress => &rule.source,
        };
        let fars = addresses(self.snapshot, far_side(rule, direction), family);
        let protocols = protocols(rule, family);
        let headers: Vec<(u8, Transport)> = protocols
            .iter()
            .flat_map(|&protocol| {
                let found = transports(self.snapshot, rule, protocol);
                found.into_iter().map(move |transport| (protocol, transport))
            })
            .collect();
        let (protocol, transport) = headers[0];
        // The other states too: established packets pass and invalid ones are denied, whatever the rule says.
        for conntrack in [Conntrack::Established, Conntrack::Invalid] {
            self.add(Packet { protocol, transport, conntrack, ..between(path, direction, near, fars[0]) });
        }
        for &far in &fars {
            self.add(Packet { protocol, transport, ..between(path, direction, near, far) });
        }
        for at in evenly_spread(headers.len()).take(most) {
            let (protocol, transport) = headers[at];
            self.add(Packet { protocol, transport, ..between(path, direction, near, fars[0]) });
        }
        // The near end is the endpoint itself, unless the rule speaks of others that are forwarded by it.
        if !self.governed.workload {
            for near in addresses(self.snapshot, near_side, family) {
                self.add(Packet { protocol, transport, ..between(path, direction, near, fars[0]) });
            }
        }
        headers.len() <= most
    }
}

fn far_side(rule: &Rule, direction: Direction) -> &PeerMatch {
    match direction {
        Direction::Ingress => &rule.source,
        Direction::Egress => &rule.destination,
    }
}

/// A packet from the far end to the endpoint, or back.
fn between(path: &PacketPath, direction: Direction, near: IpAddr, far: IpAddr) -> Packet {
    let (source, destination) = match direction {
        Direction::Ingress => (far, near),
        Direction::Egress => (near, far),
    };
    Packet {
        source,
        destination,
        protocol: 6,
        transport: Transport::Opaque,
        path: path.clone(),
        translated: None,
        translated_interface: None,
        conntrack: Conntrack::New,
        source_route_ok: Some(true),
        hop_limit: 64,
    }
}

#[cfg(test)]
mod tests;
