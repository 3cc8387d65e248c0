//! A netlink socket for nf_tables.
//!
//! An owned table belongs to the socket that made it: keep that one open.

use std::io;
use std::time::Duration;

use tortie_netlink::{Buffers, Protocol, Received, RequestError, Subscription};

use crate::message::{GET_GENERATION, NEW_GENERATION};
use crate::wire::{DecodeError, Message, Writer, be_u32, expect, table};

/// Room for a batch of a million elements.
const DEFAULT: Buffers = Buffers { send: 256 << 20, receive: 64 << 20 };

/// A netlink socket for nf_tables.
#[derive(Debug)]
pub struct Socket {
    netlink: tortie_netlink::Socket,
    send_limit: usize,
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace, with room for large batches if the
    /// process may force it.
    pub fn open() -> io::Result<Self> {
        Self::open_with(DEFAULT)
    }

    /// Opens a socket with these buffers, or as near to them as the process may go.
    pub fn open_with(buffers: Buffers) -> io::Result<Self> {
        let netlink = tortie_netlink::Socket::open(Protocol::Netfilter, 0, buffers)?;
        Ok(Self { send_limit: netlink.send_limit()?, netlink })
    }

    /// What subscribes this socket to groups of notifications.
    pub(crate) fn subscription(&self, groups: u32) -> io::Result<Subscription> {
        self.netlink.subscription(groups)
    }

    /// Waits until there is something to read, for at most this long. Whether there is.
    pub(crate) fn wait(&self, most: Duration) -> io::Result<bool> {
        self.netlink.wait(most)
    }

    /// The longest batch, about, that one send takes.
    pub fn send_limit(&self) -> usize {
        self.send_limit
    }

    /// The socket's address: the owner that the kernel notes in an owned table.
    pub fn port(&self) -> io::Result<u32> {
        self.netlink.port()
    }

    /// The generation id: it moves with every commit of anyone in this network namespace.
    pub fn generation(&mut self) -> Result<u32, RequestError> {
        let what = "tell its generation of nf_tables";
        let mut found = None;
        let each = |message: &Message<'_>| {
            if message.kind == NEW_GENERATION {
                let [_, id] = table::<2>(message.nfnetlink()?.1)?;
                found = Some(be_u32(expect(id, "a generation id")?, "a generation id")?);
            }
            Ok(())
        };
        self.ask(what, GET_GENERATION, 0, |_| (), each)?;
        found.ok_or(RequestError::Incomplete(what))
    }

    /// Sends `bytes` in one piece, after discarding answers that nobody read.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.netlink.send(bytes)
    }

    /// Hands the next waiting answers to `each`.
    pub(crate) fn receive(&mut self, each: impl FnMut(&Message<'_>)) -> Result<Received, RequestError> {
        self.netlink.receive(each)
    }

    /// Asks one question outside of a batch and hands each message of the answer to `each`.
    pub(crate) fn ask(
        &mut self,
        what: &'static str,
        kind: u16,
        family: u8,
        body: impl FnOnce(&mut Writer),
        each: impl FnMut(&Message<'_>) -> Result<(), DecodeError>,
    ) -> Result<(), RequestError> {
        self.netlink.ask(what, kind, 0, &header(family), body, each)
    }

    /// Lists all objects of a kind and hands each to `each`.
    pub(crate) fn dump<S: Default>(
        &mut self,
        what: &'static str,
        kind: u16,
        family: u8,
        body: impl Fn(&mut Writer),
        each: impl FnMut(&mut S, &Message<'_>) -> Result<(), DecodeError>,
    ) -> Result<S, RequestError> {
        self.netlink.dump(what, kind, &header(family), body, each)
    }

    /// Lists all objects of a kind once and hands each to `each`, also when commits interrupt. Only a caller that knows of
    /// every change to what it lists can tell whether what it read belongs together.
    pub(crate) fn dump_once(
        &mut self,
        what: &'static str,
        kind: u16,
        family: u8,
        body: impl FnOnce(&mut Writer),
        each: impl FnMut(&Message<'_>) -> Result<(), DecodeError>,
    ) -> Result<(), RequestError> {
        self.netlink.dump_once(what, kind, &header(family), body, each)
    }
}

/// `struct nfgenmsg`.
fn header(family: u8) -> [u8; 4] {
    [family, 0, 0, 0]
}
