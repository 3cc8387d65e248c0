//! Fields that we do not know, because another program wrote them.
//!
//! Whoever replaces an object from a file cannot mean to remove what he never saw, so such fields are kept, and
//! named in a warning. In lists an item keeps them if it is otherwise the same as before.

use serde_json::{Map, Value};
use tortie_api::kinds::shape;
use tortie_api::shape::{Form, Shape};
use tortie_api::{Object, Path};
use tortie_manifest::Problem;

/// Takes over into `new` every unknown field of `old` at places that both have.
pub(super) fn keep(old: &Object, new: &mut Object) {
    // What did not fit a field that we know is replaced with the rest.
    let metadata = shape(old.kind).record().and_then(|whole| whole.field("metadata"));
    let is_known =
        |name: &str| metadata.and_then(|field| field.shape.record()).is_some_and(|it| it.field(name).is_some());
    let unknown = old.metadata.other.iter().filter(|(name, _)| !is_known(name));
    new.metadata.other = unknown.map(|(name, value)| (name.clone(), value.clone())).collect();
    if !fields(old).is_empty() {
        keep_in(shape(old.kind), &old.body, &mut new.body);
    }
}

/// Takes them all away.
pub(super) fn strip(object: &mut Object) {
    object.metadata.other.clear();
    strip_from(shape(object.kind), &mut object.body);
}

/// Where they are, as fields without list positions, each once.
pub(super) fn fields(object: &Object) -> Vec<String> {
    let mut found: Vec<String> = object.metadata.other.keys().map(|name| format!("metadata.{name}")).collect();
    find(shape(object.kind), &object.body, &mut Vec::new(), &mut found);
    found
}

/// The warning that says that they are kept.
pub(super) fn warning(field: &str) -> Problem {
    let text = format!("the stored object has a field `{field}` that this release does not know; it is kept as it is");
    Problem::warning("unknown-field-kept", Path::from(field), text)
}

/// Almost every object has none, so nothing is collected until one is found.
fn find<'a>(shape: &Shape, fields: &'a Map<String, Value>, at: &mut Vec<&'a str>, found: &mut Vec<String>) {
    let Some(record) = shape.record() else { return };
    for (name, value) in fields {
        at.push(name);
        match record.field(name) {
            Some(field) => find_below(&field.shape, value, at, found),
            None => {
                let here = at.join(".");
                if !found.contains(&here) {
                    found.push(here);
                }
            }
        }
        at.pop();
    }
}

fn find_below<'a>(shape: &Shape, value: &'a Value, at: &mut Vec<&'a str>, found: &mut Vec<String>) {
    match (&shape.form, value) {
        (Form::Record(_), Value::Object(fields)) => find(shape, fields, at, found),
        (Form::List(item), Value::Array(items)) => items.iter().for_each(|value| find_below(item, value, at, found)),
        (Form::Map(item), Value::Object(entries)) => {
            entries.values().for_each(|value| find_below(item, value, at, found))
        }
        _ => {}
    }
}

fn strip_from(shape: &Shape, fields: &mut Map<String, Value>) {
    let Some(record) = shape.record() else { return };
    fields.retain(|name, _| record.field(name).is_some());
    for (name, value) in fields {
        if let Some(field) = record.field(name) {
            strip_below(&field.shape, value);
        }
    }
}

fn strip_below(shape: &Shape, value: &mut Value) {
    match (&shape.form, value) {
        (Form::Record(_), Value::Object(fields)) => strip_from(shape, fields),
        (Form::List(item), Value::Array(items)) => items.iter_mut().for_each(|value| strip_below(item, value)),
        (Form::Map(item), Value::Object(entries)) => entries.values_mut().for_each(|value| strip_below(item, value)),
        _ => {}
    }
}

fn keep_in(shape: &Shape, old: &Map<String, Value>, new: &mut Map<String, Value>) {
    let Some(record) = shape.record() else { return };
    for (name, value) in old {
        match (record.field(name), new.get_mut(name)) {
            (None, None) => {
                new.insert(name.clone(), value.clone());
            }
            (Some(field), Some(now)) => keep_below(&field.shape, value, now),
            _ => {}
        }
    }
}

fn keep_below(shape: &Shape, old: &Value, new: &mut Value) {
    match (&shape.form, old, new) {
        (Form::Record(_), Value::Object(old), Value::Object(new)) => keep_in(shape, old, new),
        (Form::Map(item), Value::Object(old), Value::Object(new)) => {
            for (key, value) in old {
                if let Some(now) = new.get_mut(key) {
                    keep_below(item, value, now);
                }
            }
        }
        (Form::List(item), Value::Array(old), Value::Array(new)) => keep_items(item, old, new),
        _ => {}
    }
}

/// Each item that has unknown fields gives them to the first item that is otherwise the same.
fn keep_items(shape: &Shape, old: &[Value], new: &mut [Value]) {
    let mut taken = vec![false; new.len()];
    for value in old {
        let mut known = value.clone();
        strip_below(shape, &mut known);
        let same = new.iter().zip(&taken).position(|(now, taken)| !taken && *now == known);
        if let Some(position) = same {
            taken[position] = true;
            if known != *value {
                new[position] = value.clone();
            }
        }
    }
}
