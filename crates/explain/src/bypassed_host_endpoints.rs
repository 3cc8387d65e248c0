//! Host endpoints that a reader may expect to judge a packet, but whose policies are not evaluated because of its path.

use tortie_eval::PacketPath;
use tortie_policy::{EndpointId, HostAction, HostEndpoint, Snapshot};

use crate::answer::Hop;
use crate::topology::Topology;

/// So many host endpoints are named.
const MAX_NAMED: usize = 3;

/// A note for each node on the way that has host endpoints of which none is asked, where that is because of the way.
pub(crate) fn notes(snapshot: &Snapshot, topology: &Topology<'_>, hops: &[Hop]) -> Vec<String> {
    let mut found = Vec::new();
    for hop in hops.iter().filter(|hop| hop.dropped.is_none()) {
        let asks = |hop: &&Hop| hop.verdict.path.iter().any(|step| matches!(step.endpoint, Some(EndpointId::Host(_))));
        let Some(why) =
            why(snapshot, hop).filter(|_| !hops.iter().filter(|one| one.host == hop.host).any(|one| asks(&one)))
        else {
            continue;
        };
        let Some(names) = names(topology.host_endpoints(&hop.host.node)) else { continue };
        let note = format!("{names} not asked: {why}");
        if !found.contains(&note) {
            found.push(note);
        }
    }
    found
}

/// `host endpoint web1-eth0 is`, `host endpoints a, b, c and 2 more are`.
fn names<'a>(endpoints: impl Iterator<Item = &'a HostEndpoint>) -> Option<String> {
    let names: Vec<&str> = endpoints.map(|endpoint| endpoint.name.as_str()).collect();
    match names.as_slice() {
        [] => None,
        [one] => Some(format!("host endpoint {one} is")),
        all if all.len() > MAX_NAMED => {
            Some(format!("host endpoints {} and {} more are", all[..MAX_NAMED].join(", "), all.len() - MAX_NAMED))
        }
        [first @ .., last] => Some(format!("host endpoints {} and {last} are", first.join(", "))),
    }
}

/// Why no host endpoint is asked on the way; none where the interfaces are those of host endpoints.
fn why(snapshot: &Snapshot, hop: &Hop) -> Option<String> {
    let node = &hop.host.node;
    let settings = snapshot.settings(node);
    let is_workload = |interface: &String| settings.is_workload_interface(interface);
    match &hop.packet.path {
        PacketPath::Input { interface } if is_workload(interface) => Some(format!(
            "what a workload sends to its own host is decided by the workload's egress policy, and then by defaultEndpointToHostAction, which is {} on {node}",
            match settings.host_action {
                HostAction::Drop => "Drop",
                HostAction::Return => "Return",
                HostAction::Accept => "Accept",
            }
        )),
        PacketPath::Output { .. } if hop.leaves_by().is_some_and(|name| settings.is_workload_interface(name)) => {
            Some("what a host sends to its own workloads is let through before any policy".to_owned())
        }
        PacketPath::Forward { from, to } if is_workload(from) && is_workload(to) => Some(format!(
            "packets between workloads of {node} cross no other interface of it; only a host endpoint for every interface (*) with applyOnForward policy is asked for them"
        )),
        // What a machine sends to itself comes in by this interface, also as translated.
        path if hop.leaves_by() == Some("lo")
            || matches!(path, PacketPath::Input { interface } if interface == "lo") =>
        {
            Some(format!("packets of {node} to itself cross the interface lo, which no host endpoint is for"))
        }
        _ => None,
    }
}
