//! Why the client refused something.
//!
//! The texts are Calico's, word for word, since scripts match on them; the fields are for
//! callers that show more: the key, the problems with their places, and the help.

use std::sync::Arc;

use tortie_api::{Key, Path};
use tortie_manifest::Problem;
use tortie_manifest::validate::calico_text;

use tortie_store::{Revision, StoreError, WriteError};

/// Why the client refused something.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// An object does not exist: the named one, or the tier that a new policy names.
    #[error("resource does not exist: {key} with error: <nil>")]
    Missing {
        /// What is missing.
        key: Key,
        /// The field that names it, if it is not the object itself.
        at: Option<Path>,
    },
    /// The object exists already.
    #[error("resource already exists: {key} with error: <nil>")]
    Exists {
        /// The object that exists.
        key: Key,
    },
    /// The object is built in, so it always exists.
    #[error(
        "resource already exists: {name} with error: {name} already exists. The profile {name:?} is default provided by Calico"
    )]
    BuiltIn {
        /// Its name.
        name: String,
    },
    /// Somebody else changed the object.
    #[error("update conflict: {key}")]
    Conflict {
        /// What was changed.
        key: Key,
        /// The revision it is at now, where that is known.
        current: Option<Revision>,
    },
    /// This cannot be done to such an object.
    #[error("operation {operation} is not supported on {on}{}", reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default())]
    Unsupported {
        /// The operation, in Calico's words.
        operation: &'static str,
        /// The object of the operation.
        on: String,
        /// Why not.
        reason: Option<String>,
    },
    /// The tier is in use.
    #[error("operation delete is not supported on {tier}: Cannot delete a non-empty tier")]
    TierInUse {
        /// The tier.
        tier: String,
        /// The policies that are in it.
        policies: Vec<Key>,
    },
    /// The object is not valid. Warnings are not among the problems.
    #[error("{}", invalid_text(problems))]
    Invalid {
        /// The problems, in Calico's order.
        problems: Vec<Problem>,
    },
    /// A rule that Calico states without naming a field.
    #[error("{0}")]
    Refused(String),
    /// The stored object is unreadable.
    #[error("failed to parse datastore entry key={}; {reason}", key.path())]
    Unreadable {
        /// Its key.
        key: Key,
        /// The problems.
        reason: String,
    },
    /// The patch itself cannot be used.
    #[error("performing strategic merge patch: {0}")]
    Patch(String),
    /// The patched object is not valid for its kind.
    #[error("{}", patched_text(problems))]
    Patched {
        /// The problems, with paths in the patched object.
        problems: Vec<Problem>,
    },
    /// The patched object was refused.
    #[error("updating existing resource: {0}")]
    Updating(Box<ClientError>),
    /// A label that is to be set has another value already.
    #[error("key {key} is already present. please use '--overwrite' to set a new value")]
    LabelTaken {
        /// The label.
        key: String,
        /// Its value.
        value: String,
    },
    /// A label that is to be removed does not exist.
    #[error("key {key} does not exist")]
    LabelMissing {
        /// The label.
        key: String,
    },
    /// The batch names the same object twice.
    #[error("{key} is given twice")]
    Twice {
        /// The object.
        key: Key,
        /// The number of the other one in the batch.
        other: usize,
    },
    /// The object has warnings, and warnings count as errors.
    #[error("{}", notes.iter().map(|note| note.text()).collect::<Vec<_>>().join("; "))]
    Warned {
        /// The warnings of the client.
        notes: Vec<Problem>,
    },
    /// The store did not come to it: it stopped at another object of the batch.
    #[error("{key} was not reached")]
    Unfinished {
        /// The object.
        key: Key,
    },
    /// The store did not answer. It is unknown whether anything was written.
    #[error("{0}")]
    Store(Arc<StoreError>),
}

/// Calico reports problems without a field only if there are no others.
fn invalid_text(problems: &[Problem]) -> String {
    let (named, bare): (Vec<Problem>, Vec<Problem>) =
        problems.iter().cloned().partition(|problem| !problem.field.is_empty());
    calico_text(if named.is_empty() { &bare } else { &named })
}

/// Unknown fields have a text of their own in Calico, and it is the whole text of the error.
fn patched_text(problems: &[Problem]) -> String {
    let texts: Vec<&str> = problems.iter().map(|problem| problem.reason.as_str()).collect();
    match texts.as_slice() {
        [only] if only.starts_with("field in document is not recognized") => (*only).to_owned(),
        _ => format!("creating resource from patched data: {}", texts.join("; ")),
    }
}

impl ClientError {
    /// An object with one problem.
    pub(super) fn invalid(problem: Problem) -> Self {
        ClientError::Invalid { problems: vec![problem] }
    }

    /// A problem of one field, in Calico's words; without a value none is shown.
    pub(super) fn field(path: &str, field: &str, value: Option<&str>, reason: &str) -> Self {
        let mut problem = Problem::field(Path::from(path), field, value.unwrap_or_default(), reason);
        if value.is_none() {
            problem.value = None;
        }
        Self::invalid(problem)
    }

    /// The object that was asked for is missing.
    pub(super) fn missing(key: &Key) -> Self {
        ClientError::Missing { key: key.clone(), at: None }
    }

    /// The store refused to write this object.
    pub(super) fn refused(key: &Key, error: WriteError) -> Self {
        match error {
            WriteError::Refused(reason) => ClientError::Refused(reason),
            WriteError::Unsupported { operation, reason } => {
                ClientError::Unsupported { operation: operation.name(), on: key.to_string(), reason }
            }
            WriteError::Missing => ClientError::missing(key),
            WriteError::Exists(stored) | WriteError::Conflict(stored) => {
                ClientError::Conflict { key: key.clone(), current: Some(stored.revision) }
            }
        }
    }

    /// ClusterInformation cannot be applied.
    pub(super) fn read_only() -> Self {
        Self::unsupported("apply", "ClusterInformation", Some("resource is readonly"))
    }

    pub(super) fn unsupported(operation: &'static str, on: impl Into<String>, reason: Option<&str>) -> Self {
        ClientError::Unsupported { operation, on: on.into(), reason: reason.map(str::to_owned) }
    }

    /// What is wrong with the object, with places.
    pub fn problems(&self) -> &[Problem] {
        match self {
            ClientError::Invalid { problems } | ClientError::Patched { problems } => problems,
            ClientError::Updating(inner) => inner.problems(),
            _ => &[],
        }
    }

    /// Whether the object (not something that it names) is missing.
    pub fn is_missing(&self) -> bool {
        matches!(self, ClientError::Missing { at: None, .. })
    }
}

impl From<StoreError> for ClientError {
    fn from(error: StoreError) -> Self {
        ClientError::Store(Arc::new(error))
    }
}
