//! What the decision about a packet depends on beside the packet and the tables: routes, rates, counts, addresses.
//!
//! Source: `nft_fib_store_result`; the rest is the caller's to know.

use std::net::IpAddr;

use super::packet::{Interface, Packet};
use crate::chain::Hook;
use crate::datatype::interface_name;
use crate::expr::{Fib, FibResult, fib_flags};

/// A question to the routing table.
#[derive(Debug, Clone, Copy)]
pub struct FibQuestion<'a> {
    /// What is asked.
    pub fib: &'a Fib,
    /// About which packet, as it is now.
    pub packet: &'a Packet,
    /// Where.
    pub hook: Hook,
}

/// The routing table's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FibAnswer {
    /// This interface, or none: for [`FibResult::Oif`] and [`FibResult::OifName`].
    Interface(Option<Interface>),
    /// This type of address (`RTN_*`): for [`FibResult::AddrType`].
    AddrType(u32),
}

/// How the routing table is asked.
type AskFib<'a> = &'a dyn Fn(FibQuestion<'_>) -> Option<FibAnswer>;

/// What a packet's fate depends on beside the packet. What is asked for and absent is an error.
#[derive(Clone, Copy, Default)]
pub struct Environment<'a> {
    /// The routing table.
    pub fib: Option<AskFib<'a>>,
    /// Whether rates are exceeded.
    pub over_limit: Option<bool>,
    /// The connections that a connection limit counts, this one included.
    pub connections: Option<u32>,
    /// The address that masquerading takes.
    pub own_address: Option<IpAddr>,
    /// The address that redirecting takes of what came in: that of the interface. Without one there the kernel drops the packet.
    pub incoming_address: Option<Option<IpAddr>>,
}

impl std::fmt::Debug for Environment<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment")
            .field("fib", &self.fib.is_some())
            .field("over_limit", &self.over_limit)
            .field("connections", &self.connections)
            .field("own_address", &self.own_address)
            .field("incoming_address", &self.incoming_address)
            .finish()
    }
}

/// `nft_fib_store_result`.
pub(super) fn fib_value(fib: &Fib, answer: &FibAnswer) -> Option<Vec<u8>> {
    let present = fib.flags & fib_flags::PRESENT != 0;
    match (fib.result, answer) {
        (FibResult::AddrType, FibAnswer::AddrType(kind)) => Some(kind.to_ne_bytes().to_vec()),
        (FibResult::Oif | FibResult::OifName, FibAnswer::Interface(interface)) if present => {
            Some(vec![interface.is_some().into()])
        }
        (FibResult::Oif, FibAnswer::Interface(interface)) => {
            Some(interface.as_ref().map_or(0, |interface| interface.index).to_ne_bytes().to_vec())
        }
        (FibResult::OifName, FibAnswer::Interface(interface)) => match interface {
            None => Some(vec![0; 16]),
            Some(interface) => interface_name(&interface.name).map(Vec::from),
        },
        _ => None,
    }
}
