//! The path of a packet over the nodes between two ends: a hop for each node, with the decision there.

mod nodes;
mod route;
mod sources;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use tortie_eval::{Conntrack, Host, Judge, Packet, PacketPath, Transport, Verdict};
use tortie_net::Protocol;
use tortie_policy::{Family, GovernedInterfaces, HostEndpoint, Snapshot};

use crate::answer::{Answer, Hop, OtherPrograms, PossiblePath, allowed};
use crate::interfaces::ASSUMED;
use crate::question::{AskError, EndSpec, Question, TrafficSpec, similar_service};
use crate::several_addresses::{self, Case};
use crate::text::hops_decided_by;
use crate::topology::{Location, Topology};
use crate::translation::Dnat;
use crate::{
    bridged, bypassed_host_endpoints, conversion_notes, dropped_by_routing, multicast, not_in_force, own_nat, reach,
    services, undeliverable, unspecified_destination, untracked_answers,
};
use route::{Crossing, Route, Uplink};

/// A source port for packets whose port nobody asked about.
const SOME_PORT: u16 = 49152;
pub(crate) const DISCOVERY_NOTE: &str = "hop limit 255, without which every receiver ignores neighbour discovery";
/// A note on how Linux treats UDPLite, as measured.
const UDPLITE_NOTE: &str = "connection tracking accepts UDPLite; Linux 6.18 was seen to call what comes in INVALID, so that it is dropped, unless net.netfilter.nf_conntrack_checksum is 0";

/// Paths with the same verdict: the verdict, their interfaces, and the hops of the first of them.
type Alike<'a> = (String, Vec<&'a Vec<String>>, &'a Vec<Hop>);

/// Traces the packet of a question. Where nothing tells which interface it uses, which address an end has, or to which endpoint of a
/// service it is translated, each is answered.
pub fn trace(topology: &Topology<'_>, question: &Question) -> Result<Answer, AskError> {
    topology.named_node(question)?;
    services::trace(topology, question)?.map_or_else(|| trace_as_asked(topology, question), Ok)
}

/// Traces the packet of a question without a look at services.
fn trace_as_asked(topology: &Topology<'_>, question: &Question) -> Result<Answer, AskError> {
    let node = question.node.as_deref();
    let [from, to] = [topology.find(&question.from, node)?, topology.find(&question.to, node)?];
    trace_ends(topology, question, from, to)
}

/// The same with ends that are found.
pub(crate) fn trace_ends(
    topology: &Topology<'_>,
    question: &Question,
    from: Location,
    to: Location,
) -> Result<Answer, AskError> {
    let (cases, unknown) = several_addresses::cases(topology, question, from, to)?;
    let mut notes: Vec<String> = Vec::new();
    let all = cases.iter().flat_map(|Case { traced, .. }| [&traced.notes, &traced.assumed, &traced.left_out]);
    for note in all.flatten().chain(&unknown) {
        if !notes.contains(note) {
            notes.push(note.clone());
        }
    }
    let is_alone = cases.len() < 2;
    if let [Case { traced, paths, .. }] = cases.as_slice()
        && let ([path], true) = (paths.as_slice(), traced.answers.len() > 1)
    {
        notes.push(format!("the answer is the same whether {}", path.when));
    }
    let ends = cases.first().map(|case| (case.traced.from.clone(), case.traced.to.clone()));
    let (from, to) = ends.ok_or_else(|| AskError("no packet is like that".to_owned()))?;
    let mut paths: Vec<PossiblePath> = Vec::new();
    for Case { when: address, paths: of, .. } in cases {
        let is_one = of.len() < 2;
        paths.extend(of.into_iter().map(|path| match &address {
            Some(address) if is_one => PossiblePath { when: address.clone(), ..path },
            Some(address) => PossiblePath { when: format!("{address} and {}", path.when), ..path },
            None => path,
        }));
    }
    if let Some(why) = paths.iter().flat_map(|path| &path.hops).find_map(|hop| undeliverable::why(topology, hop)) {
        return Err(AskError(why));
    }
    let first = paths.iter().find(|path| !path.allowed()).or(paths.first());
    let hops = first.map(|path| path.hops.clone()).unwrap_or_default();
    notes.extend(placement_notes(topology, question, &hops));
    notes.extend(topology.snapshot().missing_tiers());
    let judged: Vec<&Hop> = paths.iter().flat_map(|path| &path.hops).collect();
    notes.extend(untracked_answers::note(&judged));
    let nodes = judged.iter().map(|hop| hop.host.node.clone()).collect();
    notes.extend(conversion_notes::notes(
        topology.snapshot(),
        &judged.iter().flat_map(|hop| hop.judges()).collect(),
        &nodes,
    ));
    if let Some(Hop { packet, .. }) = hops.first() {
        notes.extend(reach::judged_otherwise(topology, question, packet));
    }
    let alike = is_alone && paths.len() < 2;
    Ok(Answer {
        hops,
        from,
        to,
        notes,
        paths: if alike { Vec::new() } else { paths },
        others: OtherPrograms::default(),
        service: None,
        endpoints: Vec::new(),
    })
}

