//! NetworkSet and GlobalNetworkSet: nets with labels, for selectors of rules.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The nets of a set, of one namespace or of the whole cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkSetSpec {
    /// The nets in CIDR notation; an address without a prefix length is a net of one address.
    #[schemars(extend("x-each" = "cidr"))]
    pub nets: Vec<String>,
}
