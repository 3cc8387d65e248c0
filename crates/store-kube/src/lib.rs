//! The Kubernetes API as the store.
//!
//! Two things are done here, both as pure functions from JSON to JSON:
//!
//! - [`convert`]: what Kubernetes itself keeps (pods, namespaces, service accounts, nodes, NetworkPolicies and
//!   ClusterNetworkPolicies) as the resources that Calico makes of it.
//! - [`custom`]: Calico's own resources as custom resources of `crd.projectcalico.org/v1`, which keeps their metadata
//!   in an annotation, and back.
//!
//! The client that talks to an API server is not part of this crate yet.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod convert;
pub mod custom;
pub mod meta;
