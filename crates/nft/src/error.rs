//! What the kernel said about a batch that it refused, and of which object.
//!
//! An answer names the message by its sequence number, and often the attribute in it by its offset
//! from the message's start (extended ack). The object is read back from the batch's own bytes, so a
//! batch that succeeds pays nothing for this. An error found only at commit (a loop, a depth above 16)
//! comes for the whole batch.
//!
//! Source: `enum nlmsgerr_attrs` of `linux/netlink.h`.

use std::{fmt, io};

use crate::element::{LIST_ELEMENTS, RawElement};
use crate::expr::Expr;
use crate::message::{BATCH_BEGIN, BATCH_END, DEL_CHAIN, DEL_ELEMENTS, DEL_RULE, DEL_SET, DEL_TABLE};
use crate::message::{NEW_CHAIN, NEW_ELEMENTS, NEW_RULE, NEW_SET, NEW_TABLE};
use crate::rule::Rule;
use crate::table::{Family, TableId};
use crate::wire::{
    ACK_TLVS, ATTR_HEADER, Attrs, CAPPED, DecodeError, Message, NFGEN_HEADER, NLMSG_HEADER, be_u64, padded, table, text,
};

/// `NLMSGERR_ATTR_MSG`.
const MESSAGE: usize = 1;
/// `NLMSGERR_ATTR_OFFS`.
const OFFSET: usize = 2;
/// `NFTA_RULE_EXPRESSIONS`.
const RULE_EXPRESSIONS: u16 = 4;

/// What was to be done with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Make or change it.
    Add,
    /// Delete it.
    Delete,
}

/// An object that a message of a batch was about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ObjectRef {
    /// The batch as a whole.
    Batch,
    /// A table.
    Table(TableId),
    /// A chain.
    Chain {
        /// Its table.
        table: TableId,
        /// Its name.
        name: String,
    },
    /// A rule.
    Rule {
        /// Its table.
        table: TableId,
        /// Its chain.
        chain: String,
        /// Its handle, if the message had one.
        handle: Option<u64>,
        /// Its comment.
        comment: Option<String>,
        /// The place and name of the expression that the kernel pointed at.
        expression: Option<(usize, String)>,
    },
    /// A set or map.
    Set {
        /// Its table.
        table: TableId,
        /// Its name.
        name: String,
    },
    /// An element, or several of them.
    Element {
        /// The table.
        table: TableId,
        /// The set.
        set: String,
        /// The key, if the kernel pointed at one element.
        key: Option<Vec<u8>>,
    },
}

/// One refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchError {
    /// The error number.
    pub errno: i32,
    /// Which message of the batch: what the [`Batch`](crate::Batch) method that added it returned. None
    /// for the batch as a whole.
    pub index: Option<usize>,
    /// What was to be done.
    pub operation: Operation,
    /// With what.
    pub object: ObjectRef,
    /// The kernel's words, which it rarely has.
    pub message: Option<String>,
    /// Where in the message the kernel pointed.
    pub offset: Option<u32>,
}

