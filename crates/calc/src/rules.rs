//! Rules in few bytes: selectors, port names and whatever else an end says are numbers.

use tortie_dataplane::{End, PeerSet, Ports, Rule as Ready, SetId};
use tortie_net::Protocol;
use tortie_policy::{Action, Family, Icmp, PeerMatch, Rule as Written, Unknown};
use tortie_selector::Selector;

use crate::ends::{EndIndex, Ends, Full, Numbers, Selected};
use crate::members::Shared;
use crate::selectors::SelectorIndex;
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
#[derive(Clone, Copy, Debug, PartialEq)]
enum Peer {
    Any,
    Among(SelectorIndex),
    NotAmong(SelectorIndex),
    Full(EndIndex),
}

impl Rule {
    /// The sets that it needs, some perhaps twice.
    pub(crate) fn sets(&self, ends: &Ends) -> Vec<SetKey> {
        let mut keys = Vec::new();
        for (peer, with_port) in [(self.source, false), (self.destination, true)] {
            keys.extend(peer.selected(ends).map(|one| SetKey::Peers(one.selector)));
            let Peer::Full(full) = peer else { continue };
            let full = ends.get(full);
            keys.extend(full.named().map(|(selector, name)| SetKey::Port(selector, name)));
            keys.extend(full.service.as_deref().map(|id| SetKey::service(id, with_port)));
        }
        keys
    }

    /// Whether any set of peers that it names is one of these.
    pub(crate) fn names(&self, ends: &Ends, those: impl Fn(SelectorIndex) -> bool) -> bool {
        [self.source, self.destination].iter().any(|peer| peer.selected(ends).is_some_and(|one| those(one.selector)))
    }

    /// The rule as a dataplane takes it; none while it can never match, for want of knowing who is in a set. A `set`
    /// that is closed has no id.
    pub(crate) fn ready(&self, number: usize, ends: &Ends, id: impl Fn(&SetKey) -> Option<SetId>) -> Option<Ready> {
        let is_closed = |peer: Peer| peer.selected(ends).is_some_and(|one| id(&SetKey::Peers(one.selector)).is_none());
        let never = Written::against_unknown(self.action) == Unknown::Never;
        if never && (is_closed(self.source) || is_closed(self.destination)) {
            return None;
        }
        Some(Ready {
            number: number as u32,
            action: self.action,
            family: self.family,
            protocol: self.protocol,
            not_protocol: self.not_protocol,
            icmp: self.icmp,
            not_icmp: self.not_icmp,
            source: self.source.ready(false, ends, &id),
            destination: self.destination.ready(true, ends, &id),
        })
    }
}

impl Peer {
    fn new(peer: &PeerMatch, shared: &mut Shared) -> Self {
        let Shared { selectors, names, ends, .. } = shared;
        let selected = peer
            .peers
            .as_ref()
            .map(|peers| Selected { selector: selectors.acquire(&peers.selector), negated: peers.negated });
        let PeerMatch { nets, not_nets, ports, not_ports, service, .. } = peer;
        let more = !(nets.is_empty() && not_nets.is_empty() && ports.is_empty() && not_ports.is_empty());
        if !more && service.is_none() {
            return match selected {
                None => Peer::Any,
                Some(Selected { selector, negated: false }) => Peer::Among(selector),
                Some(Selected { selector, negated: true }) => Peer::NotAmong(selector),
            };
        }
        let ports = Numbers::new(ports, names);
        let not_ports = Numbers::new(not_ports, names);
        let any_named = !(ports.named.is_empty() && not_ports.named.is_empty());
        // A selector that is turned round restricts nobody's ports.
        let named_of = any_named.then(|| match selected {
            Some(Selected { selector, negated: false }) => selectors.again(selector),
            _ => selectors.acquire(&Selector::all()),
        });
        let full = Full {
            selected,
            nets: nets.as_slice().into(),
            not_nets: not_nets.as_slice().into(),
            ports,
            not_ports,
            named_of,
            service: service.clone().map(Box::new),
        };
        Peer::Full(ends.acquire(full, selectors, names))
    }

    fn release(self, shared: &mut Shared) {
        let Shared { selectors, names, ends, .. } = shared;
        match self {
            Peer::Any => {}
            Peer::Among(selector) | Peer::NotAmong(selector) => selectors.release(selector),
            Peer::Full(full) => ends.release(full, selectors, names),
        }
    }

    fn selected(self, ends: &Ends) -> Option<Selected> {
        match self {
            Peer::Any => None,
            Peer::Among(selector) => Some(Selected { selector, negated: false }),
            Peer::NotAmong(selector) => Some(Selected { selector, negated: true }),
            Peer::Full(full) => ends.get(full).selected,
        }
    }

    fn ready(self, with_port: bool, ends: &Ends, id: &impl Fn(&SetKey) -> Option<SetId>) -> End {
        let peers = self.selected(ends).and_then(|one| {
            let set = id(&SetKey::Peers(one.selector))?;
            Some(PeerSet { set, negated: one.negated })
        });
        let Peer::Full(full) = self else { return End { peers, ..End::default() } };
        let full = ends.get(full);
        let ports = |numbers: &Numbers| Ports {
            ranges: numbers.ranges.to_vec(),
            named: full.of(numbers).filter_map(|(selector, name)| id(&SetKey::Port(selector, name))).collect(),
        };
        End {
            peers,
            nets: full.nets.to_vec(),
            not_nets: full.not_nets.to_vec(),
            ports: ports(&full.ports),
            not_ports: ports(&full.not_ports),
            service: full.service.as_deref().and_then(|service| id(&SetKey::service(service, with_port))),
        }
    }
}

/// Packs a list of rules; what they hold is held until [`release`].
pub(crate) fn pack(rules: &[Written], shared: &mut Shared) -> Box<[Rule]> {
    let rule = |rule: &Written| Rule {
        action: rule.action,
        family: rule.family,
        protocol: rule.protocol,
        not_protocol: rule.not_protocol,
        icmp: rule.icmp,
        not_icmp: rule.not_icmp,
        source: Peer::new(&rule.source, shared),
        destination: Peer::new(&rule.destination, shared),
    };
    rules.iter().map(rule).collect()
}

/// Gives back what a list holds.
pub(crate) fn release(rules: Box<[Rule]>, shared: &mut Shared) {
    for rule in rules {
        rule.source.release(shared);
        rule.destination.release(shared);
    }
}
