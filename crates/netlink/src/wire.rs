//! The byte format below everything: netlink messages and their attributes.
//!
//! A netlink message is a 16-byte header and a body; nfnetlink puts four more bytes (family, version,
//! resource id) before a row of attributes. An attribute is a 4-byte header (length and type, host
//! order) and a payload padded to four bytes; a nested attribute's payload is again a row of
//! attributes. nfnetlink's integers inside attributes are big-endian, routing's are in host order.
//!
//! [`Writer`] makes messages, [`Messages`] and [`Attrs`] take them apart. Reading is bounds-checked
//! and never panics, whatever the bytes: what the kernel sent is trusted no more than a file.
//!
//! Source: `linux/netlink.h`, `linux/netfilter/nfnetlink.h`.

mod read;
mod value;
mod write;

pub use read::{Attr, Attrs, DecodeError, Message, Messages, table};
pub use value::{address, be_u32, be_u64, expect, host_u32, lossy_text, text};
pub use write::{Header, Writer};

/// Length of `struct nlmsghdr`.
pub const NLMSG_HEADER: usize = 16;
/// Length of `struct nfgenmsg`.
pub const NFGEN_HEADER: usize = 4;
/// Length of `struct nlattr`.
pub const ATTR_HEADER: usize = 4;
/// The longest attribute, header included: the length field has 16 bits.
pub const ATTR_MAX: usize = u16::MAX as usize;

/// `NLM_F_REQUEST`: a message to the kernel.
pub const REQUEST: u16 = 0x1;
/// `NLM_F_ACK`: answer also if there is no error.
pub const ACK: u16 = 0x4;
/// `NLM_F_DUMP_INTR`: a commit overtook this dump; it has to be read again.
pub const DUMP_INTR: u16 = 0x10;
/// `NLM_F_DUMP`: answer with every object.
pub const DUMP: u16 = 0x300;
/// `NLM_F_REPLACE`: replace an existing object.
pub const REPLACE: u16 = 0x100;
/// `NLM_F_EXCL`: fail if the object exists.
pub const EXCL: u16 = 0x200;
/// `NLM_F_CREATE`: make the object.
pub const CREATE: u16 = 0x400;
/// `NLM_F_APPEND`: add at the end.
pub const APPEND: u16 = 0x800;
/// `NLM_F_CAPPED`: an error answer that leaves out the message it is about.
pub const CAPPED: u16 = 0x100;
/// `NLM_F_ACK_TLVS`: an answer with extended-ack attributes.
pub const ACK_TLVS: u16 = 0x200;

/// `NLMSG_ERROR`: an error, or with error 0 an acknowledgement.
pub const NLMSG_ERROR: u16 = 2;
/// `NLMSG_DONE`: the end of a dump.
pub const NLMSG_DONE: u16 = 3;

/// The length that an attribute or a message of `len` bytes takes up.
pub const fn padded(len: usize) -> usize {
    (len + 3) & !3
}

#[cfg(test)]
mod tests;
