//! What a machine does not take in although no policy denies it: packets for others where it does not forward, sources that it does not
//! accept, and what its routing rules drop. Source: `ip_route_input_slow` in net/ipv4/route.c, `fib_validate_source` in
//! net/ipv4/fib_frontend.c, `ip6_forward` in net/ipv6/ip6_output.c, `fib_rules_lookup` in net/core/fib_rules.c.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use tortie_eval::{Builtin, DecidedBy, Packet, PacketPath, workload_endpoint};
use tortie_policy::Family;
use tortie_policy::machine::{ChoosingRule, DroppingRule, Incoming, Route, RouteKind};

use crate::answer::Hop;
use crate::interfaces::ASSUMED;
use crate::shortened_list::shortened;
use crate::topology::{Location, Topology};
use crate::{entrances, fault, multicast};

/// So many routing rules are named.
const SHOWN_RULES: usize = 4;

/// By which interfaces a packet is to cross a node; none where it begins or ends there.
pub(crate) type Crossed<'a> = (Option<&'a str>, Option<&'a str>);

/// Why a node drops a packet that it is to take in or to send on. Of what comes `from` a workload of the node the source is checked by a
/// step of the answer.
pub(crate) fn why(
    topology: &Topology<'_>,
    node: &str,
    (enters, leaves_by): Crossed<'_>,
    packet: &Packet,
    destination: IpAddr,
    [from, end]: [&Location; 2],
) -> Option<String> {
    let is_workload =
        matches!(from, Location::Workload(one) if one.node == node && enters == Some(one.interface.as_str()));
    let of_incoming = enters.and_then(|enters| {
        let is_refused = || refused(topology, node, enters, packet, destination).and_then(Result::err);
        is_refused()
            .or_else(|| not_forwarded(topology, node, (enters, leaves_by?), packet.source, [from, end]))
            .or_else(|| source_taken(topology, node, enters, packet))
            .or_else(|| if is_workload { None } else { source_not_accepted(topology, node, enters, packet) })
    });
    let of_leaving = || {
        leaves_by?;
        let rule = rules(topology, node, packet.source, destination, enters).find(|rule| rule.is_certain)?;
        Some(format!(
            "{node} drops it by a routing rule (ip rule), {}",
            text([rule.from, rule.to], rule.incoming.as_deref())
        ))
    };
    of_incoming.or_else(of_leaving)
}

/// What no interface but the loopback interface takes in, with the reason; what an interface takes in only as its settings say, which
/// nobody tells, as what is assumed. Source: `ip_route_input_slow`, `ip6_rcv_core` in net/ipv6/ip6_input.c.
fn refused(
    topology: &Topology<'_>,
    node: &str,
    enters: &str,
    packet: &Packet,
    destination: IpAddr,
) -> Option<Result<String, String>> {
    let incoming = topology.machine(node).and_then(|machine| machine.incoming.get(enters));
    if enters == "lo" || fault("loopback-taken-in") {
        return None;
    }
    let lost = |why: String| Some(Err(format!("{node} drops what comes in by {enters}: {why}")));
    match (packet.source, packet.destination, destination) {
        (IpAddr::V6(source), IpAddr::V6(to), _) => {
            if incoming.is_some_and(|incoming| incoming.without_ipv6) {
                return lost(format!("net.ipv6.conf.{enters}.disable_ipv6 is 1"));
            }
            let scope = to.octets()[1] & 0xf;
            match () {
                () if source.is_loopback() || to.is_loopback() => lost("::1 is an address of lo alone".to_owned()),
                () if to.is_multicast() && scope < 2 => lost(format!("{to} is a group of a single machine")),
                () if source.to_ipv4_mapped().is_some() => lost(format!("{source} is no address of IPv6 packets")),
                () => None,
            }
        }
        (IpAddr::V4(source), _, IpAddr::V4(to)) => {
            if to.octets()[0] == 0 {
                return lost(format!("{to} is no destination"));
            }
            let loopback = [source, to].into_iter().find(Ipv4Addr::is_loopback)?;
            match incoming.and_then(|incoming| incoming.route_localnet) {
                Some(true) => None,
                Some(false) => {
                    lost(format!("{loopback} is a loopback address, and net.ipv4.conf.{enters}.route_localnet is 0"))
                }
                // The agent sets it at the interfaces of workloads.
                None if topology.snapshot().settings(node).is_workload_interface(enters) => None,
                None => Some(Ok(format!(
                    "{ASSUMED}net.ipv4.conf.{enters}.route_localnet of {node} is 1; unless it is, the kernel drops what comes in for {loopback} or from it"
                ))),
            }
        }
        _ => None,
    }
}

