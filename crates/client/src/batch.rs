//! Executes a batch: plans each object against what is stored, writes all plans in one call, and plans again those that lost a
//! race.
//!
//! ```text
//!   jobs ──> plan (view: read + planned) ──> one Store::write ──> outcomes
//!               ▲                                  │
//!               └──── lost a race: read anew ◄─────┘
//! ```
//!
//! Planning stops early at a job whose answer hangs on a write of the same batch that might still fail: the same
//! object again, or a tier that is deleted after its policies. What was planned is written first. A policy in a
//! tier that is created earlier in the batch does not wait: it is in the same call, after its tier.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::thread;
use std::time::Duration;

use tortie_api::{Key, Kind, Object};
use tortie_manifest::{Problem, warnings};

use super::batch_view::{self, View};
use super::{Change, Client, ClientError, Done, Mode, Target, plan, unknown, user_form};
use tortie_store::backoff::part_of;
use tortie_store::{Op, Overlay, Revision, Write, WriteError, Written};

/// How often a job is planned again because another writer was faster.
const MAX_ATTEMPTS: u32 = 5;
/// How often an object is read and changed again because another writer was faster: changes of single fields lose nothing by it.
const EDIT_TRIES: u32 = 12;
/// The longest time between two tries.
const MAX_RETRY_DELAY: Duration = Duration::from_millis(240);

/// A job of a batch.
#[derive(Clone)]
pub(super) struct Job<'a> {
    /// The object of the job.
    pub(super) key: Key,
    pub(super) task: Task<'a>,
}

/// The operation.
#[derive(Clone)]
pub(super) enum Task<'a> {
    /// Write this object.
    Put(Box<Object>, Mode),
    /// Read, change, write back.
    Edit(&'a dyn Fn(&Object) -> Result<Object, ClientError>),
    /// Delete; if it may be missing, that is no error.
    Delete(Target, bool),
}

/// The plan of a job, given the content of the store.
pub(super) struct Plan {
    /// The writes. The last one is that of the object itself, unless the job fails or skips the object.
    pub(super) writes: Vec<Write>,
    /// The outcome once these are written.
    pub(super) result: Result<Done, ClientError>,
}

/// The outcome of a job.
pub(super) struct Settled {
    pub(super) result: Result<Done, ClientError>,
    /// The keys that were written, the object's own last.
    pub(super) wrote: Vec<Key>,
}

/// The answers so far, in the order of the jobs.
#[derive(Default)]
struct Answers {
    results: Vec<Option<Result<Done, ClientError>>>,
    wrote: Vec<Vec<Key>>,
}

/// A job on its way.
struct Waiting<'a> {
    at: usize,
    tries: u32,
    /// Its object is deleted, and something that is deleted with it changed meanwhile: only that is planned again.
    rest: bool,
    job: Job<'a>,
}

impl Waiting<'_> {
    fn most_tries(&self) -> u32 {
        match self.job.task {
            Task::Edit(_) => EDIT_TRIES,
            Task::Put(..) | Task::Delete(..) => MAX_ATTEMPTS,
        }
    }
}

/// How long to wait before the next try: longer each time, and not as long as other writers that lost the same race.
fn pause(tries: u32) -> Duration {
    part_of(Duration::from_millis(7 << tries.min(10)).min(MAX_RETRY_DELAY))
}

/// A job whose writes are in the current call.
struct Going<'a> {
    waiting: Waiting<'a>,
    writes: usize,
    result: Result<Done, ClientError>,
}