/// The possible paths of a packet; those with the same verdict are one.
pub(crate) fn paths(snapshot: &Snapshot, traced: &Traced) -> Vec<PossiblePath> {
    let choices: Vec<&Vec<String>> = traced.answers.iter().map(|(choice, _)| choice).collect();
    let mut groups: Vec<Alike<'_>> = Vec::new();
    for (choice, hops) in &traced.answers {
        let verdict = hops_decided_by(snapshot, hops);
        match groups.iter_mut().find(|(other, ..)| *other == verdict) {
            Some((_, all, _)) => all.push(choice),
            None => groups.push((verdict, vec![choice], hops)),
        }
    }
    let path =
        |(_, group, hops): Alike<'_>| PossiblePath { when: when(&traced.route, &choices, &group), hops: hops.clone() };
    groups.into_iter().map(path).collect()
}

/// How packets are judged on one node: with all reasons, or only with what decides. The snapshot has the ends that do not exist
/// yet.
#[derive(Clone, Copy)]
pub(crate) struct Judging<'j, 's> {
    pub(crate) judge: &'j Judge<'s>,
    pub(crate) reasons: bool,
}

impl<'s> Judging<'_, 's> {
    fn snapshot(&self) -> &'s Snapshot {
        self.judge.snapshot()
    }

    fn verdict(&self, host: &Host, packet: &Packet) -> Verdict {
        if self.reasons { self.judge.judge(host, packet) } else { self.judge.decide(host, packet) }
    }
}

/// Every possible path of a packet, by the interfaces and sources chosen where nothing tells them.
pub(crate) struct Traced {
    route: Route,
    pub(crate) answers: Vec<(Vec<String>, Vec<Hop>)>,
    from: Location,
    to: Location,
    notes: Vec<String>,
    /// The assumptions about nodes, which do not depend on the transport.
    pub(crate) assumed: Vec<String>,
    /// What the packet does not cross: interfaces that were named, and host endpoints.
    pub(crate) left_out: Vec<String>,
}

impl Traced {
    /// The nodes whose `natOutgoing` may give the packet several sources, if the answer is not the same for all of them.
    pub(crate) fn differs_by_source(&self) -> Option<String> {
        let is_source = |at: &usize| self.route.uplinks[*at].crossing == Crossing::GetsSource;
        let sources: Vec<usize> = (0..self.route.uplinks.len()).filter(is_source).collect();
        let mut others: HashMap<Vec<&String>, bool> = HashMap::new();
        let differs = self.answers.iter().any(|(choice, hops)| {
            let interfaces = choice.iter().enumerate().filter(|(at, _)| !sources.contains(at)).map(|(_, name)| name);
            *others.entry(interfaces.collect()).or_insert(allowed(hops)) != allowed(hops)
        });
        let nodes: Vec<&str> = sources.iter().map(|at| self.route.uplinks[*at].node.as_str()).collect();
        differs.then(|| nodes.join(" or "))
    }
}

