//! From a store to the desired state, by way of the engine.

use tortie_api::{Key, Kind};
use tortie_calc::{Engine, Id, Update};
use tortie_dataplane::{Delta, State};
use tortie_policy::{PolicyId, SetId, WorkloadId};
use tortie_testkit::worlds::{Change, NODE, Step, World};

/// A store and an engine that follows it.
pub struct Followed {
    /// The store.
    pub world: World,
    engine: Engine,
    /// What the engine has said so far.
    pub state: State,
}

impl Followed {
    /// An empty store.
    pub fn new() -> Self {
        let mut engine = Engine::new(NODE);
        for change in World::start() {
            engine.update(update(change).unwrap());
        }
        Self { world: World::new(), engine, state: State::default() }
    }

    /// Takes a step. A flush gives what it changes, which is not applied yet.
    pub fn step(&mut self, step: &Step) -> Option<Delta> {
        for change in self.world.apply(step).unwrap() {
            match update(change) {
                Some(update) => self.engine.update(update),
                None => return Some(self.engine.flush()),
            }
        }
        None
    }
}

fn update(change: Change) -> Option<Update> {
    Some(match change {
        Change::Put(item) => Update::Put(item),
        Change::Delete(key) => Update::Delete(id(key)),
        Change::Settings(settings) => Update::Settings(settings),
        Change::Links(links) => Update::Links(links),
        Change::PutService(service) => Update::PutService(service),
        Change::DeleteService(id) => Update::Delete(Id::Service(id)),
        Change::Flush => return None,
    })
}

fn id(key: Key) -> Id {
    let Key { kind, namespace, name } = key;
    match kind {
        Kind::Tier => Id::Tier(name),
        Kind::Profile => Id::Profile(name),
        Kind::HostEndpoint => Id::HostEndpoint(name),
        Kind::WorkloadEndpoint => Id::WorkloadEndpoint(WorkloadId { namespace, name }),
        Kind::NetworkSet | Kind::GlobalNetworkSet => Id::NetworkSet(SetId { namespace, name }),
        Kind::Node => Id::Node(name),
        Kind::IPPool => Id::Pool(name),
        kind => Id::Policy(PolicyId { kind, namespace, name }),
    }
}
