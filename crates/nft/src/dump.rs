//! Reading a table back, into the types it was written with.
//!
//! Only the table asked for is looked at: of anything else no more than the name of its table is read, and where it is
//! asked for those of its chains.
//! Chains, rules, sets and elements come from separate dumps; the generation id before and after says
//! whether they belong together, and if not they are read again.
//!
//! Reading a map of 100k
//! elements takes 0.2 s and grows with the square of its size.

use std::time::Duration;

use tortie_netlink::RequestError;

use crate::chain::{self, Chain};
use crate::element::{Element, Key, LIST_ELEMENTS, RawElement, assemble, decode_list, encode_list};
use crate::message::{GET_CHAIN, GET_ELEMENTS, GET_RULE, GET_SET, GET_TABLE};
use crate::rule::Rule;
use crate::set::Set;
use crate::socket::Socket;
use crate::table::{Family, Table, TableId, is_of, name_of};
use crate::wire::{DecodeError, Message, Writer};

/// How often a table that others change is read again.
pub(crate) const MAX_ATTEMPTS: usize = 20;

/// A set with its elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetDump {
    /// The set.
    pub set: Set,
    /// Its elements, ordered by key, the catch-all last.
    pub elements: Vec<Element>,
}

/// A table with everything in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDump {
    /// The table.
    pub table: Table,
    /// Its chains, in the order they were made.
    pub chains: Vec<Chain>,
    /// Its rules, chain by chain, in order.
    pub rules: Vec<Rule>,
    /// Its sets.
    pub sets: Vec<SetDump>,
}

impl TableDump {
    /// The rules of a chain, in order.
    pub fn rules_of<'a>(&'a self, chain: &'a str) -> impl Iterator<Item = &'a Rule> {
        self.rules.iter().filter(move |rule| rule.chain == chain)
    }

    /// The chain of this name.
    pub fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.name == name)
    }

    /// The set of this name.
    pub fn set(&self, name: &str) -> Option<&SetDump> {
        self.sets.iter().find(|set| set.set.name == name)
    }
}

/// A table and everything in it, all of one generation; none if there is no such table.
pub fn table(socket: &mut Socket, id: &TableId) -> Result<Option<TableDump>, RequestError> {
    for _ in 0..MAX_ATTEMPTS {
        let before = socket.generation()?;
        let read = read_table(socket, id);
        // What changed while it was read may be missing or torn: only then an error is no error.
        if socket.generation()? == before {
            return read;
        }
    }
    Err(RequestError::Interrupted("list a table"))
}

fn read_table(socket: &mut Socket, id: &TableId) -> Result<Option<TableDump>, RequestError> {
    let Some(table) = tables(socket, |name| name == id.name)?.into_iter().find(|table| table.id == *id) else {
        return Ok(None);
    };
    let chains = chains(socket, id)?;
    let rules = rules(socket, id, None)?;
    let mut found = Vec::new();
    for set in sets(socket, id)? {
        let elements = elements(socket, id, &set)?;
        found.push(SetDump { set, elements });
    }
    Ok(Some(TableDump { table, chains, rules, sets: found }))
}

/// The tables whose names `ours` accepts.
pub fn tables(socket: &mut Socket, ours: impl Fn(&str) -> bool) -> Result<Vec<Table>, RequestError> {
    let each = |tables: &mut Vec<_>, message: &Message<'_>| {
        if ours(&name_of(message)?) {
            tables.push(Table::decode(message)?);
        }
        Ok(())
    };
    socket.dump("list the tables", GET_TABLE, 0, |_| (), each)
}

/// Every table, also those made by others in ways that this crate does not know: no more than the name is read.
pub fn table_ids(socket: &mut Socket) -> Result<Vec<TableId>, RequestError> {
    let each = |tables: &mut Vec<_>, message: &Message<'_>| {
        tables.push(TableId { family: Family::from_number(message.nfnetlink()?.0)?, name: name_of(message)? });
        Ok(())
    };
    socket.dump("list the tables", GET_TABLE, 0, |_| (), each)
}

/// The names of the chains of a table, of any sort.
pub fn chain_names(socket: &mut Socket, id: &TableId) -> Result<Vec<String>, RequestError> {
    objects(socket, GET_CHAIN, id, |_| (), chain::name_of)
}

