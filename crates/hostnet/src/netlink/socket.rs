//! One netlink socket.
//!
//! The kernel works through a request before the send returns and queues its answer, so answers are read without
//! waiting; only notifications are waited for, by whoever polls.

#![allow(unsafe_code)] // one setsockopt that nobody wraps

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, sockopt};
use tortie_nft::wire::{
    ACK, DUMP, DUMP_INTR, DecodeError, Message, Messages, NLMSG_DONE, NLMSG_ERROR, REQUEST, Writer,
};

use super::Error;

/// One read; the kernel makes dumps of at most 32 KiB.
const READ: usize = 64 * 1024;
/// How often a dump that changes overtook is begun again.
const DUMP_TRIES: usize = 20;

/// Which part of the kernel a socket speaks with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Links, addresses, routes, neighbours.
    Route,
    /// Connection tracking.
    Netfilter,
}

/// What one look at the queue gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    /// Some messages, handed on.
    Messages,
    /// Nothing waits.
    Nothing,
    /// Messages were lost: the queue was full.
    Lost,
}

/// A netlink socket.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    seq: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace, subscribed to the groups in the mask, with about this
    /// much room for what waits to be read.
    pub(crate) fn open(protocol: Protocol, groups: u32, room: usize) -> Result<Self, Error> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let protocol = match protocol {
            Protocol::Route => None, // number 0
            Protocol::Netfilter => Some(netlink::NETFILTER),
        };
        let fd = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
        // Forced where the process may; otherwise below a limit of the system's.
        if sockopt::set_socket_recv_buffer_size_force(&fd, room).is_err() {
            sockopt::set_socket_recv_buffer_size(&fd, room)?;
        }
        rustix::net::bind(&fd, &netlink::SocketAddrNetlink::new(0, groups))?;
        set_option(&fd, libc::NETLINK_CAP_ACK).map_err(Error::Io)?;
        // Without it the kernel does not look at what a dump is limited to.
        set_option(&fd, libc::NETLINK_GET_STRICT_CHK).map_err(Error::Io)?;
        Ok(Self { fd, seq: 0, buffer: vec![0; READ] })
    }

    /// Reads once and hands each message to `each`.
    pub(crate) fn receive(&mut self, mut each: impl FnMut(&Message<'_>)) -> Result<Got, Error> {
        loop {
            match rustix::net::recv(&self.fd, &mut self.buffer[..], RecvFlags::TRUNC) {
                Ok((len, whole)) if len < whole => return Err(Error::Io(io::ErrorKind::InvalidData.into())),
                Ok((len, _)) => {
                    for message in Messages::new(&self.buffer[..len]) {
                        each(&message?);
                    }
                    return Ok(Got::Messages);
                }
                Err(Errno::AGAIN) => return Ok(Got::Nothing),
                Err(Errno::NOBUFS) => return Ok(Got::Lost),
                Err(Errno::INTR) => (),
                Err(other) => return Err(other.into()),
            }
        }
    }

    /// Asks for all objects of a kind and hands each to `each`. `begin` comes before each attempt, of which there is
    /// more than one when changes overtake.
    pub(crate) fn dump<S>(
        &mut self,
        what: &'static str,
        kind: u16,
        fixed: &[u8],
        body: impl Fn(&mut Writer),
        begin: impl Fn() -> S,
        mut each: impl FnMut(&mut S, &Message<'_>),
    ) -> Result<S, Error> {
        for _ in 0..DUMP_TRIES {
            let mut state = begin();
            let request = self.send(kind, REQUEST | DUMP, fixed, &body)?;
            if !self.answer(what, request, |message| each(&mut state, message))? {
                return Ok(state);
            }
        }
        Err(Error::Overtaken(what))
    }

    /// Makes one request and waits for its acknowledgement.
    pub(crate) fn request(
        &mut self,
        what: &'static str,
        kind: u16,
        flags: u16,
        fixed: &[u8],
        body: impl FnOnce(&mut Writer),
    ) -> Result<(), Error> {
        let request = self.send(kind, REQUEST | ACK | flags, fixed, body)?;
        self.answer(what, request, |_| ()).map(drop)
    }

    fn send(&mut self, kind: u16, flags: u16, fixed: &[u8], body: impl FnOnce(&mut Writer)) -> Result<u32, Error> {
        // What an earlier, broken-off answer left is nobody's.
        while self.receive(|_| ())? != Got::Nothing {}
        self.seq = self.seq.wrapping_add(1);
        let mut writer = Writer::new();
        writer.raw_message(kind, flags, self.seq, fixed, body);
        let sent = rustix::net::send(&self.fd, writer.as_bytes(), SendFlags::empty())?;
        if sent == writer.len() { Ok(self.seq) } else { Err(Error::Io(io::ErrorKind::WriteZero.into())) }
    }

    /// Reads up to the end of an answer; whether changes overtook it.
    fn answer(&mut self, what: &'static str, request: u32, mut each: impl FnMut(&Message<'_>)) -> Result<bool, Error> {
        let mut overtaken = false;
        let mut end: Option<i32> = None;
        while end.is_none() {
            let got = self.receive(|message| {
                if message.seq != request {
                    return;
                }
                overtaken |= message.flags & DUMP_INTR != 0;
                if matches!(message.kind, NLMSG_DONE | NLMSG_ERROR) {
                    end = Some(message.body.first_chunk().map_or(0, |errno| i32::from_ne_bytes(*errno)));
                } else {
                    each(message);
                }
            })?;
            if got != Got::Messages && end.is_none() {
                return Err(Error::Decode(DecodeError::Truncated("the kernel's answer")));
            }
        }
        match end {
            None | Some(0) => Ok(overtaken),
            Some(errno) => Err(Error::Refused { what, source: io::Error::from_raw_os_error(errno.wrapping_neg()) }),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
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
