//! Builds the bytes of a packet from a description.
//!
//! Lengths and checksums are right, so the same bytes can be sent: the tests do.

use std::net::IpAddr;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP6: u8 = 58;
const FRAGMENT: u8 = 44;

/// What stands behind the IP header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransportHeader {
    /// A UDP datagram.
    Udp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// A TCP segment.
    Tcp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
        /// The flags byte; 2 is SYN, 16 is ACK.
        flags: u8,
    },
    /// An ICMP or ICMPv6 message, by the addresses' family.
    Icmp {
        /// Its type.
        kind: u8,
        /// Its code.
        code: u8,
        /// The four bytes behind the checksum: of an echo, identifier and sequence number.
        rest: [u8; 4],
    },
    /// Some other protocol with these bytes.
    Other {
        /// Its number.
        protocol: u8,
        /// What stands behind the IP header.
        payload: Vec<u8>,
    },
}

/// Which part of a fragmented packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment {
    /// The offset in units of eight bytes; 0 for the first.
    pub offset: u16,
    /// Whether more come.
    pub more: bool,
}

/// A description of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketSpec {
    /// Where from.
    pub source: IpAddr,
    /// Where to; of the same family.
    pub destination: IpAddr,
    /// What.
    pub transport: TransportHeader,
    /// As a fragment. A later one carries the transport's bytes as if they were data.
    pub fragment: Option<Fragment>,
    /// Time to live, or hop limit.
    pub hop_limit: u8,
    /// Bytes behind the transport header of UDP, TCP and ICMP.
    pub payload: Vec<u8>,
}

impl PacketSpec {
    /// A whole packet.
    pub const fn new(source: IpAddr, destination: IpAddr, transport: TransportHeader) -> Self {
        Self { source, destination, transport, fragment: None, hop_limit: 64, payload: Vec::new() }
    }

    /// The protocol number.
    pub const fn protocol(&self) -> u8 {
        match &self.transport {
            TransportHeader::Udp { .. } => UDP,
            TransportHeader::Tcp { .. } => TCP,
            TransportHeader::Icmp { .. } if self.destination.is_ipv6() => ICMP6,
            TransportHeader::Icmp { .. } => ICMP,
            TransportHeader::Other { protocol, .. } => *protocol,
        }
    }

    /// The bytes. None if the addresses are of different families, or it would be too long.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        let body = self.transport_bytes()?;
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let field = self.fragment.map_or(0, |part| part.offset & 0x1fff | u16::from(part.more) << 13);
                let total = u16::try_from(20 + body.len()).ok()?;
                let mut header = vec![0x45, 0];
                header.extend(total.to_be_bytes());
                header.extend([0x12, 0x34]);
                header.extend(field.to_be_bytes());
                header.extend([self.hop_limit, self.protocol(), 0, 0]);
                header.extend(source.octets());
                header.extend(destination.octets());
                let sum = checksum(&[&header]);
                header[10..12].copy_from_slice(&sum.to_be_bytes());
                header.extend(body);
                Some(header)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let extension = self.fragment.map(|part| {
                    let field = part.offset << 3 | u16::from(part.more);
                    let [high, low] = field.to_be_bytes();
                    [self.protocol(), 0, high, low, 0, 0, 0x12, 0x34]
                });
                let len = u16::try_from(body.len() + extension.map_or(0, |header| header.len())).ok()?;
                let mut header = vec![0x60, 0, 0, 0];
                header.extend(len.to_be_bytes());
                header.extend([if extension.is_some() { FRAGMENT } else { self.protocol() }, self.hop_limit]);
                header.extend(source.octets());
                header.extend(destination.octets());
                header.extend(extension.into_iter().flatten());
                header.extend(body);
                Some(header)
            }
            _ => None,
        }
    }

    /// The transport header and what follows, with its checksum.
    fn transport_bytes(&self) -> Option<Vec<u8>> {
        let (mut bytes, sum_at) = match &self.transport {
            TransportHeader::Udp { source, destination } => {
                let len = u16::try_from(8 + self.payload.len()).ok()?;
                let fields = [*source, *destination, len, 0];
                (fields.iter().flat_map(|field| field.to_be_bytes()).collect::<Vec<_>>(), Some(6))
            }
            TransportHeader::Tcp { source, destination, flags } => {
                let mut bytes = Vec::from(source.to_be_bytes());
                bytes.extend(destination.to_be_bytes());
                bytes.extend([0, 0, 0, 1, 0, 0, 0, 0, 5 << 4, *flags, 0x10, 0, 0, 0, 0, 0]);
                (bytes, Some(16))
            }
            TransportHeader::Icmp { kind, code, rest } => {
                let [a, b, c, d] = *rest;
                (vec![*kind, *code, 0, 0, a, b, c, d], Some(2))
            }
            TransportHeader::Other { payload, .. } => (payload.clone(), None),
        };
        if let Some(at) = sum_at {
            bytes.extend(&self.payload);
            let sum = self.transport_checksum(&bytes)?;
            bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        }
        Some(bytes)
    }

    fn transport_checksum(&self, bytes: &[u8]) -> Option<u16> {
        if self.protocol() == ICMP {
            return Some(checksum(&[bytes]));
        }
        let mut pseudo = Vec::new();
        for address in [self.source, self.destination] {
            match address {
                IpAddr::V4(address) => pseudo.extend(address.octets()),
                IpAddr::V6(address) => pseudo.extend(address.octets()),
            }
        }
        pseudo.extend(u32::try_from(bytes.len()).ok()?.to_be_bytes());
        pseudo.extend([0, 0, 0, self.protocol()]);
        Some(match checksum(&[&pseudo, bytes]) {
            0 if self.protocol() == UDP => 0xffff,
            sum => sum,
        })
    }
}

/// The Internet checksum of some bytes, all but the last of even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 = words.map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
