//! Objects as they come from stores, where other programs write too.
//!
//! Tolerant where the reference is: field names match without case, null is absence, unknown fields are kept. What
//! does not fit its type is kept too, since whoever needs that field says better what it means that it cannot be read
//! ([`Object::spec`]). An error here means that there is no object at all.

use serde::de::{DeserializeOwned, DeserializeSeed};
use serde_json::{Map, Value};

use crate::kind::{Key, Kind};
use crate::kinds;
use crate::object::{Metadata, Object};
use crate::shape::Shape;

mod seed;

use seed::Seed;

/// Why what a store keeps under a key is no object.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not JSON.
    #[error("{key} is not JSON in the store")]
    Json {
        /// Where it was found.
        key: Key,
        /// What is wrong with the text.
        source: serde_json::Error,
    },
    /// JSON, but a number, a text or a list where an object must be.
    #[error("{key} has no object as its {part} in the store")]
    NotAnObject {
        /// Where it was found.
        key: Key,
        /// The part: `value`, `metadata`, `spec` or `status`.
        part: String,
    },
    /// An object of another kind.
    #[error("{key} holds a {found:?} in the store")]
    Kind {
        /// Where it was found.
        key: Key,
        /// The kind that it says it is.
        found: String,
    },
    /// Metadata of a wrong type, such as a label that is a number.
    #[error("{key} has metadata of a wrong type in the store")]
    Metadata {
        /// Where it was found.
        key: Key,
        /// What is wrong.
        source: serde_json::Error,
    },
}

impl DecodeError {
    /// Which object it is about.
    pub fn key(&self) -> &Key {
        match self {
            Self::Json { key, .. }
            | Self::NotAnObject { key, .. }
            | Self::Kind { key, .. }
            | Self::Metadata { key, .. } => key,
        }
    }
}

/// Reads what a store keeps under a key. The key's name and namespace count, whatever the value says; the revision is
/// the store's to fill in.
pub fn stored(key: &Key, bytes: &[u8]) -> Result<Object, DecodeError> {
    let shape = kinds::shape(key.kind);
    let value = parse(shape, bytes).map_err(|source| DecodeError::Json { key: key.clone(), source })?;
    let not_an_object = |part: &str| DecodeError::NotAnObject { key: key.clone(), part: part.to_owned() };
    let Value::Object(mut whole) = value else { return Err(not_an_object("value")) };

    whole.shift_remove("apiVersion");
    match whole.shift_remove("kind") {
        None => {}
        Some(Value::String(kind)) if kind == key.kind.name() || kind.is_empty() => {}
        Some(found) => {
            let found = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
            return Err(DecodeError::Kind { key: key.clone(), found });
        }
    }
    let is_object = |part: &&str| whole.get(*part).is_none_or(Value::is_object);
    if let Some(part) = ["metadata", "spec", "status"].iter().find(|part| !is_object(part)) {
        return Err(not_an_object(part));
    }

    let mut metadata = match whole.shift_remove("metadata") {
        Some(Value::Object(map)) => {
            metadata(map).map_err(|source| DecodeError::Metadata { key: key.clone(), source })?
        }
        _ => Metadata::default(),
    };
    metadata.name.clone_from(&key.name);
    metadata.namespace.clone_from(&key.namespace);
    if key.kind == Kind::BlockAffinity {
        read_flag(&mut whole);
    }
    Ok(Object { kind: key.kind, metadata, body: whole })
}

fn parse(shape: &Shape, bytes: &[u8]) -> Result<Value, serde_json::Error> {
    let mut text = serde_json::Deserializer::from_slice(bytes);
    let value = Seed(Some(shape)).deserialize(&mut text)?;
    text.end()?;
    Ok(value)
}

/// Metadata, field by field, and what it has no field for beside it.
fn metadata(map: Map<String, Value>) -> Result<Metadata, serde_json::Error> {
    fn to<T: DeserializeOwned>(field: &mut T, value: Value) -> Result<(), serde_json::Error> {
        *field = T::deserialize(value)?;
        Ok(())
    }
    let mut it = Metadata::default();
    for (name, value) in map {
        match name.as_str() {
            "name" => to(&mut it.name, value)?,
            "generateName" => to(&mut it.generate_name, value)?,
            "namespace" => to(&mut it.namespace, value)?,
            "selfLink" => to(&mut it.self_link, value)?,
            "uid" => to(&mut it.uid, value)?,
            "resourceVersion" => to(&mut it.resource_version, value)?,
            "generation" => to(&mut it.generation, value)?,
            "creationTimestamp" => to(&mut it.creation_timestamp, value)?,
            "deletionTimestamp" => to(&mut it.deletion_timestamp, value)?,
            "deletionGracePeriodSeconds" => to(&mut it.deletion_grace_period_seconds, value)?,
            "labels" => to(&mut it.labels, value)?,
            "annotations" => to(&mut it.annotations, value)?,
            "ownerReferences" => to(&mut it.owner_references, value)?,
            "finalizers" => to(&mut it.finalizers, value)?,
            "managedFields" => to(&mut it.managed_fields, value)?,
            _ => _ = it.other.insert(name, value),
        }
    }
    Ok(it)
}

/// Stores hold this flag as text.
fn read_flag(body: &mut Map<String, Value>) {
    let spec = body.get_mut("spec").and_then(Value::as_object_mut);
    if let Some(deleted) = spec.and_then(|spec| spec.get_mut("deleted")) {
        match deleted.as_str() {
            Some("true") => *deleted = Value::from(true),
            Some("false" | "") => *deleted = Value::from(false),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
