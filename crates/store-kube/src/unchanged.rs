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

/// Whether no object of any resource changed after the first position up to the second. No where that is not known.
pub(crate) async fn between(
    shared: &Shared,
    decoder: &Decoder,
    after: &Position,
    until: &Position,
) -> Result<bool, CallError> {
    let mut tasks = JoinSet::new();
    for source in Source::of(&Selection::default(), decoder.group) {
        // Whoever watches for a purpose has no part of what it does not need.
        let name = source.name(decoder.group);
        let (Some(after), Some(until)) = (after.part(&name), until.part(&name)) else { continue };
        match after {
            after if after >= until => {}
            after if *after != Revision::default() => {
                let path = source.path(decoder.group, None);
                let (shared, after) = (shared.clone(), after.clone());
                tasks.spawn_on(async move { one(&shared, &path, &after).await }, runtime().handle());
            }
            _ => return Ok(false),
        }
    }
    let mut errors = Vec::new();
    while let Some(unchanged) = tasks.join_next().await {
        match unchanged.map_err(|error| CallError::Away(error.to_string()))? {
            Ok(true) => {}
            Ok(false) | Err(CallError::Expired) => return Ok(false),
            Err(call_error) => errors.push(call_error),
        }
    }
    CallError::one_of(errors).map_or(Ok(true), Err)
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
