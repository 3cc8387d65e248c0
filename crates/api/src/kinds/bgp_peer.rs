//! BGPPeer: a BGP peering. Kept whole; nothing here speaks BGP.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bgp_configuration::BgpPassword;
use crate::scalar::{AsNumber, Duration};

/// Which nodes peer with whom.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BgpPeerSpec {
    /// The node that peers; with neither this nor a selector, all do.
    #[schemars(length(max = 253), extend("x-tag" = "name"))]
    pub node: String,
    /// Nodes that peer, by label.
    #[schemars(length(max = 1024), extend("x-tag" = "selector"))]
    pub node_selector: String,
    /// The peer's address, perhaps with a port.
    #[serde(rename = "peerIP")]
    #[schemars(length(max = 64), extend("x-tag" = "IP:port"))]
    pub peer_ip: String,
    /// The peer's AS number.
    pub as_number: AsNumber,
    /// Our AS number towards this peer.
    #[serde(rename = "localASNumber")]
    pub local_as_number: Option<AsNumber>,
    /// Nodes that are the peers, by label.
    #[schemars(length(max = 1024), extend("x-tag" = "selector"))]
    pub peer_selector: String,
    /// Old form of `nextHopMode: Keep`.
    pub keep_original_next_hop: bool,
    /// What next hop is announced.
    #[schemars(extend("enum" = ["Auto", "Self", "Keep"]))]
    pub next_hop_mode: Option<String>,
    /// The password.
    pub password: Option<BgpPassword>,
    /// Which address we speak from. Default UseNodeIP.
    #[schemars(extend("enum" = ["UseNodeIP", "None"]))]
    pub source_address: String,
    /// How long routes stay while the peer restarts.
    pub max_restart_time: Option<Duration>,
    /// How often a keepalive is sent to the peer.
    pub keepalive_time: Option<Duration>,
    /// How often our AS number may stand in a route that we accept.
    #[serde(rename = "numAllowedLocalASNumbers")]
    pub num_allowed_local_as_numbers: Option<i32>,
    /// How many hops the peer may be away.
    #[schemars(extend("x-go" = "TTLSecurity"))]
    pub ttl_security: Option<u8>,
    /// The gateway to the peer.
    #[schemars(length(max = 64), extend("x-tag" = "reachableBy"))]
    pub reachable_by: String,
    /// BGPFilters, in order.
    #[schemars(extend("x-each" = "name"))]
    pub filters: Vec<String>,
    /// Workloads that are the peers, by label.
    #[schemars(length(max = 1024), extend("x-tag" = "selector"))]
    pub local_workload_selector: String,
    /// Whether the peering in the other direction is made too.
    #[schemars(extend("enum" = ["Auto", "Manual"]))]
    pub reverse_peering: Option<String>,
}
