//! Converts a tree to the form that its shape determines.

use serde_json::{Map, Number, Value};

use crate::shape::{Field, Form, Record, Shape};

/// The value as Go would write it. What does not fit its shape was written by another program and stays as it is.
pub(super) fn value(shape: &Shape, value: &Value) -> Value {
    match (&shape.form, value) {
        (_, Value::Null) if shape.pointer => Value::Null,
        (_, Value::Null) => zero(shape),
        (Form::List(item), Value::Array(items)) => items.iter().map(|it| self::value(item, it)).collect(),
        (Form::Map(item), Value::Object(map)) => sorted(item, map),
        (Form::Record(fields), Value::Object(map)) => Value::Object(record(fields, map)),
        (Form::Float, Value::Number(number)) => float(number),
        _ => value.clone(),
    }
}

fn record(shape: &Record, map: &Map<String, Value>) -> Map<String, Value> {
    fields(&shape.fields, shape, map)
}

/// These fields of a record, and what it does not know.
pub(super) fn fields(fields: &[Field], shape: &Record, map: &Map<String, Value>) -> Map<String, Value> {
    let mut out = Map::with_capacity(map.len());
    for field in fields {
        let found = map.get(&field.name);
        if is_written(field, found) {
            out.insert(field.name.clone(), value(&field.shape, found.unwrap_or(&Value::Null)));
        }
    }
    for (name, value) in map {
        if shape.field(name).is_none_or(|field| field.name != *name) {
            out.insert(name.clone(), value.clone());
        }
    }
    out
}

fn is_written(field: &Field, found: Option<&Value>) -> bool {
    match found {
        _ if field.always => true,
        None | Some(Value::Null) => false,
        Some(_) if field.shape.pointer => true,
        Some(value) => !is_empty(&field.shape, value),
    }
}

/// Whether Go leaves this out: an empty scalar, list or map, or a record with nothing at all in it.
fn is_empty(shape: &Shape, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => match &shape.form {
            Form::Record(record) => is_zero(record, map),
            _ => map.is_empty(),
        },
    }
}

/// Whether a record is as if never touched. An empty list in it is a touch.
fn is_zero(shape: &Record, map: &Map<String, Value>) -> bool {
    map.iter().all(|(name, value)| match (shape.field(name), value) {
        (_, Value::Null) => true,
        (None, _) | (_, Value::Array(_)) => false,
        (Some(field), _) if field.shape.pointer => false,
        (Some(Field { shape: Shape { form: Form::Map(_), .. }, .. }), _) => false,
        (Some(field), value) => is_empty(&field.shape, value),
    })
}

/// What Go writes for a value that was never set.
fn zero(shape: &Shape) -> Value {
    match &shape.form {
        _ if shape.pointer => Value::Null,
        Form::Text => Value::from(""),
        Form::Int | Form::Float => Value::from(0),
        Form::Bool => Value::from(false),
        Form::Record(fields) => Value::Object(record(fields, &Map::new())),
        Form::Special(kind) => match kind.as_str() {
            "duration" => Value::from("0s"),
            "time" => Value::Null,
            _ => Value::from(0),
        },
        Form::List(_) | Form::Map(_) | Form::Any => Value::Null,
    }
}

fn sorted(item: &Shape, map: &Map<String, Value>) -> Value {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by_key(|(name, _)| *name);
    Value::Object(entries.into_iter().map(|(name, it)| (name.clone(), value(item, it))).collect())
}

/// A number as Go's float64 holds it; a whole one is written without a point.
fn float(number: &Number) -> Value {
    match number.as_f64() {
        Some(float) if float.fract() == 0.0 && float.abs() < 9e15 && (float != 0.0 || float.is_sign_positive()) => {
            Value::from(float as i64)
        }
        Some(float) => Number::from_f64(float).map_or_else(|| number.clone().into(), Value::Number),
        None => number.clone().into(),
    }
}
