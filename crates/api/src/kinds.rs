//! The types of every kind, one file a kind. Fields stand in Calico's order, since that is the order they are
//! written in.

pub mod host_endpoint;
