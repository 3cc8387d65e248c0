//! Resources: kinds and keys, one file a kind, their shapes, names and defaults, and their stored forms.
//!
//! What people write (manifests, validation, diagnostics) is `tortie_manifest`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod decode;
pub mod defaults;
pub mod duration;
pub mod encode;
mod error_text;
mod go_bool;
mod kind;
pub mod kinds;
pub mod kube_labels;
pub mod misspelt;
pub mod names;
mod object;
mod path;
pub mod scalar;
pub mod shape;

pub use error_text::error_with_causes;
pub use go_bool::go_bool;
pub use kind::{API_VERSION, Key, KeyError, Kind};
pub use object::{Metadata, Object, OwnerReference};
pub use path::{Path, Step};
