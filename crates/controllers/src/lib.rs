//! The controllers of a cluster: what one process does for all nodes, as Calico's kube-controllers do.
//!
//! ```text
//!   store ──follow──> State: Cluster, Copies, PodLabels, NodeLabels ──plan──> Plan ──writer──> store
//!   Kubernetes ──follow──┘
//!   lease ──leader──> may this process write?
//! ```
//!
//! - [`host_endpoints`]: every node gets host endpoints, as KubeControllersConfiguration `default` says. What is to be written
//!   follows from the nodes, the settings and the host endpoints that exist, and from nothing else: a controller that ends
//!   between two writes is continued by the next one.
//! - [`copies`]: a store that is not Kubernetes gets copies of Kubernetes' namespaces, service accounts and NetworkPolicies.
//! - [`pod_labels`]: workload endpoints in such a store follow the labels of their pods.
//! - [`node_labels`]: nodes in such a store follow the labels that they have in Kubernetes; [`followed_labels`] is what both have in common.
//! - One of several processes writes: the one that holds a lease of the store (`leader`). What it writes names the version that it
//!   replaces, so even two that write at a time do each other no harm.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod copies;
mod enabled;
mod follow;
pub mod followed_labels;
pub mod host_endpoints;
mod leader;
mod log_event;
pub mod node_labels;
mod plan;
pub mod pod_labels;
mod probes_and_metrics;
mod read;
mod run;
mod state;
mod task;
mod writer;

pub use enabled::{Enabled, Environment};
pub use leader::LEASE;
pub use plan::{Action, Plan, Problem};
pub use run::{Options, run};
