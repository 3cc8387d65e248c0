//! Services of Kubernetes: what their addresses and node ports lead to.
//!
//! A service proxy (kube-proxy or what replaces it) translates a packet to an address and port of a service to one of the
//! service's endpoints, or refuses it. Which endpoint is its choice, so a question about such a packet is answered for each that it may
//! choose, which [`proxy`] says. The answer notes the assumption that such a proxy runs.

mod proxy;
mod refusal;

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use tortie_eval::{Conntrack, protocol_name};
use tortie_net::Protocol;
use tortie_policy::Family;

use crate::answer::{Answer, Hop, PossiblePath};
use crate::fault;
use crate::interfaces::ASSUMED;
use crate::question::{AskError, EndSpec, Question, TrafficSpec};
use crate::services::proxy::{Choice, Refusal, Seen};
use crate::services::refusal::refuse;
use crate::shortened_list::shortened;
use crate::text;
use crate::topology::{Location, Topology};
use crate::trace::trace_ends;
use crate::translation::{Dnat, TranslatedBy};

/// So many endpoints are named one by one.
const MAX_NAMED: usize = 6;

/// A service, as far as packets to it are concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// Its addresses, each with what it is.
    pub addresses: Vec<(IpAddr, ServiceAddress)>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// The endpoints in its EndpointSlices, one for each port.
    pub endpoints: Vec<ServiceEndpoint>,
    /// Whether packets from inside the cluster go only to endpoints on the node that translates them (`internalTrafficPolicy: Local`).
    pub internal_is_local: bool,
    /// Whether packets from outside the cluster go only to endpoints on the node that translates them (`externalTrafficPolicy: Local`).
    pub external_is_local: bool,
    /// The sources that reach its load balancer's addresses (`loadBalancerSourceRanges`); all if there are none of an IP version.
    pub source_ranges: Vec<IpNet>,
    /// The service proxy that its label names, if it is not for kube-proxy.
    pub proxy: Option<String>,
}

/// What an address is to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceAddress {
    /// One of `clusterIPs`.
    ClusterIp,
    /// One of `externalIPs`.
    ExternalIp,
    /// One that a load balancer gave it.
    LoadBalancer,
    /// An address of a node, at a `nodePort`.
    Node,
}

impl ServiceAddress {
    fn text(self) -> &'static str {
        match self {
            Self::ClusterIp => "the clusterIP",
            Self::ExternalIp => "an externalIP",
            Self::LoadBalancer => "a load balancer's address",
            Self::Node => "a nodePort",
        }
    }
}

/// A port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name; empty where it has none.
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number at the service's addresses.
    pub port: u16,
    /// Its number at the addresses of nodes.
    pub node_port: Option<u16>,
}

/// An endpoint of a service, at one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceEndpoint {
    /// Its address.
    pub address: IpAddr,
    /// The name of the service's port that leads to it.
    pub port_name: String,
    /// The protocol of that port.
    pub protocol: Protocol,
    /// Its own port.
    pub port: u16,
    /// Whether service proxies use it.
    pub state: EndpointState,
    /// The node that its EndpointSlice names.
    pub node: Option<String>,
    /// The zones that it is meant for, by a hint.
    pub for_zones: Vec<String>,
    /// The nodes that it is meant for, by a hint.
    pub for_nodes: Vec<String>,
}

/// Whether service proxies use an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EndpointState {
    /// They do.
    Ready,
    /// It is terminating and still serves: they do if no other is ready.
    Terminating,
    /// They do not.
    NotReady,
}

impl ServiceEndpoint {
    fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }

    fn is_of(&self, port: &ServicePort) -> bool {
        self.port_name == port.name && self.protocol == port.protocol
    }
}

/// What a packet's destination is to a service.
struct Found<'t> {
    service: &'t Service,
    /// The port that the packet goes to; none if the service does not have it.
    port: Option<&'t ServicePort>,
    address: IpAddr,
    is: ServiceAddress,
}

impl Service {
    /// `service shop/db`.
    fn text(&self) -> String {
        format!("service {}/{}", self.namespace, self.name)
    }

    /// Its ports: `tcp/80 (http), udp/53`.
    fn ports_text(&self) -> String {
        let one = |port: &ServicePort| {
            let name = if port.name.is_empty() { String::new() } else { format!(" ({})", port.name) };
            format!("{}/{}{name}", protocol_name(port.protocol.number()), port.port)
        };
        let ports: Vec<String> = self.ports.iter().map(one).collect();
        if ports.is_empty() { "none".to_owned() } else { ports.join(", ") }
    }

