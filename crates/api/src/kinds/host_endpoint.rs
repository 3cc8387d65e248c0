//! HostEndpoint: an interface of a host.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scalar::Protocol;

/// An interface of a host, or with `*` all of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HostEndpointSpec {
    /// The name of the node that this endpoint is on.
    #[schemars(length(max = 253), extend("x-tag" = "name"))]
    pub node: String,
    /// The interface, or `*` for every interface of the host that has no endpoint of its own. Without it the endpoint
    /// is on the interface that has one of `expectedIPs`.
    #[schemars(length(max = 15), extend("x-tag" = "interface"))]
    pub interface_name: String,
    /// The addresses of this endpoint. Only these are matched by label rules elsewhere; none are learned.
    #[serde(rename = "expectedIPs")]
    #[schemars(extend("x-each" = "ip"))]
    pub expected_ips: Vec<String>,
    /// Profiles, in the order in which they are asked.
    #[schemars(extend("x-each" = "name"))]
    pub profiles: Vec<String>,
    /// Named ports.
    pub ports: Vec<EndpointPort>,
}

/// A named port of a host endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointPort {
    /// The name that rules use.
    #[schemars(extend("x-tag" = "!portName", "x-always" = true))]
    pub name: String,
    /// TCP, UDP or SCTP, or its number.
    #[schemars(extend("x-always" = true))]
    pub protocol: Protocol,
    /// The number.
    #[schemars(extend("x-minimum" = 1, "x-maximum" = 65535, "x-tag" = "!gt=0", "x-always" = true))]
    pub port: u16,
}
