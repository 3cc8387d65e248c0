//! A store as a history makes it: the snapshot for the evaluator, and the changes for an engine.

use std::collections::BTreeMap;

use serde_json::Value;
use tortie_api::{Key, Kind, Object, encode};
use tortie_policy::packet::{Host, Link};
use tortie_policy::{Invalid, Item, PolicyId, Profile, SetId, Settings, SliceId, Snapshot, Stored, WorkloadId};

use super::case::{Case, Step};
use super::{NODE, Random};

/// What a step does, to whoever follows the store.
#[derive(Clone, Debug)]
pub enum Change {
    /// An object is there.
    Put(Item),
    /// An object is gone.
    Delete(Key),
    /// The settings of the node.
    Settings(Box<Settings>),
    /// The interfaces of the node.
    Links(Vec<Link>),
    /// Everything so far takes effect.
    Flush,
}

/// A store, and the node that looks at it.
#[derive(Clone, Debug)]
pub struct World {
    /// Everything in the store.
    pub snapshot: Snapshot,
    /// The node.
    pub host: Host,
    objects: BTreeMap<Key, (Object, Item)>,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// An empty store; only the built-in profile is there.
    pub fn new() -> Self {
        let mut snapshot = Snapshot::default();
        snapshot.insert(Item::Profile(Profile::default_allow()));
        let host = Host { node: NODE.to_owned(), links: Vec::new() };
        Self { snapshot, host, objects: BTreeMap::new() }
    }

    /// What is there before anything happens.
    pub fn start() -> Vec<Change> {
        vec![Change::Put(Item::Profile(Profile::default_allow()))]
    }

    /// Takes a step, and says what it changes. What cannot be read is an error, and the world is of no use then.
    pub fn apply(&mut self, step: &Step) -> Result<Vec<Change>, String> {
        match step {
            Step::Put(value) => Ok(self.put(object(value)?)),
            Step::Delete(value) => {
                let key = key(value)?;
                self.objects.remove(&key);
                self.remove(&key);
                Ok(self.and_settings(key.kind, gone(key).collect()))
            }
            Step::Links(links) => {
                let link =
                    |(name, addresses): &(String, Vec<_>)| Link { name: name.clone(), addresses: addresses.clone() };
                self.host.links = links.iter().map(link).collect();
                Ok(vec![Change::Links(self.host.links.clone())])
            }
            Step::Flush => Ok(vec![Change::Flush]),
        }
    }

