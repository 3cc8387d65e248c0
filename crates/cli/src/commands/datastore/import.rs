//! Storing what `datastore migrate export` printed in a cluster that has nothing of Calico's yet.
//!
//! Everything is tried before anything is written. The datastore is locked first and stays locked, as calicoctl leaves it. calicoctl also
//! installs the definitions of its packed group, even where those of the native group are; here the definitions must be installed.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use serde_json::Value;
use tortie_api::{Key, Kind};
use tortie_client::{BatchMode, Mode, is_initial_tier};
use tortie_manifest::Problem;
use tortie_store::Stored;

use super::export::KINDS;
use crate::args::StoreArgs;
use crate::ask::Agent;
use crate::commands::apply;
use crate::in_force::{InForceRequest, Purpose};
use crate::input::{self, Manifests};
use crate::plan::Plan;
use crate::problem_text;
use crate::session::Session;
use crate::store::StoreAccess;
use crate::store::transfer;
use crate::terminal::{Exit, Usage, counted};

/// Stores an export, or nothing of it.
pub(super) fn run(
    access: &StoreAccess,
    file: Option<&str>,
    store: &StoreArgs,
    session: &mut Session,
) -> anyhow::Result<Exit> {
    let Some(file) = file else {
        return Err(Usage("import needs the export: -f FILE, or -f - for standard input".to_owned()).into());
    };
    let text = input::text(file).with_context(|| format!("the export {file} cannot be read"))?;
    let manifests = manifests(file, &text)?;
    if refused(&manifests, session) {
        bail!("nothing was imported: {file} has mistakes");
    }
    let request = InForceRequest { from_store: true, purpose: Purpose::Change };
    let plan = Plan::begin(access, request, &Agent::soon(), session)?;
    let others: Vec<String> =
        plan.sources.listing.items.iter().filter(|it| is_in_the_way(it)).map(|it| it.key.as_argument()).collect();
    if !others.is_empty() {
        let some = tortie_explain::shortened(others, 5);
        bail!("nothing was imported: only an empty datastore takes an export, and this one has {some}");
    }
    if apply::planned(apply::Planning::quiet("import"), &manifests, store, &plan.client, session)?.is_none() {
        bail!("nothing was imported");
    }
    let keys: Vec<Key> = manifests.items.iter().map(|item| item.object().key()).collect();
    let is_new = |it: &Stored| it.key.kind != Kind::Node && keys.contains(&it.key);
    let new = plan.written()?.items.into_iter().filter(is_new).map(|it| (it.key, it.value.to_vec())).collect();
    let tried = transfer::Plan::of(&*access.store()?, new, &BTreeMap::new())?;
    if !tried.refused.is_empty() || !tried.left_out.is_empty() {
        tried.refused.iter().for_each(|line| session.terminal.error(line));
        tried.left_out.iter().for_each(|left| session.terminal.error(left));
        let count = counted(tried.refused.len() + tried.left_out.len(), "object");
        bail!("nothing was imported: the {} refuses {count}", access.describe()?);
    }
    let client = access.writer(false)?;
    client.lock().context("nothing was imported: the datastore cannot be locked")?;
    let objects = manifests.items.iter().map(|item| item.object().clone()).collect();
    let written = client.write(objects, Mode::Apply, BatchMode::AllOrNothing, None);
    let errors = written.outcomes.iter().filter_map(|outcome| Some((outcome.result.as_ref().err()?, &outcome.key)));
    let errors: Vec<String> = errors.map(|(error, key)| problem_text::line(error, key)).collect();
    if !errors.is_empty() {
        errors.iter().for_each(|line| session.terminal.error(line));
        bail!(
            "the export was not imported as a whole, and the datastore is locked: delete what was imported and import it again"
        );
    }
    session.terminal.line(format_args!(
        "imported {}; the datastore is locked: `{} datastore migrate unlock` opens it",
        counted(keys.len(), "object"),
        session.persona.name()
    ));
    Ok(Exit::Done)
}

/// The objects of an export: lists of YAML, then the ClusterInformation, then the data of address management, divided by `===`.
fn manifests(file: &str, text: &str) -> anyhow::Result<Manifests> {
    let parts: Vec<&str> = text.split("\n===\n").collect();
    let [objects, information, addresses] = parts.as_slice() else {
        bail!("{file} is not an export of `datastore migrate export`: it has no three parts divided by ===");
    };
    serde_json::from_str::<Value>(information)
        .with_context(|| format!("the ClusterInformation in {file} cannot be read"))?;
    let addresses: Value = serde_json::from_str(addresses)
        .with_context(|| format!("the data of address management in {file} cannot be read"))?;
    let is_nothing = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    if let Value::Object(map) = &addresses
        && let Some((name, _)) = map.iter().find(|(_, value)| !is_nothing(value))
    {
        bail!(
            "nothing was imported: {file} has data of address management ({name}), which tortie does not write; Calico's own calicoctl imports it"
        );
    }
    Ok(input::of_text(file, objects))
}

/// Whether there are mistakes in the text, which are shown.
fn refused(manifests: &Manifests, session: &mut Session) -> bool {
    let wrong = manifests.items.iter().filter(|item| item.located.problems.iter().any(Problem::is_error));
    let wrong: Vec<_> = wrong.collect();
    for item in &wrong {
        problem_text::show_all(&item.located.problems, manifests, item, &mut session.terminal);
    }
    !wrong.is_empty()
}

/// Whether an object of the cluster is of a kind that is imported, and not there before everything else.
fn is_in_the_way(stored: &Stored) -> bool {
    let Key { kind, name, .. } = &stored.key;
    KINDS.contains(kind) && *kind != Kind::Node && !(*kind == Kind::Tier && is_initial_tier(name))
}
