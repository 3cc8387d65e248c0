//! Static neighbours: which MAC an address of a workload has, so that nobody has to ask.

use std::net::{IpAddr, Ipv4Addr};

use tortie_netlink::wire::{Attrs, Message, Writer, address};

/// Length of `struct ndmsg`.
pub(crate) const NDMSG: usize = 12;

/// `NDA_PROTOCOL`: who made it.
const PROTOCOL: u16 = 12;
/// Our number there: the one that routes of Calico's have where the node is not set to another. It makes a neighbour
/// recognisable as ours after a restart, whatever the settings were before.
const OURS: u8 = 80;

/// A static neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Neighbour {
    /// On this interface.
    pub index: u32,
    /// This address
    pub address: Ipv4Addr,
    /// has this MAC.
    pub mac: [u8; 6],
}

impl Neighbour {
    /// The fixed part of a message.
    pub(crate) fn fixed(&self) -> [u8; NDMSG] {
        let [i0, i1, i2, i3] = self.index.to_ne_bytes();
        let [s0, s1] = libc::NUD_PERMANENT.to_ne_bytes();
        [libc::AF_INET as u8, 0, 0, 0, i0, i1, i2, i3, s0, s1, 0, libc::RTN_UNICAST]
    }

    /// Writes the attributes of a message.
    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.bytes(libc::NDA_DST, &self.address.octets());
        writer.bytes(libc::NDA_LLADDR, &self.mac);
        writer.u8(PROTOCOL, OURS);
    }
}

/// Reads a message about a neighbour; none unless it is a static one of ours.
pub(crate) fn read(message: &Message<'_>) -> Option<Neighbour> {
    let (&[_, _, _, _, i0, i1, i2, i3, s0, s1, _, _], rest) = message.body.split_first_chunk::<NDMSG>()?;
    let (mut whose, mut mac, mut there) = (0, None, None);
    for attr in Attrs::new(rest).flatten() {
        match attr.kind {
            libc::NDA_DST => there = address(attr.payload),
            libc::NDA_LLADDR => mac = attr.payload.try_into().ok(),
            PROTOCOL => whose = attr.payload.first().copied().unwrap_or_default(),
            _ => (),
        }
    }
    let Some(IpAddr::V4(address)) = there else { return None };
    let permanent = u16::from_ne_bytes([s0, s1]) & libc::NUD_PERMANENT != 0;
    (permanent && whose == OURS).then_some(Neighbour {
        index: u32::from_ne_bytes([i0, i1, i2, i3]),
        address,
        mac: mac?,
    })
}
