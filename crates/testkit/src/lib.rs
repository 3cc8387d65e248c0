//! Worlds, generators and topologies for tests.

pub mod faults;
pub mod worlds;
