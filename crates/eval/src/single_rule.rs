//! Whether a rule matches a packet, whatever comes before and after it: for questions about the rules of one list.

use std::net::IpAddr;

use tortie_policy::packet::Transport;
use tortie_policy::{Action, Rule, Snapshot};

use crate::endpoints::Endpoints;
use crate::matching::{PacketHeader, matching};
use crate::members::AddressOwners;

/// One end of packets, with the endpoints and sets that have its address: found once for all packets from it or to it.
pub struct End<'a>(AddressOwners<'a>);

impl<'a> End<'a> {
    /// The end at an address.
    pub fn new(snapshot: &'a Snapshot, address: IpAddr) -> Self {
        Self(AddressOwners::new(snapshot, address))
    }

    /// The end at an address, of a snapshot whose endpoints are sorted by address already.
    pub fn among(endpoints: &Endpoints<'a>, address: IpAddr) -> Self {
        Self(endpoints.owners_of(address))
    }

    /// Its address.
    pub fn address(&self) -> IpAddr {
        self.0.address
    }
}

/// The action of a rule on a packet between a source and a destination; none if it does not match.
pub fn single_rule(
    snapshot: &Snapshot,
    rule: &Rule,
    [source, destination]: [&End<'_>; 2],
    (protocol, transport): (u8, Transport),
) -> Option<Action> {
    let header = PacketHeader { source: source.address(), destination: destination.address(), protocol, transport };
    let found = matching(snapshot, rule, &header, [&source.0, &destination.0], false);
    found.mismatches.is_empty().then_some(found.action)
}
