//! From the tree to JSON of a known shape, strictly: unknown fields, wrong types and keys given twice are problems.
//!
//! Decoding goes on after a problem, so that all of them are found at once. It also gives the fields of the tree their
//! canonical names, so that paths (which have those) lead to their places.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value as Json};
use tortie_api::shape::{Form, Record, Shape};
use tortie_api::{Path, Step};
use tortie_net::{Port, PortError};

use super::node::{Entry, Node, Value};
use super::wrong_form::Wrong;
use super::{scalar, special, suggest};
use crate::problem::Problem;

/// What decoding found.
pub(crate) struct Decoded {
    /// The value; what could not be read is missing, or empty in a list.
    pub(crate) value: Map<String, Json>,
    /// What is wrong.
    pub(crate) problems: Vec<Problem>,
    /// What of known fields could not be read.
    pub(crate) unread: Vec<Path>,
}

/// How many problems of one object are reported in full.
const MAX_PROBLEMS: usize = 100;

/// Decodes a whole object (or any other map) against its shape.
pub(crate) fn decode(node: &mut Node, shape: &'static Shape, text: &str) -> Decoded {
    read(node, shape, text, Reader::Calico)
}

/// Who reads it elsewhere.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// The case of field names does not count, and other scalars become text where text is wanted.
    Calico,
    /// Neither of these.
    Kubernetes,
}

/// Decodes a whole object as an API server of Kubernetes does when kubectl applies it.
pub(crate) fn decode_exactly(node: &mut Node, shape: &'static Shape, text: &str) -> Decoded {
    read(node, shape, text, Reader::Kubernetes)
}

fn read(node: &mut Node, shape: &'static Shape, text: &str, reader: Reader) -> Decoded {
    let mut decoder =
        Decoder { root: shape, text, reader, path: Vec::new(), problems: Vec::new(), untold: 0, unread: Vec::new() };
    let value = match decoder.value(node, shape) {
        Some(Json::Object(map)) => map,
        _ => Map::new(),
    };
    let Decoder { mut problems, untold, unread, .. } = decoder;
    if untold > 0 {
        problems.push(Problem::read(Path::root(), format!("there are {untold} more problems")));
    }
    Decoded { value, problems, unread }
}

struct Decoder<'a> {
    root: &'static Shape,
    /// The text that the tree was made of.
    text: &'a str,
    reader: Reader,
    path: Vec<At>,
    problems: Vec<Problem>,
    untold: usize,
    unread: Vec<Path>,
}

/// A step of the path; most need no text of their own.
enum At {
    Field(&'static str),
    Key(String),
    Index(usize),
}

impl Decoder<'_> {
    /// The value, or none if it is null or cannot be read.
    fn value(&mut self, node: &mut Node, shape: &'static Shape) -> Option<Json> {
        match (&shape.form, &mut node.value) {
            (Form::Any, _) => self.any(node),
            (Form::Special(kind), _) => match special::read(kind, node) {
                Ok(value) => {
                    self.octal(node);
                    Some(value)
                }
                Err(reason) => {
                    let help = special_help(kind, node).or_else(|| self.quoted(node));
                    self.unreadable(reason, special_message(kind, node), help)
                }
            },
            (Form::Text, Value::Text(text)) => Some(Json::String(text.clone())),
            (Form::Text, value) if self.reader == Reader::Kubernetes && *value != Value::Null => {
                self.mismatch(node, shape, "string", "text")
            }
            (Form::Text, value) => match as_text(value) {
                Some(text) => {
                    self.respelled(node, &text);
                    Some(Json::String(text))
                }
                None => self.mismatch(node, shape, "string", "text"),
            },
            (_, Value::Null) => None,
            (Form::Bool, Value::Bool(value)) => Some(Json::Bool(*value)),
            (Form::Bool, _) => self.mismatch(node, shape, "bool", "true or false"),
            (Form::Int, value) => {
                let (least, most) = shape.rules.holds.unwrap_or((i64::MIN, i64::MAX));
                match special::whole_number(value, least, most) {
                    Some(number) => {
                        self.octal(node);
                        Some(Json::from(number))
                    }
                    None => self.mismatch(node, shape, integer_name(least, most), "a whole number"),
                }
            }
            (Form::Float, Value::Int(_) | Value::Big(_)) => Some(node.to_json()),
            (Form::Float, Value::Float(value)) if value.is_finite() => Some(node.to_json()),
            (Form::Float, _) => self.mismatch(node, shape, "float64", "a number"),
            (Form::List(inner), Value::List(items)) => Some(self.list(items, inner)),
            (Form::List(inner), _) => self.mismatch(node, shape, go_list(inner), "a list"),
            (Form::Map(inner), Value::Map(entries)) => Some(self.map(entries, inner)),
            (Form::Map(_), _) => self.mismatch(node, shape, "map[string]string", "a map"),
            (Form::Record(record), Value::Map(entries)) => Some(self.record(entries, record)),
            (Form::Record(_), _) => self.mismatch(node, shape, "struct", "a map"),
        }
    }