    /// Whether it has addresses of the IP version of this one.
    fn has_family_of(&self, address: IpAddr) -> bool {
        let mut cluster_ips = self.addresses.iter().filter(|(_, is)| *is == ServiceAddress::ClusterIp).peekable();
        cluster_ips.peek().is_none() || cluster_ips.any(|(one, _)| one.is_ipv4() == address.is_ipv4())
    }

    fn port(&self, what: &TrafficSpec, number: impl Fn(&ServicePort) -> Option<u16>) -> Option<&ServicePort> {
        self.ports.iter().find(|one| match what {
            TrafficSpec::Port(protocol, port) => one.protocol == *protocol && number(one) == Some(*port),
            TrafficSpec::Named(protocol, name) => {
                one.name == *name && number(one).is_some() && protocol.is_none_or(|protocol| one.protocol == protocol)
            }
            TrafficSpec::Icmp(_) | TrafficSpec::Icmpv6(_) | TrafficSpec::Other(_) => false,
        })
    }
}

impl Found<'_> {
    /// `10.96.0.10 is the clusterIP of service shop/db`.
    fn text(&self) -> String {
        format!("{} is {} of {}", self.address, self.is.text(), self.service.text())
    }

    /// `service shop/db (clusterIP, port http)`, which says that a packet is translated.
    fn by(&self) -> String {
        let name = self.port.filter(|port| !port.name.is_empty()).map(|port| format!(", port {}", port.name));
        let is = self.is.text().split_once(' ').map_or("", |(_, is)| is);
        format!("{} ({is}{})", self.service.text(), name.unwrap_or_default())
    }

    /// The assumption that a service proxy refuses a packet.
    fn decided_by_proxy(&self) -> String {
        let proxy = self.other_proxy().map(|note| format!("; {note}")).unwrap_or_default();
        format!("{ASSUMED}a service proxy decides on it, for {}; with --dnat none nothing does{proxy}", self.by())
    }

    /// What becomes of a packet that is let through to a clusterIP and not translated, since it begins no connection. One of an open
    /// connection may have a translation from before.
    fn arrives_nowhere(&self, answer: &Answer) -> Option<String> {
        let is_of_none = |hop: &Hop| hop.verdict.untracked || hop.packet.tracking() != Conntrack::Established;
        let goes_on = self.is == ServiceAddress::ClusterIp && answer.allowed() && answer.all_hops().all(is_of_none);
        goes_on.then(|| {
            format!(
                "{ASSUMED}nothing translates it, and nobody has the clusterIP {} itself: it goes where the routes to that address lead, to no endpoint of {}",
                self.address,
                self.service.text()
            )
        })
    }

    /// What is said of a service that kube-proxy leaves alone.
    fn other_proxy(&self) -> Option<String> {
        let proxy = self.service.proxy.as_ref()?;
        Some(format!(
            "kube-proxy leaves {} to the service proxy {proxy}, which is taken to do the same",
            self.service.text()
        ))
    }

    /// Why `loadBalancerSourceRanges` refuses what comes from a sender, and of several addresses from which. A node that has the address
    /// itself sends from it, which kube-proxy accepts if the ranges have an address of the node.
    fn source_refusal(&self, from: &Location, to: &Location) -> Option<Refusal> {
        let is_v4 = self.address.is_ipv4();
        let of_family = self.service.source_ranges.iter().filter(|net| net.addr().is_ipv4() == is_v4);
        let ranges: Vec<&IpNet> = of_family.collect();
        let is_subject = self.is == ServiceAddress::LoadBalancer || fault("ranges-everywhere");
        if !is_subject || ranges.is_empty() || fault("ranges-ignored") {
            return None;
        }
        let is_accepted = |address: &IpAddr| ranges.iter().any(|net| net.contains(address));
        let own: Vec<&IpAddr> = from.addresses().iter().filter(|one| one.is_ipv4() == is_v4).collect();
        let is_own = matches!(from, Location::Process { .. }) && from.node() == to.node();
        if is_own && own.contains(&&self.address) && own.iter().any(|address| is_accepted(address)) {
            return None;
        }
        let refused: Vec<String> =
            own.iter().filter(|address| !is_accepted(address)).map(|address| address.to_string()).collect();
        let is_unknown = from.unknown_families().iter().any(|family| *family == Family::of(self.address));
        if refused.is_empty() && !is_unknown {
            return None;
        }
        let is_certain = refused.len() == own.len() && !is_unknown;
        let nets: Vec<String> = ranges.iter().map(|net| net.to_string()).collect();
        let from_these = if is_unknown { "an address outside these ranges".to_owned() } else { refused.join(" or ") };
        Some(Refusal {
            when: (!is_certain).then(|| format!("it comes from {from_these}")),
            why: format!(
                "a service proxy drops it: loadBalancerSourceRanges of {} accepts only {}",
                self.service.text(),
                shortened(&nets, MAX_NAMED)
            ),
        })
    }
}

