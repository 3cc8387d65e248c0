//! When the kernel refuses a table without naming an object, finds the objects at fault by trying halves of the table.
//!
//! What the kernel finds only when it validates the table as a whole, such as an expression at a hook that does not allow it, it
//! tells of the batch, or of whichever rule came last. Then the ruleset is tried without some objects, until those are found that it
//! is refused with. A trial is a table under the second name (`replace`) that is dormant: the kernel checks it as any other, and no
//! packet meets it. Trials are about as many as the objects found times the logarithm of all; after [`most`] of them those that
//! are not told apart are quarantined together.

use std::collections::BTreeSet;
use std::io;

use tortie_dataplane::{Delta, Place, SetId};
use tortie_nft::{BatchError, CommitError, Table};

use super::quarantine::Quarantine;
use super::replace::second;
use super::{ApplyError, Kernel, Refused};
use crate::render::whole;
use crate::script::Script;

/// Errors that say nothing about an object.
const OTHER_REASONS: [i32; 5] = [libc::EPERM, libc::ENOMEM, libc::ENOBUFS, libc::EINTR, libc::EAGAIN];

/// Errors of a validation, which may be about any rule of the table.
const VALIDATION: [i32; 3] = [libc::EOPNOTSUPP, libc::EMLINK, libc::ELOOP];

/// How many trials may be made among so many objects.
fn most(candidates: usize) -> usize {
    16 * (candidates.max(1).ilog2() as usize + 2)
}

impl Kernel {
    /// The objects to quarantine after a refusal, each with the kernel's reason; none if it is not about an object. A change
    /// that was refused is `delta`: its objects are suspected first.
    pub(super) fn find_refused(
        &mut self,
        delta: Option<&Delta>,
        errors: &[BatchError],
    ) -> Result<Vec<(Refused, String)>, ApplyError> {
        let named = self.refused_objects(errors);
        // The kernel validates the whole table at each rule, so that an innocent rule that comes after a guilty one is named too.
        let is_certain = |error: &BatchError| error.offset.is_some() || !VALIDATION.contains(&error.errno);
        if !named.is_empty() && errors.iter().all(is_certain) {
            return Ok(named);
        }
        let Some(cause) = errors.first().filter(|cause| !OTHER_REASONS.contains(&cause.errno)) else {
            return Ok(named);
        };
        // A trial would take its place.
        if self.there()?.second_in_force {
            return Ok(named);
        }
        let reason = io::Error::from_raw_os_error(cause.errno).to_string();
        let result = self.search(delta, named.iter().map(|(one, _)| one.clone()).collect(), &reason);
        self.remove_table(&second(&self.table.id))?;
        let found = result?;
        Ok(if found.is_empty() { named } else { found })
    }

    /// Searches among the objects that the kernel named, then among those of the change, then among all; among endpoints last.
    fn search(
        &mut self,
        delta: Option<&Delta>,
        named: Vec<Refused>,
        reason: &str,
    ) -> Result<Vec<(Refused, String)>, CommitError> {
        if self.is_taken(&BTreeSet::new())? {
            return Ok(Vec::new());
        }
        let all = self.candidates();
        let changed = all.iter().filter(|one| delta.is_some_and(|delta| is_of(one, delta))).cloned().collect();
        for candidates in [named, changed, all] {
            // Without an endpoint what only it asks is not checked: that would take it for guilty.
            let (endpoints, others): (Vec<_>, Vec<_>) =
                candidates.into_iter().partition(|one| matches!(one, Refused::Endpoint(_)));
            let both = if endpoints.is_empty() { Vec::new() } else { [others.clone(), endpoints].concat() };
            for candidates in [others, both] {
                if !candidates.is_empty() && self.is_taken(&candidates.iter().cloned().collect())? {
                    return self.halve(candidates, reason);
                }
            }
        }
        Ok(Vec::new())
    }

    /// The guilty ones among objects without which the ruleset is taken.
    fn halve(&mut self, candidates: Vec<Refused>, reason: &str) -> Result<Vec<(Refused, String)>, CommitError> {
        let mut trials = most(candidates.len());
        let mut found = Vec::new();
        // What a trial leaves out: the guilty, and those of which it is not known.
        let mut out: BTreeSet<Refused> = candidates.iter().cloned().collect();
        // Groups of which it is not known, and whether one of the group is guilty for certain.
        let mut groups = vec![(candidates, true)];
        while let Some((mut group, is_guilty)) = groups.pop() {
            if is_guilty && group.len() == 1 {
                found.extend(group.into_iter().map(|one| (one, reason.to_owned())));
                continue;
            }
            if trials == 0 {
                let reason = format!("{reason} (one of {} objects that are not told apart)", group.len());
                found.extend(group.into_iter().map(|one| (one, reason.clone())));
                continue;
            }
            trials -= 1;
            // Of a guilty group one half is tried, any other group as a whole.
            let rest = if is_guilty { group.split_off(group.len() / 2) } else { Vec::new() };
            let without: BTreeSet<_> = out.iter().filter(|one| !group.contains(one)).cloned().collect();
            let is_taken = self.is_taken(&without)?;
            if !rest.is_empty() {
                groups.push((rest, is_taken));
            }
            if is_taken {
                out = without;
            } else {
                groups.push((group, true));
            }
        }
        Ok(found)
    }

    /// What can be left out, and is not.
    fn candidates(&self) -> Vec<Refused> {
        let out = &self.quarantine;
        let lists = self.state.rules.keys().filter(|id| !out.lists.contains(id)).cloned().map(Refused::Rules);
        let sets = self.state.sets.keys().filter(|id| !SetId::WELL_KNOWN.contains(&id.as_str()));
        let sets = sets.filter(|id| !out.sets.contains(id)).cloned().map(Refused::Set);
        // Leaving a host endpoint out would open its interface.
        let places = self.state.endpoints.keys().filter(|place| matches!(place, Place::Workload(_)));
        let places = places.filter(|place| !out.places.contains(place)).cloned().map(Refused::Endpoint);
        lists.chain(sets).chain(places).collect()
    }

    /// Whether the kernel takes the ruleset without these objects.
    fn is_taken(&mut self, without: &BTreeSet<Refused>) -> Result<bool, CommitError> {
        let mut out: Quarantine = self.quarantine.clone();
        without.iter().for_each(|one| out.put(one.clone(), String::new()));
        let ruleset = whole(&self.state, &self.index, &self.options, &out.out());
        let trial = Table { dormant: true, ..Table::new(second(&self.table.id)) };
        let mut script = Script::new(&trial.id);
        script.batch.remove_table(&trial.id);
        script.batch.add_table(&trial);
        script.fill(&ruleset);
        let result = match self.commit(&script) {
            Err(CommitError::TooLong { .. }) => self.build_trial(&trial, &ruleset),
            other => other,
        };
        match result {
            Ok(()) => Ok(true),
            Err(CommitError::Refused(errors)) if !errors.iter().any(|error| OTHER_REASONS.contains(&error.errno)) => {
                Ok(false)
            }
            Err(other) => Err(other),
        }
    }
}

/// Whether a change is about an object.
fn is_of(refused: &Refused, delta: &Delta) -> bool {
    match refused {
        Refused::Rules(id) => delta.rules_put.iter().any(|(put, _)| put == id),
        Refused::Set(id) => {
            delta.sets_made.iter().any(|(made, _)| made == id)
                || delta.sets_changed.iter().any(|change| change.id == *id)
        }
        Refused::Endpoint(place) => delta.endpoints_put.iter().any(|(put, _)| put == place),
    }
}
