//! The shape of a kind, compiled from its Rust types: which fields there are, of what type, under which rules.
//!
//! The types in `kinds/` are the one definition. `schemars` reads them; [`Shape::of`] turns that schema into the form
//! that reading, writing, validation, documentation checks and random generators use. What JSON schema has no
//! keyword for is in the types as `extend("x-..." = ...)`:
//!
//! | key | meaning |
//! |---|---|
//! | `x-tag` | Calico's validator tag of the field: `name`, `interface`, `selector`, ... (an empty value passes, unless the tag begins with `!`) |
//! | `x-each` | the same for every item of a list |
//! | `x-felix` | the setting's name in the agent's file and environment, where it is not the Go name |
//! | `x-format` | a format that the schema layer checks: `cidr`, `int32` |
//! | `x-default` | what the schema layer fills in |
//! | `x-minimum`, `x-maximum` | the schema layer's bounds (not those of the Rust type) |
//! | `x-go` | the field's name in Calico's messages, where it is not the JSON name with a capital |
//! | `x-type` | a scalar with its own text form: `port`, `protocol`, `int-or-string`, `duration`, `time`, ... |
//! | `x-always` | written even when empty |
//! | `x-required` | the schema layer demands it |
//!
//! `Option` in a type is a pointer in Calico: an explicit zero (`order: 0`, `failsafeInboundHostPorts: []`) is kept.
//! Anything else that is empty is left out when written, as Calico leaves it out.

use std::collections::HashMap;

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value};

/// A value's shape.
#[derive(Clone, Debug)]
pub struct Shape {
    /// What it may hold.
    pub form: Form,
    /// Whether an explicit zero differs from absence.
    pub pointer: bool,
    /// The rules of the schema layer and the tag.
    pub rules: Rules,
}

/// What a value may hold.
#[derive(Clone, Debug)]
pub enum Form {
    /// Text. Other scalars of YAML become text here.
    Text,
    /// A scalar with a text form of its own, named by `x-type`.
    Special(String),
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// true or false.
    Bool,
    /// A list.
    List(Box<Shape>),
    /// A map from text; Calico writes its keys sorted.
    Map(Box<Shape>),
    /// A record.
    Record(Box<Record>),
    /// Anything at all.
    Any,
}

/// The fields of a record, in Calico's order.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The fields.
    pub fields: Vec<Field>,
    by_name: HashMap<String, usize>,
}

/// One field.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name in JSON and YAML.
    pub name: String,
    /// Its name in Calico's messages.
    pub go: String,
    /// Its name in the agent's configuration file and environment, where that is not the Go name; `-` has none.
    pub felix: Option<String>,
    /// Written even when empty.
    pub always: bool,
    /// What it is for, one paragraph.
    pub doc: String,
    /// Its value.
    pub shape: Shape,
}

/// Rules that need no code.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The validator tag.
    pub tag: Option<String>,
    /// The schema layer demands a value.
    pub required: bool,
    /// Longest text, in characters.
    pub max_length: Option<u64>,
    /// Shortest text, in characters.
    pub min_length: Option<u64>,
    /// Most items.
    pub max_items: Option<u64>,
    /// Fewest items.
    pub min_items: Option<u64>,
    /// What the integer's type can hold; beyond it a value cannot even be read.
    pub holds: Option<(i64, i64)>,
    /// Smallest number.
    pub minimum: Option<i64>,
    /// Largest number.
    pub maximum: Option<i64>,
    /// The only values.
    pub one_of: Vec<Value>,
    /// A regular expression the text matches.
    pub pattern: Option<String>,
    /// A format the schema layer checks: `cidr`, `int32`.
    pub format: Option<String>,
    /// What the schema layer fills in.
    pub default: Option<Value>,
}

impl Shape {
    /// The shape of a type.
    pub fn of<T: JsonSchema>() -> Shape {
        compile(schema_of::<T>().as_object().unwrap_or(&Map::new()))
    }

    /// A shape without rules.
    pub fn plain(form: Form) -> Shape {
        Shape { form, pointer: false, rules: Rules::default() }
    }

    /// A record whose fields have only names and values, for what has no type.
    pub fn of_fields<'a>(fields: impl IntoIterator<Item = (&'a str, Shape)>) -> Shape {
        let field = |(name, shape): (&str, Shape)| Field {
            name: name.to_owned(),
            go: String::new(),
            felix: None,
            always: false,
            doc: String::new(),
            shape,
        };
        Self::plain(Form::Record(Box::new(Record::new(fields.into_iter().map(field).collect()))))
    }

    /// The record, if it is one.
    pub fn record(&self) -> Option<&Record> {
        match &self.form {
            Form::Record(record) => Some(record),
            _ => None,
        }
    }
}

impl Record {
    /// A record of these fields.
    pub fn new(fields: Vec<Field>) -> Self {
        let mut by_name = HashMap::with_capacity(fields.len() * 2);
        for (at, field) in fields.iter().enumerate() {
            by_name.insert(field.name.clone(), at);
            by_name.insert(fold(&field.name), at);
        }
        Self { fields, by_name }
    }

    /// The field of this name; case does not count, as it does not in Go's JSON.
    pub fn field(&self, name: &str) -> Option<&Field> {
        // Hashing costs more than looking through a few names.
        if self.fields.len() <= 16
            && let Some(field) = self.fields.iter().find(|field| field.name == name)
        {
            return Some(field);
        }
        let at = self.by_name.get(name).or_else(|| self.by_name.get(&fold(name)))?;
        self.fields.get(*at)
    }
}

