//! A step: from one state to the next, in one transaction or a few ([`change`](crate::change)). The state follows only if the
//! kernel does.
//!
//! The first of several transactions changes nothing for packets, and is undone if the next one fails. What is done in part
//! nevertheless is replaced as a whole, at once or, if that fails, with the next change. An agent that ends between two
//! transactions leaves what the next agent replaces.

use std::collections::HashMap;

use tortie_dataplane::{Dataplane, Delta, HostState, InvalidDelta, SetId};
use tortie_nft::{CommitError, RequestError, Rule, dump};

use super::quarantine::Quarantine;
use super::{ApplyError, Kernel, Refused, TransactionSize};
use crate::change::{Change, Step, Transaction};
use crate::index::{Index, StepChanges};
use crate::script::Script;
use crate::sets::Families;
use crate::skeleton::Plan;
use crate::state_view::{CurrentState, PreviousState};
use crate::undo::undo;

impl Dataplane for Kernel {
    type Error = ApplyError;

    fn apply(&mut self, delta: &Delta) -> Result<(), ApplyError> {
        let mut delta = delta.clone();
        let is_step = self.plan.is_some() && !self.partly && (!self.off || delta.is_empty());
        if !is_step || self.changes_everything(&delta) {
            return self.apply_whole(delta);
        }
        if delta.is_empty() {
            self.sent = TransactionSize::default();
            return Ok(());
        }
        let standing = self.quarantine.clone();
        self.quarantine.reconsider(&self.state, &mut delta);
        let mut looked = self.table.owner;
        loop {
            match self.try_step(&delta, &standing, &mut looked) {
                Ok(()) => return Ok(()),
                Err(Failure::Damaged) => self.repair()?,
                Err(Failure::Refused(blamed)) => {
                    for (refused, reason) in blamed {
                        self.quarantine.keep_out(&self.state, &mut delta, refused, reason);
                    }
                }
                // What is too long for one batch is put in place as a whole, in pieces.
                Err(Failure::Partly | Failure::Commit(CommitError::TooLong { .. })) => return self.apply_whole(delta),
                Err(failure) => {
                    self.quarantine = standing;
                    return Err(match failure {
                        Failure::Request(error) => error.into(),
                        Failure::Commit(error) => error.into(),
                        Failure::Torn(broken) => broken.into(),
                        Failure::Other(error) => error,
                        Failure::Refused(..) | Failure::Damaged | Failure::Partly => unreachable!("handled above"),
                    });
                }
            }
        }
    }
}

impl Kernel {
    /// Makes a change by replacing everything.
    fn apply_whole(&mut self, mut delta: Delta) -> Result<(), ApplyError> {
        let mut state = self.state.clone();
        state.apply(&delta)?;
        let before = std::mem::replace(&mut self.state, state);
        self.quarantine.reconsider(&self.state, &mut delta);
        // What has been needed once may be needed again, and each turn costs everything.
        self.index = Index::with(&self.state, self.index.families);
        self.repair().inspect_err(|_| {
            self.index = Index::with(&before, self.index.families);
            self.state = before;
        })
    }

    /// Whether something changes that every rule depends on: settings, or the first IPv6 member of any set.
    fn changes_everything(&self, delta: &Delta) -> bool {
        let made = delta.sets_made.iter().map(|(id, members)| (id, members));
        let more = made.chain(delta.sets_changed.iter().map(|change| (&change.id, &change.added)));
        let more = more.filter(|(id, _)| !SetId::WELL_KNOWN.contains(&id.as_str()));
        let needed = more.map(|(_, members)| Families::of(members)).fold(self.index.families, Families::or);
        if needed != self.index.families {
            return true;
        }
        let Some(host) = &delta.host else { return false };
        let before = self.state.host.clone().unwrap_or_default().settings;
        let now = &host.settings;
        before.refusal != now.refusal
            || before.log_prefix != now.log_prefix
            || before.log_limit != now.log_limit
            || before.spoofing_allowed != now.spoofing_allowed
    }

    /// One try at a change. The state follows only if the kernel does.
    fn try_step(&mut self, delta: &Delta, standing: &Quarantine, looked: &mut bool) -> Result<(), Failure> {
        let undo = undo(&self.state, delta);
        let before_host = self.state.host.clone();
        let changed_by_step = self.index.step(&self.state, delta);
        if let Err(broken) = self.state.apply(delta) {
            return Err(Failure::Torn(broken));
        }
        let (change, plan) = self.draw(delta, &undo, &changed_by_step, before_host.as_ref(), standing);
        let result = self.send(&change);
        match result {
            Ok(()) => {
                self.references.follow(change.references());
                if plan.is_some() {
                    self.plan = plan;
                }
                Ok(())
            }
            Err(failure) => {
                let failure = self.looked_into(failure, delta, looked);
                self.index.step(&self.state, &undo);
                self.state.apply(&undo).map_err(Failure::Torn)?;
                Err(failure)
            }
        }
    }

    /// What a failure comes from: from what others did to the table, if nobody has looked yet, or from objects of ours.
    fn looked_into(&mut self, failure: Failure, delta: &Delta, looked: &mut bool) -> Failure {
        let Failure::Commit(error) = failure else { return failure };
        if matches!(error, CommitError::TooLong { .. }) {
            return Failure::Commit(error);
        }
        if !std::mem::replace(looked, true) {
            match self.is_intact() {
                Ok(true) => {}
                Ok(false) => return Failure::Damaged,
                Err(error) => return Failure::Request(error),
            }
        }
        let CommitError::Refused(errors) = error else { return Failure::Commit(error) };
        match self.find_refused(Some(delta), &errors) {
            Ok(found) if found.is_empty() => Failure::Commit(CommitError::Refused(errors)),
            Ok(found) => Failure::Refused(found),
            Err(error) => Failure::Other(error),
        }
    }

