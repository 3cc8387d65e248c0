//! Worlds, generators and topologies for tests.

pub mod faults;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod worlds;
