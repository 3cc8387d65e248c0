//! IPAMConfiguration: settings of address management. tortie stores it and does not assign addresses.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How nodes take blocks of addresses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct IpamConfigurationSpec {
    /// Whether a node uses only addresses of its own blocks.
    #[schemars(extend("x-default" = false, "x-always" = true, "x-required" = true))]
    pub strict_affinity: bool,
    /// The largest number of blocks of a node; 0 for no limit.
    #[schemars(extend("x-minimum" = 0, "x-maximum" = 1000000, "x-default" = 0))]
    pub max_blocks_per_host: i32,
    /// Whether a node takes further blocks when it needs addresses.
    #[schemars(extend("x-default" = true, "x-always" = true, "x-required" = true))]
    pub auto_allocate_blocks: bool,
    /// Whether a virtual machine keeps its address when it moves.
    #[serde(rename = "kubeVirtVMAddressPersistence")]
    #[schemars(extend("enum" = ["Enabled", "Disabled"]))]
    pub kube_virt_vm_address_persistence: Option<String>,
    /// How long an address that was released is not assigned again, in seconds.
    #[schemars(extend("x-minimum" = 0, "x-maximum" = 1200))]
    pub ip_cooldown_seconds: i32,
}
