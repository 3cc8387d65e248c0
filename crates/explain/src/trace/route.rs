//! The crossings of a packet between nodes and the outside, and what is possible at each: interfaces, sources, and so the hops.

use std::collections::BTreeSet;
use std::net::IpAddr;

use tortie_eval::{Conntrack, Packet, PacketPath, Transport, Verdict, needs_hop_limit_255, usual_hop_limit};
use tortie_policy::EndpointId;
use tortie_policy::Family;
use tortie_policy::machine::RouteKind;

use super::nodes::Nodes;
use super::sources::Sources;
use super::{DISCOVERY_NOTE, Judging, transport};
use crate::answer::{Hop, allowed, is_of_connection, is_tracked};
use crate::interfaces::ASSUMED;
use crate::question::{AskError, Question, State, TrafficSpec};
use crate::replaced_source::{self, Behind, ReplacedSource};
use crate::shortened_list::shortened;
use crate::text::before_translation;
use crate::topology::{ANOTHER, Location, Topology};
use crate::translation::{self, Translation};
use crate::{
    alike_interfaces, bridged, dropped_by_routing, entrances, interfaces, multicast, own_nat, undeliverable,
    unreachable,
};

/// So many interfaces are named.
const SHOWN_INTERFACES: usize = 4;

/// What a packet does at an interface of a node.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Crossing {
    Enters,
    Leaves,
    /// The node sends it and translates it: its route before that leads by the interface.
    BeforeTranslation,
    /// The node replaces its source: instead of interfaces these are sources.
    GetsSource,
}

impl Crossing {
    /// `enters web1 at`, before the name of an interface; of a source `gets from web1 as its source`, before that.
    pub(super) fn text(self, node: &str) -> String {
        match self {
            Crossing::Enters => format!("enters {node} at"),
            Crossing::Leaves => format!("leaves {node} by"),
            Crossing::BeforeTranslation => format!("would leave {node}, without the translation, by"),
            Crossing::GetsSource => format!("gets from {node} as its source"),
        }
    }
}

/// A crossing between nodes or the outside where the interface is not given by the ends, or a source that a node gives.
pub(super) struct Uplink {
    pub(super) node: String,
    pub(super) crossing: Crossing,
    /// The interfaces that it may be, or the sources in words.
    names: Vec<String>,
    /// They are known only from the store: the node may have others, without an endpoint.
    only_stored: bool,
    /// Of these interfaces those by which a packet of each source comes in, where it may have several sources.
    by_source: Vec<(IpAddr, Vec<String>)>,
}

impl Uplink {
    /// Whether a packet with this source may come in by an interface.
    fn admits(&self, source: IpAddr, name: &String) -> bool {
        let of = self.by_source.iter().find(|(one, _)| *one == source);
        name == ANOTHER || of.is_none_or(|(_, names)| names.contains(name))
    }
}

/// The crossings of a packet, the sources that nodes may give it, and what is said of it with each of them.
type Found = (Vec<Uplink>, Vec<Option<Sources>>, Vec<(String, IpAddr, Vec<String>)>);

pub(super) struct Route {
    nodes: Vec<String>,
    /// The named node, where neither end is on it: the named interfaces are its own.
    passed: Option<String>,
    /// Which of the nodes translates the destination.
    translator: Option<usize>,
    pub(super) uplinks: Vec<Uplink>,
    from: Location,
    to: Location,
    pub(super) end: Location,
    /// The interface of the workload at the end takes no packets: they follow the routes of its node.
    passes_by: bool,
    /// The node that drops the packet since no route leads on, and why. What a bridge hands on needs none.
    dropped: Option<(String, String)>,
    /// The node that drops the packet since the interface of the workload at the end carries none, and why.
    end_is_down: Option<(String, String)>,
    pub(super) packet: Packet,
    /// The node that exempts it from connection tracking.
    exempt_on: Option<String>,
    pub(super) translation: Option<Translation>,
    /// The address to which the last node translates it, where it goes to a floating IP.
    floating: Option<IpAddr>,
    /// The sources that nodes may give it, by the place of the node.
    sources: Vec<Option<Sources>>,
    /// What is said of a packet that comes to a node with a source, where it may have several.
    source_notes: Vec<(String, IpAddr, Vec<String>)>,
}

