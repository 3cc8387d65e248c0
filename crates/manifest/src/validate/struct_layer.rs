//! The struct layer: metadata, then the tags and rules of every field in Calico's order, then the object's own rule.

use serde_json::Value;
use tortie_api::Object;
use tortie_api::shape::Form;

use super::compiled_rules::{CompiledRules, Node};
use super::metadata;
use super::place::Place;
use super::rules::scalar;
use super::tag;
use super::value::{Fields, go_text};
use crate::problem::Problem;

/// Checks an object.
pub(super) fn check(object: &Object, compiled: &CompiledRules, out: &mut Vec<Problem>) {
    metadata::check(object, out);
    for node in &compiled.roots {
        if node.has_tags {
            visit(node, object.body.get(&node.name), &node.go, &Place::ROOT.key(&node.name), out);
        }
    }
    if let Some(rule) = compiled.rules.object {
        rule(object, compiled, out);
    }
}

fn visit(node: &Node, value: Option<&Value>, go: &str, place: &Place, out: &mut Vec<Problem>) {
    let value = value.filter(|value| !value.is_null());
    match &node.shape.form {
        Form::Record(_) => {
            let none = Fields::new();
            // A record that is no pointer in Calico is always there, if only empty.
            let fields = match value {
                Some(Value::Object(fields)) => fields,
                None if node.shape.pointer => return tag::check(&node.tags, None, node.shape, go, place, out),
                _ => &none,
            };
            for (field, value) in node.fields.iter().zip(node.values(fields)).filter(|(field, _)| field.has_tags) {
                visit(field, value, &field.go, &place.key(&field.name), out);
            }
            for rule in &node.record_rules {
                place.look(out, |place, out| rule(fields, node, place, out));
            }
        }
        Form::List(_) => {
            let before = out.len();
            tag::check(&node.tags, value, node.shape, go, place, out);
            let (Some(item), Some(Value::Array(items))) = (&node.item, value) else { return };
            // Calico does not look into a list that is wrong as a whole.
            if item.has_tags && out.len() == before {
                for (index, value) in items.iter().enumerate() {
                    visit_item(item, value, go, index, &place.index(index), out);
                }
            }
        }
        Form::Special(kind) if kind == "port" => {
            place.look(out, |place, out| scalar::port(value, place, out));
        }
        Form::Special(kind) if kind == "protocol" => {
            // The zero of a protocol that is no pointer is the number 0, which is none.
            if value.is_some() || !node.shape.pointer {
                place.look(out, |place, out| scalar::protocol(value, place, out));
            }
        }
        _ => tag::check(&node.tags, value, node.shape, go, place, out),
    }
}

fn visit_item(item: &Node, value: &Value, list: &str, index: usize, place: &Place, out: &mut Vec<Problem>) {
    match item.shape.form {
        // Only tags name the item in their text; making the name costs more than most of them.
        Form::Record(_) | Form::Special(_) if item.tags.is_empty() => visit(item, Some(value), "", place, out),
        _ => {
            let before = out.len();
            tag::check(&item.tags, Some(value), item.shape, list, place, out);
            for problem in &mut out[before..] {
                let name = format!("{list}[{index}]");
                problem.reason = problem.reason.replacen(&format!("Field: {list} "), &format!("Field: {name} "), 1);
                problem.field = name;
                problem.value = Some(go_text(value, Some(item.shape)));
            }
        }
    }
}
