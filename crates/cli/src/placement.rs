//! Host endpoints that were written and do not count: told at once where the agent of this machine can say so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tortie_agent::FELIX_CONFIG;
use tortie_agent::socket::Objects;
use tortie_api::{Key, Kind};
use tortie_explain::{Topology, placement};
use tortie_store::Selection;
use tortie_sync::InForce;

use crate::ask::Agent;
use crate::session::Session;
use crate::store::Link;

/// Warns of those of these objects that are host endpoints and govern no interface. Silent where no agent answers, because
/// only it knows the interfaces, and where the store cannot be read again: the write itself is done.
pub(crate) fn warn(
    link: &Link,
    config: &Path,
    written: impl Iterator<Item = Key>,
    shared: bool,
    session: &mut Session,
) {
    let names: BTreeSet<String> = written.filter(|key| key.kind == Kind::HostEndpoint).map(|key| key.name).collect();
    if names.is_empty() || session.persona.is_calico() {
        return;
    }
    let Ok((_, store)) = Link::opener(session, config, FELIX_CONFIG.as_ref()) else { return };
    let Ok(Ok(listing)) = link.store().map(|store| store.list(&Selection::default())) else { return };
    let Ok(told) = Agent::soon().in_force(&store, Some(listing.position.clone())) else { return };
    if told.state.objects == Objects::OtherStore {
        return;
    }
    let ground = told.state.ground;
    let mut in_force = InForce::from_stored(&listing.items, listing.position.clone(), &BTreeMap::new());
    ground.settle(&mut in_force);
    let mut topology = Topology::new(&in_force.snapshot).with_host(ground.host());
    if let Some(machine) = ground.machine.clone() {
        topology = topology.with_machine(&ground.node, machine);
    }
    for endpoint in in_force.snapshot.host_endpoints.values() {
        let Some(why) = placement::idle(&topology, endpoint) else { continue };
        // That two share an interface has been told, if it has.
        if shared && why.contains("its name sorts first") {
            continue;
        }
        // Also one that was in force until something written took its place.
        let displaced = || names.iter().any(|name| why.contains(&format!(": {name} ")));
        if names.contains(&endpoint.name) || displaced() {
            session.terminal.note(format_args!("warning[placement]: hostendpoint/{} {why}", endpoint.name));
        }
    }
}