/// The service that a destination is of, and what a packet to it comes to there. Services share addresses: the one that has the port
/// counts.
fn find<'t>(topology: &'t Topology<'_>, to: &Location, what: Option<&TrafficSpec>) -> Option<Found<'t>> {
    let services = topology.services();
    let at = |address: IpAddr| {
        services.iter().filter_map(move |service| {
            let (_, is) = service.addresses.iter().find(|(one, _)| *one == address)?;
            let port = what.and_then(|what| service.port(what, |port| Some(port.port)));
            Some(Found { service, port, address, is: *is })
        })
    };
    let addresses = match to {
        Location::Workload(_) => return None,
        Location::Outside(addresses) | Location::Process { addresses, .. } => addresses,
    };
    let has_port = |found: &Found<'_>| found.port.is_some() || fault("first-service-with-address");
    let with_port = addresses.iter().flat_map(|address| at(*address)).find(has_port);
    with_port.or_else(|| match to {
        Location::Process { .. } => services.iter().find_map(|service| {
            let port = service.port(what?, |port| port.node_port)?;
            let address = addresses.iter().find(|address| service.has_family_of(**address))?;
            Some(Found { service, port: Some(port), address: *address, is: ServiceAddress::Node })
        }),
        _ => addresses.iter().flat_map(|address| at(*address)).next(),
    })
}

/// Answers a question about a packet to a service for each endpoint that it may be translated to; none where the destination is of no
/// service, or nothing is translated there, which is noted then.
pub(crate) fn trace(topology: &Topology<'_>, question: &Question) -> Result<Option<Answer>, AskError> {
    if question.dnat != Dnat::Known || topology.services().is_empty() {
        return Ok(None);
    }
    let node = question.node.as_deref();
    let [from, to] = [topology.find(&question.from, node)?, topology.find(&question.to, node)?];
    let Some(found) = find(topology, &to, Some(&question.what)) else { return Ok(None) };
    let asking =
        Asking { topology, seen: Seen::new(topology, found.is, &from, &to, node), question, from: &from, to: &to };
    let mut answer = match found.port {
        Some(port) => asking.port(&found, port)?,
        None => asking.no_port(&found)?,
    };
    answer.service = Some(found.service.text());
    Ok(Some(answer))
}

/// A question about a packet to a service.
struct Asking<'q, 't> {
    topology: &'q Topology<'t>,
    question: &'q Question,
    from: &'q Location,
    to: &'q Location,
    seen: Seen<'q>,
}

impl Asking<'_, '_> {
    /// Traces the packet as it is translated, or as it is.
    fn traced(&self, found: &Found<'_>, what: TrafficSpec, dnat: Dnat) -> Result<Answer, AskError> {
        let question = Question { what, dnat, ..self.question.clone() };
        // Even an address that another node has is translated where the packet comes from.
        if found.is != ServiceAddress::Node && self.from.node().is_some() {
            let question = Question { to: EndSpec::Address(found.address), ..question };
            return trace_ends(self.topology, &question, self.from.clone(), Location::Outside(vec![found.address]));
        }
        trace_ends(self.topology, &question, self.from.clone(), self.to.clone())
    }

    /// The packet goes to no port of the service. Nobody has a clusterIP itself; another address may be somebody's.
    fn no_port(&self, found: &Found<'_>) -> Result<Answer, AskError> {
        let mut answer = self.traced(found, self.question.what.clone(), Dnat::Known)?;
        let ports = found.service.ports_text();
        let mut notes = vec![format!("{}, which a service proxy translates for its ports only: {ports}", found.text())];
        let why = format!("it goes to no port of {}, and nobody has a clusterIP itself", found.service.text());
        if found.is == ServiceAddress::ClusterIp && refuse(self.topology, &mut answer, self.seen.node, &why) {
            notes.push(format!("{ASSUMED}no node has {} itself, as nodes have with IPVS", found.address));
        }
        notes.extend(found.arrives_nowhere(&answer));
        answer.notes.splice(0..0, notes);
        Ok(answer)
    }

