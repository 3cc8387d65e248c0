//! The source that `natOutgoing` gives a packet where it leaves a node: the nodes behind it judge the packet with that one.
//!
//! The kernel takes an address of the outgoing interface, and where that has none, another one of the machine. Source:
//! `nf_nat_masquerade_ipv4` and `nf_nat_masquerade_ipv6` in net/netfilter/nf_nat_masquerade.c. Where it is not known which, every
//! candidate is answered; of a node of which no address is known, one address of each class that the nodes behind it tell apart.

use std::net::IpAddr;
use std::rc::Rc;

use tortie_classes::{AddressSet, Conditions, Domain, Names, Ranges, TransportClass, TransportRanges, ranges_text};
use tortie_eval::{Packet, Subject, Transport};
use tortie_net::Protocol;
use tortie_policy::{Direction, Family, Snapshot};

use crate::interfaces::ASSUMED;
use crate::own_nat;
use crate::owners::tells_addresses;
use crate::question::{AskError, EndSpec};
use crate::relevant_conditions::link_nets;
use crate::topology::{ANOTHER, Location, SourceClassesKey, Topology};
use crate::{fault, several_addresses, unknown_addresses};

/// The nodes behind one do not tell more of its sources, or of its source ports, apart than this.
const MAX_CLASSES: usize = 64;

/// The source that a packet gets on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplacedSource {
    /// The address.
    pub address: IpAddr,
    /// Where the settings name its ports: those that the nodes behind do not tell apart, and the one of them that is judged.
    pub ports: Option<(String, u16)>,
    /// What is assumed of it.
    pub assumed: Option<String>,
}

/// The sources that a node may give the packets of one question.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Candidates {
    /// In words, with an address that stands for them.
    pub(crate) all: Vec<(String, IpAddr)>,
    /// What is assumed of them.
    pub(crate) assumed: Option<String>,
}

/// What lies behind the node that replaces a source.
pub(crate) struct Behind<'a> {
    /// The nodes that the packet passes next.
    pub(crate) nodes: &'a [String],
    /// Where it ends.
    pub(crate) end: &'a Location,
}

impl Behind<'_> {
    /// By what the topology keeps what was found out for a node that replaces the source.
    fn key(&self, node: &str, family: Family) -> SourceClassesKey {
        let workload = match self.end {
            Location::Workload(endpoint) => Some(endpoint.id.clone()),
            _ => None,
        };
        (node.to_owned(), family, self.nodes.to_vec(), workload)
    }

    /// Collects what is asked of packets there.
    fn add_to(&self, topology: &Topology<'_>, conditions: &mut Conditions<'_>) {
        self.nodes.iter().for_each(|node| conditions.add_node(&topology.host(node)));
        if let Location::Workload(endpoint) = self.end {
            let both = [Direction::Ingress, Direction::Egress];
            conditions.add_endpoint(&Subject::workload(topology.snapshot(), endpoint), &both);
        }
    }
}

/// The sources that a node may give a packet that leaves by an interface; where that is one of those that only the store tells, also by
/// one that it does not know.
pub(crate) fn candidates(
    topology: &Topology<'_>,
    node: &str,
    (interface, only_stored): (&str, bool),
    packet: &Packet,
    behind: &Behind<'_>,
) -> Result<Candidates, AskError> {
    let family = Family::of(packet.source);
    if let Some(address) = own_nat::named_source(topology.snapshot(), node, family) {
        return Ok(known(&[address], None));
    }
    let mut of_interface = of_interface(topology, node, interface, family);
    let is_of_interface = !of_interface.is_empty() && !fault("sources-of-no-interface");
    if is_of_interface && !only_stored {
        return Ok(known(&of_interface, None));
    }
    let others = others(topology, node, family);
    if is_of_interface {
        of_interface.extend(others.iter().filter(|_| !fault("sources-of-known-interfaces-alone")));
        let all = of_every_interface(topology, node, family, others);
        let why = "since the store does not tell by which interface it leaves";
        return Ok(known(&of_interface, Some(one_of(node, family, all.len(), why))));
    }
    if is_told(topology, node) {
        // Without any address the node drops the packet.
        return Ok(known(&others, None));
    }
    let why = "since it knows none of the interface by which it leaves";
    if others.is_empty() {
        let all = of_every_interface(topology, node, family, others);
        if interface == ANOTHER && !all.is_empty() {
            return Ok(known(&all, Some(one_of(node, family, all.len(), why))));
        }
        let none = match all.is_empty() {
            true => format!("none of {node}"),
            false => format!("none of the interface by which it leaves {node}"),
        };
        let assumed = format!(
            "{ASSUMED}natOutgoing of {node} may give it any {family} address as the source, since {none} is known: ask on {node} itself, whose agent knows them, or write them in expectedIPs"
        );
        return Ok(Candidates { all: classes(topology, node, family, behind)?, assumed: Some(assumed) });
    }
    Ok(known(&others, Some(one_of(node, family, others.len(), why))))
}

