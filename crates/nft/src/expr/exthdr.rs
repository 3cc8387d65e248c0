//! `exthdr`: extension headers and options.
//!
//! The fragment header (44) is found here: its offset field is the two bytes at 2, the offset itself
//! the upper 13 bits of them. A header that is not there ends the rule, or with `present` loads 0.
//!
//! Source: `enum nft_exthdr_op`, `enum nft_exthdr_attributes`; writing options is not modelled.

use super::Coded;
use crate::numbers::numbers;
use crate::register::Reg;
use crate::wire::{Attrs, DecodeError, Writer, be_u32, expect, table};

numbers! {
    /// Where to look.
    ExthdrOp, "an extension header's place" {
        /// IPv6 extension headers.
        Ipv6 = 0,
        /// TCP options.
        TcpOption = 1,
        /// IPv4 options.
        Ipv4 = 2,
        /// SCTP chunks.
        Sctp = 3,
    }
}

/// Loads `len` bytes at `offset` of the header `kind` into `dreg`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Exthdr {
    /// Where to look.
    pub op: ExthdrOp,
    /// The header's or option's number.
    pub kind: u8,
    /// The first byte in it.
    pub offset: u32,
    /// How many bytes.
    pub len: u32,
    /// Whether to load only if it is there: 1 or 0, one byte.
    pub present: bool,
    /// Where they go.
    pub dreg: Reg,
}

impl Exthdr {
    /// The fragment header's offset field, two bytes.
    pub const fn ipv6_fragment(dreg: Reg) -> Self {
        Self { op: ExthdrOp::Ipv6, kind: 44, offset: 2, len: 2, present: false, dreg }
    }
}

impl Coded for Exthdr {
    const NAME: &'static str = "exthdr";

    fn encode(&self, writer: &mut Writer) {
        self.dreg.write(writer, 1);
        writer.u8(2, self.kind);
        writer.u32(3, self.offset);
        writer.u32(4, self.len);
        if self.present {
            writer.u32(5, 1);
        }
        writer.u32(6, self.op.number());
    }

    fn decode(attrs: Attrs<'_>) -> Result<Self, DecodeError> {
        let [_, dreg, kind, offset, len, flags, op, sreg] = table::<8>(attrs)?;
        if sreg.is_some() || dreg.is_none() {
            return Err(DecodeError::Unknown { what: "an extension header write", value: 0 });
        }
        let number = |payload: Option<&[u8]>, what| payload.map_or(Ok(0), |payload| be_u32(payload, what));
        let kind = match expect(kind, "an extension header's number")? {
            [kind] => *kind,
            other => return Err(DecodeError::Length { what: "an extension header's number", len: other.len() }),
        };
        let present = match number(flags, "extension header flags")? {
            0 => false,
            1 => true,
            other => return Err(DecodeError::Unknown { what: "extension header flags", value: other.into() }),
        };
        Ok(Self {
            op: ExthdrOp::from_number(number(op, "an extension header's place")?)?,
            kind,
            offset: number(offset, "an extension header's offset")?,
            len: number(len, "an extension header's length")?,
            present,
            dreg: Reg::read(dreg, "an extension header's register")?,
        })
    }
}
