//! Rules as a dataplane needs them: selectors, named ports and services have become sets.

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;
use tortie_net::{PortRange, Protocol};
use tortie_policy::{Action, Direction, Family, Icmp, PolicyId};

use crate::set::SetId;

/// Whose rules a list is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// A policy's.
    Policy(Arc<PolicyId>),
    /// A profile's.
    Profile(Arc<str>),
}

/// What names a list of rules: its owner and direction. With a rule's number it names the rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RulesId {
    /// Whose.
    pub owner: Owner,
    /// Towards the endpoint or from it.
    pub direction: Direction,
}

impl fmt::Display for RulesId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.owner {
            Owner::Policy(id) => write!(f, "{id} {}", self.direction),
            Owner::Profile(name) => write!(f, "profile {name} {}", self.direction),
        }
    }
}

/// One rule. Everything in it must hold; see [`tortie_policy::Rule`], whose meaning it keeps.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Its number in its list, from 1.
    pub number: u32,
    /// What it does.
    pub action: Action,
    /// Only this family.
    pub family: Option<Family>,
    /// Only this protocol.
    pub protocol: Option<Protocol>,
    /// Not this protocol.
    pub not_protocol: Option<Protocol>,
    /// Only this ICMP type and code.
    pub icmp: Option<Icmp>,
    /// Not this ICMP type and code, both together.
    pub not_icmp: Option<Icmp>,
    /// What the source must be.
    pub source: End,
    /// What the destination must be.
    pub destination: End,
}

/// What one end of a packet must be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct End {
    /// Among these addresses, or not among them.
    pub peers: Option<PeerSet>,
    /// In one of these nets.
    pub nets: Vec<IpNet>,
    /// In none of these. For a family that it names no net of, the rule is left out.
    pub not_nets: Vec<IpNet>,
    /// On one of these ports; none given means any.
    pub ports: Ports,
    /// On none of these ports.
    pub not_ports: Ports,
    /// In this set of a service: of addresses for a source, of addresses with ports for a destination.
    pub service: Option<SetId>,
}

/// A condition on a set of addresses, possibly negated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerSet {
    /// The set.
    pub set: SetId,
    /// Addresses that are *not* in it match.
    pub negated: bool,
}

/// Ports by number and by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// Numbers, for TCP, UDP and SCTP.
    pub ranges: Vec<PortRange>,
    /// Sets of addresses with protocol and port.
    pub named: Vec<SetId>,
}

impl Ports {
    /// Whether none are given.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty() && self.named.is_empty()
    }
}

/// The first rule of a list that matches every packet and decides it: no rule after it is evaluated.
pub fn first_catch_all(rules: &[Rule]) -> Option<&Rule> {
    rules.iter().find(|rule| rule.action.decides() && rule.is_any())
}

impl Rule {
    /// Whether it matches every packet.
    pub fn is_any(&self) -> bool {
        let Rule { number: _, action: _, family, protocol, not_protocol, icmp, not_icmp, source, destination } = self;
        family.is_none()
            && protocol.is_none()
            && not_protocol.is_none()
            && icmp.is_none()
            && not_icmp.is_none()
            && [source, destination].into_iter().all(|end| *end == End::default())
    }

    /// The sets it refers to.
    pub fn sets(&self) -> impl Iterator<Item = &SetId> {
        [&self.source, &self.destination].into_iter().flat_map(|end| {
            let ports = end.ports.named.iter().chain(&end.not_ports.named);
            end.peers.iter().map(|peers| &peers.set).chain(ports).chain(&end.service)
        })
    }
}