    /// The world that some steps lead to. Every step must be one that can be read, as those of random cases are.
    pub fn after<'a>(steps: impl IntoIterator<Item = &'a Step>) -> Self {
        let mut world = Self::new();
        for step in steps {
            if let Err(problem) = world.apply(step) {
                panic!("{problem}: {step:?}");
            }
        }
        world
    }

    /// The world at the end of the case of a seed.
    pub fn random(seed: u64) -> Self {
        Self::after(&Case::random(seed).steps)
    }

    /// Spreads the host endpoints of the snapshot over three nodes, for questions about packets between machines.
    pub fn spread(&mut self, random: &mut Random) -> [&'static str; 3] {
        let nodes = [NODE, "n2", "n3"];
        for endpoint in self.snapshot.host_endpoints.values_mut() {
            endpoint.node = random.pick(&nodes).to_string();
        }
        nodes
    }

    /// Everything there is, as changes to nothing.
    pub fn all(&self) -> Vec<Change> {
        let mut changes = Self::start();
        changes.push(Change::Settings(Box::new(self.snapshot.settings(NODE).clone())));
        changes.push(Change::Links(self.host.links.clone()));
        changes.extend(self.objects.values().map(|(_, item)| Change::Put(item.clone())));
        changes
    }

    /// What takes everything away again.
    pub fn nothing(&self) -> Vec<Change> {
        let mut changes: Vec<Change> = self.objects.keys().cloned().flat_map(gone).collect();
        changes.push(Change::Delete(Key::cluster(Kind::Profile, Profile::default_allow().name)));
        changes.push(Change::Settings(Box::default()));
        changes.push(Change::Links(Vec::new()));
        changes
    }

    /// What cannot be read is closed, as `sync` does it without a last valid version.
    fn put(&mut self, object: Object) -> Vec<Change> {
        let (item, _) = Item::read(&object);
        self.add_object(object, item)
    }

    /// The bytes that a store keeps of an object.
    pub fn stored(&self) -> Vec<(Key, Vec<u8>)> {
        self.objects.iter().map(|(key, (object, _))| (key.clone(), encode::stored(object))).collect()
    }

    /// An object as a store keeps it, perhaps damaged. Says what could not be read too.
    pub fn put_stored(&mut self, key: &Key, bytes: &[u8]) -> (Vec<Change>, Vec<Invalid>) {
        let Stored { object, item, invalid } = Stored::read(key, bytes);
        (self.add_object(object, item), invalid)
    }

    /// What stands for an object.
    pub fn item(&self, key: &Key) -> Option<&Item> {
        self.objects.get(key).map(|(_, item)| item)
    }

    fn add_object(&mut self, object: Object, item: Item) -> Vec<Change> {
        let key = object.key();
        self.remove(&key);
        self.objects.insert(key.clone(), (object, item.clone()));
        let changes = match item {
            Item::Nothing => gone(key.clone()).collect(),
            item => {
                self.snapshot.insert(item.clone());
                vec![Change::Put(item)]
            }
        };
        self.and_settings(key.kind, changes)
    }

    /// Settings follow from configurations, nodes and pools.
    fn and_settings(&mut self, kind: Kind, mut changes: Vec<Change>) -> Vec<Change> {
        let sources = [Kind::FelixConfiguration, Kind::Node, Kind::IPPool];
        if sources.contains(&kind) {
            let objects = self.objects.values().map(|(object, _)| object);
            let objects = objects.filter(|object| sources.contains(&object.kind));
            let (from, _) = Snapshot::from_objects(objects);
            self.snapshot.node_settings = from.node_settings;
            self.snapshot.default_settings = from.default_settings;
            changes.push(Change::Settings(Box::new(self.snapshot.settings(NODE).clone())));
        }
        changes
    }

    fn remove(&mut self, key: &Key) {
        let (namespace, name) = (key.namespace.clone(), key.name.clone());
        let snapshot = &mut self.snapshot;
        match key.kind {
            Kind::Tier => drop(snapshot.tiers.remove(&name)),
            Kind::Profile => drop(snapshot.profiles.remove(&name)),
            Kind::HostEndpoint => drop(snapshot.host_endpoints.remove(&name)),
            Kind::WorkloadEndpoint => drop(snapshot.workload_endpoints.remove(&WorkloadId { namespace, name })),
            Kind::NetworkSet | Kind::GlobalNetworkSet => drop(snapshot.network_sets.remove(&SetId { namespace, name })),
            Kind::Node => drop(snapshot.nodes.remove(&name)),
            Kind::IPPool => drop(snapshot.pools.remove(&name)),
            Kind::KubernetesEndpointSlice => drop(snapshot.slices.remove(&SliceId { namespace, name })),
            kind => drop(snapshot.policies.remove(&PolicyId { kind, namespace, name })),
        }
    }
}

/// The change that takes an object away; of configurations only the settings are told.
fn gone(key: Key) -> impl Iterator<Item = Change> {
    (key.kind != Kind::FelixConfiguration).then_some(Change::Delete(key)).into_iter()
}

fn key(value: &Value) -> Result<Key, String> {
    let text = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
    let mut all = Kind::ALL.iter().chain(Kind::KUBERNETES);
    let kind = all.find(|kind| kind.name() == text("kind")).ok_or_else(|| format!("{value} is of no kind"))?;
    Ok(Key { kind: *kind, namespace: text("namespace"), name: text("name") })
}

fn object(value: &Value) -> Result<Object, String> {
    let mut object = Object::new(key(value)?);
    for (label, value) in value["labels"].as_object().into_iter().flatten() {
        object.metadata.labels.insert(label.clone(), value.as_str().unwrap_or_default().to_owned());
    }
    object.body.insert("spec".to_owned(), value["spec"].clone());
    Ok(object)
}
