//! What can be reached, and from where: one packet of each class is traced, and packets with the same verdict are one row.
//!
//! With two fixed ends and no protocol this is the table of all that they may exchange. An end that is many addresses
//! (`any`, a net, a network set) is answered by class. Every packet of the question is of one of the classes, so
//! "everything else" and "everywhere else" are all remaining packets, and all of them have that answer.

mod many_addresses;
mod rows;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;

use tortie_classes::{AddressSet, Conditions, Names, Partition, Ranges, TransportClass, TransportClasses};
use tortie_eval::{DecidedBy, Packet, Transport};
use tortie_net::Protocol;
use tortie_policy::{EndpointId, Family, Snapshot, WorkloadEndpoint};

use crate::answer::{Hop, allowed};
use crate::owners::Owner;
use crate::question::{AskError, EndSpec, Question, TrafficSpec};
use crate::relevant_conditions::{End, Relevance};
use crate::text::{hops_decided_by, workload_text};
use crate::topology::{Location, Topology};
use crate::trace::{DISCOVERY_NOTE, Judging, Traced, placement_notes, trace_between, transport, with_judging};
use crate::{conversion_notes, fault, interfaces, services, several_addresses, unknown_addresses};

pub(crate) use many_addresses::{addresses, crossing, ends, remote, senders};
pub use rows::{Addresses, Part, Reason, Row};

/// More packets than this are not traced for one question.
const MAX_PACKETS: usize = 100_000;

/// Nor are more paths followed than this: where nothing tells which interface a packet uses, it has one for each.
const MAX_PATHS: usize = 500_000;

/// Nor are there more kinds of addresses times kinds of packets in one answer.
const MAX_CELLS: usize = 20_000_000;

/// Between the ways in which one verdict comes about.
const OR: &str = "; or ";

/// The verdict for the packets of one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// They arrive on every possible path.
    Allowed,
    /// It depends on the interface, which is not known.
    Depends,
    /// It depends on an end's address, which is not known.
    DependsOnAddress,
    /// They do not arrive on any path.
    Denied,
    /// A node on the way has nowhere to send them.
    Dropped,
    /// There is no answer.
    Unanswered,
}

impl Outcome {
    /// In capital letters, as verdicts are; the first word is that of a single question.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Allowed => "ALLOWED",
            Outcome::Depends => "DENIED or ALLOWED depending on the interface",
            Outcome::DependsOnAddress => "DENIED or ALLOWED depending on an unknown address",
            Outcome::Denied => "DENIED",
            Outcome::Dropped => "DROPPED",
            Outcome::Unanswered => "UNANSWERED",
        }
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Reach {
    /// The rows, of the families in which both ends have addresses.
    pub rows: Vec<Row>,
    /// Assumptions: interfaces that the store does not know, and that one represents others.
    pub notes: Vec<String>,
    /// The nodes that any of the packets passes.
    pub nodes: BTreeSet<String>,
    /// How many packets were traced.
    pub traced: usize,
}

impl Reach {
    /// Whether everything asked about is allowed.
    pub fn allowed(&self) -> bool {
        self.parts().all(|part| part.outcome == Outcome::Allowed)
    }

    /// Whether there is no answer for some of it.
    pub fn unanswered(&self) -> bool {
        self.parts().any(|part| part.outcome == Outcome::Unanswered)
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        self.rows.iter().flat_map(|row| &row.parts)
    }
}

/// The verdict on one class of packets, and what decided.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ClassVerdict {
    pub(crate) outcome: Outcome,
    /// `DENIED by gnp web rule 1, ingress of web1-eth0 on web1`.
    pub(crate) text: String,
}

/// Answers a question without a protocol, or with an end that is many addresses. `what` is none for everything.
pub fn reach(topology: &Topology<'_>, question: &Question, what: Option<&TrafficSpec>) -> Result<Reach, AskError> {
    topology.named_node(question)?;
    let (from, to) = ends(topology, question)?;
    let fixed = [&from, &to].map(End::location);
    interfaces::look_for_named(topology, question, [&fixed[0], &fixed[1]].map(Location::node))?;
    with_judging(topology, fixed.each_ref(), false, |judging| between(judging, topology, question, what, [&from, &to]))
}

