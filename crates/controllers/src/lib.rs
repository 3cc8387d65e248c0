//! The controllers of a cluster: what one process does for all nodes, as Calico's kube-controllers do.
//!
//! ```text
//!   store ──watches──> Cluster (a value) ──plan──> writes ──client──> store
//! ```
//!
//! - [`host_endpoints`]: every node gets host endpoints, as KubeControllersConfiguration `default` says. What is to be written
//!   follows from the nodes, the settings and the host endpoints that exist, and from nothing else: a controller that ends
//!   between two writes is continued by the next one.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod host_endpoints;
