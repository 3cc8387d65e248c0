//! The whole desired state as one table.

use std::collections::BTreeSet;

use tortie_dataplane::{Place, RulesId, State};
use tortie_nft::TableId;

use crate::form::{Ruleset, SetForm, sort};
use crate::index::Index;
use crate::options::Options;
use crate::sets::{self, Families};
use crate::skeleton::{self, Plan};
use crate::source::{Now, Source};
use crate::uses;

/// Everything that is to be in the kernel.
pub fn render(state: &State, options: &Options) -> Ruleset {
    whole(state, &Index::of(state), options, &BTreeSet::new(), &BTreeSet::new())
}

/// The same with sets kept for IPv6 also where none has an IPv6 member: a table keeps them once they were needed.
pub fn render_with_ipv6(state: &State, options: &Options) -> Ruleset {
    whole(state, &Index::with(state, Families { v6: true }), options, &BTreeSet::new(), &BTreeSet::new())
}

/// The same with an index at hand, and stand-ins for what the kernel refuses.
pub(crate) fn whole(
    state: &State,
    index: &Index,
    options: &Options,
    lists: &BTreeSet<RulesId>,
    places: &BTreeSet<Place>,
) -> Ruleset {
    let now = Now::new(state, index, lists, places);
    let mut ruleset = Ruleset::new(TableId::inet(&options.table));
    skeleton::render(&Plan::new(state, index), options, &mut ruleset);
    for (id, set) in &state.sets {
        ruleset.sets.extend(sets::render(id, set, index.families).map(|form| (form.set.name.clone(), form)));
    }
    for (id, actings) in &index.actings {
        for acting in actings.keys() {
            ruleset.chains.extend(now.list_chains(id, *acting, options));
        }
    }
    for (id, stages) in &index.stages {
        for stage in stages.keys() {
            ruleset.chains.extend(now.program_chains(*id, *stage, options));
        }
    }
    for place in state.endpoints.keys() {
        let rendered = now.place(place);
        ruleset.chains.extend(rendered.chains);
        for (set, element) in rendered.elements {
            ruleset.sets.entry(set).and_modify(|form| form.elements.push(element));
        }
    }
    ruleset.sets.values_mut().for_each(|form| sort(&mut form.elements));
    for set in uses::named(ruleset.chains.values()) {
        ruleset.sets.entry(set.set.name.clone()).or_insert_with(|| SetForm::clone(&set));
    }
    ruleset
}
