//! Writing YAML as calicoctl prints it, byte for byte: keys sorted, lists not indented, lines folded after 80 columns,
//! text quoted where YAML 1.1 would take it for something else.
//!
//! Two things differ, since as calicoctl writes them they do not come back as they were: text with the line separators
//! U+2028 and U+2029 is written with escapes, and a key `<<` with quotes.

mod order;
mod out;
mod text;

use serde_json::{Map, Number, Value};

use crate::read::float64_text;
use out::Out;

/// The YAML of a value, with a line break at the end.
pub fn yaml(value: &Value) -> String {
    let mut out = Out::default();
    node(&mut out, value, Place::Root);
    out.indent();
    out.finish()
}

/// The longest key, in bytes, that is written without `? `.
const LONGEST_KEY: usize = 128;

/// Where a value stands.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Root,
    Item,
    /// The value of a key, or a key written with `? `.
    Mapping,
    Key,
}

fn node(out: &mut Out, value: &Value, place: Place) {
    match value {
        Value::Null => out.plain("null"),
        Value::Bool(value) => out.plain(if *value { "true" } else { "false" }),
        Value::Number(value) => out.plain(&number(value)),
        Value::String(value) => scalar(out, value, place),
        Value::Array(items) if items.is_empty() => out.plain("[]"),
        Value::Array(items) => list(out, items, place),
        Value::Object(map) if map.is_empty() => out.plain("{}"),
        Value::Object(map) => mapping(out, map),
    }
}

fn list(out: &mut Out, items: &[Value], place: Place) {
    // Directly below its key, a list stands in the key's own column.
    let same_column = place == Place::Mapping && !out.at_indent();
    let outer = out.deeper(same_column);
    for item in items {
        out.indent();
        out.indicator("-", true);
        node(out, item, Place::Item);
    }
    out.leave(outer);
}

fn mapping(out: &mut Out, map: &Map<String, Value>) {
    let outer = out.deeper(false);
    let mut keys: Vec<&String> = map.keys().collect();
    order::sort(&mut keys);
    for key in keys {
        out.indent();
        if key.len() <= LONGEST_KEY && !text::is_multiline(key) {
            scalar(out, key, Place::Key);
            out.sign(":");
        } else {
            out.indicator("?", true);
            scalar(out, key, Place::Mapping);
            out.indent();
            out.indicator(":", true);
        }
        if let Some(value) = map.get(key) {
            node(out, value, Place::Mapping);
        }
    }
    out.leave(outer);
}

fn scalar(out: &mut Out, value: &str, place: Place) {
    let outer = out.deeper_scalar();
    text::write(out, value, place == Place::Key);
    out.leave(outer);
}

/// A number as Go reads it from JSON and prints it: whole numbers of 64 bits in full, all others with `%g`.
fn number(value: &Number) -> String {
    let Some(float) = value.as_f64().filter(|_| value.is_f64()) else { return value.to_string() };
    // Go's JSON has no exponent between these bounds, so that a whole float is a whole number to YAML.
    if float.abs() < 1e21 {
        let digits = float.to_string();
        if let Ok(whole) = digits.parse::<i64>() {
            return whole.to_string();
        }
        if digits.parse::<u64>().is_ok() {
            return digits;
        }
    }
    float64_text(float)
}

#[cfg(test)]
mod tests;
