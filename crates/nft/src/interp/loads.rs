//! What can be read off a packet: its bytes, its extension headers, and what the kernel notes beside.
//!
//! Source: the `*_eval` functions named at each.

use super::eval::Machine;
use super::extension;
use super::packet::{IPV4, Interface, Tracking};
use crate::chain::Hook;
use crate::datatype::interface_name;
use crate::expr::{Base, CtKey, Exthdr, MetaKey, Payload, ct_state};

/// A value, and its open bits.
pub(super) type Loaded = (Vec<u8>, Vec<u8>);

impl Machine<'_, '_, '_> {
    /// `nft_payload_fast_eval` and `nft_payload_eval`. The fast one, for short aligned loads, does not
    /// ask whether the packet is a non-first fragment.
    pub(super) fn payload(&self, payload: &Payload) -> Option<Loaded> {
        let (offset, len) = (payload.offset as usize, payload.len as usize);
        if let Some(open) = &self.packet.open {
            return self.payload_open(payload, &open.bytes);
        }
        let base = if payload.base == Base::Network {
            0
        } else {
            self.info.protocol?;
            let fast = len <= 4 && len.is_power_of_two() && offset.is_multiple_of(len);
            if !fast && self.info.fragment != 0 {
                return None;
            }
            self.info.transport
        };
        let start = base.checked_add(offset)?;
        let value = self.packet.bytes.get(start..start.checked_add(len)?)?;
        Some((value.to_vec(), vec![0; len]))
    }

    /// The same of a packet that stands for many: what lies behind a header whose length is open, or behind the end, is open.
    fn payload_open(&self, payload: &Payload, open: &[u8]) -> Option<Loaded> {
        let (offset, len) = (payload.offset as usize, payload.len as usize);
        let fixed_header = if self.info.family == IPV4 { 20 } else { 40 };
        let (start, end) = match payload.base {
            Base::Network => (0, fixed_header),
            _ => (self.info.transport, open.len()),
        };
        let places = start.checked_add(offset)?..start.checked_add(offset)?.checked_add(len)?;
        let of = |place: usize| match (self.packet.bytes.get(place), open.get(place)) {
            (Some(value), Some(open)) if place < end => (*value, *open),
            _ => (0, u8::MAX),
        };
        Some(places.map(of).unzip())
    }

    /// The open bits of a value of `meta`.
    pub(super) fn meta_open(&self, key: MetaKey, len: usize) -> Vec<u8> {
        let all = |is_open: bool| if is_open { u32::MAX } else { 0 };
        let goes_out = !matches!(self.hook, Hook::Prerouting | Hook::Input) && self.packet.oif.is_some();
        let bits = self.packet.open.as_ref().map(|open| match key {
            MetaKey::Len => u32::MAX,
            MetaKey::Priority => open.priority,
            MetaKey::Mark => open.mark,
            MetaKey::Iif => all(open.iif && self.packet.iif.is_some()),
            MetaKey::Oif => all(open.oif && goes_out),
            _ => 0,
        });
        let mut bits = bits.unwrap_or(0).to_ne_bytes().to_vec();
        bits.resize(len, 0);
        bits
    }

    /// The open bits of a value of `ct`.
    pub(super) fn ct_open(&self, key: CtKey, len: usize) -> Vec<u8> {
        let bits = self.packet.open.as_ref().map(|open| match key {
            CtKey::Status => open.ct_status,
            CtKey::Mark => open.ct_mark,
            CtKey::Direction if open.ct_direction => u32::MAX,
            _ => 0,
        });
        let mut bits = bits.unwrap_or(0).to_ne_bytes().to_vec();
        bits.resize(len, 0);
        bits
    }

    /// `nft_meta_get_eval`. The outer none: not understood; the inner: it ends the rule.
    pub(super) fn meta(&self, key: MetaKey) -> Option<Option<Vec<u8>>> {
        let iif = self.packet.iif.as_ref();
        // See `Packet`: which hooks do not know yet where it goes.
        let oif = self.packet.oif.as_ref().filter(|_| !matches!(self.hook, Hook::Prerouting | Hook::Input));
        let index =
            |interface: Option<&Interface>| interface.map_or(0, |interface| interface.index).to_ne_bytes().to_vec();
        let name = |interface: Option<&Interface>| {
            interface.map_or(Some([0; 16]), |interface| interface_name(&interface.name)).map(Vec::from)
        };
        Some(Some(match key {
            MetaKey::Len => (self.packet.bytes.len() as u32).to_ne_bytes().to_vec(),
            MetaKey::Protocol if self.info.family == IPV4 => vec![0x08, 0x00],
            MetaKey::Protocol => vec![0x86, 0xdd],
            MetaKey::Priority => self.packet.priority.to_ne_bytes().to_vec(),
            MetaKey::Mark => self.packet.mark.to_ne_bytes().to_vec(),
            MetaKey::Iif => index(iif),
            MetaKey::Oif => index(oif),
            MetaKey::IifName => name(iif)?,
            MetaKey::OifName => name(oif)?,
            MetaKey::NfProto => vec![self.info.family],
            MetaKey::L4Proto => match self.info.protocol {
                Some(protocol) => vec![protocol],
                None => return Some(None),
            },
            _ => return None,
        }))
    }

    /// `nft_ct_get_eval`. The outer none: not understood; the inner: it ends the rule.
    pub(super) fn ct(&self, key: CtKey) -> Option<Option<Vec<u8>>> {
        let connection = match self.packet.ct {
            Tracking::Tracked(connection) => Some(connection),
            _ => None,
        };
        Some(match key {
            CtKey::State => {
                let state = match self.packet.ct {
                    Tracking::Tracked(connection) => connection.state,
                    Tracking::Untracked => ct_state::UNTRACKED,
                    Tracking::None => ct_state::INVALID,
                };
                Some(state.to_ne_bytes().to_vec())
            }
            CtKey::Direction => connection.map(|connection| vec![connection.reply.into()]),
            CtKey::Status => connection.map(|connection| connection.status.to_ne_bytes().to_vec()),
            CtKey::Mark => connection.map(|connection| connection.mark.to_ne_bytes().to_vec()),
            _ => return None,
        })
    }

    /// `nft_exthdr_ipv6_eval`.
    pub(super) fn exthdr(&self, exthdr: &Exthdr) -> Option<Loaded> {
        if self.info.family == IPV4 {
            return None;
        }
        if self.packet.open.is_some() {
            let len = if exthdr.present { 1 } else { exthdr.len as usize };
            return Some((vec![0; len], vec![u8::MAX; len]));
        }
        let found = extension::find(&self.packet.bytes, exthdr.kind);
        if exthdr.present {
            return Some((vec![found.is_some().into()], vec![0]));
        }
        let start = found?.checked_add(exthdr.offset as usize)?;
        let value = self.packet.bytes.get(start..start.checked_add(exthdr.len as usize)?)?;
        Some((value.to_vec(), vec![0; value.len()]))
    }
}
