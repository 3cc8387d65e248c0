//! Which of the controllers run.

use tortie_api::kinds::kube_controllers_configuration::ControllersConfig;

/// Which of the controllers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enabled {
    /// Whether nodes get host endpoints.
    pub nodes: bool,
    /// Whether namespaces are copied.
    pub namespaces: bool,
    /// Whether service accounts are copied.
    pub service_accounts: bool,
    /// Whether NetworkPolicies are copied.
    pub policies: bool,
    /// Whether labels of pods are copied into workload endpoints.
    pub pod_labels: bool,
}

/// What the environment says; it decides before the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// The controllers that run (`ENABLED_CONTROLLERS`).
    pub only: Option<Enabled>,
    /// Whether every node gets its host endpoint, and no other (`AUTO_HOST_ENDPOINTS`).
    pub host_endpoints: Option<bool>,
    /// Whether labels of Kubernetes' nodes are copied to nodes (`SYNC_NODE_LABELS`).
    pub sync_labels: Option<bool>,
}

impl Environment {
    /// Reads `AUTO_HOST_ENDPOINTS`; none if it is neither `enabled` nor `disabled`.
    pub fn host_endpoints(text: &str) -> Option<bool> {
        match text.to_ascii_lowercase().as_str() {
            "enabled" => Some(true),
            "disabled" => Some(false),
            _ => None,
        }
    }

    /// Reads `SYNC_NODE_LABELS`; none if it is not true or false, as Go reads them.
    pub fn sync_labels(text: &str) -> Option<bool> {
        tortie_api::go_bool(text)
    }
}

/// The names of controllers that Calico has and tortie does not.
const OTHERS: [&str; 3] = ["loadbalancer", "flannelmigration", "migration"];

impl Enabled {
    /// All of them.
    pub const ALL: Self =
        Self { nodes: true, namespaces: true, service_accounts: true, policies: true, pod_labels: true };
    const NONE: Self =
        Self { nodes: false, namespaces: false, service_accounts: false, policies: false, pod_labels: false };

    /// Those that `ENABLED_CONTROLLERS` names; the error is the word that names none.
    pub fn named(text: &str) -> Result<Self, String> {
        let mut enabled = Self::NONE;
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word.to_ascii_lowercase().as_str() {
                "node" => enabled.nodes = true,
                // The older name.
                "namespace" | "profile" => enabled.namespaces = true,
                "serviceaccount" => enabled.service_accounts = true,
                "policy" => enabled.policies = true,
                "workloadendpoint" => enabled.pod_labels = true,
                other if OTHERS.contains(&other) => {}
                _ => return Err(word.to_owned()),
            }
        }
        Ok(enabled)
    }

    /// Those that a KubeControllersConfiguration names.
    pub(crate) fn of(controllers: &ControllersConfig) -> Self {
        Self {
            nodes: controllers.node.is_some(),
            namespaces: controllers.namespace.is_some(),
            service_accounts: controllers.service_account.is_some(),
            policies: controllers.policy.is_some(),
            pod_labels: controllers.workload_endpoint.is_some(),
        }
    }

    /// What of Kubernetes is copied, for people; empty if nothing is.
    pub(crate) fn copied(self, node_labels: bool) -> String {
        let all = [
            (self.namespaces, "namespaces"),
            (self.service_accounts, "service accounts"),
            (self.policies, "NetworkPolicies"),
            (self.pod_labels, "labels of pods"),
            (node_labels, "labels of nodes"),
        ];
        all.iter().filter(|(is_enabled, _)| *is_enabled).map(|(_, what)| *what).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_controllers_as_for_calico() {
        let named = Enabled::named("policy, Namespace,loadbalancer").unwrap();
        assert_eq!(named, Enabled { policies: true, namespaces: true, ..Enabled::NONE });
        assert_eq!(named.copied(false), "namespaces, NetworkPolicies");
        assert_eq!(Enabled::NONE.copied(true), "labels of nodes");
        assert_eq!(Enabled::named("node,profile,serviceaccount,policy,workloadendpoint"), Ok(Enabled::ALL));
        assert_eq!(Enabled::named("policy,polices"), Err("polices".to_owned()));
    }

    #[test]
    fn switches_in_the_environment_are_read_as_calico_reads_them() {
        let host_endpoints = ["enabled", "Disabled", "true", ""].map(Environment::host_endpoints);
        assert_eq!(host_endpoints, [Some(true), Some(false), None, None]);
        let sync_labels = ["1", "True", "f", "FALSE", "tRUE", "yes"].map(Environment::sync_labels);
        assert_eq!(sync_labels, [Some(true), Some(true), Some(false), Some(false), None, None]);
    }
}
