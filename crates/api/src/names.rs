//! Names that consist of other names.

pub mod kubernetes;
pub mod workload;
