//! Classes of packets by protocol and [`Transport`]: ports, or ICMP type and code.

use std::collections::{BTreeMap, BTreeSet};

use tortie_net::Protocol;
use tortie_policy::Family;
use tortie_policy::packet::{Conntrack, Transport, first_tracking};

use crate::partition::Partition;
use crate::ranges::Ranges;

/// Protocols whose packets have ports.
pub(crate) const WITH_PORTS: [Protocol; 4] = [Protocol::TCP, Protocol::UDP, Protocol::SCTP, Protocol::UDPLITE];
const ICMP_PAIRS: u16 = u16::MAX;

/// The number of an ICMP type with its code, as [`TransportRanges::Icmp`] holds them.
pub(crate) fn icmp_number(kind: u8, code: u8) -> u128 {
    u128::from(u16::from_be_bytes([kind, code]))
}

/// The [`Transport`]s of the packets of one class.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TransportRanges {
    /// Readable ports.
    Ports {
        /// Source ports.
        source: Ranges,
        /// Destination ports.
        destination: Ranges,
    },
    /// A readable ICMP header: numbers of type times 256 plus code.
    Icmp(Ranges),
    /// Nothing that rules read: a protocol without ports, or a non-first fragment or a truncated header of one with.
    Opaque,
}

/// What a condition asks of the [`Transport`] of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TransportMatch {
    /// Nothing: packets without a readable header match too.
    Any,
    /// Readable ports.
    Ports {
        /// Source ports.
        source: Ranges,
        /// Destination ports.
        destination: Ranges,
    },
    /// A readable ICMP header: numbers of type times 256 plus code.
    Icmp(Ranges),
}

impl TransportMatch {
    /// What meets both conditions, if anything does.
    #[must_use]
    pub fn intersection(&self, other: &TransportMatch) -> Option<TransportMatch> {
        Some(match (self, other) {
            (Self::Any, both) | (both, Self::Any) => both.clone(),
            (Self::Ports { source, destination }, Self::Ports { source: from, destination: to }) => {
                Self::Ports { source: common(source, from)?, destination: common(destination, to)? }
            }
            (Self::Icmp(one), Self::Icmp(other)) => Self::Icmp(common(one, other)?),
            _ => return None,
        })
    }

    /// The transports of a class that meet it, if there are any.
    pub fn within(&self, class: &TransportRanges) -> Option<TransportRanges> {
        Some(match (self, class) {
            (Self::Any, all) => all.clone(),
            (Self::Ports { source, destination }, TransportRanges::Ports { source: from, destination: to }) => {
                TransportRanges::Ports { source: common(source, from)?, destination: common(destination, to)? }
            }
            (Self::Icmp(one), TransportRanges::Icmp(other)) => TransportRanges::Icmp(common(one, other)?),
            _ => return None,
        })
    }

    /// Whether a packet meets it.
    pub fn contains(&self, transport: Transport) -> bool {
        match (self, transport) {
            (Self::Any, _) => true,
            (Self::Ports { source, destination }, Transport::Ports { source: from, destination: to }) => {
                source.contains(from.into()) && destination.contains(to.into())
            }
            (Self::Icmp(pairs), Transport::Icmp { kind, code }) => pairs.contains(icmp_number(kind, code)),
            _ => false,
        }
    }
}

/// What is in both, if anything is.
fn common(one: &Ranges, other: &Ranges) -> Option<Ranges> {
    Some(one.intersection(other)).filter(|both| !both.is_empty())
}

/// Protocols and transports that nothing distinguishes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TransportClass {
    /// Their protocols: one, or all those that nothing names.
    pub protocols: Ranges,
    /// Their ports, or their ICMP types and codes.
    pub transport: TransportRanges,
}

impl TransportClass {
    /// The protocol and transport of one packet of the class.
    pub fn representative(&self) -> (u8, Transport) {
        let byte = |ranges: &Ranges| ranges.first().and_then(|value| u8::try_from(value).ok()).unwrap_or_default();
        let pair = |ranges: &Ranges| ranges.first().and_then(|value| u16::try_from(value).ok()).unwrap_or_default();
        let transport = match &self.transport {
            TransportRanges::Ports { source, destination } => {
                Transport::Ports { source: usual(source), destination: pair(destination) }
            }
            TransportRanges::Icmp(pairs) => {
                let [kind, code] = pair(pairs).to_be_bytes();
                Transport::Icmp { kind, code }
            }
            TransportRanges::Opaque => Transport::Opaque,
        };
        (byte(&self.protocols), transport)
    }

    /// Whether its packets can be the first of a connection, or are not tracked at all. Classes with the settings of a node
    /// tell that apart.
    pub fn begins_connections(&self, family: Family) -> bool {
        let (protocol, transport) = self.representative();
        first_tracking(protocol, transport, family == Family::V4) != Conntrack::Invalid
    }
}

/// A source port of the class: one that a client may have, if there is one.
fn usual(ports: &Ranges) -> u16 {
    const CLIENT: u16 = 49152;
    let found = if ports.contains(CLIENT.into()) { Some(CLIENT.into()) } else { ports.first() };
    found.and_then(|value| u16::try_from(value).ok()).unwrap_or_default()
}

