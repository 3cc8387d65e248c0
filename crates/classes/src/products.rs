//! A rule as a set of boxes: source addresses × destination addresses × protocols × ports or ICMP. A box is called a product.
//!
//! `tests/products.rs` holds this against [`tortie_eval::single_rule`].

use std::rc::Rc;

use tortie_eval::{has_too_many_ports, unknown_member};
use tortie_net::Protocol;
use tortie_policy::packet::Transport;
use tortie_policy::{Action, Family, PeerMatch, Peers, PortMatch, Rule, UnknownMembers};
use tortie_selector::Selector;

use crate::addresses::AddressSet;
use crate::conditions::{Conditions, End, icmp_pairs};
use crate::partition::Partition;
use crate::ranges::Ranges;
use crate::transport::TransportMatch;

/// The protocols whose ports rules read.
const READ_PORTS: [Protocol; 3] = [Protocol::TCP, Protocol::UDP, Protocol::SCTP];

/// Packets of one family whose source, destination, protocol and transport are each in a set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Product {
    /// Their sources. Rules that ask for the same selector share them.
    pub source: Rc<Ranges>,
    /// Their destinations.
    pub destination: Rc<Ranges>,
    /// Their protocols.
    pub protocols: Ranges,
    /// Their ports, or their ICMP types and codes.
    pub transport: TransportMatch,
}

/// What a rule does to the packets that it matches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Clause {
    /// What it does.
    pub action: Action,
    /// To which packets; they may overlap.
    pub products: Rc<[Product]>,
}

impl Product {
    /// Every packet of a family.
    pub fn all(family: Family) -> Self {
        let every = Rc::new(AddressSet::all().family(family).clone());
        let protocols = Ranges::span(0u8, u8::MAX);
        Self { source: every.clone(), destination: every, protocols, transport: TransportMatch::Any }
    }

    /// The packets that are in both, if there are any.
    #[must_use]
    pub fn intersection(&self, other: &Product) -> Option<Product> {
        let both = |one: &Ranges, other: &Ranges| Some(one.intersection(other)).filter(|both| !both.is_empty());
        Some(Product {
            source: shared(&self.source, &other.source)?,
            destination: shared(&self.destination, &other.destination)?,
            protocols: both(&self.protocols, &other.protocols)?,
            transport: self.transport.intersection(&other.transport)?,
        })
    }

    /// Whether packets with this protocol and transport are among those of the product.
    pub fn has_transport(&self, protocol: u8, transport: Transport) -> bool {
        self.protocols.contains(protocol.into()) && self.transport.contains(transport)
    }

    fn at(mut self, end: End, addresses: impl Into<Rc<Ranges>>) -> Self {
        let addresses = addresses.into();
        match end {
            End::Source => self.source = addresses,
            End::Destination => self.destination = addresses,
        }
        self
    }

    fn on(mut self, end: End, protocols: Ranges, ports: Ranges) -> Self {
        let every = Ranges::span(0u16, u16::MAX);
        self.protocols = protocols;
        self.transport = match end {
            End::Source => TransportMatch::Ports { source: ports, destination: every },
            End::Destination => TransportMatch::Ports { source: every, destination: ports },
        };
        self
    }
}

/// Rules of one end that have a condition which no packet meets, or of which too little is known.
struct Never;

