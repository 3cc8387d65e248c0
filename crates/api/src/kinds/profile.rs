//! Profile: rules and labels that endpoints take by naming it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rule::Rule;

/// Rules that are asked after all policies, and labels for the endpoints that name the profile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ProfileSpec {
    /// Rules for what comes to the endpoints.
    pub ingress: Vec<Rule>,
    /// Rules for what the endpoints send.
    pub egress: Vec<Rule>,
    /// Labels of the endpoints; an endpoint's own label of the same key is stronger.
    #[schemars(extend("x-tag" = "labels"))]
    pub labels_to_apply: BTreeMap<String, String>,
}
