//! Which bits of a packet's bytes a question leaves open: it asks about the first packet of a flow, or a later one, and names
//! addresses, the protocol, ports or the type of ICMP. Lengths, identifiers, checksums, options and the like are whatever the sender
//! makes of them.
//!
//! Source: RFC 791, RFC 8200, RFC 9293, RFC 768, RFC 792.

use tortie_eval::needs_hop_limit_255;
use tortie_nft::expr::ct_status;
use tortie_nft::interp::OpenBits;
use tortie_policy::packet::{Conntrack, Packet, Transport};

const FIXED: u8 = 0;
const ANY: u8 = u8::MAX;
/// ECE and CWR, with which a sender offers to react to congestion.
const CONGESTION_FLAGS: u8 = 0xc0;

/// What the question about a packet leaves open, of the bytes that were made for it.
pub(super) fn open(packet: &Packet, bytes: &[u8]) -> OpenBits {
    let is_v4 = packet.source.is_ipv4();
    let begins = packet.conntrack == Conntrack::New;
    let mut open = if is_v4 { ipv4(packet) } else { ipv6(packet) };
    // A made-up fragment header has nothing that was asked for.
    let transport = transport(packet, begins);
    let extension = bytes.len().saturating_sub(open.len());
    if packet.transport == Transport::Opaque {
        open.resize(open.len() + extension, ANY);
    } else {
        open.extend(transport);
        open.resize(bytes.len(), ANY);
    }
    // A connection that begins was not answered or confirmed, and only a translation that was named is assumed.
    let fixed =
        ct_status::EXPECTED | ct_status::SEEN_REPLY | ct_status::ASSURED | ct_status::CONFIRMED | ct_status::DST_NAT;
    OpenBits {
        bytes: open,
        mark: u32::MAX,
        priority: u32::MAX,
        ct_mark: u32::MAX,
        ct_status: if begins { !fixed } else { u32::MAX },
        ct_direction: !begins,
        iif: false,
        oif: false,
    }
}

fn hop_limit(packet: &Packet) -> u8 {
    // Receivers ignore neighbour discovery with another one, so only this one was asked for.
    if needs_hop_limit_255(packet.protocol, packet.transport) { FIXED } else { ANY }
}

/// The 20 bytes of the header without options.
fn ipv4(packet: &Packet) -> Vec<u8> {
    let mut open = vec![ANY; 20];
    // The version, not the length of the header.
    open[0] = 0x0f;
    if packet.transport != Transport::Opaque {
        // The offset: what has ports or a type is not a later fragment.
        (open[6], open[7]) = (0xe0, FIXED);
    }
    (open[8], open[9]) = (hop_limit(packet), FIXED);
    open[12..].fill(FIXED);
    open
}

/// The 40 bytes of the header. What stands first behind it is open, since there may be extension headers.
fn ipv6(packet: &Packet) -> Vec<u8> {
    let mut open = vec![ANY; 40];
    open[0] = 0x0f;
    open[7] = hop_limit(packet);
    open[8..].fill(FIXED);
    open
}

/// The transport header, as far as anything of it is fixed.
fn transport(packet: &Packet, begins: bool) -> Vec<u8> {
    match packet.transport {
        Transport::Ports { .. } if packet.protocol == 6 => {
            let mut open = vec![ANY; 20];
            open[..4].fill(FIXED);
            if begins {
                open[13] = CONGESTION_FLAGS;
            }
            open
        }
        Transport::Ports { .. } => vec![FIXED; 4],
        // Who asks about a type alone is answered for code 0 by tortie, and other codes are asked about just as well.
        Transport::Icmp { code: 0, .. } => vec![FIXED, ANY],
        Transport::Icmp { .. } => vec![FIXED, FIXED],
        Transport::Opaque => Vec::new(),
    }
}
