//! Reads a table object by object, while others commit.
//!
//! [`dump`](crate::dump) reads a table as a whole and begins again when a commit of anyone overtakes it. Where commits never
//! pause that never ends. Here each chain and each set is read by itself, once, and an object that cannot be decoded is
//! told as that. Whether an object changed while it was read is for the caller to know, who listens to
//! [`monitor`](crate::monitor).

use tortie_netlink::RequestError;

use crate::chain::Chain;
use crate::element::{Element, Key, LIST_ELEMENTS, RawElement, assemble, decode_list, encode_list};
use crate::message::{GET_CHAIN, GET_ELEMENTS, GET_FLOWTABLE, GET_OBJECT, GET_RULE, GET_SET, GET_TABLE};
use crate::rule::Rule;
use crate::set::Set;
use crate::socket::Socket;
use crate::table::{Table, TableId, is_of};
use crate::wire::{DecodeError, Message, Writer, expect, lossy_text, table};

/// An object, or none if what the kernel has under its name cannot be decoded.
pub type Decoded<T> = Option<T>;

/// The table; none if there is no such table.
pub fn table_of(socket: &mut Socket, id: &TableId) -> Result<Option<Decoded<Table>>, RequestError> {
    one(socket, GET_TABLE, id, None, |message| Table::decode(message).ok())
}

/// Whether the table holds objects of kinds that this crate never makes.
pub fn has_other_kinds(socket: &mut Socket, id: &TableId) -> Result<bool, RequestError> {
    let mut found = false;
    for kind in [GET_OBJECT, GET_FLOWTABLE] {
        list(socket, kind, id, None, |_| {
            found = true;
            Ok(())
        })?;
    }
    Ok(found)
}

/// The chains of a table, by name.
pub fn chains(socket: &mut Socket, id: &TableId) -> Result<Vec<(String, Decoded<Chain>)>, RequestError> {
    let mut found = Vec::new();
    list(socket, GET_CHAIN, id, None, |message| {
        found.push((name(message, 3)?, Chain::decode(message).ok()));
        Ok(())
    })?;
    Ok(found)
}

/// The chain of this name; none if it does not exist.
pub fn chain_of(socket: &mut Socket, id: &TableId, name: &str) -> Result<Option<Decoded<Chain>>, RequestError> {
    one(socket, GET_CHAIN, id, Some((3, name)), |message| Chain::decode(message).ok())
}

/// Hands the rules of a chain to `each`, in order. The bytes read.
pub fn rules_of(
    socket: &mut Socket,
    id: &TableId,
    chain: &str,
    mut each: impl FnMut(Decoded<Rule>),
) -> Result<usize, RequestError> {
    list(socket, GET_RULE, id, Some((2, chain)), |message| {
        each(Rule::decode(message).ok());
        Ok(())
    })
}

/// The sets of a table, by name.
pub fn sets(socket: &mut Socket, id: &TableId) -> Result<Vec<(String, Decoded<Set>)>, RequestError> {
    let mut found = Vec::new();
    list(socket, GET_SET, id, None, |message| {
        found.push((name(message, 2)?, Set::decode(message).ok()));
        Ok(())
    })?;
    Ok(found)
}

/// The set of this name; none if it does not exist.
pub fn set_of(socket: &mut Socket, id: &TableId, name: &str) -> Result<Option<Decoded<Set>>, RequestError> {
    one(socket, GET_SET, id, Some((2, name)), |message| Set::decode(message).ok())
}

/// Hands the elements of a set to `each`: message by message those of exact sets, all at once those of interval sets, whose
/// ranges are two entries. None stands for entries that cannot be decoded. The bytes read.
pub fn elements_of(
    socket: &mut Socket,
    id: &TableId,
    set: &Set,
    mut each: impl FnMut(Decoded<Vec<Element>>),
) -> Result<usize, RequestError> {
    let mut entries: Vec<RawElement> = Vec::new();
    let mut bytes = 0;
    let body = |writer: &mut Writer| encode_list(id, &set.name, None, writer);
    let asked = socket.dump_once("list the members of a set", GET_ELEMENTS, id.family.number(), body, |message| {
        bytes += message.body.len();
        match decode_list(message) {
            Ok((name, more)) if name == set.name && set.interval => entries.extend(more),
            Ok((name, more)) if name == set.name => each(assemble(set, more).ok()),
            Ok(_) => (),
            Err(_) => each(None),
        }
        Ok(())
    });
    absent(asked)?;
    if set.interval {
        each(assemble(set, entries).ok());
    }
    Ok(bytes)
}

/// The element of an exact set with this key; none if it does not exist.
pub fn element_of(
    socket: &mut Socket,
    id: &TableId,
    set: &Set,
    key: &[u8],
) -> Result<Option<Decoded<Element>>, RequestError> {
    let wanted = Element::new(Key::One(key.to_vec()));
    let body = |writer: &mut Writer| {
        encode_list(id, &set.name, None, writer);
        writer.nest(LIST_ELEMENTS, |writer| wanted.write(set, true, writer));
    };
    let mut found = None;
    let asked = socket.ask("look a member of a set up", GET_ELEMENTS, id.family.number(), body, |message| {
        found = Some(
            decode_list(message)
                .and_then(|(_, entries)| assemble(set, entries))
                .ok()
                .and_then(|all| all.into_iter().next()),
        );
        Ok(())
    });
    absent(asked)?;
    Ok(found)
}

/// A name in a message. Others may use bytes that are no text; none of our names has any.
fn name(message: &Message<'_>, attribute: usize) -> Result<String, DecodeError> {
    let found = table::<4>(message.nfnetlink()?.1)?;
    Ok(lossy_text(expect(found[attribute], "a name")?))
}

/// Names a table, and something in it by an attribute.
fn body(id: &TableId, named: Option<(u16, &str)>) -> impl Fn(&mut Writer) {
    move |writer| {
        writer.text(1, &id.name);
        if let Some((attribute, name)) = named {
            writer.text(attribute, name);
        }
    }
}

/// Hands each object of a kind in a table to `each`. The bytes read.
fn list(
    socket: &mut Socket,
    kind: u16,
    id: &TableId,
    narrowed: Option<(u16, &str)>,
    mut each: impl FnMut(&Message<'_>) -> Result<(), DecodeError>,
) -> Result<usize, RequestError> {
    let mut bytes = 0;
    let body = body(id, narrowed);
    let asked = socket.dump_once("list the objects of a table", kind, id.family.number(), body, |message| {
        bytes += message.body.len();
        if is_of(message, id)? { each(message) } else { Ok(()) }
    });
    absent(asked)?;
    Ok(bytes)
}

/// One object; none if it does not exist.
fn one<T>(
    socket: &mut Socket,
    kind: u16,
    id: &TableId,
    named: Option<(u16, &str)>,
    decode: impl Fn(&Message<'_>) -> Decoded<T>,
) -> Result<Option<Decoded<T>>, RequestError> {
    let mut found = None;
    let body = body(id, named);
    let asked = socket.ask("look an object of a table up", kind, id.family.number(), body, |message| {
        found = Some(decode(message));
        Ok(())
    });
    absent(asked)?;
    Ok(found)
}

/// What does not exist has nothing in it.
fn absent(asked: Result<(), RequestError>) -> Result<(), RequestError> {
    match asked {
        Err(error) if error.is_refusal(libc::ENOENT) => Ok(()),
        other => other,
    }
}
