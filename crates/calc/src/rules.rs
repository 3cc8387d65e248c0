//! Rules in few bytes: selectors, port names and whatever else an end says are numbers.

use tortie_dataplane::{End, PeerSet, Ports, Rule as Ready};
use tortie_net::Protocol;
use tortie_policy::{Action, Family, Icmp, PeerMatch, Rule as Written, Unknown, asks_unreadable};
use tortie_selector::Selector;

use crate::ends::{DetailedEnd, EndIndex, Ends, Numbers, Selected};
use crate::faults;
use crate::members::Shared;
use crate::selectors::SelectorIndex;
use crate::sets::{Set, SetKey};

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
    never: bool,
}

/// One end of a rule.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Peer {
    Any,
    Among(SelectorIndex),
    NotAmong(SelectorIndex),
    DetailedEnd(EndIndex),
}

impl Rule {
    /// The sets that it needs, some perhaps twice.
    pub(crate) fn sets(&self, ends: &Ends) -> Vec<SetKey> {
        let mut keys = Vec::new();
        for (peer, with_port) in [(self.source, false), (self.destination, true)] {
            keys.extend(peer.selected(ends).map(|one| SetKey::Peers(one.selector)));
            let Peer::DetailedEnd(full) = peer else { continue };
            let full = ends.get(full);
            keys.extend(full.named().map(|(selector, name)| SetKey::Port(selector, name)));
            keys.extend(full.service.as_deref().map(|id| SetKey::service(id, with_port)));
        }
        keys
    }

    /// The rule as a dataplane takes it: nothing while it can never match, and more than one where it may mean what has
    /// labels that cannot be read.
    pub(crate) fn ready(&self, number: usize, known: &Known<'_>, into: &mut Vec<Ready>) {
        if self.never && !faults::is_on("unreadable-allow-matches") {
            return;
        }
        if let Some(unreadable) = known.unreadable {
            let ends = [self.source, self.destination];
            for position in [0, 1].into_iter().filter(|&position| self.asks_unreadable(ends[position], known.ends)) {
                let mut denied = self.whole(
                    number,
                    Action::Deny,
                    [self.source.widened(false, known), self.destination.widened(true, known)],
                );
                let set = (known.set)(unreadable);
                let peers = (!set.is_incomplete).then(|| PeerSet { set: set.id.clone(), negated: false });
                [&mut denied.source, &mut denied.destination][position].peers = peers;
                into.push(denied);
            }
        }
        let mut unsure = false;
        let mut side = |peer: Peer, with_port| peer.ready(with_port, self.action, known, &mut unsure);
        let (Some(source), Some(destination)) = (side(self.source, false), side(self.destination, true)) else {
            return;
        };
        let action = match self.action {
            action if unsure && !faults::is_on("unsure-pass-passes") => Unknown::action(action),
            Action::Allow if known.passes_on => Action::Pass,
            action => action,
        };
        into.push(self.whole(number, action, [source, destination]));
    }

    fn asks_unreadable(&self, end: Peer, ends: &Ends) -> bool {
        let negated = end.selected(ends).map(|one| one.negated);
        let (named, not_named) = match end {
            Peer::DetailedEnd(full) => {
                let full = ends.get(full);
                (!full.ports.named.is_empty(), !full.not_ports.named.is_empty())
            }
            _ => (false, false),
        };
        asks_unreadable(self.action, negated, named, not_named)
    }

    fn whole(&self, number: usize, action: Action, [source, destination]: [End; 2]) -> Ready {
        Ready {
            number: number as u32,
            action,
            family: self.family,
            protocol: self.protocol,
            not_protocol: self.not_protocol,
            icmp: self.icmp,
            not_icmp: self.not_icmp,
            source,
            destination,
        }
    }
}

