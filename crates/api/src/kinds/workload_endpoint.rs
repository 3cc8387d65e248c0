//! WorkloadEndpoint: an interface of a container, pod or virtual machine.
//!
//! Some programs write further fields: OpenStack's driver adds `allowedIps`, which is kept and not used.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scalar::{Dscp, Protocol};

/// The host's side of a workload's interface. Which of the first six fields its name is made of depends on the
/// orchestrator ([`crate::names::workload`]).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadEndpointSpec {
    /// What created the workload: `k8s`, `cni`, `libnetwork`, `openstack` or another.
    #[schemars(extend("x-tag" = "name"))]
    pub orchestrator: String,
    /// The name of the workload, where the orchestrator has neither pods nor containers.
    #[schemars(extend("x-tag" = "name"))]
    pub workload: String,
    /// The name of the node that the workload runs on.
    #[schemars(extend("x-tag" = "name"))]
    pub node: String,
    /// The identifier of the container.
    #[serde(rename = "containerID")]
    #[schemars(extend("x-tag" = "containerID"))]
    pub container_id: String,
    /// The name of the pod.
    #[schemars(extend("x-tag" = "name"))]
    pub pod: String,
    /// The name of the interface inside the workload, such as `eth0`.
    #[schemars(extend("x-tag" = "name"))]
    pub endpoint: String,
    /// The service account that the workload runs as.
    #[schemars(extend("x-tag" = "name"))]
    pub service_account_name: String,
    /// The addresses of the workload, each as a net with one address (/32 or /128).
    #[schemars(extend("x-each" = "net"))]
    pub ip_networks: Vec<String>,
    /// External addresses that are translated to addresses of the workload.
    #[serde(rename = "ipNATs")]
    #[schemars(extend("x-go" = "IPNATs"))]
    pub ip_nats: Vec<IpNat>,
    /// The IPv4 gateway of the workload.
    #[serde(rename = "ipv4Gateway")]
    #[schemars(extend("x-go" = "IPv4Gateway", "x-tag" = "ipv4"))]
    pub ipv4_gateway: String,
    /// The IPv6 gateway of the workload.
    #[serde(rename = "ipv6Gateway")]
    #[schemars(extend("x-go" = "IPv6Gateway", "x-tag" = "ipv6"))]
    pub ipv6_gateway: String,
    /// The profiles that decide after all policies, in this order.
    #[schemars(extend("x-each" = "name"))]
    pub profiles: Vec<String>,
    /// The host's interface to the workload.
    #[schemars(extend("x-tag" = "!interface"))]
    pub interface_name: String,
    /// The MAC address of the workload's interface.
    #[schemars(extend("x-tag" = "mac"))]
    pub mac: String,
    /// Ports with names that rules can use, and ports of the host that lead to the workload.
    pub ports: Vec<WorkloadEndpointPort>,
    /// Source addresses that the workload may use beside its own.
    #[schemars(extend("x-each" = "cidr"))]
    pub allow_spoofed_source_prefixes: Vec<String>,
    /// Limits of bandwidth, packets and connections.
    pub qos_controls: Option<QosControls>,
}

/// An external address and the address of the workload to which it is translated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct IpNat {
    /// The address of the workload.
    #[serde(rename = "internalIP")]
    #[schemars(extend("x-tag" = "ip", "x-always" = true))]
    pub internal_ip: String,
    /// The external address, which clients use.
    #[serde(rename = "externalIP")]
    #[schemars(extend("x-tag" = "ip", "x-always" = true))]
    pub external_ip: String,
}

/// A named port of a workload, or a port of the host that leads to one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadEndpointPort {
    /// The name of the port, which rules use.
    #[schemars(extend("x-tag" = "portName", "x-always" = true))]
    pub name: String,
    /// The protocol: TCP, UDP or SCTP, or its number.
    #[schemars(extend("x-always" = true))]
    pub protocol: Protocol,
    /// The number of the port.
    #[schemars(extend("x-tag" = "!gt=0", "x-always" = true))]
    pub port: u16,
    /// The port of the host that leads to this port; 0 for none.
    #[schemars(extend("x-always" = true))]
    pub host_port: u16,
    /// The address of the host that `hostPort` is on; all addresses if empty.
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
