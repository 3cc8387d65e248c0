//! The node agent: keeps the kernel of one node enforcing what the store says, within milliseconds.
//!
//! ```text
//!   store ──store_follower──┐                          ┌──> dataplane_thread ──> nftables
//!   links ──────────────────┼──> engine (calc) ──flush─┤       │ idle
//!   files, signals ─────────┘                          └<──────┘ │ in force
//!                                                                └──> network (routes, neighbours, status files)
//!                  status_cell: what is requested, what is in the kernel, what went wrong
//!                          └──> local socket, service manager, /liveness, /readiness, /metrics
//! ```
//!
//! There is a thread for the store, one for the interfaces, one that decides (`engine`), one for the dataplane (`dataplane_thread`), one for
//! the `network` of workloads, one that restores the table after changes by other programs (`table_guard`);
//! and, while somebody watches denied packets, one that reads them (`denials`). Channels are bounded;
//! the engine flushes only when the dataplane is idle, so a slow kernel makes changes larger and never a queue longer. There are
//! no timers in this path.
//!
//! Promises:
//!
//! - **Nothing is allowed by accident.** Until the store and the interfaces are known completely, what an earlier agent left stays in force;
//!   then the table is replaced at once. Losing the store, the agent or both changes nothing in the kernel.
//! - **A machine that boots without its store is protected** by the last known content of the store (the snapshot `cache`), and `status` says "stale since".
//! - **Nothing is ignored silently.** What cannot be read, has no effect or was refused is in [`status`].
//! - **No thread fails unnoticed.** One that panics, ends or hangs makes the agent neither live nor ready, and then ends the process
//!   (`supervisor`), which the service manager starts again.
//! - **One agent in each network namespace** (`lock`), and none beside an agent of another project unless that is asked for (`foreign_agents`).
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod agent;
pub mod author;
mod cache;
pub mod config;
mod confirmations;
mod connection_tracking;
pub mod daemon;
mod dataplane;
mod dataplane_thread;
mod denials;
mod engine;
mod foreign_agents;
mod http;
mod kernel_table;
mod lag;
mod links;
mod live_settings;
mod local_facts;
mod lock;
mod log_event;
mod logger;
mod metrics;
mod missing_tiers;
mod network;
mod node_name;
mod not_in_force;
mod notify;
mod object_stream;
pub mod off;
mod other_nodes;
mod placement_log;
mod placement_writer;
mod private_directory;
mod probes;
mod programmed_since;
mod reports_to_store;
mod request_handler;
mod rule_counts;
pub mod socket;
pub mod status;
mod status_builder;
mod status_cell;
mod stop_flag;
mod store_check;
mod store_follower;
mod supervisor;
mod table_guard;
mod uninstall;
mod unsupported_features;
pub mod utc;
pub mod watch_events;

pub use agent::{AgentError, Ended, Options, run};
pub use cache::Opener;
pub use dataplane::{NodeDataplane, OpenError};
pub use kernel_table::{BaseChain, KernelTable, kernel_table, table_exists};
pub use local_facts::{ForeignTables, LocalFacts, LocalFactsError};
pub use lock::LockError;
pub use logger::{LogFormat, log_failure};
pub use node_name::NodeNameSource;
pub use programmed_since::since_boot;
pub use uninstall::{UninstallError, Uninstalled, uninstall};

/// The default directory of the agent's copy of the store and other state.
pub const DEFAULT_STATE: &str = "/var/lib/tortie";
/// The file that Calico's agent reads its settings from.
pub const FELIX_CONFIG: &str = "/etc/calico/felix.cfg";
