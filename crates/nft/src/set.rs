//! Sets, maps and verdict maps: what a lookup looks in.
//!
//! Exact sets are hashes (one element in or out costs 4 to 8 µs at any size). Interval sets of one
//! field are trees whose every commit costs their whole size; interval sets of a concatenation are the
//! kernel's pipapo. An anonymous set belongs to the rule that names it, within one batch by number.
//!
//! Source: `enum nft_set_attributes`, `enum nft_set_flags`.

use crate::datatype::Fields;
use crate::expr::{Counter, Expr, LIST_ELEM};
use crate::table::TableId;
use crate::userdata;
use crate::wire::{Attrs, DecodeError, Message, Writer, be_u32, be_u64, expect, padded, table, text};

const TABLE: u16 = 1;
const NAME: u16 = 2;
const FLAGS: u16 = 3;
const KEY_TYPE: u16 = 4;
const KEY_LEN: u16 = 5;
const DATA_TYPE: u16 = 6;
const DATA_LEN: u16 = 7;
const DESC: u16 = 9;
const ID: u16 = 10;
const USERDATA: u16 = 13;
const HANDLE: u16 = 16;
const EXPR: u16 = 17;
const DESC_SIZE: u16 = 1;
const DESC_CONCAT: u16 = 2;
const FIELD_LEN: u16 = 1;

const ANONYMOUS: u32 = 0x1;
const CONSTANT: u32 = 0x2;
const INTERVAL: u32 = 0x4;
const MAP: u32 = 0x8;
const CONCAT: u32 = 0x80;
const KNOWN: u32 = ANONYMOUS | CONSTANT | INTERVAL | MAP | CONCAT;

/// `NFT_DATA_VERDICT`.
const VERDICT: u32 = 0xffff_ff00;

/// What an element leads to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MapData {
    /// Nothing: a plain set.
    None,
    /// A value of these fields.
    Value(Fields),
    /// A verdict.
    Verdict,
}

/// A set or map of some table, without its elements.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Set {
    /// Its name, at most 255 bytes. An anonymous one is made as `__set%d` or `__map%d`.
    pub name: String,
    /// The number that rules of the same batch know an anonymous set by; never in a dump.
    pub id: Option<u32>,
    /// Whether it belongs to a rule.
    pub anonymous: bool,
    /// Whether its elements never change.
    pub constant: bool,
    /// Whether its elements may be ranges.
    pub interval: bool,
    /// The key.
    pub key: Fields,
    /// What an element leads to.
    pub data: MapData,
    /// Whether each element has a counter.
    pub counted: bool,
    /// The most elements it may have; no limit if absent.
    pub size: Option<u32>,
    /// A comment for people.
    pub comment: Option<String>,
    /// The kernel's number of it, in what was read back.
    pub handle: Option<u64>,
}

impl Set {
    /// A set of exact keys.
    pub fn new(name: impl Into<String>, key: impl Into<Fields>) -> Self {
        Self {
            name: name.into(),
            id: None,
            anonymous: false,
            constant: false,
            interval: false,
            key: key.into(),
            data: MapData::None,
            counted: false,
            size: None,
            comment: None,
            handle: None,
        }
    }

    /// A map of exact keys to values.
    pub fn map(name: impl Into<String>, key: impl Into<Fields>, data: impl Into<Fields>) -> Self {
        Self { data: MapData::Value(data.into()), ..Self::new(name, key) }
    }

    /// A map of exact keys to verdicts.
    pub fn vmap(name: impl Into<String>, key: impl Into<Fields>) -> Self {
        Self { data: MapData::Verdict, ..Self::new(name, key) }
    }

    /// With ranges as keys.
    pub fn interval(mut self) -> Self {
        self.interval = true;
        self
    }

    /// With a counter for each element.
    pub fn counted(mut self) -> Self {
        self.counted = true;
        self
    }

    /// With a comment.
    pub fn comment(mut self, comment: impl Into<String>) -> Self {
        self.comment = Some(comment.into());
        self
    }

    /// Belonging to the rule of the same batch that looks up `id`.
    pub fn anonymous(mut self, id: u32) -> Self {
        self.name = if self.data == MapData::None { "__set%d" } else { "__map%d" }.into();
        self.id = Some(id);
        self.anonymous = true;
        self.constant = true;
        self
    }

    /// Whether ranges are kept as one element with two keys (a concatenation's) rather than two
    /// elements.
    pub(crate) fn is_pipapo(&self) -> bool {
        self.interval && self.key.is_concatenation()
    }

    fn flags(&self) -> u32 {
        let bit = |set: bool, bit: u32| if set { bit } else { 0 };
        bit(self.anonymous, ANONYMOUS)
            | bit(self.constant, CONSTANT)
            | bit(self.interval, INTERVAL)
            | bit(self.data != MapData::None, MAP)
            | bit(self.is_pipapo(), CONCAT)
    }

