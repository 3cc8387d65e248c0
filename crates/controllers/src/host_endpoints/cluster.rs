//! What the automatic host endpoints follow from: the nodes, the settings, and the host endpoints that exist.

use std::collections::BTreeMap;

use tortie_api::kinds::kube_controllers_configuration::{
    AutoHostEndpointConfig, KubeControllersConfigurationSpec, NodeControllerConfig,
};
use tortie_api::kinds::node::NodeSpec;
use tortie_api::{Key, Kind, Object};
use tortie_store::{Event, Stored};

use super::Settings;
use crate::enabled::Environment;
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
    /// Whether the controller of nodes does not run, so that all host endpoints stay as they are.
    pub left: bool,
    /// Whether labels of Kubernetes' nodes are copied to nodes, where Kubernetes is copied.
    pub labels: bool,
    /// Whether the store is locked, so that nothing may be written.
    pub locked: bool,
    /// What the environment says.
    pub(super) environment: Environment,
}

impl Default for Cluster {
    fn default() -> Self {
        Self::new(Environment::default())
    }
}

impl Cluster {
    /// Nothing is known yet.
    pub(crate) fn new(environment: Environment) -> Self {
        let (nodes, endpoints) = (BTreeMap::new(), BTreeMap::new());
        let mut cluster =
            Self { nodes, endpoints, settings: Ok(None), left: false, labels: false, locked: false, environment };
        cluster.configure(None);
        cluster
    }

    /// Replaces all that is known of a kind by a listing of it.
    pub fn list(&mut self, kind: Kind, all: &[Stored]) {
        match kind {
            Kind::Node => self.nodes.clear(),
            Kind::HostEndpoint => self.endpoints.clear(),
            Kind::KubeControllersConfiguration => drop(self.configure(None)),
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
            Kind::KubeControllersConfiguration if key.name == DEFAULT => self.configure(Some(stored)),
            Kind::ClusterInformation if key.name == DEFAULT => {
                let ready = |object: Object| object.body.get("spec")?.get("datastoreReady")?.as_bool();
                let locked = read(stored).ok().and_then(ready) == Some(false);
                std::mem::replace(&mut self.locked, locked) != locked
            }
            _ => false,
        }
    }

    /// Takes the configuration in. Without one the controller of nodes runs; one that does not name it leaves everything as it is.
    fn configure(&mut self, stored: Option<&Stored>) -> bool {
        let runs = self.environment.only.map(|only| only.nodes);
        let spec = |object: Object| object.spec().map_err(|error| error.to_string());
        let named = stored.map(|stored| read(stored).and_then(spec)).transpose();
        let (left, labels, settings) = match named.map(|spec: Option<KubeControllersConfigurationSpec>| {
            spec.map_or_else(|| Some(NodeControllerConfig::default()), |spec| spec.controllers.node)
        }) {
            Err(reason) => (runs == Some(false), false, Err(reason)),
            Ok(node) => {
                let runs = runs.unwrap_or(node.is_some());
                let labels = || node.as_ref().is_none_or(|node| node.sync_labels != "Disabled");
                let labels = runs && self.environment.sync_labels.unwrap_or_else(labels);
                let host_endpoint = match self.environment.host_endpoints {
                    None => node.and_then(|node| node.host_endpoint),
                    Some(false) => None,
                    Some(true) => Some(AutoHostEndpointConfig {
                        auto_create: "Enabled".to_owned(),
                        ..AutoHostEndpointConfig::default()
                    }),
                };
                (!runs, labels, host_endpoint.map_or(Ok(None), Settings::read))
            }
        };
        let before = (self.left, self.labels, std::mem::replace(&mut self.settings, settings));
        (self.left, self.labels) = (left, labels);
        before.0 != left || before.1 != labels || before.2 != self.settings
    }

    fn remove(&mut self, key: &Key) -> bool {
        match key.kind {
            Kind::Node => self.nodes.remove(&key.name).is_some(),
            Kind::HostEndpoint => self.endpoints.remove(&key.name).is_some(),
            Kind::KubeControllersConfiguration if key.name == DEFAULT => self.configure(None),
            Kind::ClusterInformation if key.name == DEFAULT => std::mem::replace(&mut self.locked, false),
            _ => false,
        }
    }
}

