//! From what users wrote to what it means, one file a kind. What cannot be read says which field; nothing is dropped.

mod contradiction;
mod endpoint;
mod endpoint_slice;
mod kubernetes;
mod plain_workload_endpoint;
mod policy;
mod read;
mod referenced;
mod rule;
mod selector;
mod settings;
mod stored;

pub use selector::MAX_SELECTOR_BYTES;
pub use settings::{configurations_of, unreadable_settings};
pub use stored::Stored;

use serde_json::Value;
use tortie_api::misspelt::is_field;
use tortie_api::{Kind, Object, Path};

use policy::EarlyLists;
use read::{FieldPath, Invalidities};

use crate::{
    EndpointSlice, HostEndpoint, NetworkSet, Node, Policy, PolicyId, Pool, Profile, Snapshot, Tier, WorkloadEndpoint,
};

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
    /// Addresses and ports behind a service.
    EndpointSlice(EndpointSlice),
    /// Present, and without meaning for a verdict: other kinds, staged deletions, workloads without an address.
    Nothing,
}

/// A field that has no meaning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}{}", place(path), after(consequence))]
pub struct Invalid {
    /// Where.
    pub path: Path,
    /// Why.
    pub reason: String,
    /// What is done instead; may be empty.
    pub consequence: &'static str,
}

fn place(path: &Path) -> String {
    if path.0.is_empty() { String::new() } else { format!("{path}: ") }
}

fn after(consequence: &str) -> String {
    if consequence.is_empty() { String::new() } else { format!(" ({consequence})") }
}

impl Invalid {
    /// A field whose value is invalid, and why.
    pub fn new(path: &Path, reason: impl ToString) -> Self {
        Self { path: path.clone(), reason: reason.to_string(), consequence: "" }
    }
}

impl TryFrom<&Object> for Item {
    type Error = Invalid;

    /// The object, of which everything must be readable.
    fn try_from(object: &Object) -> Result<Self, Invalid> {
        let (item, wrong) = Item::read(object);
        wrong.into_iter().next().map_or(Ok(item), Err)
    }
}

impl Item {
    /// The object as it can safely be enforced, and everything that could not be read: its replacement denies
    /// whatever the object may have denied, and allows nothing that it may not have allowed (`docs/unreadable.md`).
    pub fn read(object: &Object) -> (Item, Vec<Invalid>) {
        read(object, EarlyLists::default(), Invalidities::default())
    }
}

/// Reads an object whose rules perhaps were read before.
fn read(object: &Object, early: EarlyLists, mut wrong: Invalidities) -> (Item, Vec<Invalid>) {
    let kind = object.kind;
    if let Some(other) = object.body.get("kind") {
        wrong.note(FieldPath::Top("kind"), format!("it says {other}, under the name of a {}", kind.name()), "");
    }
    let unreadable_spec = match object.body.get("spec") {
        None => stored::needs_spec(kind).then_some("it does not exist"),
        Some(Value::Object(spec)) => {
            let has_none_known = matches!(kind, Kind::Tier | Kind::Profile)
                && !spec.is_empty()
                && !spec.keys().any(|name| is_field(kind, name));
            has_none_known.then_some("this release knows none of its fields")
        }
        Some(_) => Some("expected an object"),
    };
    let has_labels = !object.metadata.other.contains_key("labels");
    if let Some(reason) = unreadable_spec.filter(|_| !wrong.silent) {
        let consequence = match kind {
            Kind::NetworkSet | Kind::GlobalNetworkSet if has_labels => referenced::NO_NETS,
            kind => stored::consequence(kind),
        };
        wrong.note(FieldPath::SPEC, reason, consequence);
        wrong.silent = true;
        let mut object = object.clone();
        // What does not exist is as little known as what is no object.
        object.body.insert("spec".to_owned(), serde_json::Value::Null);
        return read(&object, early, wrong);
    }
    if wrong.silent && !stored::counts_without_spec(kind, has_labels) {
        return (Item::Nothing, wrong.into_list());
    }
    let item = match kind {
        Kind::Tier => Item::Tier(policy::tier(object, &mut wrong)),
        Kind::NetworkPolicy
        | Kind::GlobalNetworkPolicy
        | Kind::StagedNetworkPolicy
        | Kind::StagedGlobalNetworkPolicy
        | Kind::KubernetesNetworkPolicy
        | Kind::KubernetesClusterNetworkPolicy => {
            policy::policy(object, early, &mut wrong).map_or(Item::Nothing, |policy| Item::Policy(Box::new(policy)))
        }
        Kind::StagedKubernetesNetworkPolicy => match kubernetes::convert(object) {
            Ok(object) => policy::policy(&object, early, &mut wrong)
                .map_or(Item::Nothing, |policy| Item::Policy(Box::new(policy))),
            Err(invalid) => return (Item::Nothing, vec![invalid]),
        },
        Kind::Profile => Item::Profile(referenced::profile(object, early, &mut wrong)),
        Kind::HostEndpoint => Item::HostEndpoint(endpoint::host(object, &mut wrong)),
        Kind::WorkloadEndpoint => endpoint::workload(object, &mut wrong)
            .map_or(Item::Nothing, |endpoint| Item::WorkloadEndpoint(Box::new(endpoint))),
        Kind::NetworkSet | Kind::GlobalNetworkSet => {
            Item::NetworkSet(referenced::network_set(object, early, &mut wrong))
        }
        Kind::Node => Item::Node(referenced::node(object, &mut wrong)),
        Kind::IPPool => referenced::pool(object, &mut wrong).map_or(Item::Nothing, Item::Pool),
        Kind::KubernetesEndpointSlice => {
            endpoint_slice::endpoint_slice(object, &mut wrong).map_or(Item::Nothing, Item::EndpointSlice)
        }
        _ => Item::Nothing,
    };
    (item, wrong.into_list())
}

impl Snapshot {
    /// Everything in these objects, and what could not be read: the replacements are in the snapshot ([`Item::read`]).
    pub fn from_objects<'a>(objects: impl IntoIterator<Item = &'a Object>) -> (Snapshot, Vec<(&'a Object, Invalid)>) {
        Self::from_items(objects.into_iter().map(|object| (object, Item::read(object))))
    }

    /// The same of objects that [`Item::read`] or [`Item::read_stored`] has read already.
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
            Item::EndpointSlice(slice) => drop(self.slices.insert(slice.id.clone(), slice)),
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
