//! ClusterInformation: the one object about the cluster itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// About the cluster. Programs write it, people read it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterInformationSpec {
    /// A random name that stays.
    #[serde(rename = "clusterGUID")]
    pub cluster_guid: String,
    /// What runs here, with commas.
    pub cluster_type: String,
    /// The version of the programs that use this store.
    pub calico_version: String,
    /// Whether the store may be used; false locks it.
    pub datastore_ready: Option<bool>,
    /// Which edition of the programs.
    pub variant: String,
}
