//! Calico's own resources as custom resources of Kubernetes.
//!
//! A resource has the form here that it has in every store: JSON whose metadata is Calico's, policies with their name
//! in an annotation. [`to_custom`] makes the custom resource of it, [`from_custom`] reads one back. In the native group
//! that changes little. In the packed group all metadata is kept in one annotation, and the uid is transformed.

pub mod group;
mod owners;
pub mod uid;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tortie_api::{Key, Kind, Metadata, Object, decode, encode};

pub use group::Group;

/// The annotation of a custom resource that holds its metadata; and that of a stored policy that holds its name.
pub const METADATA: &str = "projectcalico.org/metadata";
/// What is also kept beside the annotation, so that Kubernetes can select by it.
const COPIED: [&str; 2] = ["projectcalico.org/", "operator.tigera.io/"];
/// What `kubectl apply` notes, and reads of the custom resource itself. It is kept beside the annotation and not in it.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Why a resource has no custom form, or a custom resource cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CustomError {
    /// The stored form cannot be read.
    #[error(transparent)]
    Decode(#[from] decode::DecodeError),
    /// The uid is none.
    #[error(transparent)]
    Uid(#[from] uid::UidError),
    /// Kubernetes' own objects are no custom resources.
    #[error("{0} is not a custom resource")]
    Kind(Kind),
    /// It has no metadata with a name.
    #[error("the custom resource has no name")]
    Name,
}

/// A resource as it was read from a custom resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// What names it: the custom resource's own name.
    pub key: Key,
    /// The server's version of it.
    pub resource_version: String,
    /// Its JSON as every store has it.
    pub value: Vec<u8>,
}

/// The custom resource to write for a stored value. With a version it replaces that one, without it is new: then the
/// server gives it its uid.
pub fn to_custom(group: Group, key: &Key, value: &[u8], version: Option<&str>) -> Result<Value, CustomError> {
    let (kind, _) = group.resource(key.kind).ok_or(CustomError::Kind(key.kind))?;
    let mut object = decode::stored(key, value)?;
    if key.kind.is_tiered()
        && let Some(name) = object.metadata.annotations.remove(METADATA).as_deref().and_then(name_in)
    {
        object.metadata.name = name;
    }
    let mut custom = match group {
        Group::Native => encode::shown(&object),
        Group::Packed => packed(&object)?,
    };
    custom["apiVersion"] = json!(group.api_version());
    custom["kind"] = json!(kind);
    let metadata = &mut custom["metadata"];
    metadata["name"] = json!(key.name);
    match version {
        Some(version) => metadata["resourceVersion"] = json!(version),
        None => remove(metadata, &["uid", "resourceVersion", "generation"]),
    }
    if key.kind == Kind::BlockAffinity
        && let Some(deleted) = custom.pointer_mut("/spec/deleted")
        && let Some(is) = deleted.as_bool()
        && group == Group::Packed
    {
        *deleted = json!(is.to_string());
    }
    Ok(custom)
}

/// Reads a custom resource of this kind.
pub fn from_custom(group: Group, kind: Kind, mut custom: Value) -> Result<Read, CustomError> {
    let text = |field: &str| custom["metadata"][field].as_str().unwrap_or_default().to_owned();
    let (name, resource_version) = (text("name"), text("resourceVersion"));
    let namespace = if kind.namespaced() { text("namespace") } else { String::new() };
    if name.is_empty() {
        return Err(CustomError::Name);
    }
    remove(&mut custom["metadata"], &["managedFields", "resourceVersion", "selfLink"]);
    custom["kind"] = json!(kind.name());
    custom["apiVersion"] = json!(tortie_api::API_VERSION);
    let key = Key { kind, namespace, name };
    if group == Group::Packed {
        unpack(&key, &mut custom["metadata"]);
    } else if kind.is_tiered() {
        set_name(&mut custom["metadata"], &key.name);
    }
    // A tree always has a JSON form.
    let mut value = serde_json::to_vec(&custom).unwrap_or_default();
    if let Ok(object) = decode::stored(&key, &value) {
        // In the order of fields that every store has. What cannot be decoded stays as it is, for its reader to say.
        value = encode::stored(&object);
    }
    Ok(Read { key, resource_version, value })
}

