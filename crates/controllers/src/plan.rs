//! What is to be written: a value that a task makes of what it knows, and that [`crate::writer`] carries out.

use std::collections::BTreeMap;
use std::fmt;

use tortie_api::{Key, Object};

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Make this object; one of the same key that exists stays.
    Create(Box<Object>),
    /// Replace the object that is still at the `resourceVersion` of this one.
    Update(Box<Object>),
    /// Give the object of this key these labels, and an annotation, if it is still at this `resourceVersion`.
    Label {
        /// What names it.
        key: Key,
        /// All its labels.
        labels: BTreeMap<String, String>,
        /// The name and the value of an annotation; its other annotations stay.
        annotation: Option<(&'static str, String)>,
        /// Its version.
        resource_version: String,
    },
    /// Delete the object of this key if it is still at this `resourceVersion`.
    Delete {
        /// What names it.
        key: Key,
        /// Its version.
        resource_version: String,
    },
}

impl Action {
    /// What it is about.
    pub fn key(&self) -> Key {
        match self {
            Action::Create(object) | Action::Update(object) => object.key(),
            Action::Label { key, .. } | Action::Delete { key, .. } => key.clone(),
        }
    }
}

/// What is to be done, and what cannot be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The writes, in order.
    pub actions: Vec<Action>,
    /// Problems that need manual correction.
    pub problems: Vec<Problem>,
    /// How many objects there are to be.
    pub wanted: usize,
}

impl Plan {
    /// Notes what is wrong with something.
    pub(crate) fn problem(&mut self, about: impl Into<String>, text: impl Into<String>) {
        self.problems.push(Problem { about: about.into(), text: text.into() });
    }

    /// Notes what is wrong with the settings.
    pub(crate) fn settings(&mut self, text: impl Into<String>) {
        self.problem("KubeControllersConfiguration(default)", text);
    }

    /// Notes that the store is locked.
    pub(crate) fn locked(&mut self, what: &str) {
        let text =
            format!("the store is locked (datastoreReady is false), so {what} until `tortie datastore migrate unlock`");
        self.problem("ClusterInformation(default)", text);
    }
}

/// A problem that needs manual correction, in the names that users know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// What it is about: `KubeControllersConfiguration(default)`, `HostEndpoint(n1-auto-hep)`.
    pub about: String,
    /// What is wrong, what follows, and what to do.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.about, self.text)
    }
}
