//! Questions of people about packets, and their answers in words: `tortie explain`.
//!
//! A [`Question`] names two ends and a protocol; [`Places`] finds them in the store; `journey` walks the packet over
//! every node on its way and asks `eval` on each; [`text`] and [`json`] tell the answer. Where there is no protocol, or an end
//! is many addresses, [`reach`] asks for one packet of each class and tells what is answered alike together. [`endpoint`] tells what applies to an endpoint, and
//! [`policy`] what a policy decides, and [`tier`] what a tier does. [`claim`] proves that
//! packets are allowed or denied. No store, no clock and no
//! terminal in here: values in, values out.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod ask;
mod candidates;
pub mod claim;
mod concern;
pub mod endpoint;
mod group;
mod interfaces;
mod journey;
pub mod json;
mod not_asked;
mod owners;
mod place;
pub mod placement;
pub mod policy;
pub mod reach;
mod staged;
pub mod suggest;
pub mod text;
pub mod tier;
mod traffic;

pub use ask::{AskError, Party, Question, State, What};
pub use journey::{Answer, Leg, OneWay, OtherPrograms, journey};
pub use place::{Place, Places};
pub use staged::enforce_staged;