    fn list(&mut self, items: &mut [Node], shape: &'static Shape) -> Json {
        let mut list = Vec::with_capacity(items.len());
        for (index, item) in items.iter_mut().enumerate() {
            self.path.push(At::Index(index));
            // Also what cannot be read, so that those after it keep their places.
            list.push(self.value(item, shape).unwrap_or_else(|| zero(shape)));
            self.path.pop();
        }
        Json::Array(list)
    }

    fn map(&mut self, entries: &mut [Entry], shape: &'static Shape) -> Json {
        self.twice(entries);
        let mut map = Map::with_capacity(entries.len());
        for entry in entries {
            self.path.push(At::Key(entry.key.clone()));
            let null = entry.value.value == Value::Null;
            match self.value(&mut entry.value, shape) {
                Some(value) => _ = map.insert(entry.key.clone(), value),
                None if null => _ = map.insert(entry.key.clone(), zero(shape)),
                None => {}
            }
            self.path.pop();
        }
        Json::Object(map)
    }

    fn record(&mut self, entries: &mut [Entry], record: &'static Record) -> Json {
        let mut fields = Vec::with_capacity(entries.len());
        for entry in entries.iter_mut() {
            let is_exact = self.reader == Reader::Kubernetes;
            let field = field(record, &entry.key).filter(|field| !is_exact || field.name == entry.key);
            match field {
                Some(field) if field.name != entry.key => field.name.clone_into(&mut entry.key),
                Some(_) => {}
                None => {
                    entry.faulty = true;
                    self.unknown(entry, record);
                }
            }
            fields.push(field);
        }
        self.twice(entries);
        let mut map = Map::with_capacity(entries.len());
        for (entry, field) in entries.iter_mut().zip(fields) {
            let Some(field) = field else { continue };
            self.path.push(At::Field(&field.name));
            // Null is as good as absent, for special scalars too.
            if entry.value.value != Value::Null
                && let Some(value) = self.value(&mut entry.value, &field.shape)
            {
                map.entry(field.name.as_str()).or_insert(value);
            }
            self.path.pop();
        }
        Json::Object(map)
    }

    /// A value of no known shape: taken as it is, if its keys are sound and JSON can say it.
    fn any(&mut self, node: &mut Node) -> Option<Json> {
        match &mut node.value {
            Value::List(items) => {
                let mut list = Vec::with_capacity(items.len());
                for (index, item) in items.iter_mut().enumerate() {
                    self.path.push(At::Index(index));
                    list.extend(self.any(item));
                    self.path.pop();
                }
                Some(Json::Array(list))
            }
            Value::Map(entries) => {
                self.twice(entries);
                let mut map = Map::with_capacity(entries.len());
                for entry in entries {
                    self.path.push(At::Key(entry.key.clone()));
                    if let Some(value) = self.any(&mut entry.value) {
                        map.insert(entry.key.clone(), value);
                    }
                    self.path.pop();
                }
                Some(Json::Object(map))
            }
            Value::Float(value) if !value.is_finite() => {
                self.mismatch(node, &Shape::plain(Form::Any), "float64", "a finite number")
            }
            _ => Some(node.to_json()),
        }
    }

