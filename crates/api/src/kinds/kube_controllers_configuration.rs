//! KubeControllersConfiguration: settings of the controllers that follow Kubernetes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scalar::Duration;

/// Settings of the controllers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct KubeControllersConfigurationSpec {
    /// The least severity of lines on standard output. Default Info.
    #[schemars(extend("enum" = ["None", "Debug", "Info", "Warning", "Error", "Fatal", "Panic"]))]
    pub log_severity_screen: String,
    /// Whether the controllers report their health.
    #[schemars(extend("enum" = ["Enabled", "Disabled"], "x-tag" = "oneof=Enabled Disabled", "x-default" = "Enabled"))]
    pub health_checks: String,
    /// How often etcd's history is compacted; 0 for never. Default 10m.
    pub etcd_v3_compaction_period: Option<Duration>,
    /// The TCP port on which metrics are served; 0 for none. Default 9094.
    #[schemars(extend("x-minimum" = 0, "x-maximum" = 65535))]
    pub prometheus_metrics_port: Option<i64>,
    /// The controllers that run, with their settings; a controller that is absent does not run.
    #[schemars(extend("x-always" = true, "x-required" = true))]
    pub controllers: ControllersConfig,
    /// The TCP port on which profiles of the process are served. Off if absent.
    #[schemars(extend("x-minimum" = 0, "x-maximum" = 65535))]
    pub debug_profile_port: Option<i32>,
}

/// Which controllers run, and how.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ControllersConfig {
    /// Settings of the controller of nodes.
    pub node: Option<NodeControllerConfig>,
    /// Settings of the controller of network policies.
    pub policy: Option<PolicyControllerConfig>,
    /// Settings of the controller of pods.
    pub workload_endpoint: Option<WorkloadEndpointControllerConfig>,
    /// Settings of the controller of service accounts.
    pub service_account: Option<ServiceAccountControllerConfig>,
    /// Settings of the controller of namespaces.
    pub namespace: Option<NamespaceControllerConfig>,
    /// Settings of the controller that assigns addresses to services.
    pub load_balancer: Option<LoadBalancerControllerConfig>,
    /// Settings of the controller that migrates objects of older releases.
    pub migration: Option<MigrationControllerConfig>,
}

/// Follows nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeControllerConfig {
    /// The time between two comparisons of all nodes. Default 5m.
    pub reconciler_period: Option<Duration>,
    /// Whether labels of Kubernetes nodes are copied to nodes. Default Enabled.
    #[schemars(extend("enum" = ["Enabled", "Disabled"], "x-tag" = "oneof=Enabled Disabled"))]
    pub sync_labels: String,
    /// Whether host endpoints are created for nodes, and which.
    pub host_endpoint: Option<AutoHostEndpointConfig>,
    /// How long an address that no workload uses any more is kept. Default 15m.
    pub leak_grace_period: Option<Duration>,
}

/// Host endpoints made for every node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AutoHostEndpointConfig {
    /// Whether host endpoints are created for every node. Default Disabled.
    #[schemars(extend("enum" = ["Enabled", "Disabled"], "x-tag" = "oneof=Enabled Disabled"))]
    pub auto_create: String,
    /// Whether a host endpoint for all interfaces is created for every node. Default Enabled.
    #[schemars(extend("x-tag" = "createDefaultHostEndpoint"))]
    pub create_default_host_endpoint: String,
    /// Further host endpoints that are created for nodes.
    pub templates: Vec<Template>,
}

/// A host endpoint to make on every node it fits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Template {
    /// The part of the endpoint's name that tells it from others of the node.
    #[schemars(length(max = 253), extend("x-tag" = "name"))]
    pub generate_name: String,
    /// Selects interfaces that have an address in one of these nets.
    #[serde(rename = "interfaceCIDRs")]
    #[schemars(extend("x-tag" = "!cidrs"))]
    pub interface_cidrs: Vec<String>,
    /// Selects interfaces whose name matches this regular expression.
    #[schemars(extend("x-tag" = "regexp"))]
    pub interface_pattern: String,
    /// The labels of the host endpoints.
    #[schemars(extend("x-tag" = "labels"))]
    pub labels: BTreeMap<String, String>,
    /// The annotations of the host endpoints.
    pub annotations: BTreeMap<String, String>,
    /// The nodes that get the host endpoints, by their labels.
    #[schemars(extend("x-tag" = "selector"))]
    pub node_selector: String,
}

/// Follows network policies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyControllerConfig {
    /// The time between two comparisons of all objects. Default 5m.
    pub reconciler_period: Option<Duration>,
}

/// Follows pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadEndpointControllerConfig {
    /// The time between two comparisons of all objects. Default 5m.
    pub reconciler_period: Option<Duration>,
}

/// Follows service accounts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceAccountControllerConfig {
    /// The time between two comparisons of all objects. Default 5m.
    pub reconciler_period: Option<Duration>,
}

/// Follows namespaces.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NamespaceControllerConfig {
    /// The time between two comparisons of all objects. Default 5m.
    pub reconciler_period: Option<Duration>,
}

/// Gives addresses to services.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LoadBalancerControllerConfig {
    /// Which services of type LoadBalancer get addresses: AllServices, or RequestedServicesOnly.
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
    /// The environment variables that the settings came from.
    pub environment_vars: BTreeMap<String, String>,
}
