//! Whether nothing changed between two positions.
//!
//! A server tells watches only about once a minute how far they are while nothing happens. So whoever waits for a position
//! that it read elsewhere asks instead whether there was any change up to it: a short watch from the one position, of a
//! server that has reached the other.

use http_body_util::BodyExt;
use tokio::task::JoinSet;
use tortie_store::{Position, Revision, Selection};

use crate::client::{Call, CallError};
use crate::item::Decoder;
use crate::runtime::runtime;
use crate::shared::Shared;
use crate::source::Source;

/// The resources of which an object changed after the first position up to the second, or of which that is not known: all of
/// them, or (not `is_whole`) as soon as one is found.
pub(crate) async fn between(
    shared: &Shared,
    decoder: &Decoder,
    after: &Position,
    until: &Position,
    is_whole: bool,
) -> Result<Vec<String>, CallError> {
    let mut changed = Vec::new();
    let mut tasks = JoinSet::new();
    for source in Source::of(&Selection::default(), decoder.group) {
        // Whoever watches for a purpose has no part of what it does not need.
        let name = source.name(decoder.group);
        let (Some(after), Some(until)) = (after.part(&name), until.part(&name)) else { continue };
        match after {
            _ if !is_whole && !changed.is_empty() => break,
            after if after >= until => {}
            after if *after != Revision::default() => {
                let path = source.path(decoder.group, None);
                let (shared, after) = (shared.clone(), after.clone());
                tasks.spawn_on(async move { (name, one(&shared, &path, &after).await) }, runtime().handle());
            }
            _ => changed.push(name),
        }
    }
    let mut errors = Vec::new();
    while (is_whole || changed.is_empty())
        && let Some(task) = tasks.join_next().await
    {
        match task.map_err(|error| CallError::Away(error.to_string()))? {
            (_, Ok(true)) => {}
            (name, Ok(false) | Err(CallError::Expired)) => changed.push(name),
            (_, Err(call_error)) => errors.push(call_error),
        }
    }
    changed.sort();
    match CallError::one_of(errors) {
        Some(call_error) if changed.is_empty() => Err(call_error),
        _ => Ok(changed),
    }
}

async fn one(shared: &Shared, path: &str, after: &Revision) -> Result<bool, CallError> {
    // A list of now is answered when what the server tells watches is as new, and now is not before the second position.
    shared.client().call(&Call::get(format!("{path}?limit=1"))).await?;
    // What happened since then comes first, and the server ends the watch after a second.
    let watch = Call::get(format!("{path}?watch=1&resourceVersion={after}&timeoutSeconds=1"));
    let mut body = shared.client().open(&watch).await?.into_body();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| CallError::Away(error.to_string()))?;
        if frame.data_ref().is_some_and(|data| !data.is_empty()) {
            return Ok(false);
        }
    }
    Ok(true)
}
