//! The schema layer: what the CRD of a kind says, bounds of all fields first, then its rules.
//!
//! It sees the object as Calico writes it: a field that is empty and no pointer is absent, unless it is always
//! written. Defaults of the schema count as filled in; the few rules that read such a field know it.

use serde_json::Value;
use tortie_api::Object;
use tortie_api::shape::Form;

use super::compiled_rules::{CompiledRules, Format, Node};
use super::pattern;
use super::place::Place;
use super::suggest;
use super::tag;
use super::value::{Fields, as_int, go_text, is_empty};
use crate::problem::Problem;

/// Checks an object.
pub(super) fn check(object: &Object, compiled: &CompiledRules, out: &mut Vec<Problem>) {
    for node in compiled.roots.iter().filter(|node| node.has_schema) {
        bounds(node, object.body.get(&node.name), &Place::ROOT.key(&node.name), out);
    }
    if let Some(rule) = compiled.rules.object_schema {
        rule(object, compiled, out);
    }
    let none = Value::Object(Fields::new());
    for node in compiled.roots.iter().filter(|node| node.has_rules) {
        let value = object.body.get(&node.name).or((node.name == "spec").then_some(&none));
        if let Some(value) = value {
            rules(node, value, &Place::ROOT.key(&node.name), out);
        }
    }
}

/// The bounds of a field and of all that is in it.
fn bounds(node: &Node, value: Option<&Value>, place: &Place, out: &mut Vec<Problem>) {
    let written = value.filter(|value| !value.is_null() && (node.shape.pointer || node.always || !is_empty(value)));
    match (written, &node.shape.form) {
        (None, form) if node.always && (node.shape.pointer || matches!(form, Form::List(_))) => {
            out.push(null(form, place));
        }
        (None, Form::Text) if node.always => scalar(node, &Value::from(""), place, out),
        (None, Form::Int | Form::Float) if node.always => scalar(node, &Value::from(0), place, out),
        (None, Form::Record(_)) if node.always => fields(node, &Fields::new(), place, out),
        (None, _) => {
            let limits = &node.shape.rules;
            if limits.required && limits.default.is_none() && !node.always {
                out.push(Problem::schema(place.path(), "").message("a value is missing"));
            }
        }
        (Some(Value::Array(items)), Form::List(_)) => list(node, items, place, out),
        (Some(Value::Object(values)), Form::Map(_)) => {
            for (key, value) in values {
                let Some(item) = node.item.as_ref().filter(|item| item.has_schema) else { return };
                bounds(item, Some(value), &place.key(key), out);
            }
        }
        (Some(Value::Object(found)), Form::Record(_)) => fields(node, found, place, out),
        (Some(value), _) => scalar(node, value, place, out),
    }
}

/// What is always written, and is nothing.
fn null(form: &Form, place: &Place) -> Problem {
    let kind = match form {
        Form::List(_) => "array",
        Form::Int => "integer",
        Form::Record(_) | Form::Map(_) => "object",
        _ => "string",
    };
    let reason = format!("{} in body must be of type {kind}: \"null\"", place.path());
    Problem::schema(place.path(), reason).message("a value is missing")
}

fn fields(node: &Node, found: &Fields, place: &Place, out: &mut Vec<Problem>) {
    for (field, value) in node.fields.iter().zip(node.values(found)).filter(|(field, _)| field.has_schema) {
        bounds(field, value, &place.key(&field.name), out);
    }
}

fn list(node: &Node, items: &[Value], place: &Place, out: &mut Vec<Problem>) {
    let limits = &node.shape.rules;
    let count = items.len() as u64;
    if let Some(most) = limits.max_items.filter(|most| count > *most) {
        let reason = format!("must have at most {most} {}", if most == 1 { "item" } else { "items" });
        let message = format!("at most {most} are allowed; there are {count}");
        let problem = Problem::schema(place.path(), reason).message(message);
        out.push(Problem { help: suggest::for_limit(&node.name), ..problem });
    }
    if let Some(fewest) = limits.min_items.filter(|fewest| count < *fewest) {
        let reason = format!("{} in body should have at least {fewest} items", place.path());
        out.push(Problem::schema(place.path(), reason).message(format!("at least {fewest} must stand here")));
    }
    if let Some(item) = node.item.as_ref().filter(|item| item.has_schema) {
        for (index, value) in items.iter().enumerate() {
            bounds_of_item(item, value, &place.index(index), out);
        }
    }
}

