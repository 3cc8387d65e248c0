//! Programs: tiers and policies in their order, as one endpoint or many have them in one direction.

use std::fmt;
use std::sync::Arc;

use tortie_policy::{Direction, PolicyId};

use crate::rule::{Owner, RulesId};

/// What names a program: a hash of what it says, so equal programs are one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProgramId(pub [u8; 16]);

impl fmt::Display for ProgramId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ProgramId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The tiers, policies and profiles that decide about a packet, in order. Staged policies are not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The direction of all its rules.
    pub direction: Direction,
    /// The tiers, in order.
    pub tiers: Vec<Tier>,
    /// What happens to what no tier settled.
    pub then: ProgramEnd,
}

/// One tier of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Its name.
    pub name: Arc<str>,
    /// Its policies, in order; at least one.
    pub policies: Vec<Arc<PolicyId>>,
    /// Its end denies; else it leads to the next tier.
    pub denies: bool,
}

/// What happens to a packet that no tier of a program decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgramEnd {
    /// The packet continues with the next stage.
    Pass,
    /// Denied.
    Deny,
    /// These profiles, in order, and denied after the last. Only where a packet can get here.
    Profiles(Vec<Profile>),
}

/// A profile of a program. A rule of it that passes leads to the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its name.
    pub name: Arc<str>,
    /// It does not exist, which denies; it has no rules.
    pub missing: bool,
}

impl Program {
    /// The lists of rules it refers to.
    pub fn rules(&self) -> impl Iterator<Item = RulesId> {
        let direction = self.direction;
        let policies = self.tiers.iter().flat_map(|tier| &tier.policies).cloned().map(Owner::Policy);
        let profiles = match &self.then {
            ProgramEnd::Profiles(profiles) => profiles.as_slice(),
            ProgramEnd::Pass | ProgramEnd::Deny => &[],
        };
        let profiles = profiles.iter().filter(|profile| !profile.missing).map(|profile| profile.name.clone());
        policies.chain(profiles.map(Owner::Profile)).map(move |owner| RulesId { owner, direction })
    }
}
