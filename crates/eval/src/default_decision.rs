//! The default of an endpoint: the decision about packets that match no rule with a condition. A rule without a condition decides
//! it before the end of its tier does; one that passes leads past that end.

use tortie_policy::{Action, Direction, Policy, PolicyId, Snapshot};

use crate::governing::{PolicyList, Subject};

/// What decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefaultDecision {
    /// A rule without a condition, which allows or denies.
    Rule {
        /// Its policy.
        id: PolicyId,
        /// Its number in its list, from 1.
        number: usize,
        /// Whether it denies.
        denies: bool,
    },
    /// The end of a tier denies.
    TierEnd {
        /// The tier.
        tier: String,
    },
    /// A rule of a profile without a condition, which allows or denies.
    ProfileRule {
        /// The profile.
        name: String,
        /// The rule's number in its list, from 1.
        number: usize,
        /// Whether it denies.
        denies: bool,
    },
    /// These profiles, in order; what none of them allows is denied.
    Profiles(Vec<String>),
    /// It is denied, since there is neither a tier that denies nor a profile.
    NoProfile,
    /// It continues with the next stage.
    GoesOn,
}

impl Subject {
    /// The default in a list and direction.
    pub fn default_decision(&self, snapshot: &Snapshot, list: PolicyList, direction: Direction) -> DefaultDecision {
        self.default_decision_among(snapshot, &self.selecting(snapshot), list, direction)
    }

    /// The same, of the policies that [`selecting`](Self::selecting) found.
    pub fn default_decision_among(
        &self,
        snapshot: &Snapshot,
        selecting: &[&Policy],
        list: PolicyList,
        direction: Direction,
    ) -> DefaultDecision {
        for tier in self.tiers_among(snapshot, selecting, list, direction) {
            let enforced = tier.policies.iter().filter(|policy| !policy.staged);
            let rules = enforced.flat_map(|policy| {
                policy.rules(direction).iter().enumerate().map(|(index, rule)| (&policy.id, index + 1, rule))
            });
            let first = rules.filter(|(_, _, rule)| rule.action.decides()).find(|(_, _, rule)| rule.is_any());
            match first {
                Some((id, number, rule)) => match rule.action {
                    Action::Allow if !tier.asked_first => {
                        return DefaultDecision::Rule { id: id.clone(), number, denies: false };
                    }
                    Action::Deny => return DefaultDecision::Rule { id: id.clone(), number, denies: true },
                    Action::Allow | Action::Pass | Action::Log => {}
                },
                None if tier.denies => return DefaultDecision::TierEnd { tier: tier.name },
                None => {}
            }
        }
        match list {
            PolicyList::Normal if self.profiles.is_empty() => DefaultDecision::NoProfile,
            PolicyList::Normal => {
                let rule = profile_rule(snapshot, &self.profiles, direction);
                rule.unwrap_or_else(|| DefaultDecision::Profiles(self.profiles.clone()))
            }
            PolicyList::Untracked | PolicyList::PreDnat | PolicyList::Forward => DefaultDecision::GoesOn,
        }
    }
}

/// The first rule without a condition that decides, of these profiles up to the first that does not exist.
fn profile_rule(snapshot: &Snapshot, profiles: &[String], direction: Direction) -> Option<DefaultDecision> {
    let existing = profiles.iter().map_while(|name| Some((name, snapshot.profiles.get(name)?)));
    existing
        .filter_map(|(name, profile)| {
            let rules = match direction {
                Direction::Ingress => &profile.ingress,
                Direction::Egress => &profile.egress,
            };
            let mut rules = rules.iter().enumerate().filter(|(_, rule)| rule.action.decides());
            let (index, rule) = rules.find(|(_, rule)| rule.is_any())?;
            // One that passes leads to the next profile.
            let denies = rule.action == Action::Deny;
            let decides = denies || rule.action == Action::Allow;
            decides.then(|| DefaultDecision::ProfileRule { name: name.clone(), number: index + 1, denies })
        })
        .next()
}
