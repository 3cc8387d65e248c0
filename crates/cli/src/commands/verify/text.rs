//! What `verify` found, for people.

use tortie_agent::LocalFacts;
use tortie_eval::protocol_name;
use tortie_policy::packet::{Conntrack, Packet, PacketPath, Transport};
use tortie_verify::{Coverage, Difference, Misjudged, TableDifference};

use super::Found;
use crate::foreign_summary::{by_table, not_looked_into};
use crate::session::Session;

pub(super) fn show(found: &Found, session: &mut Session) {
    let Found { local_facts, report, deviations, .. } = found;
    if let Some(off) = &found.off {
        session.terminal.line(format_args!("{off}: nothing is enforced on this machine"));
        if !report.differences.is_empty() {
            session.terminal.line("so the kernel differs from what is in force once enforcement is on:");
        }
    }
    for difference in &report.differences {
        match difference {
            Difference::Table(TableDifference { sentence, .. }) => session.terminal.line(sentence),
            Difference::Probe(misjudged) => show_probe(local_facts, misjudged, session),
        }
    }
    if !deviations.is_empty() {
        session.terminal.line("what is in force is not what the store says:");
        deviations.iter().for_each(|why| session.terminal.line(format_args!("  {why}")));
    }
    if let Some(why) = &found.not_compared {
        session.terminal.line(why);
    }
    found.notes.iter().for_each(|note| session.terminal.line(format_args!("note: {note}")));
    session.terminal.line(format_args!("{report}: {}", result(found)));
    if report.table {
        session.terminal.line("not looked at: how much of a rate or connection limit is used");
        show_others(found, session);
    }
    let Coverage { rules, probed, .. } = report.coverage;
    if probed < rules {
        session.terminal.line(format_args!(
            "probe packets are at every boundary of {probed} of {rules} rules, evenly chosen; every rule was compared in the table"
        ));
    }
}

/// What else packets meet. It is no part of the comparison.
fn show_others(found: &Found, session: &mut Session) {
    let tables = match &found.others {
        Ok(tables) => tables,
        Err(why) => {
            return session
                .terminal
                .line(format_args!("not looked at: the tables of other programs, which cannot be read: {why}"));
        }
    };
    let lines = [by_table(tables), not_looked_into(tables)].concat();
    if lines.is_empty() {
        return session.terminal.line("no other program has a chain on the hooks of packets");
    }
    session.terminal.line(
        "not compared: the tables of other programs, which packets meet as well (`tortie status --foreign` has their chains):",
    );
    lines.iter().for_each(|line| session.terminal.line(format_args!("  {line}")));
}

/// What was found out, in a sentence.
fn result(found: &Found) -> String {
    let Found { report, by_agent, deviations, .. } = found;
    match (report.wrong, report.table) {
        (0, false) => "nothing is to be enforced here, and no table is in the kernel".to_owned(),
        (0, true) => {
            let what = match (by_agent, deviations.is_empty() && found.not_compared.is_none()) {
                (true, true) => "what the agent keeps in force, which is what the store says",
                (true, false) => "what the agent keeps in force",
                (false, true) => "what the store says",
                (false, false) => "what the store says apart from the above",
            };
            format!("the kernel enforces {what}, and nothing else in the tables of tortie")
        }
        (1, _) => "1 difference".to_owned(),
        (wrong, _) => format!("{wrong} differences"),
    }
}

fn show_probe(local_facts: &LocalFacts, misjudged: &Misjudged, session: &mut Session) {
    let Misjudged { endpoint, packet, in_force, kernel, trace } = misjudged;
    let packet_text = sentence(packet);
    session
        .terminal
        .line(format_args!("{endpoint}: {packet_text}: {in_force} by what is in force, {kernel} by the kernel"));
    if let Some(last) = trace.last() {
        session.terminal.line(format_args!("  the last rule in the kernel: {last}"));
    }
    if let Some(question) = question(packet, &local_facts.node) {
        session.terminal.line(format_args!("  {question}"));
    }
}

/// A packet in words: `tcp 192.0.2.1:40000 → 192.0.2.11:443, forwarded from eth0 to cali1`.
pub(super) fn sentence(packet: &Packet) -> String {
    let Packet { source, destination, .. } = packet;
    let path = match &packet.path {
        PacketPath::Input { interface } => format!("to the host from {interface}"),
        PacketPath::Output { interface } => format!("from the host by {interface}"),
        PacketPath::Forward { from, to } => format!("forwarded from {from} to {to}"),
    };
    let protocol = protocol_name(packet.protocol);
    let state = match packet.conntrack {
        Conntrack::New => "new",
        Conntrack::Established => "established",
        Conntrack::Invalid => "invalid",
        Conntrack::Untracked => "untracked",
    };
    match packet.transport {
        Transport::Ports { source: from, destination: to } => {
            format!("{protocol} {source} port {from} → {destination} port {to}, {state}, {path}")
        }
        Transport::Icmp { kind, code } => {
            format!("{protocol} type {kind} code {code} {source} → {destination}, {state}, {path}")
        }
        Transport::Opaque => format!("{protocol} without ports {source} → {destination}, {state}, {path}"),
    }
}

/// How `explain` is asked about it. A packet to or from the host has the node as its end: the address of a probe packet need not be
/// one of the machine's, and `explain` would take it for forwarded.
fn question(packet: &Packet, node: &str) -> Option<String> {
    let Packet { source, destination, .. } = packet;
    let protocol = tortie_net::Protocol::from_number(packet.protocol).ok().and_then(|protocol| protocol.name());
    let (what, port) = match packet.transport {
        Transport::Ports { source, destination } => {
            (format!("{}/{destination}", protocol?.to_ascii_lowercase()), format!(" --source-port {source}"))
        }
        Transport::Icmp { kind, code } => {
            let family = if source.is_ipv4() { "icmp" } else { "icmpv6" };
            (format!("{family}/{kind}/{code}"), String::new())
        }
        Transport::Opaque => return None,
    };
    let state = match packet.conntrack {
        Conntrack::New => "",
        Conntrack::Established => " --state established",
        Conntrack::Invalid => " --state invalid",
        Conntrack::Untracked => " --state untracked",
    };
    let (ends, path) = match &packet.path {
        PacketPath::Input { interface } => (format!("{source} node/{node}"), format!("--in-interface {interface}")),
        PacketPath::Output { interface } => {
            (format!("node/{node} {destination}"), format!("--out-interface {interface}"))
        }
        PacketPath::Forward { from, to } => {
            (format!("{source} {destination}"), format!("--node {node} --in-interface {from} --out-interface {to}"))
        }
    };
    let about = match packet.path {
        PacketPath::Forward { .. } => "ask",
        PacketPath::Input { .. } | PacketPath::Output { .. } => "ask, for an address of the machine itself",
    };
    Some(format!("{about}: tortie explain {ends} {what} {path}{port}{state}"))
}