impl Route {
    pub(super) fn new(
        topology: &Topology<'_>,
        question: &Question,
        from: &Location,
        to: &Location,
        notes: &mut Vec<String>,
        assumed: &mut Vec<String>,
    ) -> Result<Route, AskError> {
        assumed.extend([&question.from, &question.to].into_iter().filter_map(|end| topology.assumed_address(end)));
        assumed.extend(topology.assumed_no_service(&question.to));
        let (source, destination) = addresses(from, to, &question.what)?;
        let named = question.dnat.address().map(|address| topology.at(address));
        let named = named.as_ref().unwrap_or(to);
        let (protocol, transport) =
            transport(topology, &question.what, question.source_port, named, destination.is_ipv4())?;
        let translation = translation::find(topology, question, to, destination, (protocol, transport), assumed);
        let end = translation.as_ref().map_or_else(|| to.clone(), |translation| topology.at(translation.to.0));
        let family = Family::of(destination);
        let ends = [from, to, &end];
        let Nodes { nodes, passed, translator } =
            Nodes::new(topology, question, ends, translation.is_some(), family, assumed)?;
        notes.extend(passed.iter().filter(|_| nodes.len() > 1).map(|passed| {
            let with_reason =
                |node: &String| if node == passed { format!("{node} (as --node says)") } else { node.clone() };
            let all: Vec<String> = nodes.iter().map(with_reason).collect();
            format!("the packet passes {}", all.join(", then "))
        }));
        notes.extend(nodes.first().and_then(|node| multicast::source_note(topology, node, source)));
        if needs_hop_limit_255(protocol, transport) {
            notes.push(format!("{ASSUMED}{DISCOVERY_NOTE}"));
        }
        let packet = Packet {
            source,
            destination,
            protocol,
            transport,
            path: PacketPath::Input { interface: String::new() },
            translated: None,
            translated_interface: None,
            conntrack: match question.state {
                State::New => Conntrack::New,
                State::Established => Conntrack::Established,
                State::Invalid => Conntrack::Invalid,
                State::Untracked => Conntrack::Untracked,
            },
            source_route_ok: None,
            hop_limit: usual_hop_limit(protocol, transport),
        };
        let mut route = Route {
            passed,
            translator,
            uplinks: Vec::new(),
            from: from.clone(),
            to: to.clone(),
            passes_by: false,
            dropped: None,
            end_is_down: None,
            end,
            packet,
            exempt_on: question.exempt_on.clone(),
            translation,
            floating: None,
            sources: Vec::new(),
            source_notes: Vec::new(),
            nodes,
        };
        route.floating = route.floating_leads_to(topology);
        let destination = route.destination_behind(route.nodes.len().saturating_sub(1));
        let ways = [route.packet.source, destination];
        route.passes_by = unreachable::passes_by(topology, &route.end, ways, notes);
        route.end_is_down = unreachable::drops(topology, &route.end);
        unreachable::note_silent(topology, from, notes);
        unreachable::note_passed_by(topology, [from, &route.end], ways, assumed);
        let mut dropped = None;
        let found = route.find_uplinks(topology, question, notes, assumed, &mut dropped)?;
        (route.uplinks, route.sources, route.source_notes) = found;
        route.dropped = route.no_route_before_translation(topology).or(dropped);
        Ok(route)
    }

    /// The node that sends the packet, if it has no route to the destination before its translation: a packet gets to the hooks
    /// only by a route.
    fn no_route_before_translation(&self, topology: &Topology<'_>) -> Option<(String, String)> {
        let node = self.translating_sender(topology)?;
        let to = self.packet.destination;
        let machine = topology.complete_machine(node, Family::of(to))?;
        let leads = machine.route_from(Some(self.packet.source), to).filter(|leads| leads.kind != RouteKind::Blocked);
        let is_own =
            topology.known_host(node).is_some_and(|host| host.links.iter().any(|link| link.addresses.contains(&to)));
        let is_lost = leads.is_none() && !is_own && !to.is_loopback() && !multicast::is_anywhere(to);
        is_lost.then(|| (node.clone(), format!("{node} has no usable route to {to}, before any translation")))
    }

    /// Whether a packet that may be translated is of a connection where that happens. None where it is not translated, or does not get
    /// there.
    pub(super) fn translates(&self, answers: &[(Vec<String>, Vec<Hop>)]) -> Result<Option<bool>, AskError> {
        let Some(node) = self.translator.and_then(|at| self.nodes.get(at)).filter(|_| self.translation.is_some())
        else {
            return Ok(None);
        };
        let at_it = answers.iter().filter_map(|(_, hops)| hops.iter().find(|hop| hop.host.node == *node));
        let get_there = at_it.filter(|hop| before_translation(hop).is_some());
        let tracked: BTreeSet<bool> = get_there.map(Hop::is_tracked).collect();
        if tracked.len() > 1 {
            let is_sent = self.uplinks.iter().any(|uplink| uplink.crossing == Crossing::BeforeTranslation);
            let instead = match is_sent {
                true => format!("ask on {node} itself, whose agent tells its routes"),
                false => "say the interface with --in-interface or --out-interface".to_owned(),
            };
            return Err(AskError(format!(
                "an untracked policy allows the packet at some of the interfaces by which it may cross {node}, where nothing translates it, and not at others: {instead}"
            )));
        }
        Ok(tracked.first().copied())
    }

    /// What is said of the packet with the sources that it has where it comes to nodes.
    pub(super) fn notes_of_sources(&self, answers: &[(Vec<String>, Vec<Hop>)]) -> Vec<String> {
        let hops = answers.iter().flat_map(|(_, hops)| hops);
        let comes = |node: &String, source: IpAddr| {
            hops.clone().any(|hop| hop.host.node == *node && hop.packet.source == source)
        };
        let said = self.source_notes.iter().filter(|(node, source, _)| comes(node, *source));
        let mut notes: Vec<String> = Vec::new();
        for note in said.flat_map(|(_, _, notes)| notes) {
            if !notes.contains(note) {
                notes.push(note.clone());
            }
        }
        notes
    }

