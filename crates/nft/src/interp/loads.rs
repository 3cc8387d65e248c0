//! What can be read off a packet: its bytes, its extension headers, and what the kernel notes beside.
//!
//! Source: the `*_eval` functions named at each.

use super::eval::Machine;
use super::extension;
use super::packet::{IPV4, Interface, Tracking};
use crate::chain::Hook;
use crate::datatype::interface_name;
use crate::expr::{Base, CtKey, Exthdr, MetaKey, Payload, ct_state};

impl Machine<'_, '_, '_> {
    /// `nft_payload_fast_eval` and `nft_payload_eval`. The fast one, for short aligned loads, does not
    /// ask whether the packet is a non-first fragment.
    pub(super) fn payload(&self, payload: &Payload) -> Option<Vec<u8>> {
        let (offset, len) = (payload.offset as usize, payload.len as usize);
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
        self.packet.bytes.get(start..start.checked_add(len)?).map(<[u8]>::to_vec)
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
    pub(super) fn exthdr(&self, exthdr: &Exthdr) -> Option<Vec<u8>> {
        if self.info.family == IPV4 {
            return None;
        }
        let found = extension::find(&self.packet.bytes, exthdr.kind);
        if exthdr.present {
            return Some(vec![found.is_some().into()]);
        }
        let start = found?.checked_add(exthdr.offset as usize)?;
        self.packet.bytes.get(start..start.checked_add(exthdr.len as usize)?).map(<[u8]>::to_vec)
    }
}
