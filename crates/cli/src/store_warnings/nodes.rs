//! Nodes that an object names and nothing else does: most likely a slip.

use std::collections::BTreeSet;

use tortie_api::{Kind, Path};
use tortie_explain::{Topology, listed};
use tortie_manifest::Problem;
use tortie_policy::{HostEndpoint, Snapshot};
use tortie_store::{Selection, Store};

/// How many nodes are named.
const SHOWN: usize = 5;

/// The names of the Nodes that are stored. None where they cannot be read.
pub(super) fn stored(store: &dyn Store) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let page = &mut |page: Vec<tortie_store::Stored>| names.extend(page.into_iter().map(|stored| stored.key.name));
    match store.list_pages(&Selection::kind(Kind::Node), page) {
        Ok(_) => names,
        Err(_) => BTreeSet::new(),
    }
}

/// The settings of a node that nothing tells of.
pub(super) fn of_settings(snapshot: &Snapshot, name: &str) -> Option<Problem> {
    let node = name.strip_prefix("node.")?;
    let topology = Topology::new(snapshot);
    let known = topology.node_names();
    if known.contains(&node) {
        return None;
    }
    let message = format!("no Node and no endpoint names the node `{node}`, so these settings apply to no machine yet");
    let problem = Problem::warning("unknown-node", Path::from("metadata.name"), message);
    Some(match known.is_empty() {
        true => problem,
        false => problem.help(format!("nodes that are known: {}", listed(known, SHOWN))),
    })
}

/// A host endpoint of a node that nothing else tells of. Without objects of kind Node any name may be right, and only one that
/// looks like another is told.
pub(super) fn of_endpoint(snapshot: &Snapshot, nodes: &BTreeSet<String>, endpoint: &HostEndpoint) -> Option<Problem> {
    let node = endpoint.node.as_str();
    let others = snapshot.host_endpoints.values().filter(|one| one.name != endpoint.name).map(|one| one.node.as_str());
    let workloads = snapshot.workload_endpoints.values().map(|one| one.node.as_str());
    let known: BTreeSet<&str> = nodes.iter().map(String::as_str).chain(others).chain(workloads).collect();
    if known.contains(node) {
        return None;
    }
    let meant = nearest(node, &known);
    if meant.is_none() && nodes.is_empty() {
        return None;
    }
    let message = format!("node `{node}` is not known: no Node has this name, and no other host endpoint is on it");
    let problem = Problem::warning("unknown-node", Path::from("spec.node"), message);
    Some(match meant {
        Some(meant) => problem.help(format!("did you mean `{meant}`? It is right if the machine is new")),
        None => problem.help(format!("nodes that are known: {}", listed(known, SHOWN))),
    })
}

/// The name that is most likely meant: the same host with or without its domain, or a part of it, or a few letters away. What
/// differs in a digit is another machine.
pub(crate) fn nearest<'a>(name: &str, known: &BTreeSet<&'a str>) -> Option<&'a str> {
    let name = name.to_ascii_lowercase();
    let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).collect::<Vec<_>>();
    let host = |text: &str| text.split('.').next().unwrap_or_default().to_owned();
    let distance = |known: &str| {
        let lower = known.to_ascii_lowercase();
        let is_same_host = host(&lower) == host(&name) && lower.contains('.') != name.contains('.');
        let distance = strsim::damerau_levenshtein(&name, &lower);
        let is_near = distance * 3 <= lower.len() && digits(&lower) == digits(&name);
        if is_same_host { Some(0) } else { is_near.then_some(distance) }
    };
    known.iter().filter_map(|known| Some((distance(known)?, *known))).min().map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_some_letters_away_is_meant_and_one_of_another_number_is_not() {
        let known = BTreeSet::from(["h1.example.com", "web1", "db-frankfurt-1"]);
        for (written, meant) in [
            ("h1.example", Some("h1.example.com")),
            ("h1", Some("h1.example.com")),
            ("h1.exmaple.co", Some("h1.example.com")),
            ("db-frnkfrut-1", Some("db-frankfurt-1")),
            ("h2.example.com", None),
            ("web2", None),
            ("web11", None),
            ("mail1", None),
        ] {
            assert_eq!(nearest(written, &known), meant, "{written}");
        }
    }
}
