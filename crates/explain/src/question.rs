//! A question, and how it is read: two ends, a protocol and a port.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::translation::Dnat;
use tortie_net::{IpNet, Protocol, parse_address, parse_cidr};

/// Why a question cannot be answered, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AskError(pub String);

/// One end, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndSpec {
    /// An address.
    Address(IpAddr),
    /// A process on a host.
    Node(String),
    /// The host that a host endpoint is on, at that endpoint.
    HostEndpoint(String),
    /// A pod.
    Pod(String, String),
    /// A workload endpoint.
    Workload(String, String),
    /// `NAMESPACE/NAME`: a pod or a workload endpoint.
    Either(String, String),
    /// A workload that is not there yet: its labels, with `ns` and `sa` for namespace and service account.
    Labels(BTreeMap<String, String>),
    /// Every address of a net.
    Net(IpNet),
    /// Every address of a network set: its namespace, empty for a global one, and its name.
    Set(String, String),
    /// Every address from which packets come over the network, or to which they go.
    Any,
    /// One of these that is one place, with this address of those that it has or may have: `hep/NAME@ADDRESS`.
    At(Box<EndSpec>, IpAddr),
}

impl EndSpec {
    /// Whether it is many addresses, which [`crate::reach`] answers.
    pub fn is_many(&self) -> bool {
        matches!(self, EndSpec::Net(_) | EndSpec::Set(..) | EndSpec::Any)
    }

    /// Without the address that is said with it.
    pub(crate) fn place(&self) -> &EndSpec {
        if let EndSpec::At(place, _) = self { place } else { self }
    }

    /// The same end with one address of those that it has or may have.
    pub(crate) fn at(&self, address: IpAddr) -> EndSpec {
        match self {
            EndSpec::Any | EndSpec::Net(_) | EndSpec::Set(..) => EndSpec::Address(address),
            EndSpec::Address(_) | EndSpec::Labels(_) | EndSpec::At(..) => self.clone(),
            _ => EndSpec::At(Box::new(self.clone()), address),
        }
    }
}

/// As it is written.
impl fmt::Display for EndSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EndSpec::Address(address) => write!(f, "{address}"),
            EndSpec::Node(name) => write!(f, "node/{name}"),
            EndSpec::HostEndpoint(name) => write!(f, "hep/{name}"),
            EndSpec::Pod(namespace, name) => write!(f, "pod/{namespace}/{name}"),
            EndSpec::Workload(namespace, name) => write!(f, "wep/{namespace}/{name}"),
            EndSpec::Either(namespace, name) => write!(f, "{namespace}/{name}"),
            EndSpec::Labels(labels) => {
                let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
                write!(f, "labels:{}", pairs.join(","))
            }
            EndSpec::Net(net) => write!(f, "{net}"),
            EndSpec::Set(namespace, name) if namespace.is_empty() => write!(f, "set/{name}"),
            EndSpec::Set(namespace, name) => write!(f, "set/{namespace}/{name}"),
            EndSpec::Any => f.write_str("any"),
            EndSpec::At(place, address) => write!(f, "{place}@{address}"),
        }
    }
}

/// How an end is written.
pub(crate) const ENDS: &str = "an address, a net, node/NAME, hep/NAME, pod/NAMESPACE/NAME, wep/NAMESPACE/NAME, set/NAME, labels:KEY=VALUE,... or any";

impl FromStr for EndSpec {
    type Err = AskError;

