//! The watcher: one socket that is told of changes, one that asks.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec};

use super::message::{IFADDR, IFINFO, read};
use super::table::Table;
use super::{Change, Interfaces};
use crate::netlink::{Error, Got, Protocol, Socket};

/// Room for what waits to be read: some ten thousand changes. When it is not enough, everything is read again.
const ROOM: usize = 8 << 20;
/// Room for answers: dumps come in pieces as they are read.
const ASKED: usize = 256 << 10;

/// Watches the interfaces and addresses of the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Watcher {
    told: Socket,
    asked: Socket,
    table: Table,
    interfaces: Interfaces,
    overflows: u64,
}

impl Watcher {
    /// Begins to watch; everything that is there now is known when it returns.
    pub fn open() -> Result<Self, Error> {
        Self::open_with(ROOM)
    }

    /// As [`open`](Self::open), with about so many bytes of room for notifications that wait.
    pub fn open_with(room: usize) -> Result<Self, Error> {
        let groups = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;
        // Subscribed first, so that nothing can happen between what is read and what is told.
        let told = Socket::open(Protocol::Route, groups.cast_unsigned(), room)?;
        let asked = Socket::open(Protocol::Route, 0, ASKED)?;
        let mut watcher = Self { told, asked, table: Table::default(), interfaces: Interfaces::new(), overflows: 0 };
        watcher.table = read_all(&mut watcher.asked)?;
        watcher.table.look_anew(&mut watcher.interfaces);
        watcher.changes()?;
        Ok(watcher)
    }

    /// The interfaces as of the last look.
    pub fn interfaces(&self) -> &Interfaces {
        &self.interfaces
    }

    /// What has changed since the last look, without waiting. Poll the descriptor to know when to look.
    pub fn changes(&mut self) -> Result<Vec<Change>, Error> {
        let table = &mut self.table;
        let mut anew = false;
        loop {
            let got = self.told.receive(|message| read(message).into_iter().for_each(|said| table.take(said)))?;
            match got {
                Got::Messages => (),
                Got::Nothing => break,
                Got::Lost => {
                    self.overflows += 1;
                    // What still waits is older than what is read next, and what would have undone it is lost.
                    while self.told.receive(|_| ())? != Got::Nothing {}
                    *table = read_all(&mut self.asked)?;
                    anew = true;
                }
            }
        }
        Ok(if anew { table.look_anew(&mut self.interfaces) } else { table.look(&mut self.interfaces) })
    }

    /// Waits until something changes or the time has come; empty only then.
    pub fn wait(&mut self, until: Option<Instant>) -> Result<Vec<Change>, Error> {
        loop {
            let changes = self.changes()?;
            if !changes.is_empty() {
                return Ok(changes);
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(changes);
            }
            let left = left.map(Timespec::try_from).transpose().map_err(|_| io_error("the time to wait"))?;
            match rustix::event::poll(&mut [PollFd::new(&self.told, PollFlags::IN)], left.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => (),
                Err(other) => return Err(other.into()),
            }
        }
    }

    /// How often notifications were lost and everything was read again.
    pub fn overflows(&self) -> u64 {
        self.overflows
    }
}

impl AsFd for Watcher {
    /// Readable when there may be changes.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.told.as_fd()
    }
}

fn read_all(socket: &mut Socket) -> Result<Table, Error> {
    let mut table = Table::default();
    for (what, kind, fixed) in [
        ("list the interfaces", libc::RTM_GETLINK, &[0; IFINFO][..]),
        ("list the addresses", libc::RTM_GETADDR, &[0; IFADDR][..]),
    ] {
        let said = socket.dump(what, kind, fixed, |_| (), Vec::new, |all, message| all.extend(read(message)))?;
        said.into_iter().for_each(|said| table.take(said));
    }
    Ok(table)
}

fn io_error(what: &'static str) -> Error {
    Error::Io(io::Error::new(io::ErrorKind::InvalidInput, what))
}
