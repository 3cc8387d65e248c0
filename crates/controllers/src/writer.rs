//! Carries a plan out, a few writes at a time, for as long as this process may write.

use std::collections::BTreeSet;

use tortie_api::{Key, Kind, Object};
use tortie_client::{BatchMode, Client, ClientError, Mode, stored_value};
use tortie_store::{Op, Revision, StoreError, Stored, Write, WriteError};

use crate::copies::namespace_of_profile;
use crate::plan::{Action, Plan};
use crate::read::read;

/// How many objects are written in one call. Between two calls it is asked whether this process may still write.
const MAX_WRITES_PER_CALL: usize = 50;
/// How many bytes an object has at least that a store may refuse for its size. (A stand-in has fewer.)
const MIN_REFUSED_BYTES: usize = 128 << 10;

/// What became of a plan.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    /// What was created, updated, deleted.
    pub(crate) done: [Vec<Key>; 3],
    /// What was written, as it is in the store now.
    pub(crate) objects: Vec<Object>,
    /// Why others were not.
    pub(crate) failed: Vec<(Key, String)>,
    /// What the store refused for its size, and in which words.
    pub(crate) too_large: Vec<(Key, String)>,
    /// Whether somebody else was faster somewhere, so that another plan has to be made.
    pub(crate) stale: bool,
    /// The namespaces with a policy that was not written.
    unwritten: BTreeSet<String>,
}

/// Makes the writes of a plan, in order. `may_write` is asked before each call.
pub(crate) fn act(client: &Client, plan: &Plan, may_write: &dyn Fn() -> bool) -> Summary {
    let mut summary = Summary::default();
    let one_call = |one: &Action, other: &Action| (kind(one), one.key().kind) == (kind(other), other.key().kind);
    for some in plan.actions.chunk_by(one_call).flat_map(|same| same.chunks(MAX_WRITES_PER_CALL)) {
        if !may_write() {
            summary.stale = true;
            break;
        }
        let before = (summary.count(), summary.too_large.len(), summary.failed.len());
        match (&some[0], some[0].key().kind) {
            (Action::Label { .. }, _) => label(client, some, &mut summary),
            (Action::Create(_), Kind::HostEndpoint) => put(client, some, Mode::Create, &mut summary),
            (Action::Update(_), Kind::HostEndpoint) => put(client, some, Mode::Replace, &mut summary),
            _ => write(client, some, &mut summary),
        }
        let has_failed = summary.failed.len() > before.2;
        if some.len() > 1 && has_failed && (summary.count(), summary.too_large.len()) == (before.0, before.1) {
            // None of several was written: it will be so of the others too.
            break;
        }
    }
    summary
}

/// The namespace whose pods may be reached by more after this: while a policy of the namespace is not written, that waits.
fn opens(action: &Action) -> Option<String> {
    let key = action.key();
    match action {
        Action::Create(_) => namespace_of_profile(&key).map(ToOwned::to_owned),
        Action::Delete { .. } if key.kind == Kind::NetworkPolicy => Some(key.namespace),
        Action::Update(_) | Action::Label { .. } | Action::Delete { .. } => None,
    }
}

fn kind(action: &Action) -> usize {
    match action {
        Action::Create(_) => 0,
        Action::Update(_) | Action::Label { .. } => 1,
        Action::Delete { .. } => 2,
    }
}

/// Writes as a user would.
fn put(client: &Client, actions: &[Action], mode: Mode, summary: &mut Summary) {
    let object = |action: &Action| match action {
        Action::Create(object) | Action::Update(object) => Some((**object).clone()),
        Action::Label { .. } | Action::Delete { .. } => None,
    };
    let objects: Vec<Object> = actions.iter().filter_map(object).collect();
    let outcomes = client.write(objects, mode, BatchMode::Calico, None).outcomes;
    for (action, outcome) in actions.iter().zip(outcomes) {
        match outcome.result {
            Ok(done) => {
                summary.done[kind(action)].push(action.key());
                summary.objects.push(done.object);
            }
            Err(ClientError::Exists { .. } | ClientError::Missing { at: None, .. } | ClientError::Conflict { .. }) => {
                summary.stale = true;
            }
            Err(error) => summary.failed.push((action.key(), error.to_string())),
        }
    }
}

