//! Expressions: the steps of a rule, one file for each kind of expression; `nat`, `masq` and `redir` share one, and `notrack`, which
//! has no attributes, has none.
//!
//! A new one also belongs into the tables of the tests: `expr/tests.rs`, and `tests/common/everything.rs`, `tests/common/worlds.rs` and
//! `tests/listing.nft`.
//!
//! A rule's expressions run in order over one register file. Each one loads, changes, tests or acts; a
//! test that fails ends the rule ([`Verdict::Break`](crate::Verdict::Break)). What the kernel may hold
//! but this crate has no type for stays [`Expr::Unknown`], bytes and all: a dump shows it, writing it
//! back changes nothing, and the interpreter refuses to guess.
//!
//! Source: `enum nft_expr_attributes`.

mod bitwise;
mod byteorder;
mod cmp;
mod connlimit;
mod counter;
mod ct;
mod exthdr;
mod fib;
mod immediate;
mod limit;
mod log;
mod lookup;
mod meta;
mod nat;
mod payload;
mod range;
mod reject;

pub use bitwise::{BitOp, Bitwise};
pub use byteorder::{Byteorder, Order};
pub use cmp::{Cmp, CmpOp};
pub use connlimit::Connlimit;
pub use counter::Counter;
pub use ct::{Ct, CtKey, state as ct_state, status as ct_status};
pub use exthdr::{Exthdr, ExthdrOp};
pub use fib::{Fib, FibResult, flags as fib_flags};
pub use immediate::Immediate;
pub use limit::{Limit, LimitKind};
pub use log::Log;
pub use lookup::{Dest, Lookup};
pub use meta::{Meta, MetaKey};
pub use nat::{Masq, Nat, NatKind, Redir};
pub use payload::{Base, Payload};
pub use range::Range;
pub use reject::{IcmpxCode, Reject};

use crate::wire::{Attrs, DecodeError, Writer, expect, table, text};

/// `NFTA_EXPR_NAME`.
const NAME: u16 = 1;
/// `NFTA_EXPR_DATA`.
const DATA: u16 = 2;
/// `NFTA_LIST_ELEM`.
pub(crate) const LIST_ELEM: u16 = 1;

/// An expression that this crate has no type for, or not for the form it was found in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Unknown {
    /// The kernel's name of the expression.
    pub name: String,
    /// Its attributes as they were found.
    pub data: Vec<u8>,
}

/// How one type of expression is written and read.
trait Coded: Sized {
    /// The kernel's name.
    const NAME: &'static str;
    /// Writes the attributes.
    fn encode(&self, writer: &mut Writer);
    /// Reads the attributes. [`DecodeError::Unknown`] makes the expression an [`Expr::Unknown`].
    fn decode(attrs: Attrs<'_>) -> Result<Self, DecodeError>;
}

macro_rules! expressions {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// One expression of a rule.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum Expr {
            $($(#[$doc])* $name($name),)*
            /// Conntrack shall leave this packet alone (`notrack`).
            Notrack,
            /// Something else.
            Unknown(Unknown),
        }

        impl Expr {
            /// The kernel's name of the expression.
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$name(_) => <$name as Coded>::NAME,)*
                    Self::Notrack => NOTRACK,
                    Self::Unknown(unknown) => &unknown.name,
                }
            }

            fn encode_data(&self, writer: &mut Writer) {
                match self {
                    $(Self::$name(expr) => expr.encode(writer),)*
                    Self::Notrack => (),
                    Self::Unknown(_) => (), // written raw, see `write`
                }
            }

            fn decode_data(name: &str, data: &[u8]) -> Result<Self, DecodeError> {
                $(if name == <$name as Coded>::NAME {
                    return <$name as Coded>::decode(Attrs::new(data)).map(Self::$name);
                })*
                if name == NOTRACK {
                    return Ok(Self::Notrack);
                }
                Err(DecodeError::Unknown { what: "an expression", value: 0 })
            }
        }

        $(impl From<$name> for Expr {
            fn from(expr: $name) -> Self {
                Self::$name(expr)
            }
        })*
    };
}

const NOTRACK: &str = "notrack";

expressions! {
    /// Loads bytes of the packet.
    Payload,
    /// Loads or sets something about the packet that is not in its bytes.
    Meta,
    /// Loads or sets something of the packet's connection.
    Ct,
    /// Compares a register with a constant.
    Cmp,
    /// Tests whether a register lies between two constants.
    Range,
    /// Masks or shifts.
    Bitwise,
    /// Turns bytes around.
    Byteorder,
    /// Looks a register up in a set or map.
    Lookup,
    /// Loads a constant, or gives a verdict.
    Immediate,
    /// Counts packets and bytes.
    Counter,
    /// Logs the packet.
    Log,
    /// Passes up to a rate.
    Limit,
    /// Passes up to a number of connections.
    Connlimit,
    /// Refuses with an answer to the sender.
    Reject,
    /// Asks the routing table.
    Fib,
    /// Loads bytes of an extension header, or tests whether there is one.
    Exthdr,
    /// Rewrites source or destination.
    Nat,
    /// Rewrites the source to the address of the interface that the packet leaves by.
    Masq,
    /// Rewrites the destination to this host.
    Redir,
}

impl Expr {
    /// Writes the expression as an attribute of this type.
    pub(crate) fn write(&self, writer: &mut Writer, kind: u16) {
        writer.nest(kind, |writer| {
            writer.text(NAME, self.name());
            match self {
                Self::Unknown(unknown) => writer.nest_raw(DATA, &unknown.data),
                _ => writer.nest(DATA, |writer| self.encode_data(writer)),
            }
        });
    }

    /// Reads the payload of one expression attribute.
    pub(crate) fn read(payload: &[u8]) -> Result<Self, DecodeError> {
        let [_, name, data] = table::<3>(Attrs::new(payload))?;
        let name = text(expect(name, "an expression's name")?, "an expression's name")?;
        let data = data.unwrap_or_default();
        match Self::decode_data(&name, data) {
            Err(DecodeError::Unknown { .. }) => Ok(Self::Unknown(Unknown { name, data: data.to_vec() })),
            read => read,
        }
    }

    /// Reads a list of expressions.
    pub(crate) fn read_list(payload: &[u8]) -> Result<Vec<Self>, DecodeError> {
        Attrs::new(payload)
            .filter(|attr| !matches!(attr, Ok(attr) if attr.kind != LIST_ELEM))
            .map(|attr| Self::read(attr?.payload))
            .collect()
    }
}

#[cfg(test)]
mod tests;
