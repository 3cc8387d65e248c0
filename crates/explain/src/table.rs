//! Without a protocol: everything between two ends, grouped by what decides.
//!
//! Every port that any rule or failsafe names is a boundary; one port of each stretch between boundaries is asked,
//! and what is decided alike is told together.

use std::collections::BTreeSet;

use tortie_eval::By;
use tortie_net::Protocol;
use tortie_policy::{PortMatch, Rule, Snapshot};

use crate::ask::{AskError, Question, What};
use crate::journey::{Answer, journey};
use crate::place::Places;
use crate::text::decided_by;

/// One line: what, and what becomes of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// `tcp 80,443`, `udp`, `icmp`, `protocol 253`.
    pub what: String,
    /// Whether it is allowed.
    pub allowed: bool,
    /// The verdict in words.
    pub verdict: String,
}

/// The lines, allowed ones first; what is denied by one and the same thing is told as "everything else".
pub fn reach(places: &Places<'_>, question: &Question) -> Result<Vec<Line>, AskError> {
    let mut groups = Vec::new();
    for protocol in [Protocol::TCP, Protocol::UDP, Protocol::SCTP] {
        groups.extend(ports(places, question, protocol)?);
    }
    for (what, name) in [(What::Icmp(None), "icmp (echo)"), (What::Other(253), "other protocols")] {
        let answer = journey(places, &Question { what, ..question.clone() })?;
        groups.push((answer, name.to_owned()));
    }
    let line = |(answer, what): (Answer, String)| Line {
        what,
        allowed: answer.allowed(),
        verdict: by_all_failsafes(decided_by(places.snapshot(), &answer), &answer),
    };
    let (allowed, denied): (Vec<_>, Vec<_>) = groups.into_iter().partition(|(answer, _)| answer.allowed());
    let mut lines: Vec<Line> = allowed.into_iter().map(line).collect();
    let mut denied = denied.into_iter();
    if let Some((first, what)) = denied.next() {
        let rest: Vec<_> = denied.collect();
        if !rest.is_empty() && rest.iter().all(|(answer, _)| alike(answer, &first)) {
            let what = if lines.is_empty() { "everything" } else { "everything else" };
            lines.push(line((first, what.to_owned())));
        } else {
            lines.push(line((first, what)));
            lines.extend(rest.into_iter().map(line));
        }
    }
    Ok(lines)
}

/// What one failsafe decides is told with what others do.
fn by_all_failsafes(verdict: String, answer: &Answer) -> String {
    let steps = answer.legs.iter().flat_map(|leg| &leg.verdict.path);
    let named = steps.filter_map(|step| match &step.decision.by {
        By::Failsafe(text) => Some(format!("failsafe {text},")),
        _ => None,
    });
    named.fold(verdict, |text, one| text.replace(&one, "failsafes,"))
}

/// The answers of one protocol, each with the ports that have it.
fn ports(places: &Places<'_>, question: &Question, protocol: Protocol) -> Result<Vec<(Answer, String)>, AskError> {
    let boundaries: Vec<u16> = boundaries(places.snapshot()).into_iter().collect();
    let mut groups: Vec<(Answer, Vec<(u16, u16)>)> = Vec::new();
    for (index, first) in boundaries.iter().enumerate() {
        let last = boundaries.get(index + 1).map_or(u16::MAX, |next| next - 1);
        let answer = journey(places, &Question { what: What::Port(protocol, *first), ..question.clone() })?;
        match groups.iter_mut().find(|(other, _)| alike(other, &answer)) {
            Some((_, ranges)) => match ranges.last_mut() {
                Some((_, end)) if *end + 1 == *first => *end = last,
                _ => ranges.push((*first, last)),
            },
            None => groups.push((answer, vec![(*first, last)])),
        }
    }
    let name = protocol.name().unwrap_or("protocol").to_ascii_lowercase();
    let all = |ranges: &[(u16, u16)]| matches!(ranges, [(1, u16::MAX)]);
    let what = |ranges: &[(u16, u16)]| {
        if all(ranges) { name.clone() } else { format!("{name} {}", ranges_text(ranges)) }
    };
    Ok(groups.into_iter().map(|(answer, ranges)| (answer, what(&ranges))).collect())
}

/// Decided by the same things all the way; which failsafe it is does not count.
fn alike(a: &Answer, b: &Answer) -> bool {
    let decisions = |answer: &Answer| {
        let steps = answer.legs.iter().flat_map(|leg| leg.verdict.path.iter());
        steps
            .map(|step| match &step.decision.by {
                By::Failsafe(_) => By::Failsafe(String::new()),
                by => by.clone(),
            })
            .collect::<Vec<_>>()
    };
    a.allowed() == b.allowed() && decisions(a) == decisions(b)
}

/// Where a stretch of ports that are decided alike may begin.
fn boundaries(snapshot: &Snapshot) -> BTreeSet<u16> {
    // Nothing listens on port 0.
    let mut starts = BTreeSet::from([1]);
    let mut range = |first: u16, last: u16| {
        starts.insert(first.max(1));
        starts.extend(last.checked_add(1));
    };
    let rules = snapshot.policies.values().flat_map(|policy| policy.ingress.iter().chain(&policy.egress));
    let profiles = snapshot.profiles.values().flat_map(|profile| profile.ingress.iter().chain(&profile.egress));
    for rule in rules.chain(profiles) {
        for entry in destination_ports(rule) {
            if let PortMatch::Range(ports) = entry {
                range(ports.first(), ports.last());
            }
        }
    }
    let named = snapshot.workload_endpoints.values().flat_map(|endpoint| &endpoint.ports);
    for port in named.chain(snapshot.host_endpoints.values().flat_map(|endpoint| &endpoint.ports)) {
        range(port.port, port.port);
    }
    for settings in snapshot.node_settings.values().chain([&snapshot.default_settings]) {
        for failsafe in settings.failsafe_inbound.iter().chain(&settings.failsafe_outbound) {
            range(failsafe.port, failsafe.port);
        }
        range(settings.vxlan_port, settings.vxlan_port);
    }
    starts
}

fn destination_ports(rule: &Rule) -> impl Iterator<Item = &PortMatch> {
    rule.destination.ports.iter().chain(&rule.destination.not_ports)
}

fn ranges_text(ranges: &[(u16, u16)]) -> String {
    let one = |(first, last): &(u16, u16)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    ranges.iter().map(one).collect::<Vec<_>>().join(",")
}
