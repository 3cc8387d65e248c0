//! A rule in words.

use ipnet::IpNet;
use tortie_eval::protocol_name;
use tortie_policy::{Icmp, PeerMatch, PortMatch, Rule};

/// `Allow tcp from role == 'app' to port 5432`.
pub(crate) fn rule(rule: &Rule) -> String {
    let Rule {
        action,
        family,
        protocol,
        not_protocol,
        icmp: only_icmp,
        not_icmp,
        source,
        destination,
        http,
        annotations: _,
        never,
    } = rule;
    if *never {
        return format!("{action} (unreadable)");
    }
    let mut parts = vec![action.to_string()];
    // The family that ICMP implies is not said again.
    if let Some(family) = family.filter(|_| !protocol.is_some_and(|one| [1, 58].contains(&one.number()))) {
        parts.push(family.to_string());
    }
    parts.extend(protocol.map(|one| protocol_name(one.number())));
    parts.extend(not_protocol.map(|one| format!("not {}", protocol_name(one.number()))));
    parts.extend(only_icmp.map(icmp));
    parts.extend(not_icmp.map(|one| format!("not {}", icmp(one))));
    for (word, side) in [("from", source), ("to", destination)] {
        let asked = peer(side);
        if !asked.is_empty() {
            parts.push(format!("{word} {}", asked.join(" and ")));
        }
    }
    if *http {
        parts.push("(its HTTP match is not looked at)".to_owned());
    }
    if parts.len() == 1 {
        parts.push("everything".to_owned());
    }
    parts.join(" ")
}

fn icmp(icmp: Icmp) -> String {
    match (icmp.kind, icmp.code) {
        (Some(kind), Some(code)) => format!("type {kind} code {code}"),
        (Some(kind), None) => format!("type {kind}"),
        (None, Some(code)) => format!("code {code}"),
        (None, None) => "any type".to_owned(),
    }
}

fn peer(side: &PeerMatch) -> Vec<String> {
    let mut asked = Vec::new();
    asked.extend(side.peers.as_ref().map(|peers| peers.written.clone()));
    asked.extend(side.service.as_ref().map(|id| format!("service {}/{}", id.namespace, id.name)));
    let nets = |nets: &[IpNet]| some(nets.iter().map(ToString::to_string).collect());
    if !side.nets.is_empty() {
        asked.push(nets(&side.nets));
    }
    if !side.not_nets.is_empty() {
        asked.push(format!("not {}", nets(&side.not_nets)));
    }
    if !side.ports.is_empty() {
        asked.push(format!("port {}", ports(&side.ports)));
    }
    if !side.not_ports.is_empty() {
        asked.push(format!("not port {}", ports(&side.not_ports)));
    }
    asked
}

fn ports(ports: &[PortMatch]) -> String {
    let port = |port: &PortMatch| match port {
        PortMatch::Range(range) if range.first() == range.last() => range.first().to_string(),
        PortMatch::Range(range) => format!("{}:{}", range.first(), range.last()),
        PortMatch::Named(name) => name.clone(),
    };
    some(ports.iter().map(port).collect())
}

/// The first few, and how many more.
fn some(mut items: Vec<String>) -> String {
    const MAX_LISTED: usize = 8;
    let more = items.len().saturating_sub(MAX_LISTED);
    items.truncate(MAX_LISTED);
    let text = items.join(",");
    if more > 0 { format!("{text} and {more} more") } else { text }
}
