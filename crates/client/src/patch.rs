//! Patching: the strategic merge of Kubernetes, as far as our kinds have anything strategic.

mod merge;

use serde_json::{Map, Value};
use tortie_api::{Object, encode};
use tortie_manifest::read::{self, Source};

use super::{ClientError, unknown};

/// The object that the patch leads to. Fields that we do not know stay, and a patch cannot name them.
pub(super) fn apply(object: &Object, patch: &str) -> Result<Object, ClientError> {
    let patch = parse(patch)?;
    let mut known = object.clone();
    unknown::strip(&mut known);
    let Value::Object(mut tree) = encode::shown(&known) else { return Ok(known) };
    merge::merge(object.kind, &mut tree, patch).map_err(ClientError::Patch)?;
    let mut patched = reread(tree)?;
    patched.metadata.self_link.clear();
    unknown::keep(object, &mut patched);
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
