//! KubeControllersConfiguration: settings of the controllers that follow Kubernetes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scalar::Duration;

/// Settings of the controllers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct KubeControllersConfigurationSpec {
    /// What standard output gets. Default Info.
    #[schemars(extend("enum" = ["None", "Debug", "Info", "Warning", "Error", "Fatal", "Panic"]))]
    pub log_severity_screen: String,
    /// Whether they report their health.
    #[schemars(extend("enum" = ["Enabled", "Disabled"], "x-tag" = "oneof=Enabled Disabled", "x-default" = "Enabled"))]
    pub health_checks: String,
    /// How often etcd's history is compacted; 0 for never. Default 10m.
    pub etcd_v3_compaction_period: Option<Duration>,
    /// Port of their metrics; 0 for none. Default 9094.
    #[schemars(extend("x-minimum" = 0, "x-maximum" = 65535))]
    pub prometheus_metrics_port: Option<i64>,
    /// Which run; an absent one does not.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub controllers: ControllersConfig,
    /// Port of their profiles. Off if absent.
    #[schemars(extend("x-minimum" = 0, "x-maximum" = 65535))]
    pub debug_profile_port: Option<i32>,
}

/// Which controllers run, and how.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ControllersConfig {
    /// Follows nodes.
    pub node: Option<NodeControllerConfig>,
    /// Follows network policies.
    pub policy: Option<PolicyControllerConfig>,
    /// Follows pods.
    pub workload_endpoint: Option<WorkloadEndpointControllerConfig>,
    /// Follows service accounts.
    pub service_account: Option<ServiceAccountControllerConfig>,
    /// Follows namespaces.
    pub namespace: Option<NamespaceControllerConfig>,
    /// Gives addresses to services.
    pub load_balancer: Option<LoadBalancerControllerConfig>,
    /// Brings old objects up to date.
    pub migration: Option<MigrationControllerConfig>,
}

/// Follows nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeControllerConfig {
    /// How often it compares everything.
    pub reconciler_period: Option<Duration>,
    /// Whether nodes get the labels of Kubernetes' nodes. Default Enabled.
    #[schemars(extend("enum" = ["Enabled", "Disabled"], "x-tag" = "oneof=Enabled Disabled"))]
    pub sync_labels: String,
    /// Whether nodes get host endpoints.
    pub host_endpoint: Option<AutoHostEndpointConfig>,
    /// How long a leaked address stays. Default 15m.
    pub leak_grace_period: Option<Duration>,
}

/// Host endpoints made for every node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AutoHostEndpointConfig {
    /// Whether they are made at all. Default Disabled.
    #[schemars(extend("enum" = ["Enabled", "Disabled"], "x-tag" = "oneof=Enabled Disabled"))]
    pub auto_create: String,
    /// Whether the one for all interfaces is among them. Default Enabled.
    #[schemars(extend("x-tag" = "createDefaultHostEndpoint"))]
    pub create_default_host_endpoint: String,
    /// Others to make.
    pub templates: Vec<Template>,
}

/// A host endpoint to make on every node it fits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Template {
    /// What its name has beside the node's.
    #[schemars(length(max = 253), extend("x-tag" = "name"))]
    pub generate_name: String,
    /// Interfaces with an address in one of these nets.
    #[serde(rename = "interfaceCIDRs")]
    #[schemars(extend("x-tag" = "!cidrs"))]
    pub interface_cidrs: Vec<String>,
    /// Interfaces whose name matches this regular expression.
    #[schemars(extend("x-tag" = "regexp"))]
    pub interface_pattern: String,
    /// Labels it gets.
    #[schemars(extend("x-tag" = "labels"))]
    pub labels: BTreeMap<String, String>,
    /// Annotations it gets.
    pub annotations: BTreeMap<String, String>,
    /// Nodes that get it.
    #[schemars(extend("x-tag" = "selector"))]
    pub node_selector: String,
}

/// Follows network policies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyControllerConfig {
    /// How often it compares everything.
    pub reconciler_period: Option<Duration>,
}

/// Follows pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadEndpointControllerConfig {
    /// How often it compares everything.
    pub reconciler_period: Option<Duration>,
}

/// Follows service accounts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceAccountControllerConfig {
    /// How often it compares everything.
    pub reconciler_period: Option<Duration>,
}

/// Follows namespaces.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NamespaceControllerConfig {
    /// How often it compares everything.
    pub reconciler_period: Option<Duration>,
}

/// Gives addresses to services.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LoadBalancerControllerConfig {
    /// To all services of type LoadBalancer, or to those that ask.
    #[serde(rename = "assignIPs")]
    #[schemars(extend("enum" = ["AllServices", "RequestedServicesOnly"], "x-default" = "AllServices"))]
    pub assign_ips: String,
}

/// Brings old objects up to date.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MigrationControllerConfig {
    /// Whether policies stored under old names are renamed.
    #[schemars(extend("enum" = ["Disabled", "Enabled"], "x-tag" = "oneof=Enabled Disabled", "x-default" = "Enabled"))]
    pub policy_name_migrator: String,
}

/// What the controllers report. Always written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct KubeControllersConfigurationStatus {
    /// The settings in force.
    pub running_config: Option<KubeControllersConfigurationSpec>,
    /// The environment they came from.
    pub environment_vars: BTreeMap<String, String>,
}
