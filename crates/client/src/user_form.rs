//! Converts between stored objects and those that users see.
//!
//! Policies carry the name that users gave them in an annotation: older releases stored
//! policies of the default tier as `default.<name>` and showed them as `<name>`. Some fields are filled in on
//! reading; they are not written back by that.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tortie_api::decode::{self, Damage};
use tortie_api::{Key, Kind, Object, Path, encode, go_bool};

use super::{ClientError, pool};
use tortie_store::{Revision, Stored};

const NAME_ANNOTATION: &str = "projectcalico.org/metadata";
const TIER_LABEL: &str = "projectcalico.org/tier";
/// The prefix that older releases added to the names of policies of the default tier.
pub(super) const LEGACY_PREFIX: &str = "default.";

/// The tier of a policy.
pub(super) fn tier(object: &Object) -> &str {
    text(object, "tier").unwrap_or("default")
}

/// A text field of the spec, if it exists and is not empty.
pub(super) fn text<'a>(object: &'a Object, field: &str) -> Option<&'a str> {
    object.body.get("spec")?.get(field)?.as_str().filter(|text| !text.is_empty())
}

/// The spec, created if it does not exist or is not a record.
pub(super) fn spec(object: &mut Object) -> &mut Map<String, Value> {
    let spec = object.body.entry("spec").or_insert_with(|| json!({}));
    if !spec.is_object() {
        *spec = json!({});
    }
    spec.as_object_mut().expect("it is a record by now")
}

/// The object as users see it.
pub(super) fn read(stored: &Stored) -> Result<Object, ClientError> {
    let mut object = read_raw(stored)?;
    object.metadata.resource_version = stored.revision.to_string();
    match object.kind {
        kind if kind.is_tiered() => show_policy(&mut object, &stored.key)?,
        Kind::Tier => {
            let spec = spec(&mut object);
            fill(spec, "order", || json!(1_000_000));
            fill(spec, "defaultAction", || json!("Deny"));
        }
        Kind::IPPool => pool::fill(&mut object),
        Kind::BlockAffinity => {
            let deleted = object.body.get_mut("spec").and_then(|spec| spec.get_mut("deleted"));
            if let Some(Value::String(text)) = deleted.as_deref() {
                let is = go_bool(text) == Some(true);
                *deleted.expect("it was just read") = Value::Bool(is);
            }
        }
        _ => {}
    }
    Ok(object)
}

/// The object as it is stored. The key is what names it, whatever the JSON says.
pub(super) fn read_raw(stored: &Stored) -> Result<Object, ClientError> {
    let unreadable = |reason: String| ClientError::Unreadable { key: stored.key.clone(), reason };
    if let Some(reason) = stored.value.unreadable() {
        return Err(unreadable(reason.to_owned()));
    }
    let mut object = decode::stored(&stored.key, &stored.value).map_err(|error| unreadable(error.to_string()))?;
    object.kind = stored.key.kind;
    object.metadata.name.clone_from(&stored.key.name);
    object.metadata.namespace.clone_from(&stored.key.namespace);
    object.metadata.self_link.clear();
    object.metadata.resource_version.clear();
    Ok(object)
}

/// An object with a key that appears twice is not edited: the agent takes neither value, and the edited object would have
/// the last one.
pub(super) fn refuse_repeats(stored: &Stored) -> Result<(), ClientError> {
    let mut first = None;
    // Values that cannot be read at all were refused before.
    let _ = decode::without_repeats(&stored.key, &stored.value, usize::MAX, &mut |path, damage| {
        if damage == Damage::Repeated {
            first.get_or_insert(path);
        }
    });
    match first {
        None => Ok(()),
        Some(path) => Err(ClientError::Unreadable {
            key: stored.key.clone(),
            reason: format!("{path} appears twice in the stored object"),
        }),
    }
}

/// Nor is one with a null in its spec where a null cannot be read: editing would leave it out, and an absent condition of a rule
/// is another than one that cannot be read.
pub(super) fn refuse_nulls(stored: &Stored) -> Result<(), ClientError> {
    let is_absence = matches!(stored.key.kind, Kind::FelixConfiguration | Kind::Node | Kind::IPPool);
    match null_in_spec(stored).filter(|_| !is_absence) {
        None => Ok(()),
        Some(path) => Err(ClientError::Unreadable {
            key: stored.key.clone(),
            reason: format!("{path} is null in the stored object, which has no meaning"),
        }),
    }
}