    fn from_str(text: &str) -> Result<Self, AskError> {
        let wrong = || AskError(format!("{text:?} is not an end of a packet; ends are {ENDS}"));
        if text == "any" {
            return Ok(EndSpec::Any);
        }
        if let Some(labels) = text.strip_prefix("labels:") {
            let pair = |part: &str| {
                let (key, value) =
                    part.split_once('=').ok_or_else(|| AskError(format!("{part:?} in {text:?} is not KEY=VALUE")))?;
                Ok((key.trim().to_owned(), value.trim().to_owned()))
            };
            return labels
                .split(',')
                .filter(|part| !part.is_empty())
                .map(pair)
                .collect::<Result<_, _>>()
                .map(EndSpec::Labels);
        }
        if let Ok(address) = parse_address(text.trim_start_matches('[').trim_end_matches(']')) {
            return Ok(EndSpec::Address(address));
        }
        if let Ok(net) = parse_cidr(text) {
            return Ok(EndSpec::Net(net.trunc()));
        }
        if let Some((place, address)) = text.split_once('@') {
            let one_place = |place: &EndSpec| !place.is_many() && !matches!(place, EndSpec::Address(_));
            let place = place.parse().ok().filter(one_place).ok_or_else(wrong)?;
            let address = parse_address(address.trim_start_matches('[').trim_end_matches(']'));
            return address.map(|address| EndSpec::At(Box::new(place), address)).map_err(|_| wrong());
        }
        let parts: Vec<&str> = text.split('/').collect();
        if parts.iter().any(|part| part.is_empty()) {
            return Err(wrong());
        }
        let owned = |part: &str| part.to_owned();
        match parts.as_slice() {
            ["node", name] => Ok(EndSpec::Node(owned(name))),
            ["hep" | "hostendpoint", name] => Ok(EndSpec::HostEndpoint(owned(name))),
            ["pod", namespace, name] => Ok(EndSpec::Pod(owned(namespace), owned(name))),
            ["wep" | "workloadendpoint", namespace, name] => Ok(EndSpec::Workload(owned(namespace), owned(name))),
            ["set" | "gns" | "globalnetworkset", name] => Ok(EndSpec::Set(String::new(), owned(name))),
            ["set" | "netset" | "networkset", namespace, name] => Ok(EndSpec::Set(owned(namespace), owned(name))),
            ["pod" | "wep", name] => {
                Err(AskError(format!("{text:?} needs its namespace: {}/NAMESPACE/{name}", parts[0])))
            }
            [namespace, name] => Ok(EndSpec::Either(owned(namespace), owned(name))),
            _ => Err(wrong()),
        }
    }
}

/// Over what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrafficSpec {
    /// A protocol with a port.
    Port(Protocol, u16),
    /// A port that the target's endpoint has under this name, of this protocol if one is given.
    Named(Option<Protocol>, String),
    /// ICMP or ICMPv6, whichever fits the addresses, of a type and, if one is given, a code; without a type an echo request.
    Icmp(Option<(u8, Option<u8>)>),
    /// The same over IPv6.
    Icmpv6(Option<(u8, Option<u8>)>),
    /// Another protocol.
    Other(u8),
}

/// Names of services that people type; the rest have numbers.
const SERVICES: [(&str, Protocol, u16); 20] = [
    ("ftp", Protocol::TCP, 21),
    ("ssh", Protocol::TCP, 22),
    ("smtp", Protocol::TCP, 25),
    ("dns", Protocol::UDP, 53),
    ("domain", Protocol::UDP, 53),
    ("dhcp", Protocol::UDP, 67),
    ("http", Protocol::TCP, 80),
    ("ntp", Protocol::UDP, 123),
    ("snmp", Protocol::UDP, 161),
    ("bgp", Protocol::TCP, 179),
    ("ldap", Protocol::TCP, 389),
    ("https", Protocol::TCP, 443),
    ("syslog", Protocol::UDP, 514),
    ("ldaps", Protocol::TCP, 636),
    ("nfs", Protocol::TCP, 2049),
    ("etcd", Protocol::TCP, 2379),
    ("mysql", Protocol::TCP, 3306),
    ("postgresql", Protocol::TCP, 5432),
    ("redis", Protocol::TCP, 6379),
    ("kubernetes", Protocol::TCP, 6443),
];

impl FromStr for TrafficSpec {
    type Err = AskError;

