//! A policy as text.

use std::fmt::Write as _;

use tortie_policy::{Direction, EndpointId, Order, PolicyStage};

use super::{About, DescribedRule, LIMIT, Side, Use};
use crate::counts::Counts;
use crate::not_in_force;
use crate::topology::Topology;

/// At most so many endpoints are listed.
const MAX_LISTED: usize = 20;

/// The whole text.
pub fn text(topology: &Topology<'_>, about: &About<'_>, counts: &Counts) -> String {
    let policy = about.policy;
    let tier = match about.tier {
        Some(tier) => order(tier.order),
        None => "does not exist: sorts last and denies".to_owned(),
    };
    let staged = if policy.staged { ", staged: not enforced" } else { "" };
    let mut text = format!("{}, {} in tier {} ({tier}){staged}\n", policy.id, order(policy.order), policy.tier);
    let selector = if policy.written_selector.is_empty() { "all()" } else { policy.written_selector.as_str() };
    let _ = writeln!(text, "  selector: {selector}");
    let _ = writeln!(text, "  stage:    {}", stage(policy.stage));
    for warning in about.left_out {
        let _ = writeln!(text, "  left out: {warning}");
    }
    endpoints(&mut text, topology, about);
    for direction in [Direction::Ingress, Direction::Egress] {
        match about.directions.iter().find(|side| side.direction == direction) {
            Some(side) => {
                let end = side.end.map(|(denies, note)| {
                    let end = if denies { "denies what is left" } else { "passes on what is left" };
                    let note = note.map_or(String::new(), |note| format!(" ({note})"));
                    format!("after all policies of tier {}: {end}{note}", policy.tier)
                });
                rules(&mut text, ("policy", &policy.id.to_string()), side, end.as_deref(), counts);
            }
            None => {
                let _ = writeln!(text, "{direction}: not among its types, so it says nothing");
            }
        }
    }
    text
}

fn order(order: Order) -> String {
    order.0.map_or_else(|| "no order".to_owned(), |order| format!("order {order}"))
}

fn stage(stage: PolicyStage) -> &'static str {
    match stage {
        PolicyStage::Untracked => "untracked (doNotTrack): before connection tracking, of host endpoints only",
        PolicyStage::PreDnat => "pre-DNAT (preDNAT): before destination translation, of host endpoints only",
        PolicyStage::Normal { forward: false } => "normal: packets of host processes and of workloads",
        PolicyStage::Normal { forward: true } => "normal, and what hosts forward (applyOnForward)",
        PolicyStage::Unknown => "cannot be read: it counts in every stage",
    }
}

fn endpoints(text: &mut String, topology: &Topology<'_>, about: &About<'_>) {
    let count: usize = about.endpoints.values().map(Vec::len).sum();
    if count == 0 {
        *text += "  endpoints: none, it selects no endpoint now\n";
        return;
    }
    let _ = writeln!(text, "  endpoints: {count}");
    let mut left = MAX_LISTED;
    let mut notes = Vec::new();
    for (node, all) in &about.endpoints {
        let shown = &all[..all.len().min(left)];
        left -= shown.len();
        if shown.is_empty() {
            break;
        }
        let names: Vec<String> = shown.iter().map(EndpointId::for_users).collect();
        let _ = writeln!(text, "    {node}: {}", names.join(", "));
        notes.extend(shown.iter().filter_map(|id| not_in_force(topology, id)));
    }
    if count > MAX_LISTED {
        let _ = writeln!(text, "    and {} more", count - MAX_LISTED);
    }
    for note in notes {
        let _ = writeln!(text, "  note: {note}");
    }
}

/// A sentence about an endpoint that does not count.
fn not_in_force(topology: &Topology<'_>, id: &EndpointId) -> Option<String> {
    let snapshot = topology.snapshot();
    match id {
        EndpointId::Host(name) => {
            let why = not_in_force::host_endpoint(topology, snapshot.host_endpoints.get(name)?)?;
            Some(format!("host endpoint {name} {why}"))
        }
        EndpointId::Workload(workload) => {
            let endpoint = snapshot.workload_endpoints.get(workload)?;
            let not_in_force = not_in_force::workload_endpoint(snapshot, endpoint);
            let not_in_force = not_in_force.map(|why| format!("{} is not in force: {why}", id.for_users()));
            not_in_force.or_else(|| {
                let why = not_in_force::passed_by(topology, endpoint)?;
                Some(format!("packets of {} pass by its policies: {why}", id.for_users()))
            })
        }
    }
}

/// The rules of one direction of a policy or profile, what comes after them, and which of them can match.
pub(crate) fn rules(text: &mut String, (kind, name): (&str, &str), side: &Side, end: Option<&str>, counts: &Counts) {
    let _ = writeln!(text, "{}:", side.direction);
    if side.rules.is_empty() {
        *text += "     no rules\n";
    }
    for (index, described) in side.rules.iter().enumerate() {
        let number = index + 1;
        let counted = counts.of_rule(name, side.direction, number);
        let _ = writeln!(text, "  {number:>2} {}{counted}{}", described.words, remark(described));
    }
    if let Some(end) = end {
        let _ = writeln!(text, "     {end}");
    }
    if side.rules.iter().any(|described| described.used == Use::Unchecked) {
        let _ = writeln!(
            text,
            "     not checked which rules can match: {} classes of packets, {} rules and the endpoints and sets make more than {LIMIT} steps",
            side.classes,
            side.rules.len()
        );
    } else if !side.rules.is_empty() {
        let matches = |one: &&DescribedRule| matches!(one.used, Use::Matches(_)) && one.behind_failsafes.is_none();
        let hidden = side.rules.len() - side.rules.iter().filter(matches).count();
        let found = match hidden {
            0 => "every rule can match".to_owned(),
            1 => "1 rule cannot match".to_owned(),
            count => format!("{count} rules cannot match"),
        };
        let (failsafes, others) = match side.failsafes_checked {
            true => ("failsafes, ", "other policies and profiles"),
            false => ("", "other policies, profiles and failsafes"),
        };
        let _ = writeln!(
            text,
            "     {found} (checked within this {kind}, with the {failsafes}endpoints and sets of now: {others} were not looked at)"
        );
    }
}

/// Why a rule can match no packet, in words that follow its name; none if it can, or if that was not checked.
pub(super) fn unused(used: &Use) -> Option<String> {
    match used {
        Use::Matches(_) | Use::Unchecked => None,
        Use::Hidden(by) => Some(format!("never matches: {} all of its packets first", hiders(by))),
        Use::Nothing(reasons) => Some(format!("matches nothing now: {}", reasons.join("; "))),
    }
}

fn remark(described: &DescribedRule) -> String {
    match &described.used {
        Use::Matches(_) | Use::Unchecked => {
            let why = described.behind_failsafes.as_ref();
            why.map(|why| format!("\n       NEVER MATCHES: {why}")).unwrap_or_default()
        }
        Use::Hidden(by) => format!("\n       NEVER MATCHES: {} all of its packets first", hiders(by)),
        Use::Nothing(reasons) => format!("\n       MATCHES NOTHING NOW: {}", reasons.join("; ")),
    }
}

/// `rule 1 matches`, `rules 1, 2 and 4 match`.
fn hiders(by: &[usize]) -> String {
    let numbers: Vec<String> = by.iter().map(ToString::to_string).collect();
    match numbers.split_last() {
        Some((last, [])) => format!("rule {last} matches"),
        Some((last, first)) => format!("rules {} and {last} match", first.join(", ")),
        None => String::new(),
    }
}
