//! The way of a packet over the nodes between two ends, judged on each.

use std::borrow::Cow;
use std::net::IpAddr;

use tortie_eval::{Conntrack, Host, Packet, Transport, Verdict, Way, judge};
use tortie_net::Protocol;
use tortie_policy::machine::RouteKind;
use tortie_policy::{HostEndpoint, Interface, Snapshot};

use crate::ask::{AskError, Party, Question, State, What, similar_service};
use crate::place::{Place, Places};
use crate::text::legs_decided_by;
use crate::{candidates, group, interfaces, not_asked, placement};

/// A source port for packets whose port nobody asked about.
const SOME_PORT: u16 = 49152;
const HOP_LIMIT: u8 = 64;
/// The end of the note about interfaces that one stands for.
const ALIKE: &str = "whose endpoints have the same policies and profiles";

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
    /// Every node on the way, in order, up to the one that denied; of several ways the first that is denied.
    pub legs: Vec<Leg>,
    /// Who sends.
    pub from: Place,
    /// To whom, before any translation.
    pub to: Place,
    /// What was taken for granted, and what else bears on the answer.
    pub notes: Vec<String>,
    /// The ways that the packet may take where nothing tells which, and they are not answered alike; else empty.
    pub ways: Vec<OneWay>,
    /// What the tables of other programs do with the packet; nothing before somebody looks at them.
    pub others: OtherPrograms,
}

/// What the tables of other programs do with a packet, as far as that was looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OtherPrograms {
    /// Whether those of a machine on the way were looked at.
    pub looked_at: bool,
    /// What drops the packet for certain.
    pub drops: Option<String>,
    /// What they do or may do, and what was not looked at.
    pub notes: Vec<String>,
}

/// A way that the packet may take, or several that are answered alike.
#[derive(Clone, Debug, PartialEq)]
pub struct OneWay {
    /// `it enters web1 at eth0 or eth1`.
    pub when: String,
    /// Every node on it, as in [`Answer::legs`].
    pub legs: Vec<Leg>,
}

impl Answer {
    /// Whether it arrives, whichever way it takes.
    pub fn allowed(&self) -> bool {
        allowed(&self.legs) && self.ways.iter().all(OneWay::allowed)
    }
}

impl OneWay {
    /// Whether it arrives on this way.
    pub fn allowed(&self) -> bool {
        allowed(&self.legs)
    }
}

/// Ways that are answered alike: how, by which interfaces, and the first of them.
type Alike<'a> = (String, Vec<&'a Vec<String>>, &'a Vec<Leg>);

/// Walks the packet of a question. Where nothing tells which interface it uses, every one is answered.
pub fn journey(places: &Places<'_>, question: &Question) -> Result<Answer, AskError> {
    let walked = walk(places, question)?;
    let ways = ways(places.snapshot(), &walked);
    let Walked { answers, from, to, mut notes, assumed, left_out, .. } = walked;
    notes.extend(assumed.into_iter().chain(left_out));
    let first = ways.iter().find(|way| !way.allowed()).or(ways.first());
    let legs = first.map(|way| way.legs.clone()).unwrap_or_default();
    let alike = ways.len() < 2;
    if alike && answers.len() > 1 {
        notes.extend(ways.first().map(|way| format!("the answer is the same whether {}", way.when)));
    }
    notes.extend(placement_notes(places, question, &legs));
    Ok(Answer { legs, from, to, notes, ways: if alike { Vec::new() } else { ways }, others: OtherPrograms::default() })
}

/// The ways of a packet, those together that are answered alike.
pub(crate) fn ways(snapshot: &Snapshot, walked: &Walked) -> Vec<OneWay> {
    let choices: Vec<&Vec<String>> = walked.answers.iter().map(|(choice, _)| choice).collect();
    let mut groups: Vec<Alike<'_>> = Vec::new();
    for (choice, legs) in &walked.answers {
        let told = legs_decided_by(snapshot, legs);
        match groups.iter_mut().find(|(other, ..)| *other == told) {
            Some((_, all, _)) => all.push(choice),
            None => groups.push((told, vec![choice], legs)),
        }
    }
    let way = |(_, group, legs): Alike<'_>| OneWay { when: when(&walked.route, &choices, &group), legs: legs.clone() };
    groups.into_iter().map(way).collect()
}

