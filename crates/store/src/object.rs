//! What comes out of a store: objects, lists of them, and the changes that a watch tells of.

use std::sync::Arc;

use tortie_api::{Key, Kind};

/// A point in a store's history. 0 is before everything.
pub type Revision = u64;

/// One object as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What names it.
    pub key: Key,
    /// The revision of its last change.
    pub revision: Revision,
    /// Its JSON, byte for byte as written.
    pub value: Arc<[u8]>,
}

impl AsRef<Stored> for Stored {
    fn as_ref(&self) -> &Stored {
        self
    }
}

/// Everything that a [`Selection`] names, at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The revision at which this was true; watch from here.
    pub revision: Revision,
    /// The objects, in the order of their keys.
    pub items: Vec<Stored>,
}

/// Which objects to list or watch. The default names all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only this kind.
    pub kind: Option<Kind>,
    /// Only this namespace. Cluster-scoped objects are in the namespace with the empty name.
    pub namespace: Option<String>,
}

impl Selection {
    /// All objects of one kind.
    pub fn kind(kind: Kind) -> Self {
        Self { kind: Some(kind), namespace: None }
    }

    /// Whether the selection names this key.
    pub fn contains(&self, key: &Key) -> bool {
        self.kind.is_none_or(|kind| kind == key.kind)
            && self.namespace.as_deref().is_none_or(|namespace| namespace == key.namespace)
    }
}

/// One change that a watch tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Created or updated.
    Put(Stored),
    /// Removed, at this revision.
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

    /// The revision of the change; watching from here goes on after it.
    pub fn revision(&self) -> Revision {
        match self {
            Event::Put(stored) => stored.revision,
            Event::Deleted(_, revision) => *revision,
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
        let within = |kind, namespace: Option<&str>| Selection { kind, namespace: namespace.map(Into::into) };
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
}
