//! Resources as users write them: kinds and keys, one file a kind, reading with places, validation, defaults.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod decode;
pub mod defaults;
pub mod diagnostic;
pub mod duration;
pub mod encode;
#[cfg(any(test, feature = "generate"))]
pub mod generate;
mod kind;
pub mod kinds;
pub mod names;
mod object;
mod problem;
pub mod read;
pub mod scalar;
pub mod schema;
pub mod shape;
pub mod validate;
pub mod warnings;
pub mod write;

pub use kind::{API_VERSION, Key, KeyError, Kind};
pub use object::{Metadata, Object, OwnerReference};
pub use problem::{Layer, Path, Problem, Severity, Step};
