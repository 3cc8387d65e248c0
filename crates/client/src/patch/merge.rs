//! The merge itself.
//!
//! Records merge field by field and `null` removes; lists are replaced whole. Two lists merge, as they do in
//! Kubernetes: `metadata.finalizers` by value and `metadata.ownerReferences` by `uid`. Directives:
//!
//! | directive | meaning |
//! |---|---|
//! | `"$patch": "replace"` | this record (or merged list) takes the place of the old one |
//! | `"$patch": "delete"` | the record, or the item of a merged list, is removed |
//! | `"$retainKeys": [...]` | of the old record only these fields stay |
//! | `"$deleteFromPrimitiveList/x": [...]` | these values leave the list `x` |

use serde_json::{Map, Value};
use tortie_api::Kind;
use tortie_api::kinds::shape;
use tortie_api::shape::{Form, Shape};

const PATCH: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";

/// Merges a patch into an object, given as JSON.
pub(super) fn merge(kind: Kind, object: &mut Map<String, Value>, patch: Map<String, Value>) -> Result<(), String> {
    if patch.contains_key(PATCH) {
        // Calico refuses these too, if with less clear words: nothing would be left of what names the object.
        return Err(format!("{PATCH} is not allowed for the whole object"));
    }
    record(Some(shape(kind)), object, patch, "")
}

fn record(
    shape: Option<&Shape>,
    old: &mut Map<String, Value>,
    patch: Map<String, Value>,
    at: &str,
) -> Result<(), String> {
    let mut patch = spelled(shape, patch, at)?;
    match patch.remove(PATCH) {
        None => {}
        Some(Value::String(word)) if word == "replace" => {
            *old = patch;
            return Ok(());
        }
        Some(Value::String(word)) if word == "delete" => {
            old.clear();
            return Ok(());
        }
        Some(other) => return Err(format!("unknown patch type: {} in {}", plain(&other), place(at))),
    }
    if let Some(retain) = patch.remove(RETAIN) {
        retain_keys(old, &patch, &retain, at)?;
    }
    for (name, value) in patch {
        if let Some(list) = name.strip_prefix(DELETE_FROM) {
            delete_from(old, list, &value)?;
            continue;
        }
        if name.starts_with("$setElementOrder/") {
            return Err(format!("{name} in {} is not supported: lists here are replaced whole", place(at)));
        }
        let here = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
        let below = shape.and_then(|shape| match &shape.form {
            Form::Record(record) => record.field(&name).map(|field| &field.shape),
            Form::Map(value) => Some(&**value),
            _ => None,
        });
        match (value, old.get_mut(&name)) {
            (Value::Null, _) => drop(old.shift_remove(&name)),
            (Value::Object(patch), Some(Value::Object(old))) => record(below, old, patch, &here)?,
            (Value::Object(patch), _) => {
                let mut new = Map::new();
                record(below, &mut new, patch, &here)?;
                old.insert(name, Value::Object(new));
            }
            (Value::Array(items), Some(Value::Array(old))) if here == "metadata.finalizers" => add_values(old, items),
            (Value::Array(items), Some(Value::Array(old))) if here == "metadata.ownerReferences" => {
                merge_items(old, items, "uid")?;
            }
            (value, _) => drop(old.insert(name, value)),
        }
    }
    Ok(())
}

/// Gives the fields of a record their own spelling: case does not count in Calico's JSON. Two spellings of one field
/// in a patch contradict each other.
fn spelled(shape: Option<&Shape>, patch: Map<String, Value>, at: &str) -> Result<Map<String, Value>, String> {
    let Some(record) = shape.and_then(Shape::record) else { return Ok(patch) };
    let mut result = Map::new();
    for (name, value) in patch {
        let name = record.field(&name).map_or(name, |field| field.name.clone());
        if result.contains_key(&name) {
            return Err(format!("{name} appears twice in {}", place(at)));
        }
        result.insert(name, value);
    }
    Ok(result)
}

fn retain_keys(
    old: &mut Map<String, Value>,
    patch: &Map<String, Value>,
    retain: &Value,
    at: &str,
) -> Result<(), String> {
    let wrong = || format!("{RETAIN} in {} must be a list of field names", place(at));
    let names: Vec<&str> =
        retain.as_array().ok_or_else(wrong)?.iter().map(Value::as_str).collect::<Option<_>>().ok_or_else(wrong)?;
    if let Some(name) = patch.keys().find(|name| !name.starts_with('$') && !names.contains(&name.as_str())) {
        return Err(format!("{name} is patched but not in {RETAIN} of {}", place(at)));
    }
    old.retain(|name, _| names.contains(&name.as_str()));
    Ok(())
}

fn delete_from(old: &mut Map<String, Value>, list: &str, values: &Value) -> Result<(), String> {
    let values = values.as_array().ok_or_else(|| format!("{DELETE_FROM}{list} must be a list"))?;
    if let Some(Value::Array(items)) = old.get_mut(list) {
        items.retain(|item| !values.contains(item));
    }
    Ok(())
}

/// The patch's values come first, then the existing ones.
fn add_values(old: &mut Vec<Value>, new: Vec<Value>) {
    let before = std::mem::replace(old, new);
    let rest: Vec<Value> = before.into_iter().filter(|value| !old.contains(value)).collect();
    old.extend(rest);
}

fn merge_items(old: &mut Vec<Value>, patch: Vec<Value>, key: &str) -> Result<(), String> {
    let directive = |item: &Value| item.get(PATCH).and_then(Value::as_str).map(str::to_owned);
    if patch.iter().any(|item| directive(item).as_deref() == Some("replace")) {
        *old = patch.into_iter().filter(|item| directive(item).is_none()).collect();
        return Ok(());
    }
    for mut item in patch {
        let word = directive(&item);
        let id = item.get(key).cloned().ok_or_else(|| format!("an item of the patch has no {key}"))?;
        let position = old.iter().position(|item| item.get(key) == Some(&id));
        match (word.as_deref(), position) {
            (Some("delete"), Some(position)) => drop(old.remove(position)),
            (Some("delete"), None) => {}
            (Some(other), _) => return Err(format!("unknown patch type: {other} in an item of a list")),
            (None, Some(position)) => {
                if let (Some(old), Some(new)) = (old[position].as_object_mut(), item.as_object_mut()) {
                    record(None, old, std::mem::take(new), "")?;
                }
            }
            (None, None) => old.push(item),
        }
    }
    Ok(())
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn place(at: &str) -> &str {
    if at.is_empty() { "the patch" } else { at }
}
