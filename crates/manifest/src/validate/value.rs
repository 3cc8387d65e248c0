//! Looking into an object's JSON as Calico's typed code sees it: what is empty there is absent.

use serde_json::{Map, Value};
use tortie_api::shape::{Form, Shape};

/// A record of the object.
pub(super) type Fields = Map<String, Value>;

/// The text of a field; empty if it is absent.
pub(super) fn text<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The items of a list; none if it is absent.
pub(super) fn list<'a>(fields: &'a Fields, name: &str) -> &'a [Value] {
    fields.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The texts of a list, each with its place in it.
pub(super) fn texts<'a>(fields: &'a Fields, name: &str) -> impl Iterator<Item = (usize, &'a str)> {
    list(fields, name).iter().enumerate().filter_map(|(index, item)| Some((index, item.as_str()?)))
}

/// The record of a field, also an empty one.
pub(super) fn record<'a>(fields: &'a Fields, name: &str) -> Option<&'a Fields> {
    fields.get(name).and_then(Value::as_object)
}

/// The records of a list, each with its place in it.
pub(super) fn records<'a>(fields: &'a Fields, name: &str) -> impl Iterator<Item = (usize, &'a Fields)> {
    list(fields, name).iter().enumerate().filter_map(|(index, item)| Some((index, item.as_object()?)))
}

/// A whole number.
pub(super) fn int(fields: &Fields, name: &str) -> Option<i64> {
    fields.get(name).and_then(as_int)
}

/// A whole number, also one that is written with a fraction of zero.
pub(super) fn as_int(value: &Value) -> Option<i64> {
    let whole = |float: f64| (float.fract() == 0.0 && float.abs() < 9.0e18).then_some(float as i64);
    value.as_i64().or_else(|| value.as_f64().and_then(whole))
}

/// A flag that is set.
pub(super) fn flag(fields: &Fields, name: &str) -> bool {
    fields.get(name).and_then(Value::as_bool).unwrap_or(false)
}

/// Whether a field that is no pointer in Calico would be written at all.
pub(super) fn filled(fields: &Fields, name: &str) -> bool {
    fields.get(name).is_some_and(|value| !is_empty(value))
}

/// Whether a field that is a pointer in Calico points to something.
pub(super) fn present(fields: &Fields, name: &str) -> bool {
    fields.get(name).is_some_and(|value| !value.is_null())
}

/// Whether Go calls the value empty.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

/// The value as Go prints it in a message: texts bare, `[a b]`, `map[k:v]`, and records as `{a b}` with every field
/// of their shape. What Go shows as an address in memory is shown as its value.
pub(super) fn go_text(value: &Value, shape: Option<&Shape>) -> String {
    let mut out = String::new();
    write_go(&mut out, value, shape, true);
    out
}

fn write_go(out: &mut String, value: &Value, shape: Option<&Shape>, top: bool) {
    let form = shape.map(|shape| &shape.form);
    match (value, form) {
        (Value::Null, Some(Form::List(_))) => out.push_str("[]"),
        (Value::Null, Some(Form::Map(_))) => out.push_str("map[]"),
        (Value::Null, _) => out.push_str("<nil>"),
        (Value::String(text), _) => out.push_str(text),
        (Value::Array(items), _) => {
            let item_shape = match form {
                Some(Form::List(item)) => Some(&**item),
                _ => None,
            };
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { " " } else { "" });
                write_go(out, item, item_shape, false);
            }
            out.push(']');
        }
        (Value::Object(fields), Some(Form::Record(record))) => {
            out.push_str(if top && shape.is_some_and(|shape| shape.pointer) { "&{" } else { "{" });
            for (index, field) in record.fields.iter().enumerate() {
                out.push_str(if index > 0 { " " } else { "" });
                let absent = Value::Null;
                let value = fields.get(&field.name).unwrap_or(&absent);
                match (value, &field.shape.form) {
                    (Value::Null, _) if field.shape.pointer => out.push_str("<nil>"),
                    (Value::Null, Form::Text | Form::Special(_)) => {}
                    (Value::Null, Form::Int | Form::Float) => out.push('0'),
                    (Value::Null, Form::Bool) => out.push_str("false"),
                    (Value::Null, Form::Record(_)) => {
                        write_go(out, &Value::Object(Fields::new()), Some(&field.shape), false);
                    }
                    (value, _) => write_go(out, value, Some(&field.shape), false),
                }
            }
            out.push('}');
        }
        (Value::Object(fields), _) => {
            let mut keys: Vec<_> = fields.iter().collect();
            keys.sort_by_key(|(key, _)| key.as_str());
            out.push_str("map[");
            for (index, (key, value)) in keys.into_iter().enumerate() {
                out.push_str(if index > 0 { " " } else { "" });
                out.push_str(key);
                out.push(':');
                write_go(out, value, None, false);
            }
            out.push(']');
        }
        (other, _) => out.push_str(&other.to_string()),
    }
}