/// Every way of a packet, by the interfaces chosen where nothing tells them.
pub(crate) struct Walked {
    route: Route,
    pub(crate) answers: Vec<(Vec<String>, Vec<Leg>)>,
    from: Place,
    to: Place,
    notes: Vec<String>,
    /// What was taken for granted about the nodes, whatever the packet carries.
    pub(crate) assumed: Vec<String>,
    /// What the way of the packet leaves out: interfaces that were named, and host endpoints.
    pub(crate) left_out: Vec<String>,
}

fn walk(places: &Places<'_>, question: &Question) -> Result<Walked, AskError> {
    let node = question.node.as_deref();
    node.map_or(Ok(()), |node| places.known(node))?;
    let from = places.find(&question.from, node)?;
    let to = places.find(&question.to, node)?;
    walk_between(places, question, from, to)
}

/// The same between two ends that are found.
pub(crate) fn walk_between(
    places: &Places<'_>,
    question: &Question,
    from: Place,
    to: Place,
) -> Result<Walked, AskError> {
    let node = question.node.as_deref();
    let (mut notes, mut assumed) = (Vec::new(), Vec::new());
    let to = group::receiver(places, question, &from, to)?;
    let (from, to) = (places.facing(from.clone(), &to), places.facing(to, &from));
    let snapshot = with_new_workloads(places, [&from, &to]);
    for place in [&from, &to] {
        if let Place::Workload(endpoint) = place
            && !places.snapshot().workload_endpoints.contains_key(&endpoint.id)
        {
            notes.extend(places.chosen_node(node, &endpoint.node));
        }
    }
    let route = Route::new(places, question, &from, &to, &mut notes, &mut assumed)?;
    let answers: Vec<(Vec<String>, Vec<Leg>)> = route
        .choices()
        .into_iter()
        .map(|choice| {
            let legs = route.legs(places, &snapshot, &choice);
            (choice, legs)
        })
        .collect();
    notes.extend(group::copies(places, &snapshot, &answers));
    let mut left_out = route.unused(question);
    for note in answers.iter().flat_map(|(_, legs)| not_asked::notes(&snapshot, legs)) {
        if !left_out.contains(&note) {
            left_out.push(note);
        }
    }
    Ok(Walked { route, answers, from, to, notes, assumed, left_out })
}

/// The snapshot, with those ends in it that do not exist yet.
pub(crate) fn with_new_workloads<'a>(places: &Places<'a>, ends: [&Place; 2]) -> Cow<'a, Snapshot> {
    let mut snapshot = Cow::Borrowed(places.snapshot());
    for end in ends {
        if let Place::Workload(endpoint) = end
            && !snapshot.workload_endpoints.contains_key(&endpoint.id)
        {
            snapshot.to_mut().workload_endpoints.insert(endpoint.id.clone(), (**endpoint).clone());
        }
    }
    snapshot
}

pub(crate) fn allowed(legs: &[Leg]) -> bool {
    legs.iter().all(|leg| leg.verdict.allowed)
}

/// The host endpoints that a reader may take for those that judge the packet, and that do not.
fn placement_notes(places: &Places<'_>, question: &Question, legs: &[Leg]) -> Vec<String> {
    let asked = |endpoint: &HostEndpoint| {
        [&question.from, &question.to].into_iter().any(|party| *party == Party::HostEndpoint(endpoint.name.clone()))
    };
    let crossed = |endpoint: &HostEndpoint| {
        let mut on_node = legs.iter().filter(|leg| leg.host.node == endpoint.node);
        on_node.any(|leg| match (&leg.packet.way, &endpoint.interface) {
            (Way::In { interface } | Way::Out { interface }, Interface::Named(name)) => interface == name,
            (Way::Forward { from, to }, Interface::Named(name)) => from == name || to == name,
            _ => false,
        })
    };
    let endpoints = places.snapshot().host_endpoints.values().filter(|endpoint| asked(endpoint) || crossed(endpoint));
    let told = endpoints.filter_map(|endpoint| {
        placement::idle(places, endpoint).map(|why| format!("host endpoint {} {why}", endpoint.name))
    });
    told.collect()
}

