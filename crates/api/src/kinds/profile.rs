//! Profile: rules and labels of the endpoints that name it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rule::Rule;

/// Rules that are evaluated after all policies, and labels for the endpoints that name the profile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ProfileSpec {
    /// Rules for packets to the endpoints; the first that matches decides.
    pub ingress: Vec<Rule>,
    /// Rules for packets from the endpoints; the first that matches decides.
    pub egress: Vec<Rule>,
    /// Labels that the endpoints get; an endpoint's own label with the same key wins.
    #[schemars(extend("x-tag" = "labels"))]
    pub labels_to_apply: BTreeMap<String, String>,
}
