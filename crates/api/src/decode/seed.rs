//! One pass from JSON text to a tree in the shape's names: what a listing of many objects spends its time on.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::shape::{Field, Form, Record, Shape};

/// How whoever enforces the object reads it.
#[derive(Clone, Copy)]
pub(super) struct Exact<'a> {
    /// How many more bytes the tree may take. What does not fit becomes null.
    pub(super) room: &'a Cell<usize>,
    /// Takes the items of `spec.ingress`, `spec.egress` and `spec.nets` one by one, so that no tree of all of them is
    /// made. None means that the list begins.
    pub(super) item: &'a RefCell<TakeItem<'a>>,
}

/// Takes an item of the list that is named.
type TakeItem<'a> = dyn FnMut(&str, Option<Value>) + 'a;

/// Reads a value of this shape, or any value.
#[derive(Clone, Copy)]
pub(super) struct Seed<'a> {
    shape: Option<&'a Shape>,
    exact: Option<Exact<'a>>,
    /// How far inside the object: 0 is the whole, 1 the spec, 2 a field of the spec.
    depth: usize,
    /// A list whose items are handed over, by its name.
    handed: Option<&'a str>,
    /// Null is kept here: it is no absence, since it may stand for what narrows.
    nulls: bool,
}

/// About what an item of a list and an entry of a map take, beside their texts.
const ITEM: usize = 2 * size_of::<Value>();
const ENTRY: usize = ITEM + 64;

impl<'a> Seed<'a> {
    pub(super) fn new(shape: Option<&'a Shape>, exact: Option<Exact<'a>>) -> Self {
        Self { shape, exact, depth: 0, handed: None, nulls: false }
    }

    fn form(self) -> Option<&'a Form> {
        self.shape.map(|shape| &shape.form)
    }

    /// What reads a part.
    fn part(self, shape: Option<&'a Shape>) -> Self {
        Self { shape, depth: self.depth + 1, handed: None, ..self }
    }

    /// What reads a field. Of metadata and status only labels decide anything.
    fn field(self, field: &'a Field) -> Self {
        let name = field.name.as_str();
        let decides = (self.depth == 0 && name == "spec") || (self.depth == 1 && name == "labels");
        Seed {
            handed: (self.depth == 1 && self.nulls && is_long(field)).then_some(name),
            nulls: self.nulls || (decides && self.exact.is_some()),
            ..self.part(Some(&field.shape))
        }
    }

    /// Whether null in a field is no absence. Metadata as a whole has labels.
    fn keeps_null(self, field: &'a Field) -> bool {
        self.field(field).nulls || (self.exact.is_some() && self.depth == 0 && field.name == "metadata")
    }

    /// Whether there is room for a part of this size.
    fn takes(self, size: usize) -> bool {
        let Some(exact) = self.exact else { return true };
        let left = exact.room.get().checked_sub(size);
        exact.room.set(left.unwrap_or(0));
        left.is_some()
    }

    /// Hands over the items of a list, each read alone.
    fn each_item<'de, A: SeqAccess<'de>>(self, exact: Exact<'a>, name: &str, items: &mut A) -> Result<Value, A::Error> {
        let room = exact.room.get();
        let item = match self.form() {
            Some(Form::List(item)) => self.part(Some(item)),
            _ => self.part(None),
        };
        exact.item.borrow_mut()(name, None);
        while let Some(value) = items.next_element_seed(item)? {
            exact.room.set(room);
            exact.item.borrow_mut()(name, Some(value));
        }
        Ok(Value::Array(Vec::new()))
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::from(text))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::from(text))
    }

    /// Among the items of a list or map null is a thing of its own, and it reads as empty.
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(match self.shape {
            _ if self.exact.is_some() => Value::Null,
            Some(Shape { form: Form::Text, pointer: false, .. }) => Value::from(""),
            Some(Shape { form: Form::Record(_), pointer: false, .. }) => Value::Object(Map::new()),
            _ => Value::Null,
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        if let (Some(exact), Some(name)) = (self.exact, self.handed) {
            return self.each_item(exact, name, &mut items);
        }
        let item = match self.form() {
            Some(Form::List(item)) => self.part(Some(item)),
            _ => self.part(None),
        };
        let mut list = Vec::new();
        while let Some(value) = items.next_element_seed(item)? {
            if !self.takes(ITEM) {
                // Whoever reads the list finds that its end is missing.
                list.push(Value::Null);
                while items.next_element::<IgnoredAny>()?.is_some() {}
                break;
            }
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        // Small objects are the rule, and growing from nothing costs more than four empty places.
        let mut map = Map::with_capacity(if self.exact.is_some() { 0 } else { 4 });
        // Of an object that is too large inside nothing is left; fields that nobody knows are left out further outside.
        let mut whole = true;
        if let Some(Form::Record(record)) = self.form() {
            while let Some(name) = entries.next_key_seed(Name(record))? {
                match name {
                    Known::Field(field) => {
                        if let Some(value) =
                            entries.next_value_seed(OrNull(self.field(field), self.keeps_null(field)))?
                        {
                            whole &= self.takes(ENTRY) || self.depth < 2;
                            map.insert(field.name.clone(), value);
                        }
                    }
                    Known::Not(name) if self.takes(ENTRY + name.len()) => {
                        map.insert(name, entries.next_value_seed(self.part(None))?);
                    }
                    Known::Not(_) => {
                        whole &= self.depth < 2;
                        entries.next_value::<IgnoredAny>()?;
                    }
                }
            }
        } else {
            let item = match self.form() {
                Some(Form::Map(item)) => self.part(Some(item)),
                _ => self.part(None),
            };
            while let Some(name) = entries.next_key::<String>()? {
                if self.takes(ENTRY + name.len()) {
                    map.insert(name, entries.next_value_seed(item)?);
                } else {
                    whole = false;
                    entries.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(if whole { Value::Object(map) } else { Value::Null })
    }
}

/// What may be long: the rules of policies and profiles, the nets of sets.
fn is_long(field: &Field) -> bool {
    matches!(field.name.as_str(), "ingress" | "egress" | "nets")
}

/// The value of a field; null is absence.
struct OrNull<'a>(Seed<'a>, bool);

impl<'de> DeserializeSeed<'de> for OrNull<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<Value>, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for OrNull<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Option<Value>, E> {
        Ok(self.1.then_some(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Option<Value>, E> {
        Ok(self.1.then_some(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<Value>, D::Error> {
        self.0.deserialize(deserializer).map(Some)
    }
}

/// The field that a name means in a record, found without copying the name.
struct Name<'a>(&'a Record);

enum Known<'a> {
    Field(&'a Field),
    Not(String),
}

impl<'a, 'de> DeserializeSeed<'de> for Name<'a> {
    type Value = Known<'a>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Known<'a>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Name<'a> {
    type Value = Known<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Known<'a>, E> {
        Ok(self.0.field(name).map_or_else(|| Known::Not(name.to_owned()), Known::Field))
    }
}
