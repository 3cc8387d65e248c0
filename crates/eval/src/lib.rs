//! The reference evaluator: what decides a packet, and why
