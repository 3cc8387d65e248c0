//! One netlink socket.
//!
//! The kernel processes a request before the send returns and queues its answer, so answers are read without waiting,
//! and an empty queue means that no more will come. Notifications are waited for by polling the descriptor.
//!
//! The single `unsafe` block sets socket options that no library wraps.

#![allow(unsafe_code)] // one setsockopt

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, sockopt};

use crate::error::RequestError;
use crate::wire::{ACK, DUMP, DUMP_INTR, DecodeError, Message, Messages, NLMSG_DONE, NLMSG_ERROR, REQUEST, Writer};

/// The size of one read; the kernel makes dumps in pieces of at most 32 KiB.
const READ: usize = 64 * 1024;
/// How often a dump that changes interrupted is begun again.
const DUMP_TRIES: usize = 20;

/// The part of the kernel that a socket talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Links, addresses, routes, neighbours (`NETLINK_ROUTE`).
    Route,
    /// nf_tables and connection tracking (`NETLINK_NETFILTER`).
    Netfilter,
    /// The sockets of programs (`NETLINK_SOCK_DIAG`).
    SocketDiagnosis,
}

/// How much may be queued; limits, not reservations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffers {
    /// Bytes of one send.
    pub send: usize,
    /// Bytes of answers and notifications that wait to be read.
    pub receive: usize,
}

/// What one read of the queue gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// Some messages, which were handed on.
    Messages,
    /// The queue is empty.
    Nothing,
    /// Messages were lost, because the queue was full.
    Lost,
}

