//! BGPConfiguration: settings of BGP. tortie stores it for BGP programs and does not use it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scalar::{AsNumber, Duration};

/// How BGP is spoken, cluster-wide (`default`) or for a node (`node.<name>`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BgpConfigurationSpec {
    /// The least severity of lines on standard output. Default Info.
    #[schemars(extend("pattern" = "^(?i)(Trace|Debug|Info|Warning|Error|Fatal)?$", "x-default" = "Info"))]
    pub log_severity_screen: String,
    /// Whether every node peers with every other. Default true.
    pub node_to_node_mesh_enabled: Option<bool>,
    /// The AS number of nodes without their own. Default 64512.
    pub as_number: Option<AsNumber>,
    /// Nets of load-balancer addresses to announce.
    #[serde(rename = "serviceLoadBalancerIPs")]
    pub service_load_balancer_ips: Vec<ServiceLoadBalancerIpBlock>,
    /// Nets of services' external addresses to announce.
    #[serde(rename = "serviceExternalIPs")]
    pub service_external_ips: Vec<ServiceExternalIpBlock>,
    /// Nets of services' cluster addresses to announce.
    #[serde(rename = "serviceClusterIPs")]
    pub service_cluster_ips: Vec<ServiceClusterIpBlock>,
    /// Whether load-balancer addresses are announced as nets rather than singly.
    #[schemars(extend("enum" = ["Enabled", "Disabled"], "x-default" = "Enabled"))]
    pub service_load_balancer_aggregation: Option<String>,
    /// Names for BGP communities.
    #[schemars(length(max = 500))]
    pub communities: Vec<Community>,
    /// Nets that are announced, with their communities.
    #[schemars(length(max = 500))]
    pub prefix_advertisements: Vec<PrefixAdvertisement>,
    /// The TCP port that BGP listens on. Default 179.
    #[schemars(extend("x-minimum" = 1, "x-maximum" = 65535, "x-tag" = "gt=0"))]
    pub listen_port: u16,
    /// The password of peerings in the mesh of nodes.
    pub node_mesh_password: Option<BgpPassword>,
    /// How long routes of a peer in the mesh stay while it restarts.
    pub node_mesh_max_restart_time: Option<Duration>,
    /// Whether to listen on the node's address only.
    #[schemars(extend("enum" = ["None", "NodeIP"]))]
    pub bind_mode: Option<String>,
    /// Interfaces whose routes are not read.
    #[schemars(extend("x-each" = "ignoredInterface"))]
    pub ignored_interfaces: Vec<String>,
    /// IPv4 address that workloads peer with.
    #[serde(rename = "localWorkloadPeeringIPV4")]
    #[schemars(extend("x-tag" = "ipv4"))]
    pub local_workload_peering_ipv4: String,
    /// IPv6 address that workloads peer with.
    #[serde(rename = "localWorkloadPeeringIPV6")]
    #[schemars(extend("x-tag" = "ipv6"))]
    pub local_workload_peering_ipv6: String,
    /// For which pools BGP, not the agent, makes routes to other nodes.
    #[schemars(extend("enum" = ["Enabled", "Disabled", "EnabledIPIPOnly", "EnabledNoEncapOnly"]))]
    pub program_cluster_routes: Option<String>,
    /// Priority of IPv4 routes.
    #[schemars(
        extend(
            "x-go" = "IPv4NormalRoutePriority",
            "x-minimum" = 1,
            "x-maximum" = 2147483646,
            "x-tag" = "gte=1,lte=2147483646"
        )
    )]
    pub ipv4_normal_route_priority: Option<i64>,
    /// Priority of IPv6 routes.
    #[schemars(
        extend(
            "x-go" = "IPv6NormalRoutePriority",
            "x-minimum" = 1,
            "x-maximum" = 2147483646,
            "x-tag" = "gte=1,lte=2147483646"
        )
    )]
    pub ipv6_normal_route_priority: Option<i64>,
}

/// A net of load-balancer addresses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceLoadBalancerIpBlock {
    /// The net in CIDR notation.
    #[schemars(extend("x-tag" = "net", "x-format" = "cidr"))]
    pub cidr: String,
}

/// A net of external addresses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceExternalIpBlock {
    /// The net in CIDR notation.
    #[schemars(extend("x-tag" = "net", "x-format" = "cidr"))]
    pub cidr: String,
}

/// A net of cluster addresses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceClusterIpBlock {
    /// The net in CIDR notation.
    #[schemars(extend("x-tag" = "net", "x-format" = "cidr"))]
    pub cidr: String,
}

/// A named community.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Community {
    /// The name of the community.
    #[schemars(length(max = 253), extend("x-tag" = "!required,name"))]
    pub name: String,
    /// The community as `aa:nn` or `aa:nn:mm`.
    #[schemars(length(max = 40), extend("pattern" = r"^(\d+):(\d+)$|^(\d+):(\d+):(\d+)$", "x-tag" = "!required"))]
    pub value: String,
}

/// Communities that are announced with a net.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PrefixAdvertisement {
    /// The net in CIDR notation.
    #[schemars(extend("x-tag" = "!required,net", "x-format" = "cidr"))]
    pub cidr: String,
    /// Communities, or names of `spec.communities`.
    #[schemars(length(max = 50), extend("x-tag" = "!required"))]
    pub communities: Vec<String>,
}

/// Where a password is stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BgpPassword {
    /// The Kubernetes secret that holds the password.
    pub secret_key_ref: Option<SecretKeySelector>,
}

/// A key of a Kubernetes secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretKeySelector {
    /// The name of the secret.
    pub name: String,
    /// The key in the secret.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub key: String,
    /// Whether the secret or its key may be absent.
    pub optional: Option<bool>,
}