    /// Reports keys that stand in a map more than once, each with all its places.
    fn twice(&mut self, entries: &mut [Entry]) {
        let repeated = repeated(entries);
        if repeated.is_empty() {
            return;
        }
        let keys: HashSet<String> = repeated.iter().map(|(first, _)| entries[*first].key.clone()).collect();
        entries.iter_mut().filter(|entry| keys.contains(&entry.key)).for_each(|entry| entry.faulty = true);
        for (first, count) in repeated {
            let key = &entries[first].key;
            let path = self.path().key(key.as_str());
            let by_merge = entries.iter().any(|entry| entry.merged && entry.key == *key);
            let problem = Problem::read(path.clone(), format!("key {key:?} already set in map"));
            let mut problem = if by_merge {
                let message = format!("`{key}` is given twice: here and by `<<`, which it does not override");
                let help = "leave it out of one of the two, or write the fields out without `<<`";
                problem.message(message).help(help)
            } else {
                let times = if count == 2 { "twice".to_owned() } else { format!("{count} times") };
                problem.message(format!("`{key}` is given {times}"))
            };
            problem.also = (1..count.min(MAX_PROBLEMS)).map(|_| (path.clone(), "also given here".to_owned())).collect();
            self.report(problem);
        }
    }

    /// YAML takes unquoted `no` for false and `1.10` for a number, so other text arrives than was written.
    fn respelled(&mut self, node: &Node, read: &str) {
        let written = self.text.get(node.span.clone()).unwrap_or_default();
        // `null` is said on purpose, and the only way to say it in JSON.
        if written.is_empty() || written == read || written == "null" && node.value == Value::Null {
            return;
        }
        let what = taken_for(&node.value, written);
        let read = if read.is_empty() { "an empty text".to_owned() } else { format!("`{read}`") };
        let message = format!("YAML takes `{written}` without quotes for {what}: this is read as {read}");
        let problem = Problem::warning("unquoted", self.path(), message);
        let read = if node.value == Value::Null { "\"\"" } else { &read };
        self.report(problem.help(format!("write \"{written}\" in quotes, or {read}, whichever is meant")));
    }

    /// `0443` is a number in base 8 to YAML, which hardly anybody means.
    fn octal(&mut self, node: &Node) {
        let Value::Int(read) = node.value else { return };
        let written = self.text.get(node.span.clone()).unwrap_or_default();
        if is_octal(written) {
            let digits = written.trim_start_matches('0');
            let message = format!("YAML takes `{written}` for a number in base 8: this is read as {read}");
            let problem = Problem::warning("octal", self.path(), message);
            self.report(problem.help(format!("write {digits}, or {read} if that is meant")));
        }
    }

    /// What to write where YAML takes a word for something else.
    fn quoted(&self, node: &Node) -> Option<String> {
        let written = self.text.get(node.span.clone()).unwrap_or_default();
        let is_word = matches!(node.value, Value::Bool(_)) && !matches!(written, "true" | "false");
        is_word.then(|| {
            format!("YAML takes `{written}` without quotes for a yes or no; write \"{written}\" if text is meant")
        })
    }

    fn report(&mut self, problem: Problem) {
        if self.problems.len() < MAX_PROBLEMS { self.problems.push(problem) } else { self.untold += 1 }
    }

