//! Reading: borrowed views, every length checked.

use super::{ATTR_HEADER, NFGEN_HEADER, NLMSG_HEADER, padded};

/// `NLA_TYPE_MASK`: the type without the nested and byte-order flags.
const TYPE_MASK: u16 = 0x3fff;

/// Why bytes could not be read as what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A header or length points outside the bytes there are.
    #[error("{0} is cut short")]
    Truncated(&'static str),
    /// An attribute that the object needs is not there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// An attribute has the wrong number of bytes.
    #[error("{what} has {len} bytes")]
    Length {
        /// What was being read.
        what: &'static str,
        /// The number of bytes found.
        len: usize,
    },
    /// A number that this crate has no meaning for.
    #[error("{what} has the unknown value {value}")]
    Unknown {
        /// What was being read.
        what: &'static str,
        /// The value found.
        value: u64,
    },
    /// A string that is not UTF-8.
    #[error("{0} is not UTF-8")]
    Text(&'static str),
}

/// One message of a buffer that the kernel filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// The message type, subsystem included.
    pub kind: u16,
    /// `NLM_F_*`.
    pub flags: u16,
    /// The sequence number of the request this answers.
    pub seq: u32,
    /// The port id of the socket it is for.
    pub port: u32,
    /// Everything after the netlink header.
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// The nfnetlink family byte and the attributes after the nfnetlink header.
    pub fn nfnetlink(&self) -> Result<(u8, Attrs<'a>), DecodeError> {
        let rest = self.body.get(NFGEN_HEADER..).ok_or(DecodeError::Truncated("the nfnetlink header"))?;
        Ok((self.body[0], Attrs::new(rest)))
    }
}

/// The messages in a buffer, in order. After an error there are no more.
#[derive(Debug, Clone)]
pub struct Messages<'a>(&'a [u8]);

impl<'a> Messages<'a> {
    /// Reads `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = std::mem::take(&mut self.0);
        if bytes.is_empty() {
            return None;
        }
        let Some((header, _)) = bytes.split_first_chunk::<NLMSG_HEADER>() else {
            return Some(Err(DecodeError::Truncated("a netlink header")));
        };
        let [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, p0, p1, p2, p3] = *header;
        let len = u32::from_ne_bytes([l0, l1, l2, l3]) as usize;
        let Some(body) = bytes.get(NLMSG_HEADER..len) else {
            return Some(Err(DecodeError::Truncated("a netlink message")));
        };
        self.0 = bytes.get(padded(len)..).unwrap_or_default();
        Some(Ok(Message {
            kind: u16::from_ne_bytes([k0, k1]),
            flags: u16::from_ne_bytes([f0, f1]),
            seq: u32::from_ne_bytes([s0, s1, s2, s3]),
            port: u32::from_ne_bytes([p0, p1, p2, p3]),
            body,
        }))
    }
}

/// One attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attr<'a> {
    /// The type, without its flags.
    pub kind: u16,
    /// The payload, without padding.
    pub payload: &'a [u8],
    /// Where the attribute's header stands in the row it was read from.
    pub offset: usize,
}

/// A row of attributes, in order. After an error there are no more.
#[derive(Debug, Clone)]
pub struct Attrs<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Attrs<'a> {
    /// Reads `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, offset: 0 }
    }

    /// The payload of the first readable attribute of this kind.
    pub fn find(self, kind: u16) -> Option<&'a [u8]> {
        self.flatten().find(|attr| attr.kind == kind).map(|attr| attr.payload)
    }
}

impl<'a> Iterator for Attrs<'a> {
    type Item = Result<Attr<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = std::mem::take(&mut self.rest);
        if bytes.is_empty() {
            return None;
        }
        let Some((&[l0, l1, k0, k1], _)) = bytes.split_first_chunk::<ATTR_HEADER>() else {
            return Some(Err(DecodeError::Truncated("an attribute header")));
        };
        let len = u16::from_ne_bytes([l0, l1]) as usize;
        let Some(payload) = bytes.get(ATTR_HEADER..len) else {
            return Some(Err(DecodeError::Truncated("an attribute")));
        };
        let offset = self.offset;
        self.rest = bytes.get(padded(len)..).unwrap_or_default();
        self.offset += padded(len);
        Some(Ok(Attr { kind: u16::from_ne_bytes([k0, k1]) & TYPE_MASK, payload, offset }))
    }
}

/// The payloads of a row by attribute type; types of `N` and above are passed over, as the kernel's
/// future attributes have to be. Of two with one type the last counts, as in the kernel.
pub fn table<const N: usize>(attrs: Attrs<'_>) -> Result<[Option<&[u8]>; N], DecodeError> {
    let mut found = [None; N];
    for attr in attrs {
        let attr = attr?;
        if let Some(slot) = found.get_mut(attr.kind as usize) {
            *slot = Some(attr.payload);
        }
    }
    Ok(found)
}
