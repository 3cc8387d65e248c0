//! Netlink: the sockets over which the kernel is asked and told, and the format of what they carry.
//!
//! ```text
//!   Writer ──> Socket ──> kernel ──> Socket ──> Messages ──> Attrs
//!                         kernel ──> Follower                        (notifications)
//! ```
//!
//! Nothing here knows what a message means: `nft` and `hostnet` do. The kernel processes a request before the send
//! returns and queues its answers, so answers are read without waiting. Only notifications are waited for.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod error;
mod follow;
mod socket;
pub mod wire;

pub use error::RequestError;
pub use follow::Follower;
pub use socket::{Buffers, Protocol, Received, Socket, Subscription};