/// Traces the packet between two ends that are found.
pub(crate) fn trace_between(
    topology: &Topology<'_>,
    question: &Question,
    from: Location,
    to: Location,
    judging: Judging<'_, '_>,
) -> Result<Traced, AskError> {
    let node = question.node.as_deref();
    let (mut notes, mut assumed) = (Vec::new(), Vec::new());
    let to = multicast::receiver(topology, question, &from, to)?;
    let (from, to) = match unspecified_destination::to_itself(question, &from, &to) {
        Some(([from, to], note)) => {
            notes.push(note);
            (from, to)
        }
        None => (topology.facing(from.clone(), &to), topology.facing(to, &from)),
    };
    let snapshot = judging.snapshot();
    for location in [&from, &to] {
        if let Location::Workload(endpoint) = location
            && !topology.snapshot().workload_endpoints.contains_key(&endpoint.id)
        {
            notes.extend(topology.chosen_node(node, &endpoint.node));
        }
    }
    let route = Route::new(topology, question, &from, &to, &mut notes, &mut assumed)?;
    let answers: Vec<(Vec<String>, Vec<Hop>)> = route
        .choices()
        .into_iter()
        .filter_map(|choice| {
            let hops = route.hops(topology, &choice, judging)?;
            Some((choice, hops))
        })
        .collect();
    if route.translates(&answers)? == Some(false) {
        return untranslated(topology, question, &route, [from, to], judging);
    }
    assumed.extend(route.assumes_known_interfaces(topology, &answers, judging));
    if answers.iter().any(|(_, hops)| depends_on_checksum(judging, hops)) {
        assumed.push(format!("{ASSUMED}{UDPLITE_NOTE}"));
    }
    let replaced = answers.iter().flat_map(|(_, hops)| hops).filter_map(|hop| hop.replaced_source.as_ref());
    assumed.extend(replaced.filter_map(|source| source.assumed.clone()).collect::<BTreeSet<_>>());
    notes.extend(route.notes_of_sources(&answers));
    notes.extend(of_all(&answers, own_nat::own_source_note));
    notes.extend(multicast::copies(topology, judging.judge, &answers));
    assumed.extend(of_all(&answers, |hops| dropped_by_routing::assumed(topology, hops)));
    if question.out_interface.is_none() {
        notes.extend(of_all(&answers, |hops| dropped_by_routing::other_tables(topology, hops)));
    }
    assumed.extend(of_all(&answers, |hops| dropped_by_routing::assumed_source(topology, hops)));
    assumed.extend(of_all(&answers, |hops| dropped_by_routing::assumed_own_source(topology, hops)));
    assumed.extend(of_all(&answers, |hops| dropped_by_routing::assumed_loopback(topology, hops)));
    assumed.extend(of_all(&answers, |hops| bridged::assumed(topology, [&from, &route.end], hops)));
    let mut left_out = route.unused(question);
    for note in answers.iter().flat_map(|(_, hops)| bypassed_host_endpoints::notes(snapshot, topology, hops)) {
        if !left_out.contains(&note) {
            left_out.push(note);
        }
    }
    Ok(Traced { route, answers, from, to, notes, assumed, left_out })
}

/// What is said of the hops of the possible paths, each once.
fn of_all<I: IntoIterator<Item = String>>(
    answers: &[(Vec<String>, Vec<Hop>)],
    of: impl Fn(&[Hop]) -> I,
) -> BTreeSet<String> {
    answers.iter().flat_map(|(_, hops)| of(hops)).collect()
}

/// Traces a packet that is of no connection where it would be translated, so that it goes on as it is.
fn untranslated(
    topology: &Topology<'_>,
    question: &Question,
    route: &Route,
    [from, to]: [Location; 2],
    judging: Judging<'_, '_>,
) -> Result<Traced, AskError> {
    let Packet { protocol, transport, destination, .. } = route.packet;
    let (what, source_port) = reach::asking(protocol, transport, Family::of(destination));
    let source_port = source_port.or(question.source_port);
    let question = Question { dnat: Dnat::Never, what, source_port, ..question.clone() };
    let mut traced = trace_between(topology, &question, from, to, judging)?;
    let by = route.translation.as_ref().map_or("the question", |translation| translation.by.text());
    traced.notes.push(format!("it is not translated, as {by} says: it is of no connection, and nothing else is"));
    Ok(traced)
}

/// Whether a packet of UDPLite arrives only if connection tracking accepts it where it comes in.
fn depends_on_checksum(judging: Judging<'_, '_>, hops: &[Hop]) -> bool {
    let is_denied = |hop: &Hop| {
        let is_incoming = !matches!(hop.packet.path, PacketPath::Output { .. });
        let packet = Packet { conntrack: Conntrack::Invalid, ..hop.packet.clone() };
        is_incoming && hop.packet.conntrack == Conntrack::New && !judging.judge.decide(&hop.host, &packet).allowed
    };
    let is_udplite = hops.iter().all(|hop| hop.packet.protocol == Protocol::UDPLITE.number());
    is_udplite && allowed(hops) && hops.iter().any(is_denied)
}

/// Asks with what judges packets between these ends. Questions about ends that exist share what the topology has found out.
pub(crate) fn with_judging<T>(
    topology: &Topology<'_>,
    ends: [&Location; 2],
    reasons: bool,
    ask: impl FnOnce(Judging<'_, '_>) -> T,
) -> T {
    match with_new_workloads(topology, ends) {
        Cow::Borrowed(_) => ask(Judging { judge: topology.judge(), reasons }),
        Cow::Owned(snapshot) => ask(Judging { judge: &Judge::new(&snapshot), reasons }),
    }
}

/// The snapshot, with those ends in it that do not exist yet.
fn with_new_workloads<'a>(topology: &Topology<'a>, ends: [&Location; 2]) -> Cow<'a, Snapshot> {
    let mut snapshot = Cow::Borrowed(topology.snapshot());
    for end in ends {
        if let Location::Workload(endpoint) = end
            && !snapshot.workload_endpoints.contains_key(&endpoint.id)
        {
            snapshot.to_mut().workload_endpoints.insert(endpoint.id.clone(), (**endpoint).clone());
        }
    }
    snapshot
}

