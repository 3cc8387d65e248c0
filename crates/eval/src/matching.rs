//! Whether one rule matches one packet, and if not, on what it failed.

use std::net::IpAddr;

use tortie_net::Protocol;
use tortie_policy::{Action, EndpointSlice, Family, Icmp, PeerMatch, Peers, PortMatch, Rule, Snapshot, UnknownMembers};
use tortie_selector::Selector;

use crate::members::{AddressOwners, has_ports, set_of};
use crate::verdict::Mismatch;
use tortie_policy::packet::Transport;

/// A packet as one stage sees it: before a translation or after.
#[derive(Clone, Copy, Debug)]
pub struct PacketHeader {
    /// Its source.
    pub source: IpAddr,
    /// Its destination.
    pub destination: IpAddr,
    /// Its protocol.
    pub protocol: u8,
    /// What it carries.
    pub transport: Transport,
}

impl PacketHeader {
    pub(crate) fn family(&self) -> Family {
        Family::of(self.destination)
    }

    pub(crate) fn ports(&self) -> Option<(u16, u16)> {
        match self.transport {
            Transport::Ports { source, destination } => Some((source, destination)),
            _ => None,
        }
    }
}

/// What a rule says to a packet.
pub(crate) struct Match {
    /// What it does.
    pub(crate) action: Action,
    /// Everything in it that does not hold, in the order of the fields; empty if it matches.
    pub(crate) mismatches: Vec<Mismatch>,
}

/// Asks a rule. `ends` are what stands at the source and at the destination. A rule that may mean something whose labels
/// cannot be read denies it, unless it allows and does not match it for sure. Without `reasons` the first mismatch stands for all,
/// and has no text.
pub(crate) fn matching(
    snapshot: &Snapshot,
    rule: &Rule,
    header: &PacketHeader,
    ends: [&AddressOwners<'_>; 2],
    reasons: bool,
) -> Match {
    if ends.iter().any(|at| at.may_be_unreadable) {
        for denied in rule.against_unreadable() {
            let found = compare(snapshot, &denied, header, ends, reasons);
            if found.mismatches.is_empty() {
                return found;
            }
        }
    }
    compare(snapshot, rule, header, ends, reasons)
}

fn compare(
    snapshot: &Snapshot,
    rule: &Rule,
    header: &PacketHeader,
    ends: [&AddressOwners<'_>; 2],
    reasons: bool,
) -> Match {
    let Rule {
        action,
        family: only_family,
        protocol,
        not_protocol,
        icmp,
        not_icmp,
        source,
        destination,
        http: _,
        annotations: _,
        never,
    } = rule;
    let mut mismatches = Vec::new();
    let mut miss = |field: &'static str, text: &dyn Fn() -> String| {
        if reasons || mismatches.is_empty() {
            mismatches.push(Mismatch { field, text: if reasons { text() } else { String::new() } });
        }
    };
    if *never {
        miss("rule", &|| "a condition of it cannot be read".to_owned());
    }
    let family = header.family();
    if let Some(only) = *only_family
        && only != family
    {
        miss("ipVersion", &|| format!("{family} is not {only}"));
    }
    if let Some(only) = *protocol
        && only.number() != header.protocol
    {
        miss("protocol", &|| format!("{} is not {}", protocol_name(header.protocol), protocol_name(only.number())));
    }
    if let Some(not) = *not_protocol
        && not.number() == header.protocol
    {
        miss("notProtocol", &|| format!("it is {}", protocol_name(not.number())));
    }
    if let Some(only) = *icmp
        && icmp_matches(only, header) != Some(true)
    {
        miss("icmp", &|| format!("{} is not {}", transport_text(header), icmp_text(only)));
    }
    // What has no readable ICMP header meets neither the match nor its negation.
    if let Some(not) = *not_icmp
        && icmp_matches(not, header) != Some(false)
    {
        miss("notICMP", &|| format!("{} is {}, or no readable ICMP", transport_text(header), icmp_text(not)));
    }
    let (source_port, destination_port) = match header.ports() {
        Some((from, to)) => (Some(from), Some(to)),
        None => (None, None),
    };
    let question = Question { snapshot, action: *action, header };
    let unsure = side(&question, source, ends[0], source_port, &SOURCE, &mut miss)
        | side(&question, destination, ends[1], destination_port, &DESTINATION, &mut miss);
    Match { action: if unsure { UnknownMembers::action(*action) } else { *action }, mismatches }
}

/// What both ends of a rule are asked about.
struct Question<'a> {
    snapshot: &'a Snapshot,
    action: Action,
    header: &'a PacketHeader,
}

