//! The way of a packet over the nodes between two ends, judged on each.

use std::borrow::Cow;
use std::net::IpAddr;

use tortie_eval::{Conntrack, Host, Packet, Transport, Verdict, Way, judge};
use tortie_net::Protocol;
use tortie_policy::Snapshot;

use crate::ask::{AskError, Party, Question, State, What};
use crate::place::{Place, Places};

/// A source port for packets whose port nobody asked about.
const SOME_PORT: u16 = 49152;
const HOP_LIMIT: u8 = 64;

/// The packet on one node, and what became of it there.
#[derive(Clone, Debug, PartialEq)]
pub struct Leg {
    /// The node, with its interfaces.
    pub host: Host,
    /// The packet as it meets the node.
    pub packet: Packet,
    /// The verdict of the node.
    pub verdict: Verdict,
}

/// The whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Every node on the way, in order, up to the one that denied.
    pub legs: Vec<Leg>,
    /// Who sends.
    pub from: Place,
    /// To whom, before any translation.
    pub to: Place,
}

impl Answer {
    /// Whether it arrives.
    pub fn allowed(&self) -> bool {
        self.legs.iter().all(|leg| leg.verdict.allowed)
    }
}

/// Walks the packet of a question. Where it depends on an interface that the question does not name, and the answer
/// on that, this asks for it.
pub fn journey(places: &Places<'_>, question: &Question) -> Result<Answer, AskError> {
    every_way(places, question).map(|(answer, _)| answer)
}

/// The same, and what the packet meets on the ways by other interfaces, which all come to the same.
pub(crate) fn every_way(places: &Places<'_>, question: &Question) -> Result<(Answer, Vec<Leg>), AskError> {
    let node = question.node.as_deref();
    let from = places.find(&question.from, node)?;
    let to = places.find(&question.to, node)?;
    let mut snapshot = Cow::Borrowed(places.snapshot());
    for place in [&from, &to] {
        if let Place::Workload(endpoint) = place
            && !snapshot.workload_endpoints.contains_key(&endpoint.id)
        {
            snapshot.to_mut().workload_endpoints.insert(endpoint.id.clone(), (**endpoint).clone());
        }
    }
    let route = Route::new(places, question, &from, &to)?;
    let answers: Vec<(Vec<String>, Vec<Leg>)> = route
        .choices(places)
        .into_iter()
        .map(|choice| {
            let legs = route.legs(places, &snapshot, &choice);
            (choice, legs)
        })
        .collect();
    if answers.iter().any(|(_, legs)| allowed(legs) != allowed(&answers[0].1)) {
        return Err(depends(&route, &answers));
    }
    let mut answers = answers.into_iter().map(|(_, legs)| legs);
    let legs = answers.next().unwrap_or_default();
    Ok((Answer { legs, from, to }, answers.flatten().collect()))
}

fn allowed(legs: &[Leg]) -> bool {
    legs.iter().all(|leg| leg.verdict.allowed)
}

/// Asks for the first interface that makes a difference, with what each of the choices comes to.
fn depends(route: &Route, answers: &[(Vec<String>, Vec<Leg>)]) -> AskError {
    let outcomes = |place: usize| {
        let mut outcomes: Vec<(&str, Vec<bool>)> = Vec::new();
        for (choice, legs) in answers {
            match outcomes.iter_mut().find(|(name, _)| *name == choice[place]) {
                Some((_, all)) => all.push(allowed(legs)),
                None => outcomes.push((&choice[place], vec![allowed(legs)])),
            }
        }
        outcomes
    };
    let differs = |place: &usize| {
        let outcomes = outcomes(*place);
        outcomes.iter().any(|(_, all)| *all != outcomes[0].1)
    };
    let place = (0..route.uplinks.len()).find(differs).unwrap_or_default();
    let told: Vec<String> = outcomes(place)
        .into_iter()
        .map(|(name, all)| {
            let word = match (all.contains(&true), all.contains(&false)) {
                (true, false) => "allowed",
                (false, _) => "denied",
                (true, true) => "it depends",
            };
            format!("{name} ({word})")
        })
        .collect();
    let uplink = &route.uplinks[place];
    let (verb, option) = if uplink.entering { ("enters", "--in-interface") } else { ("leaves", "--out-interface") };
    AskError(format!(
        "the answer depends on the interface by which the packet {verb} {}: name it with {option}: {}",
        uplink.node,
        told.join(", "),
    ))
}

/// A place on the way where the interface is not given by the ends.
struct Uplink {
    node: String,
    entering: bool,
    fixed: Option<String>,
}

struct Route {
    nodes: Vec<String>,
    translator: Option<String>,
    uplinks: Vec<Uplink>,
    from: Place,
    end: Place,
    packet: Packet,
    translation: Option<(IpAddr, Option<u16>)>,
}

