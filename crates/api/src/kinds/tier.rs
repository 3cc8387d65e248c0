//! Tier: a step in the order of policies.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scalar::Time;

/// The position of the tier among the others, and its default action.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TierSpec {
    /// The position among the tiers: lower comes first, a tier without it comes last, equal ones are sorted by name.
    pub order: Option<f64>,
    /// What happens to a packet to which policies of the tier apply and which none of them decides: Deny, or Pass to
    /// the next tier. Default Deny.
    #[schemars(extend("enum" = ["Pass", "Deny"], "x-tag" = "oneof=Deny Pass", "x-default" = "Deny"))]
    pub default_action: Option<String>,
}

/// The tiers whose default action and order are fixed, by name (the rules of Calico's CRD).
pub const FIXED: [(&str, &str, f64); 3] =
    [("kube-admin", "Pass", 1_000.0), ("kube-baseline", "Pass", 10_000_000.0), ("default", "Deny", 1_000_000.0)];

/// What a controller found; always written, `{}` if nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TierStatus {
    /// What a controller reports about the tier.
    pub conditions: Vec<Condition>,
}

/// One thing that holds or does not, as Kubernetes writes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// The name of the condition, such as `Ready`.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub r#type: String,
    /// Whether the condition is met: True, False or Unknown.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub status: String,
    /// The generation of the spec that the condition is about.
    pub observed_generation: i64,
    /// When the status of the condition last changed.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub last_transition_time: Time,
    /// The reason for the status, in one word.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub reason: String,
    /// The reason for the status, in a sentence.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub message: String,
}
