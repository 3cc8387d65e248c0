//! Stored objects, compared field by field.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value};
use tortie_api::{Key, decode, encode};
use tortie_store::Stored;

/// The fields that a store sets by itself.
const OF_WRITES: [&str; 4] = ["resourceVersion", "uid", "creationTimestamp", "generation"];

/// An object that is not as it was.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectChange {
    /// The object.
    pub key: Key,
    /// The kind of the change.
    pub word: ObjectWord,
    /// The fields that change, where it exists before and after.
    pub fields: Vec<Field>,
}

/// The kind of a change of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectWord {
    /// It does not exist before.
    Created,
    /// It exists before and after.
    Changed,
    /// It does not exist after.
    Deleted,
}

/// A field that is not as it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Where: `spec.ingress[1].destination.ports`.
    pub path: String,
    /// Its value before; none if it did not exist.
    pub before: Option<Value>,
    /// Its value after; none if it does not exist any more.
    pub after: Option<Value>,
}

impl fmt::Display for ObjectWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ObjectWord::Created => "created",
            ObjectWord::Changed => "changed",
            ObjectWord::Deleted => "deleted",
        })
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, before, after } = self;
        match (before, after) {
            (Some(before), Some(after)) => write!(f, "{path}: {before} -> {after}"),
            (None, Some(after)) => write!(f, "{path}: added {after}"),
            (Some(before), None) => write!(f, "{path}: removed {before}"),
            (None, None) => write!(f, "{path}: unchanged"),
        }
    }
}

/// The objects that are not as they were, by key.
pub fn objects(before: &[Stored], after: &[Stored]) -> Vec<ObjectChange> {
    let by_key = |all: &'_ [Stored]| -> BTreeMap<Key, Vec<u8>> {
        all.iter().map(|stored| (stored.key.clone(), stored.value.to_vec())).collect()
    };
    let (before, after) = (by_key(before), by_key(after));
    let keys: BTreeSet<&Key> = before.keys().chain(after.keys()).collect();
    keys.into_iter().filter_map(|key| object(key, before.get(key), after.get(key))).collect()
}

fn object(key: &Key, before: Option<&Vec<u8>>, after: Option<&Vec<u8>>) -> Option<ObjectChange> {
    let (word, fields) = match (before, after) {
        (None, None) => return None,
        (None, Some(_)) => (ObjectWord::Created, Vec::new()),
        (Some(_), None) => (ObjectWord::Deleted, Vec::new()),
        (Some(before), Some(after)) if before == after => return None,
        (Some(before), Some(after)) => {
            let mut fields = Vec::new();
            compare("", Some(&shown(key, before)), Some(&shown(key, after)), &mut fields);
            // Only what a write sets by itself is another.
            if fields.is_empty() {
                return None;
            }
            (ObjectWord::Changed, fields)
        }
    };
    Some(ObjectChange { key: key.clone(), word, fields })
}

/// An object as users see it, without what a write sets by itself. What cannot be read is a text.
fn shown(key: &Key, bytes: &[u8]) -> Value {
    let mut value = match decode::stored(key, bytes) {
        Ok(object) => encode::shown(&object),
        Err(_) => return Value::from(String::from_utf8_lossy(bytes)),
    };
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        for name in OF_WRITES {
            metadata.remove(name);
        }
    }
    value
}

fn compare(path: &str, before: Option<&Value>, after: Option<&Value>, fields: &mut Vec<Field>) {
    match (before, after) {
        (Some(before), Some(after)) if before == after => {}
        (Some(Value::Object(before)), Some(Value::Object(after))) => record(path, before, after, fields),
        (Some(Value::Array(before)), Some(Value::Array(after))) => list(path, before, after, fields),
        (None, None) => {}
        (before, after) => {
            fields.push(Field { path: path.to_owned(), before: before.cloned(), after: after.cloned() });
        }
    }
}

fn record(path: &str, before: &Map<String, Value>, after: &Map<String, Value>, fields: &mut Vec<Field>) {
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    for name in after.keys().chain(gone) {
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
        let inner = match (path.is_empty(), plain) {
            (true, _) => name.clone(),
            (false, true) => format!("{path}.{name}"),
            (false, false) => format!("{path}['{name}']"),
        };
        compare(&inner, before.get(name), after.get(name), fields);
    }
}

