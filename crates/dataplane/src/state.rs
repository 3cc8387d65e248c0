//! The desired state as a whole, built from changes, each step checked.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use crate::delta::{Delta, SetChange};
use crate::endpoint::{Endpoint, HostState, Place};
use crate::program::{Program, ProgramId};
use crate::rule::{Rule, RulesId};
use crate::set::{Members, PortMember, SetId};

/// Everything that one node must enforce. Empty until the first change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// The sets.
    pub sets: BTreeMap<SetId, SetState>,
    /// The lists of rules.
    pub rules: BTreeMap<RulesId, Vec<Rule>>,
    /// The programs.
    pub programs: BTreeMap<ProgramId, Program>,
    /// Which endpoint governs which interface.
    pub endpoints: BTreeMap<Place, Endpoint>,
    /// The host; none before it was set.
    pub host: Option<HostState>,
}

/// All members of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetState {
    /// Addresses and nets.
    Nets(BTreeSet<IpNet>),
    /// Ports of addresses.
    Ports(BTreeSet<PortMember>),
}

/// A delta that refers to objects that do not exist, or creates one that does: a mistake of its author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {id}: {why}")]
pub struct InvalidDelta {
    /// The kind of object.
    pub what: &'static str,
    /// Its name.
    pub id: String,
    /// The mistake.
    pub why: String,
}

fn invalid(what: &'static str, id: impl ToString, why: impl ToString) -> InvalidDelta {
    InvalidDelta { what, id: id.to_string(), why: why.to_string() }
}

fn ensure(ok: bool, what: &'static str, id: impl ToString, why: &str) -> Result<(), InvalidDelta> {
    if ok { Ok(()) } else { Err(invalid(what, id, why)) }
}

impl State {
    /// Makes a change, step by step; after an error the state is of no use.
    pub fn apply(&mut self, delta: &Delta) -> Result<(), InvalidDelta> {
        for (id, members) in &delta.sets_made {
            let whole = match members {
                Members::Nets(nets) => SetState::Nets(nets.iter().copied().collect()),
                Members::Ports(ports) => SetState::Ports(ports.iter().copied().collect()),
            };
            ensure(whole.len() == members.len(), "set", id, "a member twice")?;
            whole.check(id)?;
            ensure(self.sets.insert(id.clone(), whole).is_none(), "set", id, "made again")?;
        }
        for change in &delta.sets_changed {
            let set = self.sets.get_mut(&change.id);
            set.ok_or_else(|| invalid("set", &change.id, "changed and not there"))?.change(change)?;
        }
        for (id, rules) in &delta.rules_put {
            for set in rules.iter().flat_map(Rule::sets) {
                ensure(self.sets.contains_key(set), "rules", id, "use a set that is not there")?;
            }
            self.rules.insert(id.clone(), rules.clone());
        }
        for (id, program) in &delta.programs_made {
            for rules in program.rules() {
                ensure(self.rules.contains_key(&rules), "program", id, "uses rules that are not there")?;
            }
            ensure(self.programs.insert(*id, program.clone()).is_none(), "program", id, "made again")?;
        }
        if let Some(host) = &delta.host {
            self.host = Some((**host).clone());
        }
        for (place, endpoint) in &delta.endpoints_put {
            for program in endpoint.programs.iter() {
                let there = self.programs.contains_key(&program);
                ensure(there, "endpoint", format!("{place:?}"), "uses a program that is not there")?;
            }
            self.endpoints.insert(place.clone(), endpoint.clone());
        }
        self.remove(delta)
    }

    fn remove(&mut self, delta: &Delta) -> Result<(), InvalidDelta> {
        for place in &delta.endpoints_removed {
            ensure(self.endpoints.remove(place).is_some(), "endpoint", format!("{place:?}"), "removed and not there")?;
        }
        for id in &delta.programs_removed {
            ensure(self.programs.remove(id).is_some(), "program", id, "removed and not there")?;
        }
        for id in &delta.rules_removed {
            ensure(self.rules.remove(id).is_some(), "rules", id, "removed and not there")?;
        }
        for id in &delta.sets_removed {
            ensure(self.sets.remove(id).is_some(), "set", id, "removed and not there")?;
        }
        Ok(())
    }

