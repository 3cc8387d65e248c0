//! What one profile does: the labels and rules that it gives, and to whom: `tortie describe profile NAME`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tortie_policy::{Direction, EndpointId, Snapshot};

use crate::counts::Counts;
use crate::policy::{list_rules, profile_side};
use crate::question::AskError;
use crate::set::naming;
use crate::shortened_list::shortened;
use crate::topology::{Topology, list, node_text, similar};

/// How many items of a list are shown at most.
const MAX_LISTED: usize = 20;

/// The whole text; the error says which profiles there are.
pub fn text(topology: &Topology<'_>, name: &str, counts: &Counts) -> Result<String, AskError> {
    let snapshot = topology.snapshot();
    let profile = snapshot.profiles.get(name).ok_or_else(|| unknown(snapshot, name))?;
    let mut text = format!("profile {name}\n");
    let labels: Vec<String> = profile.labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
    let labels = if labels.is_empty() { "none".to_owned() } else { labels.join(", ") };
    let _ = writeln!(text, "  labels that it gives: {labels}");
    let mut endpoints: BTreeMap<String, Vec<EndpointId>> = BTreeMap::new();
    for (node, id) in naming(snapshot, name) {
        endpoints.entry(node_text(&node).to_owned()).or_default().push(id);
    }
    let count: usize = endpoints.values().map(Vec::len).sum();
    let all =
        endpoints.iter().flat_map(|(node, all)| all.iter().map(move |id| format!("{} on {node}", id.for_users())));
    let _ = match count {
        0 => writeln!(text, "  endpoints that name it: none"),
        _ => writeln!(text, "  endpoints that name it: {count}: {}", shortened(all, MAX_LISTED)),
    };
    let sets = snapshot.network_sets.values().filter(|set| set.profile.as_deref() == Some(name));
    let sets = shortened(sets.map(|set| set.id.to_string()), MAX_LISTED);
    if !sets.is_empty() {
        let _ = writeln!(text, "  network sets with its labels: {sets}");
    }
    let whose = format!("profile {name}");
    for (direction, rules) in [(Direction::Ingress, &profile.ingress), (Direction::Egress, &profile.egress)] {
        let end = "after all profiles of an endpoint: denies what is left";
        list_rules(&mut text, ("profile", &whose), &profile_side(snapshot, direction, rules), Some(end), counts);
    }
    Ok(text)
}

fn unknown(snapshot: &Snapshot, name: &str) -> AskError {
    let names: Vec<&str> = snapshot.profiles.keys().map(String::as_str).collect();
    let meant = similar(name, names.iter().copied()).map(|near| format!("; did you mean {near}?"));
    AskError(format!("there is no profile {name:?}{}; there are: {}", meant.unwrap_or_default(), list(&names)))
}