fn name_in(annotation: &str) -> Option<String> {
    let noted: Value = serde_json::from_str(annotation).ok()?;
    noted.get("name")?.as_str().filter(|name| !name.is_empty()).map(str::to_owned)
}

fn set_name(metadata: &mut Value, name: &str) {
    metadata["annotations"][METADATA] = json!(json!({ "name": name }).to_string());
}

fn remove(record: &mut Value, fields: &[&str]) {
    if let Some(record) = record.as_object_mut() {
        record.retain(|name, _| !fields.contains(&name.as_str()));
    }
}

/// The custom resource whose annotation holds the metadata.
fn packed(object: &Object) -> Result<Value, CustomError> {
    let mut inner = Metadata {
        name: if object.kind.is_tiered() { object.metadata.name.clone() } else { String::new() },
        namespace: String::new(),
        uid: String::new(),
        resource_version: String::new(),
        self_link: String::new(),
        ..object.metadata.clone()
    };
    let applied = inner.annotations.remove(LAST_APPLIED);
    let shown = encode::shown(&Object { kind: object.kind, metadata: inner, body: serde_json::Map::new() });
    let copied = |map: &BTreeMap<String, String>| -> BTreeMap<String, String> {
        let is = |key: &String| COPIED.iter().any(|prefix| key.contains(prefix));
        map.iter().filter(|(key, _)| is(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let mut outer = Metadata {
        name: object.metadata.name.clone(),
        namespace: object.metadata.namespace.clone(),
        labels: copied(&object.metadata.labels),
        annotations: copied(&object.metadata.annotations),
        owner_references: owners::to_packed(&object.metadata.owner_references)?,
        ..Metadata::default()
    };
    if !object.metadata.uid.is_empty() {
        outer.uid = uid::transform(&object.metadata.uid)?;
    }
    outer.annotations.insert(METADATA.to_owned(), encode::go_json(&shown["metadata"], false));
    outer.annotations.extend(applied.map(|applied| (LAST_APPLIED.to_owned(), applied)));
    Ok(encode::shown(&Object { metadata: outer, ..object.clone() }))
}

/// Puts metadata back that a custom resource holds in its annotation.
fn unpack(key: &Key, metadata: &mut Value) {
    if let Some(Ok(uid)) = metadata["uid"].as_str().map(uid::transform) {
        metadata["uid"] = json!(uid);
    }
    let annotation = metadata["annotations"][METADATA].as_str().map(str::to_owned);
    let Some(text) = annotation else {
        if key.kind.is_tiered() {
            set_name(metadata, &key.name);
        }
        return;
    };
    let Ok(Value::Object(inner)) = serde_json::from_str::<Value>(&text) else {
        // Nobody knows which labels it has: the reader says so, and whoever enforces it does not guess. The annotation stays, so
        // that the reader names it.
        metadata["labels"] = json!(text);
        return;
    };
    remove(&mut metadata["annotations"], &[METADATA]);
    if let Some(metadata) = metadata.as_object_mut() {
        // What the annotation does not have, the resource does not have, whatever the custom resource says.
        let own = ["name", "namespace", "uid", "creationTimestamp", "labels", "annotations"];
        metadata.retain(|field, _| own.contains(&field.as_str()));
    }
    for (field, value) in inner {
        match field.as_str() {
            "labels" | "annotations" if value.is_object() => {
                if !metadata[&field].is_object() {
                    metadata[&field] = json!({});
                }
                for (name, value) in value.as_object().into_iter().flatten() {
                    // Programs that pack it do not change the packed one with kubectl's own.
                    if name == LAST_APPLIED && metadata[&field].get(name).is_some() {
                        continue;
                    }
                    metadata[&field][name] = value.clone();
                }
            }
            "name" => {
                if let Some(name) = value.as_str().filter(|name| !name.is_empty() && key.kind.is_tiered()) {
                    set_name(metadata, name);
                }
            }
            "namespace" | "resourceVersion" | "uid" | "managedFields" | "selfLink" => {}
            "creationTimestamp" if value.is_null() => {}
            _ => metadata[&field] = value,
        }
    }
    owners::from_packed(metadata);
}

#[cfg(test)]
mod tests;