/// Notes about host endpoints that a reader may expect to judge the packet and that are not in force.
pub(crate) fn placement_notes(topology: &Topology<'_>, question: &Question, hops: &[Hop]) -> Vec<String> {
    let asked = |endpoint: &HostEndpoint| {
        [&question.from, &question.to]
            .into_iter()
            .any(|party| *party.place() == EndSpec::HostEndpoint(endpoint.name.clone()))
    };
    let crossed = |endpoint: &HostEndpoint| {
        let mut on_node = hops.iter().filter(|hop| hop.host.node == endpoint.node);
        on_node.any(|hop| match (&hop.packet.path, &endpoint.interface) {
            (path, GovernedInterfaces::Named(name)) => {
                let (PacketPath::Input { interface }
                | PacketPath::Output { interface }
                | PacketPath::Forward { from: interface, .. }) = path;
                interface == name || hop.leaves_by() == Some(name)
            }
            _ => false,
        })
    };
    let endpoints = topology.snapshot().host_endpoints.values().filter(|endpoint| asked(endpoint) || crossed(endpoint));
    let notes = endpoints.filter_map(|endpoint| {
        not_in_force::host_endpoint(topology, endpoint).map(|why| format!("host endpoint {} {why}", endpoint.name))
    });
    notes.collect()
}

/// `it enters gw at eth0 or eth1 and leaves gw by eth2`: what tells a group of choices from the others.
fn when(route: &Route, all: &[&Vec<String>], group: &[&Vec<String>]) -> String {
    const MAX_LISTED: usize = 4;
    let at = |choices: &[&Vec<String>], position: usize| {
        let mut names: Vec<String> = Vec::new();
        for choice in choices {
            if !names.contains(&choice[position]) {
                names.push(choice[position].clone());
            }
        }
        names
    };
    let varies = |position: &usize| at(all, *position).len() > 1;
    let positions: Vec<usize> = (0..route.uplinks.len()).filter(varies).collect();
    let crossing = |position: usize, names: &[String]| {
        let Uplink { node, crossing, .. } = &route.uplinks[position];
        format!("{} {}", crossing.text(node), names.join(" or "))
    };
    let sets: Vec<Vec<String>> = positions.iter().map(|position| at(group, *position)).collect();
    // The group is every combination of these: what may be anything need not be said.
    if sets.iter().map(Vec::len).product::<usize>() == group.len() {
        let said = positions.iter().zip(&sets).filter(|(position, names)| at(all, **position).len() != names.len());
        let mut said: Vec<String> = said.map(|(position, names)| crossing(*position, names)).collect();
        if said.is_empty() {
            said = positions.iter().zip(&sets).map(|(position, names)| crossing(*position, names)).collect();
        }
        return format!("it {}", said.join(" and "));
    }
    let one = |choice: &&Vec<String>| {
        let parts = positions.iter().map(|position| crossing(*position, std::slice::from_ref(&choice[*position])));
        format!("it {}", parts.collect::<Vec<_>>().join(" and "))
    };
    let mut said: Vec<String> = group.iter().take(MAX_LISTED).map(one).collect();
    if group.len() > MAX_LISTED {
        said.push(format!("in {} more ways", group.len() - MAX_LISTED));
    }
    said.join(", or ")
}

pub(crate) fn transport(
    topology: &Topology<'_>,
    what: &TrafficSpec,
    source: Option<u16>,
    to: &Location,
    v4: bool,
) -> Result<(u8, Transport), AskError> {
    let source = source.unwrap_or(SOME_PORT);
    Ok(match what {
        TrafficSpec::Port(protocol, port) => (protocol.number(), Transport::Ports { source, destination: *port }),
        TrafficSpec::Icmp(kind) | TrafficSpec::Icmpv6(kind) => {
            let protocol = if v4 { Protocol::ICMP } else { Protocol::ICMPV6 };
            let (kind, code) = kind.unwrap_or((if v4 { 8 } else { 128 }, None));
            (protocol.number(), Transport::Icmp { kind, code: code.unwrap_or(0) })
        }
        TrafficSpec::Other(number) => (*number, Transport::Opaque),
        TrafficSpec::Named(protocol, name) => {
            let ports = topology.ports(to);
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
                    "{name:?} is not a known service, and no named port of the target, {known}{}",
                    meant.unwrap_or_else(|| ": write tcp/PORT or udp/PORT".to_owned())
                ))
            })?;
            (found.protocol.number(), Transport::Ports { source, destination: found.port })
        }
    })
}
