//! Claims about packets, and whether they hold for all of them: `tortie test`.
//!
//! A [`Claim`] says that every packet of some kind between two ends is allowed, or that every one is denied. [`check`] traces
//! one packet of each class that anything in force can tell apart, so a claim that holds is proven, and one that does not hold
//! comes with a packet that shows it.

mod parse;
mod traffic;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;

use tortie_classes::{AddressSet, TransportClass, TransportClasses};
use tortie_eval::{Packet, PacketPath, Transport, needs_hop_limit_255, protocol_name};
use tortie_policy::Family;

use crate::answer::{Hop, PossiblePath, allowed};
use crate::interfaces::ASSUMED;
use crate::question::{AskError, EndSpec, Question};
use crate::reach::{self, Asked, ends, no_family, of_family, remote, senders};
use crate::relevant_conditions::{End, Relevance};
use crate::text::hops_decided_by;
use crate::topology::{ANOTHER, Location, Topology};
use crate::trace::{Judging, Traced, paths, with_judging};
use crate::{services, several_addresses, unknown_addresses};

pub use parse::{Line, parse};
pub use traffic::Traffic;

/// More packets than this are not traced for one claim.
const MAX_PACKETS: usize = 1_000_000;

/// A claim: all packets of some kind are allowed, or all are denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Whether they must be allowed; else they must be denied.
    pub permits: bool,
    /// The ends and the ways. Its protocol is not looked at.
    pub question: Question,
    /// Addresses that are excluded from the source.
    pub from_except: Vec<EndSpec>,
    /// Addresses that are excluded from the destination.
    pub to_except: Vec<EndSpec>,
    /// The protocols and ports of the packets: any of these.
    pub traffic: Vec<Traffic>,
}

/// A packet for which a claim does not hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Counterexample {
    /// The packet, as it is sent.
    pub packet: Packet,
    /// The verdict: `DENIED by gnp web rule 1, ingress of web1-eth0 on web1`.
    pub verdict: String,
    /// The path that it takes, if the interface is unknown and makes a difference: `it enters web1 at eth1`.
    pub when: Option<String>,
    /// The words with which `tortie explain` answers for it with every step.
    pub ask: Vec<String>,
    /// Assumptions about unknown addresses and interfaces, and about how the kernel treats UDPLite.
    pub assumed: Vec<String>,
}

/// Whether a claim holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// A packet that contradicts it; none where it holds.
    pub counterexample: Option<Counterexample>,
    /// How many packets were traced, one of each class.
    pub traced: usize,
    /// Assumptions about unknown interfaces, and about how the kernel treats UDPLite.
    pub assumed: BTreeSet<String>,
}

/// Checks a claim for all packets that it is about. It is an error where there is no answer for some of them.
pub fn check(topology: &Topology<'_>, claim: &Claim) -> Result<Checked, AskError> {
    let Question { from, to, .. } = &claim.question;
    topology.named_node(&claim.question)?;
    let names_port = |protocol, port| claim.traffic.iter().any(|one| one.names_port(protocol, port));
    if let Some(why) = services::why_unproven(topology, to, names_port) {
        return Err(AskError(why));
    }
    let (from, to) = match from.is_many() && to.is_many() {
        true => (End::Many(senders(topology, from, false)?), End::Many(remote(topology, to)?)),
        false => ends(topology, &claim.question)?,
    };
    let from = without(topology, from, &claim.from_except)?;
    let to = without(topology, to, &claim.to_except)?;
    let mut checked = Checked { counterexample: None, traced: 0, assumed: BTreeSet::new() };
    let mut answered = 0;
    for family in [Family::V4, Family::V6] {
        let traffic: Vec<&Traffic> = claim.traffic.iter().filter(|one| one.is_of(family)).collect();
        if traffic.is_empty() {
            continue;
        }
        let Some([from, to]) = of_family(topology, &claim.question, [&from, &to], family) else { continue };
        answered += 1;
        let asked = Asked { topology, question: &claim.question, what: None, family, from, to };
        let fixed = [&asked.from, &asked.to].map(End::location);
        checked.counterexample = with_judging(topology, fixed.each_ref(), false, |judging| {
            contradiction(&asked, judging, claim.permits, &traffic, &mut checked)
        })?;
        if checked.counterexample.is_some() {
            return Ok(checked);
        }
    }
    if answered == 0 && claim.question.from.is_many() && claim.question.to.is_many() {
        return Err(AskError("the two ends have no IP version in common with what is asked about".to_owned()));
    }
    if answered == 0 {
        let fixed = [&from, &to].map(End::location);
        return Err(no_family(topology, &claim.question, &fixed));
    }
    if checked.traced == 0 {
        return Err(AskError(
            "no node of the store sends or receives such a packet, or hands it to a workload: name the node that forwards them with --node".to_owned(),
        ));
    }
    Ok(checked)
}

