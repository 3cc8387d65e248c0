//! The stream: in sync once, differences only after a gap, and objects that cannot be read. Every claim holds for a store with
//! one history and for one whose kinds have each their own.

#![allow(clippy::unwrap_used)]
#![allow(clippy::duplicate_mod, reason = "the same claims are made of both kinds of store")]

#[path = "stream/claims.rs"]
mod one_history;

#[path = "stream/claims.rs"]
mod a_history_for_each_kind;

#[path = "stream/expiry.rs"]
mod expiry;
#[path = "stream/unreadable.rs"]
mod unreadable;
