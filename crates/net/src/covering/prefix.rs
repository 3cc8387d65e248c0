//! Nets as small sortable keys: the address, then the prefix length.
//!
//! In this order a net comes directly before all that lies in it, and what lies in it is the range of keys
//! from the net itself to [`Prefix::last`].

use std::fmt::Debug;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A net of one family as a key.
pub(super) trait Prefix: Copy + Ord + Debug {
    /// Whether `other` lies in this net or is it.
    fn covers(self, other: Self) -> bool;
    /// The greatest key that lies in this net: its highest address, alone.
    fn last(self) -> Self;
    /// The net.
    fn net(self) -> IpNet;
}

/// An IPv4 net: 32 bits of address above 8 bits of length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct V4(u64);

/// An IPv6 net: 16 bytes of address, then the length. Bytes, because a `u128` would be padded to 32 of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct V6([u8; 17]);

impl From<Ipv4Net> for V4 {
    fn from(net: Ipv4Net) -> Self {
        V4(u64::from(net.network().to_bits()) << 8 | u64::from(net.prefix_len()))
    }
}

impl V4 {
    fn length(self) -> u32 {
        (self.0 & 0xff) as u32
    }

    fn address(self) -> u32 {
        (self.0 >> 8) as u32
    }
}

impl Prefix for V4 {
    fn covers(self, other: Self) -> bool {
        // Zero bits to compare would be a shift by the whole width.
        let beyond = 32 - self.length();
        let differ = self.address() ^ other.address();
        self.length() <= other.length() && differ.checked_shr(beyond).unwrap_or(0) == 0
    }

    fn last(self) -> Self {
        let host = u32::MAX.checked_shr(self.length()).unwrap_or(0);
        V4(u64::from(self.address() | host) << 8 | 32)
    }

    fn net(self) -> IpNet {
        let address = Ipv4Addr::from_bits(self.address());
        Ipv4Net::new_assert(address, self.0.to_le_bytes()[0]).into()
    }
}

impl From<Ipv6Net> for V6 {
    fn from(net: Ipv6Net) -> Self {
        V6::new(net.network().to_bits(), net.prefix_len())
    }
}

impl V6 {
    fn new(address: u128, length: u8) -> Self {
        let mut key = [length; 17];
        key[..16].copy_from_slice(&address.to_be_bytes());
        V6(key)
    }

    fn length(self) -> u8 {
        self.0[16]
    }

    fn address(self) -> u128 {
        let [address @ .., _] = self.0;
        u128::from_be_bytes(address)
    }
}

impl Prefix for V6 {
    fn covers(self, other: Self) -> bool {
        let beyond = 128 - u32::from(self.length());
        let differ = self.address() ^ other.address();
        self.length() <= other.length() && differ.checked_shr(beyond).unwrap_or(0) == 0
    }

    fn last(self) -> Self {
        let host = u128::MAX.checked_shr(u32::from(self.length())).unwrap_or(0);
        V6::new(self.address() | host, 128)
    }

    fn net(self) -> IpNet {
        Ipv6Net::new_assert(Ipv6Addr::from_bits(self.address()), self.length()).into()
    }
}
