//! nf_tables over netlink: tables, chains, rules, sets and maps, as values.
//!
//! Nothing here knows of policy. A caller builds [`Table`]s, [`Chain`]s, [`Rule`]s of [`Expr`]essions,
//! [`Set`]s and [`Element`]s, puts what shall change into a [`Batch`], and commits it over a
//! [`Socket`]: one transaction, all or nothing. [`dump`] reads a table back into the same types, and
//! [`interp`] walks packets through what was read, as the kernel would.
//!
//! ```text
//!   values ──> Batch ──> Socket ──> kernel ──> dump ──> values ──> interp(packet) ──> verdict
//! ```
//!
//! The kernel's header `linux/netfilter/nf_tables.h` is the specification of every number. What it does not
//! say (what the kernel refuses, what it answers) was measured, and `tests/` hold it.
//! All encodings are checked against an independent decoder (`nft`), in tests only.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod batch;
mod chain;
mod commit;
mod datatype;
pub mod dump;
mod element;
mod error;
pub mod expr;
pub mod foreign;
pub mod interp;
pub mod inventory;
mod message;
pub mod monitor;
pub mod nflog;
mod numbers;
pub mod piecewise;
pub mod probe;
mod register;
mod rule;
mod set;
mod socket;
mod table;
mod userdata;
mod verdict;

pub use batch::Batch;
pub use chain::{BaseChain, Chain, ChainKind, Hook, Policy};
pub use datatype::{DataType, Fields, interface_name};
pub use element::{Data, Element, Key, RawElement, assemble, decode_list};
pub use error::{BatchError, CommitError, ObjectRef, Operation};
pub use expr::Expr;
pub use register::{Reg, VALUE_MAX};
pub use rule::Rule;
pub use set::{MapData, Set};
pub use socket::Socket;
pub use table::{Family, Table, TableId};
pub use tortie_netlink::{Buffers, RequestError, Subscription, wire};
pub use userdata::{COMMENT_MAX, kept as kept_comment};
pub use verdict::Verdict;
