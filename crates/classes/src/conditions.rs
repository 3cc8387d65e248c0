//! Everything that can tell packets apart, collected.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use tortie_eval::{Subject, unknown_member};
use tortie_net::Protocol;
use tortie_policy::packet::Host;
use tortie_policy::{Direction, Family, Icmp, Nat, PeerMatch, PortMatch, Rule, Snapshot, UnknownMembers};

use crate::addresses::AddressSet;
use crate::classes::Classes;
use crate::members::Members;
use crate::partition::Partition;
use crate::products::Product;
use crate::ranges::Ranges;
use crate::transport::{
    TransportClass, TransportClasses, TransportConditions, TransportMatch, TransportRanges, WITH_PORTS, icmp_number,
};

/// The packets that a question is about.
#[derive(Clone, Debug)]
pub struct Domain {
    /// Their sources.
    pub source: AddressSet,
    /// Their destinations, as they arrive.
    pub destination: AddressSet,
    /// Where translations that are not ours may send them.
    pub translated: AddressSet,
    /// The sources that nodes on the way may give them, which rules of later nodes see.
    pub replaced: AddressSet,
    /// Their source ports.
    pub source_ports: Ranges,
}

impl Default for Domain {
    /// All packets.
    fn default() -> Self {
        let all = AddressSet::all();
        Self {
            source: all.clone(),
            destination: all,
            translated: AddressSet::default(),
            replaced: AddressSet::default(),
            source_ports: Ranges::span(0u16, u16::MAX),
        }
    }
}

/// The two ends of a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Source,
    Destination,
}

/// The conditions of one family.
#[derive(Default)]
pub(crate) struct OfFamily {
    source: BTreeSet<Ranges>,
    destination: BTreeSet<Ranges>,
    pub(crate) transport: TransportConditions,
}

/// Conditions that can concern packets of a domain.
pub struct Conditions<'a> {
    pub(crate) snapshot: &'a Snapshot,
    domain: Domain,
    /// Sources as rules may see them, after translations.
    sources: AddressSet,
    /// Destinations as rules may see them, after translations.
    reached: AddressSet,
    /// Found out when a rule first asks for them.
    members: Rc<RefCell<Option<Members<'a>>>>,
    v4: OfFamily,
    v6: OfFamily,
}

impl<'a> Conditions<'a> {
    /// None yet.
    pub fn new(snapshot: &'a Snapshot, domain: Domain) -> Self {
        Self::with(snapshot, Rc::default(), domain)
    }

    /// None yet, of another domain. What selectors mean in the snapshot is found out once for both.
    #[must_use]
    pub fn again(&self, domain: Domain) -> Self {
        Self::with(self.snapshot, self.members.clone(), domain)
    }

    fn with(snapshot: &'a Snapshot, members: Rc<RefCell<Option<Members<'a>>>>, domain: Domain) -> Self {
        let nats: Vec<&Nat> = Self::members(snapshot, &members, |members| members.nats.clone());
        let nats = nats.into_iter();
        let floating = nats.filter(|nat| domain.destination.contains(nat.external)).map(|nat| &nat.internal);
        let reached = domain.destination.union(&domain.translated).union(&AddressSet::of(floating));
        let sources = domain.source.union(&domain.replaced);
        Self { snapshot, domain, sources, reached, members, v4: OfFamily::default(), v6: OfFamily::default() }
    }

    /// What a rule asks of a packet. A rule that matches no packet of the domain adds nothing.
    pub fn add_rule(&mut self, rule: &Rule) {
        if rule.never {
            return;
        }
        if self.with_members(|members| members.has_unreadable()) {
            rule.against_unreadable().iter().for_each(|rule| self.add_readable(rule));
        }
        self.add_readable(rule);
    }

    fn add_readable(&mut self, rule: &Rule) {
        for family in [Family::V4, Family::V6] {
            if rule.family.is_none_or(|only| only == family) {
                self.add_rule_of(rule, family);
            }
        }
    }

    /// Every rule that can concern an endpoint in some directions: of the enforced policies that select it, of all
    /// stages, and of its profiles.
    pub fn add_endpoint(&mut self, subject: &Subject, directions: &[Direction]) {
        let policies = self.snapshot.policies.values();
        for policy in policies.filter(|policy| !policy.staged && policy.selector.matches(&subject.labels)) {
            for direction in directions {
                policy.rules(*direction).iter().for_each(|rule| self.add_rule(rule));
            }
        }
        for profile in subject.profiles.iter().filter_map(|name| self.snapshot.profiles.get(name)) {
            for direction in directions {
                let rules = match direction {
                    Direction::Ingress => &profile.ingress,
                    Direction::Egress => &profile.egress,
                };
                rules.iter().for_each(|rule| self.add_rule(rule));
            }
        }
    }

