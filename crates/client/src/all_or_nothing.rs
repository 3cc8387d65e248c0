//! Batches, for any store: planned as a whole over an overlay, and then handed to `Store::write_together`. How a
//! store makes them together is its own: see `all_or_nothing.rs` of `tortie-store-etcd`.
//!
//! ```text
//!   jobs ──> sorted ──> batch over an overlay ──> any error? ──> nothing is written
//!                         ▲                          no
//!                         │                          ▼
//!                         └── someone was faster ── Store::write_together
//! ```

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

use tortie_api::Key;

use super::batch::{self, Job, Settled};
use super::batch_view::View;
use super::{Batch, BatchMode, Change, Client, ClientError, Done, Extent, Outcome, order, user_form};
use tortie_store::{Overlay, Stopped, Write, WriteError, Written, WrittenTogether};

/// How often a batch is planned again because another writer was faster.
const MAX_ATTEMPTS: u32 = 5;

/// Decides whether the warnings of an object are errors, by its number in the batch and the planned change. Without it none are.
pub type Refuse<'a> = Option<&'a dyn Fn(usize, &Done) -> bool>;

/// Runs the jobs in the batch mode that was asked for. The outcomes are in the order of the jobs.
pub(super) fn run(client: &Client, jobs: Vec<Job>, batch_mode: BatchMode, refuse: Refuse) -> Batch {
    let keys: Vec<Key> = jobs.iter().map(|job| job.key.clone()).collect();
    let mut results: Vec<Option<Result<Done, ClientError>>> = keys.iter().map(|_| None).collect();
    if batch_mode != BatchMode::Calico {
        match twice(client, &jobs) {
            Ok(pairs) => {
                for (first, second) in pairs {
                    let twice = |at: usize, other| ClientError::Twice { key: keys[at].clone(), other };
                    results[second] = Some(Err(twice(second, first)));
                    if batch_mode == BatchMode::KeepGoing {
                        // Which of the two is meant is not known.
                        results[first] = Some(Err(twice(first, second)));
                    }
                }
            }
            Err(error) => results.iter_mut().for_each(|result| *result = Some(Err(error.clone()))),
        }
    }
    let mut queue: Vec<(usize, Job)> = jobs.into_iter().enumerate().filter(|(at, _)| results[*at].is_none()).collect();
    if batch_mode != BatchMode::Calico {
        queue.sort_by_key(|(_, job)| order::rank(job));
    }
    let mut work = Work { client, refuse, results };
    let extent = match batch_mode {
        BatchMode::AllOrNothing => work.whole(queue),
        BatchMode::Calico | BatchMode::KeepGoing => {
            work.each(queue);
            Extent::Each
        }
    };
    // Jobs that were not reached because of others have no result of their own.
    let outcome = |(key, result): (Key, Option<Result<Done, ClientError>>)| Outcome {
        result: result.unwrap_or_else(|| Err(ClientError::Unfinished { key: key.clone() })),
        key,
    };
    Batch { outcomes: keys.into_iter().zip(work.results).map(outcome).collect(), extent }
}

/// Pairs of jobs that are about the same stored object: by what a write fills in, and by the names that older releases
/// stored policies under.
fn twice(client: &Client, jobs: &[Job]) -> Result<Vec<(usize, usize)>, ClientError> {
    let alike = |key: &Key| {
        let name = key.name.strip_prefix(user_form::LEGACY_PREFIX).filter(|_| key.kind.is_tiered());
        Key { name: name.unwrap_or(&key.name).to_owned(), ..key.clone() }
    };
    let mut groups: BTreeMap<Key, Vec<usize>> = BTreeMap::new();
    for (at, job) in jobs.iter().enumerate().filter(|(_, job)| !job.key.name.is_empty()) {
        groups.entry(alike(&job.key)).or_default().push(at);
    }
    let mut pairs = Vec::new();
    let mut view = View::new(&*client.store);
    for group in groups.into_values().filter(|group| group.len() > 1) {
        let mut seen: BTreeMap<Key, usize> = BTreeMap::new();
        for at in group {
            let key = &jobs[at].key;
            // What cannot be read is found under its own key.
            let stored = view.locate(key)?.map_or_else(|| key.clone(), |stored| stored.key);
            match seen.get(&stored) {
                Some(first) => pairs.push((*first, at)),
                None => drop(seen.insert(stored, at)),
            }
        }
    }
    Ok(pairs)
}

/// A batch on its way.
struct Work<'a> {
    client: &'a Client,
    refuse: Refuse<'a>,
    results: Vec<Option<Result<Done, ClientError>>>,
}

/// A plan, and what it would change in the store.
struct Planned {
    settled: Vec<(usize, Settled)>,
    changes: Vec<Write>,
    /// Whether the store lacks initial content.
    initial: bool,
}

