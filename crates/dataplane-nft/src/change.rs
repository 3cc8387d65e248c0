//! What a step changes in the kernel: the objects of before and after it, and the transactions from one to the other.

mod transaction;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use tortie_dataplane::{Delta, Place, ProgramId, RulesId, SetId};
use tortie_nft::{BaseChain, Element, Set};

use crate::denied_log;
use crate::index::{Index, StepChanges};
use crate::options::TableOptions;
use crate::script::Script;
use crate::set_references::{self, SetReferences};
use crate::sets::{self, Shape};
use crate::skeleton::{self, Plan};
use crate::stage::{Stage, Variant};
use crate::state_view::{CurrentState, PreviousState, StateView};
use crate::table_content::{ChainContent, SetContent, TableContent};

pub(crate) use transaction::Transaction;

/// Objects of before and after.
#[derive(Debug, Default)]
pub(crate) struct Change {
    sets_made: Vec<SetContent>,
    sets_gone: BTreeSet<String>,
    /// Elements that go and that come.
    elements: BTreeMap<String, ElementChange>,
    before: BTreeMap<String, ChainContent>,
    after: BTreeMap<String, ChainContent>,
    references: set_references::Changes,
}

/// Elements of a set that go and that come.
pub(crate) type ElementChange = (Set, Vec<Element>, Vec<Element>);

/// Base chains that have another policy than they should.
#[derive(Debug)]
pub(crate) struct Rebased(Vec<(String, ChainContent)>);

impl Rebased {
    /// The changes from `before` to `after`. None if a chain differs in what cannot be changed while it exists.
    pub(crate) fn of(before: &BTreeMap<String, ChainContent>, after: &BTreeMap<String, ChainContent>) -> Option<Self> {
        let mut all = Vec::new();
        for (name, form) in after {
            let Some(old) = before.get(name) else { continue };
            if old.comment != form.comment.as_deref().map(|comment| tortie_nft::kept_comment(comment).to_owned()) {
                return None;
            }
            match (old.base, form.base) {
                (old, new) if old == new => {}
                (Some(old), Some(new)) if (BaseChain { policy: new.policy, ..old }) == new => {
                    all.push((name.clone(), form.clone()));
                }
                _ => return None,
            }
        }
        Some(Self(all))
    }

    /// Gives them their policies.
    pub(crate) fn write(&self, script: &mut Script) {
        self.0.iter().for_each(|(name, form)| script.add_chain(name, form));
    }
}

/// One step, from all sides.
pub(crate) struct Step<'a> {
    pub(crate) delta: &'a Delta,
    pub(crate) changed_by_step: &'a StepChanges,
    pub(crate) index: &'a Index,
    pub(crate) before: &'a PreviousState<'a>,
    pub(crate) now: &'a CurrentState<'a>,
    pub(crate) plans: Option<(&'a Plan, &'a Plan)>,
    pub(crate) state_sets: &'a BTreeMap<SetId, tortie_dataplane::SetState>,
    pub(crate) options: &'a TableOptions,
    /// How often shared sets are named in the kernel, before the step.
    pub(crate) references: &'a SetReferences,
    /// Lists and places whose standing with the kernel has changed.
    pub(crate) lists: BTreeSet<RulesId>,
    pub(crate) places: BTreeSet<Place>,
    /// Sets that the kernel refused: before the step, and now.
    pub(crate) sets_out: (&'a BTreeSet<SetId>, &'a BTreeSet<SetId>),
}

impl Change {
    /// The changes of a step.
    pub(crate) fn of(step: &Step<'_>) -> Self {
        let mut change = Self::default();
        change.sets(step);
        change.lists(step);
        change.programs(step);
        change.places(step);
        change.skeleton(step);
        denied_log::add(&mut change.before, step.options);
        denied_log::add(&mut change.after, step.options);
        change.only_differences(step.references)
    }

    /// Chains that get other rules: what they have, and what they are to have.
    pub(crate) fn of_chains(
        before: BTreeMap<String, ChainContent>,
        after: BTreeMap<String, ChainContent>,
        references: &SetReferences,
    ) -> Self {
        Self { before, after, ..Self::default() }.only_differences(references)
    }

