//! The base chains, the maps they dispatch by, and what is decided before any policy.
//!
//! ```text
//!   prerouting  -300 start-in: clear our bits, source check | untracked-in      -150 pre-dnat      (conntrack is at -200)
//!   input          0 from-workload      1 host-in                                                  2 end-in
//!   forward        0 forward-in         1 from-workload       2 to-workload     3 forward-out
//!   output      -300 start-out: clear our bits | untracked-out                  0 host-out
//!   postrouting -150 host-out-late   -149 end-out: clear our bits
//! ```
//!
//! A stage in which nothing can happen has no base chain, so a packet pays only for what is used.

pub(crate) mod base;
mod early;
mod nat;

use tortie_dataplane::{HostState, Place, SetId, State};
use tortie_nft::{DataType, Set};
use tortie_policy::{Family, Settings};

use crate::endpoint::{WORKLOADS, exceptions};
use crate::index::Index;
use crate::match_expr::{address_type, fields};
use crate::options::TableOptions;
use crate::sets::{FAMILIES, Shape};
use crate::stage::Stage;
use crate::table_content::{ChainContent, Line, SetContent, TableContent};

pub use base::{FILTER, MANGLE, RAW};
pub use nat::{DESTINATION as FLOATING_IPS, SOURCE as GIVES_SOURCE};

/// The chain that keeps connection tracking on.
const CONNTRACK: &str = "conntrack";

/// What the skeleton depends on, all of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    host: HostState,
    /// Some host endpoint is here.
    hosts: bool,
    /// What `*` has at each stage: nothing here, no program, or a program's chain.
    any: Vec<Option<Option<String>>>,
    /// The stages at which some named host endpoint has a program.
    named: Vec<Stage>,
    /// Some rule passes.
    passes: bool,
    /// Some pool is translated.
    pools: bool,
    /// How the sets that it looks in are kept.
    shapes: Vec<(&'static str, Shape)>,
}

impl Plan {
    /// Reads it off the desired state.
    pub(crate) fn new(state: &State, index: &Index) -> Self {
        let host = state.host.clone().unwrap_or_default();
        let any = state.endpoints.get(&Place::AnyHost);
        let chain = |stage: Stage| {
            let endpoint = any.filter(|_| stage.is_at(&Place::AnyHost))?;
            let stages = stage.chains(&host.settings);
            Some(stage.program(endpoint).map(|program| crate::program::chain_name(stages, program)))
        };
        // Workloads come first, and there may be very many.
        let hosts = || state.endpoints.range(Place::Host(String::new())..);
        let named = |stage: &Stage| {
            let mut named = hosts().filter(|(place, _)| matches!(place, Place::Host(_)) && stage.is_at(place));
            named.any(|(_, endpoint)| stage.program(endpoint).is_some())
        };
        let shape = |name: &str| index.shapes.get(&SetId::new(name)).copied().unwrap_or(Shape::Hosts);
        let translated = state.sets.get(&SetId::new(SetId::TRANSLATED_POOLS));
        Self {
            any: Stage::ALL.map(chain).to_vec(),
            named: Stage::ALL.into_iter().filter(named).collect(),
            hosts: hosts().next().is_some(),
            passes: index.passes(),
            pools: translated.is_some_and(|set| !set.is_empty()),
            shapes: SetId::WELL_KNOWN.map(|name| (name, shape(name))).to_vec(),
            host,
        }
    }

    /// The kernel set of a set that is always there.
    fn set(&self, name: &str, family: Family) -> String {
        let shape = self.shapes.iter().find(|(known, _)| *known == name).map_or(Shape::Hosts, |(_, shape)| *shape);
        crate::names::set(&SetId::new(name), shape, family)
    }

    fn settings(&self) -> &Settings {
        &self.host.settings
    }

    /// Whether anything can happen at a host endpoint's stage, and what `*` has there.
    fn stage(&self, stage: Stage) -> (bool, Option<&Option<String>>) {
        let any = self.any[stage as usize].as_ref();
        let some = any.is_some_and(|program| program.is_some()) || self.named.contains(&stage);
        match stage {
            Stage::ForwardIn | Stage::ForwardOut => (self.hosts, any),
            _ => (some, any),
        }
    }

    fn has(&self, stage: Stage) -> bool {
        self.stage(stage).0
    }

    fn workloads(&self) -> bool {
        !self.settings().interface_prefixes.is_empty()
    }

    /// Whether any allow of an early stage answers for later ones.
    fn accepts(&self) -> bool {
        [Stage::UntrackedIn, Stage::UntrackedOut, Stage::PreDnat].into_iter().any(|stage| self.has(stage))
    }
}

/// The maps and sets that endpoints have elements in.
pub(crate) fn maps(settings: &Settings) -> Vec<Set> {
    let mut maps: Vec<Set> = Stage::ALL.map(|stage| Set::vmap(stage.tag(), DataType::IfName)).into();
    maps.push(Set::new(WORKLOADS, DataType::IfName));
    if settings.spoofing_allowed {
        for family in FAMILIES {
            let key = fields(&[DataType::IfName, address_type(family)]);
            maps.push(Set::new(exceptions(family), key).interval());
        }
    }
    maps
}

/// Puts the skeleton into a table.
pub(crate) fn render(plan: &Plan, options: &TableOptions, into: &mut TableContent) {
    for set in maps(plan.settings()) {
        into.sets.insert(set.name.clone(), SetContent::new(set));
    }
    begin(into);
    early::render(plan, into);
    nat::render(plan, options, into);
    base::render(plan, options, into);
}

/// What stays of it while enforcement is off: connection tracking, and the translation of addresses.
pub(crate) fn without_verdicts(plan: &Plan, options: &TableOptions, into: &mut TableContent) {
    begin(into);
    nat::render(plan, options, into);
}

/// What keeps connection tracking on: there from the first moment.
pub(crate) fn begin(into: &mut TableContent) {
    let keep = Line::new().new_flow().count();
    let tracking =
        ChainContent::new(vec![keep]).note("keeps connection tracking on: open connections outlive the first denial");
    into.chains.insert(CONNTRACK.to_owned(), tracking);
}