/// The first packet of which not that becomes what a claim says.
fn contradiction(
    asked: &Asked<'_, '_>,
    judging: Judging<'_, '_>,
    permits: bool,
    traffic: &[&Traffic],
    checked: &mut Checked,
) -> Result<Option<Counterexample>, AskError> {
    let relevance = Relevance::new(asked.topology, judging.judge.snapshot(), asked.question);
    for ends in relevance.parts(&asked.from, &asked.to, asked.family) {
        let Some((source, destination)) = packet_between(asked, &ends) else { continue };
        let transports = relevance.conditions(ends.each_ref()).transports(asked.family);
        let transports = asked_transports(&transports, asked.family, permits, traffic);
        checked.traced += transports.len();
        if checked.traced > MAX_PACKETS {
            return Err(AskError(format!(
                "it is about more than {MAX_PACKETS} kinds of packets: name ports, or smaller nets"
            )));
        }
        for transport in &transports {
            let trace = asked.trace(source, destination, Some(transport), judging);
            let trace = trace
                .map_err(|AskError(error)| AskError(format!("no answer for {source} → {destination}: {error}")))?;
            let snapshot = asked.topology.snapshot();
            checked.assumed.extend(assumed_of(&trace).cloned());
            let found = paths(snapshot, &trace);
            let wrong = found.iter().find(|PossiblePath { hops, .. }| allowed(hops) != permits);
            if let Some(PossiblePath { when, hops }) = wrong
                && let Some(Hop { packet, .. }) = hops.first()
            {
                let question = match found.len() {
                    1 => Cow::Borrowed(asked.question),
                    _ => on_path(asked, (source, destination), transport, judging, hops),
                };
                return Ok(Some(Counterexample {
                    ask: ask(&question, packet),
                    packet: packet.clone(),
                    verdict: hops_decided_by(snapshot, hops),
                    when: (found.len() > 1).then(|| when.clone()),
                    assumed: ends
                        .iter()
                        .filter_map(|end| unknown_addresses::note(end, asked.family))
                        .chain(assumed_of(&trace).cloned())
                        .collect(),
                }));
            }
        }
    }
    Ok(None)
}

/// The question with the interfaces of a path, where with them every path that is left has its verdict; else as it is.
fn on_path<'q>(
    asked: &Asked<'q, '_>,
    (source, destination): (IpAddr, IpAddr),
    transport: &TransportClass,
    judging: Judging<'_, '_>,
    hops: &[Hop],
) -> Cow<'q, Question> {
    let is_said = |name: &String| !name.is_empty() && name != ANOTHER;
    let entering = hops.iter().find_map(|hop| match &hop.packet.path {
        PacketPath::Input { interface } | PacketPath::Forward { from: interface, .. } => Some(interface.clone()),
        PacketPath::Output { .. } => None,
    });
    let leaving = hops.iter().find_map(|hop| hop.leaves_by().map(str::to_owned));
    let (entering, leaving) = (entering.filter(is_said), leaving.filter(is_said));
    let question = asked.question;
    for (with_in, with_out) in [(true, false), (false, true), (true, true)] {
        let in_interface = question.in_interface.clone().or_else(|| entering.clone().filter(|_| with_in));
        let out_interface = question.out_interface.clone().or_else(|| leaving.clone().filter(|_| with_out));
        let named = Question { in_interface, out_interface, ..question.clone() };
        let asked = Asked { question: &named, ..asked.clone() };
        let traced = asked.trace(source, destination, Some(transport), judging);
        let comes_to = |hops: &[Hop]| (allowed(hops), hops.last().is_some_and(|hop| hop.dropped.is_some()));
        let is_same = |(_, of): &(Vec<String>, Vec<Hop>)| comes_to(of) == comes_to(hops);
        if traced.is_ok_and(|traced| traced.answers.iter().all(is_same)) {
            return Cow::Owned(named);
        }
    }
    Cow::Borrowed(question)
}

/// How `tortie explain` is asked about a packet of a claim.
fn ask(question: &Question, packet: &Packet) -> Vec<String> {
    let ends = [question.from.at(packet.source), question.to.at(packet.destination)];
    let mut words: Vec<String> = ends.iter().map(EndSpec::to_string).collect();
    let name = protocol_name(packet.protocol);
    let mut options: Vec<(&str, String)> = Vec::new();
    words.push(match packet.transport {
        Transport::Ports { source, destination } => {
            options.push(("--source-port", source.to_string()));
            format!("{name}/{destination}")
        }
        Transport::Icmp { kind, code } if packet.source.is_ipv4() => format!("icmp/{kind}/{code}"),
        Transport::Icmp { kind, code } => format!("icmpv6/{kind}/{code}"),
        Transport::Opaque => format!("proto/{}", packet.protocol),
    });
    let said = [
        ("--node", &question.node),
        ("--in-interface", &question.in_interface),
        ("--out-interface", &question.out_interface),
    ];
    options.extend(said.into_iter().filter_map(|(option, value)| Some((option, value.clone()?))));
    words.extend(options.into_iter().flat_map(|(option, value)| [option.to_owned(), value]));
    words
}

