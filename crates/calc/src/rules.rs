//! Rules in few bytes: selectors, port names and the other conditions of an end are numbers.

use tortie_dataplane::{End, PeerSet, Ports, Rule as DataplaneRule};
use tortie_net::Protocol;
use tortie_policy::{Action, Family, Icmp, PeerMatch, Rule as Written, UnknownMembers, asks_unreadable};
use tortie_selector::Selector;

use crate::faults;
use crate::members::Shared;
use crate::rule_ends::{DetailedEnd, EndIndex, Ends, Numbers, Selected};
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
    source: PackedEnd,
    destination: PackedEnd,
    never: bool,
}

/// One end of a rule.
#[derive(Clone, Copy, Debug, PartialEq)]
enum PackedEnd {
    Any,
    Among(SelectorIndex),
    NotAmong(SelectorIndex),
    DetailedEnd(EndIndex),
}

impl Rule {
    /// The sets that it names, possibly with repetitions.
    pub(crate) fn sets(&self, ends: &Ends) -> Vec<SetKey> {
        let mut keys = Vec::new();
        for (peer, with_port) in [(self.source, false), (self.destination, true)] {
            keys.extend(peer.selected(ends).map(|one| SetKey::Peers(one.selector)));
            let PackedEnd::DetailedEnd(full) = peer else { continue };
            let full = ends.get(full);
            keys.extend(full.named().map(|(selector, name)| SetKey::Port(selector, name)));
            keys.extend(full.service.as_deref().map(|id| SetKey::service(id, with_port)));
        }
        keys
    }

    /// The rule in the form of a dataplane: none if it can never match, and more than one if objects with unreadable labels
    /// might match it.
    pub(crate) fn to_dataplane(&self, number: usize, context: &ConversionContext<'_>, into: &mut Vec<DataplaneRule>) {
        if self.never && !faults::is_on("unreadable-allow-matches") {
            return;
        }
        if let Some(unreadable) = context.unreadable {
            let ends = [self.source, self.destination];
            for position in [0, 1].into_iter().filter(|&position| self.asks_unreadable(ends[position], context.ends)) {
                let mut denied = self.dataplane_rule(
                    number,
                    Action::Deny,
                    [self.source.widened(false, context), self.destination.widened(true, context)],
                );
                let set = (context.set)(unreadable);
                let peers = (!set.is_incomplete).then(|| PeerSet { set: set.id.clone(), negated: false });
                [&mut denied.source, &mut denied.destination][position].peers = peers;
                into.push(denied);
            }
        }
        let mut unsure = false;
        let mut side = |peer: PackedEnd, with_port| peer.to_dataplane(with_port, self.action, context, &mut unsure);
        let (Some(source), Some(destination)) = (side(self.source, false), side(self.destination, true)) else {
            return;
        };
        let action = match self.action {
            Action::Allow if context.passes_on => Action::Pass,
            action if unsure && !faults::is_on("unsure-pass-passes") => UnknownMembers::action(action),
            action => action,
        };
        into.push(self.dataplane_rule(number, action, [source, destination]));
    }

    fn asks_unreadable(&self, end: PackedEnd, ends: &Ends) -> bool {
        let negated = end.selected(ends).map(|one| one.negated);
        let (named, not_named) = match end {
            PackedEnd::DetailedEnd(full) => {
                let full = ends.get(full);
                (!full.ports.named.is_empty(), !full.not_ports.named.is_empty())
            }
            _ => (false, false),
        };
        asks_unreadable(self.action, negated, named, not_named)
    }

