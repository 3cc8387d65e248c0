//! What applies to one endpoint, as JSON: `docs/explain-json.md` describes it.

use serde_json::{Value, json};
use tortie_eval::{PolicyList, Subject, TierView, failsafe_list, protocol_name};
use tortie_policy::{
    Direction, EndpointId, GovernedInterfaces, HostEndpoint, HostPort, Settings, Snapshot, WorkloadEndpoint,
};

use crate::json::policy_name;
use crate::not_in_force;
use crate::topology::{Topology, node_text};

use super::{HOST_LISTS, ending, failsafes};

/// What applies to a host endpoint. `idle` says why it does not count.
pub fn host(snapshot: &Snapshot, endpoint: &HostEndpoint, reason: Option<&str>) -> Value {
    let subject = Subject::host(snapshot, endpoint);
    let settings = snapshot.settings(&endpoint.node);
    let interface = match &endpoint.interface {
        GovernedInterfaces::Named(name) => Some(name.as_str()),
        GovernedInterfaces::All => Some("*"),
        GovernedInterfaces::ByAddress | GovernedInterfaces::Unreadable => None,
    };
    let mut shown = common(snapshot, &subject, node_text(&endpoint.node), interface);
    shown["addresses"] = json!(endpoint.addresses);
    shown["notInForce"] = json!(reason);
    let lists = HOST_LISTS.iter().flat_map(|(_, list, directions)| directions.iter().map(|one| (*list, *one)));
    shown["lists"] = lists.map(|(list, direction)| section(snapshot, settings, &subject, list, direction)).collect();
    shown
}

/// What applies to a workload endpoint.
pub fn workload(topology: &Topology<'_>, endpoint: &WorkloadEndpoint) -> Value {
    let snapshot = topology.snapshot();
    let subject = Subject::workload(snapshot, endpoint);
    let settings = snapshot.settings(&endpoint.node);
    let interface = Some(endpoint.interface.as_str()).filter(|_| endpoint.has_place());
    let mut shown = common(snapshot, &subject, node_text(&endpoint.node), interface);
    shown["addresses"] = json!(endpoint.addresses);
    let host_port = |port: &HostPort| {
        let protocol = protocol_name(port.protocol.number());
        json!({ "protocol": protocol, "port": port.port, "address": port.address, "to": port.to })
    };
    shown["hostPorts"] = endpoint.host_ports.iter().map(host_port).collect();
    shown["notInForce"] = json!(not_in_force::workload_endpoint(snapshot, endpoint));
    shown["passedBy"] = json!(not_in_force::passed_by(topology, endpoint));
    let both = [Direction::Ingress, Direction::Egress].into_iter();
    shown["lists"] = both.map(|one| section(snapshot, settings, &subject, PolicyList::Normal, one)).collect();
    shown
}

fn common(snapshot: &Snapshot, subject: &Subject, node: &str, interface: Option<&str>) -> Value {
    let profile = |name: &String| json!({ "profile": name, "missing": !snapshot.profiles.contains_key(name) });
    json!({
        "endpoint": subject.id.to_string(),
        "node": node,
        "interface": interface,
        "labels": subject.labels,
        "profiles": subject.profiles.iter().map(profile).collect::<Vec<_>>(),
    })
}

fn section(
    snapshot: &Snapshot,
    settings: &Settings,
    subject: &Subject,
    list: PolicyList,
    direction: Direction,
) -> Value {
    let tiers = subject.tiers(snapshot, list, direction);
    let has_failsafes = list == PolicyList::Normal && matches!(subject.id, EndpointId::Host(_));
    let asked = !tiers.is_empty() || list == PolicyList::Normal;
    json!({
        "list": match list {
            PolicyList::Untracked => "untracked",
            PolicyList::PreDnat => "pre-dnat",
            PolicyList::Normal => "normal",
            PolicyList::Forward => "forward",
        },
        "direction": direction.to_string(),
        "failsafes": has_failsafes.then(|| failsafe_list(failsafes(settings, direction))),
        "tiers": tiers.iter().map(|view| tier(view, direction)).collect::<Vec<_>>(),
        "ending": asked.then(|| ending(snapshot, subject, list, direction)),
    })
}

fn tier(view: &TierView<'_>, direction: Direction) -> Value {
    let policies = view.policies.iter().map(|policy| {
        json!({
            "policy": policy_name(&policy.id),
            "order": policy.order.0,
            "staged": policy.staged,
            "rules": policy.rules(direction).len(),
        })
    });
    json!({
        "tier": view.name,
        "order": view.order.and_then(|order| order.0),
        "missing": view.order.is_none(),
        "policies": policies.collect::<Vec<_>>(),
        "denies": view.denies,
        "note": view.note,
    })
}
