//! IPPool: a range that workload addresses come from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tier::Condition;

/// A range, how its packets travel, and who may take addresses from it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct IpPoolSpec {
    /// The range, with no bits set behind the prefix. It cannot be changed.
    #[schemars(length(max = 48), extend("x-tag" = "!net", "x-format" = "cidr", "x-always" = true, "x-required" = true))]
    pub cidr: String,
    /// Whether packets between nodes go by VXLAN. Never if empty.
    #[schemars(extend("enum" = ["Never", "Always", "CrossSubnet"]))]
    pub vxlan_mode: String,
    /// Whether packets between nodes go by IP-in-IP. Never if empty.
    #[schemars(extend("enum" = ["Never", "Always", "CrossSubnet"]))]
    pub ipip_mode: String,
    /// Whether packets that leave the pools get the node's address.
    pub nat_outgoing: bool,
    /// Whether no new addresses are taken from it.
    pub disabled: bool,
    /// Whether it is kept out of BGP.
    #[serde(rename = "disableBGPExport")]
    pub disable_bgp_export: bool,
    /// Prefix length of the blocks that nodes take: 26 or 122 if 0. It cannot be changed.
    #[schemars(extend("x-minimum" = 0, "x-maximum" = 128))]
    pub block_size: i64,
    /// Nodes that may take addresses.
    #[schemars(length(max = 1024), extend("x-tag" = "selector", "x-default" = "all()"))]
    pub node_selector: String,
    /// Namespaces whose workloads may take addresses.
    #[schemars(length(max = 1024), extend("x-tag" = "selector"))]
    pub namespace_selector: String,
    /// What addresses may be for: Workload, Tunnel, LoadBalancer. Workload and Tunnel if empty.
    #[schemars(length(max = 10))]
    pub allowed_uses: Vec<AllowedUse>,
    /// Whether addresses are taken without being asked for by name.
    #[schemars(extend("enum" = ["Automatic", "Manual"], "x-default" = "Automatic"))]
    pub assignment_mode: Option<String>,
}

/// What a controller found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct IpPoolStatus {
    /// What holds and what does not.
    pub conditions: Vec<Condition>,
}

/// `Workload`, `Tunnel` or `LoadBalancer`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("enum" = ["Workload", "Tunnel", "LoadBalancer"]))]
pub struct AllowedUse(pub String);