/// What is assumed where the source is one of so many addresses of a node.
fn one_of(node: &str, family: Family, number: usize, why: &str) -> String {
    let (number, addresses) = if number == 1 { ("the only", "address") } else { ("one of the", "addresses") };
    format!(
        "{ASSUMED}natOutgoing of {node} gives it {number} {family} {addresses} of {node} that the store knows as the source, {why}"
    )
}

/// Every address that a node may give as the source of packets, for the rules that may see it.
pub(crate) fn possible(topology: &Topology<'_>, node: &str) -> AddressSet {
    let of = |family| {
        if let Some(address) = own_nat::named_source(topology.snapshot(), node, family) {
            return AddressSet::of([&address]);
        }
        let mut all = others(topology, node, family);
        let without = |name: &String| of_interface(topology, node, name, family).is_empty();
        let is_any = !is_told(topology, node) && all.is_empty() && topology.uplinks(node).iter().any(without);
        all.extend(usable_of_links(topology, node, family));
        let all = AddressSet::of(&all);
        if is_any { all.union(&any(topology, node, family)) } else { all }
    };
    of(Family::V4).union(&of(Family::V6))
}

/// Whether a node that is known drops what its `natOutgoing` would give another source, since it has no address of that IP version.
pub(crate) fn has_none(topology: &Topology<'_>, node: &str, family: Family) -> bool {
    let Some(host) = topology.known_host(node).filter(|host| tells_addresses(host)) else { return false };
    own_nat::named_source(topology.snapshot(), node, family).is_none()
        && host.links.iter().all(|link| usable(&link.addresses, family).is_empty())
}

/// Whether the machine tells the addresses of a node.
fn is_told(topology: &Topology<'_>, node: &str) -> bool {
    topology.known_host(node).is_some_and(tells_addresses)
}

fn known(addresses: &[IpAddr], assumed: Option<String>) -> Candidates {
    Candidates { all: addresses.iter().map(|address| (address.to_string(), *address)).collect(), assumed }
}

/// The addresses of an interface that the kernel may take: one that is valid on its link alone only if there is no other.
fn usable(addresses: &[IpAddr], family: Family) -> Vec<IpAddr> {
    let of_family = |address: &&IpAddr| Family::of(**address) == family && !address.is_loopback();
    let (on_link, others): (Vec<IpAddr>, Vec<IpAddr>) =
        addresses.iter().filter(of_family).copied().partition(is_on_link);
    if others.is_empty() { on_link } else { others }
}

