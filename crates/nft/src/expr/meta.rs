//! `meta`: what the kernel knows of a packet beside its bytes.
//!
//! Interface indexes, marks, priorities and interface names are in host order; protocol numbers take
//! one byte, the ether type two in network order. A packet without the interface asked for has the
//! index 0 and the empty name.
//!
//! Source: `enum nft_meta_keys`, `enum nft_meta_attributes`.

use super::Coded;
use crate::numbers::numbers;
use crate::register::Reg;
use crate::wire::{Attrs, DecodeError, Writer, be_u32, expect, table};

numbers! {
    /// What to load or set.
    MetaKey, "a meta key" {
        /// The packet's length from the network header, 4 bytes.
        Len = 0,
        /// The ether type, 2 bytes in network order.
        Protocol = 1,
        /// The packet's priority field, 4 bytes; may be set.
        Priority = 2,
        /// The packet's mark, 4 bytes; may be set.
        Mark = 3,
        /// The index of the interface it came in by, 4 bytes.
        Iif = 4,
        /// The index of the interface it goes out by, 4 bytes.
        Oif = 5,
        /// The name of the interface it came in by, 16 bytes.
        IifName = 6,
        /// The name of the interface it goes out by, 16 bytes.
        OifName = 7,
        /// The hardware type of the interface it came in by, 2 bytes.
        IifType = 8,
        /// The hardware type of the interface it goes out by, 2 bytes.
        OifType = 9,
        /// The user of the socket it belongs to, 4 bytes.
        SkUid = 10,
        /// The group of the socket it belongs to, 4 bytes.
        SkGid = 11,
        /// Whether the packet is traced, 1 byte; may be set.
        Nftrace = 12,
        /// 2 for IPv4, 10 for IPv6; 1 byte.
        NfProto = 15,
        /// The protocol behind the last extension header, 1 byte.
        L4Proto = 16,
        /// To this host, broadcast, multicast, other; 1 byte.
        PktType = 19,
        /// The group of the interface it came in by, 4 bytes.
        IifGroup = 21,
        /// The group of the interface it goes out by, 4 bytes.
        OifGroup = 22,
        /// The kind of the interface it came in by, 16 bytes.
        IifKind = 26,
        /// The kind of the interface it goes out by, 16 bytes.
        OifKind = 27,
    }
}

/// Loads or sets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Meta {
    /// Loads `key` into `dreg`.
    Get {
        /// What.
        key: MetaKey,
        /// Where to.
        dreg: Reg,
    },
    /// Sets `key` from `sreg`.
    Set {
        /// What.
        key: MetaKey,
        /// Where from.
        sreg: Reg,
    },
}

impl Meta {
    /// Loads `key` into `dreg`.
    pub const fn get(key: MetaKey, dreg: Reg) -> Self {
        Self::Get { key, dreg }
    }

    /// Sets `key` from `sreg`.
    pub const fn set(key: MetaKey, sreg: Reg) -> Self {
        Self::Set { key, sreg }
    }
}

impl Coded for Meta {
    const NAME: &'static str = "meta";

    fn encode(&self, writer: &mut Writer) {
        match self {
            Self::Get { key, dreg } => {
                dreg.write(writer, 1);
                writer.u32(2, key.number());
            }
            Self::Set { key, sreg } => {
                writer.u32(2, key.number());
                sreg.write(writer, 3);
            }
        }
    }

    fn decode(attrs: Attrs<'_>) -> Result<Self, DecodeError> {
        let [_, dreg, key, sreg] = table::<4>(attrs)?;
        let key = MetaKey::from_number(be_u32(expect(key, "a meta key")?, "a meta key")?)?;
        match sreg {
            Some(_) => Ok(Self::Set { key, sreg: Reg::read(sreg, "a meta register")? }),
            None => Ok(Self::Get { key, dreg: Reg::read(dreg, "a meta register")? }),
        }
    }
}
