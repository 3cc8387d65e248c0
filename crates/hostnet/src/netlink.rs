//! Netlink as this crate needs it: a socket for questions, requests and notifications, and readers of attributes.
//!
//! The framing of messages and attributes is [`tortie_nft::wire`]'s; numbers are those of `linux/rtnetlink.h`,
//! `linux/if_link.h` and `linux/if_addr.h`, by way of `libc` where it has them.

mod follow;
mod read;
mod socket;

pub(crate) use follow::Follower;
pub(crate) use read::{address, host_u32, text};
pub(crate) use socket::{Got, Protocol, Socket};

use std::io;

use tortie_nft::wire::DecodeError;

/// Why the kernel could not be asked or told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Opening, sending or receiving failed.
    #[error("the netlink socket failed")]
    Io(#[source] io::Error),
    /// The kernel refused a request.
    #[error("the kernel refused to {what}")]
    Refused {
        /// What it was asked for.
        what: &'static str,
        /// Its answer.
        source: io::Error,
    },
    /// An answer could not be read.
    #[error("the kernel's answer could not be read")]
    Decode(#[from] DecodeError),
    /// Every attempt to list something was overtaken by changes.
    #[error("changes overtook every attempt to {0}")]
    Overtaken(&'static str),
}

impl From<rustix::io::Errno> for Error {
    fn from(errno: rustix::io::Errno) -> Self {
        Error::Io(errno.into())
    }
}