/// `it enters gw at eth0 or eth1 and leaves gw by eth2`: what tells a group of choices from the others.
fn when(route: &Route, all: &[&Vec<String>], group: &[&Vec<String>]) -> String {
    const SHOWN: usize = 4;
    let at = |choices: &[&Vec<String>], place: usize| {
        let mut names: Vec<String> = Vec::new();
        for choice in choices {
            if !names.contains(&choice[place]) {
                names.push(choice[place].clone());
            }
        }
        names
    };
    let varies = |place: &usize| at(all, *place).len() > 1;
    let places: Vec<usize> = (0..route.uplinks.len()).filter(varies).collect();
    let crossing = |place: usize, names: &[String]| {
        let Uplink { node, entering, .. } = &route.uplinks[place];
        let (verb, word) = if *entering { ("enters", "at") } else { ("leaves", "by") };
        format!("{verb} {node} {word} {}", names.join(" or "))
    };
    let sets: Vec<Vec<String>> = places.iter().map(|place| at(group, *place)).collect();
    // The group is every combination of these: what may be anything need not be said.
    if sets.iter().map(Vec::len).product::<usize>() == group.len() {
        let said = places.iter().zip(&sets).filter(|(place, names)| at(all, **place).len() != names.len());
        let mut said: Vec<String> = said.map(|(place, names)| crossing(*place, names)).collect();
        if said.is_empty() {
            said = places.iter().zip(&sets).map(|(place, names)| crossing(*place, names)).collect();
        }
        return format!("it {}", said.join(" and "));
    }
    let one = |choice: &&Vec<String>| {
        let parts = places.iter().map(|place| crossing(*place, std::slice::from_ref(&choice[*place])));
        format!("it {}", parts.collect::<Vec<_>>().join(" and "))
    };
    let mut said: Vec<String> = group.iter().take(SHOWN).map(one).collect();
    if group.len() > SHOWN {
        said.push(format!("in {} more ways", group.len() - SHOWN));
    }
    said.join(", or ")
}

/// A place on the way where the interface is not given by the ends.
struct Uplink {
    node: String,
    entering: bool,
    /// The interfaces that it may be.
    names: Vec<String>,
}

struct Route {
    nodes: Vec<String>,
    translator: Option<String>,
    uplinks: Vec<Uplink>,
    from: Place,
    to: Place,
    end: Place,
    packet: Packet,
    translation: Option<(IpAddr, Option<u16>)>,
}

