//! What is to be checked in a kind, put together once from its shape and the rules that need code.
//!
//! A [`Node`] knows whether anything below it has a rule at all, so walking an object passes over what has none.

use std::sync::OnceLock;

use regex_lite::Regex;
use serde_json::Value;
use tortie_api::shape::{Form, Shape};
use tortie_api::{Kind, Object, kinds};

use super::place::Place;
use super::rules;
use super::tag::{self, Tag};
use super::value::Fields;
use crate::problem::Problem;

/// A rule about one record: Calico's struct validators, and the rules of its CRDs.
pub(super) type RecordRule = fn(&Fields, &Node, &Place, &mut Vec<Problem>);
/// A rule about the object as a whole.
pub(super) type ObjectRule = fn(&Object, &CompiledRules, &mut Vec<Problem>);

/// The rules of a kind that need code. Paths are those of fields, `[]` stands for the items of a list.
#[derive(Default)]
pub(super) struct KindRules {
    /// Struct layer, after all fields.
    pub(super) object: Option<ObjectRule>,
    /// Struct layer, after the fields of a record.
    pub(super) records: &'static [(&'static str, RecordRule)],
    /// Lists whose items Calico's struct layer does not look into.
    pub(super) unvisited: &'static [&'static str],
    /// Schema layer, about the whole object.
    pub(super) object_schema: Option<ObjectRule>,
    /// Schema layer, about a record.
    pub(super) schema: &'static [(&'static str, RecordRule)],
    /// Text formats of the schema layer.
    pub(super) formats: &'static [(&'static str, Format)],
    /// There is no CRD, so there is no schema layer.
    pub(super) no_schema: bool,
}

/// A format of a text that the schema layer knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// A net in CIDR notation.
    Cidr,
    /// RFC 3339.
    DateTime,
}

/// Everything to be checked in a kind.
pub(super) struct CompiledRules {
    pub(super) rules: KindRules,
    /// `spec` and, where there is one, `status`.
    pub(super) roots: Vec<Node>,
}

/// What is to be checked at one place.
pub(super) struct Node {
    /// The field's name in JSON; empty for items.
    pub(super) name: String,
    /// The field's name in Calico's messages.
    pub(super) go: String,
    /// Written even when empty.
    pub(super) always: bool,
    pub(super) shape: &'static Shape,
    /// Fields of a record.
    pub(super) fields: Vec<Node>,
    /// Items of a list, values of a map.
    pub(super) item: Option<Box<Node>>,
    pub(super) tags: Vec<Tag>,
    pub(super) record_rules: Vec<RecordRule>,
    pub(super) schema_rules: Vec<RecordRule>,
    pub(super) pattern: Option<Regex>,
    pub(super) format: Option<Format>,
    /// Whether the struct layer has anything to check here or below.
    pub(super) has_tags: bool,
    /// Whether the schema layer has.
    pub(super) has_schema: bool,
    /// Whether it has rules of records here or below.
    pub(super) has_rules: bool,
}

impl CompiledRules {
    /// The compiled rules of a kind, made when they are first needed.
    pub(super) fn of(kind: Kind) -> &'static CompiledRules {
        const KINDS: usize = Kind::ALL.len() + Kind::KUBERNETES.len();
        static COMPILED: [OnceLock<CompiledRules>; KINDS] = [const { OnceLock::new() }; KINDS];
        COMPILED[kind as usize].get_or_init(|| {
            let rules = rules::of(kind);
            let roots = kinds::shape(kind).record().map_or(&[][..], |record| &record.fields);
            let roots = roots.iter().filter(|field| matches!(field.name.as_str(), "spec" | "status"));
            let roots = roots.map(|field| {
                let mut node = Node::of(&field.shape, &rules, field.name.clone());
                (node.name, node.go, node.always) = (field.name.clone(), field.go.clone(), field.always);
                node
            });
            CompiledRules { roots: roots.collect(), rules }
        })
    }

    /// What is to be checked in the spec.
    pub(super) fn spec(&self) -> Option<&Node> {
        self.roots.iter().find(|node| node.name == "spec")
    }
}

