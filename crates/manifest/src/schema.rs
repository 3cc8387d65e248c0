//! JSON schemas (draft 2020-12) of the kinds, for editors: `tortie schema KIND`.
//!
//! They say what a person may write, as far as JSON schema has words for it. What holds between fields, and what a
//! selector or a net looks like, only `tortie validate` knows.

use serde_json::{Map, Value, json};
use tortie_api::shape::{Field, Form, Record, Rules, Shape};
use tortie_api::{API_VERSION, Kind, kinds};

/// The schema of a kind's manifests.
pub fn json_schema(kind: Kind) -> Value {
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".to_owned(), json!(kind.name()));
    schema.extend(of(kinds::shape(kind)));
    schema.insert("required".to_owned(), json!(["kind", "apiVersion", "metadata"]));
    let mut schema = Value::Object(schema);
    schema["properties"]["kind"] = json!({ "const": kind.name() });
    schema["properties"]["apiVersion"] = json!({ "const": API_VERSION });
    schema
}

fn of(shape: &Shape) -> Map<String, Value> {
    let schema = match &shape.form {
        Form::Text => json!({ "type": "string" }),
        Form::Int => json!({ "type": "integer" }),
        Form::Float => json!({ "type": "number" }),
        Form::Bool => json!({ "type": "boolean" }),
        Form::Special(kind) => match kind.as_str() {
            "duration" => json!({ "type": "string" }),
            // A time that never was is null where it is always written.
            "time" => json!({ "type": ["string", "null"], "format": "date-time" }),
            _ => json!({ "type": ["integer", "string"] }),
        },
        Form::List(item) => json!({ "type": "array", "items": of(item) }),
        Form::Map(item) => json!({ "type": "object", "additionalProperties": of(item) }),
        Form::Record(record) => self::record(record),
        Form::Any => json!({}),
    };
    let mut schema = if let Value::Object(schema) = schema { schema } else { Map::new() };
    add_rules(&mut schema, &shape.rules);
    schema
}

fn record(record: &Record) -> Value {
    let properties: Map<_, _> = record.fields.iter().map(|field| (field.name.clone(), property(field))).collect();
    let required: Vec<_> = record.fields.iter().filter(|field| field.shape.rules.required).collect();
    let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        schema["required"] = required.iter().map(|field| field.name.as_str()).collect();
    }
    schema
}

fn property(field: &Field) -> Value {
    let mut schema = Map::new();
    if !field.doc.is_empty() {
        schema.insert("description".to_owned(), json!(field.doc));
    }
    schema.extend(of(&field.shape));
    Value::Object(schema)
}

fn add_rules(schema: &mut Map<String, Value>, rules: &Rules) {
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            schema.insert(name.to_owned(), value);
        }
    };
    // The widest integers bound nothing that a person writes.
    let holds = rules.holds.filter(|(low, _)| *low != i64::MIN);
    put("enum", (!rules.one_of.is_empty()).then(|| json!(rules.one_of)));
    put("pattern", rules.pattern.as_deref().map(|pattern| json!(any_case(pattern))));
    put("minLength", rules.min_length.map(Value::from));
    put("maxLength", rules.max_length.map(Value::from));
    put("minItems", rules.min_items.map(Value::from));
    put("maxItems", rules.max_items.map(Value::from));
    put("minimum", rules.minimum.or(holds.map(|(low, _)| low)).map(Value::from));
    put("maximum", rules.maximum.or(holds.map(|(_, high)| high)).map(Value::from));
    put("default", rules.default.clone());
}

/// JSON schema's regular expressions have no `(?i)`: each letter becomes a choice of both.
fn any_case(pattern: &str) -> String {
    let Some((before, after)) = pattern.split_once("(?i)") else { return pattern.to_owned() };
    let letter = |c: char| match c.is_ascii_alphabetic() {
        true => format!("[{}{}]", c.to_ascii_uppercase(), c.to_ascii_lowercase()),
        false => c.to_string(),
    };
    before.chars().map(String::from).chain(after.chars().map(letter)).collect()
}

#[cfg(test)]
mod tests;
