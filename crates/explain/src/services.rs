//! Services of Kubernetes: what their addresses and node ports lead to.
//!
//! A service proxy (kube-proxy or what replaces it) translates a packet to an address and port of a service to one of the
//! service's ready endpoints. Which one is its choice, so a question about such a packet is answered for each of them. The answer notes
//! the assumption that such a proxy runs.

use std::net::{IpAddr, SocketAddr};

use tortie_eval::protocol_name;
use tortie_net::Protocol;

use crate::interfaces::ASSUMED;
use crate::listed::listed;
use crate::question::{AskError, EndSpec, Question, TrafficSpec};
use crate::text;
use crate::topology::{Location, Topology};
use crate::trace::{Answer, PossiblePath, trace_as_asked};
use crate::translation::{Dnat, TranslatedBy};

/// So many endpoints are named one by one.
const SHOWN: usize = 6;

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
    /// Whether it is ready.
    pub is_ready: bool,
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

    /// Whether only endpoints on the node that translates the packet get it, and that node if it is known.
    fn only_on(&self, question: &Question, from: &Location, to: &Location) -> Option<Option<String>> {
        let is_outside = matches!(from, Location::Outside(_));
        let is_local = match self.is {
            ServiceAddress::ClusterIp => self.service.internal_is_local,
            _ => self.service.external_is_local && is_outside,
        };
        let node = to.node().or(from.node()).or(question.node.as_deref());
        is_local.then(|| node.map(str::to_owned))
    }
}

/// The service that a destination is of, and what a packet to it comes to there.
fn find<'t>(topology: &'t Topology<'_>, to: &Location, what: Option<&TrafficSpec>) -> Option<Found<'t>> {
    let services = topology.services();
    let at = |address: IpAddr| {
        services.iter().find_map(|service| {
            let (_, is) = service.addresses.iter().find(|(one, _)| *one == address)?;
            let port = what.and_then(|what| service.port(what, |port| Some(port.port)));
            Some(Found { service, port, address, is: *is })
        })
    };
    match to {
        Location::Workload(_) => None,
        Location::Outside(addresses) => addresses.iter().find_map(|address| at(*address)),
        Location::Process { addresses, .. } => {
            // An external address may be one of a node's own, where only the ports of the service are translated.
            let own = addresses.iter().find_map(|address| at(*address).filter(|found| found.port.is_some()));
            own.or_else(|| {
                services.iter().find_map(|service| {
                    let port = service.port(what?, |port| port.node_port)?;
                    let leads = |address: &&IpAddr| {
                        let mut of_port = service.endpoints.iter().filter(|one| is_of(one, port));
                        of_port.any(|one| one.address.is_ipv4() == address.is_ipv4())
                    };
                    let address = addresses.iter().find(leads).or(addresses.first())?;
                    Some(Found { service, port: Some(port), address: *address, is: ServiceAddress::Node })
                })
            })
        }
    }
}