/// The first null in the spec.
fn null_in_spec(stored: &Stored) -> Option<Path> {
    fn find(value: &Value, at: &Path) -> Option<Path> {
        match value {
            Value::Null => Some(at.clone()),
            Value::Array(items) => items.iter().enumerate().find_map(|(index, item)| find(item, &at.index(index))),
            Value::Object(fields) => fields.iter().find_map(|(name, value)| find(value, &at.key(name))),
            _ => None,
        }
    }
    if !stored.value.windows(4).any(|part| part == b"null") {
        return None;
    }
    let tree: Value = serde_json::from_slice(&stored.value).unwrap_or_default();
    find(tree.get("spec")?, &Path::from("spec"))
}

fn show_policy(object: &mut Object, key: &Key) -> Result<(), ClientError> {
    match object.metadata.annotations.remove(NAME_ANNOTATION).filter(|text| !text.is_empty()) {
        Some(text) => {
            let noted: Value = serde_json::from_str(&text).map_err(|error| ClientError::Unreadable {
                key: key.clone(),
                reason: format!("CRD annotation {NAME_ANNOTATION:?} contained invalid JSON: {error}"),
            })?;
            if let Some(name) = noted.get("name").and_then(Value::as_str).filter(|name| !name.is_empty()) {
                object.metadata.name = name.to_owned();
            }
        }
        None if tier(object) == "default" => {
            if let Some(name) = key.name.strip_prefix(LEGACY_PREFIX).filter(|name| !name.is_empty()) {
                object.metadata.name = name.to_owned();
            }
        }
        None => {}
    }
    if !object.metadata.labels.contains_key(TIER_LABEL) {
        let tier = tier(object).to_owned();
        object.metadata.labels.insert(TIER_LABEL.to_owned(), tier);
    }
    Ok(())
}

/// The bytes to store an object as.
pub(super) fn write(object: &Object) -> Arc<[u8]> {
    let mut object = object.clone();
    if object.kind.is_tiered() {
        let name = json!({ "name": object.metadata.name }).to_string();
        object.metadata.annotations.insert(NAME_ANNOTATION.to_owned(), name);
        let tier = tier(&object).to_owned();
        object.metadata.labels.insert(TIER_LABEL.to_owned(), tier);
    }
    if object.kind == Kind::BlockAffinity
        && let Some(deleted) = object.body.get_mut("spec").and_then(|spec| spec.get_mut("deleted"))
        && let Some(is) = deleted.as_bool()
    {
        *deleted = Value::String(is.to_string()); // text in the store, for historical reasons
    }
    encode::stored(&object).into()
}

/// The object that these bytes were made of, as users will see it: encoding leaves out what is empty.
pub(super) fn reread(key: &Key, revision: Revision, value: &Arc<[u8]>, object: Object) -> Object {
    read(&Stored { key: key.clone(), revision, value: value.clone().into() }).unwrap_or(object)
}

/// Whether writing these bytes would change only the form of the stored object.
pub(super) fn is_same(stored: &Stored, value: &[u8]) -> bool {
    if *stored.value == *value {
        return true;
    }
    let Ok(mut object) = read_raw(stored) else { return false };
    if object.kind.is_tiered()
        && let Ok(shown) = read(stored)
    {
        object.metadata.name = shown.metadata.name;
    }
    encode::stored(&object) == value && !loses_by_reading(stored)
}

/// Whether the spec or the labels contain a null or a key that appears twice. Reading for users ignores both, and the agent
/// treats both as unreadable, so writing what is shown changes something.
fn loses_by_reading(stored: &Stored) -> bool {
    // In a FelixConfiguration, null means that the field is not set.
    let null_counts = stored.key.kind != Kind::FelixConfiguration;
    refuse_repeats(stored).is_err() || (null_counts && null_in_spec(stored).is_some())
}

/// Sets a field that is absent, null or empty text.
pub(super) fn fill(record: &mut Map<String, Value>, field: &str, value: impl FnOnce() -> Value) {
    let empty = match record.get(field) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(_) => false,
    };
    if empty {
        record.insert(field.to_owned(), value());
    }
}
