//! The Kubernetes API as the store.
//!
//! ```text
//!   list   ── GET pages of each resource ──┐
//!   write  ── POST, PUT, PATCH, DELETE  ───┼──> one HTTP/2 connection to the API server
//!   watch  ── a stream of each resource ───┘  each resumes where it was, or says "expired"
//! ```
//!
//! - [`convert`]: what Kubernetes itself keeps (pods, namespaces, service accounts, nodes, NetworkPolicies and
//!   ClusterNetworkPolicies) as the resources that Calico makes of it.
//! - [`custom`]: Calico's own resources as custom resources of either group, and back.
//! - [`KubeStore`]: the store itself. Each resource has a history of its own, and there are no transactions. One write is
//!   one request; after a connection was lost under a write it is said that nobody knows whether it was made.
//!
//! The runtime that requests need stays inside; calls block and must not be made from
//! a runtime's own thread. The client is hyper and rustls, which are in the binary for etcd anyway: of Kubernetes' many
//! types only the fields that policy uses are ever decoded.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod client;
mod conversion_warnings;
pub mod convert;
pub mod custom;
pub mod definitions;
mod discovery;
mod installed;
mod item;
mod kubeconfig;
mod leases;
mod list;
pub mod meta;
mod pauses;
mod runtime;
mod settings;
mod shared;
mod source;
mod store;
mod stream;
mod unchanged;
mod update_by_annotations;
mod watch;
mod write;

pub use settings::{Credentials, Pem, Program, RawSettings, Settings, SettingsError};
pub use store::KubeStore;
pub use watch::KubeWatch;
