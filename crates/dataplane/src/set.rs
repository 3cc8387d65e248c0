//! Sets: the addresses and ports that rules refer to.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

/// What names a set: it says what is in it, so it is the same on every node and after every restart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetId(Arc<str>);

impl SetId {
    /// The addresses of nodes that use IPIP between them.
    pub const IPIP_PEERS: &str = "all-hosts-net";
    /// The addresses of nodes that use VXLAN between them.
    pub const VXLAN_PEERS: &str = "all-vxlan-net";
    /// The IP pools, from which workloads get their addresses.
    pub const POOLS: &str = "network-ip-pools";
    /// The pools whose traffic is translated when it leaves them.
    pub const TRANSLATED_POOLS: &str = "masq-ipam-pools";
    /// The sets that always exist.
    pub const WELL_KNOWN: [&str; 4] = [Self::IPIP_PEERS, Self::VXLAN_PEERS, Self::POOLS, Self::TRANSLATED_POOLS];

    /// A set of this name.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One port of one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortMember {
    /// The address.
    pub address: IpAddr,
    /// The protocol's number.
    pub protocol: u8,
    /// The port.
    pub port: u16,
}

/// Members of a set, in order, each once. Nets of one set never overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Members {
    /// Addresses and nets of both families.
    Nets(Vec<IpNet>),
    /// Ports of addresses.
    Ports(Vec<PortMember>),
}

impl Members {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Members::Nets(nets) => nets.len(),
            Members::Ports(ports) => ports.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