fn between(
    judging: Judging<'_, '_>,
    topology: &Topology<'_>,
    question: &Question,
    what: Option<&TrafficSpec>,
    ends: [&End; 2],
) -> Result<Reach, AskError> {
    let names = Names::new(judging.judge.snapshot());
    let mut reach = Reach { rows: Vec::new(), notes: Vec::new(), nodes: BTreeSet::new(), traced: 0 };
    let mut answered = 0;
    let mut unanswered = None;
    for family in [Family::V4, Family::V6] {
        let Some(ends) = of_family(topology, question, ends, family) else { continue };
        if what.is_some_and(|what| excludes(what, family) || excludes_unknown(what, family, &ends)) {
            continue;
        }
        let unknown: Vec<String> = ends.iter().filter_map(|end| unknown_addresses::note(end, family)).collect();
        let [from, to] = ends;
        let asked = Asked { topology, question, what, family, from, to };
        let table = match asked.table(judging, &names) {
            // The IP version of which the addresses are known is answered all the same.
            Err(AskError(why)) if !unknown.is_empty() => {
                reach.notes.push(format!("{family} is not answered, since the addresses are not known and {why}"));
                unanswered = unanswered.or(Some(AskError(why)));
                continue;
            }
            table => table?,
        };
        answered += 1;
        reach.notes.extend(unknown);
        reach.traced += table.traced;
        reach
            .notes
            .extend(table.passed.notes.iter().filter(|note| !reach.notes.contains(note)).cloned().collect::<Vec<_>>());
        reach.nodes.extend(table.passed.nodes.iter().cloned());
        let left_out = conversion_notes::notes(topology.snapshot(), &table.passed.endpoints, &table.passed.nodes);
        reach.notes.extend(left_out.into_iter().filter(|note| !reach.notes.contains(note)).collect::<Vec<_>>());
        let rows = rows::rows(&table, &names, question);
        rows::merge(&mut reach.rows, rows, family, what.is_some());
    }
    if answered == 0 {
        return Err(unanswered.unwrap_or_else(|| no_family(topology, question, &ends.map(End::location))));
    }
    // One reason why there is no answer to anything is no answer by class.
    if let Some(reason) = rows::only_reason(&reach.rows) {
        return Err(AskError(reason));
    }
    reach.notes.extend(placement_notes(topology, question, &[]));
    reach.notes.extend(topology.snapshot().missing_tiers());
    reach.notes.extend(services::note(topology, question));
    if let Some(TrafficSpec::Icmpv6(Some((133..=136, _)))) = what {
        reach.notes.push(format!("{}{DISCOVERY_NOTE}", interfaces::ASSUMED));
    }
    for row in &mut reach.rows {
        row.apart = answered > row.families.len();
    }
    Ok(reach)
}

/// What was assumed of the packet of a question that left it open, where another would be judged otherwise: the source port, or
/// the ICMP code.
pub(crate) fn judged_otherwise(topology: &Topology<'_>, question: &Question, packet: &Packet) -> Option<String> {
    let what = named(topology, question, &question.what).ok()?;
    let assumed = match (&what, packet.transport) {
        (TrafficSpec::Port(..), Transport::Ports { source, .. }) if question.source_port.is_none() => {
            format!("source port {source}")
        }
        (TrafficSpec::Icmp(asked) | TrafficSpec::Icmpv6(asked), Transport::Icmp { code, .. })
            if asked.is_none_or(|(_, code)| code.is_none()) =>
        {
            format!("code {code}")
        }
        _ => return None,
    };
    let family = Family::of(packet.source);
    let (from, to) = ends(topology, question).ok()?;
    let own = |end: End, address: IpAddr| match end {
        End::OneOf { location, is_known: true, .. } => End::Single(location.with_addresses(vec![address])),
        end => end,
    };
    let [from, to] = of_family(topology, question, [&from, &to], family)?;
    let (from, to) = (own(from, packet.source), own(to, packet.destination));
    let fixed = [&from, &to].map(End::location);
    let asked = Asked { topology, question, what: Some(&what), family, from, to };
    let table = with_judging(topology, fixed.each_ref(), false, |judging| {
        asked.table(judging, &Names::new(judging.judge.snapshot())).ok()
    })?;
    let (transports, verdicts) = (table.asked.as_ref()?, table.first()?);
    let usual = table.transports.class_of(packet.protocol, packet.transport)?;
    let own = verdicts.get(transports.iter().position(|class| *class == usual)?)?.outcome;
    let mut others = Vec::new();
    let outcomes = [Outcome::Allowed, Outcome::Depends, Outcome::DependsOnAddress, Outcome::Denied, Outcome::Dropped];
    for outcome in outcomes.into_iter().filter(|one| *one != own) {
        let classes = transports.iter().zip(&verdicts).filter(|(_, verdict)| verdict.outcome == outcome);
        let classes = classes.map(|(class, _)| *class).collect();
        let texts = crate::transport_text::texts(&table.transports, family, &classes);
        others.extend(texts.into_iter().map(|(text, _)| format!("{text} is {}", outcome.word())));
    }
    (!others.is_empty()).then(|| format!("{}{assumed}; {}", interfaces::ASSUMED, others.join(", ")))
}

