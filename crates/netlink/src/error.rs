//! Why a request to the kernel failed.

use std::io;

use crate::wire::DecodeError;

/// Why a request to the kernel failed. `what` completes "the kernel refused to".
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Opening, sending or receiving failed.
    #[error("the netlink socket failed")]
    Io(#[from] io::Error),
    /// The kernel refused.
    #[error("the kernel refused to {what}")]
    Refused {
        /// What it was asked for.
        what: &'static str,
        /// Its answer.
        source: io::Error,
    },
    /// An answer could not be decoded.
    #[error("the kernel's answer could not be read")]
    Decode(#[from] DecodeError),
    /// Changes by others interrupted every attempt to list something.
    #[error("changes by others interrupted every attempt to {0}")]
    Interrupted(&'static str),
    /// The answer ended early.
    #[error("the kernel did not finish its answer to a request to {0}")]
    Incomplete(&'static str),
}

impl RequestError {
    /// Whether the kernel refused with this error number.
    pub fn is_refusal(&self, errno: i32) -> bool {
        matches!(self, Self::Refused { source, .. } if source.raw_os_error() == Some(errno))
    }
}

impl From<rustix::io::Errno> for RequestError {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Io(errno.into())
    }
}
