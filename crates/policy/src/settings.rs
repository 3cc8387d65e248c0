//! The settings of a node that a verdict depends on.

use std::net::{Ipv4Addr, SocketAddrV4};

use ipnet::IpNet;
use tortie_net::Protocol;

use crate::endpoint::WorkloadEndpoint;

/// A port that stays open whatever the policy says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Failsafe {
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// The peers it is open for: sources inbound, destinations outbound. None means all.
    pub net: Option<IpNet>,
    /// The port.
    pub port: u16,
}

/// What happens to a packet from a workload to its own host, once its policy has allowed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostAction {
    /// Drop it.
    Drop,
    /// Leave it to the host's own rules. Here the same as accept.
    Return,
    /// Accept it.
    Accept,
}

/// How a denied packet is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Without an answer.
    Drop,
    /// With an answer, where the kernel can give one.
    Reject,
}

/// At most this many log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLimit {
    /// How many.
    pub count: u32,
    /// In this many seconds.
    pub seconds: u32,
    /// How many at once.
    pub burst: u32,
}

/// How the source of packets that leave the pools is translated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NatOutgoing {
    /// The IPv4 source; none for that of the interface that a packet leaves by.
    pub address: Option<Ipv4Addr>,
    /// The source ports of TCP and UDP, first and last; none for the kernel's choice.
    pub ports: Option<(u16, u16)>,
    /// What goes to addresses of nodes keeps its source too.
    pub spare_nodes: bool,
    /// Only what leaves by this interface, or by one whose name begins so where it ends with `+`.
    pub interface: Option<String>,
}

/// What a node is set to. [`Settings::default`] is what a node without any configuration does.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Interfaces whose names begin so are workloads'.
    pub interface_prefixes: Vec<String>,
    /// Interfaces that host endpoints leave alone: names, or regular expressions between slashes.
    pub interface_exclude: Vec<String>,
    /// Ports that stay open towards the host.
    pub failsafe_inbound: Vec<Failsafe>,
    /// Ports that stay open from the host.
    pub failsafe_outbound: Vec<Failsafe>,
    /// What happens to packets from a workload to its host.
    pub host_action: HostAction,
    /// OpenStack runs here, so DHCP, DNS and the metadata server of the host are open to workloads.
    pub openstack: bool,
    /// That server.
    pub metadata: Option<SocketAddrV4>,
    /// How packets are refused.
    pub refusal: Refusal,
    /// INVALID packets are not denied for being that.
    pub accept_invalid: bool,
    /// Workloads may ask to send from foreign addresses.
    pub spoofing_allowed: bool,
    /// Workloads may send VXLAN.
    pub vxlan_from_workloads: bool,
    /// Workloads may send IPIP.
    pub ipip_from_workloads: bool,
    /// VXLAN between nodes is in use, over IPv4.
    pub vxlan: bool,
    /// VXLAN between nodes is in use, over IPv6.
    pub vxlan_v6: bool,
    /// The port of VXLAN.
    pub vxlan_port: u16,
    /// IPIP between nodes is in use.
    pub ipip: bool,
    /// WireGuard listens on this port, IPv4.
    pub wireguard: Option<u16>,
    /// WireGuard listens on this port, IPv6.
    pub wireguard_v6: Option<u16>,
    /// Addresses outside the cluster from which IPIP is accepted.
    pub external_nodes: Vec<IpNet>,
    /// Floating IPs are translated.
    pub floating_ips: bool,
    /// What leaves the pools.
    pub nat_outgoing: NatOutgoing,
    /// IPv6 is governed.
    pub ipv6: bool,
    /// The prefix of a log line.
    pub log_prefix: String,
    /// How many log lines.
    pub log_limit: Option<LogLimit>,
}

const TCP: Protocol = Protocol::TCP;
const UDP: Protocol = Protocol::UDP;

/// Datastore ports and the like that must stay open, inbound.
const INBOUND: [(Protocol, u16); 9] =
    [(TCP, 22), (UDP, 68), (TCP, 179), (TCP, 2379), (TCP, 2380), (TCP, 5473), (TCP, 6443), (TCP, 6666), (TCP, 6667)];
/// The same, outbound.
const OUTBOUND: [(Protocol, u16); 9] =
    [(UDP, 53), (UDP, 67), (TCP, 179), (TCP, 2379), (TCP, 2380), (TCP, 5473), (TCP, 6443), (TCP, 6666), (TCP, 6667)];

fn failsafes(ports: &[(Protocol, u16)]) -> Vec<Failsafe> {
    ports.iter().map(|&(protocol, port)| Failsafe { protocol, net: None, port }).collect()
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            interface_prefixes: vec!["cali".to_owned()],
            interface_exclude: vec!["kube-ipvs0".to_owned()],
            failsafe_inbound: failsafes(&INBOUND),
            failsafe_outbound: failsafes(&OUTBOUND),
            host_action: HostAction::Drop,
            openstack: false,
            metadata: None,
            refusal: Refusal::Drop,
            accept_invalid: false,
            spoofing_allowed: false,
            vxlan_from_workloads: false,
            ipip_from_workloads: false,
            vxlan: false,
            vxlan_v6: false,
            vxlan_port: 4789,
            ipip: false,
            wireguard: None,
            wireguard_v6: None,
            external_nodes: Vec::new(),
            floating_ips: false,
            nat_outgoing: NatOutgoing::default(),
            ipv6: true,
            log_prefix: "calico-packet".to_owned(),
            log_limit: None,
        }
    }
}

impl Settings {
    /// Whether a workload endpoint counts: one that asks for spoofed source prefixes while these are not allowed counts as absent.
    pub fn admits(&self, endpoint: &WorkloadEndpoint) -> bool {
        self.spoofing_allowed || endpoint.spoofing.is_empty()
    }

    /// Whether an interface of this name is a workload's.
    pub fn is_workload_interface(&self, name: &str) -> bool {
        self.interface_prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()))
    }

    /// Whether host endpoints leave an interface of this name alone.
    pub fn is_excluded_interface(&self, name: &str) -> bool {
        self.interface_exclude.iter().any(|entry| {
            match entry.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
                Some(pattern) => regex_lite::Regex::new(pattern).is_ok_and(|regex| regex.is_match(name)),
                None => entry == name,
            }
        })
    }
}
