//! A change of the desired state, and the trait of what applies it.

use crate::endpoint::{Endpoint, HostState, Place};
use crate::program::{Program, ProgramId};
use crate::rule::{Rule, RulesId};
use crate::set::{Members, SetId};

/// A change from one desired state to the next. One transaction; inside it the order is that of the fields, so that
/// everything refers only to what exists.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delta {
    /// Sets that are new, with all their members.
    pub sets_made: Vec<(SetId, Members)>,
    /// Sets whose members changed.
    pub sets_changed: Vec<SetChange>,
    /// Lists of rules that are new or have changed, whole.
    pub rules_put: Vec<(RulesId, Vec<Rule>)>,
    /// Programs that are new. A program never changes.
    pub programs_made: Vec<(ProgramId, Program)>,
    /// What holds for the host, if that has changed.
    pub host: Option<Box<HostState>>,
    /// Endpoints that are new or have changed, whole.
    pub endpoints_put: Vec<(Place, Endpoint)>,
    /// Places that no endpoint governs any more.
    pub endpoints_removed: Vec<Place>,
    /// Programs that nothing uses any more.
    pub programs_removed: Vec<ProgramId>,
    /// Lists of rules that no program uses any more.
    pub rules_removed: Vec<RulesId>,
    /// Sets that no rule uses any more.
    pub sets_removed: Vec<SetId>,
}

/// Changes of the members of a set. Members are removed first, since nets inside a removed net may be added.
#[derive(Clone, Debug, PartialEq)]
pub struct SetChange {
    /// The set.
    pub id: SetId,
    /// Removed members; each existed.
    pub removed: Members,
    /// New members; none existed.
    pub added: Members,
}

impl Delta {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many objects it speaks about; each set, list, program and endpoint is one.
    pub fn len(&self) -> usize {
        self.sets_made.len()
            + self.sets_changed.len()
            + self.rules_put.len()
            + self.programs_made.len()
            + usize::from(self.host.is_some())
            + self.endpoints_put.len()
            + self.endpoints_removed.len()
            + self.programs_removed.len()
            + self.rules_removed.len()
            + self.sets_removed.len()
    }
}

/// What enforces a desired state.
pub trait Dataplane {
    /// Why a change could not be made.
    type Error;

    /// Makes the whole change, or none of it.
    fn apply(&mut self, delta: &Delta) -> Result<(), Self::Error>;
}