    /// Checks that everything referred to exists, and that everything that exists is referred to, except the sets in `kept`.
    pub fn check(&self, kept: &BTreeSet<SetId>) -> Result<(), InvalidDelta> {
        let programs: BTreeSet<ProgramId> = self.endpoints.values().flat_map(|one| one.programs.iter()).collect();
        if let Some(id) = programs.symmetric_difference(&self.programs.keys().copied().collect()).next() {
            return Err(invalid("program", id, "missing, or of no use"));
        }
        let rules: BTreeSet<RulesId> = self.programs.values().flat_map(Program::rules).collect();
        if let Some(id) = rules.symmetric_difference(&self.rules.keys().cloned().collect()).next() {
            return Err(invalid("rules", id, "missing, or of no use"));
        }
        let mut sets: BTreeSet<SetId> = self.rules.values().flatten().flat_map(Rule::sets).cloned().collect();
        sets.extend(kept.iter().cloned());
        if let Some(id) = sets.symmetric_difference(&self.sets.keys().cloned().collect()).next() {
            return Err(invalid("set", id, "missing, or of no use"));
        }
        Ok(())
    }

    /// The change that makes this state out of nothing.
    pub fn to_delta(&self) -> Delta {
        Delta {
            sets_made: self.sets.iter().map(|(id, set)| (id.clone(), set.members())).collect(),
            rules_put: self.rules.iter().map(|(id, rules)| (id.clone(), rules.clone())).collect(),
            programs_made: self.programs.iter().map(|(id, program)| (*id, program.clone())).collect(),
            host: self.host.clone().map(Box::new),
            endpoints_put: self.endpoints.iter().map(|(place, one)| (place.clone(), one.clone())).collect(),
            ..Delta::default()
        }
    }
}

impl SetState {
    /// How many members.
    pub fn len(&self) -> usize {
        match self {
            SetState::Nets(nets) => nets.len(),
            SetState::Ports(ports) => ports.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, in order.
    pub fn members(&self) -> Members {
        match self {
            SetState::Nets(nets) => Members::Nets(nets.iter().copied().collect()),
            SetState::Ports(ports) => Members::Ports(ports.iter().copied().collect()),
        }
    }

    fn change(&mut self, change: &SetChange) -> Result<(), InvalidDelta> {
        let id = &change.id;
        match (&mut *self, &change.removed, &change.added) {
            (SetState::Nets(all), Members::Nets(removed), Members::Nets(added)) => swap(all, removed, added, id)?,
            (SetState::Ports(all), Members::Ports(removed), Members::Ports(added)) => swap(all, removed, added, id)?,
            _ => return Err(invalid("set", id, "members of another sort")),
        }
        ensure(!(change.removed.is_empty() && change.added.is_empty()), "set", id, "changed by nothing")?;
        self.check(id)
    }

    /// No net lies in another.
    fn check(&self, id: &SetId) -> Result<(), InvalidDelta> {
        let SetState::Nets(nets) = self else { return Ok(()) };
        for (net, next) in nets.iter().zip(nets.iter().skip(1)) {
            let apart = !net.contains(next) && !next.contains(net);
            ensure(apart, "set", id, &format!("{net} and {next} overlap"))?;
        }
        Ok(())
    }
}

fn swap<T: Ord + Copy + std::fmt::Debug>(
    all: &mut BTreeSet<T>,
    removed: &[T],
    added: &[T],
    id: &SetId,
) -> Result<(), InvalidDelta> {
    for member in removed {
        ensure(all.remove(member), "set", id, &format!("{member:?} removed and not there"))?;
    }
    for member in added {
        ensure(all.insert(*member), "set", id, &format!("{member:?} added twice"))?;
    }
    Ok(())
}
