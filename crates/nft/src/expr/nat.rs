//! `nat`, `masq`, `redir`: rewrite addresses and ports of a connection, in chains of type nat.
//!
//! Addresses and ports come from registers; a range has two ends, a single value the same register
//! twice. Two bits of the flags say which of both were given. They are not kept here: the kernel adds them, except for
//! `masq`, where it goes without the ports unless it is told.
//!
//! Source: `enum nft_nat_attributes`, `enum nft_masq_attributes`, `enum nft_redir_attributes`,
//! `NF_NAT_RANGE_*` of `linux/netfilter/nf_nat.h`.

use super::Coded;
use crate::numbers::numbers;
use crate::register::Reg;
use crate::wire::{Attrs, DecodeError, Writer, be_u32, expect, table};

/// `NF_NAT_RANGE_MAP_IPS | NF_NAT_RANGE_PROTO_SPECIFIED`: follow from the registers given.
const DERIVED: u32 = 1 | PROTO_SPECIFIED;
const PROTO_SPECIFIED: u32 = 2;

numbers! {
    /// What is rewritten.
    NatKind, "a nat kind" {
        /// The source.
        Source = 0,
        /// The destination.
        Destination = 1,
    }
}

/// Rewrites to addresses and ports in registers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Nat {
    /// What is rewritten.
    pub kind: NatKind,
    /// The family of the address: 2 IPv4, 10 IPv6.
    pub family: u32,
    /// The registers of the first and last address.
    pub address: Option<(Reg, Reg)>,
    /// The registers of the first and last port, two bytes in network order.
    pub port: Option<(Reg, Reg)>,
    /// Other `NF_NAT_RANGE_*` bits.
    pub flags: u32,
}

/// Rewrites the source to the address of the interface that the packet leaves by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Masq {
    /// The registers of the first and last port.
    pub port: Option<(Reg, Reg)>,
    /// Other `NF_NAT_RANGE_*` bits.
    pub flags: u32,
}

/// Rewrites the destination to this host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Redir {
    /// The registers of the first and last port.
    pub port: Option<(Reg, Reg)>,
    /// Other `NF_NAT_RANGE_*` bits.
    pub flags: u32,
}

fn write_pair(writer: &mut Writer, kind: u16, pair: Option<(Reg, Reg)>) {
    if let Some((min, max)) = pair {
        min.write(writer, kind);
        max.write(writer, kind + 1);
    }
}

fn read_pair(min: Option<&[u8]>, max: Option<&[u8]>) -> Result<Option<(Reg, Reg)>, DecodeError> {
    let Some(first) = min.map(|min| Reg::read(Some(min), "a nat register")).transpose()? else { return Ok(None) };
    let last = max.map_or(Ok(first), |max| Reg::read(Some(max), "a nat register"))?;
    Ok(Some((first, last)))
}

fn write_flags(writer: &mut Writer, kind: u16, flags: u32) {
    if flags & !DERIVED != 0 {
        writer.u32(kind, flags & !DERIVED);
    }
}

fn read_flags(flags: Option<&[u8]>) -> Result<u32, DecodeError> {
    Ok(flags.map_or(Ok(0), |flags| be_u32(flags, "nat flags"))? & !DERIVED)
}

impl Coded for Nat {
    const NAME: &'static str = "nat";

    fn encode(&self, writer: &mut Writer) {
        writer.u32(1, self.kind.number());
        writer.u32(2, self.family);
        write_pair(writer, 3, self.address);
        write_pair(writer, 5, self.port);
        write_flags(writer, 7, self.flags);
    }

    fn decode(attrs: Attrs<'_>) -> Result<Self, DecodeError> {
        let [_, kind, family, addr_min, addr_max, port_min, port_max, flags] = table::<8>(attrs)?;
        Ok(Self {
            kind: NatKind::from_number(be_u32(expect(kind, "a nat kind")?, "a nat kind")?)?,
            family: be_u32(expect(family, "a nat family")?, "a nat family")?,
            address: read_pair(addr_min, addr_max)?,
            port: read_pair(port_min, port_max)?,
            flags: read_flags(flags)?,
        })
    }
}

impl Coded for Masq {
    const NAME: &'static str = "masq";

    fn encode(&self, writer: &mut Writer) {
        match self.port {
            Some(_) => writer.u32(1, self.flags & !DERIVED | PROTO_SPECIFIED),
            None => write_flags(writer, 1, self.flags),
        }
        write_pair(writer, 2, self.port);
    }

    fn decode(attrs: Attrs<'_>) -> Result<Self, DecodeError> {
        let [_, flags, port_min, port_max] = table::<4>(attrs)?;
        Ok(Self { port: read_pair(port_min, port_max)?, flags: read_flags(flags)? })
    }
}

impl Coded for Redir {
    const NAME: &'static str = "redir";

    fn encode(&self, writer: &mut Writer) {
        write_pair(writer, 1, self.port);
        write_flags(writer, 3, self.flags);
    }

    fn decode(attrs: Attrs<'_>) -> Result<Self, DecodeError> {
        let [_, port_min, port_max, flags] = table::<4>(attrs)?;
        Ok(Self { port: read_pair(port_min, port_max)?, flags: read_flags(flags)? })
    }
}
