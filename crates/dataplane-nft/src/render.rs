//! The whole desired state as one table.

use std::collections::{BTreeMap, BTreeSet};

use tortie_dataplane::{Owner, ProgramId, RulesId, SetId, State};
use tortie_nft::TableId;
use tortie_policy::Settings;

use crate::form::{Ruleset, sort};
use crate::list::{List, Traits};
use crate::options::Options;
use crate::program::Writer;
use crate::sets::Shape;
use crate::skeleton::{self, Plan};
use crate::stage::{Acting, Stage};
use crate::{place, sets};

/// Everything that is to be in the kernel.
pub fn render(state: &State, options: &Options) -> Ruleset {
    let settings = state.host.as_ref().map(|host| host.settings.clone()).unwrap_or_default();
    let mut ruleset = Ruleset::new(TableId::inet(&options.table));
    let programs = programs(state, &settings);
    let lists = lists(state, &programs, &settings);
    let tiers = tiers(state);
    let list = |id| List { id, rules: &state.rules[id], tier: tiers.get(id).copied().unwrap_or_default() };
    let traits: BTreeMap<&RulesId, Traits> =
        state.rules.keys().map(|id| (id, list(id).traits(&|set| shape(state, set)))).collect();
    let plan = Plan::new(state, traits.values().any(|traits| traits.passes));
    skeleton::render(&plan, options, &mut ruleset);
    for (id, set) in &state.sets {
        ruleset.sets.extend(sets::render(id, set).map(|form| (form.set.name.clone(), form)));
    }
    for (id, acting) in &lists {
        ruleset.chains.extend(list(id).chains(*acting, &settings, options, &|set| shape(state, set)));
    }
    for (stage, id) in programs {
        let program = &state.programs[&id];
        let traits = |rules: &RulesId| traits.get(rules).copied().unwrap_or_default();
        let writer = Writer { stage, program, settings: &settings, options, traits: &traits };
        ruleset.chains.extend(writer.chains(id));
    }
    for (place, endpoint) in &state.endpoints {
        let rendered = place::render(place, endpoint, &settings);
        ruleset.chains.extend(rendered.chains);
        for (set, element) in rendered.elements {
            ruleset.sets.entry(set).and_modify(|form| form.elements.push(element));
        }
    }
    ruleset.sets.values_mut().for_each(|form| sort(&mut form.elements));
    ruleset
}

pub(crate) fn shape(state: &State, set: &SetId) -> Shape {
    state.sets.get(set).map_or(Shape::Hosts, Shape::of)
}

/// The tier of each policy's lists.
fn tiers(state: &State) -> BTreeMap<RulesId, &str> {
    let mut tiers = BTreeMap::new();
    for program in state.programs.values() {
        for tier in &program.tiers {
            for policy in &tier.policies {
                let id = RulesId { owner: Owner::Policy(policy.clone()), direction: program.direction };
                tiers.insert(id, &*tier.name);
            }
        }
    }
    tiers
}

/// The programs in use at each stage that has chains of its own.
fn programs(state: &State, settings: &Settings) -> BTreeSet<(Stage, ProgramId)> {
    let mut used = BTreeSet::new();
    for (place, endpoint) in &state.endpoints {
        for stage in Stage::ALL.into_iter().filter(|stage| stage.is_at(place)) {
            used.extend(stage.program(endpoint).map(|program| (stage.chains(settings), program)));
        }
    }
    used
}

/// The lists in use, with how they act.
fn lists(state: &State, programs: &BTreeSet<(Stage, ProgramId)>, settings: &Settings) -> BTreeSet<(RulesId, Acting)> {
    let rules = |(stage, id): &(Stage, ProgramId)| {
        let acting = stage.acting(settings);
        state.programs[id].rules().map(move |rules| (rules, acting)).collect::<Vec<_>>()
    };
    programs.iter().flat_map(rules).collect()
}