fn node(object: Object) -> Result<Node, String> {
    let spec = object.spec().map_err(|error| error.to_string())?;
    Ok(Node { labels: object.metadata.labels, spec })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tortie_store::Revision;

    use super::*;
    use crate::enabled::Enabled;

    fn cluster(environment: Environment, controllers: Option<Value>) -> Cluster {
        let mut cluster = Cluster::new(environment);
        let stored = controllers.map(|controllers| Stored {
            key: Key::cluster(Kind::KubeControllersConfiguration, DEFAULT),
            revision: Revision::from("1"),
            value: json!({ "spec": { "controllers": controllers } }).to_string().into_bytes().into(),
        });
        cluster.list(Kind::KubeControllersConfiguration, stored.as_slice());
        cluster
    }

    /// What is done where the environment and the configuration say this: host endpoints are left as they are, are made, or are deleted.
    fn done(environment: Environment, controllers: Option<Value>) -> &'static str {
        let cluster = cluster(environment, controllers);
        match (cluster.left, &cluster.settings) {
            (true, _) | (_, Err(_)) => "left",
            (false, Ok(Some(settings))) if settings.templates.is_empty() => "made",
            (false, Ok(Some(_))) => "made by templates",
            (false, Ok(None)) => "deleted",
        }
    }

    /// The cases are those of the function `mergeConfig` of Calico's kube-controllers.
    #[test]
    fn the_controller_of_nodes_runs_if_the_environment_or_else_the_configuration_names_it_and_a_new_configuration_does()
    {
        let on = || json!({ "node": { "hostEndpoint": { "autoCreate": "Enabled", "templates": [{ "generateName": "t" }] } } });
        let only = |text: &str| Some(Enabled::named(text).unwrap());
        for (environment, controllers, expected) in [
            ((None, None), None, "deleted"),
            ((None, None), Some(json!({})), "left"),
            ((None, None), Some(json!({ "node": null, "policy": {} })), "left"),
            ((None, None), Some(json!({ "node": {} })), "deleted"),
            ((None, None), Some(json!({ "node": { "hostEndpoint": {} } })), "deleted"),
            ((None, None), Some(on()), "made by templates"),
            ((only("policy"), None), Some(on()), "left"),
            ((only("policy"), None), None, "left"),
            ((only("node"), None), Some(json!({})), "deleted"),
            ((only("node"), None), Some(on()), "made by templates"),
            ((None, Some(true)), None, "made"),
            ((None, Some(true)), Some(json!({})), "left"),
            ((None, Some(true)), Some(on()), "made"),
            ((None, Some(false)), Some(on()), "deleted"),
            ((only("node"), Some(true)), Some(json!({})), "made"),
            ((only("policy"), Some(true)), Some(on()), "left"),
            ((None, Some(true)), Some(json!(7)), "left"),
        ] {
            let environment = Environment { only: environment.0, host_endpoints: environment.1, sync_labels: None };
            assert_eq!(done(environment, controllers.clone()), expected, "{environment:?} {controllers:?}");
        }
    }

    /// The cases are those of the function `mergeSyncNodeLabels` of Calico's kube-controllers.
    #[test]
    fn labels_of_nodes_are_copied_where_the_controller_of_nodes_runs_and_nobody_disables_it() {
        let says = |value: &str| Some(json!({ "node": { "syncLabels": value } }));
        let only = |text: &str| Some(Enabled::named(text).unwrap());
        for (environment, controllers, expected) in [
            ((None, None), None, true),
            ((None, None), Some(json!({})), false),
            ((None, None), Some(json!({ "node": {} })), true),
            ((None, None), says("Enabled"), true),
            ((None, None), says("Disabled"), false),
            ((None, Some(true)), says("Disabled"), true),
            ((None, Some(false)), says("Enabled"), false),
            ((None, Some(false)), None, false),
            ((None, Some(true)), Some(json!({})), false),
            ((only("node"), None), Some(json!({})), true),
            ((only("node"), None), says("Disabled"), false),
            ((only("policy"), None), says("Enabled"), false),
            ((only("policy"), Some(true)), says("Enabled"), false),
            ((None, Some(true)), Some(json!(7)), false),
            // A template that cannot be read is no reason.
            (
                (None, None),
                Some(
                    json!({ "node": { "hostEndpoint": { "autoCreate": "Enabled", "templates": [{ "nodeSelector": "(" }] } } }),
                ),
                true,
            ),
        ] {
            let environment = Environment { only: environment.0, host_endpoints: None, sync_labels: environment.1 };
            assert_eq!(cluster(environment, controllers.clone()).labels, expected, "{environment:?} {controllers:?}");
        }
    }
}
