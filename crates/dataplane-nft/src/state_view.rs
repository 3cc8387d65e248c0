//! Where renderers read from: the state as it is, or as it was before the last step.

use std::collections::{BTreeSet, HashMap};

use tortie_dataplane::{Delta, Endpoint, HostState, Place, Program, ProgramId, Rule, RulesId, SetId, State};
use tortie_policy::{Family, Settings};

use crate::endpoint;
use crate::index::{Index, StepChanges};
use crate::options::TableOptions;
use crate::program::Writer;
use crate::rule_list::{List, Traits};
use crate::sets::Shape;
use crate::stage::{Stage, Variant};
use crate::table_content::ChainContent;

/// Chains by name.
pub(crate) type Chains = Vec<(String, ChainContent)>;

/// What the kernel refused, so that it is not rendered as the state says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quarantined<'a> {
    /// Lists that a denial stands for.
    pub(crate) lists: &'a BTreeSet<RulesId>,
    /// Sets that are left out; a denial stands for the lists that look in them.
    pub(crate) sets: &'a BTreeSet<SetId>,
    /// Endpoints that are left out.
    pub(crate) places: &'a BTreeSet<Place>,
}

impl Quarantined<'static> {
    /// Nothing was refused.
    pub(crate) const fn nothing() -> Self {
        static LISTS: BTreeSet<RulesId> = BTreeSet::new();
        static SETS: BTreeSet<SetId> = BTreeSet::new();
        static PLACES: BTreeSet<Place> = BTreeSet::new();
        Self { lists: &LISTS, sets: &SETS, places: &PLACES }
    }
}

impl Quarantined<'_> {
    fn has(&self, id: &RulesId, rules: &[Rule]) -> bool {
        let looks = || rules.iter().flat_map(Rule::sets).any(|set| self.sets.contains(set));
        self.lists.contains(id) || (!self.sets.is_empty() && looks())
    }
}

/// A state that can be asked for what renderers need.
pub(crate) trait StateView {
    fn settings(&self) -> &Settings;
    fn rules(&self, id: &RulesId) -> &[Rule];
    fn program(&self, id: ProgramId) -> Option<&Program>;
    fn traits(&self, id: &RulesId) -> Traits;
    fn tier(&self, id: &RulesId) -> &str;
    fn shape(&self, set: &SetId) -> Shape;
    /// Whether sets are kept for a family.
    fn keeps(&self, set: &SetId, family: Family) -> bool;
    fn endpoint(&self, place: &Place) -> Option<&Endpoint>;
    /// Whether a program's chains are needed at a stage.
    fn is_staged(&self, id: ProgramId, stage: Stage) -> bool;
    /// Whether a list is needed in a rendering.
    fn has_variant(&self, id: &RulesId, variant: Variant) -> bool;
    /// Whether a denial stands for a list, because the kernel refused it.
    fn refused(&self, id: &RulesId) -> bool;
    /// Whether an endpoint is left out for that.
    fn left_out(&self, place: &Place) -> bool;

    fn list_chains(&self, id: &RulesId, variant: Variant, options: &TableOptions) -> Chains
    where
        Self: Sized,
    {
        if !self.has_variant(id, variant) {
            return Vec::new();
        }
        let list = List { id, rules: self.rules(id), tier: self.tier(id) };
        if self.refused(id) {
            return list.stand_in(variant, self.settings(), self.traits(id));
        }
        let shape = |set: &SetId, family| self.keeps(set, family).then(|| self.shape(set));
        list.chains(variant, self.settings(), options, &shape)
    }

    fn program_chains(&self, id: ProgramId, stage: Stage, options: &TableOptions) -> Chains
    where
        Self: Sized,
    {
        let Some(program) = self.program(id).filter(|_| self.is_staged(id, stage)) else { return Vec::new() };
        let traits = |rules: &RulesId| self.traits(rules);
        Writer { stage, program, settings: self.settings(), options, traits: &traits }.chains(id)
    }

    fn place(&self, place: &Place) -> endpoint::RenderedEndpoint {
        let endpoint = self.endpoint(place).filter(|_| !self.left_out(place));
        endpoint.map(|one| endpoint::render(place, one, self.settings())).unwrap_or_default()
    }
}

/// The state after a step.
pub(crate) struct CurrentState<'a> {
    state: &'a State,
    index: &'a Index,
    settings: Settings,
    out: Quarantined<'a>,
}

impl<'a> CurrentState<'a> {
    pub(crate) fn new(state: &'a State, index: &'a Index, out: Quarantined<'a>) -> Self {
        let settings = state.host.as_ref().map(|host| host.settings.clone()).unwrap_or_default();
        Self { state, index, settings, out }
    }
}