    /// Tells the packets of a product from all others. One without packets of the domain adds nothing.
    pub fn add_product(&mut self, product: &Product, family: Family) {
        let Product { source, destination, protocols, transport } = product;
        if !source.meets(self.sources.family(family)) || !destination.meets(self.reached.family(family)) {
            return;
        }
        self.add_ranges(End::Source, family, source);
        self.add_ranges(End::Destination, family, destination);
        // The protocols that it names, or those that it leaves out: these are few.
        let rest = Ranges::span(0u8, u8::MAX).minus(protocols);
        let is_list = protocols.iter().all(|(first, last)| first == last);
        let named = if is_list { protocols } else { &rest };
        let named: Vec<u8> = (0..=u8::MAX).filter(|number| named.contains((*number).into())).collect();
        match transport {
            TransportMatch::Any => {}
            TransportMatch::Ports { source, destination } => {
                let every = Ranges::span(0u16, u16::MAX);
                for protocol in
                    WITH_PORTS.map(Protocol::number).into_iter().filter(|one| protocols.contains((*one).into()))
                {
                    for (end, ports) in [(End::Source, source), (End::Destination, destination)] {
                        if *ports != every {
                            self.add_port_range(end, family, protocol, ports.clone());
                        }
                    }
                }
            }
            TransportMatch::Icmp(pairs) => drop(self.family_mut(family).transport.icmp.insert(pairs.clone())),
        }
        self.family_mut(family).transport.protocols.extend(named);
    }

    /// Everything that can concern a packet on a node, whichever way it takes.
    pub fn add_node(&mut self, host: &Host) {
        let snapshot = self.snapshot;
        self.add_settings(snapshot.settings(&host.node));
        self.add_floating(&host.node);
        let both = [Direction::Ingress, Direction::Egress];
        let mut seen = BTreeSet::new();
        let mut add = |conditions: &mut Self, subject: Subject| {
            if seen.insert((subject.labels.clone(), subject.profiles.clone())) {
                conditions.add_endpoint(&subject, &both);
            }
        };
        for endpoint in snapshot.workload_endpoints.values().filter(|endpoint| endpoint.node == host.node) {
            self.add_source_check(endpoint);
            add(self, Subject::workload(snapshot, endpoint));
        }
        for endpoint in snapshot.host_endpoints.values().filter(|endpoint| endpoint.node == host.node) {
            add(self, Subject::host(snapshot, endpoint));
        }
    }

    /// Tells these source addresses from all others.
    pub fn add_source(&mut self, addresses: &AddressSet) {
        self.add_addresses(End::Source, addresses);
    }

    /// Tells these destination addresses from all others.
    pub fn add_destination(&mut self, addresses: &AddressSet) {
        self.add_addresses(End::Destination, addresses);
    }

    /// Tells packets to this port of a protocol from all others.
    pub fn add_destination_port(&mut self, family: Family, protocol: u8, port: u16) {
        self.add_port_range(End::Destination, family, protocol, Ranges::one(port));
    }

    /// Tells ICMP of this type, and of this code if one is given, from all others.
    pub fn add_icmp(&mut self, family: Family, kind: u8, code: Option<u8>) {
        let codes = code.map_or((0, u8::MAX), |code| (code, code));
        let pairs = Ranges::of([(icmp_number(kind, codes.0), icmp_number(kind, codes.1))]);
        self.family_mut(family).transport.icmp.insert(pairs);
    }

    /// Tells packets of these classes from all others.
    pub fn add_transports(&mut self, family: Family, classes: impl IntoIterator<Item = TransportClass>) {
        let mut ports: BTreeMap<(u8, Ranges), Ranges> = BTreeMap::new();
        for TransportClass { protocols, transport } in classes {
            let mut numbers = protocols.iter().flat_map(|(first, last)| first..=last);
            let (Some(Ok(protocol)), None) = (numbers.next().map(u8::try_from), numbers.next()) else { continue };
            let conditions = &mut self.family_mut(family).transport;
            conditions.protocols.insert(protocol);
            match transport {
                TransportRanges::Ports { source, destination } => {
                    let of = ports.entry((protocol, source)).or_insert_with(Ranges::none);
                    *of = of.union(&destination);
                }
                TransportRanges::Icmp(pairs) => drop(conditions.icmp.insert(pairs)),
                TransportRanges::Opaque => {}
            }
        }
        for ((protocol, source), destination) in ports {
            self.add_port_range(End::Source, family, protocol, source);
            self.add_port_range(End::Destination, family, protocol, destination);
        }
    }

