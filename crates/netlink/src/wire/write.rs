//! Writing: one growing buffer, no allocation per attribute.

use std::net::IpAddr;

use super::{ATTR_HEADER, ATTR_MAX, NLMSG_HEADER, padded};

/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;

/// Where the flags of a message are.
const FLAGS_OFFSET: usize = 6;

/// What stands before a message's attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The message type, subsystem included.
    pub kind: u16,
    /// `NLM_F_*`.
    pub flags: u16,
    /// The sequence number; answers carry it.
    pub seq: u32,
    /// The nfnetlink family byte.
    pub family: u8,
    /// The nfnetlink resource id.
    pub resource: u16,
}

/// A buffer of netlink messages under construction.
///
/// A nested attribute cannot be longer than [`ATTR_MAX`]; the length would wrap silently. The writer
/// notes such an attribute instead, and [`overflowed`](Self::overflowed) says which message it was in.
#[derive(Debug, Default, Clone)]
pub struct Writer {
    bytes: Vec<u8>,
    overflow: Option<u32>,
    seq: u32,
    last: usize,
}

impl Writer {
    /// An empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a message whose attributes `body` writes.
    pub fn message(&mut self, header: Header, body: impl FnOnce(&mut Self)) {
        let [high, low] = header.resource.to_be_bytes();
        self.raw_message(header.kind, header.flags, header.seq, &[header.family, 0, high, low], body);
    }

    /// Appends a message of any netlink protocol: `fixed` is what stands between netlink's header and the attributes.
    pub fn raw_message(&mut self, kind: u16, flags: u16, seq: u32, fixed: &[u8], body: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.last = start;
        self.seq = seq;
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        self.bytes.extend_from_slice(&seq.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        debug_assert_eq!(self.bytes.len() - start, NLMSG_HEADER);
        self.bytes.extend_from_slice(fixed);
        self.bytes.resize(start + NLMSG_HEADER + padded(fixed.len()), 0);
        body(self);
        match u32::try_from(self.bytes.len() - start) {
            Ok(len) => self.bytes[start..start + 4].copy_from_slice(&len.to_ne_bytes()),
            Err(_) => self.overflow = self.overflow.or(Some(seq)),
        }
    }

    /// Gives the last message more flags.
    pub fn flag_last(&mut self, flags: u16) {
        if let Some(bytes) = self.bytes.get_mut(self.last + FLAGS_OFFSET..).and_then(<[u8]>::first_chunk_mut::<2>) {
            *bytes = (u16::from_ne_bytes(*bytes) | flags).to_ne_bytes();
        }
    }

    /// An attribute whose payload is the attributes that `body` writes.
    pub fn nest(&mut self, kind: u16, body: impl FnOnce(&mut Self)) {
        let start = self.open(kind | NESTED);
        body(self);
        self.close(start);
    }

    /// A nested attribute whose payload is already written.
    pub fn nest_raw(&mut self, kind: u16, payload: &[u8]) {
        self.bytes(kind | NESTED, payload);
    }

    /// An attribute with these bytes.
    pub fn bytes(&mut self, kind: u16, value: &[u8]) {
        let start = self.open(kind);
        self.bytes.extend_from_slice(value);
        self.close(start);
    }

    /// An address, in as many bytes as its family has.
    pub fn address(&mut self, kind: u16, value: IpAddr) {
        match value {
            IpAddr::V4(address) => self.bytes(kind, &address.octets()),
            IpAddr::V6(address) => self.bytes(kind, &address.octets()),
        }
    }

    /// A `u32` in the host's byte order.
    pub fn host_u32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    /// A string, ended by a NUL byte.
    pub fn text(&mut self, kind: u16, value: &str) {
        let start = self.open(kind);
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
        self.close(start);
    }

    /// One byte.
    pub fn u8(&mut self, kind: u16, value: u8) {
        self.bytes(kind, &[value]);
    }

    /// A big-endian `u16`.
    pub fn u16(&mut self, kind: u16, value: u16) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// A big-endian `u32`.
    pub fn u32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// A big-endian `u64`.
    pub fn u64(&mut self, kind: u16, value: u64) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// Appends the messages of another buffer.
    pub fn append(&mut self, other: &Self) {
        if !other.is_empty() {
            self.last = self.len() + other.last;
            self.seq = other.seq;
        }
        self.overflow = self.overflow.or(other.overflow);
        self.bytes.extend_from_slice(&other.bytes);
    }

    /// What has been written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// What has been written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many bytes have been written.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing has been written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The sequence number of the first message that holds a too long attribute.
    pub fn overflowed(&self) -> Option<u32> {
        self.overflow
    }

    fn open(&mut self, kind: u16) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        debug_assert_eq!(self.bytes.len() - start, ATTR_HEADER);
        start
    }

    fn close(&mut self, start: usize) {
        let len = self.bytes.len() - start;
        match u16::try_from(len) {
            Ok(short) => self.bytes[start..start + 2].copy_from_slice(&short.to_ne_bytes()),
            Err(_) => {
                debug_assert!(len > ATTR_MAX);
                self.overflow = self.overflow.or(Some(self.seq));
            }
        }
        self.bytes.resize(start + padded(len), 0);
    }
}
