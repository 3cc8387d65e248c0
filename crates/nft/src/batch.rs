//! A batch: one transaction, all or nothing.
//!
//! Each method appends one message and returns its index, by which a [`BatchError`](crate::BatchError) names it. Order
//! matters as in a script: what is referred to comes first, and what refers to something goes before it
//! is deleted. Large element lists are split into messages; the transaction stays one. Committing is in
//! `commit`.

use crate::chain::Chain;
use crate::element::{Element, LIST_ELEMENTS, LIST_OVERHEAD, encode_list};
use crate::message::{DEL_CHAIN, DEL_ELEMENTS, DEL_RULE, DEL_SET, DEL_TABLE};
use crate::message::{NEW_CHAIN, NEW_ELEMENTS, NEW_RULE, NEW_SET, NEW_TABLE};
use crate::rule::{Place, Rule};
use crate::set::Set;
use crate::table::{Table, TableId};
use crate::wire::{APPEND, ATTR_MAX, CREATE, Header, REPLACE, REQUEST, Writer};

/// The sequence number of the first message; before it there is the batch's begin.
pub(crate) const FIRST_SEQUENCE: u32 = 2;

/// A transaction under construction.
#[derive(Debug, Clone)]
pub struct Batch {
    pub(crate) writer: Writer,
    len: usize,
    pub(crate) generation: Option<u32>,
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self { writer: Writer::new(), len: 0, generation: None }
    }

    /// Has the commit fail with [`CommitError::Stale`](crate::CommitError::Stale) unless the generation id is still this one.
    pub fn require_generation(&mut self, generation: u32) {
        self.generation = Some(generation);
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many bytes one send has to take.
    pub fn byte_len(&self) -> usize {
        self.writer.len()
    }

    /// Makes or adopts a table, or changes its flags.
    pub fn add_table(&mut self, table: &Table) -> usize {
        self.push(NEW_TABLE, CREATE, &table.id, |writer| table.encode(writer))
    }

    /// Deletes a table with everything in it.
    pub fn delete_table(&mut self, table: &TableId) -> usize {
        self.push(DEL_TABLE, 0, table, |writer| writer.text(1, &table.name))
    }

    /// Deletes a table with everything in it, if there is one.
    pub fn remove_table(&mut self, table: &TableId) -> usize {
        self.add_table(&Table::new(table.clone()));
        self.delete_table(table)
    }

    /// Makes a chain, or changes a base chain's policy.
    pub fn add_chain(&mut self, table: &TableId, chain: &Chain) -> usize {
        self.push(NEW_CHAIN, CREATE, table, |writer| chain.encode(table, writer))
    }

    /// Deletes a chain with its rules; nothing may lead to it any more.
    pub fn delete_chain(&mut self, table: &TableId, chain: &str) -> usize {
        self.push(DEL_CHAIN, 0, table, |writer| Chain::encode_name(table, chain, writer))
    }

    /// Deletes the rules of a chain.
    pub fn flush_chain(&mut self, table: &TableId, chain: &str) -> usize {
        self.push(DEL_RULE, 0, table, |writer| Rule::encode_place(table, chain, None, writer))
    }

    /// Appends a rule to its chain.
    pub fn append_rule(&mut self, table: &TableId, rule: &Rule) -> usize {
        self.rule(CREATE | APPEND, table, rule, Place::End)
    }

    /// Puts a rule before the one with this handle.
    pub fn insert_rule_before(&mut self, table: &TableId, rule: &Rule, handle: u64) -> usize {
        self.rule(CREATE, table, rule, Place::Before(handle))
    }

    /// Puts a rule in place of the one with this handle.
    pub fn replace_rule(&mut self, table: &TableId, rule: &Rule, handle: u64) -> usize {
        self.rule(REPLACE, table, rule, Place::Instead(handle))
    }

    /// Deletes the rule with this handle.
    pub fn delete_rule(&mut self, table: &TableId, chain: &str, handle: u64) -> usize {
        self.push(DEL_RULE, 0, table, |writer| Rule::encode_place(table, chain, Some(handle), writer))
    }

    /// Makes a set or map, empty.
    pub fn add_set(&mut self, table: &TableId, set: &Set) -> usize {
        self.push(NEW_SET, CREATE, table, |writer| set.encode(table, writer))
    }

    /// Deletes a set or map with its elements; no rule may look in it any more.
    pub fn delete_set(&mut self, table: &TableId, set: &str) -> usize {
        self.push(DEL_SET, 0, table, |writer| Set::encode_name(table, set, writer))
    }

    /// Deletes the elements of a set or map.
    pub fn flush_set(&mut self, table: &TableId, set: &str) -> usize {
        self.push(DEL_ELEMENTS, 0, table, |writer| encode_list(table, set, None, writer))
    }

    /// Puts elements into a set or map. One that is there already stays, one with other data is
    /// refused. Returns the index of the first message.
    pub fn add_elements<'a>(
        &mut self,
        table: &TableId,
        set: &Set,
        elements: impl IntoIterator<Item = &'a Element>,
    ) -> usize {
        self.elements(NEW_ELEMENTS, CREATE, table, set, elements)
    }

    /// Takes elements out of a set or map; one that is not there is refused. Returns the index of the
    /// first message.
    pub fn delete_elements<'a>(
        &mut self,
        table: &TableId,
        set: &Set,
        elements: impl IntoIterator<Item = &'a Element>,
    ) -> usize {
        self.elements(DEL_ELEMENTS, 0, table, set, elements)
    }

    fn rule(&mut self, flags: u16, table: &TableId, rule: &Rule, place: Place) -> usize {
        self.push(NEW_RULE, flags, table, |writer| rule.encode(table, place, writer))
    }

    fn elements<'a>(
        &mut self,
        kind: u16,
        flags: u16,
        table: &TableId,
        set: &Set,
        elements: impl IntoIterator<Item = &'a Element>,
    ) -> usize {
        let first = self.len;
        let mut elements = elements.into_iter().peekable();
        while elements.peek().is_some() {
            self.push(kind, flags, table, |writer| {
                encode_list(table, &set.name, set.id, writer);
                writer.nest(LIST_ELEMENTS, |writer| {
                    let start = writer.len();
                    let room = |writer: &Writer, element: &Element| {
                        LIST_OVERHEAD + writer.len() - start + element.encoded_max() <= ATTR_MAX
                    };
                    // One at least, so that it ends; too long a one is found as an overflow.
                    let mut one = elements.next();
                    while let Some(element) = one {
                        element.write(set, kind == DEL_ELEMENTS, writer);
                        one = elements.next_if(|next| room(writer, next));
                    }
                });
            });
        }
        first
    }

    fn push(&mut self, kind: u16, flags: u16, table: &TableId, body: impl FnOnce(&mut Writer)) -> usize {
        let index = self.len;
        let header = Header {
            kind,
            flags: REQUEST | flags,
            seq: FIRST_SEQUENCE + index as u32,
            family: table.family.number(),
            resource: 0,
        };
        self.writer.message(header, body);
        self.len += 1;
        index
    }
}