/// Whether packets of this kind are only of the other family.
pub(crate) fn excludes(what: &TrafficSpec, family: Family) -> bool {
    matches!((what, family), (TrafficSpec::Icmpv6(_), Family::V4))
}

/// Whether packets of this kind are not meant in a family of which the addresses are not known: types of ICMP are those of IPv4.
pub(crate) fn excludes_unknown(what: &TrafficSpec, family: Family, ends: &[End; 2]) -> bool {
    matches!((what, family), (TrafficSpec::Icmp(Some(_)), Family::V6)) && ends.iter().any(End::has_unknown_address)
}

/// The message of a single question, which tells what is missing.
pub(crate) fn no_family(topology: &Topology<'_>, question: &Question, fixed: &[Location; 2]) -> AskError {
    let fallback = || AskError("the two ends have no IP version in common".to_owned());
    let trace =
        |judging: Judging<'_, '_>| trace_between(topology, question, fixed[0].clone(), fixed[1].clone(), judging).err();
    with_judging(topology, fixed.each_ref(), false, trace).unwrap_or_else(fallback)
}

/// Both ends with their addresses of one family; none if one of them has none. A node or host endpoint that is the target has also
/// what its machine takes in beside the addresses of its interfaces. What it sends comes from these.
pub(crate) fn of_family(
    topology: &Topology<'_>,
    question: &Question,
    [from, to]: [&End; 2],
    family: Family,
) -> Option<[End; 2]> {
    let (from, target) = (end_of_family(topology, from, family)?, end_of_family(topology, to, family));
    let (End::Single(location @ Location::Process { node, .. }), EndSpec::Node(_) | EndSpec::HostEndpoint(_)) =
        (to, &question.to)
    else {
        return Some([from, target?]);
    };
    let taken_in = topology.taken_in(node);
    let taken_in = AddressSet::of_family(family, taken_in.family(family).clone());
    let to = match target {
        Some(End::Single(location)) if !taken_in.is_empty() => {
            let addresses = taken_in.union(&AddressSet::of(location.addresses()));
            End::OneOf { location, addresses, is_known: true }
        }
        Some(End::OneOf { location, addresses, is_known }) => {
            End::OneOf { location, addresses: addresses.union(&taken_in), is_known }
        }
        Some(end) => end,
        None if taken_in.is_empty() => return None,
        None => {
            let location = location.clone().with_addresses(taken_in.first(family).into_iter().collect());
            End::OneOf { location, addresses: taken_in, is_known: true }
        }
    };
    Some([from, to])
}

/// An end with its addresses of one family; none without any.
fn end_of_family(topology: &Topology<'_>, end: &End, family: Family) -> Option<End> {
    let of = |addresses: &AddressSet| AddressSet::of_family(family, addresses.family(family).clone());
    let end = match end {
        End::Many(addresses) => End::Many(of(addresses)),
        End::OneOf { location, addresses, is_known } => {
            End::OneOf { location: location.clone(), addresses: of(addresses), is_known: *is_known }
        }
        End::Single(location) if location.unknown_families().contains(&family) => {
            let addresses = of(&unknown_addresses::possible_at(topology, location));
            End::OneOf { location: location.clone(), addresses, is_known: false }
        }
        End::Single(location) => {
            let mine = location.addresses().iter().copied().filter(|address| Family::of(*address) == family);
            let location = location.clone().with_addresses(mine.collect());
            match AddressSet::of(location.addresses()) {
                addresses if addresses.size(family) > 1.0 && !fault("several-addresses-as-one") => {
                    End::OneOf { location, addresses, is_known: true }
                }
                _ => End::Single(location),
            }
        }
    };
    Some(end).filter(|end| !end.addresses().is_empty())
}

