//! Elements of sets and maps.
//!
//! A range is one [`Element`] here. The kernel keeps a concatenation's as two keys, both inside; that of
//! a single field as two elements, the second behind the end and flagged so, or absent if the range goes
//! to the last value there is. [`Element::write`] and [`assemble`] are the two directions.
//!
//! Source: `enum nft_set_elem_attributes`, `enum nft_set_elem_flags`.

use crate::expr::{Counter, Expr, LIST_ELEM};
use crate::register::{DATA_VALUE, DATA_VERDICT, read_value, write_value};
use crate::set::Set;
use crate::table::TableId;
use crate::userdata;
use crate::verdict::Verdict;
use crate::wire::{ATTR_HEADER, Attrs, DecodeError, Message, Writer, be_u32, expect, padded, table, text};

const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;
pub(crate) const LIST_ELEMENTS: u16 = 3;
const LIST_SET_ID: u16 = 4;

const KEY: u16 = 1;
const DATA: u16 = 2;
const FLAGS: u16 = 3;
const USERDATA: u16 = 6;
const EXPR: u16 = 7;
const KEY_END: u16 = 10;
/// Several expressions, where [`EXPR`] holds one.
const EXPRESSIONS: u16 = 11;

const INTERVAL_END: u32 = 1;
const CATCH_ALL: u32 = 2;

/// What an element stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// One value, padded as [`Fields`](crate::Fields) says.
    One(Vec<u8>),
    /// All values between two, both inside; of a concatenation, field by field.
    Range(Vec<u8>, Vec<u8>),
    /// Whatever no other element stands for.
    CatchAll,
}

impl Key {
    /// The values that begin with the first `bits` bits of `value`.
    pub fn prefix(value: &[u8], bits: usize) -> Self {
        let mask = |index: usize| match bits.saturating_sub(index * 8) {
            8.. => 0xffu8,
            inside => !(0xffu8 >> inside),
        };
        let first: Vec<u8> = value.iter().enumerate().map(|(index, byte)| byte & mask(index)).collect();
        let last = value.iter().enumerate().map(|(index, byte)| byte | !mask(index)).collect();
        Self::range(first, last)
    }

    /// By the first value, the catch-all last.
    fn order(&self) -> (bool, &[u8]) {
        match self {
            Self::One(first) | Self::Range(first, _) => (false, first),
            Self::CatchAll => (true, &[]),
        }
    }

    /// The values between two, both inside.
    pub fn range(first: Vec<u8>, last: Vec<u8>) -> Self {
        if first == last { Self::One(first) } else { Self::Range(first, last) }
    }
}

/// What an element of a map leads to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Data {
    /// A value, padded as [`Fields`](crate::Fields) says.
    Value(Vec<u8>),
    /// A verdict.
    Verdict(Verdict),
}

/// One element.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Element {
    /// What it stands for.
    pub key: Key,
    /// What it leads to, in a map.
    pub data: Option<Data>,
    /// A comment for people.
    pub comment: Option<String>,
    /// Its count, in what was read back from a counted set. Never written.
    pub counter: Option<Counter>,
}

impl Element {
    /// An element of a plain set.
    pub const fn new(key: Key) -> Self {
        Self { key, data: None, comment: None, counter: None }
    }

    /// An element of a map.
    pub const fn value(key: Key, value: Vec<u8>) -> Self {
        Self { key, data: Some(Data::Value(value)), comment: None, counter: None }
    }

    /// An element of a verdict map.
    pub const fn verdict(key: Key, verdict: Verdict) -> Self {
        Self { key, data: Some(Data::Verdict(verdict)), comment: None, counter: None }
    }

    /// With a comment.
    pub fn comment(mut self, comment: impl Into<String>) -> Self {
        self.comment = Some(comment.into());
        self
    }

    /// The element without its counter, for comparisons.
    pub fn shape(&self) -> Self {
        Self { counter: None, ..self.clone() }
    }

