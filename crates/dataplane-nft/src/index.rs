//! What follows from the desired state and is asked often: who asks a list, who looks in a set, how a
//! set is kept ([`Shape`]), what is in use where.
//!
//! It follows the state step by step. Each step returns what it changed and the values before, so that what the kernel has can
//! be rendered again and compared.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ipnet::IpNet;
use tortie_dataplane::{Delta, Endpoint, Members, Owner, Place, Program, ProgramId, Rule, RulesId, SetId, State};
use tortie_policy::Settings;

use crate::rule_list::{List, Traits};
use crate::sets::{Families, Shape, is_host};
use crate::stage::{Stage, Variant};

/// What follows from a state.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Index {
    pub(crate) traits: HashMap<RulesId, Traits>,
    pub(crate) tiers: HashMap<RulesId, Arc<str>>,
    /// The programs that ask a list.
    pub(crate) askers: HashMap<RulesId, BTreeSet<ProgramId>>,
    /// The lists that look in a set.
    pub(crate) lookers: HashMap<SetId, BTreeSet<RulesId>>,
    pub(crate) shapes: HashMap<SetId, Shape>,
    /// How many members of a set are nets.
    nets: HashMap<SetId, usize>,
    /// The stages whose chains a program is needed in, with how many endpoints need it.
    pub(crate) stages: HashMap<ProgramId, BTreeMap<Stage, u32>>,
    /// The renderings that a list is needed in, with how many programs need it.
    pub(crate) variants: HashMap<RulesId, BTreeMap<Variant, u32>>,
    /// How many lists pass.
    passing: usize,
    /// The families that sets are kept for. A change that needs another one is no step.
    pub(crate) families: Families,
}

/// What a step changed, with what was there before.
#[derive(Debug, Default)]
pub(crate) struct StepChanges {
    pub(crate) traits: HashMap<RulesId, Traits>,
    pub(crate) tiers: HashMap<RulesId, Option<Arc<str>>>,
    pub(crate) shapes: HashMap<SetId, Option<Shape>>,
    pub(crate) stages: HashMap<(ProgramId, Stage), u32>,
    pub(crate) variants: HashMap<(RulesId, Variant), u32>,
    /// Programs that asked a list whose looks changed, before or after.
    pub(crate) askers: BTreeSet<ProgramId>,
    /// Some list passed before and none does now, or the other way round.
    pub(crate) passes: bool,
}

impl Index {
    /// What follows from a whole state.
    pub(crate) fn of(state: &State) -> Self {
        Self::with(state, Families::default())
    }

    /// Indexes a state, and keeps the sets of `families` in any case.
    pub(crate) fn with(state: &State, families: Families) -> Self {
        let families = families.or(Families::of_all(state.sets.iter()));
        let mut index = Self { families, ..Self::default() };
        index.step(&State::default(), &state.to_delta());
        index
    }

    /// Whether any list passes.
    pub(crate) fn passes(&self) -> bool {
        self.passing > 0
    }

    /// Follows a change of `before`. Settings that everything depends on must not change by it.
    pub(crate) fn step(&mut self, before: &State, delta: &Delta) -> StepChanges {
        let mut changed_by_step = StepChanges::default();
        let passed = self.passes();
        self.sets(delta, &mut changed_by_step);
        for (id, rules) in &delta.rules_put {
            self.forget_rules(before, id, &mut changed_by_step);
            self.put_rules(id, rules, &mut changed_by_step);
        }
        for (id, program) in &delta.programs_made {
            self.put_program(*id, program, &mut changed_by_step);
        }
        let host = delta.host.as_deref().or(before.host.as_ref());
        let settings = host.map(|host| host.settings.clone()).unwrap_or_default();
        let made: HashMap<ProgramId, &Program> = delta.programs_made.iter().map(|(id, one)| (*id, one)).collect();
        let program = |id: &ProgramId| made.get(id).copied().or_else(|| before.programs.get(id));
        for (place, endpoint) in &delta.endpoints_put {
            self.endpoint(place, endpoint, true, &settings, &program, &mut changed_by_step);
        }
        let put = delta.endpoints_put.iter().map(|(place, _)| place);
        for place in put.chain(&delta.endpoints_removed) {
            if let Some(endpoint) = before.endpoints.get(place) {
                self.endpoint(place, endpoint, false, &settings, &program, &mut changed_by_step);
            }
        }
        for id in &delta.programs_removed {
            if let Some(program) = before.programs.get(id) {
                self.forget_program(*id, program, &mut changed_by_step);
            }
        }
        for id in &delta.rules_removed {
            self.forget_rules(before, id, &mut changed_by_step);
            self.traits.remove(id);
        }
        for id in &delta.sets_removed {
            changed_by_step.shapes.entry(id.clone()).or_insert(self.shapes.remove(id));
            self.nets.remove(id);
        }
        changed_by_step.askers.extend(
            changed_by_step
                .traits
                .iter()
                .filter(|(id, before)| self.traits.get(id).is_some_and(|now| now != *before))
                .filter_map(|(id, _)| self.askers.get(id))
                .flatten(),
        );
        changed_by_step.passes = passed != self.passes();
        changed_by_step
    }

