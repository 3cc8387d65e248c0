//! The path of a packet over the nodes between two ends: a hop for each node, with the decision there.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use tortie_eval::{
    Conntrack, Host, Judge, Packet, PacketPath, Transport, Verdict, needs_hop_limit_255, usual_hop_limit,
};
use tortie_net::Protocol;
use tortie_policy::machine::RouteKind;
use tortie_policy::packet::OwnNat;
use tortie_policy::{EndpointId, Family, GovernedInterfaces, HostEndpoint, Snapshot};

use crate::interfaces::ASSUMED;
use crate::listed::listed;
use crate::question::{AskError, EndSpec, Question, State, TrafficSpec, similar_service};
use crate::replaced_source::{self, Behind, Candidates, ReplacedSource};
use crate::several_addresses::{self, Case};
use crate::text::{before_translation, hops_decided_by};
use crate::topology::{ANOTHER, Location, Topology};
use crate::translation::{self, Dnat, TranslatedBy, Translation};
use crate::{
    alike_interfaces, interfaces, left_out, multicast, not_asked, not_in_force, not_taken_in, own_nat, reach, services,
    undeliverable, unreachable, unspecified,
};

/// So many interfaces are named.
const SHOWN_INTERFACES: usize = 4;
/// A source port for packets whose port nobody asked about.
const SOME_PORT: u16 = 49152;
pub(crate) const DISCOVERY_NOTE: &str = "hop limit 255, without which every receiver ignores neighbour discovery";
/// A note on how Linux treats UDPLite, as measured.
pub(crate) const UDPLITE_NOTE: &str = "connection tracking accepts UDPLite; Linux 6.18 was seen to call what comes in INVALID, so that it is dropped, unless net.netfilter.nf_conntrack_checksum is 0";

/// The packet on one node, and the decision there.
#[derive(Clone, Debug, PartialEq)]
pub struct Hop {
    /// The node, with its interfaces.
    pub host: Rc<Host>,
    /// The packet as it meets the node.
    pub packet: Packet,
    /// The verdict of the node.
    pub verdict: Verdict,
    /// Why the packet is lost there though no policy denies it: before any policy, so that the path is empty, or behind all of them.
    pub dropped: Option<String>,
    /// What says that the packet is translated, where it is.
    pub translated_by: Option<TranslatedBy>,
    /// What tortie itself translates of it there. Only where reasons were asked for.
    pub own_nat: OwnNat,
    /// The source with which the next node gets it, where `natOutgoing` replaces it.
    pub replaced_source: Option<ReplacedSource>,
}

impl Hop {
    /// The endpoints that judge the packet there.
    pub(crate) fn judges(&self) -> impl Iterator<Item = EndpointId> {
        self.verdict.path.iter().filter_map(|step| step.endpoint.clone())
    }

    /// A packet that a node drops before any policy.
    fn dropped(
        host: Rc<Host>,
        packet: Packet,
        why: &str,
        translated_by: Option<TranslatedBy>,
        untracked: bool,
    ) -> Self {
        let verdict = Verdict { allowed: false, rejected: false, untracked, path: Vec::new() };
        let dropped = Some(why.to_owned());
        Self { host, packet, verdict, dropped, translated_by, own_nat: OwnNat::default(), replaced_source: None }
    }

    /// Whether it is of a connection on this node. Nothing else is translated.
    pub(crate) fn is_tracked(&self) -> bool {
        is_tracked(&self.packet, &self.verdict)
    }

    /// The interface by which it leaves the node, behind any translation.
    pub(crate) fn leaves_by(&self) -> Option<&str> {
        self.packet.leaves_by(self.is_tracked())
    }
}

/// Whether a packet is of a connection where this is the verdict on it.
pub(crate) fn is_tracked(packet: &Packet, verdict: &Verdict) -> bool {
    !verdict.untracked && is_of_connection(packet)
}

