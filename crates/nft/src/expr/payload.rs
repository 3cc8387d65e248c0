//! `payload`: loads bytes of the packet.
//!
//! The kernel answers a transport load only if it knows the transport header; a non-first fragment has
//! none, and yet a short aligned load from one is answered with whatever bytes are at that
//! offset. Rules that read ports guard against non-first fragments explicitly.
//!
//! Source: `enum nft_payload_attributes`; writing into packets (`NFTA_PAYLOAD_SREG`) is not modelled.

use super::Coded;
use crate::numbers::numbers;
use crate::register::Reg;
use crate::wire::{Attrs, DecodeError, Writer, be_u32, expect, table};

numbers! {
    /// Where a payload offset is counted from.
    Base, "a payload base" {
        /// The link-layer header.
        Link = 0,
        /// The network header.
        Network = 1,
        /// The transport header.
        Transport = 2,
    }
}

/// Loads `len` bytes at `offset` from `base` into `dreg`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Payload {
    /// Where the offset is counted from.
    pub base: Base,
    /// The first byte.
    pub offset: u32,
    /// How many bytes.
    pub len: u32,
    /// Where they go; a part of a word is filled up with zeros.
    pub dreg: Reg,
}

impl Payload {
    /// Loads from the network header.
    pub const fn network(offset: u32, len: u32, dreg: Reg) -> Self {
        Self { base: Base::Network, offset, len, dreg }
    }

    /// Loads from the transport header.
    pub const fn transport(offset: u32, len: u32, dreg: Reg) -> Self {
        Self { base: Base::Transport, offset, len, dreg }
    }

    /// The IPv4 source address.
    pub const fn ipv4_source(dreg: Reg) -> Self {
        Self::network(12, 4, dreg)
    }

    /// The IPv4 destination address.
    pub const fn ipv4_destination(dreg: Reg) -> Self {
        Self::network(16, 4, dreg)
    }

    /// The IPv6 source address.
    pub const fn ipv6_source(dreg: Reg) -> Self {
        Self::network(8, 16, dreg)
    }

    /// The IPv6 destination address.
    pub const fn ipv6_destination(dreg: Reg) -> Self {
        Self::network(24, 16, dreg)
    }

    /// IPv4's flags and fragment offset; the offset is the low 13 bits.
    pub const fn ipv4_fragment(dreg: Reg) -> Self {
        Self::network(6, 2, dreg)
    }

    /// The source port of the protocols that have ports.
    pub const fn source_port(dreg: Reg) -> Self {
        Self::transport(0, 2, dreg)
    }

    /// The destination port of the protocols that have ports.
    pub const fn destination_port(dreg: Reg) -> Self {
        Self::transport(2, 2, dreg)
    }

    /// The ICMP or ICMPv6 type.
    pub const fn icmp_type(dreg: Reg) -> Self {
        Self::transport(0, 1, dreg)
    }

    /// The ICMP or ICMPv6 code.
    pub const fn icmp_code(dreg: Reg) -> Self {
        Self::transport(1, 1, dreg)
    }
}

impl Coded for Payload {
    const NAME: &'static str = "payload";

    fn encode(&self, writer: &mut Writer) {
        self.dreg.write(writer, 1);
        writer.u32(2, self.base.number());
        writer.u32(3, self.offset);
        writer.u32(4, self.len);
    }

    fn decode(attrs: Attrs<'_>) -> Result<Self, DecodeError> {
        let [_, dreg, base, offset, len, sreg] = table::<6>(attrs)?;
        if sreg.is_some() {
            return Err(DecodeError::Unknown { what: "a payload write", value: 0 });
        }
        let number = |payload, what| be_u32(expect(payload, what)?, what);
        Ok(Self {
            base: Base::from_number(number(base, "a payload base")?)?,
            offset: number(offset, "a payload offset")?,
            len: number(len, "a payload length")?,
            dreg: Reg::read(dreg, "a payload register")?,
        })
    }
}
