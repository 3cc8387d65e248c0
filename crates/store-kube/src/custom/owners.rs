//! Owner references between the packed group and Calico's own.

use serde_json::{Value, json};
use tortie_api::{API_VERSION, OwnerReference};

use super::group::Group;
use super::uid::{self, UidError};

/// References as Kubernetes' garbage collector must see them: Calico's resources are custom resources of the packed
/// group, with their transformed uids.
pub(super) fn to_packed(references: &[OwnerReference]) -> Result<Vec<OwnerReference>, UidError> {
    let packed = |reference: &OwnerReference| {
        let mut reference = reference.clone();
        if reference.api_version == API_VERSION {
            reference.api_version = Group::Packed.api_version().to_owned();
            reference.uid = uid::transform(&reference.uid)?;
        }
        Ok(reference)
    };
    references.iter().map(packed).collect()
}

/// Converts the uids of packed metadata back. Text that is not a uid stays unchanged.
pub(super) fn from_packed(metadata: &mut Value) {
    for reference in metadata["ownerReferences"].as_array_mut().into_iter().flatten() {
        if reference["apiVersion"] == Group::Packed.api_version() {
            reference["apiVersion"] = json!(API_VERSION);
            if let Some(Ok(uid)) = reference["uid"].as_str().map(uid::transform) {
                reference["uid"] = json!(uid);
            }
        }
    }
}