impl Route {
    fn new(
        places: &Places<'_>,
        question: &Question,
        from: &Place,
        to: &Place,
        notes: &mut Vec<String>,
        assumed: &mut Vec<String>,
    ) -> Result<Route, AskError> {
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
            to: to.clone(),
            end,
            packet,
            translation: question.dnat,
            nodes,
        };
        route.uplinks = route.find_uplinks(places, question, notes, assumed)?;
        Ok(route)
    }

    /// The interfaces that were named and that the packet does not cross.
    fn unused(&self, question: &Question) -> Vec<String> {
        let crosses = |entering: bool| self.uplinks.iter().any(|uplink| uplink.entering == entering);
        interfaces::unused(question, crosses(true), crosses(false))
    }

    /// Every place where the packet crosses between nodes or the outside, in order.
    fn find_uplinks(
        &self,
        places: &Places<'_>,
        question: &Question,
        notes: &mut Vec<String>,
        assumed: &mut Vec<String>,
    ) -> Result<Vec<Uplink>, AskError> {
        let mut uplinks = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let starts = index == 0 && self.from.node().is_some();
            let ends = index + 1 == self.nodes.len() && self.end.node().is_some();
            for entering in [true, false] {
                if if entering { starts } else { ends } {
                    continue;
                }
                let asked = if entering { &question.in_interface } else { &question.out_interface };
                let names = match asked {
                    Some(name) => {
                        assumed.extend(interfaces::look_for(places, node, name)?);
                        vec![name.clone()]
                    }
                    None => self.interfaces(places, node, entering, notes),
                };
                let found = candidates::distinct(places, node, names);
                let same = found.iter().filter(|(_, more)| *more > 0);
                assumed.extend(
                    same.map(|(name, more)| format!("{name} stands for {more} more interfaces of {node}, {ALIKE}")),
                );
                let names = found.into_iter().map(|(name, _)| name).collect();
                uplinks.push(Uplink { node: node.clone(), entering, names });
            }
        }
        Ok(uplinks)
    }

    /// The interfaces by which the packet may enter or leave a node: the one that the node's routes lead by, else all that
    /// it may be.
    fn interfaces(&self, places: &Places<'_>, node: &str, entering: bool, notes: &mut Vec<String>) -> Vec<String> {
        // A translation does not change where a packet comes in.
        let ends = if entering { [Some(&self.to), Some(&self.end)] } else { [Some(&self.from), None] };
        for end in ends.into_iter().flatten() {
            if let Place::Process { node: at, interface: Some(name), .. } = end
                && at == node
            {
                return vec![name.clone()];
            }
        }
        let peer = if entering {
            self.packet.source
        } else {
            self.translation.map_or(self.packet.destination, |(address, _)| address)
        };
        let Some(machine) = places.machine(node) else { return self.candidates(places, node, entering) };
        let (way, word) = if entering { ("enters", "at") } else { ("leaves", "by") };
        let mut unknown = |why: String| {
            let names = self.candidates(places, node, entering);
            if names.len() > 1 {
                notes.push(format!("nothing tells by which interface it {way} {node}: {why}"));
            }
            names
        };
        if let Some(why) = &machine.partial {
            return unknown(why.clone());
        }
        if group::is_anywhere(peer) {
            return unknown(format!("{peer} may be on every link"));
        }
        match machine.leads(peer) {
            Some(leads)
                if matches!(leads.kind, RouteKind::Unicast | RouteKind::Broadcast) && !leads.interfaces.is_empty() =>
            {
                let names: Vec<String> = leads.interfaces.into_iter().map(str::to_owned).collect();
                notes.push(format!("it {way} {node} {word} {}, as {node}'s route to {peer} says", names.join(" or ")));
                names
            }
            Some(leads) if leads.kind == RouteKind::Local => unknown(format!("{peer} is an address of {node} itself")),
            _ => unknown(format!("{node} has no route to {peer}")),
        }
    }

    /// Every way to fill in the interfaces that are not known.
    fn choices(&self) -> Vec<Vec<String>> {
        let mut choices: Vec<Vec<String>> = vec![Vec::new()];
        for uplink in &self.uplinks {
            choices = choices
                .into_iter()
                .flat_map(|choice| {
                    let with = |name: &String| choice.iter().chain([name]).cloned().collect();
                    uplink.names.iter().map(with).collect::<Vec<_>>()
                })
                .collect();
        }
        choices
    }

    /// The tunnels between the nodes, where the target's pool has them, and the interfaces to other machines.
    fn candidates(&self, places: &Places<'_>, node: &str, entering: bool) -> Vec<String> {
        let mut names = Vec::new();
        let (first, last) = (self.nodes.first(), self.nodes.last());
        let between =
            if entering { first.is_none_or(|first| first != node) } else { last.is_none_or(|last| last != node) };
        if let Place::Workload(endpoint) = &self.end
            && between
        {
            let pools = places.snapshot().pools.values();
            for pool in pools.filter(|pool| endpoint.addresses.iter().any(|address| pool.net.contains(address))) {
                let tunnels = [(pool.ipip, "tunl0"), (pool.vxlan, "vxlan.calico")];
                names.extend(tunnels.iter().filter(|(used, _)| *used).map(|(_, name)| (*name).to_owned()));
            }
        }
        names.extend(places.uplinks(node));
        let mut seen = Vec::new();
        names.retain(|name| {
            !seen.contains(name) && {
                seen.push(name.clone());
                true
            }
        });
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
            let mut untracked = false;
            for way in ways {
                packet.way = way;
                let verdict = judge(snapshot, &host, &packet);
                let allowed = verdict.allowed;
                untracked |= verdict.untracked;
                legs.push(Leg { host: host.clone(), packet: packet.clone(), verdict });
                if !allowed {
                    return legs;
                }
            }
            // Nothing that is not tracked is translated.
            if let Some((address, port)) = packet.translated.take().filter(|_| !untracked) {
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

pub(crate) fn transport(
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
        What::Named(protocol, name) => {
            let ports = places.ports(to);
            let of = |port: Protocol| protocol.is_none_or(|protocol| port == protocol);
            let found = ports.iter().find(|port| &port.name == name && of(port.protocol)).ok_or_else(|| {
                let names: Vec<&str> = ports.iter().map(|port| port.name.as_str()).collect();
                let known = if names.is_empty() {
                    "which has none".to_owned()
                } else {
                    format!("which has {}", names.join(", "))
                };
                let meant = similar_service(name, *protocol).map(|service| format!("; did you mean {service}?"));
                AskError(format!(
                    "{name:?} is no known service, and no named port of the target, {known}{}",
                    meant.unwrap_or_else(|| ": write tcp/PORT or udp/PORT".to_owned())
                ))
            })?;
            (found.protocol.number(), Transport::Ports { source, destination: found.port })
        }
    })
}
