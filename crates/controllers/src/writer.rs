//! Does what a plan says, a few writes at a time, for as long as this process may write.

use tortie_api::Object;
use tortie_client::{BatchMode, Client, ClientError, Mode};
use tortie_store::{Revision, StoreError, Write, WriteError};

use crate::host_endpoints::{Action, Plan};

/// How many objects are written in one call. Between two calls it is asked whether this process may still write.
const TOGETHER: usize = 50;

/// What became of a plan.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    /// The endpoints that were created, updated, deleted.
    pub(crate) done: [Vec<String>; 3],
    /// What was written, as it is in the store now.
    pub(crate) objects: Vec<Object>,
    /// Why others were not, as `NAME: REASON`.
    pub(crate) failed: Vec<String>,
    /// Whether somebody else was faster somewhere, so that another plan has to be made.
    pub(crate) stale: bool,
}

/// Makes the writes of a plan, in order. `may_write` is asked before each call.
pub(crate) fn act(client: &Client, plan: &Plan, may_write: &dyn Fn() -> bool) -> Summary {
    let mut summary = Summary::default();
    for some in plan.actions.chunk_by(|one, other| kind(one) == kind(other)).flat_map(|same| same.chunks(TOGETHER)) {
        if !may_write() {
            summary.stale = true;
            break;
        }
        match kind(&some[0]) {
            0 => put(client, some, Mode::Create, &mut summary),
            1 => put(client, some, Mode::Replace, &mut summary),
            _ => delete(client, some, &mut summary),
        }
    }
    summary
}

fn kind(action: &Action) -> usize {
    match action {
        Action::Create(_) => 0,
        Action::Update(_) => 1,
        Action::Delete { .. } => 2,
    }
}

fn put(client: &Client, actions: &[Action], mode: Mode, summary: &mut Summary) {
    let object = |action: &Action| match action {
        Action::Create(object) | Action::Update(object) => Some((**object).clone()),
        Action::Delete { .. } => None,
    };
    let objects: Vec<Object> = actions.iter().filter_map(object).collect();
    let outcomes = client.write(objects, mode, BatchMode::Calico, None).outcomes;
    for (action, outcome) in actions.iter().zip(outcomes) {
        match outcome.result {
            Ok(done) => {
                summary.done[kind(action)].push(action.name().to_owned());
                summary.objects.push(done.object);
            }
            Err(ClientError::Exists { .. } | ClientError::Missing { at: None, .. } | ClientError::Conflict { .. }) => {
                summary.stale = true;
            }
            Err(error) => summary.failed.push(format!("{}: {error}", action.name())),
        }
    }
}

/// Deletes by version, which the rules of Calico's client do not do in every store.
fn delete(client: &Client, actions: &[Action], summary: &mut Summary) {
    let write = |action: &Action| match action {
        Action::Delete { name, resource_version } => {
            Some(Write::delete(Plan::key(name), Some(Revision::from(resource_version.as_str()))))
        }
        _ => None,
    };
    let writes: Vec<Write> = actions.iter().filter_map(write).collect();
    let answers = match client.store().write(&writes) {
        Ok(answers) => answers,
        Err(StoreError::Failed(text)) => return summary.failed.push(text),
        Err(error) => return summary.failed.push(error.to_string()),
    };
    for (action, answer) in actions.iter().zip(answers) {
        match answer {
            Ok(_) => summary.done[2].push(action.name().to_owned()),
            Err(WriteError::Missing | WriteError::Conflict(_)) => summary.stale = true,
            Err(error) => summary.failed.push(format!("{}: {error}", action.name())),
        }
    }
}
