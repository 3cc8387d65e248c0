//! WorkloadEndpoint: an interface of a container, pod or virtual machine.
//!
//! Some programs write more: OpenStack's driver adds `allowedIps`, which readers keep and pass over.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scalar::{Dscp, Protocol};

/// The host's side of a workload's interface. Which of the first six fields its name is made of depends on the
/// orchestrator ([`crate::names::workload`]).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadEndpointSpec {
    /// Who made it: `k8s`, `cni`, `libnetwork`, `openstack` or another.
    #[schemars(extend("x-tag" = "name"))]
    pub orchestrator: String,
    /// The workload, where the orchestrator has none of the words below for it.
    #[schemars(extend("x-tag" = "name"))]
    pub workload: String,
    /// The node that it is on.
    #[schemars(extend("x-tag" = "name"))]
    pub node: String,
    /// The container.
    #[serde(rename = "containerID")]
    #[schemars(extend("x-tag" = "containerID"))]
    pub container_id: String,
    /// The pod.
    #[schemars(extend("x-tag" = "name"))]
    pub pod: String,
    /// Which of the workload's interfaces.
    #[schemars(extend("x-tag" = "name"))]
    pub endpoint: String,
    /// The service account that the workload runs as.
    #[schemars(extend("x-tag" = "name"))]
    pub service_account_name: String,
    /// Its addresses, each alone in its net (/32 or /128).
    #[schemars(extend("x-each" = "net"))]
    pub ip_networks: Vec<String>,
    /// Addresses that are translated to one of its own.
    #[serde(rename = "ipNATs")]
    #[schemars(extend("x-go" = "IPNATs"))]
    pub ip_nats: Vec<IpNat>,
    /// Its IPv4 gateway.
    #[serde(rename = "ipv4Gateway")]
    #[schemars(extend("x-go" = "IPv4Gateway", "x-tag" = "ipv4"))]
    pub ipv4_gateway: String,
    /// Its IPv6 gateway.
    #[serde(rename = "ipv6Gateway")]
    #[schemars(extend("x-go" = "IPv6Gateway", "x-tag" = "ipv6"))]
    pub ipv6_gateway: String,
    /// Profiles, in the order in which they are asked.
    #[schemars(extend("x-each" = "name"))]
    pub profiles: Vec<String>,
    /// The interface of the host that leads to it.
    #[schemars(extend("x-tag" = "!interface"))]
    pub interface_name: String,
    /// Its hardware address.
    #[schemars(extend("x-tag" = "mac"))]
    pub mac: String,
    /// Named ports, and ports of the host that lead to it.
    pub ports: Vec<WorkloadEndpointPort>,
    /// Source addresses that it may use beside its own.
    #[schemars(extend("x-each" = "cidr"))]
    pub allow_spoofed_source_prefixes: Vec<String>,
    /// Limits of bandwidth, packets and connections.
    pub qos_controls: Option<QosControls>,
}

/// An external address and the workload's own that it stands for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct IpNat {
    /// The workload's own address.
    #[serde(rename = "internalIP")]
    #[schemars(extend("x-tag" = "ip", "x-always" = true))]
    pub internal_ip: String,
    /// The address that others use.
    #[serde(rename = "externalIP")]
    #[schemars(extend("x-tag" = "ip", "x-always" = true))]
    pub external_ip: String,
}

/// A named port of a workload, or a port of the host that leads to one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadEndpointPort {
    /// The name that rules use.
    #[schemars(extend("x-tag" = "portName", "x-always" = true))]
    pub name: String,
    /// TCP, UDP or SCTP, or its number.
    #[schemars(extend("x-always" = true))]
    pub protocol: Protocol,
    /// The number.
    #[schemars(extend("x-tag" = "!gt=0", "x-always" = true))]
    pub port: u16,
    /// The port of the host that leads to it; 0 for none.
    #[schemars(extend("x-always" = true))]
    pub host_port: u16,
    /// The address of the host that the port is on; empty for all.
    #[serde(rename = "hostIP")]
    #[schemars(extend("x-tag" = "net", "x-always" = true))]
    pub host_ip: String,
}

/// Limits. 0 sets no limit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct QosControls {
    /// Bits a second to the workload, 1000 to 10^15.
    pub ingress_bandwidth: i64,
    /// Bits that may come at once, 1000 to 34359738360; 4294967296 if 0.
    pub ingress_burst: i64,
    /// Bits a second within a burst, 1010 to 1.01 * 10^15; line rate if 0.
    pub ingress_peakrate: i64,
    /// Bytes that may come at peak rate at once, 1000 to 10^8; the interface's MTU if 0.
    pub ingress_minburst: i64,
    /// Bits a second from the workload; as for ingress.
    pub egress_bandwidth: i64,
    /// Bits that may go at once; as for ingress.
    pub egress_burst: i64,
    /// Bits a second within a burst; as for ingress.
    pub egress_peakrate: i64,
    /// Bytes that may go at peak rate at once; as for ingress.
    pub egress_minburst: i64,
    /// Packets a second to the workload, 1 to 10000.
    pub ingress_packet_rate: i64,
    /// Packets that may come at once, 1 to 10000; 5 if 0.
    pub ingress_packet_burst: i64,
    /// Packets a second from the workload, 1 to 10000.
    pub egress_packet_rate: i64,
    /// Packets that may go at once, 1 to 10000; 5 if 0.
    pub egress_packet_burst: i64,
    /// Connections to the workload at one time, 1 to 4294967295.
    pub ingress_max_connections: i64,
    /// Connections from the workload at one time, 1 to 4294967295.
    pub egress_max_connections: i64,
    /// The class of service (0 to 63, or its name) that its packets are marked with.
    #[schemars(extend("x-go" = "DSCP", "x-tag" = "dscp"))]
    pub dscp: Option<Dscp>,
}
