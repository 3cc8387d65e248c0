//! What applies to one endpoint: its policies in evaluation order, its failsafes, and what happens at the end.

mod json;

use std::fmt::Write as _;

use tortie_eval::{DefaultDecision, PolicyList, Subject, failsafe_list, protocol_name};
use tortie_policy::{
    Direction, Failsafe, GovernedInterfaces, HostEndpoint, HostPort, Policy, Settings, Snapshot, WorkloadEndpoint,
};

use crate::counts::Counts;
use crate::not_in_force;
use crate::topology::Topology;

pub use json::{host as host_json, workload as workload_json};

/// The lists of a host endpoint, in the order in which packets meet them.
const HOST_LISTS: [(&str, PolicyList, &[Direction]); 4] = [
    ("untracked", PolicyList::Untracked, &[Direction::Ingress, Direction::Egress]),
    ("pre-DNAT", PolicyList::PreDnat, &[Direction::Ingress]),
    ("", PolicyList::Normal, &[Direction::Ingress, Direction::Egress]),
    ("forward", PolicyList::Forward, &[Direction::Ingress, Direction::Egress]),
];

/// What applies to a host endpoint.
pub fn host(snapshot: &Snapshot, endpoint: &HostEndpoint, counts: &Counts) -> String {
    let settings = snapshot.settings(&endpoint.node);
    let subject = Subject::host(snapshot, endpoint);
    let place = place(&endpoint.interface);
    let mut text = format!("host endpoint {} on {}, {place}\n", endpoint.name, endpoint.node);
    let addresses: Vec<String> = endpoint.addresses.iter().map(ToString::to_string).collect();
    describe(&mut text, &subject, &addresses);
    for (name, list, directions) in HOST_LISTS {
        for direction in directions {
            section(&mut text, snapshot, settings, &subject, (name, list, *direction), counts);
        }
    }
    text
}

/// Where a host endpoint is, in words.
pub(crate) fn place(interface: &GovernedInterfaces) -> String {
    match interface {
        GovernedInterfaces::Named(name) => format!("interface {name}"),
        GovernedInterfaces::ByAddress => "the interface that has one of its addresses".to_owned(),
        GovernedInterfaces::Unreadable => "an interface that cannot be read, so every one".to_owned(),
        GovernedInterfaces::All => "every interface that has no endpoint of its own".to_owned(),
    }
}

/// What applies to a workload endpoint.
pub fn workload(topology: &Topology<'_>, endpoint: &WorkloadEndpoint, counts: &Counts) -> String {
    let snapshot = topology.snapshot();
    let settings = snapshot.settings(&endpoint.node);
    let subject = Subject::workload(snapshot, endpoint);
    let mut text = match endpoint.has_place() {
        true => format!("{endpoint} on {}, interface {}\n", endpoint.node, endpoint.interface),
        false => format!("{endpoint}, node or interface unknown\n"),
    };
    let addresses: Vec<String> = endpoint.addresses.iter().map(ToString::to_string).collect();
    describe(&mut text, &subject, &addresses);
    if !endpoint.host_ports.is_empty() {
        let ports: Vec<String> = endpoint.host_ports.iter().map(host_port).collect();
        let _ = writeln!(text, "  hostPorts: {}", ports.join(", "));
    }
    if let Some(why) = not_in_force::workload_endpoint(snapshot, endpoint) {
        let _ = writeln!(text, "  NOT IN FORCE: {why}");
    }
    if let Some(why) = not_in_force::passed_by(topology, endpoint) {
        let _ = writeln!(text, "  PACKETS PASS BY ITS POLICIES: {why}");
    }
    for direction in [Direction::Ingress, Direction::Egress] {
        section(&mut text, snapshot, settings, &subject, ("", PolicyList::Normal, direction), counts);
    }
    text
}

/// `tcp/8080 at 192.0.2.1 leads to 80`.
fn host_port(port: &HostPort) -> String {
    let at = port.address.map_or_else(String::new, |address| format!(" at {address}"));
    format!("{}/{}{at} leads to {}", protocol_name(port.protocol.number()), port.port, port.to)
}

fn describe(text: &mut String, subject: &Subject, addresses: &[String]) {
    let labels: Vec<String> = subject.labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
    let or_none = |list: Vec<String>| if list.is_empty() { "none".to_owned() } else { list.join(", ") };
    let _ = writeln!(text, "  addresses: {}", or_none(addresses.to_vec()));
    let _ = writeln!(text, "  labels:    {}", or_none(labels));
    let _ = writeln!(text, "  profiles:  {}", or_none(subject.profiles.clone()));
}

