//! Names that are made from the spec: those of workload endpoints.

use tortie_api::kinds::workload_endpoint::WorkloadEndpointSpec;
use tortie_api::names::workload;
use tortie_api::{Kind, Object};

/// The object under its name: a workload endpoint that has none gets the one that its spec demands. One that cannot
/// be named stays as it is; validation says why.
pub(crate) fn filled(mut object: Object) -> Object {
    if object.kind == Kind::WorkloadEndpoint
        && object.metadata.name.is_empty()
        && let Ok(spec) = object.spec::<WorkloadEndpointSpec>()
        && let Ok(name) = workload::compose(&spec)
    {
        object.metadata.name = name;
    }
    object
}