/// What is assumed of packets that come in for loopback addresses, or from them.
pub(crate) fn assumed_loopback(topology: &Topology<'_>, hops: &[Hop]) -> Vec<String> {
    let note = |hop: &Hop| {
        let (PacketPath::Input { interface } | PacketPath::Forward { from: interface, .. }) = &hop.packet.path else {
            return None;
        };
        let packet = &hop.packet;
        let to = packet.translated.filter(|_| hop.is_tracked()).map_or(packet.destination, |(to, _)| to);
        refused(topology, &hop.host.node, interface, packet, to).filter(|_| hop.verdict.allowed)?.ok()
    };
    hops.iter().filter_map(note).collect()
}

/// Why a node does not forward what comes from an address by one interface and is to leave by another.
fn not_forwarded(
    topology: &Topology<'_>,
    node: &str,
    (enters, leaves_by): (&str, &str),
    source: IpAddr,
    ends: [&Location; 2],
) -> Option<String> {
    let stays = |source: Ipv6Addr| source.is_unicast_link_local() || source.is_unspecified();
    if matches!(source, IpAddr::V6(source) if stays(source)) && enters != leaves_by {
        return Some(format!("{node} does not forward what comes from {source}: such packets stay on their link"));
    }
    let family = Family::of(source);
    let Incoming { forwards_ipv4, forwards_ipv6, .. } = *topology.machine(node)?.incoming.get(enters)?;
    let forwards = match family {
        Family::V4 => forwards_ipv4,
        Family::V6 => forwards_ipv6,
    };
    if forwards || fault("forwarding-assumed") {
        return None;
    }
    let is_new = |end: &Location| {
        matches!(end, Location::Workload(one)
            if one.node == node && !topology.snapshot().workload_endpoints.contains_key(&one.id))
    };
    // The agent makes its machine forward before it makes the route to its first workload.
    let waits = match topology.has_routes_to_workloads(node, family) {
        Some(has_routes) => !has_routes,
        None => ends.into_iter().any(is_new),
    };
    let why = match family {
        Family::V4 => format!("comes in by {enters}: net.ipv4.conf.{enters}.forwarding is 0"),
        Family::V6 => "comes in: net.ipv6.conf.all.forwarding is 0".to_owned(),
    };
    (!waits).then(|| format!("{node} forwards no {family} packet that {why}"))
}

/// Why the source check of a workload's interface drops what comes from an address of the workload: another route for this address alone
/// is chosen before the agent's.
fn source_taken(topology: &Topology<'_>, node: &str, enters: &str, packet: &Packet) -> Option<String> {
    let source = packet.source;
    let dropped = |why: &str| {
        format!(
            "{node} drops what comes from {source} by {enters}: {why}, which the source check of workloads asks for"
        )
    };
    if !is_checked(topology, node, enters, packet) {
        return None;
    }
    let Some(machine) = topology.complete_machine(node, Family::of(source)) else {
        let mut rules = rules(topology, node, packet.destination, source, None);
        let rule = rules.find(|rule| rule.is_certain)?;
        let rule = text([rule.from, rule.to], rule.incoming.as_deref());
        return Some(dropped(&format!("a routing rule ({rule}) drops what asks for its route to there")));
    };
    let is_alone = machine.has_route_to_only(source);
    is_alone.then(|| dropped(&format!("its route to there does not lead by {enters}")))
}

/// Whether the source check of a workload's interface asks for a route of an address of the workload, and none was found that leads by it.
fn is_checked(topology: &Topology<'_>, node: &str, enters: &str, packet: &Packet) -> bool {
    let (snapshot, settings) = (topology.snapshot(), topology.snapshot().settings(node));
    if !settings.is_workload_interface(enters) || packet.source_route_ok.is_some() {
        return false;
    }
    let source = packet.source;
    let Some(endpoint) = workload_endpoint(snapshot, &topology.host(node), enters) else { return false };
    let is_excepted = settings.spoofing_allowed && endpoint.spoofing.iter().any(|net| net.contains(&source));
    endpoint.addresses.contains(&source) && !is_excepted
}