impl Conditions<'_> {
    /// What a rule does, in the order in which it is asked: first what it denies because of labels that cannot be read.
    pub fn clauses(&self, rule: &Rule, family: Family) -> Vec<Clause> {
        let mut clauses = Vec::new();
        if self.with_members(|members| members.has_unreadable()) {
            clauses.extend(rule.against_unreadable().iter().map(|rule| self.clause(rule, family)));
        }
        clauses.push(self.clause(rule, family));
        clauses.retain(|clause| !clause.products.is_empty());
        clauses
    }

    fn clause(&self, rule: &Rule, family: Family) -> Clause {
        let mut clause = Clause { action: rule.action, products: Rc::default() };
        let Some(first) = transport(rule, family) else { return clause };
        let mut products = vec![first];
        for (end, side) in [(End::Source, &rule.source), (End::Destination, &rule.destination)] {
            let Ok((conditions, unsure)) = self.end(rule.action, side, end, family) else { return clause };
            for condition in conditions {
                let pairs =
                    products.iter().flat_map(|one| condition.iter().filter_map(|other| one.intersection(other)));
                products = pairs.collect();
            }
            if unsure {
                clause.action = UnknownMembers::action(rule.action);
            }
        }
        clause.products = products.into();
        clause
    }

    /// The conditions of one end, all of which must hold, and whether one depends on what is not known.
    fn end(
        &self,
        action: Action,
        side: &PeerMatch,
        end: End,
        family: Family,
    ) -> Result<(Vec<Vec<Product>>, bool), Never> {
        let all = || Product::all(family);
        let every = AddressSet::all().family(family).clone();
        let mut conditions: Vec<Vec<Product>> = Vec::new();
        let mut unsure = false;
        if !side.nets.is_empty() {
            conditions.push(vec![all().at(end, AddressSet::of_nets(&side.nets).family(family).clone())]);
        }
        if !side.not_nets.is_empty() {
            let nets = AddressSet::of_nets(&side.not_nets).family(family).clone();
            // Without a net of this family the rule is left out for it.
            if nets.is_empty() {
                return Err(Never);
            }
            conditions.push(vec![all().at(end, every.minus(&nets))]);
        }
        if let Some(peers) = &side.peers {
            let is_unknown = unknown_member(self.snapshot, &peers.selector, false).is_some();
            unsure |= is_unknown;
            match UnknownMembers::of(action, peers.negated) {
                UnknownMembers::NeverMatches if is_unknown => return Err(Never),
                UnknownMembers::AlwaysMet if is_unknown => {}
                _ => {
                    let members = self.with_members(|members| members.shared(&peers.selector, family));
                    let members = if peers.negated { every.minus(&members).into() } else { members };
                    conditions.push(vec![all().at(end, members)]);
                }
            }
        }
        if let Some(id) = &side.service {
            let is_unknown = self.snapshot.slices_of(id).any(|slice| slice.incomplete);
            unsure |= is_unknown;
            match UnknownMembers::of(action, false) {
                UnknownMembers::NeverMatches if is_unknown => return Err(Never),
                UnknownMembers::AlwaysMet if is_unknown => {}
                _ => {
                    let mut served = Vec::new();
                    for slice in self.snapshot.slices_of(id) {
                        let at = all().at(end, AddressSet::of(&slice.addresses).family(family).clone());
                        match end {
                            End::Source => served.push(at),
                            End::Destination => served.extend(slice.ports.iter().map(|(protocol, port)| {
                                at.clone().on(end, Ranges::one(protocol.number()), Ranges::one(*port))
                            })),
                        }
                    }
                    conditions.push(served);
                }
            }
        }
        unsure |= self.ports(action, side, end, family, &mut conditions)?;
        Ok((conditions, unsure))
    }

    /// The conditions on ports, and whether one depends on what is not known.
    fn ports(
        &self,
        action: Action,
        side: &PeerMatch,
        end: End,
        family: Family,
        conditions: &mut Vec<Vec<Product>>,
    ) -> Result<bool, Never> {
        let lenders = side.peers.as_deref().and_then(Peers::positive).cloned().unwrap_or_else(Selector::all);
        let too_many = |name: &str| has_too_many_ports(self.snapshot, &lenders, name);
        let mut unsure = false;
        for (list, negated) in [(&side.ports, false), (&side.not_ports, true)] {
            if list.is_empty() {
                continue;
            }
            let mut numbers = Vec::new();
            let mut named: Vec<(u8, u16, Ranges)> = Vec::new();
            let (mut has_names, mut is_unknown) = (false, false);
            for entry in list {
                match entry {
                    PortMatch::Range(range) => numbers.push((range.first().into(), range.last().into())),
                    PortMatch::Named(name) => {
                        has_names = true;
                        // Of too many none counts.
                        if too_many(name) {
                            is_unknown = true;
                            continue;
                        }
                        let found = self.with_members(|members| members.named_ports(Some(&lenders), name));
                        let of =
                            found.into_iter().map(|((protocol, port), at)| (protocol, port, at.family(family).clone()));
                        named.extend(of);
                    }
                }
            }
            is_unknown |= has_names && unknown_member(self.snapshot, &lenders, true).is_some();
            unsure |= is_unknown;
            match UnknownMembers::of(action, negated) {
                UnknownMembers::NeverMatches if is_unknown => return Err(Never),
                UnknownMembers::AlwaysMet if is_unknown => {}
                _ if negated => conditions.push(on_none(end, family, &Ranges::of(numbers), &named)),
                _ => conditions.push(on_any(end, family, Ranges::of(numbers), named)),
            }
        }
        Ok(unsure)
    }
}