    pub(crate) fn encode_name(owner: &TableId, name: &str, writer: &mut Writer) {
        writer.text(TABLE, &owner.name);
        writer.text(NAME, name);
    }

    pub(crate) fn encode(&self, owner: &TableId, writer: &mut Writer) {
        Self::encode_name(owner, &self.name, writer);
        writer.u32(FLAGS, self.flags());
        writer.u32(KEY_TYPE, self.key.number());
        writer.u32(KEY_LEN, self.key.value_len() as u32);
        match &self.data {
            MapData::None => (),
            MapData::Value(fields) => {
                writer.u32(DATA_TYPE, fields.number());
                writer.u32(DATA_LEN, fields.value_len() as u32);
            }
            MapData::Verdict => {
                writer.u32(DATA_TYPE, VERDICT);
                writer.u32(DATA_LEN, 0);
            }
        }
        if self.size.is_some() || self.is_pipapo() {
            writer.nest(DESC, |writer| self.encode_desc(writer));
        }
        // The kernel wants a number for every set of a batch, also where nothing refers to it.
        writer.u32(ID, self.id.unwrap_or(0));
        writer.bytes(USERDATA, &self.userdata());
        if self.counted {
            Expr::Counter(Counter::default()).write(writer, EXPR);
        }
    }

    fn encode_desc(&self, writer: &mut Writer) {
        if let Some(size) = self.size {
            writer.u32(DESC_SIZE, size);
        }
        if self.is_pipapo() {
            writer.nest(DESC_CONCAT, |writer| {
                for field in self.key.iter() {
                    writer.nest(LIST_ELEM, |writer| writer.u32(FIELD_LEN, field.byte_len() as u32));
                }
            });
        }
    }

    fn userdata(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        userdata::push_number(&mut bytes, userdata::SET_KEY_ORDER, self.key.byte_order());
        if let MapData::Value(fields) = &self.data {
            userdata::push_number(&mut bytes, userdata::SET_DATA_ORDER, fields.byte_order());
        }
        if let Some(comment) = &self.comment {
            userdata::push_comment(&mut bytes, userdata::SET_COMMENT, comment);
        }
        bytes
    }

    /// Reads a set's message.
    pub fn decode(message: &Message<'_>) -> Result<Self, DecodeError> {
        let (_, attrs) = message.nfnetlink()?;
        let found = table::<19>(attrs)?;
        let number = |kind: u16, what| found[kind as usize].map_or(Ok(0), |payload| be_u32(payload, what));
        let flags = number(FLAGS, "set flags")?;
        if flags & !KNOWN != 0 {
            return Err(DecodeError::Unknown { what: "set flags", value: flags.into() });
        }
        let key = Fields::from_number(number(KEY_TYPE, "a set's key type")?)?;
        let data = match number(DATA_TYPE, "a map's data type")? {
            _ if flags & MAP == 0 => MapData::None,
            VERDICT => MapData::Verdict,
            other => MapData::Value(Fields::from_number(other)?),
        };
        let key_len = number(KEY_LEN, "a set's key length")? as usize;
        if key_len != key.value_len() {
            return Err(DecodeError::Length { what: "a set's key", len: key_len });
        }
        if let MapData::Value(fields) = &data {
            let len = number(DATA_LEN, "a map's data length")? as usize;
            if padded(len) != padded(fields.value_len()) {
                return Err(DecodeError::Length { what: "a map's data", len });
            }
        }
        let size = match found[DESC as usize] {
            None => None,
            Some(desc) => {
                let [_, size] = table::<2>(Attrs::new(desc))?;
                size.map(|size| be_u32(size, "a set's size")).transpose()?
            }
        };
        Ok(Self {
            name: text(expect(found[NAME as usize], "a set's name")?, "a set's name")?,
            id: None,
            anonymous: flags & ANONYMOUS != 0,
            constant: flags & CONSTANT != 0,
            interval: flags & INTERVAL != 0,
            key,
            data,
            counted: read_counted(found[EXPR as usize], found[EXPR as usize + 1])?,
            size,
            comment: userdata::comment(found[USERDATA as usize], userdata::SET_COMMENT),
            handle: found[HANDLE as usize].map(|handle| be_u64(handle, "a set's handle")).transpose()?,
        })
    }
}

fn read_counted(one: Option<&[u8]>, many: Option<&[u8]>) -> Result<bool, DecodeError> {
    match (one, many) {
        (None, None) => Ok(false),
        (Some(one), None) if matches!(Expr::read(one)?, Expr::Counter(_)) => Ok(true),
        _ => Err(DecodeError::Unknown { what: "a set's expressions", value: 0 }),
    }
}