impl Route {
    fn new(places: &Places<'_>, question: &Question, from: &Place, to: &Place) -> Result<Route, AskError> {
        let (source, destination) = addresses(from, to, &question.what)?;
        let end = question.dnat.map_or_else(|| to.clone(), |(address, _)| places.at(address));
        let translator = question.dnat.is_some().then(|| to.node().or(from.node()).or(end.node())).flatten();
        let mut nodes: Vec<String> = Vec::new();
        let passed = [from.node(), translator, end.node()];
        for node in passed.into_iter().flatten() {
            if nodes.last().is_none_or(|last| last != node) {
                nodes.push(node.to_owned());
            }
        }
        if nodes.is_empty() {
            let node = question.node.clone().ok_or_else(|| {
                AskError(
                    "neither end is on a node that the store knows: name the node that it passes with --node"
                        .to_owned(),
                )
            })?;
            own_addresses(places, question, &node)?;
            nodes.push(node);
        }
        let named = question.dnat.map_or(to, |_| &end);
        let (protocol, transport) =
            transport(places, &question.what, question.source_port, named, destination.is_ipv4())?;
        let packet = Packet {
            source,
            destination,
            protocol,
            transport,
            way: Way::In { interface: String::new() },
            translated: None,
            translated_interface: None,
            conntrack: match question.state {
                State::New => Conntrack::New,
                State::Established => Conntrack::Established,
                State::Invalid => Conntrack::Invalid,
                State::Untracked => Conntrack::Untracked,
            },
            source_route_ok: None,
            hop_limit: HOP_LIMIT,
        };
        let mut route = Route {
            translator: translator.map(str::to_owned),
            uplinks: Vec::new(),
            from: from.clone(),
            end,
            packet,
            translation: question.dnat,
            nodes,
        };
        route.uplinks = route.find_uplinks(places, question);
        Ok(route)
    }

    /// Every place where the packet crosses between nodes or the outside, in order.
    fn find_uplinks(&self, places: &Places<'_>, question: &Question) -> Vec<Uplink> {
        let mut uplinks = Vec::new();
        let asked = |place: &Place, address| match place {
            Place::Process { node, interface, .. } => {
                interface.clone().or_else(|| places.interface_with(node, address))
            }
            _ => None,
        };
        for (index, node) in self.nodes.iter().enumerate() {
            let starts = index == 0 && self.from.node().is_some();
            let ends = index + 1 == self.nodes.len() && self.end.node().is_some();
            if !starts {
                let fixed = question
                    .in_interface
                    .clone()
                    .or_else(|| if ends { asked(&self.end, self.packet.destination) } else { None });
                uplinks.push(Uplink { node: node.clone(), entering: true, fixed });
            }
            if !ends {
                let fixed = question
                    .out_interface
                    .clone()
                    .or_else(|| if starts { asked(&self.from, self.packet.source) } else { None });
                uplinks.push(Uplink { node: node.clone(), entering: false, fixed });
            }
        }
        uplinks
    }

    /// Every way to fill in the interfaces that are not known.
    fn choices(&self, places: &Places<'_>) -> Vec<Vec<String>> {
        let mut choices: Vec<Vec<String>> = vec![Vec::new()];
        for uplink in &self.uplinks {
            let names = uplink.fixed.clone().map_or_else(|| self.candidates(places, uplink), |name| vec![name]);
            choices = choices
                .into_iter()
                .flat_map(|choice| {
                    names.iter().map(move |name| choice.iter().chain([name]).cloned().collect()).collect::<Vec<_>>()
                })
                .collect();
        }
        choices
    }

    /// The tunnels between the nodes, where the target's pool has them, and the interfaces to other machines.
    fn candidates(&self, places: &Places<'_>, uplink: &Uplink) -> Vec<String> {
        let mut names = Vec::new();
        let (first, last) = (self.nodes.first(), self.nodes.last());
        let between = if uplink.entering { first != Some(&uplink.node) } else { last != Some(&uplink.node) };
        if let Place::Workload(endpoint) = &self.end
            && between
        {
            let pools = places.snapshot().pools.values();
            for pool in pools.filter(|pool| endpoint.addresses.iter().any(|address| pool.net.contains(address))) {
                let tunnels = [(pool.ipip, "tunl0"), (pool.vxlan, "vxlan.calico")];
                names.extend(tunnels.iter().filter(|(used, _)| *used).map(|(_, name)| (*name).to_owned()));
            }
        }
        names.extend(places.uplinks(&uplink.node));
        names
    }

