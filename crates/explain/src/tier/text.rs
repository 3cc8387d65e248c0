//! A tier as text.

use std::fmt::Write as _;

use tortie_eval::PolicyList;
use tortie_policy::{Direction, EndpointId, Order, Policy, PolicyStage, TierEnd};

use super::{AboutTier, ListEnd};

/// At most so many endpoints are listed.
const MAX_LISTED: usize = 20;

/// The whole text.
pub fn text(about: &AboutTier<'_>) -> String {
    let title = match about.tier {
        Some(tier) => format!("{}, default action {}", order(tier.order), action(tier.end)),
        None => "does not exist: sorts last and denies".to_owned(),
    };
    let mut text = format!("tier {} ({title})\n", about.name);
    let _ = writeln!(text, "  tiers in order: {}", about.order.join(", "));
    endpoints(&mut text, about);
    text += "policies, in the order in which they are asked:\n";
    if about.policies.is_empty() {
        text += "     none: the tier is skipped\n";
    }
    for (number, (policy, selected)) in about.policies.iter().enumerate() {
        let _ = writeln!(text, "  {:>2} {}", number + 1, line(policy, *selected));
    }
    text += "what none of them decides, on an endpoint that one of them selects:\n";
    if about.ends.is_empty() {
        text += "     goes on: no policy of the tier selects an endpoint now\n";
    }
    for end in &about.ends {
        let _ = writeln!(text, "     {}", end_line(end));
    }
    text
}

/// `Deny`, `Pass`.
pub(super) fn action(end: TierEnd) -> &'static str {
    match end {
        TierEnd::Deny => "Deny",
        TierEnd::Pass => "Pass",
    }
}

fn order(order: Order) -> String {
    order.0.map_or_else(|| "no order".to_owned(), |order| format!("order {order}"))
}

fn endpoints(text: &mut String, about: &AboutTier<'_>) {
    let count: usize = about.endpoints.values().map(Vec::len).sum();
    if count == 0 {
        *text += "  endpoints: none, its policies select no endpoint now\n";
        return;
    }
    let _ = writeln!(text, "  endpoints: {count}");
    let mut left = MAX_LISTED;
    for (node, all) in &about.endpoints {
        let shown = &all[..all.len().min(left)];
        left -= shown.len();
        if shown.is_empty() {
            break;
        }
        let names: Vec<String> = shown.iter().map(EndpointId::for_users).collect();
        let _ = writeln!(text, "    {node}: {}", names.join(", "));
    }
    if count > MAX_LISTED {
        let _ = writeln!(text, "    and {} more", count - MAX_LISTED);
    }
}

/// `gnp web (order 100): ingress 2 rules; selects 3 endpoints`.
fn line(policy: &Policy, selected: usize) -> String {
    let rules = |direction: Direction| match policy.rules(direction).len() {
        1 => format!("{direction} 1 rule"),
        count => format!("{direction} {count} rules"),
    };
    let directions = [Direction::Ingress, Direction::Egress].into_iter().filter(|one| policy.applies_to(*one));
    let directions: Vec<String> = directions.map(rules).collect();
    let staged = if policy.staged { ", staged: not enforced" } else { "" };
    let stage = match policy.stage {
        PolicyStage::Untracked => ", untracked",
        PolicyStage::PreDnat => ", pre-DNAT",
        PolicyStage::Normal { .. } | PolicyStage::Unknown => "",
    };
    let selects = match selected {
        0 => "selects no endpoint now".to_owned(),
        1 => "selects 1 endpoint".to_owned(),
        count => format!("selects {count} endpoints"),
    };
    format!("{} ({}{stage}{staged}): {}; {selects}", policy.id, order(policy.order), directions.join(", "))
}

fn end_line(end: &ListEnd) -> String {
    let list = match end.list {
        PolicyList::Untracked => "untracked ",
        PolicyList::PreDnat => "pre-DNAT ",
        PolicyList::Normal => "",
        PolicyList::Forward => "forward ",
    };
    let does = if end.denies { "denied" } else { "passed on" };
    let note = end.note.map_or(String::new(), |note| format!(" ({note})"));
    let plural = if end.endpoints == 1 { "" } else { "s" };
    format!("{list}{}: {does}{note}, {} endpoint{plural}", end.direction, end.endpoints)
}