impl Work<'_> {
    /// Each for itself; those whose warnings are errors are left out.
    fn each(&mut self, queue: Vec<(usize, Job)>) {
        let planned = self.refuse.map(|_| self.plan(&queue, None).settled).unwrap_or_default();
        let refused: Vec<_> = planned.into_iter().filter(|(_, settled)| settled.is_warned()).collect();
        let without: BTreeSet<usize> = refused.iter().map(|(at, _)| *at).collect();
        let (numbers, jobs): (Vec<usize>, Vec<Job>) = queue.into_iter().filter(|(at, _)| !without.contains(at)).unzip();
        let done = batch::run(self.client, jobs, None);
        for (at, settled) in refused.into_iter().chain(numbers.into_iter().zip(done)) {
            self.results[at] = Some(settled.result);
        }
    }

    /// All of them or none.
    fn whole(&mut self, mut queue: Vec<(usize, Job)>) -> Extent {
        let mut unprepared = None;
        let mut prepared = false;
        let mut tries = 0;
        let mut part = false;
        loop {
            let planned = self.plan(&queue, unprepared.clone());
            let wrong = planned.settled.iter().any(|(_, settled)| settled.result.is_err())
                || (!part && self.results.iter().flatten().any(Result::is_err));
            if wrong {
                self.note(planned.settled, part);
                return if part { Extent::Part } else { Extent::Nothing };
            }
            if planned.initial && !prepared {
                // As in Calico this may fail: who may write policies need not be allowed to write tiers.
                prepared = true;
                unprepared = self.client.initialise("", "").err();
                if unprepared.is_some() {
                    continue;
                }
            }
            let Planned { settled, changes, .. } = planned;
            let WrittenTogether { made, stopped } = match self.client.store.write_together(&changes) {
                Ok(whole) => whole,
                Err(error) => {
                    let error = ClientError::from(error);
                    settled.iter().for_each(|(at, _)| self.results[*at] = Some(Err(error.clone())));
                    return if part { Extent::Part } else { Extent::Nothing };
                }
            };
            let there: BTreeMap<&Key, &Written> = changes.iter().map(|write| &write.key).zip(&made).collect();
            let (finished, open): (Vec<_>, Vec<_>) = settled.into_iter().partition(|(_, settled)| {
                stopped.is_none() || (!there.is_empty() && settled.wrote.iter().all(|key| there.contains_key(key)))
            });
            part |= !finished.is_empty() && stopped.is_some();
            for (at, mut settled) in finished {
                settled.stamp(&there);
                self.results[at] = Some(settled.result);
            }
            queue.retain(|(at, _)| self.results[*at].is_none());
            match stopped {
                None => return Extent::Each,
                Some(Stopped::Failed(error)) => {
                    let error = ClientError::from(error);
                    open.iter().for_each(|(at, _)| self.results[*at] = Some(Err(error.clone())));
                    return Extent::Part;
                }
                Some(Stopped::Refused(refused)) => {
                    let lost = refused.iter().all(|(_, reason)| !matches!(reason, WriteError::Refused(_)));
                    if lost && tries < MAX_ATTEMPTS {
                        thread::sleep(Duration::from_millis(5 << tries));
                        tries += 1;
                        continue;
                    }
                    let reasons = refused.into_iter().filter_map(|(at, reason)| Some((&changes.get(at)?.key, reason)));
                    let reasons: BTreeMap<&Key, WriteError> = reasons.collect();
                    let open = open.into_iter().map(|(at, settled)| (at, settled.refused(&reasons)));
                    self.note(open.collect(), part);
                    return if part { Extent::Part } else { Extent::Nothing };
                }
            }
        }
    }

    /// Plans over an overlay. If the initial content could not be written, objects that need it have that as their reason.
    fn plan(&self, queue: &[(usize, Job)], unprepared: Option<ClientError>) -> Planned {
        let overlay = Arc::new(Overlay::new(self.client.store.clone()));
        let planner = Client::new(overlay.clone());
        *planner.warned.lock().unwrap_or_else(PoisonError::into_inner) =
            self.client.warned.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let jobs: Vec<Job> = queue.iter().map(|(_, job)| job.clone()).collect();
        let mut settled = batch::run(&planner, jobs, unprepared);
        for ((at, _), settled) in queue.iter().zip(&mut settled) {
            if let Ok(done) = &mut settled.result
                && self.refuse.is_some_and(|refuse| refuse(*at, done))
            {
                settled.result = Err(ClientError::Warned { notes: std::mem::take(&mut done.notes) });
            }
        }
        let owned: HashSet<&Key> = settled.iter().flat_map(|settled| &settled.wrote).collect();
        let (changes, initial): (Vec<Write>, Vec<Write>) =
            overlay.changes().into_iter().partition(|write| owned.contains(&write.key));
        let initial = !initial.is_empty();
        Planned { settled: queue.iter().map(|(at, _)| *at).zip(settled).collect(), changes, initial }
    }

    /// What is not written: errors as they are; of the rest what would have been done, or if some of the batch was
    /// written, that it was not finished.
    fn note(&mut self, settled: Vec<(usize, Settled)>, part: bool) {
        for (at, settled) in settled {
            if settled.result.is_err() || !part {
                self.results[at] = Some(settled.result);
            }
        }
    }
}

impl Settled {
    fn is_warned(&self) -> bool {
        matches!(self.result, Err(ClientError::Warned { .. }))
    }

    /// The revision that the object was written at.
    fn stamp(&mut self, there: &BTreeMap<&Key, &Written>) {
        if let (Ok(done), Some(key)) = (&mut self.result, self.wrote.last())
            && done.change != Change::Deleted
            && let Some(written) = there.get(key)
        {
            batch::stamp(done, &written.revision);
        }
    }

    /// The outcome with the store's reason, if that is about a change of this job.
    fn refused(mut self, reasons: &BTreeMap<&Key, WriteError>) -> Self {
        if let Some((key, reason)) = self.wrote.iter().find_map(|key| reasons.get_key_value(key)) {
            self.result = Err(ClientError::refused(key, reason.clone()));
        }
        self
    }
}
