//! Worlds, generators and topologies for tests