    fn from_str(text: &str) -> Result<Self, AskError> {
        // Policies write ICMP.
        const PROTOCOL_WORDS: [&str; 7] = ["icmp", "icmpv6", "icmp6", "ping", "ping6", "proto", "protocol"];
        let plain = |part| PROTOCOL_WORDS.into_iter().find(|word| word.eq_ignore_ascii_case(part)).unwrap_or(part);
        let parts: Vec<&str> = text.split('/').map(plain).collect();
        let number = |part: &str| {
            part.parse::<u8>().map_err(|_| AskError(format!("{part:?} in {text:?} is not a number from 0 to 255")))
        };
        let icmp = |part: &str| {
            number(part).map_err(|error| match part {
                "echo" | "ping" | "echo-request" => {
                    AskError(format!("{error}: an echo request is icmp/8, or icmpv6/128"))
                }
                _ => error,
            })
        };
        match parts.as_slice() {
            [one] if one.bytes().all(|byte| byte.is_ascii_digit()) && !one.is_empty() => Err(AskError(format!(
                "{one} alone could be a port or a protocol: write tcp/{one} or udp/{one} for the port, proto/{one} for the protocol"
            ))),
            ["icmp" | "ping"] => Ok(TrafficSpec::Icmp(None)),
            ["icmp", kind] => Ok(TrafficSpec::Icmp(Some((icmp(kind)?, None)))),
            ["icmp", kind, code] => Ok(TrafficSpec::Icmp(Some((icmp(kind)?, Some(number(code)?))))),
            ["icmpv6" | "icmp6" | "ping6"] => Ok(TrafficSpec::Icmpv6(None)),
            ["icmpv6" | "icmp6", kind] => Ok(TrafficSpec::Icmpv6(Some((icmp(kind)?, None)))),
            ["icmpv6" | "icmp6", kind, code] => Ok(TrafficSpec::Icmpv6(Some((icmp(kind)?, Some(number(code)?))))),
            ["proto" | "protocol", one] => Ok(TrafficSpec::Other(without_ports(one).map_or_else(|| number(one), Ok)?)),
            [name] => match (service(name), without_ports(name)) {
                (Some((protocol, port)), _) => Ok(TrafficSpec::Port(protocol, port)),
                (_, Some(number)) => Ok(TrafficSpec::Other(number)),
                _ => no_name(name).map_or_else(|| Ok(TrafficSpec::Named(None, (*name).to_owned())), Err),
            },
            [a, b] => {
                let (protocol, port) = match (protocol(a), protocol(b)) {
                    (Some(protocol), _) => (protocol, b),
                    (_, Some(protocol)) => (protocol, a),
                    _ => {
                        let meant = service(a).or(service(b)).map(|(protocol, port)| {
                            format!("; did you mean {}/{port}?", tortie_eval::protocol_name(protocol.number()))
                        });
                        return Err(AskError(format!(
                            "{text:?} names no protocol with ports, which are tcp, udp, sctp and udplite{}",
                            meant.unwrap_or_default()
                        )));
                    }
                };
                named_port(text, protocol, port)
            }
            _ => Err(AskError(format!("{text:?} is none of tcp/443, https, icmp/8/0, proto/253 or a port's name"))),
        }
    }
}

/// The port of `tcp/443`, by number or name.
fn named_port(text: &str, protocol: Protocol, port: &str) -> Result<TrafficSpec, AskError> {
    let name = tortie_eval::protocol_name(protocol.number());
    let several = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit() || b",:-".contains(&byte));
    match port.parse() {
        Ok(port) => Ok(TrafficSpec::Port(protocol, port)),
        Err(_) if port.is_empty() => Err(AskError(format!("{text:?} has no port: write {name}/PORT; {EVERY_PORT}"))),
        Err(_) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            Err(AskError(format!("{port} in {text:?} is not a port: ports go from 0 to 65535")))
        }
        Err(_) if several => Err(AskError(format!("{text:?} is several ports: name one; {EVERY_PORT}"))),
        Err(_) => Ok(match service(port) {
            Some((_, port)) => TrafficSpec::Port(protocol, port),
            None => TrafficSpec::Named(Some(protocol), port.to_owned()),
        }),
    }
}

const EVERY_PORT: &str = "without the third word every port and protocol is answered";

