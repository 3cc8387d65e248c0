//! Quarantine: what the kernel refused, and what is programmed in its place.
//!
//! A list that the kernel refuses keeps its last accepted version; if there is none, it is replaced by a denial. A set that it
//! refuses is left out, and every list that looks in it is replaced by a denial. An endpoint is left out, which closes a
//! workload's interface. Whatever is written anew is tried anew.

use std::collections::{BTreeMap, BTreeSet};

use tortie_dataplane::{Delta, Place, Rule, RulesId, SetId, State};

use super::Refused;
use crate::state_view::Quarantined;

/// What the kernel refused.
#[derive(Clone, Debug, Default)]
pub(super) struct Quarantine {
    /// Lists that are replaced by a denial.
    pub(super) lists: BTreeSet<RulesId>,
    /// Lists that are still as they were before.
    behind: BTreeSet<RulesId>,
    /// Sets that are left out.
    pub(super) sets: BTreeSet<SetId>,
    /// Endpoints that are left out.
    pub(super) places: BTreeSet<Place>,
    /// All of them, with the kernel's reasons.
    pub(super) reasons: BTreeMap<Refused, String>,
}

impl Quarantine {
    /// What is not rendered as the state says.
    pub(super) fn out(&self) -> Quarantined<'_> {
        Quarantined { lists: &self.lists, sets: &self.sets, places: &self.places }
    }

    /// Quarantines an object.
    pub(super) fn put(&mut self, refused: Refused, reason: String) {
        match &refused {
            Refused::Rules(id) => drop(self.lists.insert(id.clone())),
            Refused::Set(id) => drop(self.sets.insert(id.clone())),
            Refused::Endpoint(place) => drop(self.places.insert(place.clone())),
        }
        self.reasons.insert(refused, reason);
    }

    /// Takes off what a change says anew. What has to be given up for lost joins the change.
    pub(super) fn reconsider(&mut self, state: &State, delta: &mut Delta) {
        let put: BTreeSet<&RulesId> = delta.rules_put.iter().map(|(id, _)| id).chain(&delta.rules_removed).collect();
        self.lists.retain(|id| !put.contains(id));
        self.behind.retain(|id| !put.contains(id));
        self.reasons.retain(|refused, _| !matches!(refused, Refused::Rules(id) if put.contains(id)));
        let made = delta.sets_made.iter().map(|(id, _)| id);
        let sets = made.chain(delta.sets_changed.iter().map(|change| &change.id)).chain(&delta.sets_removed);
        for set in sets {
            if self.sets.remove(set) {
                self.reasons.remove(&Refused::Set(set.clone()));
            }
        }
        let places = delta.endpoints_put.iter().map(|(place, _)| place).chain(&delta.endpoints_removed);
        for place in places {
            self.places.remove(place);
            self.reasons.remove(&Refused::Endpoint(place.clone()));
        }
        // What is behind must not look in sets that go.
        let lost = |id: &&RulesId| {
            let rules = state.rules.get(*id).map_or(&[][..], Vec::as_slice);
            looks_in_removed(rules, delta)
        };
        let lost: Vec<RulesId> = self.behind.iter().filter(lost).cloned().collect();
        for id in lost {
            self.behind.remove(&id);
            self.lists.insert(id.clone());
            delta.rules_put.push((id, Vec::new()));
        }
    }

    /// Keeps what the kernel refused out of a change: as it was if it can stay so, else a stand-in.
    pub(super) fn keep_out(&mut self, state: &State, delta: &mut Delta, refused: Refused, reason: String) {
        if let Refused::Rules(id) = &refused {
            let old = state.rules.get(id).filter(|_| !self.lists.contains(id));
            let stays = old.is_some_and(|rules| !looks_in_removed(rules, delta));
            if stays && delta.rules_put.iter().any(|(put, _)| put == id) {
                delta.rules_put.retain(|(put, _)| put != id);
                self.behind.insert(id.clone());
                self.reasons.insert(refused, reason);
                return;
            }
        }
        self.put(refused, reason);
    }
}

fn looks_in_removed(rules: &[Rule], delta: &Delta) -> bool {
    rules.iter().flat_map(Rule::sets).any(|set| delta.sets_removed.contains(set))
}