    /// The protocols and transports of one family, in classes.
    pub fn transports(&self, family: Family) -> TransportClasses {
        TransportClasses::new(family, &self.family(family).transport, &self.domain.source_ports)
    }

    /// Everything that other conditions, of the same domain, tell apart too.
    pub fn add_all_of(&mut self, other: &Conditions<'_>) {
        for (mine, theirs) in [(&mut self.v4, &other.v4), (&mut self.v6, &other.v6)] {
            mine.source.extend(theirs.source.iter().cloned());
            mine.destination.extend(theirs.destination.iter().cloned());
            mine.transport.add_all_of(&theirs.transport);
        }
    }

    /// The packets of the domain, of one family, in classes.
    pub fn classes(&self, family: Family) -> Classes {
        let conditions = self.family(family);
        Classes {
            family,
            sources: Partition::new(self.domain.source.family(family), &conditions.source),
            destinations: Partition::new(self.domain.destination.family(family), &conditions.destination),
            transports: self.transports(family),
        }
    }

    pub(crate) fn add_addresses(&mut self, end: End, addresses: &AddressSet) {
        for family in [Family::V4, Family::V6] {
            self.add_ranges(end, family, addresses.family(family));
        }
    }

    fn add_ranges(&mut self, end: End, family: Family, ranges: &Ranges) {
        let domain = match end {
            End::Source => self.domain.source.family(family),
            End::Destination => self.domain.destination.family(family),
        };
        // What holds for all of the domain or for nothing of it divides nothing.
        if !ranges.meets(domain) || domain.is_within(ranges) {
            return;
        }
        let ranges = ranges.clone();
        let conditions = self.family_mut(family);
        match end {
            End::Source => conditions.source.insert(ranges),
            End::Destination => conditions.destination.insert(ranges),
        };
    }