    /// Without the chains that stay as they are; with the shared sets that come and go.
    fn only_differences(mut self, references: &SetReferences) -> Self {
        let change = &mut self;
        let same = |name: &&String| change.before[*name].lines == change.after[*name].lines;
        let both = change.before.keys().filter(|name| change.after.contains_key(*name));
        let same: Vec<String> = both.filter(same).cloned().collect();
        for name in same {
            change.before.remove(&name);
            change.after.remove(&name);
        }
        change.references = set_references::Changes::of(change.before.values(), change.after.values());
        let (made, gone) = references.turned(&change.references);
        change.sets_made.extend(made);
        change.sets_gone.extend(gone);
        self
    }

    /// The batch that changes chains and sets to their desired content.
    pub(crate) fn repairs(
        sets_made: Vec<SetContent>,
        sets_gone: BTreeSet<String>,
        elements: BTreeMap<String, ElementChange>,
        before: BTreeMap<String, ChainContent>,
        after: BTreeMap<String, ChainContent>,
    ) -> Self {
        Self { sets_made, sets_gone, elements, before, after, references: set_references::Changes::default() }
    }

    /// The chains that are deleted.
    pub(crate) fn chains_gone(&self) -> impl Iterator<Item = &String> {
        self.before.keys().filter(|name| !self.after.contains_key(*name))
    }

    /// The chains that are made or get other rules.
    pub(crate) fn chains_put(&self) -> impl Iterator<Item = (&String, &ChainContent)> {
        self.after.iter()
    }

    /// The sets that are deleted.
    pub(crate) fn sets_gone(&self) -> impl Iterator<Item = &String> {
        self.sets_gone.iter()
    }

    /// The sets that are made.
    pub(crate) fn sets_made(&self) -> impl Iterator<Item = &SetContent> {
        self.sets_made.iter()
    }

    /// The sets that get other elements, with those that go and those that come.
    pub(crate) fn elements(&self) -> impl Iterator<Item = (&String, &[Element], &[Element])> {
        self.elements.iter().map(|(name, (_, gone, come))| (name, gone.as_slice(), come.as_slice()))
    }

    /// The names of all chains and sets that the change is about.
    pub(crate) fn names(&self) -> HashSet<String> {
        let chains = self.before.keys().chain(self.after.keys());
        let sets = self.sets_made.iter().map(|form| &form.set.name).chain(&self.sets_gone).chain(self.elements.keys());
        chains.chain(sets).cloned().collect()
    }

    /// How often shared sets are named more or less than before.
    pub(crate) fn references(&self) -> &set_references::Changes {
        &self.references
    }

    fn sets(&mut self, step: &Step<'_>) {
        let (out_before, out_now) = step.sets_out;
        let turned: HashSet<&SetId> = out_before.symmetric_difference(out_now).collect();
        let replaced: HashSet<&SetId> = step.changed_by_step.shapes.keys().chain(turned).collect();
        for &id in &replaced {
            // What was not touched has the shape that it had.
            let before = step.changed_by_step.shapes.get(id).copied().unwrap_or_else(|| Some(step.now.shape(id)));
            if let Some(before) = before.filter(|_| !out_before.contains(id)) {
                let families = step.index.families.of_set(id);
                self.sets_gone.extend(families.map(|family| sets::empty(id, before, family).name));
            }
            if let Some(set) = step.state_sets.get(id).filter(|_| !out_now.contains(id)) {
                self.sets_made.extend(sets::render(id, set, step.now.shape(id), step.index.families));
            }
        }
        for one in &step.delta.sets_changed {
            let id = &one.id;
            if replaced.contains(id) || out_now.contains(id) || !step.state_sets.contains_key(id) {
                continue;
            }
            let shape: Shape = step.now.shape(id);
            for family in step.index.families.of_set(id) {
                let set = sets::empty(id, shape, family);
                let [gone, come] = [&one.removed, &one.added].map(|members| sets::elements(members, shape, family));
                if !gone.is_empty() || !come.is_empty() {
                    self.elements.insert(set.name.clone(), (set, gone, come));
                }
            }
        }
        self.sets_made.sort_by(|a, b| a.set.name.cmp(&b.set.name));
    }

