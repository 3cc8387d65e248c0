//! KubernetesEndpointSlice: addresses and ports behind a service, which a store makes from an EndpointSlice. It cannot be written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scalar::Protocol;

/// Every address has every port.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct KubernetesEndpointSliceSpec {
    /// The service, which is in the namespace of the slice; empty if it is of none.
    pub service: String,
    /// The addresses, which are what rules match.
    pub addresses: Vec<String>,
    /// The endpoints, as service proxies see them. An agent's store leaves them out.
    pub endpoints: Vec<KubernetesEndpoint>,
    /// The service proxy that they are for; empty if they are for kube-proxy.
    pub service_proxy: String,
    /// The ports.
    pub ports: Vec<KubernetesEndpointSlicePort>,
}

/// One endpoint, as service proxies see it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct KubernetesEndpoint {
    /// Its first address: kube-proxy uses no other.
    pub address: String,
    /// Its node; empty if none is named, so that it is local to no node.
    pub node_name: String,
    /// `terminating` if it is not ready, but terminating and still serves; `notReady` if it is not ready otherwise; empty if it is.
    pub state: String,
    /// The zones whose nodes it is meant for; empty if there is no such hint.
    pub for_zones: Vec<String>,
    /// The nodes that it is meant for; empty if there is no such hint.
    pub for_nodes: Vec<String>,
}

/// One port.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct KubernetesEndpointSlicePort {
    /// The name, which is that of the service's port.
    pub name: String,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// The number, on the endpoint itself.
    pub port: u16,
}