/// Does all jobs, in order. The store gets its initial content first, unless that is known to fail.
pub(super) fn run(client: &Client, jobs: Vec<Job>, mut unprepared: Option<ClientError>) -> Vec<Settled> {
    let keys: Vec<Key> = jobs.iter().map(|job| job.key.clone()).collect();
    let mut answers =
        Answers { results: keys.iter().map(|_| None).collect(), wrote: keys.iter().map(|_| Vec::new()).collect() };
    let mut view = View::new(&*client.store);
    // As in Calico the initial content may fail: who may write policies need not be allowed to write tiers. What of it
    // is needed and missing is found out below.
    if unprepared.is_none() && jobs.iter().any(|job| matches!(job.task, Task::Put(..))) {
        unprepared = client.initialise("", "").err();
    }
    let done = view.expect(&keys).map_err(ClientError::from).and_then(|()| {
        let jobs = jobs.into_iter().enumerate().map(|(at, job)| Waiting { at, tries: 0, rest: false, job }).collect();
        work(client, &mut view, jobs, &mut answers)
    });
    if let Some(reason) = unprepared {
        explain(&reason, &mut answers.results);
    }
    remark(client, &mut view, &mut answers.results);
    let rest = done.err();
    let unanswered = || rest.clone().expect("every job has a result unless the store failed");
    let settled =
        |(result, wrote): (Option<_>, _)| Settled { result: result.unwrap_or_else(|| Err(unanswered())), wrote };
    answers.results.into_iter().zip(answers.wrote).map(settled).collect()
}

/// If a built-in tier is missing, the reason is why it could not be created.
fn explain(reason: &ClientError, results: &mut [Option<Result<Done, ClientError>>]) {
    let built_in = |key: &Key| key.kind == Kind::Tier && super::is_initial_tier(&key.name);
    for result in results.iter_mut().flatten() {
        if matches!(result, Err(ClientError::Missing { key, at: Some(_) }) if built_in(key)) {
            *result = Err(reason.clone());
        }
    }
}

fn work<'a>(
    client: &Client,
    view: &mut View,
    mut queue: VecDeque<Waiting<'a>>,
    answers: &mut Answers,
) -> Result<(), ClientError> {
    while !queue.is_empty() {
        let mut writes: Vec<Write> = Vec::new();
        let mut going: Vec<Going<'a>> = Vec::new();
        let mut touched: BTreeSet<Key> = BTreeSet::new();
        while let Some(waiting) = queue.pop_front() {
            let must_wait = touched.contains(&waiting.job.key) || (plan::is_last(&waiting.job) && !writes.is_empty());
            if must_wait {
                queue.push_front(waiting);
                break;
            }
            let Plan { writes: mut planned, result } = match plan::plan(view, &waiting.job) {
                Err(ClientError::Store(error)) => return Err(ClientError::Store(error)),
                Err(error) => Plan { writes: Vec::new(), result: Err(error) },
                Ok(plan) => plan,
            };
            if waiting.rest {
                // If somebody created the object again meanwhile, it stays.
                planned.retain(|write| write.key != waiting.job.key);
            }
            if planned.is_empty() && waiting.rest {
                continue;
            }
            if planned.is_empty() {
                answers.results[waiting.at] = Some(result);
                continue;
            }
            if planned.iter().any(|write| hangs_on_planned(&write.op)) {
                queue.push_front(waiting);
                break;
            }
            for write in &planned {
                view.assume(write, batch_view::PLANNED.into());
                touched.insert(write.key.clone());
            }
            touched.insert(waiting.job.key.clone());
            going.push(Going { waiting, writes: planned.len(), result });
            writes.extend(planned);
        }
        if writes.is_empty() {
            continue;
        }
        let lost = settle(view, &writes, client.store.write(&writes)?, going, answers);
        if let Some(tries) = lost.iter().map(|waiting| waiting.tries).max() {
            view.forget();
            thread::sleep(pause(tries));
            for waiting in lost.into_iter().rev() {
                queue.push_front(waiting);
            }
        }
    }
    Ok(())
}