    fn lists(&mut self, step: &Step<'_>) {
        let put = step.delta.rules_put.iter().map(|(id, _)| id);
        let mut ids: BTreeSet<&RulesId> = put.chain(&step.delta.rules_removed).chain(&step.lists).collect();
        let reshaped = step.changed_by_step.shapes.iter().filter(|(_, before)| before.is_some());
        ids.extend(reshaped.filter_map(|(set, _)| step.index.lookers.get(set)).flatten());
        // A log prefix may name the tier.
        ids.extend(step.changed_by_step.tiers.iter().filter(|(_, before)| before.is_some()).map(|(id, _)| id));
        let mut keys: HashSet<(&RulesId, Variant)> = HashSet::new();
        for ((id, variant), before) in &step.changed_by_step.variants {
            if (*before > 0) != step.now.has_variant(id, *variant) {
                keys.insert((id, *variant));
            }
        }
        for id in ids {
            keys.extend(step.index.variants.get(id).into_iter().flatten().map(|(variant, _)| (id, *variant)));
        }
        for (id, variant) in keys {
            self.before.extend(step.before.list_chains(id, variant, step.options));
            self.after.extend(step.now.list_chains(id, variant, step.options));
        }
    }

    fn programs(&mut self, step: &Step<'_>) {
        let turned =
            |((id, stage), before): &(&(ProgramId, Stage), &u32)| (**before > 0) != step.now.is_staged(*id, *stage);
        let mut keys: BTreeSet<(ProgramId, Stage)> =
            step.changed_by_step.stages.iter().filter(turned).map(|(key, _)| *key).collect();
        for id in &step.changed_by_step.askers {
            keys.extend(step.index.stages.get(id).into_iter().flatten().map(|(stage, _)| (*id, *stage)));
        }
        for (id, stage) in keys {
            self.before.extend(step.before.program_chains(id, stage, step.options));
            self.after.extend(step.now.program_chains(id, stage, step.options));
        }
    }

    fn places(&mut self, step: &Step<'_>) {
        let put = step.delta.endpoints_put.iter().map(|(place, _)| place);
        let places: BTreeSet<&Place> = put.chain(&step.delta.endpoints_removed).chain(&step.places).collect();
        let maps: HashMap<String, Set> =
            skeleton::maps(step.now.settings()).into_iter().map(|set| (set.name.clone(), set)).collect();
        for place in places {
            let (before, after) = (step.before.place(place), step.now.place(place));
            self.before.extend(before.chains);
            self.after.extend(after.chains);
            for (name, set) in &maps {
                let of = |all: &[(String, Element)]| -> Vec<Element> {
                    all.iter().filter(|(map, _)| map == name).map(|(_, element)| element.clone()).collect()
                };
                self.swap(set, &of(&before.elements), &of(&after.elements));
            }
        }
    }

    /// Elements that are in only one of two lists.
    fn swap(&mut self, set: &Set, before: &[Element], after: &[Element]) {
        let gone: Vec<Element> = before.iter().filter(|element| !after.contains(element)).cloned().collect();
        let come: Vec<Element> = after.iter().filter(|element| !before.contains(element)).cloned().collect();
        if !gone.is_empty() || !come.is_empty() {
            let entry = self.elements.entry(set.name.clone()).or_insert_with(|| (set.clone(), Vec::new(), Vec::new()));
            entry.1.extend(gone);
            entry.2.extend(come);
        }
    }

    fn skeleton(&mut self, step: &Step<'_>) {
        let Some((before, after)) = step.plans else { return };
        let draw = |plan: &Plan| {
            let mut ruleset = TableContent::new(tortie_nft::TableId::inet(""));
            skeleton::render(plan, step.options, &mut ruleset);
            ruleset
        };
        let (before, mut after) = (draw(before), draw(after));
        self.before.extend(before.chains);
        self.after.extend(after.chains);
        for (name, form) in before.sets {
            match after.sets.remove(&name) {
                None => {
                    self.sets_gone.insert(name);
                }
                Some(now) => self.swap(&now.set, &form.elements, &now.elements),
            }
        }
        self.sets_made.extend(after.sets.into_values());
    }

    /// Whether there is nothing to send.
    pub(crate) fn is_empty(&self) -> bool {
        self.sets_made.is_empty()
            && self.sets_gone.is_empty()
            && self.elements.is_empty()
            && self.before.is_empty()
            && self.after.is_empty()
    }

    /// The chains that stay and get other rules: the kernel's handles of their rules are needed.
    pub(crate) fn altered(&self) -> impl Iterator<Item = &str> {
        self.before.keys().filter(|name| self.after.contains_key(*name)).map(String::as_str)
    }
}