    fn sets(&mut self, delta: &Delta, changed_by_step: &mut StepChanges) {
        for (id, members) in &delta.sets_made {
            self.nets.insert(id.clone(), nets(members));
            self.reshape(id, matches!(members, Members::Ports(_)), changed_by_step);
        }
        for change in &delta.sets_changed {
            let count = self.nets.entry(change.id.clone()).or_default();
            *count = (*count + nets(&change.added)).saturating_sub(nets(&change.removed));
            self.reshape(&change.id, matches!(change.added, Members::Ports(_)), changed_by_step);
        }
    }

    fn reshape(&mut self, id: &SetId, ports: bool, changed_by_step: &mut StepChanges) {
        let shape = match self.nets.get(id) {
            _ if ports => Shape::Ports,
            Some(0) | None => Shape::Hosts,
            Some(_) => Shape::Nets,
        };
        let before = self.shapes.insert(id.clone(), shape);
        if before != Some(shape) {
            changed_by_step.shapes.entry(id.clone()).or_insert(before);
        }
    }

    fn put_rules(&mut self, id: &RulesId, rules: &[Rule], changed_by_step: &mut StepChanges) {
        let list = List { id, rules, tier: "" };
        let shapes = &self.shapes;
        let shape = |set: &SetId| shapes.get(set).copied().unwrap_or(Shape::Hosts);
        let families = self.families;
        let traits = list.traits(&|set, family| families.keep(set, family).then(|| shape(set)));
        self.passing += usize::from(traits.passes);
        for set in rules.iter().flat_map(Rule::sets) {
            self.lookers.entry(set.clone()).or_default().insert(id.clone());
        }
        let before = self.traits.insert(id.clone(), traits).unwrap_or_default();
        changed_by_step.traits.entry(id.clone()).or_insert(before);
    }

    /// Forgets what followed from a list as it was, but for how it looked to programs.
    fn forget_rules(&mut self, before: &State, id: &RulesId, changed_by_step: &mut StepChanges) {
        let Some(rules) = before.rules.get(id) else { return };
        let traits = self.traits.get(id).copied().unwrap_or_default();
        self.passing -= usize::from(traits.passes);
        changed_by_step.traits.entry(id.clone()).or_insert(traits);
        for set in rules.iter().flat_map(Rule::sets) {
            if let Some(lists) = self.lookers.get_mut(set) {
                lists.remove(id);
                if lists.is_empty() {
                    self.lookers.remove(set);
                }
            }
        }
    }

    fn put_program(&mut self, id: ProgramId, program: &Program, changed_by_step: &mut StepChanges) {
        for rules in program.rules() {
            self.askers.entry(rules).or_default().insert(id);
        }
        for tier in &program.tiers {
            for policy in &tier.policies {
                let rules = RulesId { owner: Owner::Policy(policy.clone()), direction: program.direction };
                let before = self.tiers.insert(rules.clone(), tier.name.clone());
                if before.as_ref() != Some(&tier.name) {
                    changed_by_step.tiers.entry(rules).or_insert(before);
                }
            }
        }
    }

    fn forget_program(&mut self, id: ProgramId, program: &Program, changed_by_step: &mut StepChanges) {
        for rules in program.rules() {
            let Some(askers) = self.askers.get_mut(&rules) else { continue };
            askers.remove(&id);
            if askers.is_empty() {
                self.askers.remove(&rules);
                let before = self.tiers.remove(&rules);
                changed_by_step.tiers.entry(rules).or_insert(before);
            }
        }
    }

    fn endpoint<'a>(
        &mut self,
        place: &Place,
        endpoint: &Endpoint,
        more: bool,
        settings: &Settings,
        program_of: &impl Fn(&ProgramId) -> Option<&'a Program>,
        changed_by_step: &mut StepChanges,
    ) {
        for stage in Stage::ALL.into_iter().filter(|stage| stage.is_at(place)) {
            let (Some(program), stage) = (stage.program(endpoint), stage.chains(settings)) else { continue };
            let count = self.stages.entry(program).or_default().entry(stage).or_default();
            changed_by_step.stages.entry((program, stage)).or_insert(*count);
            let was = *count;
            *count = if more { was + 1 } else { was.saturating_sub(1) };
            if *count == 0 {
                prune(&mut self.stages, &program, &stage);
            }
            // The first of them needs the program's lists, the last needs them no more.
            if was == u32::from(!more) {
                let rules = program_of(&program).into_iter().flat_map(Program::rules);
                rules.for_each(|rules| self.variant(rules, stage.variant(settings), more, changed_by_step));
            }
        }
    }

    fn variant(&mut self, rules: RulesId, variant: Variant, more: bool, changed_by_step: &mut StepChanges) {
        let count = self.variants.entry(rules.clone()).or_default().entry(variant).or_default();
        changed_by_step.variants.entry((rules.clone(), variant)).or_insert(*count);
        *count = if more { *count + 1 } else { count.saturating_sub(1) };
        if *count == 0 {
            prune(&mut self.variants, &rules, &variant);
        }
    }
}

fn prune<K: std::hash::Hash + Eq, L: Ord>(counts: &mut HashMap<K, BTreeMap<L, u32>>, outer: &K, inner: &L) {
    if let Some(inside) = counts.get_mut(outer) {
        inside.remove(inner);
        if inside.is_empty() {
            counts.remove(outer);
        }
    }
}

fn nets(members: &Members) -> usize {
    match members {
        Members::Nets(nets) => nets.iter().filter(|net: &&IpNet| !is_host(net)).count(),
        Members::Ports(_) => 0,
    }
}
