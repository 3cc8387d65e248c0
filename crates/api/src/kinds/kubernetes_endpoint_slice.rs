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
    /// The addresses.
    pub addresses: Vec<String>,
    /// Those of the addresses to which no service proxy sends packets. Rules match them all the same.
    pub not_ready: Vec<String>,
    /// The ports.
    pub ports: Vec<KubernetesEndpointSlicePort>,
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