/// A question of one family.
#[derive(Clone)]
pub(crate) struct Asked<'a, 'b> {
    pub(crate) topology: &'a Topology<'b>,
    pub(crate) question: &'a Question,
    pub(crate) what: Option<&'a TrafficSpec>,
    pub(crate) family: Family,
    pub(crate) from: End,
    pub(crate) to: End,
}

/// The answers: for each class of addresses of the ends with several, and each class of transports.
pub(crate) struct VerdictTable<'a> {
    pub(crate) family: Family,
    /// The end whose addresses each row tells apart: the one that is many addresses, or else one with several known ones. None
    /// where both ends have one address, or one that is not known.
    pub(crate) divided: Option<&'a End>,
    /// Whether that is the source.
    pub(crate) from: bool,
    /// The addresses of that end by class, the same in all columns; one class without addresses where there is no such end.
    pub(crate) classes: Vec<AddressSet>,
    /// The other end, by what of its addresses is answered alike: one column where it has one address, or all are.
    pub(crate) columns: Vec<Column>,
    /// The other end.
    pub(crate) other: &'a End,
    /// Transports in classes, told apart where some verdict differs.
    pub(crate) transports: TransportClasses,
    /// The classes of transports that the question is about; none where it is about one transport that is no class of its own.
    pub(crate) asked: Option<Vec<usize>>,
    /// What is asked about; empty for everything.
    pub(crate) title: String,
    /// The verdicts that there are.
    pub(crate) verdicts: Vec<ClassVerdict>,
    pub(crate) traced: usize,
    /// Nodes and endpoints that the traces have passed.
    pub(crate) passed: Visited,
}

/// The answers for some addresses of the other end.
pub(crate) struct Column {
    /// The addresses.
    pub(crate) addresses: AddressSet,
    /// By class of addresses of the divided end, then by transport that is asked about: the number of the verdict.
    pub(crate) cells: Vec<Rc<Vec<usize>>>,
}

/// The answers for one class of addresses of both ends.
struct Answers {
    transports: TransportClasses,
    /// The number of the verdict on each class of transports that is asked about.
    verdicts: HashMap<usize, usize>,
}

impl VerdictTable<'_> {
    /// The verdicts on what is asked about, for the first addresses of both ends.
    fn first(&self) -> Option<Vec<&ClassVerdict>> {
        let cells = self.columns.first()?.cells.first()?;
        Some(cells.iter().map(|number| &self.verdicts[*number]).collect())
    }
}

impl Answers {
    /// Tells packets with different verdicts apart. What protocols without a name meet is left.
    fn tell_apart(&self, conditions: &mut Conditions<'_>, family: Family) {
        let rest = self.verdicts.get(&self.transports.unnamed());
        let mut by_verdict: BTreeMap<usize, Vec<TransportClass>> = BTreeMap::new();
        for (class, verdict) in self.verdicts.iter().filter(|(_, verdict)| Some(*verdict) != rest) {
            by_verdict.entry(*verdict).or_default().push(self.transports.class(*class));
        }
        by_verdict.into_values().for_each(|classes| conditions.add_transports(family, classes));
    }

    /// The verdicts on these packets, or on the only one. None where there is none on one of them.
    fn cells(&self, samples: Option<&[(u8, Transport)]>) -> Option<Vec<usize>> {
        let Some(samples) = samples else { return Some(self.verdicts.values().copied().collect()) };
        let class = |(protocol, transport): &(u8, Transport)| self.transports.class_of(*protocol, *transport);
        samples.iter().map(|sample| self.verdicts.get(&class(sample)?).copied()).collect()
    }
}

fn too_many(classes: usize, what: fmt::Arguments<'_>) -> AskError {
    AskError(format!(
        "{what}, with {classes} kinds of addresses: name a protocol and port, a smaller net, or the interface (hep/NAME, --in-interface, --out-interface)"
    ))
}

/// The nodes and endpoints that all traces together have passed.
#[derive(Default)]
pub(crate) struct Visited {
    notes: BTreeSet<String>,
    nodes: BTreeSet<String>,
    endpoints: BTreeSet<EndpointId>,
}