    fn unknown(&mut self, entry: &Entry, record: &'static Record) {
        let key = entry.key.as_str();
        let reason = format!("field in document is not recognized or is in the wrong location: {key}");
        let path = self.path();
        let message = match path.0.is_empty() {
            true => format!("there is no field `{key}` here"),
            false => format!("there is no field `{key}` in `{path}`"),
        };
        let mut problem = Problem::read(path.key(key), reason).message(message);
        if self.problems.len() < MAX_PROBLEMS {
            problem.help = suggest::field(entry, &path, record, self.root);
        }
        self.report(problem);
    }

    fn mismatch(&mut self, node: &Node, shape: &Shape, go: &str, wanted: &str) -> Option<Json> {
        let path = self.path();
        let number = matches!(node.value, Value::Int(_) | Value::Big(_) | Value::Float(_)) && wanted.contains("number");
        let found = special::go_kind(&node.value);
        // Go shows a number where it wanted another one, and else only its kind.
        let found = if number { found.as_str() } else { found.split(' ').next().unwrap_or_default() };
        let reason = format!("cannot unmarshal {found} into Go struct field .{} of type {go}", self.go_path());
        let found = describe(&node.value);
        let message = match (&node.value, wanted) {
            (Value::Int(_) | Value::Big(_) | Value::Float(_), "a whole number") => {
                format!("{found} is not a number that `{path}` can hold")
            }
            _ => format!("`{path}` takes {wanted}, not {found}"),
        };
        let help = Wrong { path: &path, shape, node, text: self.text }.help();
        self.unread.push(path.clone());
        let mut problem = Problem::read(path, reason).message(message);
        problem.help = help;
        self.report(problem);
        None
    }

    fn unreadable(&mut self, reason: String, message: Option<String>, help: Option<String>) -> Option<Json> {
        self.unread.push(self.path());
        let field = format!("Go struct field .{} of type", self.go_path());
        let mut problem = Problem::read(self.path(), reason.replacen("Go value of type", &field, 1));
        problem.message = message.or(Some(reason));
        problem.help = help;
        self.report(problem);
        None
    }

    /// The path as Go's decoder says it: fields only.
    fn go_path(&self) -> String {
        let fields = self.path.iter().filter_map(|at| match at {
            At::Field(name) => Some(*name),
            At::Key(_) | At::Index(_) => None,
        });
        fields.collect::<Vec<_>>().join(".")
    }

    fn path(&self) -> Path {
        let step = |at: &At| match at {
            At::Field(name) => Step::Key((*name).to_owned()),
            At::Key(key) => Step::Key(key.clone()),
            At::Index(index) => Step::Index(*index),
        };
        Path(self.path.iter().map(step).collect())
    }
}

/// The field of a name, with the case folding of Go's JSON: it knows of two letters beyond ASCII that fold into it.
pub(crate) fn field(record: &'static Record, name: &str) -> Option<&'static tortie_api::shape::Field> {
    record.field(name).or_else(|| {
        let folded = name.replace('\u{17F}', "s").replace('\u{212A}', "k");
        record.field(&folded)
    })
}

/// The first place and the count of each key that stands more than once, in order.
fn repeated(entries: &[Entry]) -> Vec<(usize, usize)> {
    if entries.len() <= 8 {
        let first = |at: usize| entries[..at].iter().all(|entry| entry.key != entries[at].key);
        let count = |at: usize| entries[at..].iter().filter(|entry| entry.key == entries[at].key).count();
        return (0..entries.len()).filter(|at| first(*at)).map(|at| (at, count(at))).filter(|(_, n)| *n > 1).collect();
    }
    let mut seen = HashMap::with_capacity(entries.len());
    for (at, entry) in entries.iter().enumerate() {
        seen.entry(entry.key.as_str()).or_insert((at, 0)).1 += 1;
    }
    let mut repeated: Vec<_> = seen.into_values().filter(|(_, count)| *count > 1).collect();
    repeated.sort_unstable();
    repeated
}

/// Whether a number is written with a leading 0.
fn is_octal(written: &str) -> bool {
    let digits = written.trim_start_matches('0');
    written.starts_with('0') && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// What YAML takes an unquoted text for that means something to it.
fn taken_for(value: &Value, written: &str) -> &'static str {
    match value {
        Value::Bool(_) => "a yes or no",
        Value::Null => "nothing",
        Value::Int(_) if is_octal(written) => "a number in base 8",
        _ => "a number",
    }
}

/// A scalar as text, as Go's reader of YAML makes it where text is wanted; null is empty.
fn as_text(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => String::new(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Big(value) => value.to_string(),
        Value::Float(value) => scalar::float32_text(*value),
        Value::Text(text) => text.clone(),
        Value::List(_) | Value::Map(_) => return None,
    })
}