impl StateView for CurrentState<'_> {
    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn rules(&self, id: &RulesId) -> &[Rule] {
        self.state.rules.get(id).map_or(&[], Vec::as_slice)
    }

    fn program(&self, id: ProgramId) -> Option<&Program> {
        self.state.programs.get(&id)
    }

    fn traits(&self, id: &RulesId) -> Traits {
        self.index.traits.get(id).copied().unwrap_or_default()
    }

    fn tier(&self, id: &RulesId) -> &str {
        self.index.tiers.get(id).map_or("", |tier| tier)
    }

    fn shape(&self, set: &SetId) -> Shape {
        self.index.shapes.get(set).copied().unwrap_or(Shape::Hosts)
    }

    fn keeps(&self, set: &SetId, family: Family) -> bool {
        self.index.families.keep(set, family)
    }

    fn endpoint(&self, place: &Place) -> Option<&Endpoint> {
        self.state.endpoints.get(place)
    }

    fn is_staged(&self, id: ProgramId, stage: Stage) -> bool {
        self.index.stages.get(&id).is_some_and(|stages| stages.contains_key(&stage))
    }

    fn has_variant(&self, id: &RulesId, variant: Variant) -> bool {
        self.index.variants.get(id).is_some_and(|variants| variants.contains_key(&variant))
    }

    fn refused(&self, id: &RulesId) -> bool {
        self.out.has(id, self.rules(id))
    }

    fn left_out(&self, place: &Place) -> bool {
        self.out.places.contains(place)
    }
}

/// The state before a step, reconstructed from the delta that undoes it.
pub(crate) struct PreviousState<'a> {
    now: &'a CurrentState<'a>,
    changed_by_step: &'a StepChanges,
    out: Quarantined<'a>,
    settings: Settings,
    rules: HashMap<&'a RulesId, &'a [Rule]>,
    programs: HashMap<ProgramId, &'a Program>,
    endpoints: HashMap<&'a Place, Option<&'a Endpoint>>,
}

impl<'a> PreviousState<'a> {
    pub(crate) fn new(
        now: &'a CurrentState<'a>,
        changed_by_step: &'a StepChanges,
        undo: &'a Delta,
        host: Option<&HostState>,
        out: Quarantined<'a>,
    ) -> Self {
        let gone = undo.endpoints_removed.iter().map(|place| (place, None));
        Self {
            now,
            changed_by_step,
            out,
            settings: host.map(|host| host.settings.clone()).unwrap_or_default(),
            rules: undo.rules_put.iter().map(|(id, rules)| (id, rules.as_slice())).collect(),
            programs: undo.programs_made.iter().map(|(id, program)| (*id, program)).collect(),
            endpoints: undo.endpoints_put.iter().map(|(place, one)| (place, Some(one))).chain(gone).collect(),
        }
    }
}

impl StateView for PreviousState<'_> {
    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn rules(&self, id: &RulesId) -> &[Rule] {
        self.rules.get(id).copied().unwrap_or_else(|| self.now.rules(id))
    }

    fn program(&self, id: ProgramId) -> Option<&Program> {
        self.programs.get(&id).copied().or_else(|| self.now.program(id))
    }

    fn traits(&self, id: &RulesId) -> Traits {
        self.changed_by_step.traits.get(id).copied().unwrap_or_else(|| self.now.traits(id))
    }

    fn tier(&self, id: &RulesId) -> &str {
        match self.changed_by_step.tiers.get(id) {
            Some(before) => before.as_deref().unwrap_or_default(),
            None => self.now.tier(id),
        }
    }

    fn shape(&self, set: &SetId) -> Shape {
        match self.changed_by_step.shapes.get(set) {
            Some(before) => before.unwrap_or(Shape::Hosts),
            None => self.now.shape(set),
        }
    }

    fn keeps(&self, set: &SetId, family: Family) -> bool {
        self.now.keeps(set, family)
    }

    fn endpoint(&self, place: &Place) -> Option<&Endpoint> {
        self.endpoints.get(place).copied().unwrap_or_else(|| self.now.endpoint(place))
    }

    fn is_staged(&self, id: ProgramId, stage: Stage) -> bool {
        self.changed_by_step.stages.get(&(id, stage)).map_or_else(|| self.now.is_staged(id, stage), |count| *count > 0)
    }

    fn has_variant(&self, id: &RulesId, variant: Variant) -> bool {
        let before = self.changed_by_step.variants.get(&(id.clone(), variant));
        before.map_or_else(|| self.now.has_variant(id, variant), |count| *count > 0)
    }

    fn refused(&self, id: &RulesId) -> bool {
        self.out.has(id, self.rules(id))
    }

    fn left_out(&self, place: &Place) -> bool {
        self.out.places.contains(place)
    }
}