/// The assumptions about a packet.
fn assumed_of(traced: &Traced) -> impl Iterator<Item = &String> {
    traced.assumed.iter().filter(|note| note.starts_with(ASSUMED))
}

/// The transports of a claim, one class after the other.
fn asked_transports(
    classes: &TransportClasses,
    family: Family,
    permits: bool,
    traffic: &[&Traffic],
) -> Vec<TransportClass> {
    let asked = |class: TransportClass| traffic.iter().find_map(|traffic| traffic.intersection(&class));
    let mut transports: Vec<TransportClass> = classes.iter().filter_map(asked).collect();
    // What begins no connection is denied as the first packet of one, whatever the rules say: that contradicts nobody who
    // permits all of a protocol.
    let begins = |class: &TransportClass| class.begins_connections(family);
    if permits && transports.iter().any(begins) {
        transports.retain(begins);
    }
    // Neighbours find each other whatever the rules say: that contradicts nobody who forbids all of a protocol.
    let is_discovery = |class: &TransportClass| {
        let (protocol, transport) = class.representative();
        needs_hop_limit_255(protocol, transport)
    };
    if !permits && !transports.iter().all(is_discovery) {
        transports.retain(|class| !is_discovery(class));
    }
    transports
}

/// One source and destination of some ends. Where both ends of the claim are many addresses, none of those between which
/// packets do not cross the network or pass no node that is known.
fn packet_between(asked: &Asked<'_, '_>, ends: &[End; 2]) -> Option<(IpAddr, IpAddr)> {
    let [from, to] = ends;
    if !matches!((from, to), (End::Many(_), End::Many(_))) {
        return several_addresses::of_packet(ends, asked.family);
    }
    let (sources, destinations) = (from.addresses(), to.addresses());
    let first = sources.first(asked.family)?;
    let besides = |all: &AddressSet, one: IpAddr| all.minus(&AddressSet::of([&one])).first(asked.family);
    // Nobody sends to itself over the network, and the first source may be the only destination.
    let (source, destination) = match besides(&destinations, first) {
        Some(destination) => (first, destination),
        None => (besides(&sources, first)?, first),
    };
    let is_judged = match (asked.topology.at(source), asked.topology.at(destination)) {
        (Location::Process { node: from, .. }, Location::Process { node: to, .. }) => from != to,
        (Location::Outside(_), Location::Outside(_)) => asked.question.node.is_some(),
        _ => true,
    };
    is_judged.then_some((source, destination))
}

/// An end without the addresses of others.
fn without(topology: &Topology<'_>, end: End, except: &[EndSpec]) -> Result<End, AskError> {
    if except.is_empty() {
        return Ok(end);
    }
    let End::Many(addresses) = end else {
        return Err(AskError("except is for ends that are many addresses: any, a net or a set".to_owned()));
    };
    let mut left = addresses;
    for one in except {
        left = left.minus(&reach::addresses(topology, one)?);
    }
    if left.is_empty() {
        return Err(AskError("nothing is left of an end without its exceptions".to_owned()));
    }
    Ok(End::Many(left))
}

impl Counterexample {
    /// The whole finding: `tcp 10.0.3.7:49152 → 192.0.2.20:5432 is ALLOWED by gnp ops rule 2, ingress of db on db1`.
    pub fn text(&self) -> String {
        let when = self.when.as_ref().map_or(String::new(), |when| format!(", if {when}"));
        let assumed: String = self.assumed.iter().map(|assumed| format!(" ({assumed})")).collect();
        format!("{} is {}{when}{assumed}", packet_text(&self.packet), self.verdict)
    }
}

/// `tcp 10.0.3.7:49152 → 192.0.2.20:5432`, `icmp type 8 code 0 10.0.3.7 → 192.0.2.20`.
fn packet_text(packet: &Packet) -> String {
    let name = protocol_name(packet.protocol);
    let (source, destination) = (packet.source, packet.destination);
    match packet.transport {
        Transport::Ports { source: from, destination: to } => format!(
            "{name} {} → {}",
            std::net::SocketAddr::new(source, from),
            std::net::SocketAddr::new(destination, to)
        ),
        Transport::Icmp { kind, code } => format!("{name} type {kind} code {code} {source} → {destination}"),
        Transport::Opaque if [6, 17, 132, 136].contains(&packet.protocol) => {
            format!("{name} without a readable header (non-first fragment) {source} → {destination}")
        }
        Transport::Opaque => format!("{name} {source} → {destination}"),
    }
}