/// A netlink socket.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    seq: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace, subscribed to the groups in the mask. A process that
    /// may not exceed the system's limits gets buffers as near to the wanted ones as they allow.
    pub fn open(protocol: Protocol, groups: u32, buffers: Buffers) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let protocol = match protocol {
            Protocol::Route => None, // number 0
            Protocol::Netfilter => Some(netlink::NETFILTER),
            Protocol::SocketDiagnosis => Some(netlink::SOCK_DIAG),
        };
        let fd = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
        // Only the initial user namespace's administrator may force a size; others stay below a system limit.
        if sockopt::set_socket_send_buffer_size_force(&fd, buffers.send).is_err() {
            sockopt::set_socket_send_buffer_size(&fd, buffers.send)?;
        }
        if sockopt::set_socket_recv_buffer_size_force(&fd, buffers.receive).is_err() {
            sockopt::set_socket_recv_buffer_size(&fd, buffers.receive)?;
        }
        rustix::net::bind(&fd, &netlink::SocketAddrNetlink::new(0, groups))?;
        set_option(&fd, libc::NETLINK_EXT_ACK)?;
        set_option(&fd, libc::NETLINK_CAP_ACK)?;
        // Without it the kernel ignores the filters of a route dump.
        set_option(&fd, libc::NETLINK_GET_STRICT_CHK)?;
        Ok(Self { fd, seq: 0, buffer: vec![0; READ] })
    }

    /// About how many bytes one send takes.
    pub fn send_limit(&self) -> io::Result<usize> {
        Ok(sockopt::socket_send_buffer_size(&self.fd)?)
    }

    /// The socket's address, by which the kernel tells sockets apart.
    pub fn port(&self) -> io::Result<u32> {
        let address = rustix::net::getsockname(&self.fd)?;
        Ok(netlink::SocketAddrNetlink::try_from(address)?.pid())
    }

    /// Sends `bytes` in one piece, after discarding answers that nobody read.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        loop {
            match self.receive(|_| ()) {
                Ok(Received::Nothing) => break,
                Err(RequestError::Io(error)) => return Err(error),
                Ok(_) | Err(_) => (),
            }
        }
        let sent = rustix::net::send(&self.fd, bytes, SendFlags::empty())?;
        if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Waits until there is something to read, for at most this long. Whether there is.
    pub fn wait(&self, most: Duration) -> io::Result<bool> {
        let most = Timespec::try_from(most).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], Some(&most)) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the queue once and hands each message to `each`.
    pub fn receive(&mut self, mut each: impl FnMut(&Message<'_>)) -> Result<Received, RequestError> {
        loop {
            match rustix::net::recv(&self.fd, &mut self.buffer[..], RecvFlags::TRUNC) {
                Ok((len, whole)) if len < whole => return Err(io::Error::from(io::ErrorKind::InvalidData).into()),
                Ok((len, _)) => {
                    for message in Messages::new(&self.buffer[..len]) {
                        each(&message?);
                    }
                    return Ok(Received::Messages);
                }
                Err(Errno::AGAIN) => return Ok(Received::Nothing),
                Err(Errno::NOBUFS) => return Ok(Received::Lost),
                Err(Errno::INTR) => (),
                Err(other) => return Err(other.into()),
            }
        }
    }

    /// Makes one request, waits for its acknowledgement, and hands each message of the answer to `each`. `fixed` is
    /// the header of the kind, `body` writes the attributes.
    pub fn ask(
        &mut self,
        what: &'static str,
        kind: u16,
        flags: u16,
        fixed: &[u8],
        body: impl FnOnce(&mut Writer),
        each: impl FnMut(&Message<'_>) -> Result<(), DecodeError>,
    ) -> Result<(), RequestError> {
        let request = self.start(kind, REQUEST | ACK | flags, fixed, body)?;
        self.answer(what, request, each).map(drop)
    }

    /// Makes one request whose answer is an acknowledgement.
    pub fn request(
        &mut self,
        what: &'static str,
        kind: u16,
        flags: u16,
        fixed: &[u8],
        body: impl FnOnce(&mut Writer),
    ) -> Result<(), RequestError> {
        self.ask(what, kind, flags, fixed, body, |_| Ok(()))
    }

    /// Lists all objects of a kind and hands each to `each`, with a state that begins anew with each attempt: there is
    /// more than one when changes interrupt.
    pub fn dump<S: Default>(
        &mut self,
        what: &'static str,
        kind: u16,
        fixed: &[u8],
        body: impl Fn(&mut Writer),
        mut each: impl FnMut(&mut S, &Message<'_>) -> Result<(), DecodeError>,
    ) -> Result<S, RequestError> {
        for _ in 0..DUMP_TRIES {
            let mut state = S::default();
            let request = self.start(kind, REQUEST | DUMP, fixed, &body)?;
            if !self.answer(what, request, |message| each(&mut state, message))? {
                return Ok(state);
            }
        }
        Err(RequestError::Interrupted(what))
    }

    /// Lists all objects of a kind once and hands each to `each`, also when changes interrupt. Only a caller that knows of
    /// every change to what it lists can tell whether what it read belongs together.
    pub fn dump_once(
        &mut self,
        what: &'static str,
        kind: u16,
        fixed: &[u8],
        body: impl FnOnce(&mut Writer),
        each: impl FnMut(&Message<'_>) -> Result<(), DecodeError>,
    ) -> Result<(), RequestError> {
        let request = self.start(kind, REQUEST | DUMP, fixed, body)?;
        self.answer(what, request, each).map(drop)
    }

    /// What subscribes this socket to groups and unsubscribes it, from any thread.
    pub fn subscription(&self, groups: u32) -> io::Result<Subscription> {
        Ok(Subscription { fd: Arc::new(self.fd.try_clone()?), port: self.port()?, groups })
    }

    /// Sends a request and returns its sequence number.
    fn start(
        &mut self,
        kind: u16,
        flags: u16,
        fixed: &[u8],
        body: impl FnOnce(&mut Writer),
    ) -> Result<u32, RequestError> {
        self.seq = self.seq.wrapping_add(1);
        let mut writer = Writer::new();
        writer.raw_message(kind, flags, self.seq, fixed, body);
        self.send(writer.as_bytes())?;
        Ok(self.seq)
    }

    /// Reads up to the end of an answer; returns whether changes interrupted it.
    fn answer(
        &mut self,
        what: &'static str,
        request: u32,
        mut each: impl FnMut(&Message<'_>) -> Result<(), DecodeError>,
    ) -> Result<bool, RequestError> {
        let mut interrupted = false;
        let mut end: Option<i32> = None;
        let mut unreadable = None;
        while end.is_none() {
            let received = self.receive(|message| {
                if message.seq != request || end.is_some() {
                    return;
                }
                interrupted |= message.flags & DUMP_INTR != 0;
                if matches!(message.kind, NLMSG_DONE | NLMSG_ERROR) {
                    end = Some(message.body.first_chunk().map_or(0, |errno| i32::from_ne_bytes(*errno)));
                } else if unreadable.is_none() {
                    unreadable = each(message).err();
                }
            })?;
            match received {
                Received::Messages => (),
                Received::Nothing => return Err(RequestError::Incomplete(what)),
                Received::Lost => return Err(RequestError::Io(io::Error::from_raw_os_error(libc::ENOBUFS))),
            }
        }
        match (end, unreadable) {
            // An interrupted dump is read again, so it may be inconsistent.
            (None | Some(0), Some(error)) if !interrupted => Err(error.into()),
            (None | Some(0), _) => Ok(interrupted),
            (Some(errno), _) => {
                Err(RequestError::Refused { what, source: io::Error::from_raw_os_error(errno.wrapping_neg()) })
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Subscribes a socket to groups of notifications, and unsubscribes it.
#[derive(Clone, Debug)]
pub struct Subscription {
    fd: Arc<OwnedFd>,
    port: u32,
    groups: u32,
}

impl Subscription {
    /// Subscribes the socket.
    pub fn join(&self) -> io::Result<()> {
        Ok(rustix::net::bind(&*self.fd, &netlink::SocketAddrNetlink::new(self.port, self.groups))?)
    }

    /// Unsubscribes it. What was sent before can still be read.
    pub fn leave(&self) -> io::Result<()> {
        Ok(rustix::net::bind(&*self.fd, &netlink::SocketAddrNetlink::new(self.port, 0))?)
    }
}

/// Switches on an option of level `SOL_NETLINK`.
fn set_option(fd: &impl AsFd, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open for the length of the call, and the pointer and length describe `on`, which the
    // kernel only reads.
    let result = unsafe {
        libc::setsockopt(
            fd.as_fd().as_raw_fd(),
            libc::SOL_NETLINK,
            option,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