    /// The interfaces that were named and that the packet does not cross.
    pub(super) fn unused(&self, question: &Question) -> Vec<String> {
        let crosses = |crossing: Crossing| self.uplinks.iter().any(|uplink| uplink.crossing == crossing);
        let mut unused = interfaces::unused(question, crosses(Crossing::Enters), crosses(Crossing::Leaves));
        if let (Some(named), [node]) = (&question.node, self.nodes.as_slice())
            && named != node
        {
            unused.push(format!(
                "node {named} makes no difference: both ends are on {node}, and what they exchange passes no other node"
            ));
        }
        unused
    }

    /// Every crossing between nodes or the outside, in order.
    fn find_uplinks(
        &self,
        topology: &Topology<'_>,
        question: &Question,
        notes: &mut Vec<String>,
        assumed: &mut Vec<String>,
        dropped: &mut Option<(String, String)>,
    ) -> Result<Found, AskError> {
        let mut uplinks: Vec<Uplink> = self.before_translation(topology, notes, assumed).into_iter().collect();
        // The sources that it may have where it comes to a node.
        let mut peers = vec![self.packet.source];
        let (mut sources, mut source_notes) = (Vec::new(), Vec::new());
        for (index, node) in self.nodes.iter().enumerate() {
            let starts = index == 0 && self.from.node().is_some();
            let ends = index + 1 == self.nodes.len() && self.end.node().is_some() && !self.passes_by;
            for entering in [true, false] {
                if if entering { starts } else { ends } {
                    continue;
                }
                let asked = if entering { &question.in_interface } else { &question.out_interface };
                let mut by_source = Vec::new();
                let is_meant = self.passed.as_ref().is_none_or(|passed| passed == node);
                let names = match asked.as_ref().filter(|_| is_meant) {
                    Some(name) => {
                        assumed.extend(interfaces::look_for(topology, node, name)?);
                        let at = topology.judged_at(node, name.clone());
                        if at != *name {
                            assumed.push(format!("{name} is a port of {at}, where its packets are judged"));
                        }
                        vec![at]
                    }
                    None if entering && peers.len() > 1 => {
                        let mut names: Vec<String> = Vec::new();
                        for source in &peers {
                            let mut said = Vec::new();
                            // Only what leaves a node may be lost for want of an interface.
                            let of = self.interfaces(topology, index, entering, *source, &mut said).unwrap_or_default();
                            let of = distinct_interfaces(topology, node, of, assumed);
                            names.extend(of.iter().filter(|name| !names.contains(name)).cloned().collect::<Vec<_>>());
                            by_source.push((*source, of));
                            source_notes.push((node.clone(), *source, said));
                        }
                        names
                    }
                    None => match self.interfaces(topology, index, entering, self.packet.source, notes) {
                        Ok(names) => names,
                        Err(why) => {
                            dropped.get_or_insert((node.clone(), why));
                            let enters = self.enters_by(topology, node, &uplinks);
                            let ways = [self.packet.source, self.destination_behind(index)];
                            let is_of_link = |name: &&String| bridged::is_of_link(topology, node, name, ways);
                            vec![enters.iter().find(is_of_link).cloned().unwrap_or_default()]
                        }
                    },
                };
                let is_said = asked.is_some() && is_meant || self.interface_of_end(node, entering).is_some();
                let is_told = topology.machine(node).is_some() || topology.known_host(node).is_some();
                let only_stored = !is_said && !is_told && !names.iter().any(|name| name == ANOTHER);
                let names = match by_source.is_empty() {
                    true => distinct_interfaces(topology, node, names, assumed),
                    false => names,
                };
                let crossing = if entering { Crossing::Enters } else { Crossing::Leaves };
                uplinks.push(Uplink { node: node.clone(), crossing, names, only_stored, by_source });
            }
            let leaves_by = uplinks.last().filter(|last| last.crossing == Crossing::Leaves && last.node == *node);
            let given = match leaves_by {
                Some(last) => self.find_sources(topology, index, (&last.names, last.only_stored), &peers)?,
                None => None,
            };
            if let Some(given) = &given {
                peers.extend(given.addresses());
                peers.sort_unstable();
                peers.dedup();
                let (crossing, names) = (Crossing::GetsSource, given.names());
                uplinks.push(Uplink { node: node.clone(), crossing, names, only_stored: false, by_source: Vec::new() });
            }
            sources.push(given);
        }
        Ok((uplinks, sources, source_notes))
    }

