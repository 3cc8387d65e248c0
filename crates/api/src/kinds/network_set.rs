//! NetworkSet and GlobalNetworkSet: nets under labels, for selectors of rules.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The nets of a set, of one namespace or of the whole cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkSetSpec {
    /// The nets in CIDR notation; an address without a prefix length stands for itself.
    #[schemars(extend("x-each" = "cidr"))]
    pub nets: Vec<String>,
}

/// The same fields as [`NetworkSetSpec`].
pub type GlobalNetworkSetSpec = NetworkSetSpec;
