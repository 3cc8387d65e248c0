//! One agent in a network namespace.
//!
//! The lock is a name of an abstract Unix socket: such names belong to the network namespace, are free again the moment
//! their holder dies, and tell who holds them. Anybody may take one, so a holder who is not of our user is named and
//! passed by: policy must not depend on strangers.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use rustix::net::sockopt::socket_peercred;
use rustix::process::{Pid, geteuid};

const NAME: &str = "tortie-agent";

/// Held for as long as this lives.
#[derive(Debug)]
pub(crate) struct Lock {
    _held: Option<UnixListener>,
}

/// Why the lock cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// An agent runs.
    #[error("an agent enforces this network namespace already: process {0}")]
    Held(Pid),
    /// It cannot be asked for.
    #[error("cannot take the lock of this network namespace")]
    Io(#[from] io::Error),
}

impl Lock {
    /// Takes the lock of this network namespace.
    pub(crate) fn take() -> Result<Self, LockError> {
        let address = SocketAddr::from_abstract_name(NAME)?;
        // The holder may die between the two questions.
        for _ in 0..10 {
            match UnixListener::bind_addr(&address) {
                Ok(listener) => return Ok(Self { _held: Some(listener) }),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error.into()),
            }
            let Ok(stream) = UnixStream::connect_addr(&address) else { continue };
            let holder = socket_peercred(&stream).map_err(io::Error::from)?;
            if holder.uid == geteuid() || holder.uid.is_root() {
                return Err(LockError::Held(holder.pid));
            }
            log::warn!(
                "process {} of user {} holds the name @{NAME}, and is no agent of ours; going on without it",
                holder.pid,
                holder.uid.as_raw(),
            );
            return Ok(Self { _held: None });
        }
        Err(io::Error::other(format!("@{NAME} comes and goes")).into())
    }
}
