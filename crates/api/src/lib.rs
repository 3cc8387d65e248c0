//! Resources as users write them: kinds and keys, one file a kind, reading with places, validation, defaults.

mod kind;

pub use kind::{API_VERSION, Key, KeyError, Kind};
