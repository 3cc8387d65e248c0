//! Decodes netlink messages about links and addresses.

use std::net::IpAddr;

use tortie_netlink::wire::{Attrs, Message, address, host_u32, lossy_text};

/// Length of `struct ifinfomsg`.
pub(crate) const IFINFO: usize = 16;
/// Length of `struct ifaddrmsg`.
pub(crate) const IFADDR: usize = 8;

const NEW_LINK: u16 = libc::RTM_NEWLINK;
const DEL_LINK: u16 = libc::RTM_DELLINK;
const NEW_ADDRESS: u16 = libc::RTM_NEWADDR;
const DEL_ADDRESS: u16 = libc::RTM_DELADDR;

/// An address of an interface, by what tells it apart from the interface's others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AssignedAddress {
    /// The interface's own address.
    pub(crate) local: IpAddr,
    /// The other end's, or again its own.
    pub(crate) peer: IpAddr,
    /// How much of it is the net.
    pub(crate) prefix: u8,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LinkMessage {
    /// A link is there, so named and with this MTU (if the message says), with these flags.
    Link { index: u32, name: Option<String>, flags: u32, mtu: Option<u32> },
    /// A link is gone.
    NoLink { index: u32 },
    /// An address is there.
    Address { index: u32, address: AssignedAddress },
    /// An address is gone.
    NoAddress { index: u32, address: AssignedAddress },
}

/// Reads a message; none if it is about something else, or is too short to be anything.
pub(crate) fn read(message: &Message<'_>) -> Option<LinkMessage> {
    match message.kind {
        NEW_LINK | DEL_LINK => {
            let (index, flags, attrs) = link(message)?;
            if message.kind == DEL_LINK {
                return Some(LinkMessage::NoLink { index });
            }
            let name = attrs.clone().find(libc::IFLA_IFNAME).map(lossy_text);
            Some(LinkMessage::Link { index, name, flags, mtu: attrs.find(libc::IFLA_MTU).and_then(host_u32) })
        }
        NEW_ADDRESS | DEL_ADDRESS => {
            let (&[_, prefix, _, _, i0, i1, i2, i3], rest) = message.body.split_first_chunk::<IFADDR>()?;
            let index = u32::from_ne_bytes([i0, i1, i2, i3]);
            let peer = Attrs::new(rest).find(libc::IFA_ADDRESS).and_then(address);
            // On a point-to-point link the two differ; IPv6 gives the local one only then.
            let local = Attrs::new(rest).find(libc::IFA_LOCAL).and_then(address).or(peer)?;
            let address = AssignedAddress { local, peer: peer.unwrap_or(local), prefix };
            Some(match message.kind {
                NEW_ADDRESS => LinkMessage::Address { index, address },
                _ => LinkMessage::NoAddress { index, address },
            })
        }
        _ => None,
    }
}

/// The index, flags and attributes of a message about a link. A bridge announces its ports by messages that look the
/// same, a port that leaves as a deleted link; those are none.
pub(crate) fn link<'a>(message: &Message<'a>) -> Option<(u32, u32, Attrs<'a>)> {
    let (&[family, _, _, _, i0, i1, i2, i3, f0, f1, f2, f3, ..], rest) = message.body.split_first_chunk::<IFINFO>()?;
    let of_link = i32::from(family) == libc::AF_UNSPEC;
    of_link.then(|| (u32::from_ne_bytes([i0, i1, i2, i3]), u32::from_ne_bytes([f0, f1, f2, f3]), Attrs::new(rest)))
}