    fn legs(&self, places: &Places<'_>, snapshot: &Snapshot, choice: &[String]) -> Vec<Leg> {
        let mut interfaces = choice.iter();
        let mut next = || interfaces.next().cloned().unwrap_or_default();
        let mut legs = Vec::new();
        let mut packet = self.packet.clone();
        for (index, node) in self.nodes.iter().enumerate() {
            let host = places.host(node);
            let starts = index == 0;
            let ends = index + 1 == self.nodes.len();
            let entry = match &self.from {
                Place::Workload(endpoint) if starts => Some(endpoint.interface.clone()),
                Place::Process { .. } if starts => None,
                _ => Some(next()),
            };
            let exit = match &self.end {
                Place::Workload(endpoint) if ends => Some(endpoint.interface.clone()),
                Place::Process { .. } if ends => None,
                _ => Some(next()),
            };
            packet.translated = self.translation.filter(|_| self.translator.as_deref() == Some(node));
            packet.translated_interface = exit.clone();
            let ways = match (entry, exit) {
                (Some(interface), None) => vec![Way::In { interface }],
                (None, Some(interface)) => vec![Way::Out { interface }],
                (Some(from), Some(to)) => vec![Way::Forward { from, to }],
                (None, None) => {
                    let lo = || "lo".to_owned();
                    vec![Way::Out { interface: lo() }, Way::In { interface: lo() }]
                }
            };
            for way in ways {
                packet.way = way;
                let verdict = judge(snapshot, &host, &packet);
                let allowed = verdict.allowed;
                legs.push(Leg { host: host.clone(), packet: packet.clone(), verdict });
                if !allowed {
                    return legs;
                }
            }
            if let Some((address, port)) = packet.translated.take() {
                packet.destination = address;
                if let (Some(port), Transport::Ports { source, .. }) = (port, packet.transport) {
                    packet.transport = Transport::Ports { source, destination: port };
                }
            }
        }
        legs
    }
}

/// What no store knows as anybody's may be the node's own address. Forwarding is taken for granted only where the node's
/// addresses are known, or both interfaces are said.
fn own_addresses(places: &Places<'_>, question: &Question, node: &str) -> Result<(), AskError> {
    let said = question.in_interface.is_some() && question.out_interface.is_some();
    let any = |party: &Party| !matches!(party, Party::Address(_));
    if said || any(&question.from) && any(&question.to) {
        return Ok(());
    }
    if places.find(&Party::Node(node.to_owned()), None)?.addresses().is_empty() {
        return Err(AskError(format!(
            "the store knows no address of node {node}, and so not whether the packet is forwarded: ask on {node} itself, whose agent tells them, set expectedIPs on its host endpoint, or say both --in-interface and --out-interface"
        )));
    }
    Ok(())
}

/// One address of each end, of one family; IPv4 where both have it and nothing else is asked for.
fn addresses(from: &Place, to: &Place, what: &What) -> Result<(IpAddr, IpAddr), AskError> {
    let families: &[bool] = if matches!(what, What::Icmpv6(_)) { &[false] } else { &[true, false] };
    let one = |place: &Place, v4: bool| place.addresses().iter().copied().find(|address| address.is_ipv4() == v4);
    for &v4 in families {
        if let (Some(source), Some(destination)) = (one(from, v4), one(to, v4)) {
            return Ok((source, destination));
        }
    }
    for (place, other) in [(from, to), (to, from)] {
        if let (Place::Process { node, .. }, true) = (place, place.addresses().is_empty()) {
            return Err(AskError(format!(
                "the store knows no address of node {node}: ask on {node} itself, whose agent tells them, or set expectedIPs on its host endpoint{}",
                if other.addresses().is_empty() { ", and so for the other end" } else { "" }
            )));
        }
    }
    let lack = if families.len() == 1 { "do not both have an IPv6 address" } else { "have no IP version in common" };
    Err(AskError(format!("the two ends {lack}")))
}

fn transport(
    places: &Places<'_>,
    what: &What,
    source: Option<u16>,
    to: &Place,
    v4: bool,
) -> Result<(u8, Transport), AskError> {
    let source = source.unwrap_or(SOME_PORT);
    Ok(match what {
        What::Port(protocol, port) => (protocol.number(), Transport::Ports { source, destination: *port }),
        What::Icmp(kind) | What::Icmpv6(kind) => {
            let protocol = if v4 { Protocol::ICMP } else { Protocol::ICMPV6 };
            let (kind, code) = kind.unwrap_or((if v4 { 8 } else { 128 }, 0));
            (protocol.number(), Transport::Icmp { kind, code })
        }
        What::Other(number) => (*number, Transport::Opaque),
        What::Named(name) => {
            let ports = places.ports(to);
            let found = ports.iter().find(|port| &port.name == name).ok_or_else(|| {
                let names: Vec<&str> = ports.iter().map(|port| port.name.as_str()).collect();
                let known = if names.is_empty() {
                    "it has no named ports".to_owned()
                } else {
                    format!("it has: {}", names.join(", "))
                };
                AskError(format!("{name:?} is no service that we know and no port of the target; {known}"))
            })?;
            (found.protocol.number(), Transport::Ports { source, destination: found.port })
        }
    })
}