    /// The interfaces by which the packet comes to a node, whose crossings before it leaves are these.
    fn enters_by(&self, topology: &Topology<'_>, node: &str, uplinks: &[Uplink]) -> Vec<String> {
        match &self.from {
            Location::Workload(endpoint) if endpoint.node == node => {
                vec![topology.judged_at(node, endpoint.interface.clone())]
            }
            Location::Process { node: at, .. } if at == node => Vec::new(),
            _ => {
                let enters = |uplink: &&Uplink| uplink.crossing == Crossing::Enters && uplink.node == node;
                uplinks.iter().find(enters).map(|uplink| uplink.names.clone()).unwrap_or_default()
            }
        }
    }

    /// The destination of the packet where it leaves a node.
    fn destination_behind(&self, index: usize) -> IpAddr {
        let translation = self.translation.as_ref();
        let is_behind = self.translator.is_some_and(|translator| translator <= index);
        let floating = self.floating.filter(|_| index + 1 == self.nodes.len());
        let translated = translation.filter(|_| is_behind).map(|translation| translation.to.0);
        translated.or(floating).unwrap_or(self.packet.destination)
    }

    /// The address to which the node of the workload at the end translates a floating IP. Nothing that is of no connection is translated.
    fn floating_leads_to(&self, topology: &Topology<'_>) -> Option<IpAddr> {
        let Location::Workload(endpoint) = &self.end else { return None };
        let is_exempt = self.exempt_on.as_ref() == Some(&endpoint.node);
        if self.translation.is_some() || !is_of_connection(&self.packet) || is_exempt {
            return None;
        }
        own_nat::floating_leads_to(topology.snapshot(), endpoint, self.packet.destination)
    }

    /// The sources that a node may give the packet before another one gets it; none where it keeps its own.
    fn find_sources(
        &self,
        topology: &Topology<'_>,
        index: usize,
        (leaves_by, only_stored): (&[String], bool),
        peers: &[IpAddr],
    ) -> Result<Option<Sources>, AskError> {
        let (node, snapshot) = (&self.nodes[index], topology.snapshot());
        let behind = &self.nodes[index + 1..];
        if behind.is_empty() || !is_of_connection(&self.packet) || !replaced_source::is_used(snapshot) {
            return Ok(None);
        }
        let (to, behind) = (self.destination_behind(index), Behind { nodes: behind, end: &self.end });
        let mut sources = Sources::default();
        let another = ANOTHER.to_owned();
        // It may leave by an interface that the store does not know.
        for name in leaves_by.iter().chain(only_stored.then_some(&another)) {
            let is_replaced = |source: &IpAddr| own_nat::replaces_source(snapshot, node, *source, to, name);
            if !name.is_empty() && peers.iter().any(is_replaced) {
                let candidates =
                    replaced_source::candidates(topology, node, (name, only_stored), &self.packet, &behind)?;
                sources.by_interface.insert(name.clone(), candidates);
            }
        }
        if !sources.by_interface.is_empty() {
            sources.ports = replaced_source::ports(topology, node, &self.packet, &behind)?;
        }
        if self.packet.tracking() == Conntrack::Established {
            sources.kept = Some(format!("{} (its own)", self.packet.source));
        }
        let has_one = sources.addresses().next().is_some();
        Ok(Some(sources).filter(|_| has_one))
    }

    /// The node that sends the packet, if it translates it too: by another program, or a floating IP of one of its workloads. The kernel
    /// chooses the route of such a packet twice, and judges it by untracked policy in between.
    fn translating_sender(&self, topology: &Topology<'_>) -> Option<&String> {
        let node = self.nodes.first().filter(|node| self.from.node() == Some(node.as_str()))?;
        let is_sent = matches!(self.from, Location::Process { .. });
        let is_translated = match (&self.translation, &self.to) {
            (Some(_), _) => self.translator == Some(0),
            (None, Location::Workload(to)) => {
                to.node == *node
                    && topology.snapshot().settings(node).floating_ips
                    && to.nats.iter().any(|nat| nat.external == self.packet.destination)
            }
            (None, _) => false,
        };
        (is_sent && is_translated).then_some(node)
    }

    /// By which interface the packet of a sender that translates it would leave without that.
    fn before_translation(
        &self,
        topology: &Topology<'_>,
        notes: &mut Vec<String>,
        assumed: &mut Vec<String>,
    ) -> Option<Uplink> {
        let node = self.translating_sender(topology)?;
        let to = self.packet.destination;
        let machine = topology.complete_machine(node, Family::of(to)).filter(|_| !multicast::is_anywhere(to));
        let route = machine.and_then(|machine| machine.route_from(Some(self.packet.source), to));
        let names: Vec<String> = match (&route, &self.to) {
            (_, Location::Process { node: at, .. }) if at == node => vec!["lo".to_owned()],
            (Some(route), _) if route.kind == RouteKind::Local => vec!["lo".to_owned()],
            (Some(route), _) => route.interfaces.iter().map(|name| (*name).to_owned()).collect(),
            (None, Location::Workload(to)) if to.node == *node => vec![to.interface.clone()],
            (None, _) => self.candidates(topology, node, false),
        };
        let names = if names.is_empty() { vec![String::new()] } else { names };
        let crossing = Crossing::BeforeTranslation;
        if machine.is_some() && matches!(self.to, Location::Outside(_)) {
            let names = names.join(" or ");
            notes.push(format!("it {} {names}, as {node}'s route to {to} says", crossing.text(node)));
        }
        let is_told = topology.machine(node).is_some() || topology.known_host(node).is_some();
        let only_stored = !is_told && !names.iter().any(|name| name == ANOTHER);
        let names = distinct_interfaces(topology, node, names, assumed);
        Some(Uplink { node: node.clone(), crossing, names, only_stored, by_source: Vec::new() })
    }

