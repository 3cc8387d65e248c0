//! Objects in a store that is not Kubernetes and that follow the labels of objects of Kubernetes: what is known of both.
//! [`crate::pod_labels`] and [`crate::node_labels`] say which objects these are, and plan what is written.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use tortie_api::{Key, Object};
use tortie_store::{Event, Stored};

use crate::read::{read, replace};

/// Labels, by name.
pub type Labels = BTreeMap<String, String>;

/// Objects of Kubernetes whose labels are followed.
pub trait LabelSource {
    /// The labels of an object of Kubernetes, or why they cannot be read.
    fn labels(source: Object) -> Result<Labels, String>;

    /// What counts of an object in the store; none if it follows no object of Kubernetes, and is left to others.
    fn labelled(object: &Object) -> Option<Labelled>;
}

/// What counts of an object in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct Labelled {
    /// The key that the Kubernetes store has for the object that it follows.
    pub source: Key,
    /// Its labels.
    pub labels: Labels,
    /// What its annotation says of them, if one counts.
    pub annotation: Option<String>,
    /// Its `resourceVersion`.
    pub revision: String,
}

/// What is known of objects of Kubernetes, and of those in the store that follow them.
#[derive(Clone, Debug, Default)]
pub struct KnownLabels<S> {
    /// The labels of the objects of Kubernetes, or why they cannot be read, by the key that the Kubernetes store has for the object.
    pub(crate) sources: BTreeMap<Key, Result<Labels, String>>,
    /// The objects in the store that follow one.
    pub(crate) labelled: BTreeMap<Key, Labelled>,
    of: PhantomData<S>,
}

impl<S: LabelSource> KnownLabels<S> {
    /// Replaces all that is known of the objects of Kubernetes by a listing of them.
    pub(crate) fn list_source(&mut self, all: &[Stored]) {
        self.sources.clear();
        for stored in all {
            self.put_source(stored);
        }
    }

    /// Takes a change in Kubernetes in. Whether anything that counts is different after it.
    pub(crate) fn take_source(&mut self, event: &Event) -> bool {
        match event {
            Event::Put(stored) => self.put_source(stored),
            Event::Deleted(key, _) => self.sources.remove(key).is_some(),
        }
    }

    /// Replaces all that is known of the objects in the store by a listing of them.
    pub(crate) fn list(&mut self, all: &[Stored]) {
        self.labelled.clear();
        for stored in all {
            self.put(stored);
        }
    }

    /// Takes a change in the store in. Whether anything that counts is different after it.
    pub(crate) fn take(&mut self, event: &Event) -> bool {
        match event {
            Event::Put(stored) => self.put(stored),
            Event::Deleted(key, _) => self.labelled.remove(key).is_some(),
        }
    }

    /// Takes in an object that was written just now; the watch gives it later.
    pub(crate) fn written(&mut self, object: &Object) {
        if let Some(labelled) = S::labelled(object) {
            self.labelled.insert(object.key(), labelled);
        }
    }

    fn put_source(&mut self, stored: &Stored) -> bool {
        replace(&mut self.sources, &stored.key, read(stored).and_then(S::labels))
    }

    /// An object that cannot be read is left to others, too.
    fn put(&mut self, stored: &Stored) -> bool {
        match read(stored).ok().as_ref().and_then(S::labelled) {
            Some(labelled) => replace(&mut self.labelled, &stored.key, labelled),
            None => self.labelled.remove(&stored.key).is_some(),
        }
    }
}
