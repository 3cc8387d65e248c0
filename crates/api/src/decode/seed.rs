//! Decodes JSON text to a tree with the shape's field names, in one pass: a listing of many objects spends its time here.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::map::{Entry, Map};
use serde_json::{Number, Value};

use super::Damage;
use super::repaired::Marker;
use crate::path::Path;
use crate::shape::{Field, Form, Record, Shape};

/// What the caller receives of an object while it is read.
#[derive(Debug)]
pub enum Part<'a> {
    /// The list of this name begins; its items so far are dropped.
    Begin(&'a str),
    /// The next item of the list of this name.
    Item(&'a str, Value),
    /// Something else is read here than stands in the text: null for a key that appears twice and for what is too large, a list with
    /// null for a single value that cannot be read.
    Damaged(Path, Damage),
}

/// How an object is read.
#[derive(Clone, Copy)]
pub(super) enum Mode<'e> {
    /// As Calico reads it: null is absence, and of a key that appears twice the last value counts.
    Tolerant,
    /// As the limits say, but a key that appears twice is null where it decides something.
    NoRepeats(Limits<'e>),
    /// For enforcement: as the limits say, and long lists are handed over item by item.
    Exact(Limits<'e>),
}

/// The bounds of reading for enforcement, and who receives the parts.
#[derive(Clone, Copy)]
pub(super) struct Limits<'e> {
    /// How many bytes the tree may take.
    pub(super) most: usize,
    /// How many more it may take. What does not fit becomes null.
    pub(super) room: &'e Cell<usize>,
    /// Takes the items of `spec.ingress`, `spec.egress` and `spec.nets` one by one, so that no tree of all of them is
    /// made; and what is damaged.
    pub(super) receiver: &'e Receiver<'e>,
    /// How many more damages are reported: of the others only the value tells.
    pub(super) damaged: &'e Cell<usize>,
    /// From this depth on a null stays null; before, it is absence.
    pub(super) null_stays: usize,
}

/// How many damages are reported.
pub(super) const DAMAGED: usize = 100;

/// Takes parts, and says whether more items of the list are wanted.
pub(super) type Receiver<'e> = RefCell<dyn FnMut(Part<'_>) -> bool + 'e>;

impl Limits<'_> {
    /// Tells of a damage, if not too many were told of.
    fn report(self, place: &Place<'_>, damage: Damage) {
        if let Some(left) = self.damaged.get().checked_sub(1) {
            self.damaged.set(left);
            self.receiver.borrow_mut()(Part::Damaged(place.path(), damage));
        }
    }
}

/// The place of a value in the object. Its text is made only for what is damaged.
#[derive(Clone, Copy)]
enum Place<'a> {
    Whole,
    Key(&'a Place<'a>, &'a str),
    Index(&'a Place<'a>, usize),
}

impl Place<'_> {
    fn path(&self) -> Path {
        match self {
            Place::Whole => Path::root(),
            Place::Key(parent, name) => parent.path().key(*name),
            Place::Index(parent, index) => parent.path().index(*index),
        }
    }
}

/// Reads a value of this shape, or any value.
#[derive(Clone, Copy)]
pub(super) struct Seed<'a, 'e> {
    shape: Option<&'a Shape>,
    mode: Mode<'e>,
    place: &'a Place<'a>,
    /// How far inside the object: 0 is the whole, 1 the spec, 2 a field of the spec.
    depth: usize,
    /// A list whose items are handed over, by its name.
    handed: Option<&'a str>,
    /// Whether the value decides something: the spec, or labels.
    decides: bool,
    /// What the values are told by that were replaced in the text.
    marker: Option<Marker>,
}

/// About what an item of a list and an entry of a map take, beside their texts.
const ITEM: usize = 2 * size_of::<Value>();
const ENTRY: usize = ITEM + 64;

impl<'a, 'e> Seed<'a, 'e> {
    pub(super) fn new(shape: Option<&'a Shape>, mode: Mode<'e>, marker: Option<Marker>) -> Self {
        Self { shape, mode, place: &Place::Whole, depth: 0, handed: None, decides: false, marker }
    }

