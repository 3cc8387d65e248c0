//! Packets that rules log to an nflog group, as the kernel sends them to the group's listener.
//!
//! A group has at most one listener. What is logged to a group without a listener goes nowhere, and costs the packet
//! little. The kernel sends the first bytes of the packet with the prefix of the `log` expression, the hook and the
//! interfaces.
//!
//! Source: `linux/netfilter/nfnetlink_log.h`.

use std::io;
use std::time::Duration;

use tortie_netlink::{Buffers, Protocol, Received, RequestError, Socket};

use crate::chain::Hook;
use crate::wire::{DecodeError, Message, NFGEN_HEADER, be_u32, expect, lossy_text, table};

/// `NFNL_SUBSYS_ULOG`.
const SUBSYSTEM: u16 = 4 << 8;
/// `NFULNL_MSG_PACKET`.
const PACKET: u16 = SUBSYSTEM;
/// `NFULNL_MSG_CONFIG`.
const CONFIG: u16 = SUBSYSTEM | 1;
/// `NFULA_CFG_CMD`, with `NFULNL_CFG_CMD_BIND`.
const COMMAND: (u16, u8) = (1, 1);
/// `NFULA_CFG_MODE`: how many bytes, and `NFULNL_COPY_PACKET`.
const MODE: (u16, u8) = (2, 2);
/// `NFULA_CFG_QTHRESH`: after how many packets the kernel sends.
const THRESHOLD: u16 = 5;

/// The listener of an nflog group.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
}

/// A packet that was logged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logged {
    /// The prefix of the `log` expression.
    pub prefix: String,
    /// The hook at which it was logged.
    pub hook: Option<Hook>,
    /// The index of the interface by which it came in; 0 for none.
    pub in_index: u32,
    /// The index of the interface by which it was to leave; 0 for none.
    pub out_index: u32,
    /// Its first bytes, from the network header on.
    pub bytes: Vec<u8>,
}

impl Listener {
    /// Listens to a group in the calling thread's network namespace. The kernel sends at most `bytes` of each packet,
    /// each at once, and drops what is logged while `room` bytes wait to be read. Fails with
    /// [`io::ErrorKind::ResourceBusy`] where the group has another listener.
    pub fn open(group: u16, bytes: u32, room: usize) -> Result<Self, RequestError> {
        let buffers = Buffers { send: 1 << 16, receive: room };
        let mut socket = Socket::open(Protocol::Netfilter, 0, buffers).map_err(RequestError::Io)?;
        let [high, low] = group.to_be_bytes();
        let header: [u8; NFGEN_HEADER] = [0, 0, high, low];
        let what = "listen to an nflog group";
        socket.request(what, CONFIG, 0, &header, |writer| writer.bytes(COMMAND.0, &[COMMAND.1]))?;
        let [a, b, c, d] = bytes.to_be_bytes();
        socket.request(what, CONFIG, 0, &header, |writer| {
            writer.bytes(MODE.0, &[a, b, c, d, MODE.1, 0]);
            writer.u32(THRESHOLD, 1);
        })?;
        Ok(Self { socket })
    }

    /// Whether an error of [`Listener::open`] says that the group has another listener.
    pub fn is_taken(error: &RequestError) -> bool {
        matches!(error, RequestError::Refused { source, .. } if source.kind() == io::ErrorKind::ResourceBusy)
    }

    /// Waits for packets, for at most this long, and hands those that wait to `each`. Whether some were lost because
    /// nobody read them in time.
    pub fn read(&mut self, most: Duration, mut each: impl FnMut(Logged)) -> Result<bool, RequestError> {
        if !self.socket.wait(most).map_err(RequestError::Io)? {
            return Ok(false);
        }
        let mut unreadable = None;
        let received = self.socket.receive(|message| {
            if message.kind == PACKET {
                match logged(message) {
                    Ok(packet) => each(packet),
                    Err(error) => unreadable = Some(error),
                }
            }
        })?;
        match unreadable {
            Some(error) => Err(error.into()),
            None => Ok(received == Received::Lost),
        }
    }
}

fn logged(message: &Message<'_>) -> Result<Logged, DecodeError> {
    let [_, header, _, _, in_index, out_index, _, _, _, payload, prefix] = table::<11>(message.nfnetlink()?.1)?;
    // `struct nfulnl_msg_packet_hdr`: the protocol, then the hook.
    let hook = expect(header, "a packet header")?.get(2).copied();
    let index = |index: Option<&[u8]>| index.map_or(Ok(0), |index| be_u32(index, "an interface"));
    Ok(Logged {
        prefix: prefix.map(lossy_text).unwrap_or_default(),
        hook: hook.and_then(hook_of),
        in_index: index(in_index)?,
        out_index: index(out_index)?,
        bytes: payload.unwrap_or_default().to_vec(),
    })
}

/// A hook by its number, which is the same for IPv4 and IPv6.
fn hook_of(number: u8) -> Option<Hook> {
    [Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Output, Hook::Postrouting].get(usize::from(number)).copied()
}
