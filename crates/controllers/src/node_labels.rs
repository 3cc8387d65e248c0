//! Labels of Kubernetes' nodes, in the nodes of a store that is not Kubernetes.
//!
//! There Calico's agent writes a Node, whose `orchRefs` name the node of Kubernetes. Selectors of nodes and automatic host endpoints go by
//! the labels of this Node. An [annotation](kube_labels) says which of its labels came from Kubernetes: one that Kubernetes no longer has
//! is removed if the annotation names it, and every other stays. For a label that both have, the value of Kubernetes counts.
//! Nothing but labels and the annotation is changed, as by Calico's kube-controllers. A Node that names no node of Kubernetes is never
//! changed, and one whose node in Kubernetes is gone stays as it is.

use std::collections::BTreeMap;

use tortie_api::kinds::node::NodeSpec;
use tortie_api::{Key, Object, kube_labels};
use tortie_store::{Event, Stored};

use crate::plan::{Action, Plan};
use crate::read::{read, replace};

/// The orchestrator whose nodes have labels.
const ORCHESTRATOR: &str = "k8s";

type Labels = BTreeMap<String, String>;

/// What is known of the nodes of Kubernetes and of those in the store.
#[derive(Clone, Debug, Default)]
pub struct NodeLabels {
    /// The labels of Kubernetes' nodes, or why they cannot be read, by name.
    kubernetes: BTreeMap<String, Result<Labels, String>>,
    /// The nodes in the store that name one of Kubernetes.
    nodes: BTreeMap<Key, Node>,
}

#[derive(Clone, Debug, PartialEq)]
struct Node {
    /// Its name in Kubernetes.
    kubernetes: String,
    labels: Labels,
    /// What its annotation says of them.
    annotation: Option<String>,
    revision: String,
}

impl NodeLabels {
    /// Replaces all that is known of Kubernetes' nodes by a listing of them.
    pub(crate) fn list_source(&mut self, all: &[Stored]) {
        self.kubernetes.clear();
        for stored in all {
            self.put_source(stored);
        }
    }

    /// Takes a change in Kubernetes in. Whether anything that counts is different after it.
    pub(crate) fn take_source(&mut self, event: &Event) -> bool {
        match event {
            Event::Put(stored) => self.put_source(stored),
            Event::Deleted(key, _) => self.kubernetes.remove(&key.name).is_some(),
        }
    }

    /// Replaces all that is known of the store's nodes by a listing of them.
    pub(crate) fn list(&mut self, all: &[Stored]) {
        self.nodes.clear();
        for stored in all {
            self.put(stored);
        }
    }

    /// Takes a change in the store in. Whether anything that counts is different after it.
    pub(crate) fn take(&mut self, event: &Event) -> bool {
        match event {
            Event::Put(stored) => self.put(stored),
            Event::Deleted(key, _) => self.nodes.remove(key).is_some(),
        }
    }

    /// Takes in a node that was written just now; the watch gives it later.
    pub(crate) fn written(&mut self, object: &Object) {
        if let Some(node) = node(object) {
            self.nodes.insert(object.key(), node);
        }
    }

    fn put_source(&mut self, stored: &Stored) -> bool {
        let labels = read(stored).and_then(|node| {
            let labels = node.metadata.annotations.get(kube_labels::ANNOTATION);
            labels.map_or_else(|| Ok(Labels::new()), |labels| kube_labels::read(labels))
        });
        replace(&mut self.kubernetes, stored.key.name.as_str(), labels)
    }

    /// A node that cannot be read, or that names none of Kubernetes, is left to others.
    fn put(&mut self, stored: &Stored) -> bool {
        match read(stored).ok().as_ref().and_then(node) {
            Some(node) => replace(&mut self.nodes, &stored.key, node),
            None => self.nodes.remove(&stored.key).is_some(),
        }
    }
}

fn node(object: &Object) -> Option<Node> {
    let spec: NodeSpec = object.spec().ok()?;
    let first = spec.orch_refs.into_iter().find(|it| it.orchestrator == ORCHESTRATOR)?;
    Some(first.node_name).filter(|name| !name.is_empty()).map(|kubernetes| Node {
        kubernetes,
        labels: object.metadata.labels.clone(),
        annotation: object.metadata.annotations.get(kube_labels::ANNOTATION).cloned(),
        revision: object.metadata.resource_version.clone(),
    })
}

/// What has to be written so that every node has the labels that it has in Kubernetes.
pub fn plan(known: &NodeLabels) -> Plan {
    let mut plan = Plan::default();
    for (key, node) in &known.nodes {
        let labels = match known.kubernetes.get(&node.kubernetes) {
            None => continue,
            Some(Ok(labels)) => labels,
            Some(Err(reason)) => {
                let text = format!("node {} of Kubernetes cannot be read, so", node.kubernetes);
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
