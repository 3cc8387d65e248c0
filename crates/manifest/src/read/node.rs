//! What a text holds, with the place of every part: the tree between YAML and a resource.
//!
//! Places are bytes of the whole [`Source`](super::Source), which turns them into lines and columns.

use std::ops::Range;

use serde_json::{Map, Number};
use tortie_api::{Path, Step};

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Its bytes, quotes included; an alias has those of its anchor.
    pub span: Range<usize>,
}

/// A value, as YAML 1.1 understands the text.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// `true`, `no`, `on`, ...
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number beyond [`i64::MAX`].
    Big(u64),
    /// Any other number; may be infinite or not a number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map.
    Map(Vec<Entry>),
}

/// A key of a map and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key as text; after decoding, a field's canonical name.
    pub key: String,
    /// The key's bytes.
    pub key_span: Range<usize>,
    /// Whether the key itself is at fault (unknown, or given twice), so that messages point at it.
    pub faulty: bool,
    /// Whether it was brought by `<<`.
    pub merged: bool,
    /// The value.
    pub value: Node,
}

/// Where a path leads.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// The deepest node of the path that exists.
    pub node: &'a Node,
    /// The entry that holds it, if it is a map's value.
    pub entry: Option<&'a Entry>,
    /// How many steps of the path led there.
    pub steps: usize,
}

impl Node {
    /// The entry of a map under this key; of several the first.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The text, if it is text.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The entries, if it is a map.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items, if it is a list.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// Follows a path as far as it exists. Where a key stands several times, `pick` chooses (0 is the first); too
    /// large a number is the last.
    pub fn find(&self, path: &Path, pick: usize) -> Found<'_> {
        let mut found = Found { node: self, entry: None, steps: 0 };
        for step in &path.0 {
            let (node, entry) = match (step, &found.node.value) {
                (Step::Key(key), Value::Map(entries)) => {
                    let mut same = entries.iter().filter(|entry| entry.key == *key);
                    match same.clone().nth(pick).or_else(|| same.next_back()) {
                        Some(entry) => (&entry.value, Some(entry)),
                        None => break,
                    }
                }
                (Step::Index(index), Value::List(items)) => match items.get(*index) {
                    Some(item) => (item, None),
                    None => break,
                },
                _ => break,
            };
            found = Found { node, entry, steps: found.steps + 1 };
        }
        found
    }

    /// The value as JSON, without places. What JSON cannot express (an infinite number) is null.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Int(value) => Json::from(*value),
            Value::Big(value) => Json::from(*value),
            Value::Float(value) => float(*value),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => Json::Array(items.iter().map(Node::to_json).collect()),
            Value::Map(entries) => {
                let pairs = entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json()));
                Json::Object(pairs.collect::<Map<_, _>>())
            }
        }
    }
}

/// A float as Go writes it into JSON: a whole number below 1e21 has no fraction, and so is an integer again.
fn float(value: f64) -> serde_json::Value {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return serde_json::Value::from(value as i64);
    }
    Number::from_f64(value).map_or(serde_json::Value::Null, serde_json::Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Node {
        Node { value: Value::Text(text.into()), span: 0..0 }
    }

    fn entry(key: &str, value: Node) -> Entry {
        Entry { key: key.into(), key_span: 0..0, faulty: false, merged: false, value }
    }

    #[test]
    fn a_path_is_followed_as_far_as_it_exists() {
        let list = Node { value: Value::List(vec![text("a"), text("b")]), span: 0..0 };
        let twice = vec![entry("l", list), entry("t", text("1")), entry("t", text("2")), entry("t", text("3"))];
        let root = Node { value: Value::Map(twice), span: 0..0 };
        assert_eq!(root.find(&Path::from("l[1]"), 0).node.text(), Some("b"));
        let found = root.find(&Path::from("l[2].x"), 0);
        assert_eq!((found.steps, found.node.items().len()), (1, 2));
        assert_eq!(root.find(&Path::from("nothing"), 0).steps, 0);
        assert_eq!(root.find(&Path::from("t"), 1).node.text(), Some("2"));
        assert_eq!(root.find(&Path::from("t"), usize::MAX).node.text(), Some("3"));
    }
}
