//! The way to a state does not show in it.

use tortie_calc::Engine;
use tortie_testkit::worlds::{Case, Change, NODE, Random, Step, World};

use crate::run::{Node, state_after, update};
use crate::{for_seeds, number};

/// Worlds for each of these; a history is played many times over.
const WORLDS: u64 = 600;

/// All changes of a case, and the world at its end.
fn history(seed: u64) -> (Vec<Change>, World) {
    let mut world = World::new();
    let steps = Case::random(seed).steps;
    let changes = steps.iter().flat_map(|step| world.apply(step).unwrap()).collect();
    (changes, world)
}

fn is_flush(change: &Change) -> bool {
    matches!(change, Change::Flush)
}

#[test]
fn every_history_of_a_store_ends_in_the_same_state() {
    for_seeds(number("TORTIE_WORLDS", WORLDS), |seed| {
        let (changes, world) = history(seed);
        let (forwards, _) = state_after(changes.clone());
        let squashed = changes.iter().filter(|change| !is_flush(change)).cloned();
        assert_eq!(state_after(squashed).0, forwards, "seed {seed}: all in one flush");
        let split = changes.iter().flat_map(|change| [change.clone(), Change::Flush]);
        assert_eq!(state_after(split).0, forwards, "seed {seed}: a flush after each change");
        let doubled = changes.iter().flat_map(|change| [change.clone(), change.clone()]);
        assert_eq!(state_after(doubled).0, forwards, "seed {seed}: everything twice");
        let mut final_form = world.all();
        assert_eq!(state_after(final_form.clone()).0, forwards, "seed {seed}: from scratch");
        let mut random = Random::new(seed);
        random.shuffle(&mut final_form);
        assert_eq!(state_after(final_form.clone()).0, forwards, "seed {seed}: from scratch, in another order");
        let shuffled = final_form.iter().flat_map(|change| [change.clone(), Change::Flush]);
        assert_eq!(state_after(shuffled).0, forwards, "seed {seed}: in another order, flushed each time");
    });
}

#[test]
fn nothing_is_left_when_everything_is_deleted() {
    let mut new = Engine::new(NODE);
    new.flush();
    let (empty, _) = {
        let mut node = Node::new();
        node.take(Change::Delete(key_of_the_built_in_profile())).unwrap();
        node.flush().unwrap();
        (node.fake.state, ())
    };
    for_seeds(number("TORTIE_WORLDS", WORLDS), |seed| {
        let (mut changes, world) = history(seed);
        let mut nothing = world.nothing();
        Random::new(seed).shuffle(&mut nothing);
        if seed % 2 == 0 {
            nothing = nothing.into_iter().flat_map(|change| [change, Change::Flush]).collect();
        }
        changes.extend(nothing);
        let (state, mut engine) = state_after(changes);
        assert_eq!(state, empty, "seed {seed}");
        assert_eq!(engine.size(), new.size(), "seed {seed}");
        assert!(engine.flush().is_empty());
    });
}

/// The memory that an engine holds after these changes and a flush.
fn memory_after(changes: &[Change]) -> i64 {
    // Selectors note their own id when first asked; the ones in the changes shall have done so.
    measured(changes);
    measured(changes)
}

fn measured(changes: &[Change]) -> i64 {
    let mut kept = None;
    let made = allocation_counter::measure(|| {
        let mut engine = Engine::new(NODE);
        for change in changes.iter().cloned() {
            match update(change) {
                Some(update) => engine.update(update),
                None => drop(engine.flush()),
            }
        }
        engine.flush();
        kept = Some(engine);
    });
    drop(kept);
    made.bytes_current
}

#[test]
fn no_memory_is_left_when_everything_is_deleted() {
    let empty = memory_after(&[Change::Settings(Box::default()), Change::Links(Vec::new())]);
    for_seeds(number("TORTIE_WORLDS", WORLDS), |seed| {
        let (mut changes, world) = history(seed);
        changes.push(Change::Flush);
        let mut nothing = world.nothing();
        Random::new(seed).shuffle(&mut nothing);
        changes.extend(nothing);
        assert_eq!(memory_after(&changes), empty, "seed {seed}");
    });
}

fn key_of_the_built_in_profile() -> tortie_api::Key {
    tortie_api::Key::cluster(tortie_api::Kind::Profile, tortie_policy::Profile::default_allow().name)
}

#[test]
fn the_same_seed_gives_the_same_case() {
    assert_eq!(Case::random(3), Case::random(3));
    assert!(Case::random(3).steps.contains(&Step::Flush));
}
