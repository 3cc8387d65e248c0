//! What the tests share.

#![allow(dead_code)] // each test file uses its part
#![allow(clippy::unwrap_used, unreachable_pub)]

pub mod bed;
pub mod follow;
pub mod nflog;
pub mod peer;
pub mod real;
pub mod scenario;
pub mod walk;
