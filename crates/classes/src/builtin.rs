//! What is decided without policy: failsafes, neighbour discovery, tunnels, the source check, floating IPs.

use std::collections::BTreeMap;

use ipnet::IpNet;
use tortie_policy::packet::{FIRST_ICMP, FIRST_ICMPV6, UNTRACKED_ICMPV6};
use tortie_policy::{Direction, Failsafe, Family, Settings, WorkloadEndpoint};

use crate::addresses::AddressSet;
use crate::conditions::{Conditions, End};
use crate::ranges::Ranges;
use crate::transport::icmp_number;

const IPIP: u8 = 4;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// Source addresses that some built-in rule treats in its own way.
const SPECIAL_SOURCES: [&str; 4] = ["0.0.0.0/8", "::/128", "fe80::/10", "ff02::/16"];
/// Destination addresses that the kernel or tortie treats specially.
const SPECIAL_DESTINATIONS: [&str; 6] =
    ["127.0.0.0/8", "224.0.0.0/24", "255.255.255.255/32", "::1/128", "fe80::/10", "ff02::/16"];

impl Conditions<'_> {
    /// What the settings of a node decide.
    pub fn add_settings(&mut self, settings: &Settings) {
        let nets = |texts: &'static [&str]| texts.iter().filter_map(|text| text.parse::<IpNet>().ok());
        for net in nets(&SPECIAL_SOURCES) {
            self.add_source(&AddressSet::of_nets([&net]));
        }
        for net in nets(&SPECIAL_DESTINATIONS) {
            self.add_destination(&AddressSet::of_nets([&net]));
        }
        self.add_connection_tracking();
        self.add_failsafes(&settings.failsafe_inbound, Direction::Ingress);
        self.add_failsafes(&settings.failsafe_outbound, Direction::Egress);
        self.add_tunnels(settings);
        if settings.openstack {
            self.add_openstack(settings);
        }
    }

    /// Tells apart the types of ICMP that begin a connection, those that are never tracked, and all others.
    pub fn add_connection_tracking(&mut self) {
        let every_code = |kind| (icmp_number(kind, 0), icmp_number(kind, u8::MAX));
        self.family_mut(Family::V4).transport.icmp.insert(Ranges::of(FIRST_ICMP.map(every_code)));
        let v6 = &mut self.family_mut(Family::V6).transport;
        v6.icmp.insert(Ranges::of(FIRST_ICMPV6.map(every_code)));
        // Neighbour discovery and multicast listeners have rules of their own.
        v6.icmp.extend(UNTRACKED_ICMPV6.map(|kind| Ranges::of([every_code(kind)])));
    }

    /// The failsafes of a direction. Those of one net are one condition, whichever port opens.
    pub fn add_failsafes(&mut self, failsafes: &[Failsafe], direction: Direction) {
        let mut ports: BTreeMap<(u8, Option<IpNet>), Vec<u16>> = BTreeMap::new();
        for failsafe in failsafes {
            ports.entry((failsafe.protocol.number(), failsafe.net)).or_default().push(failsafe.port);
        }
        // In raw the replies of the other direction are open too.
        let raw = self.with_members(|members| members.judges_in_raw());
        for ((protocol, net), ports) in ports {
            let ports = Ranges::of(ports.into_iter().map(|port| (port.into(), port.into())));
            let families = match net {
                Some(net) => vec![Family::of_net(&net)],
                None => vec![Family::V4, Family::V6],
            };
            for family in families {
                self.family_mut(family).transport.protocols.insert(protocol);
                self.add_port_range(End::Destination, family, protocol, ports.clone());
                if raw {
                    self.add_port_range(End::Source, family, protocol, ports.clone());
                }
            }
            if let Some(net) = net {
                let peers = AddressSet::of_nets([&net]);
                if raw || direction == Direction::Ingress {
                    self.add_source(&peers);
                }
                if raw || direction == Direction::Egress {
                    self.add_destination(&peers);
                }
            }
        }
    }

    fn add_tunnels(&mut self, settings: &Settings) {
        let nodes = || self.snapshot.nodes.values();
        let mut ends = Vec::new();
        if settings.ipip {
            let addresses = AddressSet::of(nodes().flat_map(|node| &node.addresses));
            ends.push(addresses.union(&AddressSet::of_nets(&settings.external_nodes)));
        }
        if settings.vxlan || settings.vxlan_v6 {
            ends.push(AddressSet::of(nodes().flat_map(|node| &node.vxlan_peers)));
        }
        for addresses in ends {
            self.add_source(&addresses);
            self.add_destination(&addresses);
        }
        for (family, wireguard) in [(Family::V4, settings.wireguard), (Family::V6, settings.wireguard_v6)] {
            self.family_mut(family).transport.protocols.insert(IPIP);
            self.add_port_range(End::Destination, family, UDP, Ranges::one(settings.vxlan_port));
            if let Some(port) = wireguard {
                self.add_port_range(End::Source, family, UDP, Ranges::one(port));
                self.add_port_range(End::Destination, family, UDP, Ranges::one(port));
            }
        }
    }

    /// DHCP, DNS and the metadata server.
    fn add_openstack(&mut self, settings: &Settings) {
        for (family, client, server) in [(Family::V4, 68u16, 67u16), (Family::V6, 546, 547)] {
            self.add_port_range(End::Source, family, UDP, Ranges::one(client));
            self.add_port_range(End::Destination, family, UDP, Ranges::one(server));
            self.add_port_range(End::Destination, family, UDP, Ranges::one(53u16));
        }
        if let Some(server) = settings.metadata {
            self.add_port_range(End::Destination, Family::V4, TCP, Ranges::one(server.port()));
            self.add_destination(&AddressSet::of([&(*server.ip()).into()]));
        }
    }

    /// Whose addresses a workload may send from.
    pub fn add_source_check(&mut self, endpoint: &WorkloadEndpoint) {
        let own = endpoint.addresses.iter().chain(endpoint.nats.iter().map(|nat| &nat.external));
        self.add_source(&AddressSet::of(own));
        self.add_source(&AddressSet::of(&endpoint.addresses));
        self.add_source(&AddressSet::of_nets(&endpoint.spoofing));
    }

    /// The floating IPs of a node's workloads, each of which leads to its own address.
    pub fn add_floating(&mut self, node: &str) {
        if !self.snapshot.settings(node).floating_ips {
            return;
        }
        let here = self.snapshot.workload_endpoints.values().filter(|endpoint| endpoint.node == node);
        for nat in here.flat_map(|endpoint| &endpoint.nats) {
            self.add_destination(&AddressSet::of([&nat.external]));
        }
    }
}