/// Writes labels into objects that are read for this: not all of each object is kept.
fn label(client: &Client, actions: &[Action], summary: &mut Summary) {
    let keys: Vec<Key> = actions.iter().map(Action::key).collect();
    let found = match client.store().get_all(&keys) {
        Ok(found) => found,
        Err(error) => return summary.failed.push((keys[0].clone(), error.to_string())),
    };
    let update = |(action, found): (&Action, Option<Stored>)| {
        let Action::Label { labels, annotation, resource_version, .. } = action else { return None };
        let mut object = read(&found?).ok().filter(|object| object.metadata.resource_version == *resource_version)?;
        object.metadata.labels.clone_from(labels);
        if let Some((name, value)) = annotation {
            object.metadata.annotations.insert((*name).to_owned(), value.clone());
        }
        Some(Action::Update(Box::new(object)))
    };
    let updates: Vec<Action> = actions.iter().zip(found).filter_map(update).collect();
    summary.stale |= updates.len() < actions.len();
    write(client, &updates, summary);
}

/// Writes what users may not, and deletes by version, which the rules of Calico's client do not do in every store.
fn write(client: &Client, actions: &[Action], summary: &mut Summary) {
    let mut objects = Vec::new();
    let mut writes = Vec::new();
    let mut made = Vec::new();
    for action in actions {
        let key = action.key();
        if opens(action).is_some_and(|namespace| summary.unwritten.contains(&namespace)) {
            summary.stale = true;
            continue;
        }
        let object = match action {
            Action::Create(object) | Action::Update(object) => {
                let mut object = (**object).clone();
                let revision = std::mem::take(&mut object.metadata.resource_version);
                let value = stored_value(&mut object);
                writes.push(match action {
                    Action::Create(_) => Write::create(key, value),
                    _ => Write::update(key, value, Revision::from(revision.as_str())),
                });
                Some(object)
            }
            // These are updates by now.
            Action::Label { .. } => continue,
            Action::Delete { resource_version, .. } => {
                writes.push(Write::delete(key, Some(Revision::from(resource_version.as_str()))));
                None
            }
        };
        made.push(action);
        objects.push(object);
    }
    if writes.is_empty() {
        return;
    }
    let is_new = matches!(actions[0], Action::Create(_));
    let prepared = if is_new { client.initialise("", "").map(drop).map_err(|error| error.to_string()) } else { Ok(()) };
    let answers = prepared.and_then(|()| {
        client.store().write(&writes).map_err(|error| match error {
            StoreError::Failed(text) => text,
            error => error.to_string(),
        })
    });
    let answers = match answers {
        Ok(answers) => answers,
        Err(_) if made.len() > 1 => return write_alone(client, &made, summary),
        Err(text) => {
            summary.not_written(&made[0].key());
            return summary.failed.push((made[0].key(), text));
        }
    };
    for (((action, object), write), answer) in made.into_iter().zip(objects).zip(&writes).zip(answers) {
        match answer {
            Ok(written) => {
                summary.done[kind(action)].push(action.key());
                summary.objects.extend(object.map(|mut object| {
                    object.metadata.resource_version = written.revision.to_string();
                    object
                }));
            }
            Err(error) => {
                summary.not_written(&action.key());
                match error {
                    WriteError::Exists(_) | WriteError::Missing | WriteError::Conflict(_) => summary.stale = true,
                    error => {
                        if let (WriteError::Refused(reason), Op::Create(value) | Op::Update(value, _)) =
                            (&error, &write.op)
                            && value.len() >= MIN_REFUSED_BYTES
                        {
                            summary.too_large.push((action.key(), reason.clone()));
                        }
                        summary.failed.push((action.key(), error.to_string()));
                    }
                }
            }
        }
    }
}

/// Writes each by itself, because one of them may be the reason why none was written; two in a row that fail are reason enough to
/// leave the rest.
fn write_alone(client: &Client, actions: &[&Action], summary: &mut Summary) {
    let mut failures = 0;
    for action in actions {
        if failures > 1 {
            summary.not_written(&action.key());
            continue;
        }
        let before = summary.failed.len();
        write(client, std::slice::from_ref(*action), summary);
        failures = if summary.failed.len() > before { failures + 1 } else { 0 };
    }
}

impl Summary {
    /// How many writes were made.
    fn count(&self) -> usize {
        self.done.iter().map(Vec::len).sum()
    }

    fn not_written(&mut self, key: &Key) {
        if key.kind == Kind::NetworkPolicy {
            self.unwritten.insert(key.namespace.clone());
        }
    }
}