impl Node {
    fn of(shape: &'static Shape, rules: &KindRules, path: String) -> Node {
        let at = |table: &[(&'static str, RecordRule)]| {
            table.iter().filter(|(place, _)| *place == path).map(|(_, rule)| *rule).collect::<Vec<_>>()
        };
        let (record_rules, schema_rules) = (at(rules.records), at(rules.schema));
        let format = match shape.rules.format.as_deref() {
            Some("cidr") => Some(Format::Cidr),
            _ => rules.formats.iter().find(|(place, _)| *place == path).map(|(_, format)| *format),
        };
        let fields: Vec<Node> = shape.record().map_or_else(Vec::new, |record| {
            let field = |field: &'static tortie_api::shape::Field| {
                let mut node = Node::of(&field.shape, rules, format!("{path}.{}", field.name));
                (node.name, node.go, node.always) = (field.name.clone(), field.go.clone(), field.always);
                node
            };
            record.fields.iter().map(field).collect()
        });
        let item = match &shape.form {
            Form::List(item) => {
                let mut node = Node::of(item, rules, format!("{path}[]"));
                // Only fields may be left empty; an item is looked at.
                node.tags.iter_mut().for_each(|tag| tag.looks_at_empty = true);
                Some(Box::new(node))
            }
            Form::Map(value) => Some(Box::new(Node::of(value, rules, format!("{path}{{}}")))),
            _ => None,
        };
        let tags = shape.rules.tag.as_deref().map_or_else(Vec::new, tag::parse);
        let special = matches!(&shape.form, Form::Special(name) if name == "port" || name == "protocol");
        // The values of maps are never visited; what a map may hold is a rule of the map.
        let visited = matches!(shape.form, Form::List(_)) && !rules.unvisited.contains(&path.as_str());
        let has_tags = !tags.is_empty()
            || !record_rules.is_empty()
            || special
            || fields.iter().any(|field| field.has_tags)
            || (visited && item.as_ref().is_some_and(|item| item.has_tags));
        let limits = &shape.rules;
        let has_schema = !schema_rules.is_empty()
            || format.is_some()
            || limits.required
            || limits.max_length.is_some()
            || limits.min_length.is_some()
            || limits.max_items.is_some()
            || limits.min_items.is_some()
            || limits.minimum.is_some()
            || limits.maximum.is_some()
            || !limits.one_of.is_empty()
            || limits.pattern.is_some()
            || fields.iter().any(|field| field.has_schema)
            || item.as_ref().is_some_and(|item| item.has_schema);
        let has_rules = !schema_rules.is_empty()
            || fields.iter().any(|field| field.has_rules)
            || item.as_ref().is_some_and(|item| item.has_rules);
        let item = item.map(|mut item| {
            item.has_tags &= visited;
            item
        });
        // A pattern of our own types always compiles; `every_pattern_compiles` says so.
        let pattern = limits.pattern.as_deref().and_then(|pattern| Regex::new(pattern).ok());
        let (name, go, always) = (String::new(), String::new(), false);
        Node {
            name,
            go,
            always,
            shape,
            fields,
            item,
            tags,
            record_rules,
            schema_rules,
            pattern,
            format,
            has_tags,
            has_schema,
            has_rules,
        }
    }

    /// The value of each field, in the order of [`Node::fields`]. Objects say few of the fields that they could, so
    /// looking up what is there is faster than asking for each.
    pub(super) fn values<'v>(&self, found: &'v Fields) -> Vec<Option<&'v Value>> {
        let mut values = vec![None; self.fields.len()];
        for (name, value) in found {
            if let Some(at) = self.fields.iter().position(|field| field.name == *name) {
                values[at] = Some(value);
            }
        }
        values
    }

    /// What is to be checked in a field.
    pub(super) fn field(&self, name: &str) -> Option<&Node> {
        self.fields.iter().find(|field| field.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_plan_those_of_kubernetes_too() {
        for kind in Kind::ALL.iter().chain(Kind::KUBERNETES) {
            assert!(CompiledRules::of(*kind).roots.len() <= 2, "{kind}");
        }
    }
}
