//! A packet on its way, and what the kernel notes about its headers.
//!
//! Source: `nft_set_pktinfo_ipv4`, `nft_set_pktinfo_ipv6`, `ipv6_find_hdr`.

use super::extension;

/// IPv4's number among the netfilter families.
pub(super) const IPV4: u8 = 2;
/// IPv6's number among the netfilter families.
pub(super) const IPV6: u8 = 10;

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Interface {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
}

impl Interface {
    /// An interface.
    pub fn new(index: u32, name: impl Into<String>) -> Self {
        Self { index, name: name.into() }
    }
}

/// The connection that a packet belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// One bit of [`ct_state`](crate::expr::ct_state).
    pub state: u32,
    /// Bits of [`ct_status`](crate::expr::ct_status).
    pub status: u32,
    /// The connection's mark.
    pub mark: u32,
    /// Whether the packet goes from the answering to the asking side.
    pub reply: bool,
}

impl Connection {
    /// A connection that this packet begins.
    pub const fn new() -> Self {
        Self { state: crate::expr::ct_state::NEW, status: 0, mark: 0, reply: false }
    }
}

impl Default for Connection {
    fn default() -> Self {
        Self::new()
    }
}

/// What conntrack has attached to a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tracking {
    /// Nothing: conntrack is off, has not come yet, or took the packet for invalid.
    #[default]
    None,
    /// The note that it shall not be tracked.
    Untracked,
    /// A connection.
    Tracked(Connection),
}

/// A packet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Packet {
    /// Its bytes from the network header on. [`PacketSpec`](super::PacketSpec) makes them.
    pub bytes: Vec<u8>,
    /// The interface it came in by; none for what the host itself sends.
    pub iif: Option<Interface>,
    /// The interface it goes out by; not seen by the prerouting and input hooks.
    pub oif: Option<Interface>,
    /// Its mark.
    pub mark: u32,
    /// Its priority.
    pub priority: u32,
    /// What conntrack has attached.
    pub ct: Tracking,
    /// What conntrack will attach when it comes (at prerouting and output, priority -200), if nothing
    /// is attached by then.
    pub conntrack: Tracking,
    /// What of all this is open, where the packet stands for many; none for one packet of which everything is known.
    pub open: Option<OpenBits>,
}

/// What a packet that stands for many leaves open. Its length, what follows its bytes, IPv4 options and IPv6 extension headers
/// are always open then. A condition that depends on it is an [`InterpError::Open`](super::InterpError::Open).
///
/// Other programs set marks and priorities between the chains of a table: at the beginning of each base chain both are open.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenBits {
    /// The open bits of the packet's bytes, one byte for each.
    pub bytes: Vec<u8>,
    /// The open bits of its mark.
    pub mark: u32,
    /// The open bits of its priority.
    pub priority: u32,
    /// The open bits of its connection's mark.
    pub ct_mark: u32,
    /// The open bits of its connection's status.
    pub ct_status: u32,
    /// Whether the direction in its connection is open.
    pub ct_direction: bool,
    /// Whether the index of the interface that it came in by is.
    pub iif: bool,
    /// Whether the index of the interface that it goes out by is.
    pub oif: bool,
}

impl Packet {
    /// A packet with these bytes, of no interface, mark or connection.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), ..Self::default() }
    }
}

/// What the kernel notes about the headers before it runs a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Info {
    /// IPv4 or IPv6.
    pub(super) family: u8,
    /// The protocol; none if the headers could not be read.
    pub(super) protocol: Option<u8>,
    /// Where the transport header begins. Of a non-first fragment of an IPv6 packet, 0.
    pub(super) transport: usize,
    /// The fragment offset; 0 for what is not a non-first fragment.
    pub(super) fragment: u16,
}

impl Info {
    /// Reads the headers; none if they are not even IP.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        match bytes.first()? >> 4 {
            4 => {
                let fixed = bytes.first_chunk::<20>()?;
                Some(Self {
                    family: IPV4,
                    protocol: Some(fixed[9]),
                    transport: usize::from(fixed[0] & 0xf) * 4,
                    fragment: u16::from_be_bytes([fixed[6], fixed[7]]) & 0x1fff,
                })
            }
            6 => {
                bytes.first_chunk::<40>()?;
                let unknown = Self { family: IPV6, protocol: None, transport: 0, fragment: 0 };
                Some(extension::last(bytes).map_or(unknown, |last| Self {
                    family: IPV6,
                    protocol: Some(last.protocol),
                    transport: last.offset,
                    fragment: last.fragment,
                }))
            }
            _ => None,
        }
    }
}