impl Asked<'_, '_> {
    fn table(&self, judging: Judging<'_, '_>, names: &Names) -> Result<VerdictTable<'_>, AskError> {
        let relevance = Relevance::new(self.topology, judging.judge.snapshot(), self.question);
        let mut classes = relevance.parts(&self.from, &self.to, self.family);
        // Where the only address of both is the same one there is no packet; an end whose address is not known may have others.
        let is_unknown = self.from.has_unknown_address() || self.to.has_unknown_address();
        classes.retain(|ends| !is_unknown || several_addresses::of_packet(ends, self.family).is_some());
        let mut all = relevance.no_conditions([&self.from, &self.to]);
        self.tell_apart(&mut all);
        let mut verdicts = Vec::new();
        let mut numbers = HashMap::new();
        let (mut traced, mut paths) = (0, 0);
        let mut passed = Visited::default();
        let mut number = |verdict: ClassVerdict| {
            *numbers.entry(verdict.clone()).or_insert_with(|| {
                verdicts.push(verdict);
                verdicts.len() - 1
            })
        };
        // One packet of each kind of addresses tells how many paths there are, before all of them are followed.
        let mut begun = Vec::with_capacity(classes.len());
        for ends in &classes {
            let mut conditions = relevance.conditions(ends.each_ref());
            self.tell_apart(&mut conditions);
            let transports = conditions.transports(self.family);
            let asked = self.asked_transports(&transports);
            let alike = self.alike_workloads(ends);
            let first = asked.as_ref().and_then(|asked| asked.first()).map(|class| transports.class(*class));
            let (verdict, of_each) = self.class_verdict(ends, alike, first.as_ref(), judging, &mut passed);
            let packets = asked.as_ref().map_or(1, Vec::len);
            traced += packets;
            paths += packets * of_each;
            if traced > MAX_PACKETS {
                return Err(too_many(
                    classes.len(),
                    format_args!("more than {MAX_PACKETS} packets differ in what judges them"),
                ));
            }
            if paths > MAX_PATHS {
                return Err(too_many(
                    classes.len(),
                    format_args!(
                        "at least {traced} packets differ in what judges them and have at least {paths} paths, of which at most {MAX_PATHS} are followed"
                    ),
                ));
            }
            begun.push((transports, asked, alike, number(verdict)));
        }
        let mut answers = Vec::with_capacity(classes.len());
        for (ends, (transports, asked, alike, first)) in classes.iter().zip(begun) {
            let mut verdicts = HashMap::new();
            let mut asked = asked.unwrap_or_else(|| vec![transports.unnamed()]).into_iter();
            verdicts.extend(asked.next().map(|class| (class, first)));
            for class in asked {
                let transport = transports.class(class);
                let (verdict, _) = self.class_verdict(ends, alike, Some(&transport), judging, &mut passed);
                verdicts.insert(class, number(verdict));
            }
            let one = Answers { transports, verdicts };
            one.tell_apart(&mut all, self.family);
            answers.push(one);
        }
        let transports = all.transports(self.family);
        let asked = self.asked_transports(&transports);
        if asked.as_ref().map_or(1, Vec::len).saturating_mul(answers.len()) > MAX_CELLS {
            return Err(too_many(classes.len(), format_args!("there are {} kinds of packets", transports.len())));
        }
        let samples: Option<Vec<_>> =
            asked.as_ref().map(|asked| asked.iter().map(|class| transports.class(*class).representative()).collect());
        let cells = answers.iter().map(|one| one.cells(samples.as_deref())).collect::<Option<_>>();
        let cells = cells.ok_or_else(|| AskError("a kind of packets has no verdict".to_owned()))?;
        let (classes, cells) = unknown_addresses::together(self, names, classes, cells, &mut verdicts);
        let at = usize::from(self.to.rank() < self.from.rank());
        let ends = [&self.from, &self.to];
        let columns = columns(classes, cells, at, self.family);
        let (classes, columns) = columns.ok_or_else(|| AskError("some addresses have no verdict".to_owned()))?;
        Ok(VerdictTable {
            family: self.family,
            divided: Some(ends[at]).filter(|end| end.has_known_addresses()),
            from: at == 0,
            classes,
            columns,
            other: ends[1 - at],
            transports,
            asked,
            title: self.what.map(|what| title(what, self.family)).unwrap_or_default(),
            verdicts,
            traced,
            passed,
        })
    }

    /// Tells what is asked about from all other packets.
    fn tell_apart(&self, conditions: &mut Conditions<'_>) {
        match self.what {
            Some(TrafficSpec::Port(protocol, port)) => {
                conditions.add_destination_port(self.family, protocol.number(), *port);
            }
            Some(TrafficSpec::Icmp(kind) | TrafficSpec::Icmpv6(kind)) => {
                let (kind, code) = self.icmp(*kind);
                conditions.add_icmp(self.family, kind, code);
            }
            _ => {}
        }
    }

    fn icmp(&self, kind: Option<(u8, Option<u8>)>) -> (u8, Option<u8>) {
        kind.unwrap_or((if self.family == Family::V4 { 8 } else { 128 }, None))
    }

    /// The classes of what is asked about: a protocol and port with every source port, an ICMP type with every code.
    fn asked_transports(&self, classes: &TransportClasses) -> Option<Vec<usize>> {
        let all = 0..classes.len();
        let transport = |class: &usize| classes.class(*class).representative();
        let asked: Vec<usize> = match self.what {
            None => return Some(all.collect()),
            Some(TrafficSpec::Port(protocol, port)) => {
                let is_asked = |(of, transport)| matches!(transport, Transport::Ports { destination, .. } if of == protocol.number() && destination == *port);
                all.filter(|class| is_asked(transport(class))).collect()
            }
            Some(TrafficSpec::Icmp(asked) | TrafficSpec::Icmpv6(asked)) => {
                let (asked, of) = self.icmp(*asked);
                let is_asked = |transport| matches!(transport, Transport::Icmp { kind, code } if kind == asked && of.is_none_or(|of| of == code));
                all.filter(|class| is_asked(transport(class).1)).collect()
            }
            Some(_) => return None,
        };
        Some(asked).filter(|asked| !asked.is_empty())
    }

    /// The first workload whose address is in a class, where the class has addresses of several.
    fn alike_workloads(&self, ends: &[End; 2]) -> Option<&WorkloadEndpoint> {
        let many = ends.iter().find_map(|end| if let End::Many(addresses) = end { Some(addresses) } else { None });
        let owners = many.into_iter().flat_map(|addresses| self.topology.owners_within(addresses));
        let mut workloads = owners.filter_map(|(_, owner)| match owner {
            Owner::Workload(endpoint) => Some(*endpoint),
            Owner::Node(_) => None,
        });
        workloads.next().filter(|one| workloads.any(|other| other.id != one.id))
    }

    /// What was told of one workload is told of all whose addresses are of one class.
    fn by_each(&self, one: &WorkloadEndpoint, mut verdict: ClassVerdict) -> ClassVerdict {
        let named = format!("of {} on", workload_text(self.topology.snapshot(), &one.id));
        let at = format!("at {} on", one.interface);
        verdict.text = verdict.text.replace(&named, "of each of these workloads on");
        verdict.text = verdict.text.replace(&at, "at the interfaces of these workloads on");
        verdict
    }

    /// The verdict for one packet of a class, and the number of its paths.
    fn class_verdict(
        &self,
        ends: &[End; 2],
        alike: Option<&WorkloadEndpoint>,
        transport: Option<&TransportClass>,
        judging: Judging<'_, '_>,
        passed: &mut Visited,
    ) -> (ClassVerdict, usize) {
        let many = ends.iter().any(|end| matches!(end, End::Many(_)));
        let Some((source, destination)) = several_addresses::of_packet(ends, self.family) else {
            return (ClassVerdict { outcome: Outcome::Unanswered, text: "an end has no address".to_owned() }, 1);
        };
        match self.trace(source, destination, transport, judging) {
            Ok(traced) => {
                passed.nodes.extend(traced.answers.iter().flat_map(|(_, hops)| hops).map(|hop| hop.host.node.clone()));
                let hops = traced.answers.iter().flat_map(|(_, hops)| hops);
                passed.endpoints.extend(hops.flat_map(Hop::judges));
                passed.notes.extend(traced.assumed.iter().cloned());
                if !many {
                    passed.notes.extend(traced.left_out.iter().cloned());
                }
                let verdict = verdict_of(self.topology.snapshot(), &traced);
                let verdict = alike.into_iter().fold(verdict, |verdict, one| self.by_each(one, verdict));
                (verdict, traced.answers.len())
            }
            Err(error) => (ClassVerdict { outcome: Outcome::Unanswered, text: error.0 }, 1),
        }
    }

    /// Walks one packet. The addresses are those of ends that are many addresses.
    pub(crate) fn trace(
        &self,
        source: IpAddr,
        destination: IpAddr,
        transport: Option<&TransportClass>,
        judging: Judging<'_, '_>,
    ) -> Result<Traced, AskError> {
        let mut question = self.question.clone();
        if let Some(transport) = transport {
            let (protocol, transport) = transport.representative();
            (question.what, question.source_port) = asking(protocol, transport, self.family);
        }
        let at = |end: &End, address: IpAddr, party: &mut EndSpec| match end {
            End::Single(location) => location.clone(),
            End::OneOf { location, .. } => location.clone().with_addresses(vec![address]),
            End::Many(_) => {
                *party = EndSpec::Address(address);
                self.topology.at(address)
            }
        };
        let from = at(&self.from, source, &mut question.from);
        let to = at(&self.to, destination, &mut question.to);
        trace_between(self.topology, &question, from, to, judging)
    }
}

