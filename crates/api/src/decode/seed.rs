//! One pass from JSON text to a tree in the shape's names: what a listing of many objects spends its time on.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::shape::{Field, Form, Record, Shape};

/// Reads a value of this shape, or any value.
#[derive(Clone, Copy)]
pub(super) struct Seed<'a>(pub(super) Option<&'a Shape>);

impl<'a> Seed<'a> {
    fn form(self) -> Option<&'a Form> {
        self.0.map(|shape| &shape.form)
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
        Ok(match self.0 {
            Some(Shape { form: Form::Text, pointer: false, .. }) => Value::from(""),
            Some(Shape { form: Form::Record(_), pointer: false, .. }) => Value::Object(Map::new()),
            _ => Value::Null,
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let item = match self.form() {
            Some(Form::List(item)) => Seed(Some(item)),
            _ => Seed(None),
        };
        let mut list = Vec::new();
        while let Some(value) = items.next_element_seed(item)? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        // Small objects are the rule, and growing from nothing costs more than four empty places.
        let mut map = Map::with_capacity(4);
        if let Some(Form::Record(record)) = self.form() {
            while let Some(name) = entries.next_key_seed(Name(record))? {
                match name {
                    Known::Field(field) => {
                        if let Some(value) = entries.next_value_seed(OrNull(&field.shape))? {
                            map.insert(field.name.clone(), value);
                        }
                    }
                    Known::Not(name) => _ = map.insert(name, entries.next_value_seed(Seed(None))?),
                }
            }
        } else {
            let item = match self.form() {
                Some(Form::Map(item)) => Seed(Some(item)),
                _ => Seed(None),
            };
            while let Some(name) = entries.next_key()? {
                map.insert(name, entries.next_value_seed(item)?);
            }
        }
        Ok(Value::Object(map))
    }
}

/// The value of a field; null is absence.
struct OrNull<'a>(&'a Shape);

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
        Ok(None)
    }

    fn visit_none<E>(self) -> Result<Option<Value>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<Value>, D::Error> {
        Seed(Some(self.0)).deserialize(deserializer).map(Some)
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
