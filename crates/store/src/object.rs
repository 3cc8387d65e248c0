//! What a store returns: objects, lists of them, and changes.

use std::ops::Deref;
use std::sync::Arc;

use tortie_api::{Key, Kind};

use crate::{Position, Revision};

/// One object as a store hands it over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What names it.
    pub key: Key,
    /// Its version.
    pub revision: Revision,
    /// Its content.
    pub value: Value,
}

impl AsRef<Stored> for Stored {
    fn as_ref(&self) -> &Stored {
        self
    }
}

/// The content of an object: its JSON, or why the store cannot give it.
///
/// It dereferences to the bytes of the JSON. An unreadable object has none: where it is read as JSON without asking
/// [`Value::unreadable`] first, it is unreadable there too.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Value(Content);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Content {
    Json(Arc<[u8]>),
    Unreadable(Arc<str>),
}

impl Value {
    /// The object exists, and the store cannot say what it contains. A store that converts from another form uses this
    /// where nothing can be said of the whole. Where one field is wrong, the store hands over JSON with that field as its user
    /// wrote it: then only that field is unreadable, and the rest stays in force.
    pub fn cannot_be_read(reason: impl Into<Arc<str>>) -> Self {
        Self(Content::Unreadable(reason.into()))
    }

    /// Why the object cannot be read; none if this is its JSON.
    pub fn unreadable(&self) -> Option<&str> {
        match &self.0 {
            Content::Json(_) => None,
            Content::Unreadable(reason) => Some(reason),
        }
    }
}

/// Shares the bytes; empty for an unreadable object.
impl From<&Value> for Arc<[u8]> {
    fn from(value: &Value) -> Self {
        match &value.0 {
            Content::Json(bytes) => bytes.clone(),
            Content::Unreadable(_) => Arc::default(),
        }
    }
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Content::Json(bytes) => bytes,
            Content::Unreadable(_) => &[],
        }
    }
}

impl<T: Into<Arc<[u8]>>> From<T> for Value {
    fn from(json: T) -> Self {
        Self(Content::Json(json.into()))
    }
}

/// Everything that a [`Selection`] names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The position of the listing in the history of the store; watch from here.
    pub position: Position,
    /// The objects, in the order of their keys.
    pub items: Vec<Stored>,
}

impl Listing {
    /// The object of a key.
    pub fn get(&self, key: &Key) -> Option<&Stored> {
        self.items.binary_search_by(|stored| stored.key.cmp(key)).ok().map(|at| &self.items[at])
    }
}

/// Which objects to list or watch. The default names all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only this kind.
    pub kind: Option<Kind>,
    /// Only this namespace. Cluster-scoped objects are in the namespace with the empty name.
    pub namespace: Option<String>,
    /// What the objects are for: what has no part in that, the store may leave out.
    pub purpose: Purpose,
}

/// What objects are listed or watched for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// Anything: nothing is left out.
    #[default]
    Anything,
    /// To enforce policy on this node. A store that keeps much else beside may leave out, at its source and before it
    /// is decoded: whole kinds without part in that ([`Purpose::needs`]); objects that apply on no node (a pod that is
    /// finished or has no address); and of the others the fields that no policy, endpoint or set follows from. It need
    /// not leave out anything. What it leaves out in a listing it leaves out in the watch from there, and an object that
    /// begins to be left out is deleted for watchers.
    Enforcement {
        /// The name of the node.
        node: String,
    },
}

impl Purpose {
    /// Whether objects of this kind have a part in it.
    pub fn needs(&self, kind: Kind) -> bool {
        match self {
            Purpose::Anything => true,
            Purpose::Enforcement { .. } => !matches!(
                kind,
                Kind::BGPConfiguration
                    | Kind::BGPFilter
                    | Kind::BGPPeer
                    | Kind::BlockAffinity
                    | Kind::CalicoNodeStatus
                    | Kind::IPAMConfiguration
                    | Kind::IPReservation
                    | Kind::KubeControllersConfiguration
                    | Kind::KubernetesService
            ),
        }
    }
}

impl Selection {
    /// All objects of one kind.
    pub fn kind(kind: Kind) -> Self {
        Self { kind: Some(kind), ..Self::default() }
    }

    /// Everything that the agent of a node needs.
    pub fn for_enforcement(node: impl Into<String>) -> Self {
        Self { purpose: Purpose::Enforcement { node: node.into() }, ..Self::default() }
    }

    /// This selection, of one kind only.
    #[must_use]
    pub fn of_kind(&self, kind: Kind) -> Self {
        Self { kind: Some(kind), ..self.clone() }
    }

    /// Whether kind and namespace of the selection name this key. Its purpose is not asked: leaving out is up to the store.
    pub fn contains(&self, key: &Key) -> bool {
        self.kind.is_none_or(|kind| kind == key.kind)
            && self.namespace.as_deref().is_none_or(|namespace| namespace == key.namespace)
    }
}

/// One change of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Created or updated.
    Put(Stored),
    /// Deleted, by the change of this revision.
    Deleted(Key, Revision),
}

impl Event {
    /// What changed.
    pub fn key(&self) -> &Key {
        match self {
            Event::Put(stored) => &stored.key,
            Event::Deleted(key, _) => key,
        }
    }

    /// The revision of the change.
    pub fn revision(&self) -> &Revision {
        match self {
            Event::Put(stored) => &stored.revision,
            Event::Deleted(_, revision) => revision,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selection_names_by_kind_and_namespace() {
        let tier = Key::cluster(Kind::Tier, "a");
        let policy = Key { kind: Kind::NetworkPolicy, namespace: "prod".into(), name: "a".into() };
        let within = |kind, namespace: Option<&str>| Selection {
            kind,
            namespace: namespace.map(Into::into),
            ..Selection::default()
        };
        for (selection, names_tier, names_policy) in [
            (Selection::default(), true, true),
            (Selection::kind(Kind::Tier), true, false),
            (within(None, Some("prod")), false, true),
            (within(None, Some("")), true, false),
            (within(Some(Kind::NetworkPolicy), Some("dev")), false, false),
            (within(Some(Kind::NetworkPolicy), Some("prod")), false, true),
        ] {
            assert_eq!(selection.contains(&tier), names_tier, "{selection:?}");
            assert_eq!(selection.contains(&policy), names_policy, "{selection:?}");
        }
    }

    #[test]
    fn an_unreadable_value_is_not_json_and_has_a_reason() {
        let json = Value::from(b"{}".to_vec());
        assert_eq!((&*json, json.unreadable()), (&b"{}"[..], None));
        let unreadable = Value::cannot_be_read("an address of the pod is no address");
        assert_eq!(unreadable.unreadable(), Some("an address of the pod is no address"));
        assert!(serde_json::from_slice::<serde_json::Value>(&unreadable).is_err());
    }

    #[test]
    fn enforcement_needs_every_kind_that_an_item_follows_from() {
        let purpose = Selection::for_enforcement("n").purpose;
        for kind in [Kind::WorkloadEndpoint, Kind::ClusterInformation, Kind::Node, Kind::IPPool, Kind::LiveMigration] {
            assert!(purpose.needs(kind), "{kind}");
        }
        assert!(!purpose.needs(Kind::BGPPeer));
    }
}
