//! Labels of Kubernetes' nodes, in the nodes of a store that is not Kubernetes.
//!
//! There Calico's agent writes a Node, whose `orchRefs` name the node of Kubernetes. Selectors of nodes and automatic host endpoints go by
//! the labels of this Node. An [annotation](kube_labels) says which of its labels came from Kubernetes: one that Kubernetes no longer has
//! is removed if the annotation names it, and every other stays. For a label that both have, the value of Kubernetes counts.
//! Nothing but labels and the annotation is changed, as by Calico's kube-controllers. A Node that names no node of Kubernetes is never
//! changed, and one whose node in Kubernetes is gone stays as it is.

use tortie_api::kinds::node::NodeSpec;
use tortie_api::{Key, Kind, Object, kube_labels};

use crate::followed_labels::{KnownLabels, LabelSource, Labelled, Labels};
use crate::plan::{Action, Plan};

/// The orchestrator whose nodes have labels.
const ORCHESTRATOR: &str = "k8s";

/// What is known of the nodes of Kubernetes and of those in the store.
pub type NodeLabels = KnownLabels<Nodes>;

/// The nodes of Kubernetes, which the nodes in the store that name them follow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nodes;

impl LabelSource for Nodes {
    fn labels(node: Object) -> Result<Labels, String> {
        let labels = node.metadata.annotations.get(kube_labels::ANNOTATION);
        labels.map_or_else(|| Ok(Labels::new()), |labels| kube_labels::read(labels))
    }

    fn labelled(node: &Object) -> Option<Labelled> {
        let spec: NodeSpec = node.spec().ok()?;
        let first = spec.orch_refs.into_iter().find(|it| it.orchestrator == ORCHESTRATOR)?;
        Some(first.node_name).filter(|name| !name.is_empty()).map(|name| Labelled {
            source: Key::cluster(Kind::Node, name),
            labels: node.metadata.labels.clone(),
            annotation: node.metadata.annotations.get(kube_labels::ANNOTATION).cloned(),
            revision: node.metadata.resource_version.clone(),
        })
    }
}

/// What has to be written so that every node has the labels that it has in Kubernetes.
pub fn plan(known: &NodeLabels) -> Plan {
    let mut plan = Plan::default();
    for (key, node) in &known.labelled {
        let labels = match known.sources.get(&node.source) {
            None => continue,
            Some(Ok(labels)) => labels,
            Some(Err(reason)) => {
                let text = format!("node {} of Kubernetes cannot be read, so", node.source.name);
                plan.problem(key.to_string(), format!("{text} its labels stay as they are: {reason}"));
                continue;
            }
        };
        let before = match node.annotation.as_deref().map_or_else(|| Ok(Labels::new()), kube_labels::read) {
            Ok(before) => before,
            Err(reason) => {
                let text = "which says what labels came from Kubernetes, cannot be read, so its labels stay as they are until the \
                            annotation is corrected or removed";
                plan.problem(key.to_string(), format!("its annotation {}, {text}: {reason}", kube_labels::ANNOTATION));
                continue;
            }
        };
        plan.wanted += 1;
        let is_removed = |label: &str| before.contains_key(label) && !labels.contains_key(label);
        let mut wanted = node.labels.clone();
        wanted.retain(|label, _| !is_removed(label));
        wanted.extend(labels.clone());
        // A label that the annotation names and nobody has would be taken from a user who sets it later.
        if wanted != node.labels || before.keys().any(|label| is_removed(label)) {
            plan.actions.push(Action::Label {
                key: key.clone(),
                labels: wanted,
                annotation: Some((kube_labels::ANNOTATION, kube_labels::write(labels))),
                resource_version: node.revision.clone(),
            });
        }
    }
    plan
}

#[cfg(test)]
mod tests;
