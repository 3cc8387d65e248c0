//! Reading a JSON tree field by field: values with their types, and what is wrong with them.

use std::borrow::Cow;

use serde_json::{Map, Value};
use tortie_api::decode::Damage;
use tortie_api::{Path, Step};
use tortie_net::Port;

use super::Invalid;

/// So many places are named; what else is wrong is counted.
pub(super) const MAX_NAMED: usize = 100;
/// A reason longer than this is cut: it may repeat the value.
const REASON: usize = 300;
/// Why an unknown field cannot be read.
pub(super) const UNKNOWN_FIELD: &str = "this release does not know the field";

/// A value, or why there is none.
pub(super) type Read<T> = Result<T, Reason>;
/// Why a value cannot be read. The usual reasons are not made anew for each of a million values.
pub(super) type Reason = Cow<'static, str>;

/// A place in an object. It is written out only when something is wrong there.
#[derive(Clone, Copy)]
pub(super) enum FieldPath<'a> {
    Top(&'static str),
    Key(&'a FieldPath<'a>, &'a str),
    Index(&'a FieldPath<'a>, usize),
}

impl<'a> FieldPath<'a> {
    pub(super) const SPEC: FieldPath<'static> = FieldPath::Top("spec");
    pub(super) const LABELS: FieldPath<'static> = FieldPath::Top("metadata.labels");
    /// The annotation of a custom resource of Kubernetes that holds the metadata.
    pub(super) const PACKED: FieldPath<'static> =
        FieldPath::Key(&FieldPath::Top("metadata.annotations"), "projectcalico.org/metadata");

    pub(super) fn key(&'a self, name: &'a str) -> FieldPath<'a> {
        FieldPath::Key(self, name)
    }

    pub(super) fn index(&'a self, index: usize) -> FieldPath<'a> {
        FieldPath::Index(self, index)
    }

    fn path(&self) -> Path {
        match self {
            FieldPath::Top(text) => Path::from(*text),
            FieldPath::Key(parent, name) => parent.path().key(*name),
            FieldPath::Index(parent, index) => parent.path().index(*index),
        }
    }
}

/// What is wrong with an object.
#[derive(Default)]
pub(super) struct Invalidities {
    list: Vec<Invalid>,
    more: usize,
    /// Where something else is read than is stored, and why, as far as that is reported.
    damaged: Vec<(Path, Damage)>,
    /// Absent fields, and the unknown ones that may be meant for them.
    misspelt: Vec<(Path, String)>,
    /// Whether the whole object is unreadable, which is noted once.
    pub(super) silent: bool,
}

impl Invalidities {
    /// Remembers that something else is read than is stored, for the reason why it cannot be read.
    pub(super) fn damaged(&mut self, path: Path, damage: Damage) {
        self.damaged.push((path, damage));
    }

    /// Remembers that an unknown field may be meant for this one.
    pub(super) fn misspelt(&mut self, field: FieldPath<'_>, unknown: String) {
        self.misspelt.push((field.path(), unknown));
    }

    /// The reason why a field is unreadable although it does not exist.
    fn reason_of_misspelling(&self, path: &Path) -> Option<String> {
        let (_, unknown) = self.misspelt.iter().find(|(field, _)| field == path)?;
        Some(format!(
            "it does not exist, and `{unknown}`, a field that this release does not know, may be meant for it"
        ))
    }

    /// The reason that follows from a damage: here, or directly inside, or what is nested too deep inside.
    fn reason_of_damage(&self, path: &Path) -> Option<String> {
        self.damaged.iter().find_map(|(damaged, damage)| match damaged.0.strip_prefix(path.0.as_slice())? {
            [] | [Step::Key(_)] => Some(damage.reason(damaged)),
            [Step::Index(_)] if *damage != Damage::Repeated => Some(damage.reason(damaged)),
            _ if *damage == Damage::Nested => Some(damage.reason(damaged)),
            _ => None,
        })
    }

    /// Notes an unreadable part, and what replaces it.
    pub(super) fn note(&mut self, at: FieldPath<'_>, reason: impl ToString, consequence: &'static str) {
        if self.silent {
            return;
        }
        if self.list.len() == MAX_NAMED {
            self.more += 1;
            return;
        }
        let path = at.path();
        let reasons = self.reason_of_damage(&path).or_else(|| self.reason_of_misspelling(&path));
        let mut reason = reasons.unwrap_or_else(|| reason.to_string());
        if let Some((end, _)) = reason.char_indices().nth(REASON) {
            reason.truncate(end);
            reason.push_str("...");
        }
        self.list.push(Invalid { path, reason, consequence });
    }

    /// Returns a value; if there is none, notes its place.
    pub(super) fn take<T>(&mut self, at: FieldPath<'_>, value: Read<T>, consequence: &'static str) -> Option<T> {
        value.map_err(|reason| self.note(at, reason, consequence)).ok()
    }

    /// Notes that the object does not count; what else is wrong inside is then not noted.
    pub(super) fn without_notes(self) -> Self {
        Self { damaged: self.damaged, misspelt: self.misspelt, ..Self::default() }
    }

    pub(super) fn into_list(mut self) -> Vec<Invalid> {
        if self.more > 0 {
            let reason = format!("{} more fields cannot be read", self.more);
            self.list.push(Invalid { path: Path::from("spec"), reason, consequence: "" });
        }
        self.list
    }
}

/// The fields of a record.
#[derive(Clone, Copy)]
pub(super) enum Fields<'a> {
    Map(&'a Map<String, Value>),
    Absent,
    /// The record itself cannot be read, and so no field of it.
    Unreadable,
}

impl<'a> Fields<'a> {
    pub(super) fn of(value: Option<&'a Value>) -> Self {
        match value {
            Some(Value::Object(map)) => Fields::Map(map),
            None => Fields::Absent,
            Some(_) => Fields::Unreadable,
        }
    }

    /// The value of a field; none if it is absent.
    pub(super) fn get(self, name: &str) -> Option<&'a Value> {
        match self {
            Fields::Map(map) => map.get(name),
            Fields::Absent => None,
            Fields::Unreadable => Some(&Value::Null),
        }
    }

    /// The names of its fields.
    pub(super) fn names(self) -> impl Iterator<Item = &'a str> {
        let map = match self {
            Fields::Map(map) => Some(map),
            Fields::Absent | Fields::Unreadable => None,
        };
        map.into_iter().flat_map(|map| map.keys().map(String::as_str))
    }

    /// The names of its fields for which this holds.
    pub(super) fn names_where(
        self,
        holds: impl Fn(&'a Map<String, Value>, &str) -> bool,
    ) -> impl Iterator<Item = &'a str> {
        self.names().filter(move |name| matches!(self, Fields::Map(map) if holds(map, name)))
    }

    /// A field as its type; the zero value if it is absent.
    pub(super) fn read<T: Default>(self, name: &str, read: impl Fn(&'a Value) -> Read<T>) -> Read<T> {
        self.get(name).map_or_else(|| Ok(T::default()), read)
    }
}