    /// At most so many bytes are written for it.
    pub(crate) fn encoded_max(&self) -> usize {
        const NESTS: usize = 64;
        let key = match &self.key {
            Key::One(value) => 2 * padded(value.len()),
            Key::Range(first, last) => padded(first.len()) + padded(last.len()),
            Key::CatchAll => 0,
        };
        let data = match &self.data {
            None => 0,
            Some(Data::Value(value)) => padded(value.len()),
            Some(Data::Verdict(verdict)) => 16 + padded(verdict.chain().map_or(0, str::len) + 1),
        };
        let comment = self.comment.as_ref().map_or(0, |comment| comment.len().min(userdata::COMMENT_MAX) + 8);
        NESTS + key + data + comment
    }

    /// Writes the one or two list entries of this element of `set`; without what it leads to if it
    /// shall be deleted.
    pub(crate) fn write(&self, set: &Set, delete: bool, writer: &mut Writer) {
        let (first, last) = match &self.key {
            Key::One(value) => (Some(value), value),
            Key::Range(first, last) => (Some(first), last),
            Key::CatchAll => (None, &Vec::new()),
        };
        writer.nest(LIST_ELEM, |writer| {
            match first {
                Some(first) => write_value(writer, KEY, first),
                None => writer.u32(FLAGS, CATCH_ALL),
            }
            if set.is_pipapo() && first.is_some() {
                write_value(writer, KEY_END, last);
            }
            if !delete {
                self.write_rest(writer);
            }
        });
        if set.interval
            && !set.is_pipapo()
            && first.is_some()
            && let Some(end) = next(last)
        {
            writer.nest(LIST_ELEM, |writer| {
                write_value(writer, KEY, &end);
                writer.u32(FLAGS, INTERVAL_END);
            });
        }
    }

    fn write_rest(&self, writer: &mut Writer) {
        match &self.data {
            None => (),
            Some(Data::Value(value)) => write_value(writer, DATA, value),
            Some(Data::Verdict(verdict)) => verdict.write(writer, DATA),
        }
        if let Some(userdata) = userdata::comment_only(self.comment.as_deref()) {
            writer.bytes(USERDATA, &userdata);
        }
    }
}

/// The value behind this one, none behind the last.
fn next(value: &[u8]) -> Option<Vec<u8>> {
    let mut value = value.to_vec();
    for byte in value.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            return Some(value);
        }
    }
    None
}

/// The value before this one.
fn previous(value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    for byte in value.iter_mut().rev() {
        *byte = byte.wrapping_sub(1);
        if *byte != 0xff {
            break;
        }
    }
    value
}

/// A list entry as the kernel keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RawElement {
    key: Option<Vec<u8>>,
    key_end: Option<Vec<u8>>,
    flags: u32,
    element: Element,
}

impl RawElement {
    /// Reads the payload of a list entry.
    pub(crate) fn read(payload: &[u8]) -> Result<Self, DecodeError> {
        let found = table::<12>(Attrs::new(payload))?;
        if found[EXPRESSIONS as usize].is_some() {
            return Err(DecodeError::Unknown { what: "an element's expressions", value: 0 });
        }
        let value =
            |kind: u16| found[kind as usize].map(|_| read_value(found[kind as usize], "an element's key")).transpose();
        let data = match found[DATA as usize] {
            None => None,
            Some(data) => Some(read_data(data)?),
        };
        let counter = match found[EXPR as usize].map(Expr::read).transpose()? {
            None => None,
            Some(Expr::Counter(counter)) => Some(counter),
            Some(_) => return Err(DecodeError::Unknown { what: "an element's expression", value: 0 }),
        };
        let key = value(KEY)?;
        let flags = found[FLAGS as usize].map_or(Ok(0), |flags| be_u32(flags, "element flags"))?;
        let comment = userdata::comment(found[USERDATA as usize], userdata::COMMENT);
        Ok(Self {
            key,
            key_end: value(KEY_END)?,
            flags,
            element: Element { data, comment, counter, ..Element::new(Key::CatchAll) },
        })
    }

