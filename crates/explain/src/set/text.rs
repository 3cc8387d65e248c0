//! A network set as text.

use std::fmt::Write as _;

use super::{AboutSet, RuleList, UsingRule};
use crate::shortened_list::shortened;

/// How many items of a list are shown at most.
const MAX_LISTED: usize = 20;

/// The whole text.
pub fn text(about: &AboutSet<'_>) -> String {
    let set = about.set;
    let kind = if set.id.namespace.is_empty() { "GlobalNetworkSet" } else { "NetworkSet" };
    let mut text = format!("{} ({kind})\n", set.id);
    let labels: Vec<String> = about.labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
    let _ = writeln!(text, "  labels: {}", if labels.is_empty() { "none".to_owned() } else { labels.join(", ") });
    let nets: Vec<String> = set.nets.iter().map(ToString::to_string).collect();
    let _ = writeln!(text, "  nets:   {}", some(&nets));
    if set.incomplete {
        text += "  note: it is incomplete: a net of it could not be read, or it has too many. A rule that denies by it denies whatever else the rule matches\n";
    }
    let owners: Vec<String> = about.owners.iter().map(|(address, owner)| format!("{address} ({owner})")).collect();
    let _ = writeln!(text, "  endpoints and nodes with an address in it: {}", some(&owners));
    if about.rules.is_empty() {
        text += "no rule asks for it: no selector of a rule matches its labels\n";
        return text;
    }
    let _ = writeln!(text, "rules that ask for it, by its labels:");
    for rule in &about.rules {
        let _ = writeln!(text, "  {}", line(rule));
        let _ = writeln!(text, "       {}", endpoints(rule));
    }
    text
}

/// `gnp web ingress rule 2: Allow tcp from role == 'office' (as source)`.
fn line(rule: &UsingRule<'_>) -> String {
    let owner = match &rule.list {
        RuleList::Policy(id, true) => format!("{id} (staged: not enforced)"),
        RuleList::Policy(id, false) => id.to_string(),
        RuleList::Profile(name) => format!("profile {name}"),
    };
    let end = if rule.is_source { "source" } else { "destination" };
    let how = if rule.negated { format!("every other {end}") } else { format!("as {end}") };
    format!("{owner} {} rule {}: {} ({how})", rule.direction, rule.number, rule.words)
}

fn endpoints(rule: &UsingRule<'_>) -> String {
    let all: Vec<String> = rule
        .endpoints
        .iter()
        .flat_map(|(node, all)| all.iter().map(move |endpoint| format!("{} on {node}", endpoint.for_users())))
        .collect();
    if all.is_empty() { "for no endpoint now".to_owned() } else { format!("for {}", some(&all)) }
}

fn some(all: &[String]) -> String {
    if all.is_empty() { "none".to_owned() } else { shortened(all, MAX_LISTED) }
}
