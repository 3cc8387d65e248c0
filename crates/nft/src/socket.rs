//! A netlink socket for nf_tables.
//!
//! The kernel works through what was sent before the send returns, and queues its answers; so all
//! reading is without waiting, and an empty queue means that there is no more to come (fact sheet
//! section 2.1, row Send). An owned table belongs to the socket that made it: keep that one open.
//!
//! This is the only file with `unsafe`, for the two socket options that nobody wraps.

#![allow(unsafe_code)] // one setsockopt

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, sockopt};

use crate::wire::{
    ACK, DUMP, DUMP_INTR, DecodeError, Header, Message, Messages, NLMSG_DONE, NLMSG_ERROR, REQUEST, Writer,
};

/// One read; the kernel makes dumps of at most 32 KiB.
const READ: usize = 64 * 1024;
/// How often a dump that commits overtook is begun again.
const DUMP_TRIES: usize = 20;

/// How much may be under way; limits, not reservations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffers {
    /// Bytes of one batch.
    pub send: usize,
    /// Bytes of answers that wait to be read.
    pub receive: usize,
}

impl Default for Buffers {
    /// Room for a batch of a million elements.
    fn default() -> Self {
        Self { send: 256 << 20, receive: 64 << 20 }
    }
}

/// Why a question to the kernel has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Sending or receiving failed.
    #[error("the netlink socket failed")]
    Io(#[from] io::Error),
    /// The kernel refused.
    #[error("the kernel refused to answer")]
    Refused(#[source] io::Error),
    /// The answer could not be read.
    #[error("the kernel's answer could not be read")]
    Decode(#[from] DecodeError),
    /// Every attempt was overtaken by a commit.
    #[error("commits of others overtook every attempt to read")]
    Overtaken,
    /// The kernel sent less than it should.
    #[error("the kernel's answer is incomplete")]
    Incomplete,
}

/// A netlink socket for nf_tables.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    seq: u32,
    buffer: Vec<u8>,
    send_limit: usize,
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace, with room for large batches if the
    /// process may force it.
    pub fn open() -> io::Result<Self> {
        Self::open_with(Buffers::default())
    }

    /// Opens a socket with these buffers, or as near to them as the process may go.
    pub fn open_with(buffers: Buffers) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(netlink::NETFILTER))?;
        rustix::net::bind(&fd, &netlink::SocketAddrNetlink::new(0, 0))?;
        set_option(&fd, libc::NETLINK_EXT_ACK)?;
        set_option(&fd, libc::NETLINK_CAP_ACK)?;
        // Only the initial user namespace's administrator may force; others stay below a system limit.
        if sockopt::set_socket_send_buffer_size_force(&fd, buffers.send).is_err() {
            sockopt::set_socket_send_buffer_size(&fd, buffers.send)?;
        }
        if sockopt::set_socket_recv_buffer_size_force(&fd, buffers.receive).is_err() {
            sockopt::set_socket_recv_buffer_size(&fd, buffers.receive)?;
        }
        let send_limit = sockopt::socket_send_buffer_size(&fd)?;
        Ok(Self { fd, seq: 0, buffer: vec![0; READ], send_limit })
    }

    /// The longest batch, about, that one send takes.
    pub fn send_limit(&self) -> usize {
        self.send_limit
    }

    /// The socket's address: the owner that the kernel notes in an owned table.
    pub fn port(&self) -> io::Result<u32> {
        let address = rustix::net::getsockname(&self.fd)?;
        let address = netlink::SocketAddrNetlink::try_from(address)?;
        Ok(address.pid())
    }

    /// The generation id: it moves with every commit of anyone in this network namespace.
    pub fn generation(&mut self) -> Result<u32, RequestError> {
        use crate::message::{GET_GENERATION, NEW_GENERATION};
        let mut found = None;
        self.ask(
            GET_GENERATION,
            0,
            |_| (),
            |message| {
                if message.kind == NEW_GENERATION {
                    let [_, id] = crate::wire::table::<2>(message.nfnetlink()?.1)?;
                    found = Some(crate::wire::be_u32(crate::wire::expect(id, "a generation id")?, "a generation id")?);
                }
                Ok(())
            },
        )?;
        found.ok_or(RequestError::Incomplete)
    }

    /// Sends `bytes` in one piece, after forgetting answers that nobody read.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        while self.receive(|_| ())?.is_some() {}
        let sent = rustix::net::send(&self.fd, bytes, SendFlags::empty())?;
        if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Hands the next waiting answers to `read`; none if there are none. `Err` with `ENOBUFS` says that
    /// some were lost.
    pub(crate) fn receive<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> io::Result<Option<T>> {
        loop {
            match rustix::net::recv(&self.fd, &mut self.buffer[..], RecvFlags::TRUNC) {
                Ok((len, whole)) if len < whole => return Err(io::ErrorKind::InvalidData.into()),
                Ok((len, _)) => return Ok(Some(read(&self.buffer[..len]))),
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => (),
                Err(other) => return Err(other.into()),
            }
        }
    }

    /// Asks one question outside of a batch and hands each message of the answer to `each`.
    pub(crate) fn ask(
        &mut self,
        kind: u16,
        family: u8,
        body: impl FnOnce(&mut Writer),
        each: impl FnMut(&Message<'_>) -> Result<(), DecodeError>,
    ) -> Result<(), RequestError> {
        let request = self.request(kind, REQUEST | ACK, family, body)?;
        self.answer(request, each).map(drop)
    }

    /// Asks for all objects of a kind and hands each to `each`; `begin` comes before each attempt, of
    /// which there is more than one if commits overtake.
    pub(crate) fn dump<S>(
        &mut self,
        kind: u16,
        family: u8,
        body: impl Fn(&mut Writer),
        begin: impl Fn() -> S,
        mut each: impl FnMut(&mut S, &Message<'_>) -> Result<(), DecodeError>,
    ) -> Result<S, RequestError> {
        for _ in 0..DUMP_TRIES {
            let mut state = begin();
            let request = self.request(kind, REQUEST | DUMP, family, &body)?;
            if !self.answer(request, |message| each(&mut state, message))? {
                return Ok(state);
            }
        }
        Err(RequestError::Overtaken)
    }

    fn request(&mut self, kind: u16, flags: u16, family: u8, body: impl FnOnce(&mut Writer)) -> io::Result<u32> {
        self.seq = self.seq.wrapping_add(1);
        let mut writer = Writer::new();
        writer.message(Header { kind, flags, seq: self.seq, family, resource: 0 }, body);
        self.send(writer.as_bytes())?;
        Ok(self.seq)
    }

    /// Reads up to the end of the answer; whether a commit overtook it.
    fn answer(
        &mut self,
        request: u32,
        mut each: impl FnMut(&Message<'_>) -> Result<(), DecodeError>,
    ) -> Result<bool, RequestError> {
        let mut overtaken = false;
        loop {
            let read = self.receive(|bytes| {
                for message in Messages::new(bytes) {
                    let message = message?;
                    if message.seq != request {
                        continue;
                    }
                    overtaken |= message.flags & DUMP_INTR != 0;
                    if matches!(message.kind, NLMSG_DONE | NLMSG_ERROR) {
                        return refusal(&message).map(|()| true);
                    }
                    // What a commit overtook is read again, so it may be as torn as it likes.
                    match each(&message) {
                        Err(error) if !overtaken => return Err(error.into()),
                        _ => (),
                    }
                }
                Ok::<_, RequestError>(false)
            });
            match read {
                Ok(Some(done)) => {
                    if done? {
                        return Ok(overtaken);
                    }
                }
                Ok(None) => return Err(RequestError::Incomplete),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The error in an end-of-dump or acknowledgement.
fn refusal(message: &Message<'_>) -> Result<(), RequestError> {
    match message.body.first_chunk::<4>().map(|errno| i32::from_ne_bytes(*errno)) {
        None | Some(0) => Ok(()),
        Some(errno) => Err(RequestError::Refused(io::Error::from_raw_os_error(errno.wrapping_neg()))),
    }
}

/// Switches on an option of level `SOL_NETLINK`.
fn set_option(fd: &impl AsFd, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open for the length of the call, and the pointer and length describe
    // `on`, which the kernel only reads.
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
