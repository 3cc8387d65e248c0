//! BlockAffinity: a block of addresses and the host it belongs to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The owner of a block. Only address management writes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BlockAffinitySpec {
    /// The state of the assignment: confirmed, pending or pendingDeletion.
    #[schemars(
        extend(
            "enum" = ["", "confirmed", "pending", "pendingDeletion"],
            "x-always" = true,
            "x-required" = true
        )
    )]
    pub state: String,
    /// The name of the host that the block is assigned to.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub node: String,
    /// The kind of owner. `host` if empty.
    pub r#type: String,
    /// The block in CIDR notation.
    #[schemars(extend("x-format" = "cidr", "x-always" = true, "x-required" = true))]
    pub cidr: String,
    /// Whether the assignment is being deleted. Stores keep it as text.
    #[schemars(extend("x-default" = false, "x-always" = true, "x-required" = true))]
    pub deleted: bool,
}
