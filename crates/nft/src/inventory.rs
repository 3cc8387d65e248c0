//! Everything that exists under a table's name, also what this crate has no type for.
//!
//! [`dump::table`](crate::dump::table()) fails where it meets an object that it cannot decode. This module lists such objects
//! by kind and name instead, together with the kinds of objects that this crate never makes (stateful objects,
//! flowtables) and the tables whose names begin alike. So a caller that must know everything can name what is foreign.
//!
//! Source: `enum nf_tables_msg_types`, `enum nft_object_attributes`, `enum nft_flowtable_attributes`.

use std::fmt;

use tortie_netlink::RequestError;

use crate::chain::{self, Chain};
use crate::dump::{self, MAX_ATTEMPTS, SetDump, TableDump, objects};
use crate::message::{GET_CHAIN, GET_FLOWTABLE, GET_OBJECT, GET_RULE, GET_SET, GET_TABLE};
use crate::rule::Rule;
use crate::set::Set;
use crate::socket::Socket;
use crate::table::{self, Table, TableId};
use crate::wire::{DecodeError, Message, Writer, expect, table as attributes, text};

/// The attribute that holds the name: of sets, stateful objects and flowtables.
const NAME: usize = 2;
/// The attribute of a rule that names its chain.
const CHAIN: usize = 2;

/// A table, and what else exists under its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// What could be decoded of the table; none if there is no such table.
    pub table: Option<TableDump>,
    /// What could not, and what has no type here.
    pub foreign: Vec<ForeignObject>,
    /// Other tables whose names begin with the name of the table, of any family.
    pub namesakes: Vec<TableId>,
}

/// An object that could not be decoded, or whose kind has no type here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignObject {
    /// Its kind: `chain`, `rule of chain`, `set`, `members of set`, `stateful object`, `flowtable`, `table`.
    pub kind: &'static str,
    /// Its name; of a rule, its chain's.
    pub name: String,
    /// Why it could not be decoded; none for kinds that have no type here.
    pub reason: Option<DecodeError>,
}

impl fmt::Display for ForeignObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind, self.name)?;
        self.reason.as_ref().map_or(Ok(()), |reason| write!(f, " ({reason})"))
    }
}

/// Reads everything under a table's name, all of one generation.
pub fn read(socket: &mut Socket, id: &TableId) -> Result<Inventory, RequestError> {
    for _ in 0..MAX_ATTEMPTS {
        let before = socket.generation()?;
        let read = once(socket, id);
        // What changed while it was read may be missing or torn: only then an error is no error.
        if socket.generation()? == before {
            return read;
        }
    }
    Err(RequestError::Interrupted("list a table"))
}

fn once(socket: &mut Socket, id: &TableId) -> Result<Inventory, RequestError> {
    let ids = dump::table_ids(socket)?;
    let is_namesake = |other: &TableId| other != id && other.name.starts_with(&id.name);
    let mut inventory = Inventory {
        table: None,
        foreign: Vec::new(),
        namesakes: ids.iter().filter(|other| is_namesake(other)).cloned().collect(),
    };
    if !ids.contains(id) {
        return Ok(inventory);
    }
    let foreign = &mut inventory.foreign;
    let tables = list(socket, GET_TABLE, id, Table::decode, ("table", table::name_of), foreign)?;
    let table = tables.into_iter().find(|table| table.id == *id).unwrap_or_else(|| Table::new(id.clone()));
    let chains = list(socket, GET_CHAIN, id, Chain::decode, ("chain", chain::name_of), foreign)?;
    let rules = list(socket, GET_RULE, id, Rule::decode, ("rule of chain", |message| name(message, CHAIN)), foreign)?;
    let of_set = |message: &Message<'_>| name(message, NAME);
    let mut sets = Vec::new();
    for set in list(socket, GET_SET, id, Set::decode, ("set", of_set), foreign)? {
        match dump::elements(socket, id, &set) {
            Ok(elements) => sets.push(SetDump { set, elements }),
            Err(RequestError::Decode(reason)) => {
                foreign.push(ForeignObject { kind: "members of set", name: set.name, reason: Some(reason) });
            }
            Err(other) => return Err(other),
        }
    }
    for (kind, message) in [("stateful object", GET_OBJECT), ("flowtable", GET_FLOWTABLE)] {
        let names = objects(socket, message, id, |_: &mut Writer| (), of_set)?;
        foreign.extend(names.into_iter().map(|name| ForeignObject { kind, name, reason: None }));
    }
    inventory.table = Some(TableDump { table, chains, rules, sets });
    Ok(inventory)
}

/// The objects of one kind; those that cannot be decoded join the foreign ones.
fn list<T>(
    socket: &mut Socket,
    message: u16,
    id: &TableId,
    decode: impl Fn(&Message<'_>) -> Result<T, DecodeError>,
    (kind, name_of): (&'static str, impl Fn(&Message<'_>) -> Result<String, DecodeError>),
    foreign: &mut Vec<ForeignObject>,
) -> Result<Vec<T>, RequestError> {
    let decode = |message: &Message<'_>| {
        let unnamed = || "without a readable name".to_owned();
        Ok(decode(message).map_err(|reason| ForeignObject {
            kind,
            name: name_of(message).unwrap_or_else(|_| unnamed()),
            reason: Some(reason),
        }))
    };
    let mut found = Vec::new();
    for object in objects(socket, message, id, |_: &mut Writer| (), decode)? {
        match object {
            Ok(object) => found.push(object),
            Err(unreadable) => foreign.push(unreadable),
        }
    }
    Ok(found)
}

fn name(message: &Message<'_>, attribute: usize) -> Result<String, DecodeError> {
    let found = attributes::<3>(message.nfnetlink()?.1)?;
    text(expect(found[attribute], "a name")?, "a name")
}
