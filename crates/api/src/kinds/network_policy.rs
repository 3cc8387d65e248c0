//! Policies: of one namespace, of the whole cluster, and the staged forms of both.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rule::Rule;

/// A policy for the workloads of one namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkPolicySpec {
    /// The tier that the policy is in.
    #[schemars(extend("x-tag" = "name", "x-default" = "default"))]
    pub tier: String,
    /// Its place in the tier: lower comes first, none comes last, equal ones by name.
    pub order: Option<f64>,
    /// Rules for what comes to the endpoints, the first that matches decides.
    #[schemars(length(max = 1024))]
    pub ingress: Vec<Rule>,
    /// Rules for what the endpoints send, the first that matches decides.
    #[schemars(length(max = 1024))]
    pub egress: Vec<Rule>,
    /// The endpoints that the policy is for, by their labels; without it all of the namespace.
    #[schemars(length(max = 1024), extend("x-tag" = "selector"))]
    pub selector: String,
    /// The directions that the policy governs; without it those that have rules, or Ingress.
    #[schemars(length(min = 1, max = 2))]
    pub types: Vec<PolicyType>,
    /// Only endpoints whose service account's labels match.
    #[schemars(length(max = 1024), extend("x-tag" = "selector"))]
    pub service_account_selector: String,
    /// Hints that never change what is allowed.
    #[schemars(extend("x-tag" = "unique", "x-each" = "oneof=AssumeNeededOnEveryNode"))]
    pub performance_hints: Vec<PerformanceHint>,
}

/// A policy for endpoints of the whole cluster, host endpoints included.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GlobalNetworkPolicySpec {
    /// The tier that the policy is in.
    #[schemars(extend("x-tag" = "name", "x-default" = "default"))]
    pub tier: String,
    /// Its place in the tier: lower comes first, none comes last, equal ones by name.
    pub order: Option<f64>,
    /// Rules for what comes to the endpoints, the first that matches decides.
    #[schemars(length(max = 1024))]
    pub ingress: Vec<Rule>,
    /// Rules for what the endpoints send, the first that matches decides.
    #[schemars(length(max = 1024))]
    pub egress: Vec<Rule>,
    /// The endpoints that the policy is for, by their labels; without it all.
    #[schemars(length(max = 1024), extend("x-tag" = "selector"))]
    pub selector: String,
    /// The directions that the policy governs; without it those that have rules, or Ingress.
    #[schemars(length(min = 1, max = 2))]
    pub types: Vec<PolicyType>,
    /// Decide before connections are tracked, and do not track what is allowed. Needs `applyOnForward`.
    pub do_not_track: bool,
    /// Decide before destination addresses are translated. Ingress only; needs `applyOnForward`.
    #[serde(rename = "preDNAT")]
    pub pre_dnat: bool,
    /// For host endpoints: also what the host forwards.
    pub apply_on_forward: bool,
    /// Only endpoints whose service account's labels match.
    #[schemars(length(max = 1024), extend("x-tag" = "selector"))]
    pub service_account_selector: String,
    /// Only endpoints whose namespace's labels match.
    #[schemars(length(max = 1024), extend("x-tag" = "selector"))]
    pub namespace_selector: String,
    /// Hints that never change what is allowed.
    #[schemars(extend("x-tag" = "unique", "x-each" = "oneof=AssumeNeededOnEveryNode"))]
    pub performance_hints: Vec<PerformanceHint>,
}

/// A [`NetworkPolicySpec`] that is watched, not enforced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StagedNetworkPolicySpec {
    /// What the staged policy would do to the enforced one of its name.
    pub staged_action: StagedAction,
    /// The policy.
    #[serde(flatten)]
    pub policy: NetworkPolicySpec,
}

/// A [`GlobalNetworkPolicySpec`] that is watched, not enforced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StagedGlobalNetworkPolicySpec {
    /// What the staged policy would do to the enforced one of its name.
    pub staged_action: StagedAction,
    /// The policy.
    #[serde(flatten)]
    pub policy: GlobalNetworkPolicySpec,
}

/// A direction: `Ingress` or `Egress`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("enum" = ["Ingress", "Egress"]))]
pub struct PolicyType(pub String);

/// A hint: `AssumeNeededOnEveryNode`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("enum" = ["AssumeNeededOnEveryNode"]))]
pub struct PerformanceHint(pub String);

/// `Set`, `Delete`, `Learn` or `Ignore`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("enum" = ["Set", "Delete", "Learn", "Ignore"], "x-default" = "Set"))]
pub struct StagedAction(pub String);
