//! Warns of ports that ingress rules of normal policies name and that a table of another program on this machine translates before these
//! policies are asked. For each rule, single packets are asked about: one to the first port of each entry of `ports`, at each address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tortie_agent::LocalFacts;
use tortie_api::{Key, Path};
use tortie_eval::{
    Conntrack, End, Endpoints, Link, Packet, PacketPath, Subject, Transport, host_endpoint, single_rule,
    usual_hop_limit,
};
use tortie_manifest::Problem;
use tortie_nft::foreign::ForeignTable;
use tortie_policy::packet::OwnNat;
use tortie_policy::{Direction, PolicyStage, PortMatch, Rule, Snapshot};
use tortie_verify::foreign_tables::{Asked, Effect, TableContext, base_chains, destination, effects_in_context};

use crate::commands::lint;
use crate::foreign_tables::named;

/// So many entries of the `ports` of a rule are asked about.
const MAX_PORTS: usize = 64;

/// Clients that stand for all where a rule names no nets (RFC 5737, RFC 3849).
const CLIENTS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];

/// The source port that stands for all.
const CLIENT_PORT: u16 = 49152;

/// Whether one of these tables translates destinations; without one there is nothing to warn of.
pub(crate) fn any_translates(tables: &[ForeignTable]) -> bool {
    tables.iter().any(|table| base_chains(table).iter().any(|chain| !chain.translates.is_empty()))
}

/// The warnings about the policies of this machine's host endpoints, of those that are asked for.
pub(crate) fn warnings(
    snapshot: &Snapshot,
    local_facts: &LocalFacts,
    tables: &[ForeignTable],
    is_asked: impl Fn(&Key) -> bool,
) -> Vec<(Key, Problem)> {
    if !any_translates(tables) {
        return Vec::new();
    }
    let host = local_facts.host();
    let settings = snapshot.settings(&host.node);
    let links = host.links.iter().filter(|link| link.name != "lo" && !settings.is_workload_interface(&link.name));
    let places: Vec<(&Link, Subject)> = links
        .filter_map(|link| Some((link, Subject::host(snapshot, host_endpoint(snapshot, &host, &link.name)?))))
        .collect();
    let endpoints = Endpoints::new(snapshot);
    let end = |address| End::among(&endpoints, address);
    let is_translated = |rule: &Rule, interface: &str, to: IpAddr| {
        let packets = packets(rule, interface, to);
        let (from, here) = (end(packets.first()?.source), end(to));
        packets.into_iter().find_map(|packet| {
            let matches = |to: &End<'_>, transport: Transport| {
                single_rule(snapshot, rule, [&from, to], (packet.protocol, transport)).is_some()
            };
            if !matches(&here, packet.transport) {
                return None;
            }
            let asked = Asked::new(&host, local_facts.machine.as_ref(), &packet);
            let context = TableContext { tables, asked, own: OwnNat::default(), translated_at: i32::MIN };
            let effects = effects_in_context(context).into_iter().zip(tables);
            let translations = effects.filter_map(|(effect, table)| match effect {
                Effect::Translates { to, port, by, priority } => Some((priority, to, port, by, table)),
                _ => None,
            });
            let (_, to, port, by, table) = translations.min_by_key(|(priority, ..)| *priority)?;
            let Transport::Ports { source, destination: asked_port } = packet.transport else { return None };
            let behind = Transport::Ports { source, destination: port.unwrap_or(asked_port) };
            (!matches(&end(to), behind)).then(|| {
                format!(
                    "packets such as one from {} to port {asked_port} of {} that comes in by {interface} are translated before the rule is asked, and it does not match them then: {} translates it to {} ({by})",
                    packet.source,
                    packet.destination,
                    named(&table.dump.table.id),
                    destination(to, port)
                )
            })
        })
    };
    let mut found = Vec::new();
    for policy in snapshot.policies.values() {
        let key = lint::key(policy);
        if policy.staged || !matches!(policy.stage, PolicyStage::Normal { .. }) || !is_asked(&key) {
            continue;
        }
        let is_selected = |subject: &Subject| !subject.unreadable && policy.selector.matches(&subject.labels);
        let links: Vec<&Link> =
            places.iter().filter(|(_, subject)| is_selected(subject)).map(|(link, _)| *link).collect();
        for (index, rule) in policy.rules(Direction::Ingress).iter().enumerate() {
            let mut at = links.iter().flat_map(|link| link.addresses.iter().map(|to| (link.name.as_str(), *to)));
            if let Some(why) = at.find_map(|(interface, to)| is_translated(rule, interface, to)) {
                let message = format!("ingress rule {}: {why}", index + 1);
                let problem =
                    Problem::warning("translated-port", Path::from("spec").key("ingress").index(index), message);
                let help = "name the port after the translation, or write a policy with preDNAT and applyOnForward";
                found.push((key.clone(), problem.help(help)));
            }
        }
    }
    found
}

/// Packets that a rule with ports may match as they arrive at an address.
fn packets(rule: &Rule, interface: &str, to: IpAddr) -> Vec<Packet> {
    let Some(protocol) = rule.protocol.filter(|protocol| protocol.has_ports()) else { return Vec::new() };
    let client = || CLIENTS.into_iter().find(|client| client.is_ipv4() == to.is_ipv4());
    let of_rule = rule.source.nets.iter().map(|net| net.addr()).find(|source| source.is_ipv4() == to.is_ipv4());
    let Some(source) = of_rule.or_else(client) else { return Vec::new() };
    let first = |port: &PortMatch| match port {
        PortMatch::Range(range) => Some(range.first()),
        PortMatch::Named(_) => None,
    };
    let ports = rule.destination.ports.iter().filter_map(first).take(MAX_PORTS);
    ports
        .map(|port| {
            let transport = Transport::Ports { source: CLIENT_PORT, destination: port };
            Packet {
                source,
                destination: to,
                protocol: protocol.number(),
                transport,
                path: PacketPath::Input { interface: interface.to_owned() },
                translated: None,
                translated_interface: None,
                conntrack: Conntrack::New,
                source_route_ok: None,
                hop_limit: usual_hop_limit(protocol.number(), transport),
            }
        })
        .collect()
}