/// The JSON schema of a type, references written out.
pub fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| {
        s.inline_subschemas = true;
        s.meta_schema = None;
    });
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

fn compile(schema: &Map<String, Value>) -> Shape {
    // Option<record> is `anyOf: [record, null]`; the attributes of the field are beside it.
    if let Some(Value::Array(choices)) = schema.get("anyOf") {
        let is_null = |choice: &&Value| choice.get("type").is_some_and(|t| t == "null");
        if let Some(Value::Object(inner)) = choices.iter().find(|choice| !is_null(choice)) {
            let mut merged = inner.clone();
            merged.extend(schema.iter().filter(|(key, _)| *key != "anyOf").map(|(k, v)| (k.clone(), v.clone())));
            let mut shape = compile(&merged);
            shape.pointer = true;
            return shape;
        }
    }
    let (kind, pointer) = match schema.get("type") {
        Some(Value::String(kind)) => (kind.as_str(), false),
        Some(Value::Array(kinds)) => (
            kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or(""),
            kinds.iter().any(|kind| kind == "null"),
        ),
        _ => ("", false),
    };
    let text = |key: &str| schema.get(key).and_then(Value::as_str).map(str::to_owned);
    let form = match (text("x-type"), kind) {
        (Some(special), _) => Form::Special(special),
        (None, "string") => Form::Text,
        (None, "integer") => Form::Int,
        (None, "number") => Form::Float,
        (None, "boolean") => Form::Bool,
        (None, "array") => {
            let mut item = schema.get("items").and_then(Value::as_object).map_or_else(any, compile);
            item.rules.tag = text("x-each").or(item.rules.tag);
            Form::List(Box::new(item))
        }
        (None, "object") => match (schema.get("properties"), schema.get("additionalProperties")) {
            (Some(Value::Object(properties)), _) => Form::Record(Box::new(compile_record(properties))),
            (_, Some(Value::Object(value))) => Form::Map(Box::new(compile(value))),
            _ => Form::Any,
        },
        _ => Form::Any,
    };
    let number = |key: &str| schema.get(key).and_then(Value::as_u64);
    let signed = |key: &str| schema.get(key).and_then(|v| v.as_i64().or_else(|| v.as_f64().map(|f| f as i64)));
    // schemars adds bounds of the Rust integer types; Calico's own are those beside no `format`.
    let rules = Rules {
        tag: text("x-tag"),
        required: flag(schema, "x-required"),
        max_length: number("maxLength"),
        min_length: number("minLength"),
        max_items: number("maxItems"),
        min_items: number("minItems"),
        holds: text("format").and_then(|format| range_of(&format)),
        minimum: signed("x-minimum"),
        maximum: signed("x-maximum"),
        one_of: choices(schema),
        pattern: text("pattern"),
        format: text("x-format"),
        default: schema.get("x-default").cloned(),
    };
    // Of a thing that may be anything, null and emptiness may mean something.
    let pointer = pointer || matches!(form, Form::Any);
    Shape { form, pointer, rules }
}

/// The values of `enum`; schemars adds null for an `Option`.
fn choices(schema: &Map<String, Value>) -> Vec<Value> {
    let choices = schema.get("enum").and_then(Value::as_array);
    choices.into_iter().flatten().filter(|value| !value.is_null()).cloned().collect()
}

/// The range of a Rust integer, by the name that schemars gives it.
fn range_of(format: &str) -> Option<(i64, i64)> {
    match format {
        "uint8" => Some((0, u8::MAX.into())),
        "uint16" => Some((0, u16::MAX.into())),
        "uint32" => Some((0, u32::MAX.into())),
        "int32" => Some((i32::MIN.into(), i32::MAX.into())),
        "int64" => Some((i64::MIN, i64::MAX)),
        _ => None,
    }
}

fn compile_record(properties: &Map<String, Value>) -> Record {
    let empty = Map::new();
    let field = |(name, schema): (&String, &Value)| {
        let schema = schema.as_object().unwrap_or(&empty);
        Field {
            name: name.clone(),
            go: schema.get("x-go").and_then(Value::as_str).map_or_else(|| go_name(name), str::to_owned),
            felix: schema.get("x-felix").and_then(Value::as_str).map(str::to_owned),
            always: flag(schema, "x-always"),
            doc: schema.get("description").and_then(Value::as_str).unwrap_or_default().to_owned(),
            shape: compile(schema),
        }
    };
    Record::new(properties.iter().map(field).collect())
}

/// The form in which names are compared. Two letters beyond ASCII fold to ASCII ones: the long s and the Kelvin sign.
fn fold(name: &str) -> String {
    let letter = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    name.chars().map(letter).collect()
}

/// Anything at all; null and absence differ from emptiness.
fn any() -> Shape {
    Shape { form: Form::Any, pointer: true, rules: Rules::default() }
}

fn flag(schema: &Map<String, Value>, key: &str) -> bool {
    schema.get(key).and_then(Value::as_bool).unwrap_or(false)
}

/// `interfaceName` is `InterfaceName` in Go; `ipVersion` is `IPVersion`, `icmp` is `ICMP`.
fn go_name(json: &str) -> String {
    for initials in ["ip", "icmp", "http", "bpf", "vxlan", "ipip", "mac", "cidr", "nat", "as"] {
        if let Some(rest) = json.strip_prefix(initials)
            && (rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_uppercase()))
        {
            return initials.to_uppercase() + rest;
        }
    }
    let mut chars = json.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests;
