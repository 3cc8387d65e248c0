//! Which program manages an object, and may overwrite what a person changes: a controller, Kubernetes, an orchestrator, or one
//! that uses the store.

use tortie_api::kinds::workload_endpoint::WorkloadEndpointSpec;
use tortie_api::{Kind, Object};

/// The label of objects that a controller makes: automatic host endpoints.
const CREATED_BY: &str = "projectcalico.org/created-by";

/// The names of policies and profiles that follow from Kubernetes objects begin with these.
const FROM_KUBERNETES: [&str; 3] = ["knp.", "kns.", "ksa."];

/// Whether an object follows from one of Kubernetes, in any store that Calico's controllers fill.
pub(crate) fn follows_kubernetes(object: &Object) -> bool {
    let name = &object.metadata.name;
    let is_pod = || object.body.get("spec").and_then(|spec| spec.get("orchestrator")).is_some_and(|one| one == "k8s");
    !object.kind.is_calico()
        || FROM_KUBERNETES.iter().any(|prefix| name.starts_with(prefix))
        || object.kind == Kind::WorkloadEndpoint && is_pod()
}

/// The program that manages an object, in words; none if people write it.
pub(crate) fn owner(object: &Object) -> Option<String> {
    if let Some(by) = object.metadata.labels.get(CREATED_BY) {
        return Some(format!("{by} (label {CREATED_BY})"));
    }
    if !object.kind.is_calico() {
        // It is the object of Kubernetes itself.
        return None;
    }
    if follows_kubernetes(object) {
        return Some("a Kubernetes object that it follows from".to_owned());
    }
    match object.kind {
        Kind::WorkloadEndpoint => {
            let orchestrator = object.spec::<WorkloadEndpointSpec>().ok()?.orchestrator;
            Some(format!("the orchestrator {orchestrator}")).filter(|_| !orchestrator.is_empty())
        }
        Kind::ClusterInformation => Some("the programs that use the store".to_owned()),
        Kind::BlockAffinity | Kind::IPAMConfiguration => Some("Calico's address management".to_owned()),
        _ => None,
    }
}
