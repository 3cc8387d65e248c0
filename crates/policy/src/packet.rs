//! A packet as a node meets it, and what must be known of the node itself.

use std::net::IpAddr;

/// What a packet carries beyond its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// TCP, UDP, SCTP or UDPLite with readable ports.
    Ports {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// ICMP or ICMPv6 with a readable header.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
    /// Nothing that rules read: another protocol, or a non-first fragment or a truncated header, whose ports and ICMP
    /// type no rule matches, negated or not.
    Opaque,
}

/// What connection tracking says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Conntrack {
    /// The first packet of a flow.
    New,
    /// Established or related.
    Established,
    /// Neither new nor part of anything known.
    Invalid,
    /// Not tracked, by someone else's rule (ours are worked out).
    Untracked,
}

/// Types of ICMP that begin a connection for connection tracking: `valid_new` in nf_conntrack_proto_icmp.c.
pub const FIRST_ICMP: [u8; 4] = [8, 13, 15, 17];
/// Types of ICMPv6 that begin a connection for connection tracking: `valid_new` in nf_conntrack_proto_icmpv6.c.
pub const FIRST_ICMPV6: [u8; 2] = [128, 139];
/// Types of ICMPv6 that are never tracked: `noct_valid_new` there. Listeners, neighbour discovery, multicast routers.
pub const UNTRACKED_ICMPV6: [u8; 10] = [130, 131, 132, 133, 134, 135, 136, 143, 151, 152];

/// What connection tracking says of a packet of this kind that belongs to no open connection.
pub fn first_tracking(protocol: u8, transport: Transport, is_v4: bool) -> Conntrack {
    let Transport::Icmp { kind, .. } = transport else { return Conntrack::New };
    match (protocol, is_v4) {
        (1, true) if FIRST_ICMP.contains(&kind) => Conntrack::New,
        (58, false) if FIRST_ICMPV6.contains(&kind) => Conntrack::New,
        (58, false) if UNTRACKED_ICMPV6.contains(&kind) => Conntrack::Untracked,
        _ => Conntrack::Invalid,
    }
}

/// The path of a packet through a node, by the hooks that it passes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PacketPath {
    /// From outside (or a workload) to a local process.
    Input {
        /// Where it came in.
        interface: String,
    },
    /// From a local process.
    Output {
        /// Where it leaves, as routed before any translation.
        interface: String,
    },
    /// Through.
    Forward {
        /// Where it came in.
        from: String,
        /// Where it leaves, after any translation.
        to: String,
    },
}

/// One packet on one node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Packet {
    /// Source address, before any source translation.
    pub source: IpAddr,
    /// Destination address as it arrives, before any translation.
    pub destination: IpAddr,
    /// The protocol's number. For IPv6 the one the kernel finds after extension headers.
    pub protocol: u8,
    /// Ports or ICMP type, as they arrive.
    pub transport: Transport,
    /// Its path through the node.
    pub path: PacketPath,
    /// What a foreign rule (a NodePort, a service address) translates its destination to, with the port where that
    /// changes too. Floating IPs are worked out from the store.
    pub translated: Option<(IpAddr, Option<u16>)>,
    /// Where a packet of a local process leaves after that translation, when elsewhere.
    pub translated_interface: Option<String>,
    /// What connection tracking says of it.
    pub conntrack: Conntrack,
    /// Its source is reached over the interface it came in by, by the host's routes; none lets the evaluator work it out
    /// from the store (a workload's own addresses and floating IPs).
    pub source_route_ok: Option<bool>,
    /// The IP hop limit, which neighbour discovery must have at 255.
    pub hop_limit: u8,
}

impl Packet {
    /// Its state in connection tracking, unless a policy excludes it from tracking. One that is asked about as new may be of a
    /// kind that begins no connection.
    pub fn tracking(&self) -> Conntrack {
        match (self.conntrack, first_tracking(self.protocol, self.transport, self.source.is_ipv4())) {
            (_, Conntrack::Untracked) => Conntrack::Untracked,
            (Conntrack::New, first) => first,
            (asked, _) => asked,
        }
    }

    /// The interface by which it leaves the node: a translation of what a local process sends may lead to another one.
    pub fn leaves_by(&self, is_translated: bool) -> Option<&str> {
        match &self.path {
            PacketPath::Input { .. } => None,
            PacketPath::Forward { to, .. } => Some(to),
            PacketPath::Output { interface } => {
                Some(self.translated_interface.as_ref().filter(|_| is_translated).unwrap_or(interface))
            }
        }
    }

    /// Whether it is asked about as new, and begins no connection.
    pub fn begins_nothing(&self) -> bool {
        self.conntrack == Conntrack::New && self.tracking() == Conntrack::Invalid
    }
}

/// The translations of tortie itself that a packet meets on a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnNat {
    /// The address that it is for in the end: a floating IP is translated to it.
    pub destination: Option<IpAddr>,
    /// It leaves with another source: for `natOutgoing`, or since a workload calls its own floating IP.
    pub masquerades: bool,
    /// That source, where it is known: the floating IP, or the one of the settings. Else it is of the interface that the packet leaves by.
    pub source: Option<IpAddr>,
}

/// A network interface of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// What must be known of the node beside the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// The node's name.
    pub node: String,
    /// Its interfaces. Host endpoints by address need their addresses; workload interfaces may be left out.
    pub links: Vec<Link>,
}