fn section(
    text: &mut String,
    snapshot: &Snapshot,
    settings: &Settings,
    subject: &Subject,
    (name, list, direction): (&str, PolicyList, Direction),
    counts: &Counts,
) {
    let tiers = subject.tiers(snapshot, list, direction);
    let title = format!("{name} {direction}");
    let title = title.trim();
    if tiers.is_empty() && list != PolicyList::Normal {
        if list == PolicyList::Forward {
            let _ = writeln!(text, "{title}: no policy; forwarded packets pass");
        }
        return;
    }
    let _ = writeln!(text, "{title}:");
    if list == PolicyList::Normal && matches!(subject.id, tortie_policy::EndpointId::Host(_)) {
        let failsafes = failsafes(settings, direction);
        let shown = if failsafes.is_empty() { "none".to_owned() } else { failsafe_list(failsafes) };
        let origin = if failsafes == default_failsafes(direction) { "the defaults" } else { "FelixConfiguration" };
        let _ = writeln!(text, "    failsafes: {shown} ({origin})");
    }
    let mut number = 0;
    for tier in &tiers {
        let order = match tier.order {
            Some(order) => order.0.map_or_else(|| "no order".to_owned(), |order| format!("order {order}")),
            None => "does not exist: sorts last and denies".to_owned(),
        };
        let _ = writeln!(text, "  tier {} ({order})", tier.name);
        for policy in &tier.policies {
            number += 1;
            let _ = writeln!(text, "  {number:>2} {}", policy_line(policy, direction, counts));
        }
        let note = tier.note.map_or(String::new(), |note| format!(" ({note})"));
        let end = if tier.denies { "denies what is left" } else { "passes on what is left" };
        let _ = writeln!(text, "     end of tier {}: {end}{note}", tier.name);
    }
    let _ = writeln!(text, "     {}", ending(snapshot, subject, list, direction));
}

fn failsafes(settings: &Settings, direction: Direction) -> &[Failsafe] {
    match direction {
        Direction::Ingress => &settings.failsafe_inbound,
        Direction::Egress => &settings.failsafe_outbound,
    }
}

fn default_failsafes(direction: Direction) -> Vec<Failsafe> {
    let settings = Settings::default();
    match direction {
        Direction::Ingress => settings.failsafe_inbound,
        Direction::Egress => settings.failsafe_outbound,
    }
}

fn policy_line(policy: &Policy, direction: Direction, counts: &Counts) -> String {
    let order = policy.order.0.map_or_else(|| "no order".to_owned(), |order| format!("order {order}"));
    let rules = policy.rules(direction).len();
    let staged = if policy.staged { ", staged: not enforced" } else { "" };
    let plural = if rules == 1 { "" } else { "s" };
    let counted = counts.of_rules(&policy.id.to_string(), direction);
    format!("{} ({order}, {rules} rule{plural}{staged}){counted}", policy.id)
}

/// Whether it is default-deny, and why.
fn ending(snapshot: &Snapshot, subject: &Subject, list: PolicyList, direction: Direction) -> String {
    let (profiles, rule) = match subject.default_decision(snapshot, list, direction) {
        DefaultDecision::Rule { id, number, denies: true } => {
            return format!(
                "DEFAULT DENY: what no rule before it decides is denied by {id} rule {number}, which has no condition"
            );
        }
        DefaultDecision::Rule { id, number, denies: false } => {
            return format!("what no rule before it decides is allowed by {id} rule {number}, which has no condition");
        }
        DefaultDecision::TierEnd { tier } => {
            return format!("DEFAULT DENY: what no rule decides is denied at the end of tier {tier}");
        }
        DefaultDecision::GoesOn => return "what no rule decides goes on to the next stage".to_owned(),
        DefaultDecision::NoProfile => {
            return "DEFAULT DENY: no tier denies what no rule decides, and there is no profile to allow it".to_owned();
        }
        DefaultDecision::ProfileRule { name, number, denies } => {
            let becomes = if denies { "denied" } else { "allowed" };
            (&subject.profiles, Some(format!("{becomes} by profile {name} rule {number}, which has no condition")))
        }
        DefaultDecision::Profiles(_) => (&subject.profiles, None),
    };
    let profiles = profiles.iter().map(|name| {
        if snapshot.profiles.contains_key(name) { name.clone() } else { format!("{name} (does not exist, denies)") }
    });
    let end = match rule {
        Some(rule) => format!("what no rule before it decides is {rule}"),
        None => "what none of them allows is denied".to_owned(),
    };
    format!("then profiles: {}; {end}", profiles.collect::<Vec<_>>().join(", "))
}
