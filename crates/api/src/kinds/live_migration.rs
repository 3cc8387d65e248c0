//! LiveMigration: the move of a virtual machine to another node. tortie stores it and does not use it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// From where to where.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LiveMigrationSpec {
    /// Where the virtual machine comes from.
    pub source: Option<LiveMigrationSource>,
    /// Where the virtual machine goes.
    pub target: Option<LiveMigrationTarget>,
}

/// Where the virtual machine comes from; one of these.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LiveMigrationSource {
    /// All endpoints of a workload.
    pub workload: Option<WorkloadIdentifier>,
    /// One endpoint.
    pub workload_endpoint: Option<WorkloadEndpointIdentifier>,
}

/// Where the virtual machine goes; one of these.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LiveMigrationTarget {
    /// Endpoints by label.
    pub selector: Option<String>,
    /// One endpoint.
    pub workload_endpoint: Option<WorkloadEndpointIdentifier>,
}

/// A workload.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadIdentifier {
    /// The node.
    pub hostname: String,
    /// The orchestrator.
    #[serde(rename = "orchestratorID")]
    pub orchestrator_id: String,
    /// The workload.
    #[serde(rename = "workloadID")]
    pub workload_id: String,
}

/// An endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadEndpointIdentifier {
    /// The node.
    pub hostname: String,
    /// The orchestrator.
    #[serde(rename = "orchestratorID")]
    pub orchestrator_id: String,
    /// The workload.
    #[serde(rename = "workloadID")]
    pub workload_id: String,
    /// The endpoint.
    #[serde(rename = "endpointID")]
    pub endpoint_id: String,
}
