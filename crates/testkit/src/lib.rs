//! Worlds, generators, packets as text and network namespaces for tests.

#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(feature = "certificates")]
pub mod certificates;
pub mod faults;
pub mod generate;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod limit;
pub mod machine;
#[cfg(feature = "manifests")]
pub mod manifests;
#[cfg(feature = "namespace")]
pub mod namespace;
pub mod packet_text;
pub mod worlds;