/// Takes in what the store answered. Gives back the jobs that lost a race, to be planned again.
fn settle<'a>(
    view: &mut View,
    writes: &[Write],
    written: Vec<Result<Written, WriteError>>,
    going: Vec<Going<'a>>,
    answers: &mut Answers,
) -> Vec<Waiting<'a>> {
    for (write, answer) in writes.iter().zip(&written) {
        if let Ok(written) = answer {
            view.assume(write, written.revision.clone());
        }
    }
    let mut lost = Vec::new();
    let mut all = writes.iter().zip(written);
    for Going { mut waiting, writes, result } in going {
        let own: Vec<_> = all.by_ref().take(writes).collect();
        let gone = |own: &[(&Write, Result<Written, WriteError>)]| -> Vec<Key> {
            own.iter().filter(|(_, result)| result.is_ok()).map(|(write, _)| write.key.clone()).collect()
        };
        let changed = own.iter().any(|(_, result)| matches!(result, Err(WriteError::Conflict(_))));
        if waiting.rest {
            let wrote = &mut answers.wrote[waiting.at];
            let before_own = wrote.len().saturating_sub(1);
            wrote.splice(before_own..before_own, gone(&own));
            if let Some(Ok(done)) = &mut answers.results[waiting.at] {
                done.along.extend(gone(&own));
            }
            if changed && waiting.tries < waiting.most_tries() {
                waiting.tries += 1;
                lost.push(waiting);
            }
            continue;
        }
        answers.wrote[waiting.at].extend(gone(&own));
        let mut done = match result {
            Ok(done) => done,
            Err(error) => {
                answers.results[waiting.at] = Some(Err(error));
                continue;
            }
        };
        let Some(((write, answer), others)) = own.split_last() else { continue };
        let others = if done.change == Change::Skipped { &own } else { others };
        let result = match answer {
            Ok(written) => {
                done.along = gone(others);
                stamp(&mut done, &written.revision);
                if done.change == Change::Deleted && changed {
                    answers.results[waiting.at] = Some(Ok(done));
                    waiting.rest = true;
                    lost.push(waiting);
                    continue;
                }
                Ok(done)
            }
            Err(WriteError::Exists(_) | WriteError::Missing | WriteError::Conflict(_))
                if waiting.tries < waiting.most_tries() =>
            {
                waiting.tries += 1;
                lost.push(waiting);
                continue;
            }
            Err(WriteError::Missing) => Err(ClientError::missing(&waiting.job.key)),
            Err(error) => Err(ClientError::refused(&write.key, error.clone())),
        };
        answers.results[waiting.at] = Some(result);
    }
    lost
}

/// The revision that an object was written at.
pub(super) fn stamp(done: &mut Done, revision: &Revision) {
    match done.change {
        Change::Deleted => {}
        // The write is only planned, so there is no version yet.
        _ if *revision >= Overlay::FIRST => done.object.metadata.resource_version.clear(),
        _ => done.object.metadata.resource_version = revision.to_string(),
    }
}

fn hangs_on_planned(op: &Op) -> bool {
    matches!(op, Op::Update(_, revision) | Op::Delete(Some(revision)) if *revision == batch_view::PLANNED)
}

/// Adds the warnings that need the result of the whole batch.
fn remark(client: &Client, view: &mut View, results: &mut [Option<Result<Done, ClientError>>]) {
    let view = RefCell::new(view);
    let exists = |key: &Key| view.borrow_mut().exists(key).unwrap_or(true);
    for done in results.iter_mut().flatten().flatten() {
        if matches!(done.change, Change::Created | Change::Changed | Change::Unchanged) {
            done.notes.extend(warnings::references(&done.object, &exists));
            done.notes.extend(untracked(&done.object, &view));
        }
        if matches!(done.change, Change::Changed | Change::Unchanged) {
            let new = unknown::fields(&done.object)
                .into_iter()
                .filter(|field| client.is_first(done.object.kind, &unknown::without_positions(field).to_string()));
            done.notes.extend(new.map(|field| unknown::warning(&field)));
        }
    }
}

/// An untracked policy that selects a host endpoint on which it has no effect.
fn untracked(object: &Object, view: &RefCell<&mut View>) -> Vec<Problem> {
    if object.kind != Kind::GlobalNetworkPolicy
        || object.body.get("spec").is_none_or(|spec| spec.get("doNotTrack").is_none())
    {
        return Vec::new();
    }
    let endpoints = view.borrow_mut().list(Kind::HostEndpoint).unwrap_or_default();
    let endpoints: Vec<Object> = endpoints.iter().filter_map(|stored| user_form::read(stored).ok()).collect();
    warnings::untracked_on_any(object, &endpoints)
}