/// What is assumed of a packet that comes from an address of a workload, where routing rules may lead to a route by which the source check
/// drops it.
pub(crate) fn assumed_own_source(topology: &Topology<'_>, hops: &[Hop]) -> Option<String> {
    let Hop { host, packet, verdict, .. } = hops.first().filter(|hop| hop.verdict.allowed)?;
    let (PacketPath::Input { interface } | PacketPath::Forward { from: interface, .. }) = &packet.path else {
        return None;
    };
    let (node, source) = (&host.node, packet.source);
    let machine = topology.machine(node)?;
    machine.partial_for(Family::of(source)).filter(|_| is_checked(topology, node, interface, packet))?;
    let is_other = |route: &Route| {
        let is_for = route.from.is_none_or(|from| from.contains(&packet.destination));
        route.to.contains(&source) && is_for && !route.interfaces.contains(interface)
    };
    // The lookup is as of a packet that the machine itself sends back.
    let may_choose = |rule: &ChoosingRule| {
        let ends = [packet.destination, source];
        rule.ipv6 == source.is_ipv6() && may_match([rule.from, rule.to], rule.incoming.as_deref(), ends, None)
    };
    let leads_elsewhere = |rule: &ChoosingRule| {
        let Some(table) = rule.table else { return true };
        machine.other_tables.iter().any(|(of, route)| *of == table && is_other(route))
    };
    let mut choosing = machine.choosing_rules.iter().filter(|rule| may_choose(rule));
    let may_drop = || rules(topology, node, packet.destination, source, None).next().is_some();
    (verdict.allowed && (choosing.any(leads_elsewhere) || may_drop())).then(|| {
        format!("{ASSUMED}the route of {node} to {source} leads by {interface}; {node} has routing rules of its own (ip rule), and by another route the source check drops it")
    })
}

/// Whether the route to a source leads by an interface of workloads, so that the source check there lets it through whatever its endpoint
/// says; none where it does not, or where the machine does not tell.
pub(crate) fn source_route(topology: &Topology<'_>, node: &str, enters: &str, packet: &Packet) -> Option<bool> {
    topology.snapshot().settings(node).is_workload_interface(enters).then_some(())?;
    let source = packet.source;
    let machine = topology.complete_machine(node, Family::of(source))?;
    let leads = machine.route_of_source(source, packet.destination)?;
    let counts = matches!(leads.kind, RouteKind::Unicast | RouteKind::Broadcast | RouteKind::NotForwarded);
    (counts && leads.interfaces.contains(&enters)).then_some(true)
}

/// What is assumed of a packet that the source check of a workload's interface drops, where routing rules may lead to a route that makes its
/// source valid.
pub(crate) fn assumed_source(topology: &Topology<'_>, hops: &[Hop]) -> Option<String> {
    let Hop { host, packet, verdict, .. } = hops.last()?;
    let is_wrong = |by: &DecidedBy| matches!(by, DecidedBy::Builtin(Builtin::SourceWrong | Builtin::UnknownWorkload));
    let (PacketPath::Input { interface } | PacketPath::Forward { from: interface, .. }) = &packet.path else {
        return None;
    };
    verdict.path.last().filter(|step| is_wrong(&step.decision.by))?;
    topology.machine(&host.node)?.partial_for(Family::of(packet.source))?;
    Some(format!(
        "{ASSUMED}no route of {0} to {1} leads by {interface}; {0} has routing rules of its own (ip rule), and by such a route of any table the source check lets it through",
        host.node, packet.source
    ))
}

/// Why a node drops what comes from an IPv4 address by an interface: nobody has this address, or `rp_filter`.
fn source_not_accepted(topology: &Topology<'_>, node: &str, enters: &str, packet: &Packet) -> Option<String> {
    let source = packet.source;
    if source.is_ipv6() || enters == "lo" || fault("sources-accepted") {
        return None;
    }
    let by = |why: &str| Some(format!("{node} drops what comes from {source} by {enters}: {why}"));
    if matches!(source, IpAddr::V4(source) if source.octets()[0] == 0) {
        let is_taken = takes_unspecified_source(packet.destination, packet.protocol == IGMP);
        return by("only packets to 255.255.255.255 or 224.0.0.0/24, and IGMP, may have no source")
            .filter(|_| !is_taken);
    }
    let machine = topology.complete_machine(node, Family::V4)?;
    let links = topology.known_host(node).map_or(&[][..], |host| &host.links);
    by(&entrances::source_not_accepted(machine, links, enters, source)?)
}

/// The protocol number of IGMP.
const IGMP: u8 = 2;

