//! StagedKubernetesNetworkPolicy: a Kubernetes NetworkPolicy that is not enforced.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::network_policy::StagedAction;
use crate::scalar::IntOrString;

/// A Kubernetes NetworkPolicy and what staging it means.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StagedKubernetesNetworkPolicySpec {
    /// What enforcing the staged policy would do: Set, Delete, Learn or Ignore.
    pub staged_action: StagedAction,
    /// The pods that the policy is for; empty means all of the namespace.
    #[schemars(extend("x-always" = true))]
    pub pod_selector: LabelSelector,
    /// The packets that are allowed in.
    pub ingress: Vec<IngressRule>,
    /// The packets that are allowed out.
    pub egress: Vec<EgressRule>,
    /// The directions that the policy governs.
    #[schemars(length(min = 1, max = 2))]
    pub policy_types: Vec<String>,
}

/// The packets that are allowed in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct IngressRule {
    /// The destination ports; empty means all.
    pub ports: Vec<PolicyPort>,
    /// The sources; empty means all.
    pub from: Vec<Peer>,
}

/// The packets that are allowed out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct EgressRule {
    /// The destination ports; empty means all.
    pub ports: Vec<PolicyPort>,
    /// The destinations; empty means all.
    pub to: Vec<Peer>,
}

/// A port, or some.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyPort {
    /// TCP, UDP or SCTP; TCP if absent.
    pub protocol: Option<String>,
    /// A number or the name of a pod's port; all if absent.
    pub port: Option<IntOrString>,
    /// The last port of a range that begins at `port`.
    pub end_port: Option<i32>,
}

/// Pods, or a range of addresses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Peer {
    /// Pods with these labels.
    pub pod_selector: Option<LabelSelector>,
    /// Pods of namespaces with these labels.
    pub namespace_selector: Option<LabelSelector>,
    /// Addresses.
    pub ip_block: Option<IpBlock>,
}

/// A range of addresses with holes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct IpBlock {
    /// The net in CIDR notation.
    #[schemars(extend("x-go" = "CIDR", "x-always" = true, "x-required" = true))]
    pub cidr: String,
    /// Nets inside it that are left out.
    pub except: Vec<String>,
}

/// Kubernetes' own form of a selector.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    /// Labels with these values.
    pub match_labels: BTreeMap<String, String>,
    /// Further conditions; all must hold.
    pub match_expressions: Vec<Requirement>,
}

impl LabelSelector {
    /// The pods with these labels, as Calico selects them; without a selector all pods.
    pub fn pods(selector: Option<&Self>) -> String {
        // Only pods have this label.
        let mut terms = vec!["projectcalico.org/orchestrator == 'k8s'".to_owned()];
        terms.extend(selector.into_iter().flat_map(Self::terms));
        terms.join(" && ")
    }

    /// The namespaces with these labels, as Calico selects them; empty without a selector, which means another thing than
    /// one that selects all.
    pub fn namespaces(selector: Option<&Self>) -> String {
        let Some(selector) = selector else { return String::new() };
        let terms = selector.terms();
        if terms.is_empty() { "all()".to_owned() } else { terms.join(" && ") }
    }

    fn terms(&self) -> Vec<String> {
        let mut terms: Vec<String> =
            self.match_labels.iter().map(|(label, value)| format!("{label} == '{value}'")).collect();
        for Requirement { key, operator, values } in &self.match_expressions {
            let values = values.iter().map(|value| format!("'{value}'")).collect::<Vec<_>>().join(", ");
            terms.push(match operator.as_str() {
                "In" => format!("{key} in {{ {values} }}"),
                "NotIn" => format!("{key} not in {{ {values} }}"),
                "Exists" => format!("has({key})"),
                _ => format!("! has({key})"),
            });
        }
        terms
    }
}

/// One condition on a label.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Requirement {
    /// The label.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub key: String,
    /// In, NotIn, Exists or DoesNotExist.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub operator: String,
    /// The values of In and NotIn.
    pub values: Vec<String>,
}
