//! The label selector language: how policies, rules and sets say which endpoints they mean.
//!
//! ```
//! use tortie_selector::Selector;
//!
//! let selector = Selector::parse("role=='db'||has( admin )").unwrap();
//! assert_eq!(selector.to_string(), r#"(role == "db" || has(admin))"#);
//! assert!(selector.matches(&[("role", "db")]));
//! assert!(!selector.matches(&[("role", "web")]));
//! ```
//!
//! What is accepted, what it means, the canonical text and the identity made from it are Calico's, to the
//! byte: they name address sets and are compared across programs.
//!
//! ```text
//!   text --lexer, parse--> terms in order --build--> canonical text + flat nodes --link--> Selector
//! ```
//!
//! A selector is one canonical text and one flat list of nodes that point into it. The nodes stand in the order
//! in which the text names them, each with the place to go on at when it holds and when it does not, so
//! matching is a walk without a stack. Nothing here recurses: nesting is bounded by the text's length alone.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod build;
#[cfg(feature = "counts")]
pub mod counts;
mod diagnose;
mod error;
mod labels;
mod lexer;
mod matching;
mod node;
mod parse;
mod restrict;
mod selector;
#[cfg(test)]
mod tests;

pub use error::ParseError;
pub use labels::{FromFn, Labels, from_fn};
pub use restrict::Restriction;
pub use selector::Selector;

/// The longest label name that a selector can be written with, in bytes. A prefix may make it longer.
pub const MAX_LABEL_LENGTH: usize = 512;

/// The longest text that is parsed, in bytes. Far beyond what any store of resources holds.
pub const MAX_LENGTH: usize = 16 << 20;