/// Why a value is not of its type: `wanted` is text.
macro_rules! expected {
    ($wanted:literal, $value:expr) => {
        Err(Cow::Borrowed(match $value {
            Value::Null => concat!("expected ", $wanted, ", found null"),
            Value::Bool(_) => concat!("expected ", $wanted, ", found true or false"),
            Value::Number(_) => concat!("expected ", $wanted, ", found a number"),
            Value::String(_) => concat!("expected ", $wanted, ", found a text"),
            Value::Array(_) => concat!("expected ", $wanted, ", found a list"),
            Value::Object(_) => concat!("expected ", $wanted, ", found an object"),
        }))
    };
}

pub(super) fn text(value: &Value) -> Read<&str> {
    value.as_str().map_or_else(|| expected!("a text", value), Ok)
}

/// One of these texts, or none.
pub(super) fn one_of<'a>(value: &'a Value, known: &[&str]) -> Read<&'a str> {
    let text = text(value)?;
    if text.is_empty() || known.contains(&text) {
        return Ok(text);
    }
    Err(format!("{text:?} is none of {}", known.join(", ")).into())
}

pub(super) fn owned(value: &Value) -> Read<String> {
    text(value).map(str::to_owned)
}

/// The name of a network interface. No interface has any other name.
pub(super) fn interface(value: &Value) -> Read<&str> {
    let name = text(value)?;
    if is_interface(name) { Ok(name) } else { Err(format!("{name:?} is no interface").into()) }
}