    /// The packet goes to a port of the service.
    fn port(&self, found: &Found<'_>, port: &ServicePort) -> Result<Answer, AskError> {
        let number = if found.is == ServiceAddress::Node { port.node_port.unwrap_or(port.port) } else { port.port };
        let what = TrafficSpec::Port(port.protocol, number);
        let asked = format!("{}/{number}", protocol_name(port.protocol.number()));
        let mut choice = found.choice(&self.seen, &asked);
        if let Some(refusal) = found.source_refusal(self.from, self.to) {
            choice = choice.refused_too(refusal);
        }
        match &choice.refusal {
            Some(refusal) if choice.endpoints.is_empty() => self.refused(found, what, refusal),
            _ => self.translated(found, what, &asked, choice),
        }
    }

    /// The packet is refused for certain, if it begins a connection: one that exists keeps its translation, which is not known, and
    /// nothing else is translated.
    fn refused(&self, found: &Found<'_>, what: TrafficSpec, refusal: &Refusal) -> Result<Answer, AskError> {
        let mut answer = self.traced(found, what, Dnat::Never)?;
        if refuse(self.topology, &mut answer, self.seen.node, &refusal.why) {
            answer.notes.splice(0..0, [found.text(), found.decided_by_proxy()]);
            return Ok(answer);
        }
        let why = format!(
            "{}; of a new packet: {}. The answer is for the packet without a translation",
            found.text(),
            refusal.why
        );
        let nowhere = found.arrives_nowhere(&answer);
        answer.notes.splice(0..0, [why].into_iter().chain(nowhere));
        Ok(answer)
    }

    /// The packet is translated to one of the endpoints.
    fn translated(
        &self,
        found: &Found<'_>,
        what: TrafficSpec,
        asked: &str,
        choice: Choice<'_>,
    ) -> Result<Answer, AskError> {
        let Choice { mut endpoints, is_local, refusal, assumed } = choice;
        let which = endpoints_text(&endpoints, self.seen.node.filter(|_| is_local));
        let own = |endpoint: &&ServiceEndpoint| self.from.addresses().contains(&endpoint.address);
        let to_itself: Vec<String> =
            endpoints.iter().filter(|one| own(one)).map(|one| one.socket().to_string()).collect();
        endpoints.retain(|one| !own(one));
        let mut answers = Vec::with_capacity(endpoints.len());
        for endpoint in &endpoints {
            let dnat = Dnat::To(endpoint.address, Some(endpoint.port));
            let name = endpoint_text(self.topology, endpoint);
            let answer = self.traced(found, what.clone(), dnat);
            let mut answer = answer.map_err(|AskError(why)| {
                AskError(format!(
                    "{}; of what a service proxy translates to {name} there is no answer: {why}",
                    found.text()
                ))
            })?;
            answer.translated_by(&TranslatedBy::Service(found.by()));
            answers.push((name, answer));
        }
        let is_translated = |answer: &Answer| answer.all_hops().any(|hop| hop.packet.translated.is_some());
        if !answers.is_empty() && !answers.iter().any(|(_, answer)| is_translated(answer)) {
            let mut answer = self.traced(found, what, Dnat::Never)?;
            let why = "which a service proxy does not translate: it is of no connection";
            let nowhere = found.arrives_nowhere(&answer);
            answer.notes.splice(0..0, [format!("{}, {why}", found.text())].into_iter().chain(nowhere));
            return Ok(answer);
        }
        let count = answers.len();
        let Some((mut answer, alike)) = merged(self.topology, answers) else {
            return Err(AskError(format!(
                "{}, whose only {which} for {asked} is the sender itself: what a service proxy translates to its sender is not followed",
                found.text()
            )));
        };
        let targets =
            alike.unwrap_or_else(|| format!("to one of its {count} {}", which.replacen("endpoint", "endpoints", 1)));
        let mut notes = vec![
            found.text(),
            format!(
                "{ASSUMED}a service proxy translates it, for {}, {targets}; with --dnat none nothing does",
                found.by()
            ),
        ];
        notes.extend(found.other_proxy());
        notes.extend(assumed.map(|assumed| format!("{ASSUMED}{assumed}")));
        if endpoints.iter().any(|one| one.state == EndpointState::Terminating) {
            notes.push("endpoints that are terminating and still serve are used where no other is ready".to_owned());
        }
        if !to_itself.is_empty() {
            notes.push(format!("not followed: the sender itself is an endpoint of it, {}", to_itself.join(", ")));
        }
        notes.extend(self.source_note(found, is_local));
        if is_local && self.seen.node.is_none() {
            notes.push(format!(
                "{} sends such packets only to endpoints on the node that translates them, and a node without one drops them: --node names it",
                found.service.text()
            ));
        }
        answer.notes.splice(0..0, notes);
        answer.endpoints = endpoints.iter().map(|one| one.socket()).collect();
        if let Some(Refusal { when: Some(when), why }) = refusal {
            let mut refused = self.traced(found, what, Dnat::Never)?;
            if refuse(self.topology, &mut refused, self.seen.node, &why) {
                add_path(&mut answer, refused, when);
            }
        }
        Ok(answer)
    }

