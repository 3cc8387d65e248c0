//! IPPool: a range of workload addresses.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tier::Condition;

/// A range, how its packets travel, and who may take addresses from it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct IpPoolSpec {
    /// The range of addresses in CIDR notation, with no bits set beyond the prefix. It cannot be changed.
    #[schemars(length(max = 48), extend("x-tag" = "!net", "x-format" = "cidr", "x-always" = true, "x-required" = true))]
    pub cidr: String,
    /// Whether packets between nodes are encapsulated in VXLAN: Always, Never, or only between nodes of different
    /// subnets. Never if empty.
    #[schemars(extend("enum" = ["Never", "Always", "CrossSubnet"]))]
    pub vxlan_mode: String,
    /// Whether packets between nodes are encapsulated in IP-in-IP: Always, Never, or only between nodes of different
    /// subnets. Never if empty.
    #[schemars(extend("enum" = ["Never", "Always", "CrossSubnet"]))]
    pub ipip_mode: String,
    /// Whether packets from the pool to addresses outside all pools get the node's source address.
    pub nat_outgoing: bool,
    /// Whether no new addresses are assigned from the pool.
    pub disabled: bool,
    /// Whether the pool is not announced over BGP.
    #[serde(rename = "disableBGPExport")]
    pub disable_bgp_export: bool,
    /// Prefix length of the blocks that are assigned to nodes. 26 for IPv4 and 122 for IPv6 if 0. It cannot be changed.
    #[schemars(extend("x-minimum" = 0, "x-maximum" = 128))]
    pub block_size: i64,
    /// The nodes that may take addresses from the pool, by their labels. Default `all()`.
    #[schemars(length(max = 1024), extend("x-tag" = "selector", "x-default" = "all()"))]
    pub node_selector: String,
    /// The namespaces whose workloads may take addresses from the pool, by their labels.
    #[schemars(length(max = 1024), extend("x-tag" = "selector"))]
    pub namespace_selector: String,
    /// What the addresses may be used for: Workload, Tunnel, LoadBalancer. Workload and Tunnel if empty.
    #[schemars(length(max = 10))]
    pub allowed_uses: Vec<AllowedUse>,
    /// Whether addresses are assigned automatically, or only when the pool is named. Default Automatic.
    #[schemars(extend("enum" = ["Automatic", "Manual"], "x-default" = "Automatic"))]
    pub assignment_mode: Option<String>,
}

/// What a controller found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct IpPoolStatus {
    /// What a controller reports about the pool.
    pub conditions: Vec<Condition>,
}

/// `Workload`, `Tunnel` or `LoadBalancer`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("enum" = ["Workload", "Tunnel", "LoadBalancer"]))]
pub struct AllowedUse(pub String);
