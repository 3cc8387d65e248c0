//! The watcher of links and addresses.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use tortie_netlink::wire::Message;
use tortie_netlink::{Follower, RequestError, Socket};

use super::message::{IFADDR, IFINFO, LinkMessage, read};
use super::table::Table;
use super::{Change, Interfaces};

/// The groups that tell of links and addresses.
pub(crate) const GROUPS: libc::c_int = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;
/// Room for what waits to be read: some ten thousand changes. When it is not enough, everything is read again.
pub(crate) const BUFFER_BYTES: usize = 8 << 20;

/// Watches the interfaces and addresses of the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Watcher {
    follower: Follower,
    table: Table,
    interfaces: Interfaces,
}

impl Watcher {
    /// Begins to watch; everything that is there now is known when it returns.
    pub fn open() -> Result<Self, RequestError> {
        Self::open_with(BUFFER_BYTES)
    }

    /// As [`open`](Self::open), with about so many bytes of room for notifications that wait.
    pub fn open_with(room: usize) -> Result<Self, RequestError> {
        let mut follower = Follower::open(GROUPS, room)?;
        let mut table = Table::default();
        read_anew(follower.requests(), &mut table)?;
        let mut interfaces = Interfaces::new();
        table.look_anew(&mut interfaces);
        let mut watcher = Self { follower, table, interfaces };
        watcher.changes()?;
        Ok(watcher)
    }

    /// The interfaces as of the last look.
    pub fn interfaces(&self) -> &Interfaces {
        &self.interfaces
    }

    /// What has changed since the last look, without waiting. Poll the descriptor to know when to look.
    pub fn changes(&mut self) -> Result<Vec<Change>, RequestError> {
        let take =
            |table: &mut Table, message: &Message<'_>| read(message).into_iter().for_each(|said| table.take(said));
        let anew = self.follower.update(&mut self.table, take, read_anew)?;
        let interfaces = &mut self.interfaces;
        Ok(if anew { self.table.look_anew(interfaces) } else { self.table.look(interfaces) })
    }

    /// Waits until something changes or the time has come; empty only then.
    pub fn wait(&mut self, until: Option<Instant>) -> Result<Vec<Change>, RequestError> {
        loop {
            let changes = self.changes()?;
            if !changes.is_empty() || !self.follower.wait(until)? {
                return Ok(changes);
            }
        }
    }

    /// How often notifications were lost and everything was read again.
    pub fn overflows(&self) -> u64 {
        self.follower.overflows()
    }
}

impl AsFd for Watcher {
    /// Readable when there may be changes.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.follower.as_fd()
    }
}

/// Everything that can be said of links and addresses now.
pub(crate) fn read_all(socket: &mut Socket) -> Result<Vec<LinkMessage>, RequestError> {
    let mut all = Vec::new();
    for (what, kind, fixed) in [
        ("list the interfaces", libc::RTM_GETLINK, &[0; IFINFO][..]),
        ("list the addresses", libc::RTM_GETADDR, &[0; IFADDR][..]),
    ] {
        let each = |all: &mut Vec<LinkMessage>, message: &Message<'_>| {
            all.extend(read(message));
            Ok(())
        };
        all.append(&mut socket.dump(what, kind, fixed, |_| (), each)?);
    }
    Ok(all)
}

fn read_anew(socket: &mut Socket, table: &mut Table) -> Result<(), RequestError> {
    *table = Table::default();
    read_all(socket)?.into_iter().for_each(|said| table.take(said));
    Ok(())
}
