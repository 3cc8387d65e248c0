//! The protocols and ports of a claim: `tcp/80,443`, `udp`, `icmp/8`, `proto/47`, `all`.

use tortie_classes::{Ranges, TransportClass, TransportMatch};
use tortie_net::Protocol;
use tortie_policy::Family;

use crate::question::{AskError, TrafficSpec};

/// A set of protocols and ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// The only IP version; none for both.
    family: Option<Family>,
    /// The protocols.
    protocols: Ranges,
    /// Their ports, or their ICMP types and codes.
    transport: TransportMatch,
}

impl Traffic {
    /// All protocols and ports.
    pub fn all() -> Self {
        Self { family: None, protocols: Ranges::span(0u8, u8::MAX), transport: TransportMatch::Any }
    }

    /// Reads one word; a port's name is looked up with `named`.
    pub fn parse(
        word: &str,
        named: impl Fn(&TrafficSpec) -> Result<TrafficSpec, AskError>,
    ) -> Result<Vec<Self>, AskError> {
        let of = |protocol: u8, transport| Self { family: None, protocols: Ranges::one(protocol), transport };
        let (name, rest) = word.split_once('/').map_or((word, None), |(name, rest)| (name, Some(rest)));
        let lower = name.to_ascii_lowercase();
        let with_ports = |name: &str| match name {
            "tcp" => Some(Protocol::TCP),
            "udp" => Some(Protocol::UDP),
            "sctp" => Some(Protocol::SCTP),
            "udplite" => Some(Protocol::UDPLITE),
            _ => None,
        };
        match (lower.as_str(), with_ports(&lower), rest) {
            ("all", _, None) => Ok(vec![Self::all()]),
            ("ping", _, None) => {
                Ok(vec![Self::icmp(Family::V4, Some((8, Some(0)))), Self::icmp(Family::V6, Some((128, Some(0))))])
            }
            ("icmp" | "icmpv6" | "icmp6", _, rest) => {
                let family = if lower == "icmp" { Family::V4 } else { Family::V6 };
                Ok(vec![Self::icmp(family, rest.map(|rest| icmp_type(word, rest)).transpose()?)])
            }
            (_, Some(protocol), None) => Ok(vec![of(protocol.number(), TransportMatch::Any)]),
            (_, Some(protocol), Some(ports)) => {
                let mut ranges = Ranges::none();
                for part in ports.split(',') {
                    ranges = ranges.union(&port_range(word, protocol, part, &named)?);
                }
                Ok(vec![of(protocol.number(), to_ports(ranges))])
            }
            _ => Ok(match named(&word.parse()?)? {
                TrafficSpec::Port(protocol, port) => vec![of(protocol.number(), to_ports(Ranges::one(port)))],
                TrafficSpec::Other(number) => vec![of(number, TransportMatch::Any)],
                TrafficSpec::Named(..) | TrafficSpec::Icmp(_) | TrafficSpec::Icmpv6(_) => {
                    return Err(AskError(format!("{word:?} is not a protocol and no port")));
                }
            }),
        }
    }

    /// Whether it names this port; all ports together name none.
    pub(crate) fn names_port(&self, protocol: Protocol, port: u16) -> bool {
        let TransportMatch::Ports { destination: ports, .. } = &self.transport else { return false };
        self.protocols.contains(protocol.number().into()) && ports.contains(port.into())
    }

    fn icmp(family: Family, kind: Option<(u8, Option<u8>)>) -> Self {
        let protocol = if family == Family::V4 { Protocol::ICMP } else { Protocol::ICMPV6 };
        let number = |kind: u8, code: u8| u16::from_be_bytes([kind, code]);
        let transport = match kind {
            None => TransportMatch::Any,
            Some((kind, Some(code))) => TransportMatch::Icmp(Ranges::one(number(kind, code))),
            Some((kind, None)) => TransportMatch::Icmp(Ranges::span(number(kind, 0), number(kind, u8::MAX))),
        };
        Self { family: Some(family), protocols: Ranges::one(protocol.number()), transport }
    }

    /// Whether packets of a family can have it.
    pub(crate) fn is_of(&self, family: Family) -> bool {
        self.family.is_none_or(|only| only == family)
    }

    /// The part of a class that is among it, if there is one.
    pub(crate) fn intersection(&self, class: &TransportClass) -> Option<TransportClass> {
        let protocols = class.protocols.intersection(&self.protocols);
        let transport = self.transport.within(&class.transport)?;
        (!protocols.is_empty()).then_some(TransportClass { protocols, transport })
    }
}

/// These destination ports.
fn to_ports(destination: Ranges) -> TransportMatch {
    TransportMatch::Ports { source: Ranges::span(0u16, u16::MAX), destination }
}

/// `8`, `3/1`.
fn icmp_type(word: &str, rest: &str) -> Result<(u8, Option<u8>), AskError> {
    let number =
        |text: &str| text.parse().map_err(|_| AskError(format!("{text:?} in {word:?} is not a number from 0 to 255")));
    Ok(match rest.split_once('/') {
        Some((kind, code)) => (number(kind)?, Some(number(code)?)),
        None => (number(rest)?, None),
    })
}

/// `443`, `8000-8080`, `8000:8080`, `https`, or the target's name of a port.
fn port_range(
    word: &str,
    protocol: Protocol,
    text: &str,
    named: impl Fn(&TrafficSpec) -> Result<TrafficSpec, AskError>,
) -> Result<Ranges, AskError> {
    let numbers = text.split_once(['-', ':']).unwrap_or((text, text));
    match (numbers.0.parse::<u16>(), numbers.1.parse::<u16>()) {
        (Ok(first), Ok(last)) if first <= last => Ok(Ranges::span(first, last)),
        (Ok(_), Ok(_)) => Err(AskError(format!("{text} in {word:?} ends before it begins"))),
        _ => match named(&format!("{}/{text}", tortie_eval::protocol_name(protocol.number())).parse()?)? {
            TrafficSpec::Port(_, port) => Ok(Ranges::one(port)),
            _ => Err(AskError(format!("{text:?} in {word:?} is not a port"))),
        },
    }
}