/// What both lists begin and end with is the same. Of what is between, as many elements as both have are compared one by
/// one, unless they are plain values.
fn list(path: &str, before: &[Value], after: &[Value], fields: &mut Vec<Field>) {
    let is_plain = |value: &Value| !value.is_object() && !value.is_array();
    if before.iter().chain(after).all(is_plain) {
        let (before, after) = (Value::from(before.to_vec()), Value::from(after.to_vec()));
        fields.push(Field { path: path.to_owned(), before: Some(before), after: Some(after) });
        return;
    }
    let head = before.iter().zip(after).take_while(|(a, b)| a == b).count();
    let (before, after) = (&before[head..], &after[head..]);
    let tail = before.iter().rev().zip(after.iter().rev()).take_while(|(a, b)| a == b).count();
    let (before, after) = (&before[..before.len() - tail], &after[..after.len() - tail]);
    for at in 0..before.len().max(after.len()) {
        compare(&format!("{path}[{}]", head + at), before.get(at), after.get(at), fields);
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use serde_json::json;
    use tortie_api::Kind;

    use super::*;

    fn stored(name: &str, spec: Value) -> Stored {
        let key = Key::cluster(Kind::GlobalNetworkPolicy, name);
        let metadata = json!({"name": name, "uid": "u", "creationTimestamp": null});
        let value = json!({"kind": "GlobalNetworkPolicy", "apiVersion": "projectcalico.org/v3", "metadata": metadata, "spec": spec});
        Stored { key, revision: 1.into(), value: value.to_string().into_bytes().into() }
    }

    #[test]
    fn each_field_that_changes_is_shown_with_both_values() {
        let rule = |port: u16| json!({"action": "Allow", "protocol": "TCP", "destination": {"ports": [port]}});
        let before = [stored("web", json!({"order": 1.0, "selector": "a", "ingress": [rule(1), rule(2), rule(3)]}))];
        let changes = |spec: Value| -> Vec<String> {
            let changes = objects(&before, &[stored("web", spec)]);
            changes.iter().flat_map(|change| &change.fields).map(ToString::to_string).collect()
        };
        assert_eq!(
            changes(json!({"order": 2.0, "ingress": [rule(1), rule(2), rule(3)]})),
            ["spec.order: 1 -> 2", "spec.selector: removed \"a\""]
        );
        // A rule that is put in, taken out or changed is that rule alone.
        let with = |ingress: Value| json!({"order": 1.0, "selector": "a", "ingress": ingress});
        assert_eq!(
            changes(with(json!([rule(9), rule(1), rule(2), rule(3)]))),
            ["spec.ingress[0]: added {\"action\":\"Allow\",\"protocol\":\"TCP\",\"destination\":{\"ports\":[9]}}"]
        );
        assert_eq!(changes(with(json!([rule(1), rule(3)]))).len(), 1);
        assert_eq!(
            changes(with(json!([rule(1), rule(7), rule(3)]))),
            ["spec.ingress[1].destination.ports: [2] -> [7]"]
        );
        assert_eq!(changes(with(json!([rule(1), rule(2), rule(3)]))), [""; 0]);
    }

    #[test]
    fn an_object_that_exists_on_one_side_only_is_created_or_deleted() {
        let (a, b) = (stored("a", json!({})), stored("b", json!({})));
        let words = |before: &[Stored], after: &[Stored]| -> Vec<(String, ObjectWord)> {
            objects(before, after).into_iter().map(|change| (change.key.name, change.word)).collect()
        };
        assert_eq!(
            words(from_ref(&a), from_ref(&b)),
            [("a".to_owned(), ObjectWord::Deleted), ("b".to_owned(), ObjectWord::Created)]
        );
        assert_eq!(words(from_ref(&a), from_ref(&a)), []);
    }

    #[test]
    fn an_object_that_cannot_be_read_is_compared_as_text() {
        let mut bad = stored("a", json!({}));
        bad.value = b"{".to_vec().into();
        let changes = objects(&[stored("a", json!({}))], &[bad]);
        assert_eq!((changes[0].word, changes[0].fields.len()), (ObjectWord::Changed, 1));
    }
}
