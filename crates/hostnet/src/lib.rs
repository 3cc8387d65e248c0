//! The network of one host.
//!
//! ```text
//!   kernel ──links::Watcher──> interfaces and addresses, and what changes of them
//!
//!   workloads, settings ─┐
//!   kernel ── events ────┴─> Model ── plan: steps ──> kernel        (Network: all of it, kept going)
//! ```
//!
//! [`links`] tells which interfaces there are and what addresses they have, first all, then changes. [`Network`] keeps
//! the routes, static neighbours and settings of workloads' interfaces as they should be, has the connections of
//! addresses forgotten that are somebody else's now, and lets the host forward once it has a workload. [`restore`] takes
//! the host's settings back to what they were. What to do is
//! decided by [`Model`], a value; what does it is thin.
//!
//! [`enter_open_connections`] has connections tracked that are older than connection tracking here, so that a first
//! policy does not cut them.
//!
//! [`tracked`] lists the connections that are open, [`listening`] the sockets that wait for some, [`connections()`] those of the sockets.
//!
//! [`endpoint_status`] writes the files that Calico's CNI plugin waits for.
//!
//! Ours are: routes of the tables `main`, `local` and `default` out of interfaces with a workload prefix, of any type but
//! `local`, if they carry our protocol number or routes of others are to be removed; and static neighbours there with our
//! number. Nothing else is ever touched. A route of several hops counts if one leads out of such an interface. Nexthop
//! objects are followed as long as `net.ipv4.nexthop_compat_mode` is 1, as it is unless somebody has told otherwise.
//!
//! Everything speaks netlink itself and works on the network namespace of the thread that opened it. Reading picks
//! the few attributes that matter and passes over all others: a kernel newer than this text, or a link of an unheard-of
//! kind, is no reason to see nothing.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod config;
mod connections;
mod conntrack;
pub mod endpoint_status;
mod kernel;
pub mod links;
mod machine;
mod model;
mod neighbour;
mod network;
mod observed;
mod route;
mod saved_settings;
mod sockets;
mod step;
mod sysctl;
mod workload;

pub use config::{Config, UNKNOWN_ROUTE_GRACE_PERIOD, has_prefix};
pub use connections::{EnterReport, enter_open_connections};
pub use conntrack::{Tracked, TrackedList, tracked};
pub use links::table::IPV6_MTU;
pub use machine::{machine, masters};
pub use model::{HostFacts, Model, Plan};
pub use neighbour::Neighbour;
pub use network::{Network, WorkReport};
pub use route::{Hops, Route};
pub use saved_settings::{Changed, restore};
pub use sockets::{Connection, SocketProtocol, client_ports, connections, listening};
pub use step::{Setting, Step};
pub use tortie_netlink::RequestError;
pub use workload::Workload;
