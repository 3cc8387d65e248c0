//! Names that consist of other names.

pub mod workload;
