//! Classes of packets: what a set of rules, sets, endpoints and settings can tell apart.
//!
//! [`Conditions`] collects every condition that can concern a question, one dimension at a time: source and destination
//! address (for each family), protocol, source and destination port, ICMP type and code. [`Conditions::classes`] divides
//! each dimension into classes, the values that satisfy the same conditions. A [`PacketClass`] is one class of
//! every dimension.
//!
//! The promise: **two packets of one class, which are alike in all that is not a dimension (their way through the node,
//! connection tracking, a translation by others, the hop limit), get the same verdict from [`tortie_eval::judge`]** on
//! every node whose rules, settings and endpoints were put in. So one packet of each class, a [`Classes::packet`],
//! answers for all of them, and what holds for every class holds for every packet. `tests/promise.rs` holds this against random worlds.
//!
//! Values are classed by the conditions that they satisfy, not by position: ten thousand endpoints that one selector
//! selects are one class, and a rule's list of ports is one condition. The number of classes follows from what rules
//! distinguish.
//!
//! ```
//! use tortie_classes::{AddressSet, Conditions, Domain};
//! use tortie_policy::{Action, Family, Rule, Snapshot};
//!
//! let snapshot = Snapshot::default();
//! let mut rule = Rule::any(Action::Allow);
//! rule.protocol = Some(tortie_net::Protocol::TCP);
//! rule.source.nets = vec!["10.0.0.0/8".parse().unwrap(), "192.0.2.0/24".parse().unwrap()];
//! let mut conditions = Conditions::new(&snapshot, Domain::default());
//! conditions.add_rule(&rule);
//! let classes = conditions.classes(Family::V4);
//! assert_eq!(classes.sources.len(), 2); // in the two nets, and elsewhere
//! assert_eq!(classes.destinations.len(), 1);
//! assert_eq!(classes.packets().len(), 2 * classes.transports.len() as u128);
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod addresses;
mod builtin;
mod classes;
mod conditions;
mod exceptions;
mod members;
mod names;
mod partition;
mod products;
mod ranges;
mod text;
mod transport;

pub use addresses::{AddressSet, address, number};
pub use classes::{Classes, PacketClass, Packets};
pub use conditions::{Conditions, Domain};
pub use names::{Names, enclosed};
pub use partition::Partition;
pub use products::{Clause, Product};
pub use ranges::Ranges;
pub use text::{icmp_text, protocols_text, ranges_text};
pub use transport::{TransportClass, TransportClasses, TransportMatch, TransportRanges};
