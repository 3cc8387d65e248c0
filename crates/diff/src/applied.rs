//! Which policies and profiles endpoints of one side have, and what their rules match, each compiled once.

use std::collections::HashMap;
use std::rc::Rc;

use tortie_classes::{Clause, Conditions, Domain};
use tortie_eval::{PolicyList, Subject};
use tortie_policy::{Direction, Family, Labels, PolicyId, Rule, Snapshot};

use crate::rule_sequence::RuleSequence;

pub(crate) const LISTS: [PolicyList; 4] =
    [PolicyList::Untracked, PolicyList::PreDnat, PolicyList::Normal, PolicyList::Forward];
pub(crate) const DIRECTIONS: [Direction; 2] = [Direction::Ingress, Direction::Egress];

/// The enforced policies of one tier, in order, as they apply to an endpoint in one list and direction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AppliedTier {
    pub(crate) name: String,
    /// Its end denies.
    pub(crate) denies: bool,
    /// Packets that it allows go on to the next tier.
    pub(crate) asked_first: bool,
    pub(crate) policies: Vec<PolicyId>,
}

/// All policies and profiles of an endpoint. Endpoints that have the same ones decide every packet alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Applied {
    /// By list and direction.
    tiers: Vec<Vec<AppliedTier>>,
    pub(crate) profiles: Vec<String>,
    unreadable: bool,
}

impl Applied {
    fn new(side: &Snapshot, subject: &Subject) -> Self {
        let selecting = subject.selecting(side);
        let of = |(list, direction)| {
            let tiers = subject.tiers_among(side, &selecting, list, direction).into_iter();
            let tier = tiers.map(|tier| AppliedTier {
                policies: tier.policies.iter().filter(|one| !one.staged).map(|one| one.id.clone()).collect(),
                name: tier.name,
                denies: tier.denies,
                asked_first: tier.asked_first,
            });
            tier.collect()
        };
        let questions = LISTS.into_iter().flat_map(|list| DIRECTIONS.map(|direction| (list, direction)));
        let tiers = questions.map(of).collect();
        Self { tiers, profiles: subject.profiles.clone(), unreadable: subject.unreadable }
    }

    pub(crate) fn tiers(&self, list: PolicyList, direction: Direction) -> &[AppliedTier] {
        let list = LISTS.iter().position(|one| *one == list).unwrap_or_default();
        let direction = DIRECTIONS.iter().position(|one| *one == direction).unwrap_or_default();
        &self.tiers[list * DIRECTIONS.len() + direction]
    }

    /// As [`Subject::has_policy`] answers.
    pub(crate) fn has_policy(&self, list: PolicyList, direction: Direction) -> bool {
        self.unreadable || self.tiers(list, direction).iter().any(|tier| !tier.policies.is_empty())
    }
}

/// Rules of one list in their order, each with its number from 1. Rules that only log are left out.
pub(crate) type CompiledRules = Rc<[(usize, Clause)]>;

/// One side of the comparison.
pub(crate) struct Side<'a> {
    pub(crate) snapshot: &'a Snapshot,
    /// Without conditions: to ask what rules match, and to begin with.
    pub(crate) none: Conditions<'a>,
    numbers: HashMap<(Labels, Vec<String>, bool), usize>,
    known: HashMap<Rc<Applied>, usize>,
    applied: Vec<Rc<Applied>>,
    policies: HashMap<(PolicyId, Direction, Family), CompiledRules>,
    profiles: HashMap<(String, Direction, Family), CompiledRules>,
    sequences: HashMap<(usize, PolicyList, Direction, Family), Rc<RuleSequence>>,
}

impl<'a> Side<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot) -> Self {
        Self {
            snapshot,
            none: Conditions::new(snapshot, Domain::default()),
            numbers: HashMap::new(),
            known: HashMap::new(),
            applied: Vec::new(),
            policies: HashMap::new(),
            profiles: HashMap::new(),
            sequences: HashMap::new(),
        }
    }

    /// The number of what applies to an endpoint: the same for endpoints to which the same applies.
    pub(crate) fn number(&mut self, subject: &Subject) -> usize {
        let key = (subject.labels.clone(), subject.profiles.clone(), subject.unreadable);
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        let applied = Rc::new(Applied::new(self.snapshot, subject));
        let number = *self.known.entry(applied.clone()).or_insert_with(|| {
            self.applied.push(applied);
            self.applied.len() - 1
        });
        self.numbers.insert(key, number);
        number
    }

    pub(crate) fn applied(&self, number: usize) -> &Rc<Applied> {
        &self.applied[number]
    }

    /// What applies in one list and direction, for packets of a family.
    pub(crate) fn sequence(
        &mut self,
        number: usize,
        list: PolicyList,
        direction: Direction,
        family: Family,
    ) -> Rc<RuleSequence> {
        let key = (number, list, direction, family);
        if let Some(sequence) = self.sequences.get(&key) {
            return sequence.clone();
        }
        let sequence = Rc::new(RuleSequence::new(self, number, list, direction, family));
        self.sequences.insert(key, sequence.clone());
        sequence
    }

    /// The rules of a policy.
    pub(crate) fn policy(&mut self, id: &PolicyId, direction: Direction, family: Family) -> CompiledRules {
        let (snapshot, none) = (self.snapshot, &self.none);
        let rules = || snapshot.policies.get(id).map_or(&[][..], |policy| policy.rules(direction));
        let key = (id.clone(), direction, family);
        self.policies.entry(key).or_insert_with(|| compiled(none, rules(), family)).clone()
    }

    /// The rules of a profile; none where it does not exist.
    pub(crate) fn profile(&mut self, name: &str, direction: Direction, family: Family) -> Option<CompiledRules> {
        let profile = self.snapshot.profiles.get(name)?;
        let rules = match direction {
            Direction::Ingress => &profile.ingress,
            Direction::Egress => &profile.egress,
        };
        let key = (name.to_owned(), direction, family);
        Some(self.profiles.entry(key).or_insert_with(|| compiled(&self.none, rules, family)).clone())
    }
}

fn compiled(none: &Conditions<'_>, rules: &[Rule], family: Family) -> CompiledRules {
    let numbered = rules.iter().enumerate();
    let clauses = numbered
        .flat_map(|(index, rule)| none.clauses(rule, family).into_iter().map(move |clause| (index + 1, clause)));
    clauses.filter(|(_, clause)| clause.action.decides()).collect()
}