fn is_of(endpoint: &ServiceEndpoint, port: &ServicePort) -> bool {
    endpoint.port_name == port.name && endpoint.protocol == port.protocol
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
    let untranslated = |question: &Question, why: String| -> Result<Option<Answer>, AskError> {
        let mut answer = trace_as_asked(topology, question)?;
        answer.notes.insert(0, why);
        answer.service = Some(found.service.text());
        Ok(Some(answer))
    };
    let Some(port) = found.port else {
        let why = format!(
            "{}, which a service proxy translates for its ports only: {}",
            found.text(),
            found.service.ports_text()
        );
        return untranslated(question, why);
    };
    let number = if found.is == ServiceAddress::Node { port.node_port.unwrap_or(port.port) } else { port.port };
    let what = TrafficSpec::Port(port.protocol, number);
    let asked = format!("{}/{number}", protocol_name(port.protocol.number()));
    let only_on = found.only_on(question, &from, &to);
    let mut endpoints: Vec<&ServiceEndpoint> = found.service.endpoints.iter().collect();
    endpoints.retain(|one| is_of(one, port) && one.address.is_ipv4() == found.address.is_ipv4());
    let all = endpoints.len();
    endpoints.retain(|one| one.is_ready);
    let mut which = "ready endpoint".to_owned();
    match &only_on {
        Some(Some(node)) => {
            endpoints.retain(|one| topology.at(one.address).node() == Some(node.as_str()));
            which = format!("ready endpoint on {node}");
        }
        Some(None) => which = "ready endpoint on the node that translates it".to_owned(),
        None => {}
    }
    endpoints.sort_unstable_by_key(|one| (one.address, one.port));
    endpoints.dedup();
    if endpoints.is_empty() {
        let others = if all > 0 { format!(" (of {all} in its EndpointSlices)") } else { String::new() };
        let why = format!(
            "{}, which has no {which} for {asked}{others}: a service proxy has nowhere to send the packet. The answer is for the packet without a translation",
            found.text()
        );
        return untranslated(&Question { what, ..question.clone() }, why);
    }
    let own = |endpoint: &&ServiceEndpoint| from.addresses().contains(&endpoint.address);
    let to_itself: Vec<String> = endpoints.iter().filter(|one| own(one)).map(|one| socket(one).to_string()).collect();
    endpoints.retain(|one| !own(one));
    let mut answers = Vec::with_capacity(endpoints.len());
    for endpoint in &endpoints {
        let dnat = Dnat::To(endpoint.address, Some(endpoint.port));
        let name = endpoint_text(topology, endpoint);
        let answer = trace_as_asked(topology, &Question { dnat, what: what.clone(), ..question.clone() });
        let mut answer = answer.map_err(|AskError(why)| {
            AskError(format!(
                "{}; of what a service proxy translates to {name} there is no answer: {why}",
                found.text()
            ))
        })?;
        answer.translated_by(&TranslatedBy::Service(found.by()));
        answers.push((name, answer));
    }
    let count = answers.len();
    let Some((mut answer, alike)) = merged(topology, answers) else {
        return Err(AskError(format!(
            "{}, whose only {which} for {asked} is the sender itself: what a service proxy translates to its sender is not followed",
            found.text()
        )));
    };
    let targets = alike.unwrap_or_else(|| format!("to one of its {count} {which}s"));
    let mut notes = vec![
        found.text(),
        format!("{ASSUMED}a service proxy translates it, for {}, {targets}; with --dnat none nothing does", found.by()),
    ];
    if !to_itself.is_empty() {
        notes.push(format!("not followed: the sender itself is an endpoint of it, {}", to_itself.join(", ")));
    }
    // What is sent on to another node must come back through the one that translated it.
    let is_outside = matches!(from, Location::Outside(_));
    if only_on.is_none() && (found.is != ServiceAddress::ClusterIp || is_outside) {
        notes.push(format!(
            "{ASSUMED}the source stays as it is; kube-proxy replaces it by an address of its node where it sends a packet to {} on to another node",
            if found.is == ServiceAddress::ClusterIp { "a clusterIP from outside the cluster" } else { "such an address" }
        ));
    }
    if let Some(None) = &only_on {
        notes.push(format!(
            "{} sends such packets only to endpoints on the node that translates them: --node names it",
            found.service.text()
        ));
    }
    answer.notes.splice(0..0, notes);
    answer.service = Some(found.service.text());
    answer.endpoints = endpoints.iter().map(|one| socket(one)).collect();
    Ok(Some(answer))
}

fn socket(endpoint: &ServiceEndpoint) -> SocketAddr {
    SocketAddr::new(endpoint.address, endpoint.port)
}

/// `10.65.0.2:8080 (pod shop/db)`.
fn endpoint_text(topology: &Topology<'_>, endpoint: &ServiceEndpoint) -> String {
    let socket = socket(endpoint);
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
        [first, others @ ..] if !others.is_empty() => format!("to {first}, and alike to {}", listed(others, SHOWN)),
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

/// Why a claim about all packets to an end is not checked: a service proxy translates some of them.
pub(crate) fn why_unproven(topology: &Topology<'_>, to: &EndSpec) -> Option<String> {
    if to.is_many() || topology.services().is_empty() {
        return None;
    }
    let found = find(topology, &topology.find(to, None).ok()?, None)?;
    let mut endpoints: Vec<String> = found
        .service
        .endpoints
        .iter()
        .filter(|one| one.is_ready && one.address.is_ipv4() == found.address.is_ipv4())
        .map(|one| format!("{} {}/{}", one.address, protocol_name(one.protocol.number()), one.port))
        .collect();
    endpoints.sort();
    endpoints.dedup();
    let instead = match endpoints.as_slice() {
        [] => "it has no ready endpoint".to_owned(),
        all => format!("write a line for each of its endpoints: {}", listed(all, SHOWN)),
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
            format!("write an address of {}: {} (ports: {})", service.text(), listed(all, SHOWN), service.ports_text())
        }
    })
}
