//! Unknown fields, which another program wrote.
//!
//! A file that replaces an object was written without knowledge of these fields, so they are kept, and
//! named in a warning. In lists an item keeps them if it is otherwise the same as before. Inside rules only a patch keeps
//! them: such a field makes its rule unreadable, and a manifest gives all rules. The same holds for an unknown field that may
//! stand for a known one, or for the scope of a policy.

use serde_json::{Map, Value};
use tortie_api::kinds::shape;
use tortie_api::misspelt::{may_be_scope, meant_field};
use tortie_api::shape::{Form, Shape};
use tortie_api::{Object, Path, Step};
use tortie_manifest::Problem;

/// The lists of rules in a spec.
const RULES: [&str; 2] = ["ingress", "egress"];

/// Takes over into `new`, which replaces the whole object, every unknown field of `old` at places that both have, but not
/// those inside rules.
pub(super) fn keep_outside_rules(old: &Object, new: &mut Object) {
    let lists = |object: &mut Object| {
        let spec = object.body.get_mut("spec").and_then(Value::as_object_mut)?;
        Some(RULES.map(|name| spec.get_mut(name).map(Value::take)))
    };
    let written = lists(new);
    match without_misspelt(old) {
        Some(old) => keep(&old, new),
        None => keep(old, new),
    }
    let spec = new.body.get_mut("spec").and_then(Value::as_object_mut);
    for (spec, rules) in spec.into_iter().zip(written) {
        for (name, rules) in RULES.iter().zip(rules) {
            if let Some(rules) = rules {
                spec.insert((*name).to_owned(), rules);
            }
        }
    }
}

/// The object without unknown fields that may stand for known ones, if it has any.
fn without_misspelt(old: &Object) -> Option<Object> {
    let spec = old.body.get("spec")?.as_object()?;
    let is_misspelt = |name: &str| meant_field(old.kind, spec, name).is_some() || may_be_scope(old.kind, spec, name);
    if !spec.keys().any(|name| is_misspelt(name)) {
        return None;
    }
    let mut known = old.clone();
    let kept = known.body.get_mut("spec").and_then(Value::as_object_mut)?;
    kept.retain(|name, _| !is_misspelt(name));
    Some(known)
}

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

/// Where they are. Of those that differ only in positions of lists the first.
pub(super) fn fields(object: &Object) -> Vec<Path> {
    let metadata = Path::from("metadata");
    let mut found: Vec<Path> = object.metadata.other.keys().map(|name| metadata.key(name)).collect();
    find(shape(object.kind), &object.body, &mut Vec::new(), &mut found);
    found
}

/// The path without positions of lists.
pub(super) fn without_positions(path: &Path) -> Path {
    Path(path.0.iter().filter(|step| matches!(step, Step::Key(_))).cloned().collect())
}

/// The warning that says that they are kept.
pub(super) fn warning(field: &Path) -> Problem {
    let in_rule = matches!(&field.0[..], [Step::Key(spec), Step::Key(list), Step::Index(_), ..]
        if spec == "spec" && RULES.contains(&list.as_str()));
    let follows = if in_rule { ", and the rule cannot be read because of it" } else { "" };
    let text = format!(
        "the stored object has a field `{field}` that this release does not know; it is kept as it is{follows}"
    );
    Problem::warning("unknown-field-kept", field.clone(), text)
}

/// Almost every object has none, so nothing is collected until one is found.
fn find<'a>(shape: &Shape, fields: &'a Map<String, Value>, at: &mut Vec<At<'a>>, found: &mut Vec<Path>) {
    let Some(record) = shape.record() else { return };
    for (name, value) in fields {
        at.push(At::Key(name));
        match record.field(name) {
            Some(field) => find_below(&field.shape, value, at, found),
            None => {
                let here = Path(at.iter().map(At::step).collect());
                let alike = without_positions(&here);
                if !found.iter().any(|known| without_positions(known) == alike) {
                    found.push(here);
                }
            }
        }
        at.pop();
    }
}

/// A step of a path, which is converted only if something is found there.
enum At<'a> {
    Key(&'a str),
    Index(usize),
}

impl At<'_> {
    fn step(&self) -> Step {
        match self {
            At::Key(name) => Step::Key((*name).to_owned()),
            At::Index(index) => Step::Index(*index),
        }
    }
}

fn find_below<'a>(shape: &Shape, value: &'a Value, at: &mut Vec<At<'a>>, found: &mut Vec<Path>) {
    match (&shape.form, value) {
        (Form::Record(_), Value::Object(fields)) => find(shape, fields, at, found),
        (Form::List(item), Value::Array(items)) => {
            for (index, value) in items.iter().enumerate() {
                at.push(At::Index(index));
                find_below(item, value, at, found);
                at.pop();
            }
        }
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

fn without_unknown(shape: &Shape, value: &Value) -> Value {
    let mut known = value.clone();
    strip_below(shape, &mut known);
    known
}

fn keep_in(shape: &Shape, old: &Map<String, Value>, new: &mut Map<String, Value>) {
    let Some(record) = shape.record() else { return };
    for (name, value) in old {
        match (record.field(name), new.get_mut(name)) {
            (None, None) => {
                new.insert(name.clone(), value.clone());
            }
            (Some(field), Some(now)) => keep_below(&field.shape, value, now),
            // A record with nothing else in it is left out of what is written.
            (Some(field), None) if is_unknown_alone(&field.shape, value) => {
                new.insert(name.clone(), value.clone());
            }
            _ => {}
        }
    }
}

/// Whether it has unknown fields and nothing else.
fn is_unknown_alone(shape: &Shape, value: &Value) -> bool {
    let known = without_unknown(shape, value);
    known != *value && is_empty(&without_empty(&known))
}

/// Without records and lists that have nothing in them, which are left out of what is written.
fn without_empty(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.clone(), without_empty(value)));
            Value::Object(fields.filter(|(_, value)| !is_empty(value)).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_empty).collect()),
        other => other.clone(),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        other => other.is_null(),
    }
}

/// The lists of rules that a patch left out and in which it would remove an unknown field: the rule would match more than it does.
pub(super) fn lost_in_rules(old: &Object, new: &Object, patch: &Map<String, Value>) -> Option<Path> {
    let record = shape(old.kind).record()?.field("spec")?.shape.record()?;
    let count = |object: &Object, name: &str, shape: &Shape| {
        let rules = object.body.get("spec").and_then(|spec| spec.get(name)).and_then(Value::as_array);
        let Form::List(rule) = &shape.form else { return 0 };
        rules.into_iter().flatten().filter(|value| without_unknown(rule, value) != **value).count()
    };
    let given = patch.get("spec").and_then(Value::as_object);
    RULES
        .into_iter()
        .filter(|name| given.is_none_or(|given| !given.contains_key(*name)))
        .filter_map(|name| Some((name, &record.field(name)?.shape)))
        .find(|(name, shape)| count(new, name, shape) < count(old, name, shape))
        .map(|(name, _)| Path::from("spec").key(name))
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
    let shown: Vec<Value> = new.iter().map(without_empty).collect();
    let mut taken = vec![false; new.len()];
    for value in old {
        let known = without_unknown(shape, value);
        let wanted = without_empty(&known);
        let same = shown.iter().zip(&taken).position(|(now, taken)| !taken && *now == wanted);
        if let Some(position) = same {
            taken[position] = true;
            if known != *value {
                new[position] = value.clone();
            }
        }
    }
}