/// The addresses of the end that is divided first, and the answers by those of the other end. The first end is divided alike
/// for all addresses of the other one, and the other one in each class of the first for itself. None where a class of the first
/// has no answer for some addresses of the other one.
fn columns(
    parts: Vec<[End; 2]>,
    cells: Vec<Vec<usize>>,
    first: usize,
    family: Family,
) -> Option<(Vec<AddressSet>, Vec<Column>)> {
    let mut classes: Vec<AddressSet> = Vec::new();
    let mut answers: Vec<Vec<(AddressSet, usize)>> = Vec::new();
    let mut rows: Vec<Rc<Vec<usize>>> = Vec::new();
    let mut numbers: HashMap<Rc<Vec<usize>>, usize> = HashMap::new();
    for (ends, cells) in parts.into_iter().zip(cells) {
        let of = ends[first].addresses();
        if classes.last() != Some(&of) {
            classes.push(of);
            answers.push(Vec::new());
        }
        let cells = Rc::new(cells);
        let number = *numbers.entry(cells.clone()).or_insert_with(|| {
            rows.push(cells);
            rows.len() - 1
        });
        if let Some(last) = answers.last_mut() {
            last.push((ends[1 - first].addresses(), number));
        }
    }
    let sets: HashSet<&Ranges> = answers.iter().flatten().map(|(set, _)| set.family(family)).collect();
    let all = AddressSet::union_of(answers.iter().flatten().map(|(set, _)| set));
    let mut columns: Vec<(Vec<usize>, Vec<AddressSet>)> = Vec::new();
    let mut known: HashMap<Vec<usize>, usize> = HashMap::new();
    for atom in Partition::new(all.family(family), sets.iter().copied()).iter() {
        let atom = AddressSet::of_family(family, atom.clone());
        let has = |(set, _): &&(AddressSet, usize)| atom.is_within(set) || fault("other-end-of-first-class");
        let answer = |of: &Vec<(AddressSet, usize)>| of.iter().find(has).map(|(_, number)| *number);
        let column: Vec<usize> = answers.iter().map(answer).collect::<Option<_>>()?;
        let key = if fault("other-end-undivided") { Vec::new() } else { column.clone() };
        let at = *known.entry(key).or_insert_with(|| {
            columns.push((column, Vec::new()));
            columns.len() - 1
        });
        columns[at].1.push(atom);
    }
    let column = |(column, atoms): (Vec<usize>, Vec<AddressSet>)| Column {
        addresses: AddressSet::union_of(&atoms),
        cells: column.into_iter().map(|number| rows[number].clone()).collect(),
    };
    Some((classes, columns.into_iter().map(column).collect()))
}

