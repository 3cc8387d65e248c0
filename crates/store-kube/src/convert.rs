//! Kubernetes' own objects as Calico's resources.
//!
//! | Kubernetes | here |
//! |---|---|
//! | Pod | WorkloadEndpoint, by [`pod`] |
//! | Namespace, ServiceAccount | Profile, by [`profile`] |
//! | Node | Node, by [`node`] |
//! | NetworkPolicy | KubernetesNetworkPolicy, in the form of a NetworkPolicy, by [`network_policy`] |
//! | ClusterNetworkPolicy | KubernetesClusterNetworkPolicy, in the form of a GlobalNetworkPolicy, by [`cluster_policy`] |
//!
//! Decoding names only the fields that are used, so that of a pod of 10 KB little is ever held.

pub mod cluster_policy;
pub mod endpoint_slice;
pub mod manifest;
pub mod network_policy;
pub mod node;
pub mod pod;
mod ports;
pub mod profile;
pub mod qos;
pub mod quantity;
mod understood;

use serde_json::{Map, Value};
use tortie_api::{Kind, Metadata, Object};
use tortie_store::Effect;

/// A resource that was made of a Kubernetes object.
#[derive(Clone, Debug, PartialEq)]
pub struct Converted {
    /// The resource. Its resourceVersion is that of the Kubernetes object.
    pub object: Object,
    /// What of the Kubernetes object could not be taken over.
    pub warnings: Vec<Warning>,
}

/// What of a Kubernetes object could not be taken over, and what that means for the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// A line for people.
    pub text: String,
    /// What it means.
    pub effect: Effect,
}

impl Warning {
    fn ignored(text: impl Into<String>) -> Self {
        Self { text: text.into(), effect: Effect::Ignored }
    }

    fn unreadable(text: impl Into<String>) -> Self {
        Self { text: text.into(), effect: Effect::Unreadable }
    }
}

/// Why nothing can be made of a Kubernetes object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConversionError(pub String);

impl ConversionError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// An object with this spec. Specs are records of text, numbers, lists and maps, so they always have a JSON form.
fn object(kind: Kind, metadata: Metadata, spec: impl serde::Serialize) -> Object {
    let mut body = Map::new();
    body.insert("spec".to_owned(), serde_json::to_value(spec).map(without_empty).unwrap_or(Value::Null));
    Object { kind, metadata, body }
}

/// A tree without nulls and empty lists and records: nothing is set in them.
fn without_empty(value: Value) -> Value {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    match value {
        Value::Array(items) => items.into_iter().map(without_empty).collect(),
        Value::Object(map) => {
            let inner = map.into_iter().map(|(name, value)| (name, without_empty(value)));
            Value::Object(inner.filter(|(_, value)| !is_empty(value)).collect())
        }
        value => value,
    }
}

/// A number, and what follows it, without the zeros before it.
fn without_zeros(text: &str) -> &str {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let zeros = text.bytes().take_while(|byte| *byte == b'0').count();
    // One zero is left of a number that is zero.
    &text[zeros.min(digits.saturating_sub(1))..]
}