    /// The interface of the host endpoint that an end was asked about as. A translation does not change where a packet comes in.
    fn interface_of_end(&self, node: &str, entering: bool) -> Option<&String> {
        let ends = if entering { [Some(&self.to), Some(&self.end)] } else { [Some(&self.from), None] };
        ends.into_iter().flatten().find_map(|end| match end {
            Location::Process { node: at, interface: Some(name), .. } if at == node => Some(name),
            _ => None,
        })
    }

    /// What is assumed where an interface that the store does not know would lead to another answer. Nobody but the store tells of
    /// the interfaces of other machines, and it knows only those of host endpoints.
    pub(super) fn assumes_known_interfaces(
        &self,
        topology: &Topology<'_>,
        answers: &[(Vec<String>, Vec<Hop>)],
        judging: Judging<'_, '_>,
    ) -> Vec<String> {
        let Some(through) = answers.first().map(|(_, hops)| allowed(hops)) else { return Vec::new() };
        if answers.iter().any(|(_, hops)| allowed(hops) != through) {
            return Vec::new();
        }
        let differs = |others: &[usize]| {
            let mut choices = self.choices();
            for choice in &mut choices {
                others.iter().for_each(|at| choice[*at] = ANOTHER.to_owned());
            }
            choices.dedup();
            let is_other = |choice: &Vec<String>| {
                self.hops(topology, choice, judging).is_some_and(|hops| allowed(&hops) != through)
            };
            choices.iter().any(is_other)
        };
        let stored: Vec<usize> = (0..self.uplinks.len()).filter(|at| self.uplinks[*at].only_stored).collect();
        let mut found: Vec<Vec<usize>> = stored.iter().map(|at| vec![*at]).filter(|one| differs(one)).collect();
        // What is denied at several interfaces is let through only where none of them is the one that the store knows.
        if found.is_empty() && stored.len() > 1 && differs(&stored) {
            let without =
                |all: &[usize], left: usize| -> Vec<usize> { all.iter().copied().filter(|at| *at != left).collect() };
            let mut least = stored.clone();
            for at in stored {
                let fewer = without(&least, at);
                if differs(&fewer) {
                    least = fewer;
                }
            }
            found.push(least);
        }
        let note = |positions: Vec<usize>| {
            let crossing = |at: &usize| {
                let Uplink { node, crossing, names, .. } = &self.uplinks[*at];
                format!("{} {}", crossing.text(node), shortened(names, SHOWN_INTERFACES).replace(", ", " or "))
            };
            let known: Vec<String> = positions.iter().map(crossing).collect();
            let elsewhere = match positions.as_slice() {
                [at] if self.uplinks[*at].crossing == Crossing::Enters => "at another interface",
                [_] => "by another interface",
                _ => "with other interfaces",
            };
            let becomes = if through { "denied" } else { "let through" };
            let known = known.join(" and ");
            format!("{ASSUMED}it {known}, which the store knows; {elsewhere} it would be {becomes}")
        };
        found.into_iter().map(note).collect()
    }

