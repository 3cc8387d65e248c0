//! `ct`: the connection that a packet belongs to.
//!
//! One rule with this expression anywhere in a network namespace turns conntrack on in it. A packet
//! that conntrack has not (yet) seen has the state *invalid*; every other key ends the rule for it.
//!
//! Source: `enum nft_ct_keys`, `enum nft_ct_attributes`.

use super::Coded;
use crate::numbers::numbers;
use crate::register::Reg;
use crate::wire::{Attrs, DecodeError, Writer, be_u32, expect, table};

/// The bits of [`CtKey::State`] (`NF_CT_STATE_BIT`), in host order.
pub mod state {
    /// Not tracked, or not trackable.
    pub const INVALID: u32 = 1;
    /// A packet of a connection that was answered.
    pub const ESTABLISHED: u32 = 2;
    /// A packet of a connection that another one announced.
    pub const RELATED: u32 = 4;
    /// The first packets of a connection.
    pub const NEW: u32 = 8;
    /// Kept from conntrack by `notrack`, or exempt.
    pub const UNTRACKED: u32 = 64;
}

/// Some bits of [`CtKey::Status`] (`enum ip_conntrack_status`), in host order.
pub mod status {
    /// Another connection announced it.
    pub const EXPECTED: u32 = 1;
    /// Packets were seen both ways.
    pub const SEEN_REPLY: u32 = 1 << 1;
    /// The connection is not dropped early.
    pub const ASSURED: u32 = 1 << 2;
    /// The first packet has left the host or was taken in.
    pub const CONFIRMED: u32 = 1 << 3;
    /// The source is rewritten.
    pub const SRC_NAT: u32 = 1 << 4;
    /// The destination is rewritten.
    pub const DST_NAT: u32 = 1 << 5;
    /// Source rewriting was considered.
    pub const SRC_NAT_DONE: u32 = 1 << 7;
    /// Destination rewriting was considered.
    pub const DST_NAT_DONE: u32 = 1 << 8;
}

numbers! {
    /// What to load or set.
    CtKey, "a ct key" {
        /// The state as one bit of [`state`], 4 bytes in host order.
        State = 0,
        /// 0 original, 1 reply; 1 byte.
        Direction = 1,
        /// The bits of [`status`], 4 bytes in host order.
        Status = 2,
        /// The connection's mark, 4 bytes; may be set.
        Mark = 3,
        /// Milliseconds until it expires, 4 bytes.
        Expiration = 5,
        /// 2 for IPv4, 10 for IPv6; 1 byte.
        L3Protocol = 7,
        /// The protocol, 1 byte.
        Protocol = 10,
        /// The source port of a direction, 2 bytes in network order.
        ProtoSrc = 11,
        /// The destination port of a direction, 2 bytes in network order.
        ProtoDst = 12,
        /// The zone, 2 bytes in host order; may be set.
        Zone = 17,
        /// The IPv4 source of a direction, 4 bytes in network order.
        SrcIp = 19,
        /// The IPv4 destination of a direction, 4 bytes in network order.
        DstIp = 20,
        /// The IPv6 source of a direction, 16 bytes in network order.
        SrcIp6 = 21,
        /// The IPv6 destination of a direction, 16 bytes in network order.
        DstIp6 = 22,
        /// The connection's number, 4 bytes.
        Id = 23,
    }
}

/// Loads or sets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Ct {
    /// Loads `key` into `dreg`.
    Get {
        /// What.
        key: CtKey,
        /// Which direction of the connection, for the keys that have one: 0 original, 1 reply.
        direction: Option<u8>,
        /// Where to.
        dreg: Reg,
    },
    /// Sets `key` from `sreg`.
    Set {
        /// What.
        key: CtKey,
        /// Where from.
        sreg: Reg,
    },
}

impl Ct {
    /// Loads `key`, which has no direction, into `dreg`.
    pub const fn get(key: CtKey, dreg: Reg) -> Self {
        Self::Get { key, direction: None, dreg }
    }

    /// Sets `key` from `sreg`.
    pub const fn set(key: CtKey, sreg: Reg) -> Self {
        Self::Set { key, sreg }
    }
}

impl Coded for Ct {
    const NAME: &'static str = "ct";

    fn encode(&self, writer: &mut Writer) {
        match self {
            Self::Get { key, direction, dreg } => {
                dreg.write(writer, 1);
                writer.u32(2, key.number());
                if let Some(direction) = direction {
                    writer.u8(3, *direction);
                }
            }
            Self::Set { key, sreg } => {
                writer.u32(2, key.number());
                sreg.write(writer, 4);
            }
        }
    }

    fn decode(attrs: Attrs<'_>) -> Result<Self, DecodeError> {
        let [_, dreg, key, direction, sreg] = table::<5>(attrs)?;
        let key = CtKey::from_number(be_u32(expect(key, "a ct key")?, "a ct key")?)?;
        if sreg.is_some() {
            return Ok(Self::Set { key, sreg: Reg::read(sreg, "a ct register")? });
        }
        let direction = match direction {
            None => None,
            Some([direction]) => Some(*direction),
            Some(other) => return Err(DecodeError::Length { what: "a ct direction", len: other.len() }),
        };
        Ok(Self::Get { key, direction, dreg: Reg::read(dreg, "a ct register")? })
    }
}
