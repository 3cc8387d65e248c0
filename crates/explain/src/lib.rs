//! Questions of people about packets, and their answers in words: `tortie explain`.
//!
//! A [`Question`] names two ends and a protocol; [`Places`] finds them in the store; `journey` walks the packet over
//! every node on its way and asks `eval` on each; [`text`], [`json`] and [`table`] tell the answer. No store, no clock and no
//! terminal in here: values in, values out.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod ask;
pub mod endpoint;
mod group;
mod journey;
pub mod json;
mod place;
pub mod placement;
mod staged;
pub mod table;
pub mod text;

pub use ask::{AskError, Party, Question, State, What};
pub use journey::{Answer, Leg, OneWay, journey};
pub use place::{Place, Places};
pub use staged::enforce_staged;
