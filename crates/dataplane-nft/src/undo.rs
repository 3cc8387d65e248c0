//! The inverse of a delta.

use std::collections::BTreeSet;

use tortie_dataplane::{Delta, Place, ProgramId, RulesId, SetChange, SetId, State};

/// The inverse of `delta`, whose base is `state`: the state before it.
pub(crate) fn undo(state: &State, delta: &Delta) -> Delta {
    let mut undo = Delta::default();
    let made: BTreeSet<&SetId> = delta.sets_made.iter().map(|(id, _)| id).collect();
    undo.sets_removed = delta.sets_made.iter().map(|(id, _)| id.clone()).collect();
    // A set that was changed and removed, or made and changed, comes back as it was.
    let removed: BTreeSet<&SetId> = delta.sets_removed.iter().collect();
    let whole = delta.sets_removed.iter().filter_map(|id| Some((id.clone(), state.sets.get(id)?.members())));
    undo.sets_made = whole.collect();
    let changed =
        delta.sets_changed.iter().filter(|change| !made.contains(&change.id) && !removed.contains(&change.id));
    undo.sets_changed = changed
        .map(|change| SetChange { id: change.id.clone(), removed: change.added.clone(), added: change.removed.clone() })
        .collect();
    for id in delta.rules_put.iter().map(|(id, _)| id).chain(&delta.rules_removed).collect::<BTreeSet<&RulesId>>() {
        match state.rules.get(id) {
            Some(rules) => undo.rules_put.push((id.clone(), rules.clone())),
            None => undo.rules_removed.push(id.clone()),
        }
    }
    undo.programs_removed = delta.programs_made.iter().map(|(id, _)| *id).collect();
    let programs: BTreeSet<ProgramId> = delta.programs_removed.iter().copied().collect();
    undo.programs_made = programs.iter().filter_map(|id| Some((*id, state.programs.get(id)?.clone()))).collect();
    undo.host = delta.host.as_ref().map(|_| Box::new(state.host.clone().unwrap_or_default()));
    let put = delta.endpoints_put.iter().map(|(place, _)| place);
    for place in put.chain(&delta.endpoints_removed).collect::<BTreeSet<&Place>>() {
        match state.endpoints.get(place) {
            Some(endpoint) => undo.endpoints_put.push((place.clone(), endpoint.clone())),
            None => undo.endpoints_removed.push(place.clone()),
        }
    }
    undo
}