    fn form(self) -> Option<&'a Form> {
        self.shape.map(|shape| &shape.form)
    }

    fn exact(self) -> Option<Limits<'e>> {
        match self.mode {
            Mode::Exact(limits) => Some(limits),
            _ => None,
        }
    }

    fn limits(self) -> Option<Limits<'e>> {
        match self.mode {
            Mode::Tolerant => None,
            Mode::NoRepeats(limits) | Mode::Exact(limits) => Some(limits),
        }
    }

    /// What reads a part.
    fn part(self, shape: Option<&'a Shape>, place: &'a Place<'a>) -> Self {
        Self { shape, place, depth: self.depth + 1, handed: None, ..self }
    }

    /// What reads a field. Of metadata and status only labels decide anything.
    fn field(self, field: &'a Field, place: &'a Place<'a>) -> Self {
        let name = field.name.as_str();
        Seed {
            handed: (self.exact().is_some() && self.depth == 1 && self.decides && is_long(field)).then_some(name),
            decides: self.decides || (self.depth == 0 && name == "spec") || (self.depth == 1 && name == "labels"),
            ..self.part(Some(&field.shape), place)
        }
    }

    /// Puts null in the place of a key that appears twice, where that decides something. Else the last value counts.
    fn repeated(self, decides: bool, name: &str) -> Option<Value> {
        let limits = self.limits().filter(|_| decides)?;
        limits.report(&Place::Key(self.place, name), Damage::Repeated);
        Some(Value::Null)
    }

    /// The item of a list, or null for a number that says why a value was replaced in the text.
    fn or_replaced(self, item: Value, place: &Place<'_>) -> Value {
        let Some(damage) = self.marker.zip(item.as_u64()).and_then(|(marker, number)| marker.damage(number)) else {
            return item;
        };
        self.limits().iter().for_each(|limits| limits.report(place, damage));
        Value::Null
    }

    /// Reports that there is no room for what is here.
    fn too_large(self, place: &Place<'_>) {
        if let Some(limits) = self.limits() {
            limits.report(place, Damage::TooLarge(limits.most));
        }
    }

    /// Whether there is room for a part of this size.
    fn takes(self, size: usize) -> bool {
        let Some(Limits { room, .. }) = self.limits() else { return true };
        let left = room.get().checked_sub(size);
        room.set(left.unwrap_or(0));
        left.is_some()
    }

    /// Hands over the items of a list, each read alone.
    fn each_item<'de, A: SeqAccess<'de>>(
        self,
        exact: Limits<'e>,
        name: &str,
        items: &mut A,
    ) -> Result<Value, A::Error> {
        let room = exact.room.get();
        let shape = self.item_shape();
        exact.receiver.borrow_mut()(Part::Begin(name));
        let mut count = 0;
        loop {
            let place = Place::Index(self.place, count);
            let Some(value) = items.next_element_seed(self.part(shape, &place))? else { break };
            exact.room.set(room);
            let value = self.or_replaced(value, &place);
            count += 1;
            if !exact.receiver.borrow_mut()(Part::Item(name, value)) {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                break;
            }
        }
        Ok(Value::Array(Vec::new()))
    }

    /// Puts an entry into a map whose names no shape knows.
    fn put(self, map: &mut Map<String, Value>, name: String, value: Value) {
        match map.entry(name) {
            Entry::Vacant(entry) => drop(entry.insert(value)),
            Entry::Occupied(mut entry) => {
                let value = self.repeated(self.decides, entry.key()).unwrap_or(value);
                entry.insert(value);
            }
        }
    }

    fn item_shape(self) -> Option<&'a Shape> {
        match self.form() {
            Some(Form::List(item)) => Some(item),
            _ => None,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_, '_> {
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
            _ if self.exact().is_some() => Value::Null,
            Some(Shape { form: Form::Text, pointer: false, .. }) => Value::from(""),
            Some(Shape { form: Form::Record(_), pointer: false, .. }) => Value::Object(Map::new()),
            _ => Value::Null,
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        if let (Some(exact), Some(name)) = (self.exact(), self.handed) {
            return self.each_item(exact, name, &mut items);
        }
        let shape = self.item_shape();
        let mut list = Vec::new();
        loop {
            let place = Place::Index(self.place, list.len());
            let Some(value) = items.next_element_seed(self.part(shape, &place))? else { break };
            let value = self.or_replaced(value, self.place);
            if !self.takes(ITEM) {
                self.too_large(&place);
                // A reader of the list finds that its end is missing.
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
        let mut map = Map::with_capacity(if self.limits().is_some() { 0 } else { 4 });
        // Of an object that is too large inside nothing is left; unknown fields further outside are left out.
        let mut whole = true;
        if let Some(Form::Record(record)) = self.form() {
            // Fields that were null, which is absence: they too appear only once, where that matters.
            let mut absent: Vec<&str> = Vec::new();
            while let Some(name) = entries.next_key_seed(Name(record))? {
                match name {
                    Known::Field(field) => {
                        let name = field.name.as_str();
                        let place = Place::Key(self.place, name);
                        let seed = self.field(field, &place);
                        // Metadata as a whole has labels.
                        let decides = seed.decides || (self.depth == 0 && name == "metadata");
                        let keeps_null = decides && self.limits().is_some_and(|limits| self.depth >= limits.null_stays);
                        let value = entries.next_value_seed(OrNull(seed, keeps_null))?;
                        let matters = decides && self.limits().is_some();
                        let again = matters && (map.contains_key(name) || absent.contains(&name));
                        let repeated = if again { self.repeated(decides, name) } else { None };
                        match repeated.or(value) {
                            Some(value) => {
                                whole &= self.takes(ENTRY) || self.depth < 2;
                                map.insert(name.to_owned(), value);
                            }
                            None if matters && !again => absent.push(name),
                            None => {}
                        }
                    }
                    Known::Not(name) if self.takes(ENTRY + name.len()) => {
                        let place = Place::Key(self.place, &name);
                        let value = entries.next_value_seed(self.part(None, &place))?;
                        self.put(&mut map, name, value);
                    }
                    Known::Not(_) => {
                        whole &= self.depth < 2;
                        entries.next_value::<IgnoredAny>()?;
                    }
                }
            }
        } else {
            let shape = match self.form() {
                Some(Form::Map(item)) => Some(&**item),
                _ => None,
            };
            while let Some(name) = entries.next_key::<String>()? {
                if self.takes(ENTRY + name.len()) {
                    let place = Place::Key(self.place, &name);
                    let value = entries.next_value_seed(self.part(shape, &place))?;
                    self.put(&mut map, name, value);
                } else {
                    whole = false;
                    entries.next_value::<IgnoredAny>()?;
                }
            }
        }
        if !whole {
            self.too_large(self.place);
        }
        Ok(if whole { Value::Object(map) } else { Value::Null })
    }
}

/// What may be long: the rules of policies and profiles, the nets of sets.
fn is_long(field: &Field) -> bool {
    matches!(field.name.as_str(), "ingress" | "egress" | "nets")
}

/// The value of a field; null is absence.
struct OrNull<'a, 'e>(Seed<'a, 'e>, bool);

impl<'de> DeserializeSeed<'de> for OrNull<'_, '_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<Value>, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for OrNull<'_, '_> {
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