/// How a question names a protocol and transport.
pub(crate) fn asking(protocol: u8, transport: Transport, family: Family) -> (TrafficSpec, Option<u16>) {
    match (transport, Protocol::from_number(protocol)) {
        (Transport::Ports { source, destination }, Ok(protocol)) => {
            (TrafficSpec::Port(protocol, destination), Some(source))
        }
        (Transport::Icmp { kind, code }, _) => match family {
            Family::V4 => (TrafficSpec::Icmp(Some((kind, Some(code)))), None),
            Family::V6 => (TrafficSpec::Icmpv6(Some((kind, Some(code)))), None),
        },
        _ => (TrafficSpec::Other(protocol), None),
    }
}

/// `tcp 5432`, `icmp type 8`.
fn title(what: &TrafficSpec, family: Family) -> String {
    let icmp = |kind: &Option<(u8, Option<u8>)>, name: &str, echo: u8| {
        let (kind, code) = kind.unwrap_or((echo, None));
        code.map_or_else(|| format!("{name} type {kind}"), |code| format!("{name} type {kind} code {code}"))
    };
    match (what, family) {
        (TrafficSpec::Port(protocol, port), _) => format!("{} {port}", tortie_eval::protocol_name(protocol.number())),
        (TrafficSpec::Named(_, name), _) => name.clone(),
        (TrafficSpec::Icmp(kind), Family::V4) => icmp(kind, "icmp", 8),
        (TrafficSpec::Icmp(kind) | TrafficSpec::Icmpv6(kind), _) => icmp(kind, "icmpv6", 128),
        (TrafficSpec::Other(number), _) => tortie_eval::protocol_name(*number),
    }
}

