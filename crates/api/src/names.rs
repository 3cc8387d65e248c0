//! Names that are made of other names.

pub mod workload;
