//! Objects as they come from stores, where other programs write too.
//!
//! Decoding is as tolerant as Calico's: field names match in any case, null is an absent field, unknown fields are kept. Values of a
//! wrong type are kept too: what an unreadable field means depends on the field ([`Object::spec`]). An error here means that
//! the whole value is not an object.

use std::cell::{Cell, RefCell};

use serde::de::{DeserializeOwned, DeserializeSeed};
use serde_json::{Map, Value};

use crate::kind::{Key, Kind};
use crate::kinds;
use crate::object::{Metadata, Object};
use crate::path::{Path, Step};

mod repaired;
mod seed;

use repaired::Marker;
use seed::{DAMAGED, Limits, Mode, Seed};

pub use seed::Part;

/// Why a part of a stored object is not what stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The key appears twice in its object; the value is null.
    Repeated,
    /// No double holds the number.
    Number,
    /// The text has bytes or escapes that are no characters.
    Text,
    /// Too many lists and objects are around it.
    Nested,
    /// The object takes more bytes of memory than these up to here.
    TooLarge(usize),
}

impl Damage {
    /// Why the value at a place cannot be read.
    pub fn reason(self, path: &Path) -> String {
        match self {
            Self::Repeated => match path.0.last() {
                Some(Step::Key(name)) => format!("the key {name:?} appears twice"),
                _ => "a key appears twice".to_owned(),
            },
            Self::Number => "the number is too large: numbers are at most about 1.8e308".to_owned(),
            Self::Text => "the text has bytes or escapes that are no characters".to_owned(),
            Self::Nested => {
                format!(
                    "the value is nested too deep: at most {} lists and objects may be around it",
                    repaired::MAX_DEPTH
                )
            }
            Self::TooLarge(most) => {
                format!("it is too large: to read an object of this size may take at most {most} bytes of memory")
            }
        }
    }
}

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
        /// The part: `value` or `spec`.
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
}

impl DecodeError {
    /// Which object it is about.
    pub fn key(&self) -> &Key {
        match self {
            Self::Json { key, .. } | Self::NotAnObject { key, .. } | Self::Kind { key, .. } => key,
        }
    }
}

/// Reads what a store keeps under a key. The key's name and namespace count, whatever the value says; the revision is
/// the store's to fill in. Metadata of a wrong type, but no name and no namespace, is kept beside the readable
/// ([`Metadata::other`]). Of a key that appears twice the last value is read, as Calico reads it: for showing the object, not
/// for enforcing it. Where the kind has the field, null is absence and leaves the value before it.
pub fn stored(key: &Key, bytes: &[u8]) -> Result<Object, DecodeError> {
    let value = parse(Seed::new(Some(kinds::shape(key.kind)), Mode::Tolerant, None), bytes);
    of_its_kind(key, value.map_err(|source| DecodeError::Json { key: key.clone(), source })?)
}

/// The depth of an item of a list in the spec.
const IN_LISTS: usize = 3;

/// How many bytes a tree takes at most that is made of an object of this size for enforcement.
pub fn room(bytes: &[u8]) -> usize {
    bytes.len().saturating_mul(10).saturating_add(1 << 20)
}

/// The same, but in the spec and in labels a key that appears twice is null, and `damaged` receives the places of the first
/// hundred such keys and other damages; two spellings of one field are the same key. Beyond `room` bytes of tree a list ends with a null and an object is null. No other
/// field that the kind has is null, except in the items of lists of a FelixConfiguration: there it may have narrowed a failsafe port.
pub fn without_repeats(
    key: &Key,
    bytes: &[u8],
    room: usize,
    damaged: &mut dyn FnMut(Path, Damage),
) -> Result<Object, DecodeError> {
    let receiver = RefCell::new(|part: Part<'_>| {
        if let Part::Damaged(path, damage) = part {
            damaged(path, damage);
        }
        true
    });
    let null_stays = if key.kind == Kind::FelixConfiguration { IN_LISTS } else { usize::MAX };
    read_repaired(bytes, |bytes, marker| {
        let (left, damaged) = (Cell::new(room), Cell::new(DAMAGED));
        let limits = Limits { most: room, room: &left, receiver: &receiver, damaged: &damaged, null_stays };
        parse(Seed::new(Some(kinds::shape(key.kind)), Mode::NoRepeats(limits), marker), bytes)
    })
    .map_err(|source| DecodeError::Json { key: key.clone(), source })
    .and_then(|value| of_its_kind(key, value))
}

/// Single values that the reader of JSON refuses are no reason to lose all the rest.
fn read_repaired(
    bytes: &[u8],
    mut read: impl FnMut(&[u8], Option<Marker>) -> Result<Value, serde_json::Error>,
) -> Result<Value, serde_json::Error> {
    read(bytes, None).or_else(|error| {
        let marker = Marker::unlike(bytes);
        match repaired::repaired(bytes, marker) {
            Some(repaired) => read(&repaired, Some(marker)),
            None => Err(error),
        }
    })
}