fn is_on_link(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// The addresses of the interface itself that packets to other machines get: of IPv6 none that is valid on its link alone.
fn of_interface(topology: &Topology<'_>, node: &str, interface: &str, family: Family) -> Vec<IpAddr> {
    let host = topology.host(node);
    let links = host.links.iter().filter(|link| link.name == interface);
    let mut found: Vec<IpAddr> = links.flat_map(|link| usable(&link.addresses, family)).collect();
    found.retain(|address| !is_on_link(address));
    sorted(found)
}

/// The addresses of a node that the kernel may take, of each interface that is known.
fn usable_of_links(topology: &Topology<'_>, node: &str, family: Family) -> Vec<IpAddr> {
    topology.host(node).links.iter().flat_map(|link| usable(&link.addresses, family)).collect()
}

/// The addresses of a node that the store knows, of whichever interface, `others` among them.
fn of_every_interface(topology: &Topology<'_>, node: &str, family: Family, others: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut all = others;
    all.extend(usable_of_links(topology, node, family));
    all.retain(|address| !is_on_link(address));
    sorted(all)
}

/// In order, each once.
fn sorted(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// The addresses of a node that are of no interface that the store knows; of a machine that tells its addresses all.
fn others(topology: &Topology<'_>, node: &str, family: Family) -> Vec<IpAddr> {
    let host = topology.host(node);
    let of_links: Vec<IpAddr> = host.links.iter().flat_map(|link| link.addresses.iter().copied()).collect();
    let found = match is_told(topology, node) {
        true => of_links,
        false => {
            let process = topology.find(&EndSpec::Node(node.to_owned()), None);
            let all = process.map(|process| process.addresses().to_vec()).unwrap_or_default();
            all.into_iter().filter(|address| !of_links.contains(address)).collect()
        }
    };
    sorted(usable(&found, family))
}

/// The addresses that a node may have of which none is known.
fn any(topology: &Topology<'_>, node: &str, family: Family) -> AddressSet {
    let process = topology.find(&EndSpec::Node(node.to_owned()), None);
    let all = process.map_or_else(
        |_| unknown_addresses::possible(topology),
        |process| unknown_addresses::possible_at(topology, &process),
    );
    AddressSet::of_family(family, all.family(family).clone())
}

/// One address of each class that the nodes behind tell apart, in words.
fn classes(
    topology: &Topology<'_>,
    node: &str,
    family: Family,
    behind: &Behind<'_>,
) -> Result<Vec<(String, IpAddr)>, AskError> {
    let key = behind.key(node, family);
    if let Some(known) = topology.source_classes(&key) {
        return Ok(known.as_ref().clone());
    }
    let snapshot = topology.snapshot();
    let all = any(topology, node, family);
    let mut conditions = Conditions::new(snapshot, Domain { source: all.clone(), ..Domain::default() });
    behind.add_to(topology, &mut conditions);
    // Only the routes of machines that are known tell the interface by which a source comes in.
    if behind.nodes.iter().any(|node| topology.machine(node).is_some()) {
        link_nets(topology).for_each(|net| conditions.add_source(&AddressSet::of_nets([&net])));
    }
    let found = conditions.classes(family).sources;
    let found: Vec<AddressSet> = found.iter().map(|class| AddressSet::of_family(family, class.clone())).collect();
    if found.len() > MAX_CLASSES {
        return Err(AskError(format!(
            "natOutgoing of {node} replaces the source, no {family} address of {node} is known, and the rules behind it tell {} kinds of addresses apart: ask on {node} itself, whose agent knows its addresses, or write them in expectedIPs of its host endpoint",
            found.len()
        )));
    }
    let names = Names::new(snapshot);
    let process = topology.find(&EndSpec::Node(node.to_owned()), None);
    let size = |class: &AddressSet| class.size(family);
    let rest = (0..found.len()).max_by(|a, b| size(&found[*a]).total_cmp(&size(&found[*b])));
    let named = |(at, class): (usize, &AddressSet)| {
        let text = match rest == Some(at) {
            true if found.len() == 1 => "any address".to_owned(),
            true => "another address".to_owned(),
            false => format!("an address in {}", several_addresses::shown(names.parts(class, &all))),
        };
        let address = match &process {
            Ok(process) => unknown_addresses::representative(process, class, family),
            Err(_) => class.first(family),
        };
        address.map(|address| (text, address))
    };
    let named: Rc<Vec<(String, IpAddr)>> = Rc::new(found.iter().enumerate().filter_map(named).collect());
    topology.keep_source_classes(key, named.clone());
    Ok(named.as_ref().clone())
}

/// The source ports that the settings of a node name for a packet, by what the nodes behind tell apart, each with one of them. None
/// where they name none.
pub(crate) fn ports(
    topology: &Topology<'_>,
    node: &str,
    packet: &Packet,
    behind: &Behind<'_>,
) -> Result<Vec<(String, u16)>, AskError> {
    let range = topology.snapshot().settings(node).nat_outgoing.ports;
    let is_of = |protocol: &Protocol| protocol.number() == packet.protocol;
    let (Some((first, last)), Transport::Ports { .. }) = (range, packet.transport) else {
        return Ok(Vec::new());
    };
    // Source: `translate` in the crate dataplane-nft names ports for these two.
    if ![Protocol::TCP, Protocol::UDP].iter().any(is_of) || fault("source-port-behind-nat-outgoing-kept") {
        return Ok(Vec::new());
    }
    let family = Family::of(packet.source);
    let classes = topology.port_classes(behind.key(node, family), || {
        let source_ports = Ranges::span(first, last);
        let domain = Domain { source_ports, ..Domain::default() };
        let mut conditions = Conditions::new(topology.snapshot(), domain);
        behind.add_to(topology, &mut conditions);
        conditions.transports(family)
    });
    let mut found: Vec<Ranges> = Vec::new();
    for TransportClass { protocols, transport } in classes.iter() {
        if let TransportRanges::Ports { source, .. } = transport
            && protocols.contains(packet.protocol.into())
            && !found.contains(&source)
        {
            found.push(source);
        }
    }
    if found.len() > MAX_CLASSES {
        return Err(AskError(format!(
            "natOutgoing of {node} gives it a source port of natPortRange, and the rules behind it tell {} kinds of these ports apart: set a smaller range",
            found.len()
        )));
    }
    let in_words = |ports: Ranges| {
        let first = ports.first().and_then(|first| u16::try_from(first).ok())?;
        Some((ranges_text(&ports, usize::MAX), first))
    };
    Ok(found.into_iter().filter_map(in_words).collect())
}

/// Whether any pool gives packets another source.
pub(crate) fn is_used(snapshot: &Snapshot) -> bool {
    !fault("source-behind-nat-outgoing-kept") && snapshot.pools.values().any(|pool| pool.nat_outgoing)
}
