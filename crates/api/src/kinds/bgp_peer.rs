//! BGPPeer: a BGP peering. tortie stores it for BGP programs and does not use it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bgp_configuration::BgpPassword;
use crate::scalar::{AsNumber, Duration};

/// Which nodes peer with which peers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BgpPeerSpec {
    /// The name of the node that peers. All nodes if this and `nodeSelector` are empty.
    #[schemars(length(max = 253), extend("x-tag" = "name"))]
    pub node: String,
    /// Nodes that peer, by label.
    #[schemars(length(max = 1024), extend("x-tag" = "selector"))]
    pub node_selector: String,
    /// The address of the peer, with a port where that is not 179.
    #[serde(rename = "peerIP")]
    #[schemars(length(max = 64), extend("x-tag" = "IP:port"))]
    pub peer_ip: String,
    /// The peer's AS number.
    pub as_number: AsNumber,
    /// The AS number of the node towards this peer; its own if absent.
    #[serde(rename = "localASNumber")]
    pub local_as_number: Option<AsNumber>,
    /// Nodes that are the peers, by label.
    #[schemars(length(max = 1024), extend("x-tag" = "selector"))]
    pub peer_selector: String,
    /// Deprecated form of `nextHopMode: Keep`.
    pub keep_original_next_hop: bool,
    /// Which next hop is announced to the peer.
    #[schemars(extend("enum" = ["Auto", "Self", "Keep"]))]
    pub next_hop_mode: Option<String>,
    /// The password of the peering.
    pub password: Option<BgpPassword>,
    /// Which source address the peering uses. Default UseNodeIP.
    #[schemars(extend("enum" = ["UseNodeIP", "None"]))]
    pub source_address: String,
    /// How long routes of the peer stay while it restarts.
    pub max_restart_time: Option<Duration>,
    /// How often a keepalive is sent to the peer.
    pub keepalive_time: Option<Duration>,
    /// How often the node's own AS number may occur in the path of an accepted route.
    #[serde(rename = "numAllowedLocalASNumbers")]
    pub num_allowed_local_as_numbers: Option<i32>,
    /// The largest number of hops to the peer; other packets are dropped (TTL security).
    #[schemars(extend("x-go" = "TTLSecurity"))]
    pub ttl_security: Option<u8>,
    /// The gateway through which the peer is reached.
    #[schemars(length(max = 64), extend("x-tag" = "reachableBy"))]
    pub reachable_by: String,
    /// The names of the BGPFilters of this peering, in order.
    #[schemars(extend("x-each" = "name"))]
    pub filters: Vec<String>,
    /// Workloads that are the peers, by label.
    #[schemars(length(max = 1024), extend("x-tag" = "selector"))]
    pub local_workload_selector: String,
    /// Whether the peering is also configured on the peer, where that is a node of the cluster.
    #[schemars(extend("enum" = ["Auto", "Manual"]))]
    pub reverse_peering: Option<String>,
}
