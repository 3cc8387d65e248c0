//! Checks the interfaces that a question names: whether they exist, and whether they make a difference.

use tortie_policy::Snapshot;

use crate::question::{AskError, Question};
use crate::topology::{Location, Topology, list, similar};

/// Interfaces of the tunnels between nodes, which no endpoint names, and the loopback interface.
const WITHOUT_ENDPOINT: [&str; 6] = ["lo", "tunl0", "vxlan.calico", "vxlan-v6.calico", "wireguard.cali", "wg-v6.cali"];

/// How a note of what is assumed begins. The last line of the answer repeats it.
pub(crate) const ASSUMED: &str = "assumed: ";

/// Looks for an interface of a node. On a machine whose interfaces are known it is an error where it does not exist; where
/// the store alone tells of interfaces, the assumption is returned.
pub(crate) fn look_for(topology: &Topology<'_>, node: &str, name: &str) -> Result<Option<String>, AskError> {
    if let Some(host) = topology.known_host(node) {
        let names: Vec<&str> = host.links.iter().map(|link| link.name.as_str()).collect();
        if names.contains(&name) {
            return Ok(None);
        }
        let meant = similar(name, names.iter().copied()).map(|near| format!("; did you mean {near}?"));
        return Err(AskError(format!(
            "{node} has no interface {name}{}; its interfaces: {}",
            meant.unwrap_or_default(),
            list(&names)
        )));
    }
    let named = topology.host(node);
    let names: Vec<&str> = named.links.iter().map(|link| link.name.as_str()).collect();
    if names.contains(&name) || WITHOUT_ENDPOINT.contains(&name) || has_workload(topology.snapshot(), node, name) {
        return Ok(None);
    }
    let known = if names.is_empty() {
        "the store knows none of its interfaces".to_owned()
    } else {
        format!("the store knows {}", list(&names))
    };
    Ok(Some(format!("{ASSUMED}{node} has an interface {name}, without an endpoint of its own ({known})")))
}

/// Looks for the interfaces that a question names where the nodes that packets leave and enter are known: the named node, if
/// neither end is on it, else those of the two ends.
pub(crate) fn look_for_named(
    topology: &Topology<'_>,
    question: &Question,
    [from, to]: [Option<&str>; 2],
) -> Result<(), AskError> {
    let behind = question.dnat.address().map(|address| topology.at(address));
    let of_end = [from, behind.as_ref().map_or(to, Location::node)];
    let passed = question.node.as_deref().filter(|node| !of_end.contains(&Some(*node)));
    for (name, node) in [(&question.in_interface, passed.or(to)), (&question.out_interface, passed.or(from))] {
        if let (Some(name), Some(node)) = (name, node.filter(|node| topology.known_host(node).is_some())) {
            look_for(topology, node, name)?;
        }
    }
    Ok(())
}

fn has_workload(snapshot: &Snapshot, node: &str, name: &str) -> bool {
    snapshot.workload_endpoints.values().any(|endpoint| endpoint.node == node && endpoint.interface == name)
}

/// Notes which of the named interfaces make no difference, because the packet does not pass them.
pub(crate) fn unused(question: &Question, enters: bool, leaves: bool) -> Vec<String> {
    let entering = question.in_interface.as_ref().filter(|_| !enters);
    let entering = entering.map(|name| {
        format!("incoming interface {name} makes no difference: the packet begins on the node that it is judged on")
    });
    let leaving = question.out_interface.as_ref().filter(|_| !leaves);
    let leaving = leaving.map(|name| {
        format!("outgoing interface {name} makes no difference: the packet ends on the node that it is judged on")
    });
    entering.into_iter().chain(leaving).collect()
}