    fn family(&self, family: Family) -> &OfFamily {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    pub(crate) fn family_mut(&mut self, family: Family) -> &mut OfFamily {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }

    fn add_rule_of(&mut self, rule: &Rule, family: Family) {
        // The ends are read below; `add_rule` has looked at `never`, `add_readable` at the family.
        let Rule {
            action: _,
            family: _,
            protocol,
            not_protocol,
            icmp,
            not_icmp,
            source: _,
            destination: _,
            http: _,
            annotations: _,
            never: _,
        } = rule;
        let Some(source) = self.address_conditions(rule, End::Source, family) else { return };
        let Some(destination) = self.address_conditions(rule, End::Destination, family) else { return };
        for ranges in source {
            self.add_ranges(End::Source, family, &ranges);
        }
        for ranges in destination {
            self.add_ranges(End::Destination, family, &ranges);
        }
        self.add_ports(rule, End::Source, family);
        self.add_ports(rule, End::Destination, family);
        let transport = &mut self.family_mut(family).transport;
        transport.protocols.extend(protocol.iter().chain(not_protocol).copied().map(Protocol::number));
        transport.icmp.extend(icmp.iter().chain(not_icmp).copied().filter_map(icmp_pairs));
    }

    /// What a rule asks of the address of one end; none when no packet of the domain can match it.
    fn address_conditions(&self, rule: &Rule, end: End, family: Family) -> Option<Vec<Ranges>> {
        let (side, domain) = match end {
            End::Source => (&rule.source, &self.sources),
            End::Destination => (&rule.destination, &self.reached),
        };
        let domain = domain.family(family);
        let mut asked = Vec::new();
        if !side.nets.is_empty() {
            let nets = AddressSet::of_nets(&side.nets).family(family).clone();
            if !nets.meets(domain) {
                return None;
            }
            asked.push(nets);
        }
        if !side.not_nets.is_empty() {
            let nets = AddressSet::of_nets(&side.not_nets).family(family).clone();
            // Without a net of this family the rule is left out for it.
            if nets.is_empty() || domain.is_within(&nets) {
                return None;
            }
            asked.push(nets);
        }
        if let Some(peers) = &side.peers {
            let is_unknown = unknown_member(self.snapshot, &peers.selector, false).is_some();
            match UnknownMembers::of(rule.action, peers.negated) {
                UnknownMembers::NeverMatches if is_unknown => return None,
                UnknownMembers::AlwaysMet if is_unknown => {}
                _ => {
                    let members = self.with_members(|members| members.selected(&peers.selector).family(family).clone());
                    let possible = if peers.negated { !domain.is_within(&members) } else { members.meets(domain) };
                    if !possible {
                        return None;
                    }
                    asked.push(members);
                }
            }
        }
        if let Some(id) = &side.service {
            let slices = || self.snapshot.slices_of(id);
            let addresses = AddressSet::of(slices().flat_map(|slice| &slice.addresses));
            // A rule that denies may mean more addresses than are known.
            if !addresses.family(family).meets(domain) && !slices().any(|slice| slice.incomplete) {
                return None;
            }
            asked.push(addresses.family(family).clone());
        }
        Some(asked)
    }

    /// What a rule asks of the ports of one end: its numbers, named ports with the addresses that have them, and those
    /// of a service.
    fn add_ports(&mut self, rule: &Rule, end: End, family: Family) {
        let side = match end {
            End::Source => &rule.source,
            End::Destination => &rule.destination,
        };
        for list in [&side.ports, &side.not_ports] {
            let numbers = list.iter().filter_map(|entry| match entry {
                PortMatch::Range(range) => Some((range.first().into(), range.last().into())),
                PortMatch::Named(_) => None,
            });
            let numbers = Ranges::of(numbers);
            for protocol in [Protocol::TCP, Protocol::UDP, Protocol::SCTP] {
                if !numbers.is_empty() && concerns(rule, protocol.number()) {
                    self.add_port_range(end, family, protocol.number(), numbers.clone());
                }
            }
            for entry in list {
                if let PortMatch::Named(name) = entry {
                    self.add_named_port(rule, side, end, family, name);
                }
            }
        }
        if let (End::Destination, Some(id)) = (end, &side.service) {
            let snapshot = self.snapshot;
            for slice in snapshot.slices_of(id) {
                let addresses = AddressSet::of(&slice.addresses);
                for (protocol, port) in slice.ports.iter().filter(|(protocol, _)| concerns(rule, protocol.number())) {
                    self.add_named(end, family, protocol.number(), *port, &addresses);
                }
            }
        }
    }

    fn add_named_port(&mut self, rule: &Rule, side: &PeerMatch, end: End, family: Family, name: &str) {
        let selector = side.peers.as_ref().and_then(|peers| peers.positive());
        let found = self.with_members(|members| members.named_ports(selector, name));
        for ((protocol, port), addresses) in found {
            let reached = match end {
                End::Source => &self.sources,
                End::Destination => &self.reached,
            };
            if concerns(rule, protocol) && reached.family(family).meets(addresses.family(family)) {
                self.add_named(end, family, protocol, port, &addresses);
            }
        }
    }

    /// A port at some addresses.
    fn add_named(&mut self, end: End, family: Family, protocol: u8, port: u16, addresses: &AddressSet) {
        self.family_mut(family).transport.protocols.insert(protocol);
        self.add_port_range(end, family, protocol, Ranges::one(port));
        self.add_ranges(end, family, addresses.family(family));
    }

    pub(crate) fn add_port_range(&mut self, end: End, family: Family, protocol: u8, ports: Ranges) {
        let [source, destination] = self.family_mut(family).transport.ports.entry(protocol).or_default();
        match end {
            End::Source => source.insert(ports),
            End::Destination => destination.insert(ports),
        };
    }

    pub(crate) fn with_members<T>(&self, use_them: impl FnOnce(&mut Members<'a>) -> T) -> T {
        Self::members(self.snapshot, &self.members, use_them)
    }

    fn members<T>(
        snapshot: &'a Snapshot,
        members: &RefCell<Option<Members<'a>>>,
        use_them: impl FnOnce(&mut Members<'a>) -> T,
    ) -> T {
        use_them(members.borrow_mut().get_or_insert_with(|| Members::new(snapshot)))
    }
}

/// Whether a rule can match packets of a protocol.
fn concerns(rule: &Rule, protocol: u8) -> bool {
    rule.protocol.is_none_or(|only| only.number() == protocol)
        && rule.not_protocol.is_none_or(|not| not.number() != protocol)
}

/// Types with codes; none for all of them.
pub(crate) fn icmp_pairs(icmp: Icmp) -> Option<Ranges> {
    match (icmp.kind, icmp.code) {
        (Some(kind), Some(code)) => Some(Ranges::one(icmp_number(kind, code))),
        (Some(kind), None) => Some(Ranges::span(icmp_number(kind, 0), icmp_number(kind, u8::MAX))),
        (None, Some(code)) => {
            Some(Ranges::of((0..=u8::MAX).map(|kind| (icmp_number(kind, code), icmp_number(kind, code)))))
        }
        (None, None) => None,
    }
}
