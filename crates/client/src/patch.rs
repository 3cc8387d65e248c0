//! Patching: the strategic merge of Kubernetes, as far as it applies to Calico's kinds.

mod merge;

use serde_json::{Map, Value};
use tortie_api::kinds::shape;
use tortie_api::shape::{Form, Shape};
use tortie_api::{Kind, Object, Path, encode};
use tortie_manifest::read::{self, Source};

use super::{ClientError, unknown};

/// Applies a patch. Unknown fields stay unchanged, and a patch cannot name them.
pub(super) fn apply(object: &Object, patch: &str) -> Result<Object, ClientError> {
    let patch = parse(patch)?;
    let mut known = object.clone();
    unknown::strip(&mut known);
    let Value::Object(mut tree) = encode::shown(&known) else { return Ok(known) };
    merge::merge(object.kind, &mut tree, patch.clone()).map_err(ClientError::Patch)?;
    let mut patched = reread(tree)?;
    patched.metadata.self_link.clear();
    unknown::keep(object, &mut patched);
    if let Some(rules) = unknown::lost_in_rules(object, &patched, &patch) {
        return Err(ClientError::Unreadable {
            key: object.key(),
            reason: format!(
                "a rule in {rules} has a field that this release does not know and that a patch would remove"
            ),
        });
    }
    Ok(patched)
}

/// A patch is a JSON record; `null` changes nothing.
fn parse(text: &str) -> Result<Map<String, Value>, ClientError> {
    match serde_json::from_str(text) {
        Ok(Value::Object(patch)) => Ok(patch),
        Ok(Value::Null) => Ok(Map::new()),
        _ => Err(ClientError::Patch("invalid JSON document".to_owned())),
    }
}

/// The first number or boolean in a patch where the kind has text, and what to write instead. Under the name calicoctl
/// it becomes text.
pub fn value_for_text(kind: Kind, patch: &str) -> Option<String> {
    let (path, value) =
        not_text(shape(kind), &parse(patch).ok()?, &Path::root()).map(|(path, value)| (path, value.clone()))?;
    Some(format!("{path} is text, and {value} is not: write \"{value}\""))
}

fn not_text<'a>(shape: &Shape, fields: &'a Map<String, Value>, at: &Path) -> Option<(Path, &'a Value)> {
    let record = shape.record()?;
    fields.iter().find_map(|(name, value)| not_text_below(&record.field(name)?.shape, value, &at.key(name)))
}

fn not_text_below<'a>(shape: &Shape, value: &'a Value, at: &Path) -> Option<(Path, &'a Value)> {
    match (&shape.form, value) {
        (Form::Text, Value::Number(_) | Value::Bool(_)) => Some((at.clone(), value)),
        (Form::Record(_), Value::Object(fields)) => not_text(shape, fields, at),
        (Form::Map(item), Value::Object(fields)) => {
            fields.iter().find_map(|(name, value)| not_text_below(item, value, &at.key(name)))
        }
        (Form::List(item), Value::Array(items)) => {
            items.iter().enumerate().find_map(|(index, value)| not_text_below(item, value, &at.index(index)))
        }
        _ => None,
    }
}

/// Reads the patched tree as strictly as a file.
fn reread(tree: Map<String, Value>) -> Result<Object, ClientError> {
    let text = Value::Object(tree).to_string();
    let located = read::read(&Source::new("patch", text)).pop();
    let none = || ClientError::Patch("nothing is left of the object".to_owned());
    let located = located.ok_or_else(none)?;
    let problems: Vec<_> = located.problems.into_iter().filter(|problem| problem.is_error()).collect();
    match located.object {
        Some(object) if problems.is_empty() => Ok(object),
        _ if problems.is_empty() => Err(none()),
        _ => Err(ClientError::Patched { problems }),
    }
}
