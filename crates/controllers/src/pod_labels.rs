//! Labels of pods, in the workload endpoints that Calico's CNI plugin writes into a store that is not Kubernetes.
//!
//! The plugin writes an endpoint with the labels that its pod has when it starts. Policies select by labels, so here an endpoint follows
//! its pod. Nothing but the labels is changed, which are those of the conversion of the Kubernetes store: the pod's own, and its namespace,
//! orchestrator and service account under `projectcalico.org/`. The CNI plugin creates and deletes endpoints, so an endpoint without a
//! pod stays, and a pod without an endpoint gets none.

use tortie_api::kinds::workload_endpoint::WorkloadEndpointSpec;
use tortie_api::{Key, Kind, Object, names};

use crate::followed_labels::{KnownLabels, LabelSource, Labelled, Labels};
use crate::plan::{Action, Plan};

/// The orchestrator of pods.
const ORCHESTRATOR: &str = "k8s";
/// The endpoint that the Kubernetes store has of a pod.
const ENDPOINT: &str = "eth0";

/// What is known of pods and of workload endpoints.
pub type PodLabels = KnownLabels<Pods>;

/// The pods of Kubernetes, which their workload endpoints follow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pods;

impl LabelSource for Pods {
    fn labels(pod: Object) -> Result<Labels, String> {
        Ok(pod.metadata.labels)
    }

    fn labelled(endpoint: &Object) -> Option<Labelled> {
        let spec: WorkloadEndpointSpec = endpoint.spec().ok()?;
        if spec.orchestrator != ORCHESTRATOR {
            return None;
        }
        let pod = WorkloadEndpointSpec {
            orchestrator: ORCHESTRATOR.to_owned(),
            node: spec.node,
            pod: spec.pod,
            endpoint: ENDPOINT.to_owned(),
            ..WorkloadEndpointSpec::default()
        };
        let name = names::workload::compose(&pod).ok()?;
        Some(Labelled {
            source: Key::namespaced(Kind::WorkloadEndpoint, &endpoint.metadata.namespace, name),
            labels: endpoint.metadata.labels.clone(),
            annotation: None,
            revision: endpoint.metadata.resource_version.clone(),
        })
    }
}

/// What has to be written so that every endpoint of a pod has the labels of its pod.
pub fn plan(known: &PodLabels) -> Plan {
    let mut plan = Plan::default();
    for (key, endpoint) in &known.labelled {
        match known.sources.get(&endpoint.source) {
            None => {}
            Some(Err(reason)) => {
                plan.problem(
                    key.to_string(),
                    format!("its pod cannot be read, so its labels stay as they are: {reason}"),
                );
            }
            Some(Ok(labels)) => {
                plan.wanted += 1;
                if *labels != endpoint.labels {
                    plan.actions.push(Action::Label {
                        key: key.clone(),
                        labels: labels.clone(),
                        annotation: None,
                        resource_version: endpoint.revision.clone(),
                    });
                }
            }
        }
    }
    plan
}

#[cfg(test)]
mod tests;
