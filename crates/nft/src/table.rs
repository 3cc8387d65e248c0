//! Tables, and the address families they are for.
//!
//! Source: `enum nft_table_attributes`, `enum nft_table_flags`.

use std::fmt;

use crate::userdata;
use crate::wire::{DecodeError, Message, Writer, be_u32, expect, table, text};

const NAME: u16 = 1;
const FLAGS: u16 = 2;
const USERDATA: u16 = 6;

const DORMANT: u32 = 1;
const OWNER: u32 = 2;
const PERSIST: u32 = 4;

/// The family of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Family {
    /// IPv4 and IPv6.
    Inet = 1,
    /// IPv4.
    Ipv4 = 2,
    /// ARP.
    Arp = 3,
    /// One device.
    Netdev = 5,
    /// Bridges.
    Bridge = 7,
    /// IPv6.
    Ipv6 = 10,
}

impl Family {
    /// The kernel's number.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The family with this number.
    pub fn from_number(number: u8) -> Result<Self, DecodeError> {
        [Self::Inet, Self::Ipv4, Self::Arp, Self::Netdev, Self::Bridge, Self::Ipv6]
            .into_iter()
            .find(|family| family.number() == number)
            .ok_or(DecodeError::Unknown { what: "a family", value: number.into() })
    }
}

impl fmt::Display for Family {
    /// As `nft` writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inet => "inet",
            Self::Ipv4 => "ip",
            Self::Arp => "arp",
            Self::Netdev => "netdev",
            Self::Bridge => "bridge",
            Self::Ipv6 => "ip6",
        })
    }
}

/// Which table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId {
    /// Its family.
    pub family: Family,
    /// Its name, at most 255 bytes.
    pub name: String,
}

impl TableId {
    /// A table of family `inet`.
    pub fn inet(name: impl Into<String>) -> Self {
        Self { family: Family::Inet, name: name.into() }
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.family, self.name)
    }
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Table {
    /// Which one.
    pub id: TableId,
    /// Whether its base chains are out of action.
    pub dormant: bool,
    /// Whether only the socket that made it may change it; it is removed when that socket closes,
    /// unless `persist` is set too.
    pub owner: bool,
    /// Whether an owned table outlives its owner.
    pub persist: bool,
    /// A comment for people.
    pub comment: Option<String>,
}

impl Table {
    /// A table that anyone may change.
    pub const fn new(id: TableId) -> Self {
        Self { id, dormant: false, owner: false, persist: false, comment: None }
    }

    /// A table that only this socket may change and that outlives it; sent for an orphan, adopts it.
    pub fn owned(id: TableId) -> Self {
        Self { owner: true, persist: true, ..Self::new(id) }
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        let bit = |set: bool, bit: u32| if set { bit } else { 0 };
        let flags = bit(self.dormant, DORMANT) | bit(self.owner, OWNER) | bit(self.persist, PERSIST);
        writer.text(NAME, &self.id.name);
        writer.u32(FLAGS, flags);
        if let Some(userdata) = userdata::comment_only(self.comment.as_deref()) {
            writer.bytes(USERDATA, &userdata);
        }
    }

    /// Reads a table's message.
    pub fn decode(message: &Message<'_>) -> Result<Self, DecodeError> {
        let (family, attrs) = message.nfnetlink()?;
        let found = table::<7>(attrs)?;
        let flags = found[FLAGS as usize].map_or(Ok(0), |flags| be_u32(flags, "table flags"))?;
        if flags & !(DORMANT | OWNER | PERSIST) != 0 {
            return Err(DecodeError::Unknown { what: "table flags", value: flags.into() });
        }
        Ok(Self {
            id: TableId {
                family: Family::from_number(family)?,
                name: text(expect(found[NAME as usize], "a table's name")?, "a table's name")?,
            },
            dormant: flags & DORMANT != 0,
            owner: flags & OWNER != 0,
            persist: flags & PERSIST != 0,
            comment: userdata::comment(found[USERDATA as usize], userdata::COMMENT),
        })
    }
}

/// Whether any object's message, by its attribute 1, is of this table. Enough to pass over what is not
/// ours without reading it.
pub(crate) fn is_of(message: &Message<'_>, id: &TableId) -> Result<bool, DecodeError> {
    let (family, attrs) = message.nfnetlink()?;
    let [_, name] = table::<2>(attrs)?;
    let name = expect(name, "a table's name")?;
    Ok(family == id.family.number() && name.strip_suffix(&[0]).unwrap_or(name) == id.name.as_bytes())
}

/// The name in a table's own message.
pub(crate) fn name_of(message: &Message<'_>) -> Result<String, DecodeError> {
    let [_, name] = table::<2>(message.nfnetlink()?.1)?;
    text(expect(name, "a table's name")?, "a table's name")
}
