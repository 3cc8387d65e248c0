//! Warns after a write about host endpoints that govern no interface, workload endpoints whose packets pass by their policies, and policies on
//! ports that are translated before them, where the agent of this machine knows its interfaces.

use std::collections::{BTreeMap, BTreeSet};

use tortie_agent::LocalFacts;
use tortie_agent::socket::{InForceAnswer, Objects};
use tortie_api::{Key, Kind};
use tortie_explain::not_in_force;
use tortie_policy::{GovernedInterfaces, HostEndpoint, WorkloadId};
use tortie_store::Selection;
use tortie_sync::InForce;

use crate::ask::Agent;
use crate::session::Session;
use crate::snapshot::topology;
use crate::store::StoreAccess;
use crate::store_warnings::nodes::nearest;
use crate::translated_ports;

/// Warns of those of these objects that are host endpoints and govern no interface, workload endpoints whose packets pass by, or policies on
/// ports that are translated before them. Silent where no agent answers, because only it knows the interfaces, and where the store cannot be
/// read again: the write itself is done. `is_told` tells which warnings of a host endpoint were said before.
pub(crate) fn warn(
    access: &StoreAccess,
    agent: &Agent,
    written: impl Iterator<Item = Key>,
    is_told: impl Fn(&str, &'static str) -> bool,
    session: &mut Session,
) {
    if session.persona.is_calicoctl() {
        return;
    }
    let written: Vec<Key> = written.collect();
    let is_workload = |key: &&Key| key.kind == Kind::WorkloadEndpoint;
    let workloads: BTreeSet<(&str, &str)> =
        written.iter().filter(is_workload).map(|key| (key.namespace.as_str(), key.name.as_str())).collect();
    let hosts = written.iter().filter(|key| key.kind == Kind::HostEndpoint);
    let names: BTreeSet<String> = hosts.map(|key| key.name.clone()).collect();
    let is_policy = |key: &&Key| matches!(key.kind, Kind::NetworkPolicy | Kind::GlobalNetworkPolicy);
    let policies: BTreeSet<&Key> = written.iter().filter(is_policy).collect();
    // `lint` says where they cannot be read.
    let tables = match policies.is_empty() || !agent.runs() {
        true => Vec::new(),
        false => LocalFacts::foreign_tables().map(|read| read.tables).unwrap_or_default(),
    };
    if names.is_empty() && workloads.is_empty() && !translated_ports::any_translates(&tables) {
        return;
    }
    let Ok(store) = access.name() else { return };
    let Ok(Ok(listing)) = access.store().map(|store| store.list(&Selection::default())) else { return };
    let Ok(InForceAnswer { state, .. }) = agent.in_force(&store, Some(listing.position.clone())) else { return };
    if state.objects == Objects::OtherStore {
        return;
    }
    let local_facts = state.local_facts;
    let mut in_force = InForce::from_stored(&listing.items, listing.position.clone(), &BTreeMap::new());
    local_facts.apply_settings(&mut in_force);
    let endpoints = &in_force.snapshot.host_endpoints;
    let topology = topology(&in_force.snapshot, Some(&local_facts));
    for (endpoint, why) in not_in_force::all_passed_by(&topology) {
        let WorkloadId { namespace, name } = &endpoint.id;
        if workloads.contains(&(namespace.as_str(), name.as_str())) {
            session.terminal.note(format_args!(
                "warning[placement]: workloadendpoint/{namespace}/{name}: packets pass by its policies: {why}"
            ));
        }
    }
    let is_written = |key: &Key| policies.contains(key);
    for (key, problem) in translated_ports::warnings(&in_force.snapshot, &local_facts, &tables, is_written) {
        session.terminal.note(format_args!("warning[translated-port]: {}: {}", key.as_argument(), problem.text()));
    }
    let is_of_store = in_force.snapshot.nodes.contains_key(&local_facts.node)
        || endpoints.values().any(|endpoint| endpoint.node == local_facts.node);
    for endpoint in endpoints.values() {
        let Some(not_in_force) = not_in_force::host_endpoint(&topology, endpoint) else {
            // Of a node that the store tells of it was said before the write.
            if !is_of_store && names.contains(&endpoint.name) && is_near(&endpoint.node, &local_facts.node) {
                session.terminal.note(format_args!(
                    "warning[unknown-node]: hostendpoint/{} is on {}, a node that is not known; did you mean {}, the node of this machine?",
                    endpoint.name, endpoint.node, local_facts.node
                ));
            }
            continue;
        };
        let first = not_in_force.first.as_ref().and_then(|name| endpoints.get(name));
        if not_in_force.has_unknown_node && is_told(&endpoint.name, "unknown-node") {
            continue;
        }
        let is_shared = |first: &HostEndpoint| {
            let both = [&first.interface, &endpoint.interface];
            (both[0] == both[1] || both.contains(&&GovernedInterfaces::ByAddress))
                && [first, endpoint].into_iter().any(|one| is_told(&one.name, "same-interface"))
        };
        // Also one that was in force until something written took its place.
        let is_displaced = |first: &HostEndpoint| names.contains(&first.name);
        if !first.is_some_and(is_shared) && (names.contains(&endpoint.name) || first.is_some_and(is_displaced)) {
            let code = not_in_force.code();
            session.terminal.note(format_args!("warning[{code}]: hostendpoint/{} {not_in_force}", endpoint.name));
        }
    }
}

/// Whether a node's name looks like another's.
fn is_near(node: &str, known: &str) -> bool {
    node != known && nearest(node, [known]).is_some()
}