struct Fields {
    nets: &'static str,
    not_nets: &'static str,
    selector: &'static str,
    ports: &'static str,
    not_ports: &'static str,
    services: &'static str,
    with_port: bool,
}

const SOURCE: Fields = Fields {
    nets: "source.nets",
    not_nets: "source.notNets",
    selector: "source.selector",
    ports: "source.ports",
    not_ports: "source.notPorts",
    services: "source.services",
    with_port: false,
};

const DESTINATION: Fields = Fields {
    nets: "destination.nets",
    not_nets: "destination.notNets",
    selector: "destination.selector",
    ports: "destination.ports",
    not_ports: "destination.notPorts",
    services: "destination.services",
    with_port: true,
};

/// True if a condition depends on what is not known.
fn side(
    question: &Question<'_>,
    side: &PeerMatch,
    at: &AddressOwners<'_>,
    port: Option<u16>,
    fields: &Fields,
    miss: &mut impl FnMut(&'static str, &dyn Fn() -> String),
) -> bool {
    let Question { snapshot, action, header } = *question;
    let address = at.address;
    let family = header.family();
    let mut unsure = false;
    if !side.nets.is_empty() && !side.nets.iter().any(|net| net.contains(&address)) {
        miss(fields.nets, &|| format!("{address} is not in {}", list(&side.nets)));
    }
    if !side.not_nets.is_empty() {
        // Without a net of this family the rule is left out for it, whatever its action.
        if !side.not_nets.iter().any(|net| Family::of_net(net) == family) {
            miss(fields.not_nets, &|| format!("names no {family} net, so the rule is not for {family}"));
        } else if let Some(net) = side.not_nets.iter().find(|net| net.contains(&address)) {
            miss(fields.not_nets, &|| format!("{address} is in {net}"));
        }
    }
    if let Some(peers) = &side.peers {
        let unknown = at.unknown_member(snapshot, &peers.selector, false);
        unsure |= unknown.is_some();
        match (unknown, UnknownMembers::of(action, peers.negated)) {
            (Some(member), UnknownMembers::NeverMatches) => {
                miss(fields.selector, &|| format!("{}: some addresses of {member} cannot be read", peers.written));
            }
            (Some(_), UnknownMembers::AlwaysMet) => {}
            _ if at.satisfies(peers) => {}
            _ => miss(fields.selector, &|| format!("{}: {}", peers.written, describe_peer(snapshot, at, peers))),
        }
    }
    if let Some(id) = &side.service {
        let with_port = |slice: &EndpointSlice| {
            slice.ports.iter().any(|(protocol, number)| protocol.number() == header.protocol && Some(*number) == port)
        };
        let mut slices = snapshot.slices_of(id);
        let served = slices.any(|slice| slice.addresses.contains(&address) && (!fields.with_port || with_port(slice)));
        let unknown = snapshot.slices_of(id).any(|slice| slice.incomplete);
        unsure |= unknown;
        match (unknown, UnknownMembers::of(action, false)) {
            (true, UnknownMembers::NeverMatches) => {
                miss(fields.services, &|| format!("some endpoints of {}/{} cannot be read", id.namespace, id.name));
            }
            (true, UnknownMembers::AlwaysMet) => {}
            _ if served => {}
            _ => miss(fields.services, &|| format!("{address} does not serve {}/{}", id.namespace, id.name)),
        }
    }
    let named_of = || side.peers.as_deref().and_then(Peers::positive).cloned().unwrap_or_else(Selector::all);
    let too_many = |name: &str| at.has_too_many_ports(named_of, name);
    let on = |entry: &PortMatch| {
        port.is_some_and(|port| match entry {
            PortMatch::Range(range) => has_ports(header.protocol) && range.contains(port),
            // Of too many none counts.
            PortMatch::Named(name) => at.has_named_port(side, name, header.protocol, port) && !too_many(name),
        })
    };
    let unknown_ports = |ports: &[PortMatch]| {
        let mut names = ports.iter().filter_map(|port| match port {
            PortMatch::Named(name) => Some(name),
            PortMatch::Range(_) => None,
        });
        names.clone().next().is_some() && at.unknown_member(snapshot, &named_of(), true).is_some()
            || names.any(|name| too_many(name))
    };
    let (unknown, unknown_not) = (unknown_ports(&side.ports), unknown_ports(&side.not_ports));
    unsure |= unknown || unknown_not;
    let known =
        |unknown: bool, negated: bool| if unknown { UnknownMembers::of(action, negated) } else { UnknownMembers::None };
    let (positive, negative) = (known(unknown, false), known(unknown_not, true));
    if positive == UnknownMembers::NeverMatches || negative == UnknownMembers::NeverMatches {
        miss(fields.ports, &|| "some ports of these names cannot be read, or there are too many of them".to_owned());
    }
    if positive == UnknownMembers::None && !side.ports.is_empty() && !side.ports.iter().any(on) {
        let why = || match port {
            Some(port) => format!("port {port} is not {}", ports_text(&side.ports)),
            None if has_ports(header.protocol) => "its ports cannot be read".to_owned(),
            None => format!("{} has no ports", protocol_name(header.protocol)),
        };
        miss(fields.ports, &why);
    }
    if negative == UnknownMembers::None && !side.not_ports.is_empty() {
        // A protocol without ports is on none of them; one whose ports cannot be read is on neither side.
        if port.is_none() && has_ports(header.protocol) {
            miss(fields.not_ports, &|| "its ports cannot be read".to_owned());
        } else if side.not_ports.iter().any(on) {
            let port = port.map_or_else(|| "its port".to_owned(), |port| format!("port {port}"));
            miss(fields.not_ports, &|| format!("{port} is among {}", ports_text(&side.not_ports)));
        }
    }
    unsure
}

/// None where there is no ICMP header of the packet's family to read.
fn icmp_matches(icmp: Icmp, header: &PacketHeader) -> Option<bool> {
    let own = match header.family() {
        Family::V4 => Protocol::ICMP,
        Family::V6 => Protocol::ICMPV6,
    };
    match header.transport {
        Transport::Icmp { kind, code } if header.protocol == own.number() => {
            Some(icmp.kind.is_none_or(|only| only == kind) && icmp.code.is_none_or(|only| only == code))
        }
        _ => None,
    }
}

fn describe_peer(snapshot: &Snapshot, at: &AddressOwners<'_>, peers: &Peers) -> String {
    let address = at.address;
    match at.names().as_slice() {
        [] => match set_of(snapshot, &peers.selector) {
            Some(set) => {
                let plural = if set.nets.len() == 1 { "" } else { "s" };
                format!("{address} is not in {}, {} net{plural}", set.id, set.nets.len())
            }
            None => format!("{address} is in no endpoint or network set"),
        },
        names if peers.negated => format!("{address} is {}, which it excludes", names.join(", ")),
        names => format!("{address} is {}, which it does not select", names.join(", ")),
    }
}

/// A protocol as people write it: `tcp`, `icmpv6`, `protocol 253`.
pub fn protocol_name(number: u8) -> String {
    match Protocol::from_number(number).ok().and_then(Protocol::name) {
        Some(name) => name.to_ascii_lowercase(),
        None => format!("protocol {number}"),
    }
}

fn icmp_text(icmp: Icmp) -> String {
    match (icmp.kind, icmp.code) {
        (Some(kind), Some(code)) => format!("type {kind} code {code}"),
        (Some(kind), None) => format!("type {kind}"),
        _ => "any type".to_owned(),
    }
}

fn transport_text(header: &PacketHeader) -> String {
    match header.transport {
        Transport::Icmp { kind, code } => format!("type {kind} code {code}"),
        _ => protocol_name(header.protocol),
    }
}

fn ports_text(ports: &[PortMatch]) -> String {
    list(
        &ports
            .iter()
            .map(|port| match port {
                PortMatch::Range(range) if range.first() == range.last() => range.first().to_string(),
                PortMatch::Range(range) => format!("{}:{}", range.first(), range.last()),
                PortMatch::Named(name) => name.clone(),
            })
            .collect::<Vec<_>>(),
    )
}

/// The first few of a list, and how many more.
fn list<T: ToString>(items: &[T]) -> String {
    const MAX_LISTED: usize = 8;
    let mut text = items.iter().take(MAX_LISTED).map(ToString::to_string).collect::<Vec<_>>().join(",");
    if items.len() > MAX_LISTED {
        text += &format!(" and {} more", items.len() - MAX_LISTED);
    }
    text
}