    /// What is sent on to another node must come back through the one that translated it.
    fn source_note(&self, found: &Found<'_>, is_local: bool) -> Option<String> {
        let is_replaced = match found.is {
            ServiceAddress::ClusterIp => !is_local && matches!(self.from, Location::Outside(_)),
            _ => !found.service.external_is_local,
        };
        let what = if found.is == ServiceAddress::ClusterIp {
            "a clusterIP from outside the cluster"
        } else {
            "such an address"
        };
        is_replaced.then(|| format!(
            "{ASSUMED}the source stays as it is; kube-proxy replaces it by an address of its node where it sends a packet to {what} on to another node"
        ))
    }
}

/// `ready endpoint on web1`.
fn endpoints_text(endpoints: &[&ServiceEndpoint], node: Option<&str>) -> String {
    let are = |state| endpoints.iter().all(|one| one.state == state);
    let state = match (are(EndpointState::Ready), are(EndpointState::Terminating)) {
        (true, _) => "ready",
        (_, true) => "terminating",
        _ => "ready or terminating",
    };
    node.map_or_else(|| format!("{state} endpoint"), |node| format!("{state} endpoint on {node}"))
}

/// Adds the paths of another answer, which are taken in some case.
fn add_path(answer: &mut Answer, other: Answer, when: String) {
    if answer.paths.is_empty() {
        answer.paths.push(PossiblePath { when: "it is translated".to_owned(), hops: answer.hops.clone() });
    }
    if answer.allowed() {
        answer.hops.clone_from(&other.hops);
    }
    match other.paths.is_empty() {
        true => answer.paths.push(PossiblePath { when, hops: other.hops }),
        false => answer.paths.extend(
            other.paths.into_iter().map(|path| PossiblePath { when: format!("{when} and {}", path.when), ..path }),
        ),
    }
}

/// `10.65.0.2:8080 (pod shop/db)`.
fn endpoint_text(topology: &Topology<'_>, endpoint: &ServiceEndpoint) -> String {
    let socket = endpoint.socket();
    match topology.at(endpoint.address) {
        Location::Workload(workload) => format!("{socket} ({workload})"),
        Location::Process { node, .. } => format!("{socket} ({node})"),
        Location::Outside(_) => socket.to_string(),
    }
}

