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
    /// The position in the tier: lower comes first, a policy without it comes last, equal ones are sorted by name.
    pub order: Option<f64>,
    /// Rules for packets to the endpoints; the first that matches decides.
    #[schemars(length(max = 1024))]
    pub ingress: Vec<Rule>,
    /// Rules for packets from the endpoints; the first that matches decides.
    #[schemars(length(max = 1024))]
    pub egress: Vec<Rule>,
    /// The endpoints that the policy applies to, by their labels; all of the namespace if empty.
    #[schemars(length(max = 1024), extend("x-tag" = "selector"))]
    pub selector: String,
    /// The directions that the policy applies to. If absent: Egress where there are egress rules; Ingress where there
    /// are ingress rules or no rules at all.
    #[schemars(length(min = 1, max = 2))]
    pub types: Vec<PolicyType>,
    /// Limits the policy to endpoints whose service account has labels that match.
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
    /// The position in the tier: lower comes first, a policy without it comes last, equal ones are sorted by name.
    pub order: Option<f64>,
    /// Rules for packets to the endpoints; the first that matches decides.
    #[schemars(length(max = 1024))]
    pub ingress: Vec<Rule>,
    /// Rules for packets from the endpoints; the first that matches decides.
    #[schemars(length(max = 1024))]
    pub egress: Vec<Rule>,
    /// The endpoints that the policy applies to, by their labels; all if empty.
    #[schemars(length(max = 1024), extend("x-tag" = "selector"))]
    pub selector: String,
    /// The directions that the policy applies to. If absent: Egress where there are egress rules; Ingress where there
    /// are ingress rules or no rules at all.
    #[schemars(length(min = 1, max = 2))]
    pub types: Vec<PolicyType>,
    /// For host endpoints: the policy decides before connection tracking, and packets that it allows are not tracked.
    /// Needs `applyOnForward`.
    pub do_not_track: bool,
    /// For host endpoints: the policy decides before destination addresses are translated. Ingress only; needs
    /// `applyOnForward`.
    #[serde(rename = "preDNAT")]
    pub pre_dnat: bool,
    /// For host endpoints: the policy also applies to packets that the host forwards.
    pub apply_on_forward: bool,
    /// Limits the policy to endpoints whose service account has labels that match.
    #[schemars(length(max = 1024), extend("x-tag" = "selector"))]
    pub service_account_selector: String,
    /// Limits the policy to endpoints whose namespace has labels that match.
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
    /// What enforcing the staged policy would do: Set creates or replaces the enforced policy of its name, Delete
    /// deletes it, Ignore and Learn do nothing.
    pub staged_action: StagedAction,
    /// The policy.
    #[serde(flatten)]
    pub policy: NetworkPolicySpec,
}

/// A [`GlobalNetworkPolicySpec`] that is watched, not enforced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StagedGlobalNetworkPolicySpec {
    /// What enforcing the staged policy would do: Set creates or replaces the enforced policy of its name, Delete
    /// deletes it, Ignore and Learn do nothing.
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