/// What rules become something for a dataplane by.
pub(crate) struct Known<'a> {
    pub(crate) ends: &'a Ends,
    /// The set of a key that is in use.
    pub(crate) set: &'a dyn Fn(&SetKey) -> &'a Set,
    /// The set of what has labels that cannot be read, if there is any.
    pub(crate) unreadable: Option<&'a SetKey>,
    /// What the list allows goes on to other tiers.
    pub(crate) passes_on: bool,
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
            Some(Selected { selector, negated: false }) => selectors.add_use(selector),
            _ => selectors.acquire(&Selector::all()),
        });
        let full = DetailedEnd {
            selected,
            nets: nets.as_slice().into(),
            not_nets: not_nets.as_slice().into(),
            ports,
            not_ports,
            named_of,
            service: service.clone(),
        };
        Peer::DetailedEnd(ends.acquire(full, selectors, names))
    }

    fn release(self, shared: &mut Shared) {
        let Shared { selectors, names, ends, .. } = shared;
        match self {
            Peer::Any => {}
            Peer::Among(selector) | Peer::NotAmong(selector) => selectors.release(selector),
            Peer::DetailedEnd(full) => ends.release(full, selectors, names),
        }
    }

    fn selected(self, ends: &Ends) -> Option<Selected> {
        match self {
            Peer::Any => None,
            Peer::Among(selector) => Some(Selected { selector, negated: false }),
            Peer::NotAmong(selector) => Some(Selected { selector, negated: true }),
            Peer::DetailedEnd(full) => ends.get(full).selected,
        }
    }

    /// The end as a dataplane takes it; none if it can never match, for want of knowing who is in a set. `unsure` if it
    /// may match more than is known.
    fn ready(self, with_port: bool, action: Action, known: &Known<'_>, unsure: &mut bool) -> Option<End> {
        let mut end = self.without_labels(with_port, known);
        let mut how = |is_incomplete: bool, negated: bool| {
            *unsure |= is_incomplete;
            if is_incomplete { Unknown::of(action, negated) } else { Unknown::Known }
        };
        if let Some(one) = self.selected(known.ends) {
            let set = (known.set)(&SetKey::Peers(one.selector));
            match how(set.is_incomplete, one.negated) {
                Unknown::Known => end.peers = Some(PeerSet { set: set.id.clone(), negated: one.negated }),
                Unknown::Never => return None,
                Unknown::Met => {}
            }
        }
        let Peer::DetailedEnd(full) = self else { return Some(end) };
        let full = known.ends.get(full);
        for (numbers, into, negated) in
            [(&full.ports, &mut end.ports, false), (&full.not_ports, &mut end.not_ports, true)]
        {
            let sets = || full.of(numbers).map(|(selector, name)| (known.set)(&SetKey::Port(selector, name)));
            match how(sets().any(|set| set.is_incomplete), negated) {
                Unknown::Known => into.named = sets().map(|set| set.id.clone()).collect(),
                Unknown::Never => return None,
                Unknown::Met => *into = Ports::default(),
            }
        }
        if let Some(id) = &full.service {
            match how((known.set)(&SetKey::service(id, with_port)).is_incomplete, false) {
                Unknown::Known => {}
                Unknown::Never => return None,
                Unknown::Met => end.service = None,
            }
        }
        Some(end)
    }

    /// The end as far as it does not ask for labels, and nothing of it that named ports or unknown members of a service could
    /// have made larger.
    fn widened(self, with_port: bool, known: &Known<'_>) -> End {
        let mut end = self.without_labels(with_port, known);
        let Peer::DetailedEnd(full) = self else { return end };
        let full = known.ends.get(full);
        if !full.ports.named.is_empty() {
            end.ports = Ports::default();
        }
        if full.service.as_deref().is_some_and(|id| (known.set)(&SetKey::service(id, with_port)).is_incomplete) {
            end.service = None;
        }
        end
    }

    /// The end without its selector and the names of its ports.
    fn without_labels(self, with_port: bool, known: &Known<'_>) -> End {
        let Peer::DetailedEnd(full) = self else { return End::default() };
        let full = known.ends.get(full);
        let ports = |numbers: &Numbers| Ports { ranges: numbers.ranges.to_vec(), named: Vec::new() };
        End {
            peers: None,
            nets: full.nets.to_vec(),
            not_nets: full.not_nets.to_vec(),
            ports: ports(&full.ports),
            not_ports: ports(&full.not_ports),
            service: full.service.as_deref().map(|id| (known.set)(&SetKey::service(id, with_port)).id.clone()),
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
        never: rule.never,
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
