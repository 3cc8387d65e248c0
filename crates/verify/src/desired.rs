//! The table that the kernel should have: the desired state of a snapshot, computed from scratch.

use tortie_calc::{Engine, Update};
use tortie_dataplane::State;
use tortie_dataplane_nft::{Comparison, TableContent, TableOptions, compare, render, render_with_ipv6};
use tortie_policy::packet::Host;
use tortie_policy::{Item, Snapshot};

/// The desired state of a node.
pub(crate) fn desired(snapshot: &Snapshot, host: &Host) -> State {
    let mut engine = Engine::new(&host.node);
    for item in items(snapshot) {
        engine.update(Update::Put(item));
    }
    engine.update(Update::Settings(Box::new(snapshot.settings(&host.node).clone())));
    engine.update(Update::Links(host.links.clone()));
    let mut state = State::default();
    // The first change of a new engine fits an empty state.
    let applied = state.apply(&engine.flush());
    debug_assert_eq!(applied, Ok(()));
    state
}

fn items(snapshot: &Snapshot) -> impl Iterator<Item = Item> {
    let policies = snapshot.policies.values().cloned().map(|one| Item::Policy(Box::new(one)));
    let workloads = snapshot.workload_endpoints.values().cloned().map(|one| Item::WorkloadEndpoint(Box::new(one)));
    (snapshot.tiers.values().cloned().map(Item::Tier))
        .chain(snapshot.nodes.values().cloned().map(Item::Node))
        .chain(snapshot.pools.values().cloned().map(Item::Pool))
        .chain(snapshot.slices.values().cloned().map(Item::EndpointSlice))
        .chain(snapshot.network_sets.values().cloned().map(Item::NetworkSet))
        .chain(snapshot.profiles.values().cloned().map(Item::Profile))
        .chain(policies)
        .chain(snapshot.host_endpoints.values().cloned().map(Item::HostEndpoint))
        .chain(workloads)
}

/// Compares a table with what a state asks for. An agent keeps sets for IPv6 once they were needed, so that both
/// renderings are right where no set has an IPv6 member.
pub(crate) fn against(state: &State, options: &TableOptions, found: &TableContent, most: usize) -> Comparison {
    let compared = compare(&render(state, options), found, most);
    if compared.different == 0 {
        return compared;
    }
    let with_ipv6 = compare(&render_with_ipv6(state, options), found, most);
    if with_ipv6.different < compared.different { with_ipv6 } else { compared }
}
