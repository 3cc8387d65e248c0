//! Automatic host endpoints: which ones nodes are to have, and what has to be written for that.
//!
//! An automatic host endpoint carries the label [`OWNER_LABEL`] with the value [`OWNER`], as those of Calico's kube-controllers do.
//! Only host endpoints with that label are ever changed or deleted. All name the profile that allows everything, so a node
//! whose endpoint is new denies nothing until a policy selects it.

mod addresses;
mod cluster;
mod desired;
mod name;
mod plan;
mod settings;

pub use cluster::{Cluster, KINDS, Node};
pub use plan::plan;
pub use settings::Settings;

use tortie_api::Object;

/// The label that says who made a host endpoint.
pub const OWNER_LABEL: &str = "projectcalico.org/created-by";
/// Its value on automatic host endpoints.
pub const OWNER: &str = "calico-kube-controllers";

/// Whether a host endpoint is an automatic one.
pub fn is_automatic(endpoint: &Object) -> bool {
    endpoint.metadata.labels.get(OWNER_LABEL).is_some_and(|owner| owner == OWNER)
}
