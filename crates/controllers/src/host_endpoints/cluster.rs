//! What the automatic host endpoints follow from: the nodes, the settings, and the host endpoints that exist.

use std::collections::BTreeMap;

use tortie_api::kinds::kube_controllers_configuration::KubeControllersConfigurationSpec;
use tortie_api::kinds::node::NodeSpec;
use tortie_api::{Key, Kind, Object};
use tortie_store::{Event, Stored};

use super::Settings;
use crate::read::{DEFAULT, read, replace};

/// The kinds that the cluster is made of.
pub const KINDS: [Kind; 4] =
    [Kind::Node, Kind::HostEndpoint, Kind::KubeControllersConfiguration, Kind::ClusterInformation];

/// What is known of a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its addresses and interfaces.
    pub spec: NodeSpec,
}

/// All that automatic host endpoints follow from. What cannot be read is kept as the reason for that.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// The nodes by name.
    pub nodes: BTreeMap<String, Result<Node, String>>,
    /// The host endpoints by name, each with its revision as `resourceVersion`.
    pub endpoints: BTreeMap<String, Result<Object, String>>,
    /// The settings: none if there are none or automatic host endpoints are off.
    pub settings: Result<Option<Settings>, String>,
    /// Whether the store is locked, so that nothing may be written.
    pub locked: bool,
}

impl Default for Cluster {
    fn default() -> Self {
        Self { nodes: BTreeMap::new(), endpoints: BTreeMap::new(), settings: Ok(None), locked: false }
    }
}

impl Cluster {
    /// Replaces all that is known of a kind by a listing of it.
    pub fn list(&mut self, kind: Kind, all: &[Stored]) {
        match kind {
            Kind::Node => self.nodes.clear(),
            Kind::HostEndpoint => self.endpoints.clear(),
            Kind::KubeControllersConfiguration => self.settings = Ok(None),
            Kind::ClusterInformation => self.locked = false,
            _ => {}
        }
        for stored in all {
            self.put(stored);
        }
    }

    /// Takes a change in. Whether anything that counts is different after it.
    pub fn take(&mut self, event: &Event) -> bool {
        match event {
            Event::Put(stored) => self.put(stored),
            Event::Deleted(key, _) => self.remove(key),
        }
    }

    /// Takes in a host endpoint that was written just now; the watch gives it later.
    pub(crate) fn written(&mut self, object: Object) {
        self.endpoints.insert(object.metadata.name.clone(), Ok(object));
    }

    /// Removes an endpoint that was deleted.
    pub(crate) fn deleted(&mut self, name: &str) {
        self.endpoints.remove(name);
    }

    fn put(&mut self, stored: &Stored) -> bool {
        let key = &stored.key;
        match key.kind {
            Kind::Node => replace(&mut self.nodes, key.name.as_str(), read(stored).and_then(node)),
            Kind::HostEndpoint => replace(&mut self.endpoints, key.name.as_str(), read(stored)),
            Kind::KubeControllersConfiguration if key.name == DEFAULT => {
                let settings = read(stored).and_then(|object| settings(&object));
                std::mem::replace(&mut self.settings, settings) != self.settings
            }
            Kind::ClusterInformation if key.name == DEFAULT => {
                let ready = |object: Object| object.body.get("spec")?.get("datastoreReady")?.as_bool();
                let locked = read(stored).ok().and_then(ready) == Some(false);
                std::mem::replace(&mut self.locked, locked) != locked
            }
            _ => false,
        }
    }

    fn remove(&mut self, key: &Key) -> bool {
        match key.kind {
            Kind::Node => self.nodes.remove(&key.name).is_some(),
            Kind::HostEndpoint => self.endpoints.remove(&key.name).is_some(),
            Kind::KubeControllersConfiguration if key.name == DEFAULT => {
                std::mem::replace(&mut self.settings, Ok(None)) != Ok(None)
            }
            Kind::ClusterInformation if key.name == DEFAULT => std::mem::replace(&mut self.locked, false),
            _ => false,
        }
    }
}

fn node(object: Object) -> Result<Node, String> {
    let spec = object.spec().map_err(|error| error.to_string())?;
    Ok(Node { labels: object.metadata.labels, spec })
}

fn settings(object: &Object) -> Result<Option<Settings>, String> {
    let spec: KubeControllersConfigurationSpec = object.spec().map_err(|error| error.to_string())?;
    match spec.controllers.node.and_then(|node| node.host_endpoint) {
        Some(settings) => Settings::read(settings),
        None => Ok(None),
    }
}
