//! Node: a host.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scalar::AsNumber;

/// What is known about a host. Its agent writes most of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSpec {
    /// BGP settings of the node.
    #[schemars(extend("x-go" = "BGP"))]
    pub bgp: Option<NodeBgpSpec>,
    /// Address of its IPv4 VXLAN device.
    #[serde(rename = "ipv4VXLANTunnelAddr")]
    #[schemars(extend("x-go" = "IPv4VXLANTunnelAddr", "x-tag" = "ipv4"))]
    pub ipv4_vxlan_tunnel_addr: String,
    /// Hardware address of its IPv4 VXLAN device.
    #[serde(rename = "vxlanTunnelMACAddr")]
    #[schemars(extend("x-tag" = "mac"))]
    pub vxlan_tunnel_mac_addr: String,
    /// Address of its IPv6 VXLAN device.
    #[serde(rename = "ipv6VXLANTunnelAddr")]
    #[schemars(extend("x-go" = "IPv6VXLANTunnelAddr", "x-tag" = "ipv6"))]
    pub ipv6_vxlan_tunnel_addr: String,
    /// Hardware address of its IPv6 VXLAN device.
    #[serde(rename = "vxlanTunnelMACAddrV6")]
    #[schemars(extend("x-tag" = "mac"))]
    pub vxlan_tunnel_mac_addr_v6: String,
    /// The names of the node in orchestrators.
    pub orch_refs: Vec<OrchRef>,
    /// WireGuard addresses of the node.
    pub wireguard: Option<NodeWireguardSpec>,
    /// The addresses of the node.
    pub addresses: Vec<NodeAddress>,
    /// The interfaces of the node and their addresses.
    pub interfaces: Vec<NodeInterface>,
}

/// How a node speaks BGP.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeBgpSpec {
    /// The AS number of the node; that of BGPConfiguration `default` if absent.
    pub as_number: Option<AsNumber>,
    /// The IPv4 address of the node, with the prefix length of its subnet where that is known.
    #[schemars(extend("x-go" = "IPv4Address", "x-tag" = "cidrv4"))]
    pub ipv4_address: String,
    /// The IPv6 address of the node, with the prefix length of its subnet where that is known.
    #[schemars(extend("x-go" = "IPv6Address", "x-tag" = "cidrv6"))]
    pub ipv6_address: String,
    /// The address of the node's IP-in-IP device.
    #[serde(rename = "ipv4IPIPTunnelAddr")]
    #[schemars(extend("x-go" = "IPv4IPIPTunnelAddr", "x-tag" = "ipv4"))]
    pub ipv4_ipip_tunnel_addr: String,
    /// Makes the node a route reflector with this cluster identifier.
    #[serde(rename = "routeReflectorClusterID")]
    #[schemars(extend("x-tag" = "ipv4"))]
    pub route_reflector_cluster_id: String,
}

/// A node as an orchestrator knows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OrchRef {
    /// The name of the node there.
    pub node_name: String,
    /// The orchestrator, such as `k8s`.
    #[schemars(extend("x-always" = true))]
    pub orchestrator: String,
}

/// How a node speaks WireGuard.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeWireguardSpec {
    /// Address of its IPv4 WireGuard interface.
    #[schemars(extend("x-tag" = "ipv4"))]
    pub interface_i_pv4_address: String,
    /// Address of its IPv6 WireGuard interface.
    #[schemars(extend("x-tag" = "ipv6"))]
    pub interface_i_pv6_address: String,
}

/// An address of a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeAddress {
    /// The address, with a prefix length where that is known.
    #[schemars(extend("x-tag" = "!net", "x-always" = true))]
    pub address: String,
    /// The type of the address: CalicoNodeIP, InternalIP or ExternalIP.
    #[schemars(extend("x-tag" = "ipType"))]
    pub r#type: String,
}

/// An interface of a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeInterface {
    /// The name of the interface.
    #[schemars(extend("x-tag" = "name"))]
    pub name: String,
    /// The addresses of the interface.
    pub addresses: Vec<String>,
}

/// What the node's agent reports. Always written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeStatus {
    /// The node's WireGuard public key for IPv4.
    #[schemars(extend("x-tag" = "wireguardPublicKey"))]
    pub wireguard_public_key: String,
    /// The node's WireGuard public key for IPv6.
    #[schemars(extend("x-tag" = "wireguardPublicKey"))]
    pub wireguard_public_key_v6: String,
    /// The nets that Kubernetes assigned to the node for pods.
    #[serde(rename = "podCIDRs")]
    pub pod_cidrs: Vec<String>,
}