/// The chains of a table.
pub fn chains(socket: &mut Socket, id: &TableId) -> Result<Vec<Chain>, RequestError> {
    objects(socket, GET_CHAIN, id, |_| (), Chain::decode)
}

/// The rules of a table, or of one chain of it, with their counts.
pub fn rules(socket: &mut Socket, id: &TableId, chain: Option<&str>) -> Result<Vec<Rule>, RequestError> {
    let body = |writer: &mut Writer| {
        if let Some(chain) = chain {
            writer.text(2, chain);
        }
    };
    let mut rules = objects(socket, GET_RULE, id, body, Rule::decode)?;
    rules.retain(|rule| chain.is_none_or(|chain| rule.chain == chain));
    Ok(rules)
}

/// The sets of a table, without elements.
pub fn sets(socket: &mut Socket, id: &TableId) -> Result<Vec<Set>, RequestError> {
    objects(socket, GET_SET, id, |_| (), Set::decode)
}

/// The elements of a set, with their counts. While the kernel moves a set that grew into a larger hash table, in the first
/// moments after the commit, an answer of several messages can lack elements, and has others twice in their place. Such an
/// answer is asked for again.
pub fn elements(socket: &mut Socket, id: &TableId, set: &Set) -> Result<Vec<Element>, RequestError> {
    for attempt in 0..MAX_ATTEMPTS {
        let elements = elements_once(socket, id, set)?;
        if !has_twins(&elements) {
            return Ok(elements);
        }
        std::thread::sleep(Duration::from_millis(attempt as u64));
    }
    Err(RequestError::Interrupted("list the members of a set"))
}

fn elements_once(socket: &mut Socket, id: &TableId, set: &Set) -> Result<Vec<Element>, RequestError> {
    let body = |writer: &mut Writer| encode_list(id, &set.name, None, writer);
    let each = |entries: &mut Vec<_>, message: &Message<'_>| {
        let (name, more) = decode_list(message)?;
        if name == set.name {
            entries.extend(more);
        }
        Ok(())
    };
    let entries = socket.dump("list the members of a set", GET_ELEMENTS, id.family.number(), body, each)?;
    Ok(assemble(set, entries)?)
}

/// Whether one of these elements, ordered by key, is there twice, which no set holds.
fn has_twins(elements: &[Element]) -> bool {
    elements.windows(2).any(|pair| pair[0].key == pair[1].key)
}

/// One element of an exact set by its key, in 4 µs at any size; none if it is not there.
pub fn element(socket: &mut Socket, id: &TableId, set: &Set, key: &[u8]) -> Result<Option<Element>, RequestError> {
    let wanted = Element::new(Key::One(key.to_vec()));
    let body = |writer: &mut Writer| {
        encode_list(id, &set.name, None, writer);
        writer.nest(LIST_ELEMENTS, |writer| wanted.write(set, true, writer));
    };
    let mut entries: Vec<RawElement> = Vec::new();
    let asked = socket.ask("look a member of a set up", GET_ELEMENTS, id.family.number(), body, |message| {
        entries.extend(decode_list(message)?.1);
        Ok(())
    });
    match asked {
        Err(error) if error.is_refusal(libc::ENOENT) => return Ok(None),
        other => other?,
    }
    Ok(assemble(set, entries)?.into_iter().next())
}

/// The objects of one kind in a table; the kernel may send those of others too.
pub(crate) fn objects<T>(
    socket: &mut Socket,
    kind: u16,
    id: &TableId,
    body: impl Fn(&mut Writer),
    decode: impl Fn(&Message<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, RequestError> {
    let body = |writer: &mut Writer| {
        writer.text(1, &id.name);
        body(writer);
    };
    let each = |objects: &mut Vec<_>, message: &Message<'_>| {
        if is_of(message, id)? {
            objects.push(decode(message)?);
        }
        Ok(())
    };
    socket.dump("list the objects of a table", kind, id.family.number(), body, each)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_contains_an_element_twice_is_noticed() {
        let elements = |keys: &[u8]| keys.iter().map(|key| Element::new(Key::One(vec![*key]))).collect::<Vec<_>>();
        assert!(!has_twins(&elements(&[])));
        assert!(!has_twins(&elements(&[1, 2, 3])));
        assert!(has_twins(&elements(&[1, 2, 2, 3])));
    }
}