/// What is in both, if there is anything; one of the two themselves where that is all of it.
fn shared(one: &Rc<Ranges>, other: &Rc<Ranges>) -> Option<Rc<Ranges>> {
    let both = one.intersection(other);
    match () {
        () if both.is_empty() => None,
        () if both == **one => Some(one.clone()),
        () if both == **other => Some(other.clone()),
        () => Some(both.into()),
    }
}

fn with_ports() -> Ranges {
    Ranges::of(READ_PORTS.map(|protocol| (protocol.number().into(), protocol.number().into())))
}

/// Packets on one of some ports.
fn on_any(end: End, family: Family, numbers: Ranges, named: Vec<(u8, u16, Ranges)>) -> Vec<Product> {
    let all = || Product::all(family);
    let named = named
        .into_iter()
        .map(|(protocol, port, at)| all().at(end, at).on(end, Ranges::one(protocol), Ranges::one(port)));
    let numbered = (!numbers.is_empty()).then(|| all().on(end, with_ports(), numbers));
    numbered.into_iter().chain(named).collect()
}

/// Packets on none of some ports. Packets of a protocol without ports are on none; unreadable ports are on neither side.
fn on_none(end: End, family: Family, numbers: &Ranges, named: &[(u8, u16, Ranges)]) -> Vec<Product> {
    let all = || Product::all(family);
    let every = AddressSet::all().family(family).clone();
    let portless = Product { protocols: all().protocols.minus(&with_ports()), ..all() };
    let mut products = vec![portless];
    let left = Ranges::span(0u16, u16::MAX).minus(numbers);
    for protocol in READ_PORTS.map(Protocol::number) {
        let here: Vec<&(u8, u16, Ranges)> = named.iter().filter(|(of, ..)| *of == protocol).collect();
        let places = Partition::new(&every, here.iter().map(|(_, _, at)| at).collect::<Vec<_>>());
        for place in places.iter() {
            let has = here.iter().filter(|(_, _, at)| place.first().is_some_and(|one| at.contains(one)));
            let ports = left.minus(&Ranges::of(has.map(|(_, port, _)| ((*port).into(), (*port).into()))));
            products.push(all().at(end, place.clone()).on(end, Ranges::one(protocol), ports));
        }
    }
    products
}

/// What a rule asks of protocols and ICMP headers; none where no packet of the family can match.
fn transport(rule: &Rule, family: Family) -> Option<Product> {
    let Rule {
        action: _,
        family: only_family,
        protocol,
        not_protocol,
        icmp,
        not_icmp,
        source: _,
        destination: _,
        http: _,
        annotations: _,
        never,
    } = rule;
    if *never || only_family.is_some_and(|only| only != family) {
        return None;
    }
    let mut product = Product::all(family);
    if let Some(only) = *protocol {
        product.protocols = product.protocols.intersection(&Ranges::one(only.number()));
    }
    if let Some(not) = *not_protocol {
        product.protocols = product.protocols.minus(&Ranges::one(not.number()));
    }
    let every = Ranges::span(0u16, u16::MAX);
    let mut pairs: Option<Ranges> = icmp.map(|only| icmp_pairs(only).unwrap_or_else(|| every.clone()));
    if let Some(not) = *not_icmp {
        let not = icmp_pairs(not).unwrap_or_else(|| every.clone());
        pairs = Some(pairs.unwrap_or(every).minus(&not));
    }
    if let Some(pairs) = pairs {
        let own = match family {
            Family::V4 => Protocol::ICMP,
            Family::V6 => Protocol::ICMPV6,
        };
        product.protocols = product.protocols.intersection(&Ranges::one(own.number()));
        product.transport = TransportMatch::Icmp(pairs);
    }
    product
        .intersection(&Product::all(family))
        .filter(|product| product.transport != TransportMatch::Icmp(Ranges::none()))
}
