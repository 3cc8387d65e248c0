//! IPReservation: addresses that are never handed out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Addresses that are never handed out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct IpReservationSpec {
    /// Their nets.
    #[serde(rename = "reservedCIDRs")]
    #[schemars(extend("x-tag" = "cidrs"))]
    pub reserved_cidrs: Vec<String>,
}
