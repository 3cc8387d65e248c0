//! Worlds, generators and topologies for tests.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod faults;
pub mod generate;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod worlds;
