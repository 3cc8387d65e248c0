//! Reads the addresses, protocol and ports of a denied packet from its first bytes.

use std::net::IpAddr;

/// How many extension headers are skipped at most.
const HEADERS: usize = 8;
const TCP: u8 = 6;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
/// TCP, UDP, DCCP, SCTP, UDPLite.
const PORTED: [u8; 5] = [TCP, 17, 33, 132, 136];

/// The addresses, protocol and ports of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// The protocol, after IPv6's extension headers.
    pub(crate) protocol: u8,
    /// The source and the destination port.
    pub(crate) ports: Option<(u16, u16)>,
    /// The type and the code of ICMP or ICMPv6.
    pub(crate) icmp: Option<(u8, u8)>,
    /// Whether it is a non-first fragment, which has no ports.
    pub(crate) is_non_first_fragment: bool,
}

impl Packet {
    /// Reads a packet; none if the bytes are not an IP packet.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (mut packet, rest) = match bytes.first()? >> 4 {
            4 => ipv4(bytes)?,
            6 => ipv6(bytes)?,
            _ => return None,
        };
        if !packet.is_non_first_fragment {
            if PORTED.contains(&packet.protocol) {
                packet.ports = Some((number(rest, 0)?, number(rest, 2)?)).filter(|_| rest.len() >= 4);
            } else if matches!(packet.protocol, ICMP | ICMPV6) {
                packet.icmp = rest.first_chunk().map(|[kind, code]| (*kind, *code));
            }
        }
        Some(packet)
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|two| u16::from_be_bytes(*two))
}

fn ipv4(bytes: &[u8]) -> Option<(Packet, &[u8])> {
    let header = usize::from(bytes[0] & 0xf) * 4;
    let address = |at: usize| bytes.get(at..)?.first_chunk::<4>().map(|four| IpAddr::from(*four));
    let packet = Packet {
        source: address(12)?,
        destination: address(16)?,
        protocol: *bytes.get(9)?,
        ports: None,
        icmp: None,
        is_non_first_fragment: number(bytes, 6)? & 0x1fff != 0,
    };
    Some((packet, bytes.get(header..).unwrap_or_default()))
}

fn ipv6(bytes: &[u8]) -> Option<(Packet, &[u8])> {
    let address = |at: usize| bytes.get(at..)?.first_chunk::<16>().map(|all| IpAddr::from(*all));
    let mut packet = Packet {
        source: address(8)?,
        destination: address(24)?,
        protocol: *bytes.get(6)?,
        ports: None,
        icmp: None,
        is_non_first_fragment: false,
    };
    let mut rest = bytes.get(40..).unwrap_or_default();
    for _ in 0..HEADERS {
        let length = match packet.protocol {
            // Hop-by-hop options, routing, destination options: in units of eight bytes after the first.
            0 | 43 | 60 => rest.get(1).map(|units| (usize::from(*units) + 1) * 8),
            // Authentication: in units of four after the first two.
            51 => rest.get(1).map(|units| (usize::from(*units) + 2) * 4),
            44 => {
                packet.is_non_first_fragment = number(rest, 2).is_some_and(|offset| offset & 0xfff8 != 0);
                Some(8)
            }
            _ => break,
        };
        let (Some(length), Some(next)) = (length, rest.first()) else { break };
        packet.protocol = *next;
        rest = rest.get(length..).unwrap_or_default();
        if packet.is_non_first_fragment {
            break;
        }
    }
    Some((packet, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(protocol: u8, fragment: u16, rest: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        bytes[6..8].copy_from_slice(&fragment.to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    fn v6(next: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 40];
        (bytes[0], bytes[6], bytes[23], bytes[39]) = (0x60, next, 1, 2);
        bytes.extend(rest);
        bytes
    }

    #[test]
    fn ports_and_icmp_types_are_read_after_options_and_extension_headers() {
        let tcp = Packet::read(&v4(6, 0, &[0x30, 0x39, 0, 22])).unwrap();
        assert_eq!((tcp.protocol, tcp.ports, tcp.icmp), (6, Some((12345, 22)), None));
        let mut options = v4(17, 0x4000, &[0; 4]);
        options[0] = 0x46;
        options.extend([0, 53, 0, 54]);
        assert_eq!(Packet::read(&options).unwrap().ports, Some((53, 54)));
        let echo = Packet::read(&v6(0, &[58, 0, 0, 0, 0, 0, 0, 0, 128, 0])).unwrap();
        assert_eq!((echo.protocol, echo.icmp), (58, Some((128, 0))));
        let first = Packet::read(&v6(44, &[17, 0, 0, 1, 0, 0, 0, 9, 0, 53, 0, 54])).unwrap();
        assert_eq!((first.ports, first.is_non_first_fragment), (Some((53, 54)), false));
    }

    #[test]
    fn a_non_first_fragment_has_no_ports() {
        let four = Packet::read(&v4(17, 0x2001, &[0, 53, 0, 54])).unwrap();
        assert_eq!((four.ports, four.is_non_first_fragment), (None, true));
        let six = Packet::read(&v6(44, &[17, 0, 0, 9, 0, 0, 0, 9, 0, 53, 0, 54])).unwrap();
        assert_eq!((six.protocol, six.ports, six.is_non_first_fragment), (17, None, true));
    }

    #[test]
    fn no_prefix_of_a_packet_panics() {
        let packets = [v4(6, 0, &[0, 1, 0, 2]), v6(0, &[44, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2])];
        for packet in packets {
            for length in 0..packet.len() {
                if let Some(read) = Packet::read(&packet[..length]) {
                    assert_eq!(read.ports, None, "{length} bytes");
                }
            }
        }
        assert_eq!(Packet::read(&[0; 40]), None);
    }
}
