//! Rules: a row of expressions in a chain, and a comment.
//!
//! Source: `enum nft_rule_attributes`.

use crate::expr::{Counter, Expr, LIST_ELEM};
use crate::table::TableId;
use crate::userdata;
use crate::wire::{DecodeError, Message, Writer, be_u64, expect, table, text};

const TABLE: u16 = 1;
const CHAIN: u16 = 2;
const HANDLE: u16 = 3;
const EXPRESSIONS: u16 = 4;
const POSITION: u16 = 6;
const USERDATA: u16 = 7;

/// A rule of some table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The chain it is in.
    pub chain: String,
    /// What it does, step by step.
    pub exprs: Vec<Expr>,
    /// A comment for people.
    pub comment: Option<String>,
    /// The kernel's number of it, in what was read back.
    pub handle: Option<u64>,
}

/// Where a new rule goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// At the end of the chain.
    End,
    /// Before the rule with this handle.
    Before(u64),
    /// In place of the rule with this handle.
    Instead(u64),
}

impl Rule {
    /// A rule for `chain`.
    pub fn new(chain: impl Into<String>, exprs: impl IntoIterator<Item = Expr>) -> Self {
        Self { chain: chain.into(), exprs: exprs.into_iter().collect(), comment: None, handle: None }
    }

    /// With a comment.
    pub fn comment(mut self, comment: impl Into<String>) -> Self {
        self.comment = Some(comment.into());
        self
    }

    /// The count of the rule's first counter.
    pub fn counter(&self) -> Option<Counter> {
        self.exprs.iter().find_map(|expr| match expr {
            Expr::Counter(counter) => Some(*counter),
            _ => None,
        })
    }

    /// The rule without handle and counters, for comparisons.
    pub fn shape(&self) -> Self {
        let mut shape = self.clone();
        shape.handle = None;
        for expr in &mut shape.exprs {
            if let Expr::Counter(counter) = expr {
                *counter = Counter::default();
            }
        }
        shape
    }

    pub(crate) fn encode_place(owner: &TableId, chain: &str, handle: Option<u64>, writer: &mut Writer) {
        writer.text(TABLE, &owner.name);
        writer.text(CHAIN, chain);
        if let Some(handle) = handle {
            writer.u64(HANDLE, handle);
        }
    }

    pub(crate) fn encode(&self, owner: &TableId, place: Place, writer: &mut Writer) {
        let handle = if let Place::Instead(handle) = place { Some(handle) } else { None };
        Self::encode_place(owner, &self.chain, handle, writer);
        writer.nest(EXPRESSIONS, |writer| {
            for expr in &self.exprs {
                expr.write(writer, LIST_ELEM);
            }
        });
        if let Place::Before(position) = place {
            writer.u64(POSITION, position);
        }
        if let Some(userdata) = userdata::comment_only(self.comment.as_deref()) {
            writer.bytes(USERDATA, &userdata);
        }
    }

    /// Reads a rule's message.
    pub fn decode(message: &Message<'_>) -> Result<Self, DecodeError> {
        let (_, attrs) = message.nfnetlink()?;
        let found = table::<8>(attrs)?;
        Ok(Self {
            chain: text(expect(found[CHAIN as usize], "a rule's chain")?, "a rule's chain")?,
            exprs: found[EXPRESSIONS as usize].map_or(Ok(Vec::new()), Expr::read_list)?,
            comment: userdata::comment(found[USERDATA as usize], userdata::COMMENT),
            handle: found[HANDLE as usize].map(|handle| be_u64(handle, "a rule's handle")).transpose()?,
        })
    }
}
