//! Resources as users write them: manifests in YAML and JSON are read with places, validated, warned of and written.
//!
//! [`read`] makes objects of a text and knows the line and column of every value; [`validate`] says in Calico's two layers
//! what is wrong with an object, and [`warnings`] what is most likely not meant; each is a [`Problem`] with a path in the
//! object, of which [`diagnostic`] makes the text that people see. [`mod@write`] prints objects, and [`schema`] is the shape of a
//! kind for editors. What an agent needs (kinds, shapes, stored forms) is `tortie_api`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod diagnostic;
mod other_syntax;
mod problem;
pub mod read;
pub mod schema;
mod selector_text;
pub mod validate;
pub mod warnings;
pub mod write;

pub use problem::{Layer, Problem, Severity};
