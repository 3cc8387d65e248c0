//! From what users wrote to what it means, one file a kind. What cannot be read says which field; nothing is dropped.

mod closed;
mod endpoint;
mod group;
mod kubernetes;
mod plain;
mod policy;
mod rule;
mod settings;

pub use settings::configurations_of;

use tortie_api::{Kind, Object, Path};
use tortie_selector::Selector;

use crate::{HostEndpoint, NetworkSet, Node, Policy, PolicyId, Pool, Profile, Snapshot, Tier, WorkloadEndpoint};

/// One object, checked.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A tier.
    Tier(Tier),
    /// A policy of any kind. Boxed, since it is much larger than the rest.
    Policy(Box<Policy>),
    /// A profile.
    Profile(Profile),
    /// A host endpoint.
    HostEndpoint(HostEndpoint),
    /// A workload endpoint.
    WorkloadEndpoint(Box<WorkloadEndpoint>),
    /// A network set of either scope.
    NetworkSet(NetworkSet),
    /// A node.
    Node(Node),
    /// A pool.
    Pool(Pool),
    /// Present, and without meaning for a verdict: other kinds, staged deletions, workloads without an address.
    Nothing,
}

/// A field that has no meaning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct Invalid {
    /// Where.
    pub path: Path,
    /// Why.
    pub reason: String,
}

impl Invalid {
    /// Says why a field has no meaning.
    pub fn new(path: &Path, reason: impl ToString) -> Self {
        Self { path: path.clone(), reason: reason.to_string() }
    }
}

impl TryFrom<&Object> for Item {
    type Error = Invalid;

    fn try_from(object: &Object) -> Result<Self, Invalid> {
        Ok(match object.kind {
            Kind::Tier => Item::Tier(policy::tier(object)?),
            Kind::NetworkPolicy => Item::Policy(Box::new(policy::namespaced(object)?)),
            Kind::GlobalNetworkPolicy => Item::Policy(Box::new(policy::global(object)?)),
            Kind::StagedNetworkPolicy | Kind::StagedGlobalNetworkPolicy | Kind::StagedKubernetesNetworkPolicy => {
                policy::staged(object)?.map_or(Item::Nothing, |policy| Item::Policy(Box::new(policy)))
            }
            Kind::Profile => Item::Profile(group::profile(object)?),
            Kind::HostEndpoint => Item::HostEndpoint(endpoint::host(object)?),
            Kind::WorkloadEndpoint => {
                endpoint::workload(object)?.map_or(Item::Nothing, |endpoint| Item::WorkloadEndpoint(Box::new(endpoint)))
            }
            Kind::NetworkSet | Kind::GlobalNetworkSet => Item::NetworkSet(group::network_set(object)?),
            Kind::Node => Item::Node(group::node(object)?),
            Kind::IPPool => Item::Pool(group::pool(object)?),
            _ => Item::Nothing,
        })
    }
}

impl Snapshot {
    /// Everything in these objects, and what could not be read: such an object is closed ([`Item::closed`]).
    pub fn from_objects<'a>(objects: impl IntoIterator<Item = &'a Object>) -> (Snapshot, Vec<(&'a Object, Invalid)>) {
        Self::from_items(objects.into_iter().map(|object| (object, Item::closed(object))))
    }

    /// The same of objects that [`Item::closed`] has read already.
    pub fn from_items<'a>(
        objects: impl IntoIterator<Item = (&'a Object, (Item, Vec<Invalid>))>,
    ) -> (Snapshot, Vec<(&'a Object, Invalid)>) {
        let mut snapshot = Snapshot::default();
        let mut invalid = Vec::new();
        let open = Profile::default_allow();
        snapshot.profiles.insert(open.name.clone(), open);
        let mut configurations = Vec::new();
        for (object, (item, wrong)) in objects {
            if object.kind == Kind::FelixConfiguration {
                configurations.push(object);
                continue;
            }
            snapshot.staged_deletions.extend(staged_deletion(object));
            snapshot.insert(item);
            invalid.extend(wrong.into_iter().map(|why| (object, why)));
        }
        snapshot.configure(&configurations, &mut invalid);
        (snapshot, invalid)
    }

    /// Works out the settings anew, when these are all FelixConfigurations and nodes and pools are as they are; and what
    /// could not be read of them.
    pub fn set_configurations<'a>(&mut self, configurations: &[&'a Object]) -> Vec<(&'a Object, Invalid)> {
        let mut invalid = Vec::new();
        self.node_settings.clear();
        self.configure(configurations, &mut invalid);
        invalid
    }

    /// Puts one item in, in place of one of its name.
    pub fn insert(&mut self, item: Item) {
        match item {
            Item::Tier(tier) => drop(self.tiers.insert(tier.name.clone(), tier)),
            Item::Policy(policy) => drop(self.policies.insert(policy.id.clone(), *policy)),
            Item::Profile(profile) => drop(self.profiles.insert(profile.name.clone(), profile)),
            Item::HostEndpoint(endpoint) => drop(self.host_endpoints.insert(endpoint.name.clone(), endpoint)),
            Item::WorkloadEndpoint(endpoint) => {
                drop(self.workload_endpoints.insert(endpoint.id.clone(), *endpoint));
            }
            Item::NetworkSet(set) => drop(self.network_sets.insert(set.id.clone(), set)),
            Item::Node(node) => drop(self.nodes.insert(node.name.clone(), node)),
            Item::Pool(pool) => drop(self.pools.insert(pool.name.clone(), pool)),
            Item::Nothing => {}
        }
    }
}

/// The enforced policy that a staged one wants deleted.
pub fn staged_deletion(object: &Object) -> Option<PolicyId> {
    let deletes = object.body.get("spec")?.get("stagedAction")?.as_str()? == "Delete";
    let kind = enforced_kind(object.kind).filter(|_| deletes)?;
    Some(PolicyId { kind, namespace: object.metadata.namespace.clone(), name: object.metadata.name.clone() })
}

/// The kind that a staged policy becomes when it is enforced.
pub fn enforced_kind(staged: Kind) -> Option<Kind> {
    match staged {
        Kind::StagedGlobalNetworkPolicy => Some(Kind::GlobalNetworkPolicy),
        Kind::StagedNetworkPolicy | Kind::StagedKubernetesNetworkPolicy => Some(Kind::NetworkPolicy),
        _ => None,
    }
}

/// The spec as its type.
fn spec<T: serde::de::DeserializeOwned>(object: &Object) -> Result<T, Invalid> {
    object.spec().map_err(|error| Invalid::new(&Path::from("spec"), error))
}

/// A selector, or all when it is empty.
fn selector(text: &str, path: &Path) -> Result<Selector, Invalid> {
    Selector::parse(text).map_err(|error| Invalid::new(path, error))
}
