//! Nodes that an object names and nothing else does: most likely a slip.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tortie_api::{Kind, Path};
use tortie_manifest::Problem;
use tortie_policy::{HostEndpoint, Snapshot};
use tortie_store::{Selection, Store};

/// How many nodes are named.
const MAX_NAMED: usize = 5;

/// The names of the Nodes that are stored. None where they cannot be read.
pub(super) fn stored(store: &dyn Store) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let page = &mut |page: Vec<tortie_store::Stored>| names.extend(page.into_iter().map(|stored| stored.key.name));
    match store.list_pages(&Selection::kind(Kind::Node), page) {
        Ok(_) => names,
        Err(_) => BTreeSet::new(),
    }
}

/// The nodes that objects name.
pub(super) struct KnownNodes {
    /// By name, how many objects name it; a Node and a workload endpoint count as several.
    names: BTreeMap<String, usize>,
    /// Whether there are objects of kind Node.
    has_nodes: bool,
    /// The names by their host without the domain.
    hosts: HashMap<String, Vec<String>>,
    /// The names by their digits and their length.
    digits: BTreeMap<(Vec<u8>, usize), Vec<String>>,
}

impl KnownNodes {
    /// The nodes of a snapshot, and of Nodes that it may lack.
    pub(super) fn new(snapshot: &Snapshot, nodes: BTreeSet<String>) -> Self {
        let has_nodes = !nodes.is_empty();
        let mut names = BTreeMap::new();
        let workloads = snapshot.workload_endpoints.values().map(|one| one.node.clone());
        let hosts = snapshot.host_endpoints.values().map(|one| (one.node.clone(), 1));
        for (name, count) in nodes.into_iter().chain(workloads).map(|name| (name, 2)).chain(hosts) {
            *names.entry(name).or_default() += count;
        }
        names.remove("");
        let mut known = Self { names, has_nodes, hosts: HashMap::new(), digits: BTreeMap::new() };
        for name in known.names.keys() {
            let lower = name.to_ascii_lowercase();
            known.hosts.entry(host(&lower).to_owned()).or_default().push(name.clone());
            known.digits.entry((digits(&lower), lower.len())).or_default().push(name.clone());
        }
        known
    }

    /// The other names that may be near enough to be meant: any other is of another host, has other digits, or differs in length by
    /// more than a third.
    fn candidates(&self, name: &str) -> impl Iterator<Item = &str> {
        let lower = name.to_ascii_lowercase();
        let (digits, length) = (digits(&lower), lower.len());
        let of_host = self.hosts.get(host(&lower)).into_iter().flatten();
        let lengths = (digits.clone(), length * 3 / 4)..=(digits, length * 3 / 2);
        let similar = self.digits.range(lengths).flat_map(|(_, names)| names);
        let name = name.to_owned();
        of_host.chain(similar).map(String::as_str).filter(move |known| *known != name)
    }
}

/// The settings of a node that nothing tells of.
pub(super) fn of_settings(known: &KnownNodes, name: &str) -> Option<Problem> {
    let node = name.strip_prefix("node.")?;
    if known.names.contains_key(node) {
        return None;
    }
    let message = format!("no Node and no endpoint names the node `{node}`, so these settings apply to no machine yet");
    let problem = Problem::warning("unknown-node", Path::from("metadata.name"), message);
    Some(match known.names.is_empty() {
        true => problem,
        false => problem.help(format!("nodes that are known: {}", some(known.names.keys(), known.names.len()))),
    })
}

/// A host endpoint of a node that nothing else tells of. Without objects of kind Node any name may be right, and only one that
/// looks like another is told.
pub(super) fn of_endpoint(known: &KnownNodes, endpoint: &HostEndpoint) -> Option<Problem> {
    let node = endpoint.node.as_str();
    // The endpoint itself is one.
    let count = known.names.get(node).copied().unwrap_or_default();
    if count > 1 {
        return None;
    }
    let meant = nearest(node, known.candidates(node));
    if meant.is_none() && !known.has_nodes {
        return None;
    }
    let message = format!("node `{node}` is not known: no Node has this name, and no other host endpoint is on it");
    let problem = Problem::warning("unknown-node", Path::from("spec.node"), message);
    let others = known.names.keys().filter(|name| *name != node);
    Some(match meant {
        Some(meant) => problem.help(format!("did you mean `{meant}`? It is right if the machine is new")),
        None => problem.help(format!("nodes that are known: {}", some(others, known.names.len() - count))),
    })
}

/// The first of so many names, and how many more there are.
fn some<'a>(names: impl Iterator<Item = &'a String>, count: usize) -> String {
    let shown: Vec<&str> = names.take(MAX_NAMED).map(String::as_str).collect();
    let more = count - shown.len();
    shown.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

fn digits(text: &str) -> Vec<u8> {
    text.bytes().filter(u8::is_ascii_digit).collect()
}

/// The name of a host without its domain.
fn host(text: &str) -> &str {
    text.split('.').next().unwrap_or_default()
}

/// The name that is most likely meant: the same host with or without its domain, or a part of it, or a few letters away. What
/// differs in a digit is another machine.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_ascii_lowercase();
    let distance = |known: &str| {
        let lower = known.to_ascii_lowercase();
        let is_same_host = host(&lower) == host(&name) && lower.contains('.') != name.contains('.');
        let distance = strsim::damerau_levenshtein(&name, &lower);
        let is_near = distance * 3 <= lower.len() && digits(&lower) == digits(&name);
        if is_same_host { Some(0) } else { is_near.then_some(distance) }
    };
    known.into_iter().filter_map(|known| Some((distance(known)?, known))).min().map(|(_, known)| known)
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
            assert_eq!(nearest(written, known.iter().copied()), meant, "{written}");
            let nodes = KnownNodes::new(&Snapshot::default(), known.iter().map(ToString::to_string).collect());
            assert_eq!(nearest(written, nodes.candidates(written)), meant, "{written} among candidates");
        }
    }

    #[test]
    fn few_of_many_names_are_compared_with_one() {
        let names = |number: usize| [format!("web{number}"), format!("h{number}.example.com")];
        let all: BTreeSet<String> = (0..10_000).flat_map(names).collect();
        let nodes = KnownNodes::new(&Snapshot::default(), all.clone());
        let compared: usize = all.iter().map(|name| nodes.candidates(name).count()).sum();
        assert!(compared < 4 * all.len(), "{compared}");
    }
}