/// Whether a packet is of a connection where no policy exempts it from connection tracking.
fn is_of_connection(packet: &Packet) -> bool {
    matches!(packet.tracking(), Conntrack::New | Conntrack::Established)
}

/// The whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Every node on the path, in order, up to the one that denied; of several possible paths the first that is denied.
    pub hops: Vec<Hop>,
    /// Who sends.
    pub from: Location,
    /// To whom, before any translation.
    pub to: Location,
    /// Assumptions, and other remarks on the answer.
    pub notes: Vec<String>,
    /// The paths that are possible where nothing tells which interface the packet uses, if their verdicts differ; else empty.
    pub paths: Vec<PossiblePath>,
    /// What the tables of other programs do with the packet; nothing before somebody looks at them.
    pub others: OtherPrograms,
    /// The service of Kubernetes that the destination is an address of: `service shop/db`.
    pub service: Option<String>,
    /// The endpoints of that service for which this is the answer.
    pub endpoints: Vec<SocketAddr>,
}

/// What the tables of other programs do with a packet, as far as that was looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OtherPrograms {
    /// Whether those of a machine on the way were looked at.
    pub looked_at: bool,
    /// What drops the packet for certain, though no policy denies it: `table ip filter of another program (chain INPUT, rule 1)`.
    /// Where the packet may take several paths, those that are allowed and on which it is dropped are told with it.
    pub drops: Option<String>,
    /// What translates its destination for certain: `table ip nat of another program (chain DOCKER, rule 1) translates it to 172.17.0.2:5001`.
    pub translates: Option<String>,
    /// The tables that may drop it, where tortie lets it through and none drops it for certain.
    pub may_drop: Vec<String>,
    /// The tables that may translate its destination to another than the answer is for: `table ip nat of another program`.
    pub may_translate: Vec<String>,
    /// The tables that may change it otherwise: they write into it, or hand it to another program.
    pub may_change: Vec<String>,
    /// Why the translation is not followed, so that there is no verdict on the packet that goes on.
    pub unanswered: Option<String>,
    /// The tables that may exempt it from connection tracking, where that makes a difference.
    pub may_exempt: Vec<String>,
    /// The tables that may write the mark bit by which tortie knows that an earlier policy has allowed it, where the verdict depends on that.
    pub may_mark: Vec<String>,
    /// What they do or may do, and what was not looked at.
    pub notes: Vec<String>,
}

/// A path that the packet may take, or several with the same verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct PossiblePath {
    /// `it enters web1 at eth0 or eth1`.
    pub when: String,
    /// Every node on it, as in [`Answer::hops`].
    pub hops: Vec<Hop>,
}

impl Answer {
    /// Whether tortie lets it through on every possible path.
    pub fn allowed(&self) -> bool {
        allowed(&self.hops) && self.paths.iter().all(PossiblePath::allowed)
    }

    /// Whether it arrives on every possible path, as far as was looked: no other program drops it for certain.
    pub fn arrives(&self) -> bool {
        self.allowed() && self.others.drops.is_none() && self.others.unanswered.is_none()
    }

    /// Every node on every possible path.
    pub fn all_hops(&self) -> impl Iterator<Item = &Hop> {
        let single = if self.paths.is_empty() { &self.hops[..] } else { &[] };
        single.iter().chain(self.paths.iter().flat_map(|path| &path.hops))
    }

    /// Whether the packet is judged as a table of another program translates it.
    pub(crate) fn follows_table(&self) -> bool {
        self.all_hops().any(|hop| matches!(hop.translated_by, Some(TranslatedBy::Table(_))))
    }

    /// Says that the translation that was asked about is that of a table of another program.
    pub fn translated_by_table(&mut self, by: &str) {
        self.translated_by(&TranslatedBy::Table(by.to_owned()));
    }