/// Why a word cannot be the name of a port.
fn no_name(word: &str) -> Option<AskError> {
    if protocol(word).is_some() {
        return Some(AskError(format!("{word} needs a port: write {word}/PORT; {EVERY_PORT}")));
    }
    if ["any", "all", "*"].iter().any(|all| word.eq_ignore_ascii_case(all)) {
        return Some(AskError(format!("{word:?} is not a port: {EVERY_PORT}")));
    }
    let (before, after) = word.split_once([':', ' '])?;
    let meant = protocol(before).or_else(|| protocol(after))?;
    let port = if protocol(before).is_some() { after } else { before };
    Some(AskError(format!(
        "{word:?} is not a port: did you mean {}/{port}?",
        tortie_eval::protocol_name(meant.number())
    )))
}

/// Protocols without ports, by the names that people know.
fn without_ports(name: &str) -> Option<u8> {
    const NAMES: [(&str, u8); 9] = [
        ("igmp", 2),
        ("ipip", 4),
        ("gre", 47),
        ("esp", 50),
        ("ah", 51),
        ("ospf", 89),
        ("pim", 103),
        ("vrrp", 112),
        ("l2tp", 115),
    ];
    NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, number)| *number)
}

/// A service of a protocol that a name may have been meant for, as `postgresql (tcp/5432)`.
pub(crate) fn similar_service(name: &str, of: Option<Protocol>) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    let begins = |known: &str| lower.len() > 2 && (known.starts_with(&lower) || lower.starts_with(known));
    let others =
        [("pgsql", "postgresql"), ("mariadb", "mysql"), ("k8s", "kubernetes"), ("www", "http"), ("web", "http")];
    let meant = others.iter().find(|(other, _)| *other == lower).map(|(_, known)| *known);
    let mut services = SERVICES.iter().filter(|(_, protocol, _)| of.is_none_or(|of| of == *protocol));
    let found = services.find(|(known, ..)| meant.map_or_else(|| begins(known), |meant| *known == meant));
    found.map(|(known, protocol, port)| format!("{known} ({}/{port})", tortie_eval::protocol_name(protocol.number())))
}

fn service(name: &str) -> Option<(Protocol, u16)> {
    let found = SERVICES.iter().find(|(service, ..)| service.eq_ignore_ascii_case(name));
    found.map(|(_, protocol, port)| (*protocol, *port))
}

fn protocol(text: &str) -> Option<Protocol> {
    let with_ports = |protocol: &Protocol| protocol.has_ports() || *protocol == Protocol::UDPLITE;
    let number = text.bytes().all(|byte| byte.is_ascii_digit());
    Protocol::parse_any_case(text).ok().filter(|protocol| !number && with_ports(protocol))
}

/// The conntrack state of the packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// The first of its flow.
    #[default]
    New,
    /// Established or related.
    Established,
    /// Of none, and not the first of one.
    Invalid,
    /// Untracked, because of a rule of another program.
    Untracked,
}

/// The whole question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Who sends.
    pub from: EndSpec,
    /// To whom.
    pub to: EndSpec,
    /// Over what.
    pub what: TrafficSpec,
    /// A node that it passes between its ends, where neither end is on it; the node of a workload that is not there yet.
    pub node: Option<String>,
    /// Where it comes into the node that it passes, or else into every node on its path.
    pub in_interface: Option<String>,
    /// Where it leaves the node that it passes, or else every node on its path.
    pub out_interface: Option<String>,
    /// The source port; any high one otherwise.
    pub source_port: Option<u16>,
    /// Translations of the destination by other programs.
    pub dnat: Dnat,
    /// The conntrack state.
    pub state: State,
    /// The node on which another program exempts it from connection tracking, whatever the state is elsewhere.
    pub exempt_on: Option<String>,
    /// The node whose table makes the translation that `dnat` names, where that is known.
    pub translated_on: Option<String>,
}

impl Question {
    /// A question about a new connection, with defaults for everything else.
    pub fn new(from: EndSpec, to: EndSpec, what: TrafficSpec) -> Self {
        Self {
            from,
            to,
            what,
            node: None,
            in_interface: None,
            out_interface: None,
            source_port: None,
            dnat: Dnat::default(),
            state: State::New,
            exempt_on: None,
            translated_on: None,
        }
    }
}
