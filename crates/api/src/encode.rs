//! Encodes objects as Calico's client does, byte for byte: for stores ([`stored`]) and for users ([`shown`]).
//!
//! The shape determines the form: fields in Calico's order, empty ones left out unless they are always written, map
//! keys sorted. Fields of other programs that the shape does not have are kept, after the known ones.

use serde_json::{Map, Value};

use crate::kind::{API_VERSION, Kind};
use crate::kinds;
use crate::object::{Metadata, Object};
use crate::shape::Form;

mod go;
mod walk;

pub use go::go_json;

/// The bytes that a store keeps: compact JSON without resourceVersion and selfLink.
pub fn stored(object: &Object) -> Vec<u8> {
    let mut tree = tree(object, false);
    if object.kind == Kind::BlockAffinity
        && let Some(deleted) = tree.pointer_mut("/spec/deleted")
        && let Some(flag) = deleted.as_bool()
    {
        // In stores, and only there, this flag is text.
        *deleted = Value::from(if flag { "true" } else { "false" });
    }
    go_json(&tree, false).into_bytes()
}

/// The object as it is shown, resourceVersion included; print it with [`go_json`] or `write::yaml`.
pub fn shown(object: &Object) -> Value {
    tree(object, true)
}

/// A list of shown objects, the fields in the order of a Go `<Kind>List`.
pub fn shown_list(kind: Kind, resource_version: &str, items: Vec<Value>) -> Value {
    let mut metadata = Map::new();
    if !resource_version.is_empty() {
        metadata.insert("resourceVersion".to_owned(), Value::from(resource_version));
    }
    let mut list = head(&kind.list_name());
    list.insert("metadata".to_owned(), Value::Object(metadata));
    list.insert("items".to_owned(), Value::Array(items));
    Value::Object(list)
}

fn head(kind: &str) -> Map<String, Value> {
    let mut head = Map::new();
    head.insert("kind".to_owned(), Value::from(kind));
    head.insert("apiVersion".to_owned(), Value::from(API_VERSION));
    head
}

fn tree(object: &Object, revision: bool) -> Value {
    let mut whole = head(object.kind.name());
    let Form::Record(shape) = &kinds::shape(object.kind).form else { return Value::Object(whole) };
    if let Some(field) = shape.field("metadata") {
        whole.insert("metadata".to_owned(), walk::value(&field.shape, &metadata(&object.metadata, revision)));
    }
    // Only kind, apiVersion and metadata are outside the body, and they come first.
    let rest = walk::fields(&shape.fields[whole.len()..], shape, &object.body);
    whole.extend(rest);
    Value::Object(whole)
}

fn metadata(metadata: &Metadata, revision: bool) -> Value {
    // Text, numbers and maps with text keys: this cannot fail.
    let Ok(Value::Object(mut tree)) = serde_json::to_value(metadata) else { return Value::Object(Map::new()) };
    if !revision {
        tree.remove("resourceVersion");
        tree.remove("selfLink");
    }
    for (name, value) in &metadata.other {
        // What did not fit its field stays until the field is set.
        if tree.get(name).is_none_or(is_unset) {
            tree.insert(name.clone(), value.clone());
        }
    }
    Value::Object(tree)
}

fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(_) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

#[cfg(test)]
mod tests;