    fn draw(
        &self,
        delta: &Delta,
        undo: &Delta,
        changed_by_step: &StepChanges,
        before_host: Option<&HostState>,
        standing: &Quarantine,
    ) -> (Change, Option<Plan>) {
        let concerned = delta.host.is_some()
            || changed_by_step.passes
            || !delta.endpoints_put.is_empty()
            || !delta.endpoints_removed.is_empty()
            || changed_by_step
                .shapes
                .keys()
                .chain(delta.sets_changed.iter().map(|one| &one.id))
                .any(|id| SetId::WELL_KNOWN.contains(&id.as_str()));
        let plan = concerned.then(|| Plan::new(&self.state, &self.index));
        let plan = plan.filter(|plan| self.plan.as_ref() != Some(plan));
        let now = CurrentState::new(&self.state, &self.index, self.quarantine.out());
        let before = PreviousState::new(&now, changed_by_step, undo, before_host, standing.out());
        let turned = standing.sets.symmetric_difference(&self.quarantine.sets);
        let lookers = turned.filter_map(|set| self.index.lookers.get(set)).flatten();
        let step = Step {
            delta,
            changed_by_step,
            index: &self.index,
            before: &before,
            now: &now,
            plans: self.plan.as_ref().zip(plan.as_ref()),
            state_sets: &self.state.sets,
            options: &self.options,
            references: &self.references,
            lists: standing.lists.symmetric_difference(&self.quarantine.lists).chain(lookers).cloned().collect(),
            sets_out: (&standing.sets, &self.quarantine.sets),
            places: standing.places.symmetric_difference(&self.quarantine.places).cloned().collect(),
        };
        (Change::of(&step), plan)
    }

    /// Sends a change of chains alone. Whether the kernel has it.
    pub(super) fn send_chains(&mut self, change: &Change) -> bool {
        let is_sent = !self.partly && self.send(change).is_ok();
        if is_sent {
            self.references.follow(change.references());
        }
        is_sent
    }

    fn send(&mut self, change: &Change) -> Result<(), Failure> {
        if change.is_empty() {
            self.sent = TransactionSize::default();
            return Ok(());
        }
        let mut handles = HashMap::new();
        for chain in change.altered() {
            let rules = dump::rules(&mut self.socket, &self.table.id, Some(chain)).map_err(Failure::Request)?;
            handles.insert(chain.to_owned(), rules.iter().filter_map(|rule: &Rule| rule.handle).collect::<Vec<u64>>());
        }
        if self.table.owner {
            self.programmed.lock().begin_all();
        } else {
            let names = change.names();
            self.programmed.lock().begin(names);
        }
        let result = self.commit_change(change, &handles, Script::new(&self.table.id));
        match &result {
            Ok(()) => self.programmed.lock().changed(change),
            Err(_) => self.programmed.lock().refused(),
        }
        result
    }

    /// Makes the transactions of a change. `main` may have something in it already.
    pub(super) fn commit_change(
        &mut self,
        change: &Change,
        handles: &HashMap<String, Vec<u64>>,
        mut main: Script,
    ) -> Result<(), Failure> {
        let transactions = change.transactions();
        transactions.main.write(&mut main, handles);
        let mut sent = TransactionSize::default();
        if let Some(ahead) = &transactions.ahead {
            self.commit_part(ahead, handles).map_err(Failure::Commit)?;
            sent = self.sent;
        }
        let result = self.commit(&main);
        sent = sent + self.sent;
        if let Err(error) = result {
            if let Some(ahead) = &transactions.ahead {
                self.partly |= self.commit_part(&ahead.undo(), handles).is_err();
            }
            return Err(if self.partly { Failure::Partly } else { Failure::Commit(error) });
        }
        if let Some(behind) = &transactions.behind {
            self.partly |= self.commit_part(behind, handles).is_err();
            sent = sent + self.sent;
        }
        self.sent = sent;
        if self.partly { Err(Failure::Partly) } else { Ok(()) }
    }

    fn commit_part(&mut self, part: &Transaction<'_>, handles: &HashMap<String, Vec<u64>>) -> Result<(), CommitError> {
        let mut script = Script::new(&self.table.id);
        part.write(&mut script, handles);
        self.commit(&script)
    }
}

#[cfg(test)]
impl Kernel {
    /// Follows a change that is not sent. None if everything would be replaced for it.
    pub(crate) fn follow(&mut self, delta: &Delta) -> Option<Change> {
        if self.plan.is_none() || self.changes_everything(delta) {
            self.state.apply(delta).unwrap();
            self.index = Index::with(&self.state, self.index.families);
            self.references = crate::set_references::SetReferences::of(&self.ruleset());
            self.plan = Some(Plan::new(&self.state, &self.index));
            return None;
        }
        let undo = undo(&self.state, delta);
        let before_host = self.state.host.clone();
        let changed_by_step = self.index.step(&self.state, delta);
        self.state.apply(delta).unwrap();
        let (change, plan) = self.draw(delta, &undo, &changed_by_step, before_host.as_ref(), &Quarantine::default());
        self.references.follow(change.references());
        self.plan = plan.or(self.plan.take());
        Some(change)
    }
}

/// Why a try failed.
pub(super) enum Failure {
    /// These objects are refused.
    Refused(Vec<(Refused, String)>),
    Request(RequestError),
    Commit(CommitError),
    /// Others changed the table.
    Damaged,
    /// Some of its transactions are in the kernel.
    Partly,
    /// Finding what was refused failed.
    Other(ApplyError),
    /// The state is of no use any more.
    Torn(InvalidDelta),
}
