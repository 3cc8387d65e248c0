//! IPReservation: addresses that are never assigned.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Addresses that are never handed out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct IpReservationSpec {
    /// The nets, in CIDR notation, from which no address is assigned automatically.
    #[serde(rename = "reservedCIDRs")]
    #[schemars(extend("x-tag" = "cidrs"))]
    pub reserved_cidrs: Vec<String>,
}