/// Why a batch was not committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The kernel refused. Nothing was changed. The first is the cause, others may follow from it.
    #[error("{}", refusals(.0))]
    Refused(Vec<BatchError>),
    /// The generation id was not the one required. Nothing was changed.
    #[error("the ruleset changed in the meantime")]
    Stale,
    /// The batch is longer than the socket's send buffer. Nothing was changed.
    #[error("a batch of {len} bytes is longer than the send buffer")]
    TooLong {
        /// The batch's length.
        len: usize,
    },
    /// An attribute would be longer than 65,535 bytes. Nothing was sent.
    #[error("too much in one message: {0}")]
    Oversized(Box<ObjectRef>),
    /// Sending failed. Nothing was changed.
    #[error("the batch could not be sent")]
    Send(#[source] io::Error),
    /// The batch was sent, but whether it was committed could not be read: dump to find out.
    #[error("the answer to a batch could not be read")]
    Unacknowledged(#[source] Option<io::Error>),
}

impl CommitError {
    /// The refusal that caused the others.
    pub fn cause(&self) -> Option<&BatchError> {
        match self {
            Self::Refused(errors) => errors.first(),
            _ => None,
        }
    }
}

fn refusals(errors: &[BatchError]) -> String {
    match errors {
        [] => "the kernel refused the batch".into(),
        [one] => one.to_string(),
        [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batch => write!(f, "the batch"),
            Self::Table(table) => write!(f, "table {table}"),
            Self::Chain { table, name } => write!(f, "chain {table} {name}"),
            Self::Set { table, name } => write!(f, "set {table} {name}"),
            Self::Rule { table, chain, handle, comment, expression } => {
                write!(f, "rule of {table} {chain}")?;
                handle.map_or(Ok(()), |handle| write!(f, ", handle {handle}"))?;
                comment.as_ref().map_or(Ok(()), |comment| write!(f, ", \"{comment}\""))?;
                expression.as_ref().map_or(Ok(()), |(at, name)| write!(f, ", expression {at} ({name})"))
            }
            Self::Element { table, set, key: None } => write!(f, "elements of {table} {set}"),
            Self::Element { table, set, key: Some(key) } => {
                write!(f, "element of {table} {set}, key ")?;
                key.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.operation {
            Operation::Add => "add",
            Operation::Delete => "delete",
        };
        match self.object {
            ObjectRef::Batch => write!(f, "the kernel refused the batch: ")?,
            _ => write!(f, "the kernel refused to {verb} {}: ", self.object)?,
        }
        write!(f, "{}", io::Error::from_raw_os_error(self.errno))?;
        self.message.as_ref().map_or(Ok(()), |message| write!(f, " ({message})"))
    }
}

/// What an `NLMSG_ERROR` says.
pub(crate) struct Answer {
    pub(crate) errno: i32,
    pub(crate) message: Option<String>,
    pub(crate) offset: Option<u32>,
}

impl Answer {
    /// Reads the answer; errno 0 is an acknowledgement.
    pub(crate) fn read(answer: &Message<'_>) -> Result<Self, DecodeError> {
        const WHAT: &str = "an acknowledgement";
        let errno = answer.body.first_chunk::<4>().ok_or(DecodeError::Truncated(WHAT))?;
        let errno = i32::from_ne_bytes(*errno).wrapping_neg();
        let mut this = Self { errno, message: None, offset: None };
        if answer.flags & ACK_TLVS == 0 {
            return Ok(this);
        }
        let about =
            answer.body.get(4..).and_then(|rest| rest.first_chunk::<4>()).ok_or(DecodeError::Truncated(WHAT))?;
        let repeated = if answer.flags & CAPPED != 0 { NLMSG_HEADER } else { u32::from_ne_bytes(*about) as usize };
        let rest = answer.body.get(4usize.saturating_add(padded(repeated))..).ok_or(DecodeError::Truncated(WHAT))?;
        let found = table::<3>(Attrs::new(rest))?;
        this.message = found[MESSAGE].map(|message| text(message, WHAT)).transpose()?;
        this.offset = found[OFFSET].and_then(|offset| offset.try_into().ok()).map(u32::from_ne_bytes);
        Ok(this)
    }
}

/// What a message of our own was to do, and with what; `offset` is where the kernel pointed.
pub(crate) fn subject(message: &Message<'_>, offset: Option<u32>) -> (Operation, ObjectRef) {
    let operation = match message.kind {
        DEL_TABLE | DEL_CHAIN | DEL_RULE | DEL_SET | DEL_ELEMENTS => Operation::Delete,
        _ => Operation::Add,
    };
    let object = if matches!(message.kind, BATCH_BEGIN | BATCH_END) { None } else { object(message, offset) };
    (operation, object.unwrap_or(ObjectRef::Batch))
}

fn object(message: &Message<'_>, offset: Option<u32>) -> Option<ObjectRef> {
    let (family, attrs) = message.nfnetlink().ok()?;
    // What stands before a torn attribute still tells: an oversized one is such.
    let mut found = [None; 8];
    for attr in attrs.clone().flatten() {
        if let Some(slot) = found.get_mut(attr.kind as usize) {
            *slot = Some(attr.payload);
        }
    }
    let name = |kind: usize| found[kind].and_then(|name| text(name, "a name").ok());
    let table = TableId { family: Family::from_number(family).ok()?, name: name(1)? };
    // Offsets count from the netlink header on.
    let offset = offset.and_then(|offset| (offset as usize).checked_sub(NLMSG_HEADER + NFGEN_HEADER));
    let pointed = |list: u16| {
        let offset = offset?;
        let list = attrs.clone().flatten().find(|attr| attr.kind == list)?;
        let inside = offset.checked_sub(list.offset + ATTR_HEADER)?;
        let mut entries = Attrs::new(list.payload).flatten().enumerate();
        entries.find(|(_, entry)| inside < entry.offset + padded(ATTR_HEADER + entry.payload.len()))
    };
    Some(match message.kind {
        NEW_TABLE | DEL_TABLE => ObjectRef::Table(table),
        NEW_CHAIN | DEL_CHAIN => ObjectRef::Chain { table, name: name(3)? },
        NEW_SET | DEL_SET => ObjectRef::Set { table, name: name(2)? },
        NEW_RULE | DEL_RULE => ObjectRef::Rule {
            table,
            chain: name(2)?,
            handle: found[3].and_then(|handle| be_u64(handle, "a handle").ok()),
            comment: Rule::decode(message).ok().and_then(|rule| rule.comment),
            expression: pointed(RULE_EXPRESSIONS)
                .and_then(|(at, entry)| Some((at, Expr::read(entry.payload).ok()?.name().to_owned()))),
        },
        NEW_ELEMENTS | DEL_ELEMENTS => ObjectRef::Element {
            table,
            set: name(2)?,
            key: pointed(LIST_ELEMENTS).and_then(|(_, entry)| RawElement::read(entry.payload).ok()?.into_key()),
        },
        _ => return None,
    })
}
