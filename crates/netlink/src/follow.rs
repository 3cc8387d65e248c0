//! Following what the kernel announces: one socket receives notifications, another asks.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::error::RequestError;
use crate::socket::{Buffers, Protocol, Received, Socket};
use crate::wire::Message;

/// Room for requests.
const REQUESTS: usize = 64 << 10;
/// Room for answers: dumps come in pieces as they are read.
const ANSWERS: usize = 256 << 10;

/// Two routing sockets for one state: the notifications of its changes, and requests.
#[derive(Debug)]
pub struct Follower {
    notifications: Socket,
    requests: Socket,
    overflows: u64,
}

impl Follower {
    /// Subscribes to these groups, with about so much room for notifications that wait to be read. Read the state after
    /// this, so that nothing can happen between what is read and what is announced.
    pub fn open(groups: libc::c_int, room: usize) -> Result<Self, RequestError> {
        let buffers = |receive| Buffers { send: REQUESTS, receive };
        Ok(Self {
            notifications: Socket::open(Protocol::Route, groups.cast_unsigned(), buffers(room))?,
            requests: Socket::open(Protocol::Route, 0, buffers(ANSWERS))?,
            overflows: 0,
        })
    }

    /// The socket for requests.
    pub fn requests(&mut self) -> &mut Socket {
        &mut self.requests
    }

    /// Hands `take` the notifications that wait, oldest first. When some were lost, `read_again` makes the state from
    /// scratch. Returns whether it had to.
    pub fn update<T>(
        &mut self,
        state: &mut T,
        take: impl Fn(&mut T, &Message<'_>),
        read_again: impl Fn(&mut Socket, &mut T) -> Result<(), RequestError>,
    ) -> Result<bool, RequestError> {
        let mut lost = false;
        loop {
            match self.notifications.receive(|message| take(state, message))? {
                Received::Messages => (),
                Received::Nothing => return Ok(lost),
                Received::Lost => {
                    self.overflows += 1;
                    lost = true;
                    // What still waits is older than what is read next, and what would have undone it is lost.
                    while self.notifications.receive(|_| ())? != Received::Nothing {}
                    read_again(&mut self.requests, state)?;
                }
            }
        }
    }

    /// Waits until a notification arrives or the time has come; returns whether one arrived.
    pub fn wait(&self, until: Option<Instant>) -> Result<bool, RequestError> {
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let left = left.map(Timespec::try_from).transpose();
            let left = left.map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "too long a wait"))?;
            match rustix::event::poll(&mut [PollFd::new(&self.notifications, PollFlags::IN)], left.as_ref()) {
                Ok(ready) => return Ok(ready > 0),
                Err(rustix::io::Errno::INTR) => (),
                Err(other) => return Err(other.into()),
            }
        }
    }

    /// How often notifications were lost.
    pub fn overflows(&self) -> u64 {
        self.overflows
    }
}

impl AsFd for Follower {
    /// Readable when a notification waits.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notifications.as_fd()
    }
}
