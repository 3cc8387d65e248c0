//! The interfaces of this network namespace and their addresses: all of them first, then what changes.
//!
//! ```text
//!   Watcher::open ─> interfaces()          everything, at once
//!   Watcher::wait ─> [Change, Change, ..]  each from what an interface was to what it is
//! ```
//!
//! A change compares two moments, so an interface that came and went between two looks was never there, and one that
//! was replaced by another of its name is one that is gone and one that is new. When the kernel had to drop
//! notifications, everything is read again and the differences are told like any others: the reader never notices.
//!
//! An interface is known from the moment it is made, up or not, and an address from the moment it is given, so that
//! policy can be in place before the first packet.

mod change;
pub(crate) mod message;
pub(crate) mod table;
pub(crate) mod watcher;

pub use change::{Change, Interface};
pub use watcher::Watcher;

use std::collections::BTreeMap;

use tortie_policy::packet::Link;

/// All interfaces, by index: what names one as long as it lives. Two may have one name for a moment, while one takes
/// the other's place.
pub type Interfaces = BTreeMap<u32, Interface>;

/// What the engine and the evaluator take: the interfaces that `wanted` names, in the order of their names. Of two with
/// one name the newest counts. Interfaces of workloads may be left out.
pub fn links(interfaces: &Interfaces, wanted: impl Fn(&str) -> bool) -> Vec<Link> {
    let named: BTreeMap<&str, &Interface> =
        interfaces.values().filter(|one| wanted(&one.name)).map(|one| (one.name.as_str(), one)).collect();
    let link = |(name, one): (&str, &Interface)| Link { name: name.to_owned(), addresses: one.addresses.clone() };
    named.into_iter().map(link).collect()
}