/// What stands in a list or map for null.
fn zero(shape: &Shape) -> Json {
    match &shape.form {
        _ if shape.pointer => Json::Null,
        Form::Text => Json::from(""),
        Form::Int | Form::Float => Json::from(0),
        Form::Bool => Json::from(false),
        Form::Record(_) => Json::Object(Map::new()),
        Form::Special(_) | Form::List(_) | Form::Map(_) | Form::Any => Json::Null,
    }
}

/// What Go calls a list of these.
fn go_list(inner: &Shape) -> &'static str {
    match &inner.form {
        Form::Text => "[]string",
        Form::Record(_) => "[]struct",
        _ => "[]",
    }
}

fn integer_name(least: i64, most: i64) -> &'static str {
    match (least, most) {
        (0, 255) => "uint8",
        (0, 65535) => "uint16",
        (0, 4_294_967_295) => "uint32",
        (-2_147_483_648, 2_147_483_647) => "int32",
        (0, _) => "uint64",
        _ => "int",
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => format!("`{value}`"),
        Value::Int(value) => value.to_string(),
        Value::Big(value) => value.to_string(),
        Value::Float(value) => scalar::float64_text(*value),
        Value::Text(text) if text.is_empty() => "an empty text".to_owned(),
        Value::Text(_) => "text".to_owned(),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a map".to_owned(),
    }
}

/// Something is not a port, and what is.
fn not_a_port(found: &str) -> String {
    format!("{found} is not a port: use a number from 1 to 65535, a range `first:last`, or the name of a port")
}

/// What to say where Calico's words (`cannot unmarshal ... into Go value`) do not help.
fn special_message(kind: &str, node: &Node) -> Option<String> {
    let found = describe(&node.value);
    let scalar = matches!(node.value, Value::Text(_));
    match kind {
        "port" => match node.text() {
            // A range that runs backwards is what Calico calls it.
            Some(text) if matches!(text.parse::<Port>(), Err(PortError::Backwards { .. })) => None,
            Some(text) => Some(not_a_port(&format!("`{text}`"))),
            None => Some(not_a_port(&found)),
        },
        "protocol" if !scalar => Some(format!("{found} is not a protocol: use a name such as TCP, or 1 to 255")),
        "duration" if !scalar => Some(format!("{found} is no duration: use a number with a unit, such as `90s`")),
        "time" => Some("this is no time: use the form `2026-08-22T13:33:20Z`".to_owned()),
        "dscp" if !scalar => Some(format!("{found} is not a class of service: use 0 to 63, or its name")),
        "int-or-string" if !scalar => Some(format!("{found} is out of range, or neither a number nor text")),
        _ => None,
    }
}

/// What to write instead of a scalar of a form of its own.
fn special_help(kind: &str, node: &Node) -> Option<String> {
    match &node.value {
        Value::Text(text) if kind == "port" => suggest::port(text),
        Value::List(_) if kind == "protocol" => Some("write one rule for each protocol".to_owned()),
        Value::Map(entries) if kind == "port" => match entries.as_slice() {
            [Entry { key, value, .. }] if key == "port" => match &value.value {
                Value::Int(port) => Some(format!("write `{port}` alone")),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests;
