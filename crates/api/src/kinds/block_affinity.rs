//! BlockAffinity: a block of addresses and the host it belongs to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whose block it is. Written by address management only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BlockAffinitySpec {
    /// How far the claim is.
    #[schemars(
        extend(
            "enum" = ["", "confirmed", "pending", "pendingDeletion"],
            "x-always" = true,
            "x-required" = true
        )
    )]
    pub state: String,
    /// The host.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub node: String,
    /// What kind of owner. `host` if empty.
    pub r#type: String,
    /// The block.
    #[schemars(extend("x-format" = "cidr", "x-always" = true, "x-required" = true))]
    pub cidr: String,
    /// Whether it is on its way out. Stores hold it as text.
    #[schemars(extend("x-default" = false, "x-always" = true, "x-required" = true))]
    pub deleted: bool,
}
