//! `reject`: drops the packet and tells the sender.
//!
//! Allowed at prerouting, input, forward and output, not at postrouting.
//!
//! Source: `enum nft_reject_types`, `enum nft_reject_inet_code`, `enum nft_reject_attributes`.

use super::Coded;
use crate::numbers::numbers;
use crate::wire::{Attrs, DecodeError, Writer, be_u32, expect, table};

const ICMP: u32 = 0;
const TCP_RESET: u32 = 1;
const ICMPX: u32 = 2;

numbers! {
    /// The reasons that exist for both families.
    IcmpxCode, "an icmpx code" {
        /// No route.
        NoRoute = 0,
        /// Port unreachable.
        PortUnreachable = 1,
        /// Host unreachable.
        HostUnreachable = 2,
        /// Administratively prohibited.
        AdminProhibited = 3,
    }
}

/// How to refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reject {
    /// With an ICMP or ICMPv6 unreachable of this code; only in a table of one family.
    Icmp(u8),
    /// With a TCP reset; a packet that is not TCP is dropped without answer.
    TcpReset,
    /// With the unreachable of the packet's own family.
    Icmpx(IcmpxCode),
}

impl Coded for Reject {
    const NAME: &'static str = "reject";

    fn encode(&self, writer: &mut Writer) {
        let (kind, code) = match self {
            Self::Icmp(code) => (ICMP, Some(*code)),
            Self::TcpReset => (TCP_RESET, None),
            Self::Icmpx(code) => (ICMPX, Some(code.number() as u8)),
        };
        writer.u32(1, kind);
        if let Some(code) = code {
            writer.u8(2, code);
        }
    }

    fn decode(attrs: Attrs<'_>) -> Result<Self, DecodeError> {
        let [_, kind, code] = table::<3>(attrs)?;
        let code = || match expect(code, "a reject code")? {
            [code] => Ok(*code),
            other => Err(DecodeError::Length { what: "a reject code", len: other.len() }),
        };
        match be_u32(expect(kind, "a reject kind")?, "a reject kind")? {
            ICMP => Ok(Self::Icmp(code()?)),
            TCP_RESET => Ok(Self::TcpReset),
            ICMPX => Ok(Self::Icmpx(IcmpxCode::from_number(code()?.into())?)),
            other => Err(DecodeError::Unknown { what: "a reject kind", value: other.into() }),
        }
    }
}
