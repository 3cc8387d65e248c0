//! From a store to the desired state, by way of the engine.

use tortie_calc::{Engine, Id, Update};
use tortie_dataplane::{Delta, State};
use tortie_testkit::worlds::{Case, Change, NODE, Step, World};

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

    /// A case at its end, with every flush applied to the state.
    pub fn to_end(case: &Case) -> Self {
        let mut followed = Self::new();
        for step in &case.steps {
            if let Some(delta) = followed.step(step) {
                followed.state.apply(&delta).unwrap();
            }
        }
        followed
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
        Change::Delete(key) => Update::Delete(Id::named(key).unwrap()),
        Change::Settings(settings) => Update::Settings(settings),
        Change::Links(links) => Update::Links(links),
        Change::Flush => return None,
    })
}
