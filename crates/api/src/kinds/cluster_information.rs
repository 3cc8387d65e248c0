//! ClusterInformation: the only object about the cluster as a whole.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// About the cluster. Programs write it, people read it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterInformationSpec {
    /// A random identifier of the cluster, which never changes.
    #[serde(rename = "clusterGUID")]
    pub cluster_guid: String,
    /// What the cluster consists of, separated by commas, such as `k8s,bgp`.
    pub cluster_type: String,
    /// The version of the programs that use this store.
    pub calico_version: String,
    /// Whether programs may use the store; false locks it.
    pub datastore_ready: Option<bool>,
    /// The edition of Calico that uses this store.
    pub variant: String,
}