    /// The interfaces by which the packet may enter a node with this source, or leave it: the one that the node's routes lead by,
    /// else all that it may be. The error says why it leaves by none.
    fn interfaces(
        &self,
        topology: &Topology<'_>,
        index: usize,
        entering: bool,
        source: IpAddr,
        notes: &mut Vec<String>,
    ) -> Result<Vec<String>, String> {
        let node = self.nodes[index].as_str();
        if let Some(name) = self.interface_of_end(node, entering) {
            return match unreachable::carries_nothing(topology, node, name) {
                Some(why) if !entering => Err(format!("{why}, so no packet leaves by it")),
                Some(why) => {
                    notes.push(format!("{ASSUMED}a packet comes in by {name}, although {why}"));
                    Ok(vec![name.clone()])
                }
                None => Ok(vec![name.clone()]),
            };
        }
        let (own, peer) =
            if entering { (self.packet.destination, source) } else { (source, self.destination_behind(index)) };
        let Some(machine) = topology.machine(node) else { return Ok(self.candidates(topology, node, entering)) };
        let is_sender = index == 0 && matches!(self.from, Location::Process { .. });
        let (path, word) = if entering { ("enters", "at") } else { ("leaves", "by") };
        let mut unknown = |why: String| {
            let names = self.candidates(topology, node, entering);
            if names.len() > 1 {
                notes.push(format!("nothing tells by which interface it {path} {node}: {why}"));
            }
            names
        };
        if let Some(why) = machine.partial_for(Family::of(peer)) {
            return Ok(unknown(why.to_owned()));
        }
        if multicast::is_anywhere(peer) {
            return Ok(unknown(format!("{peer} may be on every link")));
        }
        match machine.route_from(Some(own), peer) {
            // The broadcast address of a net of the loopback interface, by which nothing comes from elsewhere.
            Some(decision) if entering && decision.interfaces == ["lo"] => {
                Ok(unknown(format!("{node}'s route to {peer} leads by lo")))
            }
            Some(decision) if decision.kind == RouteKind::NotForwarded && !entering && !is_sender => Err(format!(
                "{node} sends nothing on by its route to {peer}, which is of the type anycast or multicast"
            )),
            Some(decision) if !entering && decision.interfaces == ["lo"] && decision.kind == RouteKind::Unicast => {
                Err(format!("{node} sends nothing by its route to {peer}, which leads by lo"))
            }
            Some(decision)
                if matches!(decision.kind, RouteKind::Unicast | RouteKind::Broadcast | RouteKind::NotForwarded)
                    && !decision.interfaces.is_empty() =>
            {
                let route = decision.interfaces;
                let names: Vec<String> = route.iter().map(|name| (*name).to_owned()).collect();
                if !entering && names.iter().all(|name| machine.down.contains(name)) {
                    let names = names.join(" and ");
                    return Err(format!("{node}'s route to {peer} leads by {names}, down or without carrier"));
                }
                let by = names.join(" or ");
                let host = topology.known_host(node).filter(|_| entering);
                let others = host.map(|host| {
                    entrances::beside_route(
                        (machine, &host.links),
                        |name| topology.snapshot().settings(node).is_workload_interface(name),
                        [peer, own],
                        &route,
                    )
                });
                let Some((host, others)) = host.zip(others).filter(|(_, others)| !others.is_empty()) else {
                    notes.push(format!("it {path} {node} {word} {by}, as {node}'s route to {peer} says"));
                    return Ok(names);
                };
                let has = entrances::having(&host.links, own);
                notes.push(format!(
                    "nothing tells by which interface it {path} {node}: {own} is an address of {has}, and {node}'s route to {peer} leads by {by}"
                ));
                Ok(names.into_iter().chain(others).collect())
            }
            Some(decision) if decision.kind == RouteKind::Local => {
                Ok(unknown(format!("{peer} is an address of {node} itself")))
            }
            Some(decision) if decision.kind == RouteKind::Blocked && !entering => {
                Err(format!("{node} has a route that drops what goes to {peer}"))
            }
            None if !entering => Err(format!("{node} has no route to {peer}")),
            _ => Ok(unknown(format!("{node} has no route to {peer}"))),
        }
    }

