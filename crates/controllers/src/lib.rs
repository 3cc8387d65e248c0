//! The controllers of a cluster: what one process does for all nodes, as Calico's kube-controllers do.
//!
//! ```text
//!   store ──follow──> State: a Cluster ──plan──> Plan ──writer──> store
//!   lease ──leader──> may this process write?
//! ```
//!
//! - [`host_endpoints`]: every node gets host endpoints, as KubeControllersConfiguration `default` says. What is to be written
//!   follows from the nodes, the settings and the host endpoints that exist, and from nothing else: a controller that ends
//!   between two writes is continued by the next one.
//! - One of several processes writes: the one that holds a lease of the store (`leader`). What it writes names the version that it
//!   replaces, so even two that write at a time do each other no harm.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod follow;
mod health;
pub mod host_endpoints;
mod leader;
mod log_event;
mod run;
mod state;
mod writer;

pub use leader::LEASE;
pub use run::{Options, run};
