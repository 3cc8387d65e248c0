//! Labels of pods, in the workload endpoints that Calico's CNI plugin writes into a store that is not Kubernetes.
//!
//! The plugin writes an endpoint with the labels that its pod has when it starts. Policies select by labels, so here an endpoint follows
//! its pod. Nothing but the labels is changed, which are those of the conversion of the Kubernetes store: the pod's own, and its namespace,
//! orchestrator and service account under `projectcalico.org/`. The CNI plugin creates and deletes endpoints, so an endpoint without a
//! pod stays, and a pod without an endpoint gets none.

use std::collections::BTreeMap;

use tortie_api::kinds::workload_endpoint::WorkloadEndpointSpec;
use tortie_api::{Key, Kind, Object, names};
use tortie_store::{Event, Stored};

use crate::plan::{Action, Plan};
use crate::read::{read, replace};

/// The orchestrator of pods.
const ORCHESTRATOR: &str = "k8s";
/// The endpoint that the Kubernetes store has of a pod.
const ENDPOINT: &str = "eth0";

type Labels = BTreeMap<String, String>;

/// What is known of pods and of workload endpoints.
#[derive(Clone, Debug, Default)]
pub struct PodLabels {
    /// The labels of pods, or why they cannot be read, by the key that the Kubernetes store has for the pod.
    pods: BTreeMap<Key, Result<Labels, String>>,
    /// The endpoints of pods in the store.
    endpoints: BTreeMap<Key, Endpoint>,
}

#[derive(Clone, Debug, PartialEq)]
struct Endpoint {
    /// The key of its pod.
    pod: Key,
    labels: Labels,
    revision: String,
}

impl PodLabels {
    /// Replaces all that is known of pods by a listing of them.
    pub(crate) fn list_source(&mut self, all: &[Stored]) {
        self.pods.clear();
        for stored in all {
            self.put_source(stored);
        }
    }

    /// Takes a change in Kubernetes in. Whether anything that counts is different after it.
    pub(crate) fn take_source(&mut self, event: &Event) -> bool {
        match event {
            Event::Put(stored) => self.put_source(stored),
            Event::Deleted(key, _) => self.pods.remove(key).is_some(),
        }
    }

    /// Replaces all that is known of endpoints by a listing of them.
    pub(crate) fn list(&mut self, all: &[Stored]) {
        self.endpoints.clear();
        for stored in all {
            self.put(stored);
        }
    }

    /// Takes a change in the store in. Whether anything that counts is different after it.
    pub(crate) fn take(&mut self, event: &Event) -> bool {
        match event {
            Event::Put(stored) => self.put(stored),
            Event::Deleted(key, _) => self.endpoints.remove(key).is_some(),
        }
    }

    /// Takes in an endpoint that was written just now; the watch gives it later.
    pub(crate) fn written(&mut self, object: &Object) {
        if let Some(endpoint) = endpoint(object) {
            self.endpoints.insert(object.key(), endpoint);
        }
    }

    fn put_source(&mut self, stored: &Stored) -> bool {
        replace(&mut self.pods, &stored.key, read(stored).map(|object| object.metadata.labels))
    }

    /// An endpoint that cannot be read, or that is not of a pod, is left to others.
    fn put(&mut self, stored: &Stored) -> bool {
        match read(stored).ok().as_ref().and_then(endpoint) {
            Some(endpoint) => replace(&mut self.endpoints, &stored.key, endpoint),
            None => self.endpoints.remove(&stored.key).is_some(),
        }
    }
}

fn endpoint(object: &Object) -> Option<Endpoint> {
    let spec: WorkloadEndpointSpec = object.spec().ok()?;
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
    Some(Endpoint {
        pod: Key::namespaced(Kind::WorkloadEndpoint, &object.metadata.namespace, name),
        labels: object.metadata.labels.clone(),
        revision: object.metadata.resource_version.clone(),
    })
}

/// What has to be written so that every endpoint of a pod has the labels of its pod.
pub fn plan(known: &PodLabels) -> Plan {
    let mut plan = Plan::default();
    for (key, endpoint) in &known.endpoints {
        match known.pods.get(&endpoint.pod) {
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