/// One answer of those for each endpoint, with a path for all endpoints whose verdict has the same reason. If there is only one such
/// path, it is the answer, and the text says to which endpoints.
fn merged(topology: &Topology<'_>, answers: Vec<(String, Answer)>) -> Option<(Answer, Option<String>)> {
    struct Group {
        verdict: String,
        names: Vec<String>,
        answer: Answer,
    }
    let mut groups: Vec<Group> = Vec::new();
    let mut notes: Vec<String> = Vec::new();
    for (name, answer) in answers {
        let mut verdict = text::decided_by(topology.snapshot(), &answer);
        if answer.paths.is_empty() {
            // The endpoint at which it was decided is each time another one.
            let place = [", ingress of ", ", egress of "].iter().filter_map(|word| verdict.find(word)).min();
            verdict.truncate(place.unwrap_or(verdict.len()));
        }
        answer.notes.iter().for_each(|note| {
            if !notes.contains(note) {
                notes.push(note.clone());
            }
        });
        match groups.iter_mut().find(|group| group.verdict == verdict) {
            Some(group) => group.names.push(name),
            None => groups.push(Group { verdict, names: vec![name], answer }),
        }
    }
    let targets = |names: &[String]| match names {
        [first, others @ ..] if !others.is_empty() => {
            format!("to {first}, and alike to {}", shortened(others, MAX_NAMED))
        }
        names => format!("to {}", names.join("")),
    };
    let alike = if let [only] = groups.as_slice() { Some(targets(&only.names)) } else { None };
    let is_one = alike.is_some();
    let mut paths: Vec<PossiblePath> = Vec::new();
    let mut first: Option<Answer> = None;
    for Group { names, mut answer, .. } in groups {
        let leads = format!("it is translated {}", targets(&names));
        if !is_one {
            match std::mem::take(&mut answer.paths) {
                none if none.is_empty() => paths.push(PossiblePath { when: leads, hops: answer.hops.clone() }),
                several => paths.extend(
                    several.into_iter().map(|path| PossiblePath { when: format!("{leads} and {}", path.when), ..path }),
                ),
            }
        }
        if first.as_ref().is_none_or(|first| first.allowed() && !answer.allowed()) {
            first = Some(answer);
        }
    }
    let mut answer = first?;
    if !is_one {
        answer.paths = paths;
    }
    answer.notes = notes;
    Some((answer, alike))
}

/// What is to be said of a question about all ports of an address that is a service's.
pub(crate) fn note(topology: &Topology<'_>, question: &Question) -> Option<String> {
    if question.dnat != Dnat::Known || question.to.is_many() || topology.services().is_empty() {
        return None;
    }
    let to = topology.find(&question.to, question.node.as_deref()).ok()?;
    let found = find(topology, &to, None)?;
    Some(format!(
        "{}; a service proxy translates {}, which is left out here: with one sender and the port as third word it is answered",
        found.text(),
        found.service.ports_text()
    ))
}

/// Why a claim about packets to an end is not checked: a service proxy translates some of them. At a node these are the ports that
/// the claim names.
pub(crate) fn why_unproven(
    topology: &Topology<'_>,
    to: &EndSpec,
    names_port: impl Fn(Protocol, u16) -> bool,
) -> Option<String> {
    if to.is_many() || topology.services().is_empty() {
        return None;
    }
    let to = topology.find(to, None).ok()?;
    let found = match &to {
        Location::Process { .. } => {
            let ports = topology.services().iter().flat_map(|service| &service.ports);
            let numbers = ports.flat_map(|one| [Some(one.port), one.node_port].map(|number| (one.protocol, number)));
            let mut named = numbers.filter_map(|(protocol, number)| Some((protocol, number?)));
            named.find_map(|(protocol, number)| {
                let what = TrafficSpec::Port(protocol, number);
                find(topology, &to, Some(&what)).filter(|_| names_port(protocol, number))
            })?
        }
        _ => find(topology, &to, None)?,
    };
    let of_family = found.service.endpoints.iter().filter(|one| one.address.is_ipv4() == found.address.is_ipv4());
    let working = of_family.filter(|one| one.state != EndpointState::NotReady);
    let working = working.filter(|one| found.port.is_none_or(|port| one.is_of(port)));
    let mut endpoints: Vec<String> =
        working.map(|one| format!("{} {}/{}", one.address, protocol_name(one.protocol.number()), one.port)).collect();
    endpoints.sort();
    endpoints.dedup();
    let instead = match endpoints.as_slice() {
        [] => "it has no ready endpoint".to_owned(),
        all => format!("write a line for each of its endpoints: {}", shortened(all, MAX_NAMED)),
    };
    Some(format!("{}, which a service proxy translates: {instead}", found.text()))
}

/// Where packets to a service named as an end go: its addresses, as a hint.
pub(crate) fn hint(topology: &Topology<'_>, namespace: &str, name: &str) -> Option<String> {
    let service = topology.services().iter().find(|one| one.namespace == namespace && one.name == name)?;
    let addresses: Vec<String> = service.addresses.iter().map(|(address, _)| address.to_string()).collect();
    Some(match addresses.as_slice() {
        [] => format!("{} has no address of its own: name its endpoints", service.text()),
        all => {
            format!(
                "write an address of {}: {} (ports: {})",
                service.text(),
                shortened(all, MAX_NAMED),
                service.ports_text()
            )
        }
    })
}