/// Items are written even when they are empty.
fn bounds_of_item(node: &Node, value: &Value, place: &Place, out: &mut Vec<Problem>) {
    match (value, &node.shape.form) {
        (Value::Object(found), Form::Record(_)) => fields(node, found, place, out),
        (Value::Array(_), _) | (Value::Object(_), _) => bounds(node, Some(value), place, out),
        (value, _) => scalar(node, value, place, out),
    }
}

fn scalar(node: &Node, value: &Value, place: &Place, out: &mut Vec<Problem>) {
    place.look(out, |place, out| limits(node, value, place, out));
}

fn limits(node: &Node, value: &Value, place: &Place, out: &mut Vec<Problem>) {
    let limits = &node.shape.rules;
    // Every reason that names the place is made only when there is a problem.
    let body = |what: String| format!("{} in body should {what}", place.path());
    if !limits.one_of.is_empty() && !limits.one_of.contains(value) {
        let words: Vec<String> = limits.one_of.iter().map(|word| go_text(word, None)).collect();
        let reason = format!(
            "supported values: {}",
            words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ")
        );
        let problem = Problem::schema(place.path(), reason);
        out.push(tag::one_of(problem, &go_text(value, None), words.iter().map(String::as_str)));
    }
    if let Value::String(text) = value {
        let count = || text.chars().count() as u64;
        if let Some(most) = limits.max_length.filter(|most| text.len() as u64 > *most && count() > *most) {
            let reason = format!("may not be more than {most} {}", if most == 1 { "byte" } else { "bytes" });
            let message = format!("at most {most} characters are allowed; there are {}", count());
            let problem = Problem::schema(place.path(), reason).message(message);
            out.push(Problem { help: suggest::for_limit(&node.name), ..problem });
        }
        if let Some(least) = limits.min_length.filter(|least| count() < *least) {
            let reason = body(format!("be at least {least} chars long"));
            out.push(Problem::schema(place.path(), reason).message(format!("at least {least} characters are needed")));
        }
        if let Some(pattern) = node.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
            let reason = body(format!("match '{pattern}'"));
            out.push(pattern::explain(Problem::schema(place.path(), reason), text, pattern.as_str()));
        }
        format(node, text, place, out);
    }
    if let Some(number) = as_int(value).filter(|_| limits.minimum.is_some() || limits.maximum.is_some()) {
        if let Some(least) = limits.minimum.filter(|least| number < *least) {
            let reason = body(format!("be greater than or equal to {least}"));
            out.push(
                Problem::schema(place.path(), reason).message(format!("this must be at least {least}; it is {number}")),
            );
        }
        if let Some(most) = limits.maximum.filter(|most| number > *most) {
            let reason = body(format!("be less than or equal to {most}"));
            out.push(
                Problem::schema(place.path(), reason).message(format!("this must be at most {most}; it is {number}")),
            );
        }
    }
}

fn format(node: &Node, text: &str, place: &Place, out: &mut Vec<Problem>) {
    let (name, fits) = match node.format {
        None => return,
        Some(Format::Cidr) => ("cidr", text.contains('/') && tortie_net::parse_cidr(text).is_ok()),
        Some(Format::DateTime) => ("date-time", text.parse::<jiff::Timestamp>().is_ok()),
    };
    if !fits {
        let reason = format!("{} in body must be of type {name}: {text:?}", place.path());
        let problem = Problem::schema(place.path(), reason);
        out.push(match (node.format, tortie_net::parse_address(text)) {
            (Some(Format::Cidr), Ok(address)) => {
                let full = if address.is_ipv4() { 32 } else { 128 };
                problem
                    .message(format!("`{text}` is an address; this must be a net"))
                    .help(format!("write `{text}/{full}`"))
            }
            (Some(Format::Cidr), Err(_)) => problem.message(format!("`{text}` is not a net in CIDR notation")),
            _ => problem.message(format!("`{text}` is not a time (RFC 3339)")),
        });
    }
}

/// The rules of a record and of all that is in it.
fn rules(node: &Node, value: &Value, place: &Place, out: &mut Vec<Problem>) {
    match value {
        Value::Object(found) => {
            for rule in &node.schema_rules {
                place.look(out, |place, out| rule(found, node, place, out));
            }
            for (field, value) in node.fields.iter().zip(node.values(found)).filter(|(field, _)| field.has_rules) {
                if let Some(value) = value {
                    rules(field, value, &place.key(&field.name), out);
                }
            }
        }
        Value::Array(items) => {
            let Some(item) = node.item.as_ref().filter(|item| item.has_rules) else { return };
            for (index, value) in items.iter().enumerate() {
                rules(item, value, &place.index(index), out);
            }
        }
        _ => {}
    }
}
