//! What is on one node: its addresses and its endpoints: `tortie describe node NAME`.

use std::fmt::Write as _;

use tortie_policy::WorkloadEndpoint;

use crate::endpoint::place;
use crate::not_in_force;
use crate::question::AskError;
use crate::shortened_list::shortened;
use crate::topology::{Topology, list, similar};

/// How many items of a list are shown at most.
const MAX_LISTED: usize = 20;

/// The whole text; the error says which nodes there are.
pub fn text(topology: &Topology<'_>, name: &str) -> Result<String, AskError> {
    let snapshot = topology.snapshot();
    let known = topology.node_names();
    if !known.contains(&name) {
        let meant = similar(name, known.iter().copied()).map(|near| format!("; did you mean {near}?"));
        let meant = meant.unwrap_or_default();
        return Err(AskError(format!("there is no node {name:?}{meant}; there are: {}", list(&known))));
    }
    let mut text = format!("node {name}\n");
    match snapshot.nodes.get(name) {
        Some(node) => {
            let mut addresses = node.addresses.clone();
            addresses.extend(node.vxlan_peers.iter().filter(|one| !node.addresses.contains(one)));
            let shown = if addresses.is_empty() { "none".to_owned() } else { shortened(addresses, MAX_LISTED) };
            let _ = writeln!(text, "  addresses: {shown}");
        }
        None => text += "  no object of kind Node has this name: endpoints or the agent of this machine name it\n",
    }
    if snapshot.node_settings.get(name).is_some_and(|settings| *settings != snapshot.default_settings) {
        text += "  settings:  not those of all nodes: a FelixConfiguration for it, its environment or its felix.cfg says otherwise\n";
    }
    let hosts: Vec<_> = snapshot.host_endpoints.values().filter(|one| one.node == name).collect();
    if hosts.is_empty() {
        text += "host endpoints: none, so no tortie policy applies to its own packets\n";
    } else {
        let _ = writeln!(text, "host endpoints: {}", hosts.len());
    }
    for endpoint in hosts {
        let not_in_force =
            not_in_force::host_endpoint(topology, endpoint).map_or(String::new(), |reason| format!("; it {reason}"));
        let _ = writeln!(text, "  hep/{}: {}{not_in_force}", endpoint.name, place(&endpoint.interface));
    }
    let workloads: Vec<&WorkloadEndpoint> =
        snapshot.workload_endpoints.values().filter(|one| one.node == name).collect();
    let _ = match workloads.len() {
        0 => writeln!(text, "workload endpoints: none"),
        count => writeln!(text, "workload endpoints: {count}: {}", shortened(workloads, MAX_LISTED)),
    };
    Ok(text)
}