/// Whether Linux takes in packets from 0.0.0.0 to this destination. Source: `ip_route_input_slow` and `ip_mc_validate_source` in
/// net/ipv4/route.c.
pub(crate) fn takes_unspecified_source(destination: IpAddr, is_igmp: bool) -> bool {
    let IpAddr::V4(to) = destination else { return false };
    to.is_broadcast() || to.octets()[..3] == [224, 0, 0] || (is_igmp && to.is_multicast())
}

/// The rules of a node that drop a packet, or may.
fn rules<'a>(
    topology: &'a Topology<'_>,
    node: &str,
    source: IpAddr,
    destination: IpAddr,
    enters: Option<&'a str>,
) -> impl Iterator<Item = &'a DroppingRule> {
    let all = topology.machine(node).map_or(&[][..], |machine| &machine.dropping_rules);
    all.iter().filter(move |rule| {
        Family::of(source) == rule.family()
            && !fault("routing-rules-ignored")
            && may_match([rule.from, rule.to], rule.incoming.as_deref(), [source, destination], enters)
    })
}

/// Whether a rule from one net to another may be for a packet between these addresses.
fn may_match(nets: [Option<IpNet>; 2], incoming: Option<&str>, ends: [IpAddr; 2], enters: Option<&str>) -> bool {
    !multicast::is_anywhere(ends[1])
        && nets.iter().zip(&ends).all(|(net, end)| net.is_none_or(|net| net.contains(end)))
        // What the machine sends itself counts as coming in by the loopback interface.
        && incoming.is_none_or(|name| name == enters.unwrap_or("lo"))
}

/// `from 10.0.0.0/8 to all`.
fn text([from, to]: [Option<IpNet>; 2], incoming: Option<&str>) -> String {
    let end = |net: Option<IpNet>| net.map_or_else(|| "all".to_owned(), |net| net.to_string());
    let incoming = incoming.map(|name| format!(" iif {name}")).unwrap_or_default();
    format!("from {} to {}{incoming}", end(from), end(to))
}

/// The routing rules that may choose the route of a packet by tables that are not followed, where nodes send it on.
pub(crate) fn other_tables(topology: &Topology<'_>, hops: &[Hop]) -> Vec<String> {
    let note = |hop: &Hop| {
        let (enters, to) = sent_on(hop)?;
        let node = &hop.host.node;
        let all = &topology.machine(node)?.choosing_rules;
        let is_asked = |rule: &&ChoosingRule| {
            rule.ipv6 == to.is_ipv6()
                && may_match([rule.from, rule.to], rule.incoming.as_deref(), [hop.packet.source, to], enters)
        };
        let name = |rule: &ChoosingRule| {
            let looks = rule.table.map_or_else(String::new, |table| format!(" lookup {table}"));
            format!("{}: {}{looks}", rule.priority, text([rule.from, rule.to], rule.incoming.as_deref()))
        };
        let names: Vec<String> = all.iter().filter(is_asked).map(name).collect();
        (!names.is_empty()).then(|| {
            let (rules, are) = if names.len() == 1 { ("rule", "is") } else { ("rules", "are") };
            let names = shortened(&names, SHOWN_RULES);
            format!("{node} may choose its route by the routing {rules} {names} (ip rule), which {are} not followed")
        })
    };
    hops.iter().filter_map(note).collect()
}

/// By what interface a packet that a node sends on comes in, and where it goes then; none of a packet that stays.
fn sent_on(hop: &Hop) -> Option<(Option<&str>, IpAddr)> {
    let enters = match &hop.packet.path {
        PacketPath::Input { .. } => return None,
        PacketPath::Forward { from, .. } => Some(from.as_str()),
        PacketPath::Output { .. } => None,
    };
    hop.leaves_by().filter(|name| *name != "lo")?;
    let translated = hop.packet.translated.filter(|_| hop.is_tracked());
    Some((enters, translated.map_or(hop.packet.destination, |(to, _)| to)))
}

/// What is assumed of a packet that nodes send on although their routing rules may drop it.
pub(crate) fn assumed(topology: &Topology<'_>, hops: &[Hop]) -> Vec<String> {
    let note = |hop: &Hop| {
        let (enters, to) = sent_on(hop).filter(|_| hop.verdict.allowed)?;
        let Hop { host, packet, .. } = hop;
        rules(topology, &host.node, packet.source, to, enters).next()?;
        Some(format!("{ASSUMED}no routing rule of {0} drops it; {0} has some that may (ip rule)", host.node))
    };
    hops.iter().filter_map(note).collect()
}
