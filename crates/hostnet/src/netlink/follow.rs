//! Following what the kernel tells: one socket that is told of changes, one that asks.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec};
use tortie_nft::wire::Message;

use super::{Error, Got, Protocol, Socket};

/// Room for answers: dumps come in pieces as they are read.
const ASKED: usize = 256 << 10;

/// Two sockets for one state.
#[derive(Debug)]
pub(crate) struct Follower {
    told: Socket,
    /// The one for questions and requests.
    pub(crate) asked: Socket,
    overflows: u64,
}

impl Follower {
    /// Subscribes to these groups, with about so much room for what waits to be read. Read the state after this, so
    /// that nothing can happen between what is read and what is told.
    pub(crate) fn open(groups: libc::c_int, room: usize) -> Result<Self, Error> {
        let told = Socket::open(Protocol::Route, groups.cast_unsigned(), room)?;
        Ok(Self { told, asked: Socket::open(Protocol::Route, 0, ASKED)?, overflows: 0 })
    }

    /// Hands `take` what waits, oldest first. When some was lost `anew` makes the state from scratch. Whether it had to.
    pub(crate) fn news<T>(
        &mut self,
        state: &mut T,
        take: impl Fn(&mut T, &Message<'_>),
        anew: impl Fn(&mut Socket, &mut T) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let mut lost = false;
        loop {
            match self.told.receive(|message| take(state, message))? {
                Got::Messages => (),
                Got::Nothing => return Ok(lost),
                Got::Lost => {
                    self.overflows += 1;
                    lost = true;
                    // What still waits is older than what is read next, and what would have undone it is lost.
                    while self.told.receive(|_| ())? != Got::Nothing {}
                    anew(&mut self.asked, state)?;
                }
            }
        }
    }

    /// Waits until something is told or the time has come; whether something was told.
    pub(crate) fn wait(&self, until: Option<Instant>) -> Result<bool, Error> {
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let left = left.map(Timespec::try_from).transpose();
            let left = left.map_err(|_| Error::Io(io::Error::new(io::ErrorKind::InvalidInput, "too long a wait")))?;
            match rustix::event::poll(&mut [PollFd::new(&self.told, PollFlags::IN)], left.as_ref()) {
                Ok(ready) => return Ok(ready > 0),
                Err(rustix::io::Errno::INTR) => (),
                Err(other) => return Err(other.into()),
            }
        }
    }

    /// How often notifications were lost.
    pub(crate) fn overflows(&self) -> u64 {
        self.overflows
    }
}

impl AsFd for Follower {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.told.as_fd()
    }
}
