//! Tier: a step in the order of policies.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scalar::Time;

/// Where the tier stands, and what ends it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TierSpec {
    /// Lower comes first, none comes last, equal ones by name.
    pub order: Option<f64>,
    /// What happens to a packet that policies of the tier are for and none decides: Deny, or Pass to the next tier.
    #[schemars(extend("enum" = ["Pass", "Deny"], "x-tag" = "oneof=Deny Pass", "x-default" = "Deny"))]
    pub default_action: Option<String>,
}

/// What a controller found; always written, `{}` if nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TierStatus {
    /// What holds and what does not.
    pub conditions: Vec<Condition>,
}

/// One thing that holds or does not, as Kubernetes writes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// What it is about: `Ready`.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub r#type: String,
    /// True, False or Unknown.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub status: String,
    /// Which generation of the spec it is about.
    pub observed_generation: i64,
    /// Since when.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub last_transition_time: Time,
    /// Why, in one word.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub reason: String,
    /// Why, in a sentence.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub message: String,
}
