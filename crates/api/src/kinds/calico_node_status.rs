//! CalicoNodeStatus: a request for the status of a node, and the status. tortie stores it and does not write the status.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scalar::Time;

/// Which status is requested.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CalicoNodeStatusSpec {
    /// Of which node.
    #[schemars(extend("x-tag" = "!required,name"))]
    pub node: String,
    /// The parts of the status: Agent, BGP, Routes.
    #[schemars(extend("x-tag" = "!required,unique"))]
    pub classes: Vec<StatusClass>,
    /// How often; 0 for once.
    #[schemars(extend("x-tag" = "!required,gte=0,lte=86400"))]
    pub update_period_seconds: Option<u32>,
}

/// The status that was requested. Always written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CalicoNodeStatusStatus {
    /// When the status was written.
    #[schemars(extend("x-always" = true))]
    pub last_updated: Time,
    /// The BGP daemons of the node.
    #[schemars(extend("x-always" = true))]
    pub agent: CalicoNodeAgentStatus,
    /// The BGP sessions of the node.
    #[schemars(extend("x-go" = "BGP", "x-always" = true))]
    pub bgp: CalicoNodeBgpStatus,
    /// The routes of the node.
    #[schemars(extend("x-always" = true))]
    pub routes: CalicoNodeBgpRouteStatus,
}

/// The BGP daemons of the node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CalicoNodeAgentStatus {
    /// For IPv4.
    #[schemars(extend("x-go" = "BIRDV4", "x-always" = true))]
    pub bird_v4: BgpDaemonStatus,
    /// For IPv6.
    #[schemars(extend("x-go" = "BIRDV6", "x-always" = true))]
    pub bird_v6: BgpDaemonStatus,
}

/// A BGP daemon.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BgpDaemonStatus {
    /// Whether it is ready.
    #[schemars(extend("enum" = ["Ready", "NotReady"]))]
    pub state: String,
    /// Its version.
    pub version: String,
    /// Its router ID.
    #[serde(rename = "routerID")]
    pub router_id: String,
    /// When it started.
    pub last_boot_time: String,
    /// When it last read its settings.
    pub last_reconfiguration_time: String,
}

/// The BGP sessions of the node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CalicoNodeBgpStatus {
    /// How many IPv4 sessions are established.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub number_established_v4: i64,
    /// How many IPv4 sessions are not established.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub number_not_established_v4: i64,
    /// How many IPv6 sessions are established.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub number_established_v6: i64,
    /// How many IPv6 sessions are not established.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub number_not_established_v6: i64,
    /// The IPv4 peers.
    pub peers_v4: Vec<CalicoNodePeer>,
    /// The IPv6 peers.
    pub peers_v6: Vec<CalicoNodePeer>,
}

/// A peer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CalicoNodePeer {
    /// Its address.
    #[serde(rename = "peerIP")]
    #[schemars(extend("x-tag" = "ip"))]
    pub peer_ip: String,
    /// Where the peering comes from.
    #[schemars(extend("enum" = ["NodeMesh", "NodePeer", "GlobalPeer"]))]
    pub r#type: String,
    /// How far the session is.
    #[schemars(extend("enum" = ["Idle", "Connect", "Active", "OpenSent", "OpenConfirm", "Established", "Close"]))]
    pub state: String,
    /// When the session got this state.
    pub since: String,
}

/// The routes of the node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CalicoNodeBgpRouteStatus {
    /// For IPv4.
    pub routes_v4: Vec<CalicoNodeRoute>,
    /// For IPv6.
    pub routes_v6: Vec<CalicoNodeRoute>,
}

/// A route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CalicoNodeRoute {
    /// In the kernel (FIB) or not (RIB).
    #[schemars(extend("enum" = ["FIB", "RIB"]))]
    pub r#type: String,
    /// The destination.
    pub destination: String,
    /// The gateway.
    pub gateway: String,
    /// By which interface.
    pub interface: String,
    /// The source of the route.
    #[schemars(extend("x-always" = true))]
    pub learned_from: CalicoNodeRouteLearnedFrom,
}

/// The source of a route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CalicoNodeRouteLearnedFrom {
    /// The type of the source.
    #[schemars(extend("enum" = ["Kernel", "Static", "Direct", "NodeMesh", "BGPPeer"]))]
    pub source_type: String,
    /// The peer.
    #[serde(rename = "peerIP")]
    #[schemars(extend("x-tag" = "ip"))]
    pub peer_ip: String,
}

/// `Agent`, `BGP` or `Routes`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("enum" = ["Agent", "BGP", "Routes"]))]
pub struct StatusClass(pub String);