/// Whether the kernel accepts a text as the name of an interface (`dev_valid_name` in net/core/dev.c), or it is empty.
pub(super) fn is_interface(name: &str) -> bool {
    let is_bad = |byte: u8| byte.is_ascii_whitespace() || matches!(byte, 0 | 0x0B | b'/' | b':');
    name.len() <= 15 && name != "." && name != ".." && !name.bytes().any(is_bad)
}

/// The name of a tier, or nothing.
pub(super) fn tier_name(value: &Value) -> Read<String> {
    let name = text(value)?;
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'_');
    if name.len() <= 63 && name.bytes().all(fits) {
        Ok(name.to_owned())
    } else {
        Err(format!("{name:?} is not a name of a tier").into())
    }
}

/// The name of a profile.
pub(super) fn profile_name(value: &Value) -> Read<String> {
    let name = text(value)?;
    if is_profile_name(name) { Ok(name.to_owned()) } else { Err(format!("{name:?} is not a name of a profile").into()) }
}

/// Whether a text can be the name of a profile. Programs of earlier releases took more characters than validation does now.
pub(super) fn is_profile_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The name of an endpoint's port: one that a rule can name.
pub(super) fn port_name(text: &str) -> Option<String> {
    match text.parse() {
        Ok(Port::Name(name)) => Some(name),
        _ => None,
    }
}

pub(super) fn flag(value: &Value) -> Read<bool> {
    value.as_bool().map_or_else(|| expected!("true or false", value), Ok)
}

/// A number with a fraction or without; absent is none.
pub(super) fn float(value: &Value) -> Read<Option<f64>> {
    value
        .as_f64()
        .filter(|number| number.is_finite())
        .map_or_else(|| expected!("a number", value), |number| Ok(Some(number)))
}

pub(super) fn whole(value: &Value) -> Read<Option<i64>> {
    value.as_i64().map_or_else(|| expected!("a whole number", value), |number| Ok(Some(number)))
}

pub(super) fn list(value: &Value) -> Read<&[Value]> {
    value.as_array().map_or_else(|| expected!("a list", value), |items| Ok(items.as_slice()))
}

pub(super) fn record(value: &Value) -> Read<&Map<String, Value>> {
    value.as_object().map_or_else(|| expected!("an object", value), Ok)
}

/// A number or a text, as text.
pub(super) fn scalar(value: &Value) -> Read<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        other => expected!("a number or a text", other),
    }
}

/// Texts by name.
pub(super) fn texts(value: &Value) -> Read<std::collections::BTreeMap<String, String>> {
    let one = |(name, value): (&String, &Value)| {
        owned(value).map(|text| (name.clone(), text)).map_err(|reason| format!("{name:?}: {reason}").into())
    };
    record(value)?.iter().map(one).collect()
}

/// Every item of a list as its type, or why the first that is not cannot be read.
pub(super) fn items<'a, T>(value: &'a Value, read: impl Fn(&'a Value) -> Read<T>) -> Read<Vec<T>> {
    let item = |(index, item)| read(item).map_err(|reason| format!("item {index}: {reason}").into());
    list(value)?.iter().enumerate().map(item).collect()
}
