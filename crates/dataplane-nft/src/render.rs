//! The whole desired state as one table.

use std::collections::BTreeSet;

use tortie_dataplane::State;
use tortie_nft::TableId;

use crate::index::Index;
use crate::options::TableOptions;
use crate::sets::{self, Families};
use crate::skeleton::{self, Plan};
use crate::state_view::{CurrentState, Quarantined, StateView};
use crate::table_content::{SetContent, TableContent, sort};
use crate::{denied_log, endpoint, names, program, rule_list, set_references, values};

/// Everything that is to be in the kernel.
pub fn render(state: &State, options: &TableOptions) -> TableContent {
    whole(state, &Index::of(state), options, &Quarantined::nothing())
}

/// Renders a state with the sets for IPv6, also if none has an IPv6 member: a table keeps them once they were needed.
pub fn render_with_ipv6(state: &State, options: &TableOptions) -> TableContent {
    whole(state, &Index::with(state, Families { v6: true }), options, &Quarantined::nothing())
}

/// Renders a state by its index, with replacements for what the kernel refuses.
pub(crate) fn whole(state: &State, index: &Index, options: &TableOptions, out: &Quarantined<'_>) -> TableContent {
    some(state, index, options, out, None)
}

/// Objects of the table by name.
pub(crate) struct ObjectNames<'a> {
    /// Chains.
    pub(crate) chains: &'a BTreeSet<String>,
    /// Sets.
    pub(crate) sets: &'a BTreeSet<&'a str>,
}

impl ObjectNames<'_> {
    /// Whether a chain or the one beside it for fragments is among them.
    fn has_chain(&self, name: &str) -> bool {
        self.chains.contains(name) || self.chains.contains(&rule_list::fragment_name(name))
    }
}

/// Only some objects of it; those that are not to be in the kernel are missing.
pub(crate) fn part(
    state: &State,
    index: &Index,
    options: &TableOptions,
    out: &Quarantined<'_>,
    only: &ObjectNames<'_>,
) -> TableContent {
    let mut ruleset = some(state, index, options, out, Some(only));
    ruleset.chains.retain(|name, _| only.chains.contains(name));
    ruleset.sets.retain(|name, _| only.sets.contains(name.as_str()));
    ruleset
}

/// The objects of `only` and perhaps more; everything without it.
fn some(
    state: &State,
    index: &Index,
    options: &TableOptions,
    out: &Quarantined<'_>,
    only: Option<&ObjectNames<'_>>,
) -> TableContent {
    let now = CurrentState::new(state, index, *out);
    let mut ruleset = TableContent::new(TableId::inet(&options.table));
    skeleton::render(&Plan::new(state, index), options, &mut ruleset);
    // Which lists name a shared set is not kept.
    let shared = only.is_none_or(|only| only.sets.iter().any(|name| name.starts_with(values::PREFIX)));
    // A skeleton's set holds elements of endpoints.
    let dispatched = only.is_none_or(|only| {
        only.sets.iter().any(|name| ruleset.sets.contains_key(*name))
            || only.chains.iter().any(|name| name.contains(endpoint::OWN))
    });
    for (id, set) in state.sets.iter().filter(|(id, _)| !out.sets.contains(*id)) {
        let shape = now.shape(id);
        let names = |only: &ObjectNames<'_>| {
            index.families.of_set(id).any(|family| only.sets.contains(&*names::set(id, shape, family)))
        };
        if only.is_none_or(names) {
            ruleset.sets.extend(sets::render(id, set, shape, index.families).map(|form| (form.set.name.clone(), form)));
        }
    }
    for (id, variants) in &index.variants {
        for variant in variants.keys() {
            if shared || only.is_some_and(|one| one.has_chain(&rule_list::chain_name(id, *variant, now.settings()))) {
                ruleset.chains.extend(now.list_chains(id, *variant, options));
            }
        }
    }
    for (id, stages) in &index.stages {
        for stage in stages.keys() {
            if only.is_none_or(|only| only.has_chain(&program::chain_name(*stage, *id))) {
                ruleset.chains.extend(now.program_chains(*id, *stage, options));
            }
        }
    }
    for place in state.endpoints.keys().filter(|_| dispatched) {
        let rendered = now.place(place);
        ruleset.chains.extend(rendered.chains);
        for (set, element) in rendered.elements {
            ruleset.sets.entry(set).and_modify(|form| form.elements.push(element));
        }
    }
    ruleset.sets.values_mut().for_each(|form| sort(&mut form.elements));
    denied_log::add(&mut ruleset.chains, options);
    for set in set_references::named(ruleset.chains.values()) {
        ruleset.sets.entry(set.set.name.clone()).or_insert_with(|| SetContent::clone(&set));
    }
    ruleset
}