/// The verdict over all paths of a packet.
fn verdict_of(snapshot: &Snapshot, traced: &Traced) -> ClassVerdict {
    let paths: BTreeSet<(bool, String)> = traced
        .answers
        .iter()
        .map(|(_, hops)| (allowed(hops), by_all_failsafes(hops_decided_by(snapshot, hops), hops)))
        .collect();
    let through = paths.iter().any(|(allowed, _)| *allowed);
    let stopped = paths.iter().any(|(allowed, _)| !*allowed);
    let (outcome, option) = match (through, stopped) {
        (true, false) => (Outcome::Allowed, String::new()),
        (true, true) => match traced.differs_by_source() {
            Some(node) => {
                (Outcome::DependsOnAddress, format!("; it is not known which source natOutgoing of {node} gives"))
            }
            None => (Outcome::Depends, "; --in-interface or --out-interface says which".to_owned()),
        },
        _ if traced.answers.iter().all(|(_, hops)| hops.last().is_some_and(|hop| hop.dropped.is_some())) => {
            (Outcome::Dropped, String::new())
        }
        _ => (Outcome::Denied, String::new()),
    };
    let texts: Vec<String> = paths.into_iter().map(|(_, text)| text).collect();
    ClassVerdict { outcome, text: texts.join(OR) + &option }
}

/// What one failsafe decides is told with what others do.
fn by_all_failsafes(verdict: String, hops: &[Hop]) -> String {
    let steps = hops.iter().flat_map(|hop| &hop.verdict.path);
    let named = steps.filter_map(|step| match &step.decision.by {
        DecidedBy::Failsafe(text) => Some(format!("failsafe {text},")),
        _ => None,
    });
    named.fold(verdict, |text, one| text.replace(&one, "failsafes,"))
}

/// Answers about ports by name, as the target has them.
pub fn named(topology: &Topology<'_>, question: &Question, what: &TrafficSpec) -> Result<TrafficSpec, AskError> {
    if !matches!(what, TrafficSpec::Named(..)) {
        return Ok(what.clone());
    }
    if question.to.is_many() {
        return Err(AskError("a port's name is that of one target: write the protocol and number".to_owned()));
    }
    let to = question
        .dnat
        .address()
        .map_or_else(|| topology.find(&question.to, question.node.as_deref()), |address| Ok(topology.at(address)))?;
    let (protocol, transport) = transport(topology, what, None, &to, true)?;
    match (transport, Protocol::from_number(protocol)) {
        (Transport::Ports { destination, .. }, Ok(protocol)) => Ok(TrafficSpec::Port(protocol, destination)),
        _ => Ok(TrafficSpec::Other(protocol)),
    }
}

/// The answers to each class that has them, grouped.
pub(crate) fn grouped<T: Clone + Eq + std::hash::Hash>(of: impl Iterator<Item = T>) -> Vec<(T, Vec<usize>)> {
    let mut positions: HashMap<T, usize> = HashMap::new();
    let mut groups: Vec<(T, Vec<usize>)> = Vec::new();
    for (index, key) in of.enumerate() {
        let position = *positions.entry(key.clone()).or_insert_with(|| {
            groups.push((key, Vec::new()));
            groups.len() - 1
        });
        groups[position].1.push(index);
    }
    groups
}