/// The object, which must be of the key's kind and have a spec that is an object, if any.
fn of_its_kind(key: &Key, value: Value) -> Result<Object, DecodeError> {
    let object = object(key, value, &mut |found| Err(DecodeError::Kind { key: key.clone(), found }))?;
    match object.body.get("spec") {
        None | Some(Value::Object(_)) => Ok(object),
        Some(_) => Err(DecodeError::NotAnObject { key: key.clone(), part: "spec".to_owned() }),
    }
}

/// The same for enforcement: nothing that may narrow the object is lost. In the spec and in labels
/// null stays null, and a key that appears twice is null. Beyond `room` bytes of tree a list ends with a null and an
/// object is null. The items of `spec.ingress`, `spec.egress` and `spec.nets` are handed to `receiver` one by one, for as long as
/// it answers that it wants more. Another
/// kind than the key's is left in the body. What stands in the spec may be anything. Whatever writes to a store writes a name in the
/// metadata: without one and without labels, which labels there were is unknown.
pub fn exact(
    key: &Key,
    bytes: &[u8],
    room: usize,
    receiver: &mut dyn FnMut(Part<'_>) -> bool,
) -> Result<Object, DecodeError> {
    let shape = Some(kinds::shape(key.kind));
    let value = read_repaired(bytes, |bytes, marker| {
        let (left, damaged) = (Cell::new(room), Cell::new(DAMAGED));
        let receiver = RefCell::new(|part: Part<'_>| receiver(part));
        let limits = Limits { most: room, room: &left, receiver: &receiver, damaged: &damaged, null_stays: 0 };
        parse(Seed::new(shape, Mode::Exact(limits), marker), bytes)
    });
    let value = value.map_err(|source| DecodeError::Json { key: key.clone(), source })?;
    let mut says = None;
    let is_named = value.pointer("/metadata/name").is_some();
    let mut object = object(key, value, &mut |found| {
        says = Some(found);
        Ok(())
    })?;
    if let Some(kind) = says {
        object.body.insert("kind".to_owned(), Value::from(kind));
    }
    if !is_named && object.metadata.labels.is_empty() {
        object.metadata.other.entry("labels").or_insert(Value::Null);
    }
    Ok(object)
}

fn object(
    key: &Key,
    value: Value,
    other_kind: &mut dyn FnMut(String) -> Result<(), DecodeError>,
) -> Result<Object, DecodeError> {
    let Value::Object(mut whole) = value else {
        return Err(DecodeError::NotAnObject { key: key.clone(), part: "value".to_owned() });
    };
    whole.shift_remove("apiVersion");
    match whole.shift_remove("kind") {
        None => {}
        Some(Value::String(kind)) if kind == key.kind.name() || kind.is_empty() => {}
        Some(found) => {
            let found = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
            other_kind(found)?;
        }
    }
    let mut metadata = match whole.shift_remove("metadata") {
        Some(Value::Object(map)) => metadata(map),
        None => Metadata::default(),
        // Which labels there were is unknown.
        Some(other) => Metadata { other: Map::from_iter([("labels".to_owned(), other)]), ..Metadata::default() },
    };
    metadata.name.clone_from(&key.name);
    metadata.namespace.clone_from(&key.namespace);
    if key.kind == Kind::BlockAffinity {
        read_flag(&mut whole);
    }
    Ok(Object { kind: key.kind, metadata, body: whole })
}

fn parse(seed: Seed<'_, '_>, bytes: &[u8]) -> Result<Value, serde_json::Error> {
    let mut text = serde_json::Deserializer::from_slice(bytes);
    let value = seed.deserialize(&mut text)?;
    text.end()?;
    Ok(value)
}

/// Metadata, field by field. What it has no field for, and what does not fit its field, is kept beside it.
fn metadata(map: Map<String, Value>) -> Metadata {
    fn to<T: DeserializeOwned>(field: &mut T, value: &Value) -> bool {
        T::deserialize(value).map(|value| *field = value).is_ok()
    }
    let mut it = Metadata::default();
    for (name, value) in map {
        let fits = match name.as_str() {
            "name" => to(&mut it.name, &value),
            "generateName" => to(&mut it.generate_name, &value),
            "namespace" => to(&mut it.namespace, &value),
            "selfLink" => to(&mut it.self_link, &value),
            "uid" => to(&mut it.uid, &value),
            "resourceVersion" => to(&mut it.resource_version, &value),
            "generation" => to(&mut it.generation, &value),
            "creationTimestamp" => to(&mut it.creation_timestamp, &value),
            "deletionTimestamp" => to(&mut it.deletion_timestamp, &value),
            "deletionGracePeriodSeconds" => to(&mut it.deletion_grace_period_seconds, &value),
            "labels" => to(&mut it.labels, &value),
            "annotations" => to(&mut it.annotations, &value),
            "ownerReferences" => to(&mut it.owner_references, &value),
            "finalizers" => to(&mut it.finalizers, &value),
            "managedFields" => to(&mut it.managed_fields, &value),
            _ => false,
        };
        if !fits && !matches!(name.as_str(), "name" | "namespace") {
            it.other.insert(name, value);
        }
    }
    it
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
