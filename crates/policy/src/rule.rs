//! One rule: what it matches and what it then does.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use tortie_net::{PortRange, Protocol};
use tortie_selector::Selector;

use crate::endpoint::unreadable_labels;
use crate::referenced::ServiceId;

/// What a matching rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Lets the packet past this endpoint.
    Allow,
    /// Denies it.
    Deny,
    /// Leaves the tier for the next one, or for the profiles.
    Pass,
    /// Logs it and continues with the next rule.
    Log,
}

impl Action {
    /// Whether no further rule of the tier is asked after a matching one.
    pub fn decides(self) -> bool {
        match self {
            Action::Allow | Action::Deny | Action::Pass => true,
            Action::Log => false,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Action::Allow => "Allow",
            Action::Deny => "Deny",
            Action::Pass => "Pass",
            Action::Log => "Log",
        })
    }
}

/// An IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    /// The family of a net.
    pub fn of_net(net: &IpNet) -> Self {
        Self::of(net.addr())
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        })
    }
}

/// An ICMP type, with or without a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Icmp {
    /// The type; none matches every type.
    pub kind: Option<u8>,
    /// The code; only with a type.
    pub code: Option<u8>,
}

/// One entry of `ports` or `notPorts`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PortMatch {
    /// These numbers.
    Range(PortRange),
    /// An endpoint's port of this name.
    Named(String),
}

/// One rule. Everything in it must hold for it to match; inside one list any entry will do, and inside a negated list
/// none may.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// What it does.
    pub action: Action,
    /// Only this family: `ipVersion`, or what ICMP and ICMPv6 imply.
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
    pub source: PeerMatch,
    /// What the destination must be.
    pub destination: PeerMatch,
    /// Has an HTTP match, of which only the L3/L4 part decides here.
    pub http: bool,
    /// Annotations, for people.
    pub annotations: Vec<(String, String)>,
    /// A condition is unreadable, so it never matches; no other mismatch is named then.
    pub never: bool,
}

/// How a rule treats a condition on a set with unknown members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownMembers {
    /// All members are known.
    None,
    /// The rule does not match.
    NeverMatches,
    /// The condition counts as satisfied.
    AlwaysMet,
}

impl UnknownMembers {
    /// Never larger in what is allowed, never smaller in what is denied: `negated` if what is *not* in the set matches.
    pub fn of(action: Action, negated: bool) -> Self {
        match (action, negated) {
            (Action::Allow, false) | (Action::Deny, true) => UnknownMembers::None,
            (Action::Allow, true) | (Action::Log, _) => UnknownMembers::NeverMatches,
            (Action::Deny, false) | (Action::Pass, _) => UnknownMembers::AlwaysMet,
        }
    }

    /// What a rule with a condition that depends on unknown members does: one that passes denies.
    pub fn action(action: Action) -> Action {
        if action == Action::Pass { Action::Deny } else { action }
    }
}

impl Rule {
    /// More rules than this in one list are too many: Calico's schema lets a list have 1,024.
    pub const LIMIT: usize = 16_384;

    /// The rules that deny, before this one, what it may match because of unreadable labels
    /// ([`unreadable_labels`]): one for each end by which it asks for labels, unless it then allows less.
    pub fn against_unreadable(&self) -> Vec<Rule> {
        let asks = |end: &PeerMatch| {
            let named = |ports: &[PortMatch]| ports.iter().any(|port| matches!(port, PortMatch::Named(_)));
            let negated = end.peers.as_ref().map(|peers| peers.negated);
            asks_unreadable(self.action, negated, named(&end.ports), named(&end.not_ports))
        };
        let loose = Rule {
            action: Action::Deny,
            source: self.source.without_labels(),
            destination: self.destination.without_labels(),
            ..self.clone()
        };
        let peers = || Some(Box::new(Peers::unreadable()));
        let mut rules = Vec::new();
        if !self.never && asks(&self.source) {
            rules.push(Rule { source: PeerMatch { peers: peers(), ..loose.source.clone() }, ..loose.clone() });
        }
        if !self.never && asks(&self.destination) {
            let destination = PeerMatch { peers: peers(), ..loose.destination.clone() };
            rules.push(Rule { destination, ..loose });
        }
        rules
    }

    /// Whether it matches every packet.
    pub fn is_any(&self) -> bool {
        let conditions = Rule { annotations: Vec::new(), ..self.clone() };
        conditions == Rule::any(self.action)
    }

    /// A rule that matches every packet.
    pub fn any(action: Action) -> Rule {
        Rule {
            action,
            family: None,
            protocol: None,
            not_protocol: None,
            icmp: None,
            not_icmp: None,
            source: PeerMatch::default(),
            destination: PeerMatch::default(),
            http: false,
            annotations: Vec::new(),
            never: false,
        }
    }
}

/// Whether an end of a rule may match objects with unreadable labels, which are in no set: `negated` if it has a
/// selector, and whether that is negated.
pub fn asks_unreadable(action: Action, negated: Option<bool>, named: bool, not_named: bool) -> bool {
    match action {
        Action::Log => false,
        Action::Pass => negated.is_some() || named || not_named,
        Action::Deny => negated == Some(false) || named,
        Action::Allow => negated == Some(true) || (negated.is_none() && not_named),
    }
}

/// What one end of a packet must be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PeerMatch {
    /// Known endpoints and sets.
    pub peers: Option<Box<Peers>>,
    /// In one of these nets.
    pub nets: Vec<IpNet>,
    /// In none of these.
    pub not_nets: Vec<IpNet>,
    /// On one of these ports.
    pub ports: Vec<PortMatch>,
    /// On none of these.
    pub not_ports: Vec<PortMatch>,
    /// An address (source) or an address with protocol and port (destination) of this service.
    pub service: Option<Box<ServiceId>>,
}

/// Which known endpoints and sets one end must be among.
#[derive(Clone, Debug, PartialEq)]
pub struct Peers {
    /// The addresses of all that match this: selector, namespace and service accounts in one, and not `notSelector`.
    pub selector: Selector,
    /// The match is negated: `notSelector` was the only selector, so unknown addresses match too.
    pub negated: bool,
    /// What was written, for people: `role == 'app'`.
    pub written: String,
}

impl PeerMatch {
    /// The end without its conditions on labels.
    fn without_labels(&self) -> PeerMatch {
        let is_number = |port: &&PortMatch| matches!(port, PortMatch::Range(_));
        let all_numbers = self.ports.iter().all(|port| is_number(&port));
        PeerMatch {
            peers: None,
            ports: if all_numbers { self.ports.clone() } else { Vec::new() },
            not_ports: self.not_ports.iter().filter(is_number).cloned().collect(),
            ..self.clone()
        }
    }
}

impl Peers {
    /// Everything whose labels cannot be read.
    fn unreadable() -> Peers {
        Peers {
            selector: unreadable_labels().clone(),
            negated: false,
            written: "labels that cannot be read".to_owned(),
        }
    }

    /// The selector that says which endpoints lend their named ports to the rule; a negated match restricts nothing.
    pub fn positive(&self) -> Option<&Selector> {
        (!self.negated).then_some(&self.selector)
    }
}
