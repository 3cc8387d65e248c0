//! Interfaces whose endpoints have the same policies and profiles, and of which the machine takes in the same: one of them is traced for
//! all.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use tortie_eval::{Judge, PolicyList, Subject};
use tortie_policy::machine::{DroppingRule, Incoming};
use tortie_policy::{Direction, PolicyId};

use crate::shortened_list::shortened;
use crate::topology::Topology;

/// So few interfaces are all asked about, each by its name.
const MAX_INTERFACES: usize = 8;

/// What decides at an interface: whether the endpoint is the interface's own, its policies in order, its profiles. None
/// where nothing governs it.
type Governed = Option<(bool, Vec<PolicyId>, Vec<String>)>;

/// What the machine takes in by an interface: its settings, and the rules that drop what comes in by it.
type TakenIn<'a> = (Option<&'a Incoming>, Vec<&'a DroppingRule>);

/// The interfaces of a node with different policies or profiles, or of which its machine takes in other packets: the first of each kind,
/// with the number of others that each represents.
pub(crate) fn distinct(topology: &Topology<'_>, node: &str, names: &[String]) -> Vec<(String, usize)> {
    if names.len() <= MAX_INTERFACES {
        return names.iter().map(|name| (name.clone(), 0)).collect();
    }
    let (snapshot, judge, host) = (topology.snapshot(), topology.judge(), topology.host(node));
    let wildcard = judge.wildcard_host_endpoint(&host);
    let mut found: Vec<(String, usize)> = Vec::new();
    let machine = topology.machine(node);
    let taken_in = |name: &String| {
        let rules = machine.map_or(&[][..], |machine| &machine.dropping_rules);
        let of_it = rules.iter().filter(|rule| rule.incoming.as_ref() == Some(name)).collect();
        (machine.and_then(|machine| machine.incoming.get(name)), of_it)
    };
    let mut numbers: HashMap<(Governed, TakenIn<'_>), usize> = HashMap::new();
    for name in names {
        let specific = judge.specific_host_endpoint(&host, name);
        let governed = specific.or(wildcard).map(|endpoint| {
            let subject = Subject::host(snapshot, endpoint);
            (specific.is_some(), policies(judge, &subject), subject.profiles)
        });
        match numbers.entry((governed, taken_in(name))) {
            Entry::Occupied(at) => found[*at.get()].1 += 1,
            Entry::Vacant(at) => {
                at.insert(found.len());
                found.push((name.clone(), 0));
            }
        }
    }
    found
}

/// Which interfaces of a node stand for others, if any do.
pub(crate) fn note(node: &str, found: &[(String, usize)]) -> Option<String> {
    let more: usize = found.iter().map(|(_, more)| more).sum();
    let names: Vec<&String> = found.iter().filter(|(_, more)| *more > 0).map(|(name, _)| name).collect();
    let verb = if names.len() == 1 { "stands" } else { "stand" };
    let interfaces = if more == 1 { "interface" } else { "interfaces" };
    (more > 0).then(|| {
        format!(
            "{} {verb} for {more} more {interfaces} of {node}, whose endpoints have the same policies and profiles",
            shortened(names, MAX_INTERFACES)
        )
    })
}

fn policies(judge: &Judge<'_>, subject: &Subject) -> Vec<PolicyId> {
    let mut found = Vec::new();
    for list in [PolicyList::Untracked, PolicyList::PreDnat, PolicyList::Normal] {
        for direction in [Direction::Ingress, Direction::Egress] {
            let tiers = judge.tiers(subject, list, direction);
            found.extend(tiers.iter().flat_map(|tier| &tier.policies).map(|policy| policy.id.clone()));
        }
    }
    found
}
