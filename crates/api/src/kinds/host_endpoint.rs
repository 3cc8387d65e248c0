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
    /// The interface, or `*` for every interface of the host that has no endpoint of its own. If empty, the endpoint
    /// applies to the interfaces that have one of `expectedIPs`.
    #[schemars(length(max = 15), extend("x-tag" = "interface"))]
    pub interface_name: String,
    /// The addresses of the endpoint. Selectors in rules match these; no addresses are learned from the host.
    #[serde(rename = "expectedIPs")]
    #[schemars(extend("x-each" = "ip"))]
    pub expected_ips: Vec<String>,
    /// The profiles that decide after all policies, in this order.
    #[schemars(extend("x-each" = "name"))]
    pub profiles: Vec<String>,
    /// Ports with names that rules can use.
    pub ports: Vec<EndpointPort>,
}

/// A named port of a host endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointPort {
    /// The name of the port, which rules use.
    #[schemars(extend("x-tag" = "!portName", "x-always" = true))]
    pub name: String,
    /// The protocol: TCP, UDP or SCTP, or its number.
    #[schemars(extend("x-always" = true))]
    pub protocol: Protocol,
    /// The number of the port.
    #[schemars(extend("x-minimum" = 1, "x-maximum" = 65535, "x-tag" = "!gt=0", "x-always" = true))]
    pub port: u16,
}