    fn dataplane_rule(&self, number: usize, action: Action, [source, destination]: [End; 2]) -> DataplaneRule {
        DataplaneRule {
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

/// What the conversion of rules for a dataplane depends on.
pub(crate) struct ConversionContext<'a> {
    pub(crate) ends: &'a Ends,
    /// The set of a key that is in use.
    pub(crate) set: &'a dyn Fn(&SetKey) -> &'a Set,
    /// The set of the addresses of objects with unreadable labels, if there are any.
    pub(crate) unreadable: Option<&'a SetKey>,
    /// Whether packets that the list allows continue with other tiers.
    pub(crate) passes_on: bool,
}

impl PackedEnd {
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
                None => PackedEnd::Any,
                Some(Selected { selector, negated: false }) => PackedEnd::Among(selector),
                Some(Selected { selector, negated: true }) => PackedEnd::NotAmong(selector),
            };
        }
        let ports = Numbers::new(ports, names);
        let not_ports = Numbers::new(not_ports, names);
        let any_named = !(ports.named.is_empty() && not_ports.named.is_empty());
        // A negated selector does not limit whose ports count.
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
        PackedEnd::DetailedEnd(ends.acquire(full, selectors, names))
    }

    fn release(self, shared: &mut Shared) {
        let Shared { selectors, names, ends, .. } = shared;
        match self {
            PackedEnd::Any => {}
            PackedEnd::Among(selector) | PackedEnd::NotAmong(selector) => selectors.release(selector),
            PackedEnd::DetailedEnd(full) => ends.release(full, selectors, names),
        }
    }

    fn selected(self, ends: &Ends) -> Option<Selected> {
        match self {
            PackedEnd::Any => None,
            PackedEnd::Among(selector) => Some(Selected { selector, negated: false }),
            PackedEnd::NotAmong(selector) => Some(Selected { selector, negated: true }),
            PackedEnd::DetailedEnd(full) => ends.get(full).selected,
        }
    }

    /// The end in the form of a dataplane; none if it can never match, because the members of a set are unknown. Sets `unsure` if it
    /// may match more than is known.
    fn to_dataplane(
        self,
        with_port: bool,
        action: Action,
        context: &ConversionContext<'_>,
        unsure: &mut bool,
    ) -> Option<End> {
        let mut end = self.without_labels(with_port, context);
        let mut how = |is_incomplete: bool, negated: bool| {
            *unsure |= is_incomplete;
            if is_incomplete { UnknownMembers::of(action, negated) } else { UnknownMembers::None }
        };
        if let Some(one) = self.selected(context.ends) {
            let set = (context.set)(&SetKey::Peers(one.selector));
            match how(set.is_incomplete, one.negated) {
                UnknownMembers::None => end.peers = Some(PeerSet { set: set.id.clone(), negated: one.negated }),
                UnknownMembers::NeverMatches => return None,
                UnknownMembers::AlwaysMet => {}
            }
        }
        let PackedEnd::DetailedEnd(full) = self else { return Some(end) };
        let full = context.ends.get(full);
        for (numbers, into, negated) in
            [(&full.ports, &mut end.ports, false), (&full.not_ports, &mut end.not_ports, true)]
        {
            let sets = || full.of(numbers).map(|(selector, name)| (context.set)(&SetKey::Port(selector, name)));
            match how(sets().any(|set| set.is_incomplete), negated) {
                UnknownMembers::None => into.named = sets().map(|set| set.id.clone()).collect(),
                UnknownMembers::NeverMatches => return None,
                UnknownMembers::AlwaysMet => *into = Ports::default(),
            }
        }
        if let Some(id) = &full.service {
            match how((context.set)(&SetKey::service(id, with_port)).is_incomplete, false) {
                UnknownMembers::None => {}
                UnknownMembers::NeverMatches => return None,
                UnknownMembers::AlwaysMet => end.service = None,
            }
        }
        Some(end)
    }

    /// The end without its conditions on labels, and without conditions that named ports or unknown members of a service
    /// could have made wider.
    fn widened(self, with_port: bool, context: &ConversionContext<'_>) -> End {
        let mut end = self.without_labels(with_port, context);
        let PackedEnd::DetailedEnd(full) = self else { return end };
        let full = context.ends.get(full);
        if !full.ports.named.is_empty() {
            end.ports = Ports::default();
        }
        if full.service.as_deref().is_some_and(|id| (context.set)(&SetKey::service(id, with_port)).is_incomplete) {
            end.service = None;
        }
        end
    }

    /// The end without its selector and the names of its ports.
    fn without_labels(self, with_port: bool, context: &ConversionContext<'_>) -> End {
        let PackedEnd::DetailedEnd(full) = self else { return End::default() };
        let full = context.ends.get(full);
        let ports = |numbers: &Numbers| Ports { ranges: numbers.ranges.to_vec(), named: Vec::new() };
        End {
            peers: None,
            nets: full.nets.to_vec(),
            not_nets: full.not_nets.to_vec(),
            ports: ports(&full.ports),
            not_ports: ports(&full.not_ports),
            service: full.service.as_deref().map(|id| (context.set)(&SetKey::service(id, with_port)).id.clone()),
        }
    }
}

/// Packs a list of rules. The selectors, names and ends that they use stay in use until [`release`].
pub(crate) fn pack(rules: &[Written], shared: &mut Shared) -> Box<[Rule]> {
    let rule = |rule: &Written| Rule {
        action: rule.action,
        family: rule.family,
        protocol: rule.protocol,
        not_protocol: rule.not_protocol,
        icmp: rule.icmp,
        not_icmp: rule.not_icmp,
        source: PackedEnd::new(&rule.source, shared),
        destination: PackedEnd::new(&rule.destination, shared),
        never: rule.never,
    };
    rules.iter().map(rule).collect()
}

/// Removes the uses of selectors, names and ends that a list has.
pub(crate) fn release(rules: Box<[Rule]>, shared: &mut Shared) {
    for rule in rules {
        rule.source.release(shared);
        rule.destination.release(shared);
    }
}
