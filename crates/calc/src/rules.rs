//! Rules in few bytes: selectors and port names are numbers, and an end that says little takes little.

use ipnet::IpNet;
use tortie_dataplane::SetId;
use tortie_dataplane::{End, PeerSet, Ports, Rule as Ready};
use tortie_net::{PortRange, Protocol};
use tortie_policy::{Action, Family, Icmp, PeerMatch, PortMatch, Rule as Written, ServiceId};
use tortie_selector::Selector;

use crate::names::{Name, Names};
use crate::selectors::{SelectorIndex, Selectors};
use crate::sets::SetKey;

/// One rule.
#[derive(Debug, PartialEq)]
pub(crate) struct Rule {
    pub(crate) action: Action,
    family: Option<Family>,
    protocol: Option<Protocol>,
    not_protocol: Option<Protocol>,
    icmp: Option<Icmp>,
    not_icmp: Option<Icmp>,
    source: Peer,
    destination: Peer,
}

/// One end of a rule.
#[derive(Debug, PartialEq)]
enum Peer {
    Any,
    Selected(Selected),
    Full(Box<Full>),
}

/// Who matches a selector, or who does not.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Selected {
    selector: SelectorIndex,
    negated: bool,
}

/// An end that says more.
#[derive(Debug, PartialEq)]
struct Full {
    selected: Option<Selected>,
    nets: Box<[IpNet]>,
    not_nets: Box<[IpNet]>,
    ports: Numbers,
    not_ports: Numbers,
    /// Whose named ports count; held where there are any.
    named_of: Option<SelectorIndex>,
    service: Option<Box<ServiceId>>,
}

/// Ports by number and by name.
#[derive(Debug, Default, PartialEq)]
struct Numbers {
    ranges: Box<[PortRange]>,
    named: Box<[Name]>,
}

impl Rule {
    /// Packs a rule; its selectors and names are held until [`Rule::release`].
    pub(crate) fn new(rule: &Written, selectors: &mut Selectors, names: &mut Names) -> Self {
        Self {
            action: rule.action,
            family: rule.family,
            protocol: rule.protocol,
            not_protocol: rule.not_protocol,
            icmp: rule.icmp,
            not_icmp: rule.not_icmp,
            source: Peer::new(&rule.source, selectors, names),
            destination: Peer::new(&rule.destination, selectors, names),
        }
    }

    /// Gives back what it holds.
    pub(crate) fn release(self, selectors: &mut Selectors, names: &mut Names) {
        self.source.release(selectors, names);
        self.destination.release(selectors, names);
    }

    /// The sets that it needs, some perhaps twice.
    pub(crate) fn sets(&self) -> Vec<SetKey> {
        let mut keys = Vec::new();
        for (peer, with_port) in [(&self.source, false), (&self.destination, true)] {
            keys.extend(peer.selected().map(|one| SetKey::Peers(one.selector)));
            let Peer::Full(full) = peer else { continue };
            keys.extend(full.named().map(|(selector, name)| SetKey::Port(selector, name)));
            keys.extend(full.service.as_deref().map(|id| SetKey::service(id, with_port)));
        }
        keys
    }

    /// The rule as a dataplane takes it.
    pub(crate) fn ready(&self, number: usize, id: impl Fn(&SetKey) -> SetId) -> Ready {
        Ready {
            number: number as u32,
            action: self.action,
            family: self.family,
            protocol: self.protocol,
            not_protocol: self.not_protocol,
            icmp: self.icmp,
            not_icmp: self.not_icmp,
            source: self.source.ready(false, &id),
            destination: self.destination.ready(true, &id),
        }
    }
}

impl Peer {
    fn new(peer: &PeerMatch, selectors: &mut Selectors, names: &mut Names) -> Self {
        let selected = peer
            .peers
            .as_ref()
            .map(|peers| Selected { selector: selectors.acquire(&peers.selector), negated: peers.negated });
        let PeerMatch { nets, not_nets, ports, not_ports, service, .. } = peer;
        let more = !(nets.is_empty() && not_nets.is_empty() && ports.is_empty() && not_ports.is_empty());
        if !more && service.is_none() {
            return selected.map_or(Peer::Any, Peer::Selected);
        }
        let ports = Numbers::new(ports, names);
        let not_ports = Numbers::new(not_ports, names);
        let any_named = !(ports.named.is_empty() && not_ports.named.is_empty());
        // A selector that is turned round restricts nobody's ports.
        let named_of = any_named.then(|| match selected {
            Some(Selected { selector, negated: false }) => selectors.again(selector),
            _ => selectors.acquire(&Selector::all()),
        });
        Peer::Full(Box::new(Full {
            selected,
            nets: nets.as_slice().into(),
            not_nets: not_nets.as_slice().into(),
            ports,
            not_ports,
            named_of,
            service: service.clone().map(Box::new),
        }))
    }

    fn release(self, selectors: &mut Selectors, names: &mut Names) {
        if let Some(selected) = self.selected() {
            selectors.release(selected.selector);
        }
        if let Peer::Full(full) = self {
            full.named_of.into_iter().for_each(|selector| selectors.release(selector));
            full.ports.named.iter().chain(&full.not_ports.named).for_each(|&name| names.release(name));
        }
    }

    fn selected(&self) -> Option<Selected> {
        match self {
            Peer::Any => None,
            Peer::Selected(selected) => Some(*selected),
            Peer::Full(full) => full.selected,
        }
    }

    fn ready(&self, with_port: bool, id: &impl Fn(&SetKey) -> SetId) -> End {
        let peers = self.selected().map(|one| PeerSet { set: id(&SetKey::Peers(one.selector)), negated: one.negated });
        let Peer::Full(full) = self else { return End { peers, ..End::default() } };
        let ports = |numbers: &Numbers| Ports {
            ranges: numbers.ranges.to_vec(),
            named: full.of(numbers).map(|(selector, name)| id(&SetKey::Port(selector, name))).collect(),
        };
        End {
            peers,
            nets: full.nets.to_vec(),
            not_nets: full.not_nets.to_vec(),
            ports: ports(&full.ports),
            not_ports: ports(&full.not_ports),
            service: full.service.as_deref().map(|service| id(&SetKey::service(service, with_port))),
        }
    }
}

impl Full {
    fn named(&self) -> impl Iterator<Item = (SelectorIndex, Name)> {
        self.of(&self.ports).chain(self.of(&self.not_ports))
    }

    fn of(&self, numbers: &Numbers) -> impl Iterator<Item = (SelectorIndex, Name)> {
        self.named_of.into_iter().flat_map(|selector| numbers.named.iter().map(move |&name| (selector, name)))
    }
}

impl Numbers {
    fn new(ports: &[PortMatch], names: &mut Names) -> Self {
        let mut ranges = Vec::new();
        let mut named = Vec::new();
        for port in ports {
            match port {
                PortMatch::Range(range) => ranges.push(*range),
                PortMatch::Named(name) => named.push(names.acquire(name)),
            }
        }
        Self { ranges: ranges.into(), named: named.into() }
    }
}

/// Packs a list of rules.
pub(crate) fn pack(rules: &[Written], selectors: &mut Selectors, names: &mut Names) -> Box<[Rule]> {
    rules.iter().map(|rule| Rule::new(rule, selectors, names)).collect()
}

/// Gives back what a list holds.
pub(crate) fn release(rules: Box<[Rule]>, selectors: &mut Selectors, names: &mut Names) {
    rules.into_iter().for_each(|rule| rule.release(selectors, names));
}