    /// Every way to fill in the interfaces and sources that are not known.
    pub(super) fn choices(&self) -> Vec<Vec<String>> {
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
    fn candidates(&self, topology: &Topology<'_>, node: &str, entering: bool) -> Vec<String> {
        let mut names = Vec::new();
        let (first, last) = (self.nodes.first(), self.nodes.last());
        let between =
            if entering { first.is_none_or(|first| first != node) } else { last.is_none_or(|last| last != node) };
        if let Location::Workload(endpoint) = &self.end
            && between
        {
            let pools = topology.snapshot().pools.values();
            for pool in pools.filter(|pool| endpoint.addresses.iter().any(|address| pool.net.contains(address))) {
                let tunnels = [(pool.ipip, "tunl0"), (pool.vxlan, "vxlan.calico")];
                names.extend(tunnels.iter().filter(|(used, _)| *used).map(|(_, name)| (*name).to_owned()));
            }
        }
        names.extend(topology.uplinks(node));
        let mut seen = Vec::new();
        names.retain(|name| {
            !seen.contains(name) && {
                seen.push(name.clone());
                true
            }
        });
        names
    }

    /// The packet on every node, with this choice; none where the choice is not possible.
    pub(super) fn hops(
        &self,
        topology: &Topology<'_>,
        choice: &[String],
        judging: Judging<'_, '_>,
    ) -> Option<Vec<Hop>> {
        let mut interfaces = choice.iter().zip(&self.uplinks);
        let mut crossing = || interfaces.next();
        let is_first = |uplink: &&Uplink| uplink.crossing == Crossing::BeforeTranslation;
        let before_translation =
            self.uplinks.first().filter(is_first).map(|_| crossing().map(|(name, _)| name.clone()).unwrap_or_default());
        let mut hops = Vec::new();
        let mut packet = self.packet.clone();
        for (index, node) in self.nodes.iter().enumerate() {
            let host = topology.host(node);
            packet.conntrack =
                if self.exempt_on.as_ref() == Some(node) { Conntrack::Untracked } else { self.packet.conntrack };
            let starts = index == 0;
            let ends = index + 1 == self.nodes.len();
            let entry = match &self.from {
                Location::Workload(endpoint) if starts => Some(topology.judged_at(node, endpoint.interface.clone())),
                Location::Process { .. } if starts => None,
                _ => match crossing() {
                    // The routes of the node say so by the source with which the packet comes.
                    Some((name, uplink)) if !uplink.admits(packet.source, name) => return None,
                    entry => entry.map(|(name, _)| name.clone()),
                },
            };
            let mut next = || crossing().map(|(name, _)| name.clone()).unwrap_or_default();
            let ways = [packet.source, self.destination_behind(index)];
            let mut exit = match &self.end {
                Location::Workload(endpoint) if ends && !self.passes_by => {
                    Some(unreachable::sent_by(topology, endpoint, ways))
                }
                Location::Process { .. } if ends => None,
                _ => Some(next()),
            };
            let sources = self.sources.get(index).and_then(Option::as_ref).map(|sources| (sources, next()));
            let translation = self.translation.as_ref().filter(|_| self.translator == Some(index));
            packet.translated = translation.map(|translation| translation.to);
            let before_translation = before_translation.as_ref().filter(|_| starts);
            let translated_by = translation.map(|translation| translation.by.clone());
            let mut asks_rules = None;
            if let (Some(from), Some(to)) = (&entry, &exit) {
                packet.path = PacketPath::Forward { from: from.clone(), to: to.clone() };
                asks_rules = bridged::asks_rules(topology, node, &packet);
            }
            let both = [&self.from, &self.end];
            let mut dropped = self.end_is_down(topology, exit.as_deref()).filter(|_| ends);
            if let (Some(_), Some(bridge)) = (asks_rules, &entry) {
                dropped = dropped.or_else(|| bridged::between_isolated(topology, node, bridge, both)?.ok());
                // Rules see it leave by the bridge, not by a port of it.
                exit = Some(bridge.clone());
            }
            if asks_rules == Some(false) && dropped.is_none() {
                hops.push(Hop::bridged(host, packet.clone()));
                continue;
            }
            packet.source_route_ok =
                entry.as_deref().and_then(|enters| dropped_by_routing::source_route(topology, node, enters, &packet));
            if let (Some(enters), Some(leaves)) = (&entry, &exit)
                && matches!(ways[1], IpAddr::V6(to) if to.is_unicast_link_local())
                && enters != leaves
            {
                if self.may_leave_by(node, enters) {
                    return None;
                }
                dropped = dropped.or_else(|| {
                    let to = ways[1];
                    Some(format!("{node} sends what goes to {to} on only by {enters}, by which it came in"))
                });
            }
            // What a bridge hands on is not routed.
            let dropped = dropped.or_else(|| {
                asks_rules.is_none().then_some(())?;
                let dropped = self.dropped.as_ref().filter(|(at, _)| at == node).map(|(_, why)| why.clone());
                let crossed = (entry.as_deref(), exit.as_deref());
                dropped.or_else(|| dropped_by_routing::why(topology, node, crossed, &packet, ways[1], both))
            });
            if let Some(why) = dropped {
                packet.path = match entry {
                    Some(interface) => PacketPath::Input { interface },
                    None => PacketPath::Output { interface: String::new() },
                };
                let untracked = translated_by.is_some() && judging.judge.decide(&host, &packet).untracked;
                hops.push(Hop::dropped(host, packet, &why, translated_by, untracked));
                return Some(hops);
            }
            let lo = "lo".to_owned();
            let is_sent = entry.is_none();
            let leaves_by = exit.clone().unwrap_or_else(|| lo.clone());
            let output = PacketPath::Output { interface: before_translation.unwrap_or(&leaves_by).clone() };
            packet.translated_interface = before_translation.map(|_| leaves_by);
            let crossings = match (entry, exit) {
                (Some(interface), None) => vec![PacketPath::Input { interface }],
                (Some(from), Some(to)) => vec![PacketPath::Forward { from, to }],
                (None, Some(_)) => vec![output],
                (None, None) => vec![output, PacketPath::Input { interface: lo }],
            };
            for path in crossings {
                packet.path = path;
                let mut verdict = judging.verdict(&host, &packet);
                let dropped = match &self.end {
                    Location::Workload(end) if ends && !self.passes_by => {
                        undeliverable::not_its_address(judging.snapshot(), end, &packet, &verdict)
                    }
                    _ => None,
                };
                let source = self.leaves_with(topology, index, &packet, &verdict, sources.as_ref())?;
                let (replaced_source, dropped) = match source {
                    Ok(source) => (source, dropped),
                    Err(why) => (None, dropped.or(Some(why))),
                };
                verdict.allowed &= dropped.is_none();
                let allowed = verdict.allowed;
                let translated_by = translated_by.clone().filter(|_| packet.translated.is_some());
                let nat = judging.reasons.then(|| own_nat::of(judging.snapshot(), &host, &packet, &verdict));
                let hop = Hop {
                    host: host.clone(),
                    packet: packet.clone(),
                    verdict,
                    dropped,
                    translated_by,
                    own_nat: nat.unwrap_or_default(),
                    replaced_source,
                    is_bridged: false,
                };
                let is_tracked = hop.is_tracked();
                if let Some(ReplacedSource { address, ports, .. }) = &hop.replaced_source {
                    packet.source = *address;
                    if let (Some((_, source)), Transport::Ports { destination, .. }) = (ports, packet.transport) {
                        packet.transport = Transport::Ports { source: *source, destination };
                    }
                }
                // What the sender exempts from tracking comes in by the loopback interface as such.
                if is_sent && hop.verdict.untracked {
                    packet.conntrack = Conntrack::Untracked;
                }
                hops.push(hop);
                if !allowed {
                    return Some(hops);
                }
                if let Some((address, port)) = packet.translated.take().filter(|_| is_tracked) {
                    packet.destination = address;
                    if let (Some(port), Transport::Ports { source, .. }) = (port, packet.transport) {
                        packet.transport = Transport::Ports { source, destination: port };
                    }
                }
            }
        }
        Some(hops)
    }

    /// Why the workload at the end gets nothing: its interface carries none, and no other route leads past it. One that leads by the master of the
    /// interface does not.
    fn end_is_down(&self, topology: &Topology<'_>, exit: Option<&str>) -> Option<String> {
        let (_, why) = self.end_is_down.as_ref()?;
        let Location::Workload(end) = &self.end else { return None };
        let master = topology.judged_at(&end.node, end.interface.clone());
        let leads_to_it = !self.passes_by || master != end.interface && exit == Some(master.as_str());
        leads_to_it.then(|| why.clone())
    }

    /// Whether nothing but the question tells that the packet does not leave a node by an interface.
    fn may_leave_by(&self, node: &str, interface: &String) -> bool {
        let leaves = |uplink: &&Uplink| uplink.crossing == Crossing::Leaves && uplink.node == node;
        self.uplinks.iter().find(leaves).is_some_and(|uplink| uplink.names.contains(interface))
    }

    /// The source that `natOutgoing` of a node gives the packet where it leaves it, if it replaces it and another node gets the packet; the
    /// error says why it is dropped instead. None where it does not get the chosen one.
    fn leaves_with(
        &self,
        topology: &Topology<'_>,
        index: usize,
        packet: &Packet,
        verdict: &Verdict,
        chosen: Option<&(&Sources, String)>,
    ) -> Option<Result<Option<ReplacedSource>, String>> {
        let (node, snapshot) = (&self.nodes[index], topology.snapshot());
        let is_tracked = is_tracked(packet, verdict);
        let leaves_by = packet.leaves_by(is_tracked).filter(|_| verdict.allowed && is_tracked);
        let Some(leaves_by) = leaves_by.filter(|_| replaced_source::is_used(snapshot)) else { return Some(Ok(None)) };
        let to = self.destination_behind(index);
        if !own_nat::replaces_source(snapshot, node, packet.source, to, leaves_by) {
            return Some(Ok(None));
        }
        let family = Family::of(packet.source);
        if packet.tracking() == Conntrack::New && replaced_source::has_none(topology, node, family) {
            return Some(Err(format!(
                "natOutgoing of {node} replaces the source, and {node} has no {family} address to give"
            )));
        }
        match chosen {
            Some((sources, name)) => sources.chosen(name, leaves_by).map(Ok),
            None => Some(Ok(None)),
        }
    }
}

/// Of some interfaces of a node those that differ in what decides there. That they stand for the others is assumed.
fn distinct_interfaces(
    topology: &Topology<'_>,
    node: &str,
    names: Vec<String>,
    assumed: &mut Vec<String>,
) -> Vec<String> {
    let found = topology.distinct_interfaces(node, names);
    assumed.extend(alike_interfaces::note(node, &found));
    found.iter().map(|(name, _)| name.clone()).collect()
}

/// One address of each end, of one family; IPv4 where both have it and nothing else is asked for.
fn addresses(from: &Location, to: &Location, what: &TrafficSpec) -> Result<(IpAddr, IpAddr), AskError> {
    let families: &[bool] = if matches!(what, TrafficSpec::Icmpv6(_)) { &[false] } else { &[true, false] };
    let one =
        |location: &Location, v4: bool| location.addresses().iter().copied().find(|address| address.is_ipv4() == v4);
    for &v4 in families {
        if let (Some(source), Some(destination)) = (one(from, v4), one(to, v4)) {
            return Ok((source, destination));
        }
    }
    for (location, other) in [(from, to), (to, from)] {
        if let (Location::Process { node, .. }, true) = (location, location.addresses().is_empty()) {
            return Err(AskError(format!(
                "the store knows no address of node {node}: ask on {node} itself, whose agent tells them, or set expectedIPs on its host endpoint{}",
                if other.addresses().is_empty() { ", and so for the other end" } else { "" }
            )));
        }
    }
    for location in [from, to] {
        if let (Location::Workload(endpoint), true) = (location, location.addresses().is_empty()) {
            return Err(AskError(format!(
                "{} has no address that can be read",
                EndpointId::Workload(endpoint.id.clone())
            )));
        }
    }
    let lack = if families.len() == 1 { "do not both have an IPv6 address" } else { "have no IP version in common" };
    Err(AskError(format!("the two ends {lack}")))
}