    /// Says what the translation is of that was asked about.
    pub(crate) fn translated_by(&mut self, by: &TranslatedBy) {
        let of_paths = self.paths.iter_mut().flat_map(|path| &mut path.hops);
        for hop in self.hops.iter_mut().chain(of_paths).filter(|hop| hop.translated_by.is_some()) {
            hop.translated_by = Some(by.clone());
        }
    }
}

impl PossiblePath {
    /// Whether it arrives on this path.
    pub fn allowed(&self) -> bool {
        allowed(&self.hops)
    }
}

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
    notes.extend(missing_tier_notes(topology));
    let judged: Vec<&Hop> = paths.iter().flat_map(|path| &path.hops).collect();
    let nodes = judged.iter().map(|hop| hop.host.node.clone()).collect();
    notes.extend(left_out::notes(topology.snapshot(), &judged.iter().flat_map(|hop| hop.judges()).collect(), &nodes));
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
    let (from, to) = match unspecified::to_itself(question, &from, &to) {
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
    notes.extend(answers.iter().filter_map(|(_, hops)| own_nat::own_source_note(hops)).collect::<BTreeSet<_>>());
    notes.extend(multicast::copies(topology, judging.judge, &answers));
    assumed.extend(answers.iter().flat_map(|(_, hops)| not_taken_in::assumed(topology, hops)).collect::<BTreeSet<_>>());
    let mut left_out = route.unused(question);
    for note in answers.iter().flat_map(|(_, hops)| not_asked::notes(snapshot, topology, hops)) {
        if !left_out.contains(&note) {
            left_out.push(note);
        }
    }
    Ok(Traced { route, answers, from, to, notes, assumed, left_out })
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

pub(crate) fn allowed(hops: &[Hop]) -> bool {
    hops.iter().all(|hop| hop.verdict.allowed)
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

/// Tiers that policies are in and that do not exist, which leaves these policies to the end.
pub(crate) fn missing_tier_notes(topology: &Topology<'_>) -> BTreeSet<String> {
    topology.snapshot().missing_tiers()
}

/// `it enters gw at eth0 or eth1 and leaves gw by eth2`: what tells a group of choices from the others.
fn when(route: &Route, all: &[&Vec<String>], group: &[&Vec<String>]) -> String {
    const SHOWN: usize = 4;
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
    let mut said: Vec<String> = group.iter().take(SHOWN).map(one).collect();
    if group.len() > SHOWN {
        said.push(format!("in {} more ways", group.len() - SHOWN));
    }
    said.join(", or ")
}

/// What a packet does at an interface of a node.
#[derive(Clone, Copy, PartialEq)]
enum Crossing {
    Enters,
    Leaves,
    /// The node sends it and translates it: its route before that leads by the interface.
    BeforeTranslation,
    /// The node replaces its source: instead of interfaces these are sources.
    GetsSource,
}

impl Crossing {
    /// `enters web1 at`, before the name of an interface; of a source `gets from web1 as its source`, before that.
    fn text(self, node: &str) -> String {
        match self {
            Crossing::Enters => format!("enters {node} at"),
            Crossing::Leaves => format!("leaves {node} by"),
            Crossing::BeforeTranslation => format!("would leave {node}, without the translation, by"),
            Crossing::GetsSource => format!("gets from {node} as its source"),
        }
    }
}

/// A crossing between nodes or the outside where the interface is not given by the ends, or a source that a node gives.
struct Uplink {
    node: String,
    crossing: Crossing,
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

struct Route {
    nodes: Vec<String>,
    /// The named node, where neither end is on it: the named interfaces are its own.
    passed: Option<String>,
    /// Which of the nodes translates the destination.
    translator: Option<usize>,
    uplinks: Vec<Uplink>,
    from: Location,
    to: Location,
    end: Location,
    /// The interface of the workload at the end takes no packets: they follow the routes of its node.
    passes_by: bool,
    /// The node that drops the packet since nothing leads on, and why.
    dropped: Option<(String, String)>,
    packet: Packet,
    /// The node that exempts it from connection tracking.
    exempt_on: Option<String>,
    translation: Option<Translation>,
    /// The address to which the last node translates it, where it goes to a floating IP.
    floating: Option<IpAddr>,
    /// The sources that nodes may give it, by the place of the node.
    sources: Vec<Option<Sources>>,
    /// What is said of a packet that comes to a node with a source, where it may have several.
    source_notes: Vec<(String, IpAddr, Vec<String>)>,
}

/// The sources that a node may give the packet.
#[derive(Default)]
struct Sources {
    /// By the interface by which it leaves.
    by_interface: HashMap<String, Candidates>,
    /// The ports that it gets with any of them, each in words and as the one that is judged; none where it keeps its own.
    ports: Vec<(String, u16)>,
    /// In words, if it may keep its source: nothing tells which way an open connection was opened, and replies keep theirs.
    kept: Option<String>,
}

impl Sources {
    /// In words, each once.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.kept.iter().cloned().collect();
        let mut interfaces: Vec<&String> = self.by_interface.keys().collect();
        interfaces.sort_unstable();
        for (name, _) in interfaces.into_iter().flat_map(|interface| &self.by_interface[interface].all) {
            for (name, _) in self.with_ports(name) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names
    }

    /// A source with each kind of ports that it may have.
    fn with_ports(&self, name: &str) -> Vec<(String, Option<&(String, u16)>)> {
        match self.ports.as_slice() {
            [] => vec![(name.to_owned(), None)],
            [one] => vec![(name.to_owned(), Some(one))],
            ports => {
                let with = |one| {
                    let (text, _): &(String, u16) = one;
                    (format!("{name} with port {text}"), Some(one))
                };
                ports.iter().map(with).collect()
            }
        }
    }

    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.by_interface.values().flat_map(|candidates| &candidates.all).map(|(_, address)| *address)
    }

    /// The source of this name, where the packet may get it at an interface. None where it may not; one without an address where it
    /// keeps its own. At an interface that nobody knows it may get any.
    fn chosen(&self, name: &String, leaves_by: &str) -> Option<Option<ReplacedSource>> {
        if self.kept.as_ref() == Some(name) {
            return Some(None);
        }
        let of = |candidates: &Candidates| {
            candidates.all.iter().find_map(|(one, address)| {
                let (_, ports) = self.with_ports(one).into_iter().find(|(one, _)| one == name)?;
                let assumed = candidates.assumed.clone();
                Some(Some(ReplacedSource { address: *address, ports: ports.cloned(), assumed }))
            })
        };
        match self.by_interface.get(leaves_by) {
            Some(candidates) => of(candidates),
            None => self.by_interface.values().find_map(of),
        }
    }
}

impl Route {
    fn new(
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
        notes.extend(multicast::source_note(topology, source));
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
        route.passes_by = unreachable::passes_by(topology, &route.end, destination, notes);
        route.dropped = unreachable::drops(topology, &route.end).filter(|_| !route.passes_by);
        unreachable::note_silent(topology, from, notes);
        let mut dropped = None;
        let found = route.find_uplinks(topology, question, notes, assumed, &mut dropped)?;
        (route.uplinks, route.sources, route.source_notes) = found;
        route.dropped = route.no_route_before_translation(topology).or(dropped).or(route.dropped);
        Ok(route)
    }

    /// The node that sends the packet, if it has no route to the destination before its translation: a packet gets to the hooks
    /// only by a route.
    fn no_route_before_translation(&self, topology: &Topology<'_>) -> Option<(String, String)> {
        let node = self.translating_sender(topology)?;
        let machine = topology.machine(node).filter(|machine| machine.partial.is_none())?;
        let to = self.packet.destination;
        let leads = machine.route_to(to).filter(|leads| leads.kind != RouteKind::Blocked);
        let is_own =
            topology.known_host(node).is_some_and(|host| host.links.iter().any(|link| link.addresses.contains(&to)));
        let is_lost = leads.is_none() && !is_own && !to.is_loopback() && !multicast::is_anywhere(to);
        is_lost.then(|| (node.clone(), format!("{node} has no usable route to {to}, before any translation")))
    }

    /// Whether a packet that may be translated is of a connection where that happens. None where it is not translated, or does not get
    /// there.
    fn translates(&self, answers: &[(Vec<String>, Vec<Hop>)]) -> Result<Option<bool>, AskError> {
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
    fn notes_of_sources(&self, answers: &[(Vec<String>, Vec<Hop>)]) -> Vec<String> {
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
    fn unused(&self, question: &Question) -> Vec<String> {
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
                            vec![String::new()]
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
        sources.ports = replaced_source::ports(topology, node, &self.packet, &behind)?;
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
        let machine = topology.machine(node).filter(|machine| machine.partial.is_none() && !multicast::is_anywhere(to));
        let route = machine.and_then(|machine| machine.route_to(to));
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
    fn assumes_known_interfaces(
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
                format!("{} {}", crossing.text(node), listed(names, SHOWN_INTERFACES).replace(", ", " or "))
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
        let peer = if entering { source } else { self.destination_behind(index) };
        let Some(machine) = topology.machine(node) else { return Ok(self.candidates(topology, node, entering)) };
        let (path, word) = if entering { ("enters", "at") } else { ("leaves", "by") };
        let mut unknown = |why: String| {
            let names = self.candidates(topology, node, entering);
            if names.len() > 1 {
                notes.push(format!("nothing tells by which interface it {path} {node}: {why}"));
            }
            names
        };
        if let Some(why) = &machine.partial {
            return Ok(unknown(why.clone()));
        }
        if multicast::is_anywhere(peer) {
            return Ok(unknown(format!("{peer} may be on every link")));
        }
        match machine.route_to(peer) {
            // The broadcast address of a net of the loopback interface, by which nothing comes from elsewhere.
            Some(decision) if entering && decision.interfaces == ["lo"] => {
                Ok(unknown(format!("{node}'s route to {peer} leads by lo")))
            }
            Some(decision)
                if matches!(decision.kind, RouteKind::Unicast | RouteKind::Broadcast)
                    && !decision.interfaces.is_empty() =>
            {
                let names: Vec<String> = decision.interfaces.into_iter().map(str::to_owned).collect();
                if !entering && names.iter().all(|name| machine.down.contains(name)) {
                    let names = names.join(" and ");
                    return Err(format!("{node}'s route to {peer} leads by {names}, down or without carrier"));
                }
                notes.push(format!("it {path} {node} {word} {}, as {node}'s route to {peer} says", names.join(" or ")));
                Ok(names)
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
    fn hops(&self, topology: &Topology<'_>, choice: &[String], judging: Judging<'_, '_>) -> Option<Vec<Hop>> {
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
                Location::Workload(endpoint) if starts => Some(endpoint.interface.clone()),
                Location::Process { .. } if starts => None,
                _ => match crossing() {
                    // The routes of the node say so by the source with which the packet comes.
                    Some((name, uplink)) if !uplink.admits(packet.source, name) => return None,
                    entry => entry.map(|(name, _)| name.clone()),
                },
            };
            let mut next = || crossing().map(|(name, _)| name.clone()).unwrap_or_default();
            let exit = match &self.end {
                Location::Workload(endpoint) if ends && !self.passes_by => Some(endpoint.interface.clone()),
                Location::Process { .. } if ends => None,
                _ => Some(next()),
            };
            let sources = self.sources.get(index).and_then(Option::as_ref).map(|sources| (sources, next()));
            let translation = self.translation.as_ref().filter(|_| self.translator == Some(index));
            packet.translated = translation.map(|translation| translation.to);
            let before_translation = before_translation.as_ref().filter(|_| starts);
            let translated_by = translation.map(|translation| translation.by.clone());
            let dropped = self.dropped.as_ref().filter(|(at, _)| at == node).map(|(_, why)| why.clone());
            let dropped = dropped.or_else(|| {
                let ends = [&self.from, &self.end];
                let crossed = (entry.as_deref(), exit.as_deref());
                not_taken_in::why(topology, node, crossed, &packet, self.destination_behind(index), ends)
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

/// The nodes that a packet passes, in order.
struct Nodes {
    nodes: Vec<String>,
    /// The named node, where neither end is on it.
    passed: Option<String>,
    /// Which of them translates the destination.
    translator: Option<usize>,
}

impl Nodes {
    /// The node of the source, the named node, and the nodes of the target and of what it is translated to. The target's node
    /// translates; where the target is nobody's, the source's node, else the named node, else that of the new destination.
    fn new(
        topology: &Topology<'_>,
        question: &Question,
        [from, to, end]: [&Location; 3],
        is_translated: bool,
        family: Family,
        assumed: &mut Vec<String>,
    ) -> Result<Nodes, AskError> {
        let named = question.node.as_deref();
        // The target's node is passed where it translates the packet to another's.
        let is_of_end = |node: &&str| [from.node(), end.node()].contains(&Some(node));
        let known = question.translated_on.as_deref();
        let translator = known.or(to.node()).or(from.node()).or(named).or(end.node()).filter(|_| is_translated);
        let others = translator.filter(|node| Some(*node) != from.node());
        // Packets between two ends on one node do not leave it.
        let stays = from.node().is_some() && from.node() == end.node() && others.is_none();
        let passed = named.filter(|node| !is_of_end(node) && !stays);
        let mut nodes: Vec<String> = Vec::new();
        for node in [from.node(), passed, others, end.node()].into_iter().flatten() {
            if nodes.last().is_none_or(|last| last != node) {
                nodes.push(node.to_owned());
            }
        }
        if nodes.is_empty() {
            return Err(AskError(
                "neither end is on a node that the store knows: name the node that it passes with --node".to_owned(),
            ));
        }
        if let Some(node) = passed.filter(|node| to.node() != Some(*node))
            && let Some(why) = may_be_its_own(topology, question, node, family)
        {
            if nodes.len() == 1 {
                return Err(AskError(format!(
                    "{why}, and so not whether the packet is forwarded: ask on {node} itself, whose agent tells them, set expectedIPs on its host endpoint, or say both --in-interface and --out-interface"
                )));
            }
            // The other end is on a known node, so that the packet crosses this one, unless the end is this one.
            if [from, end].into_iter().any(|one| one.node().is_none()) {
                assumed.push(format!("{ASSUMED}{node} forwards the packet ({why})"));
            }
        }
        let position = |node: &str| nodes.iter().position(|one| one == node);
        let translator = translator.and_then(position);
        Ok(Nodes { passed: passed.map(str::to_owned), translator, nodes })
    }
}

/// What no store knows as anybody's may be the node's own address. Forwarding is taken for granted only where the node's
/// addresses are known, or both interfaces are said.
fn may_be_its_own(topology: &Topology<'_>, question: &Question, node: &str, family: Family) -> Option<String> {
    let said = question.in_interface.is_some() && question.out_interface.is_some();
    let any = |party: &EndSpec| !matches!(party, EndSpec::Address(_));
    if said || any(&question.from) && any(&question.to) {
        return None;
    }
    let own = topology.find(&EndSpec::Node(node.to_owned()), None).ok()?;
    let is_unknown = own.addresses().is_empty() || own.unknown_families().contains(&family);
    is_unknown.then(|| format!("the store knows no {family} address of node {node}"))
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
    let lack = if families.len() == 1 { "do not both have an IPv6 address" } else { "have no IP version in common" };
    Err(AskError(format!("the two ends {lack}")))
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