/// The conditions on protocol and transport, of one family.
#[derive(Clone, Debug, Default)]
pub(crate) struct TransportConditions {
    pub(crate) protocols: BTreeSet<u8>,
    /// Conditions on the ports of a protocol: of the source, and of the destination.
    pub(crate) ports: BTreeMap<u8, [BTreeSet<Ranges>; 2]>,
    pub(crate) icmp: BTreeSet<Ranges>,
}

impl TransportConditions {
    pub(crate) fn add_all_of(&mut self, other: &TransportConditions) {
        self.protocols.extend(&other.protocols);
        self.icmp.extend(other.icmp.iter().cloned());
        for (protocol, theirs) in &other.ports {
            let mine = self.ports.entry(*protocol).or_default();
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                mine.extend(theirs.iter().cloned());
            }
        }
    }
}

/// All protocols and transports of one family, divided. The classes are numbered from 0; those of one protocol follow each other.
#[derive(Clone, Debug)]
pub struct TransportClasses {
    groups: Vec<Group>,
    len: usize,
}

#[derive(Clone, Debug)]
struct Group {
    protocols: Ranges,
    first: usize,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Ports { source: Partition, destination: Partition },
    Icmp(Partition),
    Plain,
}

impl Kind {
    fn len(&self) -> usize {
        // One more for what is opaque.
        match self {
            Kind::Ports { source, destination } => source.len() * destination.len() + 1,
            Kind::Icmp(pairs) => pairs.len() + 1,
            Kind::Plain => 1,
        }
    }
}

impl TransportClasses {
    pub(crate) fn new(family: Family, conditions: &TransportConditions, source_ports: &Ranges) -> Self {
        let icmp = match family {
            Family::V4 => Protocol::ICMP,
            Family::V6 => Protocol::ICMPV6,
        };
        let mut classes = Self { groups: Vec::new(), len: 0 };
        let none = Default::default();
        for protocol in WITH_PORTS {
            let [source, destination] = conditions.ports.get(&protocol.number()).unwrap_or(&none);
            classes.push(
                Ranges::one(protocol.number()),
                Kind::Ports {
                    source: Partition::new(source_ports, source),
                    destination: Partition::new(&Ranges::span(0u16, u16::MAX), destination),
                },
            );
        }
        let pairs = Partition::new(&Ranges::span(0u16, ICMP_PAIRS), &conditions.icmp);
        classes.push(Ranges::one(icmp.number()), Kind::Icmp(pairs));
        let mut others = Ranges::span(0u8, u8::MAX);
        for protocol in WITH_PORTS.into_iter().chain([icmp]) {
            others = others.minus(&Ranges::one(protocol.number()));
        }
        for number in conditions.protocols.iter().map(|number| Ranges::one(*number)) {
            if number.is_within(&others) {
                others = others.minus(&number);
                classes.push(number, Kind::Plain);
            }
        }
        classes.push(others, Kind::Plain);
        classes
    }

    fn push(&mut self, protocols: Ranges, kind: Kind) {
        let first = self.len;
        self.len += kind.len();
        self.groups.push(Group { protocols, first, kind });
    }

    /// How many classes there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// There is always one: the protocols that nothing names.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The class that holds the protocols that no condition names. It is the last one.
    pub fn unnamed(&self) -> usize {
        self.len - 1
    }

    /// A class, by its number.
    ///
    /// # Panics
    ///
    /// If there is no class of this number.
    pub fn class(&self, class: usize) -> TransportClass {
        assert!(class < self.len, "class {class} of {}", self.len);
        let group = &self.groups[self.groups.partition_point(|group| group.first <= class) - 1];
        let within = class - group.first;
        let transport = match &group.kind {
            Kind::Ports { source, destination } if within + 1 < group.kind.len() => TransportRanges::Ports {
                source: source.class(within / destination.len()).clone(),
                destination: destination.class(within % destination.len()).clone(),
            },
            Kind::Icmp(pairs) if within < pairs.len() => TransportRanges::Icmp(pairs.class(within).clone()),
            _ => TransportRanges::Opaque,
        };
        TransportClass { protocols: group.protocols.clone(), transport }
    }

    /// Every class, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = TransportClass> {
        (0..self.len).map(|class| self.class(class))
    }

    /// The class of a protocol and transport; none for what no packet has (ports of a protocol without ports), and for source
    /// ports outside of the domain.
    pub fn class_of(&self, protocol: u8, transport: Transport) -> Option<usize> {
        let group = self.groups.iter().find(|group| group.protocols.contains(protocol.into()))?;
        let within = match (&group.kind, transport) {
            (_, Transport::Opaque) => group.kind.len() - 1,
            (Kind::Ports { source, destination }, Transport::Ports { source: from, destination: to }) => {
                source.class_of(from.into())? * destination.len() + destination.class_of(to.into())?
            }
            (Kind::Icmp(pairs), Transport::Icmp { kind, code }) => pairs.class_of(icmp_number(kind, code))?,
            _ => return None,
        };
        Some(group.first + within)
    }
}
