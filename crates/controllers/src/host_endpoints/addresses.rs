//! The addresses of a node, in the order in which its automatic host endpoints expect them.

use std::net::IpAddr;

use tortie_api::kinds::node::NodeSpec;
use tortie_net::{IpNet, parse_cidr};

/// An address, and how it is written in `expectedIPs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) ip: IpAddr,
    text: String,
}

impl Address {
    /// Reads an address with or without its prefix length. An address alone keeps its spelling.
    fn read(text: &str) -> Option<Self> {
        let ip = parse_cidr(text).ok()?.addr();
        let text = if text.contains('/') { ip.to_string() } else { text.to_owned() };
        Some(Self { ip, text })
    }
}

/// Addresses without repetitions.
#[derive(Clone, Debug, Default)]
pub(super) struct Addresses(Vec<Address>);

impl Addresses {
    /// All valid addresses of a node: its own, those of its tunnels, those that Kubernetes calls internal, those of its interfaces.
    pub(super) fn of(node: &NodeSpec) -> Self {
        let mut all = Self::default();
        if let Some(bgp) = &node.bgp {
            // The address of BGP may come with its net, and is written in its shortest form.
            for text in [&bgp.ipv4_address, &bgp.ipv6_address] {
                all.add(parse_cidr(text).ok().map(|net| Address { ip: net.addr(), text: net.addr().to_string() }));
            }
            all.read([&bgp.ipv4_ipip_tunnel_addr]);
        }
        all.read([&node.ipv4_vxlan_tunnel_addr, &node.ipv6_vxlan_tunnel_addr]);
        if let Some(wireguard) = &node.wireguard {
            all.read([&wireguard.interface_i_pv4_address, &wireguard.interface_i_pv6_address]);
        }
        all.read(node.addresses.iter().filter(|address| address.r#type == "InternalIP").map(|it| &it.address));
        all.read(node.interfaces.iter().flat_map(|interface| &interface.addresses));
        all
    }

    /// The addresses within one of these nets, in their shortest form.
    pub(super) fn within(&self, nets: &[IpNet]) -> Self {
        let within = self.0.iter().filter(|address| nets.iter().any(|net| net.contains(&address.ip)));
        Self(within.map(|address| Address { ip: address.ip, text: address.ip.to_string() }).collect())
    }

    /// These, then further ones.
    pub(super) fn with<'a>(mut self, more: impl IntoIterator<Item = &'a String>) -> Self {
        self.read(more);
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn texts(self) -> Vec<String> {
        self.0.into_iter().map(|address| address.text).collect()
    }

    fn read<'a>(&mut self, texts: impl IntoIterator<Item = &'a String>) {
        texts.into_iter().for_each(|text| self.add(Address::read(text)));
    }

    fn add(&mut self, address: Option<Address>) {
        if let Some(address) = address
            && !self.0.iter().any(|known| known.ip == address.ip)
        {
            self.0.push(address);
        }
    }
}