    /// The key alone, for naming the element.
    pub(crate) fn into_key(self) -> Option<Vec<u8>> {
        self.key
    }
}

fn read_data(payload: &[u8]) -> Result<Data, DecodeError> {
    let nested = table::<3>(Attrs::new(payload))?;
    match (nested[DATA_VALUE as usize], nested[DATA_VERDICT as usize]) {
        (_, Some(verdict)) => Ok(Data::Verdict(Verdict::read(verdict)?)),
        (Some(value), None) => Ok(Data::Value(value.to_vec())),
        (None, None) => Err(DecodeError::Missing("an element's data")),
    }
}

/// Writes what stands before the list of an element message.
pub(crate) fn encode_list(owner: &TableId, set: &str, id: Option<u32>, writer: &mut Writer) {
    writer.text(LIST_TABLE, &owner.name);
    writer.text(LIST_SET, set);
    if let Some(id) = id {
        writer.u32(LIST_SET_ID, id);
    }
}

/// Reads an element message: the set's name and the entries.
pub fn decode_list(message: &Message<'_>) -> Result<(String, Vec<RawElement>), DecodeError> {
    let (_, attrs) = message.nfnetlink()?;
    let found = table::<4>(attrs)?;
    let set = text(expect(found[LIST_SET as usize], "an element's set")?, "an element's set")?;
    let list = found[LIST_ELEMENTS as usize].unwrap_or_default();
    let elements = Attrs::new(list).map(|attr| RawElement::read(attr?.payload)).collect::<Result<_, _>>()?;
    Ok((set, elements))
}

/// The elements of `set` that these entries mean, ordered by key, the catch-all last.
pub fn assemble(set: &Set, entries: Vec<RawElement>) -> Result<Vec<Element>, DecodeError> {
    let mut elements = Vec::with_capacity(entries.len());
    let mut halves = Vec::new();
    for entry in entries {
        if entry.flags & CATCH_ALL != 0 {
            elements.push(entry.element);
            continue;
        }
        let key = entry.key.ok_or(DecodeError::Missing("an element's key"))?;
        if key.len() != set.key.value_len() {
            return Err(DecodeError::Length { what: "an element's key", len: key.len() });
        }
        if set.interval && !set.is_pipapo() {
            let end = entry.flags & INTERVAL_END != 0;
            halves.push((key, !end, entry.element)); // at one key the end of one range comes first
        } else {
            let key = match entry.key_end {
                Some(end) if end.len() != key.len() => {
                    return Err(DecodeError::Length { what: "an element's key", len: end.len() });
                }
                Some(end) => Key::range(key, end),
                None => Key::One(key),
            };
            elements.push(Element { key, ..entry.element });
        }
    }
    halves.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    let ends: Vec<_> = halves.iter().skip(1).map(|(key, ..)| previous(key)).collect();
    let last = vec![0xff; set.key.value_len()];
    let mut ends = ends.into_iter();
    for (key, start, element) in halves {
        let end = ends.next().unwrap_or_else(|| last.clone());
        if start {
            elements.push(Element { key: Key::range(key, end), ..element });
        }
    }
    elements.sort_by(|a, b| a.key.order().cmp(&b.key.order()));
    Ok(elements)
}

/// The length of the attribute that holds the list, which the caller keeps below
/// [`ATTR_MAX`](crate::wire::ATTR_MAX).
pub(crate) const LIST_OVERHEAD: usize = ATTR_HEADER;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_with_several_expressions_is_not_taken_for_a_plain_one() {
        let mut writer = Writer::new();
        write_value(&mut writer, KEY, &[10, 0, 0, 1]);
        assert!(RawElement::read(writer.as_bytes()).is_ok());
        writer.nest(EXPRESSIONS, |writer| Expr::Counter(Counter::default()).write(writer, LIST_ELEM));
        let unknown = RawElement::read(writer.as_bytes()).unwrap_err();
        assert_eq!(unknown, DecodeError::Unknown { what: "an element's expressions", value: 0 });
    }
}
