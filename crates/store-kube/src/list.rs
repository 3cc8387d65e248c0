//! Lists, in pages, of several resources at once.

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tortie_store::{Position, Revision, Selection, Stored};

use crate::client::{Call, CallError};
use crate::custom::Group;
use crate::discovery::Age;
use crate::item::{Decoder, Item, Page};
use crate::meta::version_in;
use crate::runtime::{runtime, wait_for};
use crate::shared::Shared;
use crate::source::{self, Source};

/// How many objects a page has.
const PAGE: usize = 500;

/// Hands over every object of a selection, page by page.
pub(crate) fn pages(
    shared: &Shared,
    selection: &Selection,
    page: &mut dyn FnMut(Vec<Stored>),
) -> Result<Position, CallError> {
    let decoder = wait_for(shared.decoder(selection.purpose.clone()))?;
    let sources = Source::of(selection, decoder.group);
    let (sender, mut pages) = mpsc::channel(4);
    let mut tasks = JoinSet::new();
    for source in sources {
        let (shared, decoder, sender) = (shared.clone(), decoder.clone(), sender.clone());
        let namespace = selection.namespace.clone();
        tasks.spawn_on(
            async move {
                let version = one_source(&shared, &decoder, source, namespace.as_deref(), &sender).await?;
                Ok::<_, CallError>((source.name(decoder.group), version))
            },
            runtime().handle(),
        );
    }
    drop(sender);
    while let Some(items) = wait_for(pages.recv()) {
        page(items);
    }
    wait_for(position_of(tasks))
}

/// The position that consists of what these calls answer; if some fail, their errors together.
async fn position_of(mut calls: JoinSet<Result<(String, Revision), CallError>>) -> Result<Position, CallError> {
    let (mut parts, mut errors) = (Vec::new(), Vec::new());
    while let Some(ended) = calls.join_next().await {
        match ended.map_err(|error| CallError::Away(error.to_string()))? {
            Ok(part) => parts.push(part),
            Err(error) => errors.push(error),
        }
    }
    CallError::one_of(errors).map_or_else(|| Ok(Position::of_parts(parts)), Err)
}

/// Sends the pages of one resource; the version of the whole list. A custom resource that the server does not have is empty.
pub(crate) async fn one_source(
    shared: &Shared,
    decoder: &Decoder,
    source: Source,
    namespace: Option<&str>,
    pages: &mpsc::Sender<Vec<Stored>>,
) -> Result<Revision, CallError> {
    let path = source.path(decoder.group, namespace);
    let listing = decoder.conversion_warnings.begin_listing();
    let mut next = String::new();
    loop {
        let mut call = format!("{path}?limit={PAGE}");
        if !next.is_empty() {
            call.push_str(&format!("&continue={next}"));
        }
        let Some(body) = find(shared, decoder.group, source, &Call::get(call)).await? else {
            return Ok(Revision::default());
        };
        let Page { items, version, next: more } = decoder.page(source, &body).map_err(CallError::Away)?;
        if version.is_empty() {
            return Err(CallError::Away(format!(
                "{}: the answer is not a list of objects",
                source.name(decoder.group)
            )));
        }
        if !items.is_empty() && pages.send(items).await.is_err() {
            return Err(CallError::Away("nobody wants the rest of the list".to_owned()));
        }
        if more.is_empty() {
            // Profiles have two sources, and no warnings.
            if namespace.is_none() {
                decoder.conversion_warnings.end_listing(source.kind(), listing);
            }
            return Ok(Revision::from(version.as_str()));
        }
        next = more;
    }
}

/// The answer to a call about all objects of a resource; none if the server does not have the resource. What every API server has
/// is never taken for absent, and another resource only if the server does not name it among those that it has: a proxy in front
/// of it that answers 404 would remove all policies.
async fn find(shared: &Shared, group: Group, source: Source, call: &Call) -> Result<Option<Bytes>, CallError> {
    if source.is_always_served() {
        return shared.client().call(call).await.map(Some);
    }
    let found = shared.client().find(call).await?;
    if found.is_none() && shared.serves(&source.path(group, None), Age::Now).await? {
        let name = source.name(group);
        let text = format!("it answers 404 Not Found for {name}, and names it among the resources that it has");
        return Err(CallError::Away(text));
    }
    Ok(found)
}

/// The version that a resource is at now.
pub(crate) async fn version(shared: &Shared, decoder: &Decoder, source: Source) -> Result<Revision, CallError> {
    let call = Call::get(format!("{}?limit=1", source.path(decoder.group, None)));
    let Some(body) = find(shared, decoder.group, source, &call).await? else { return Ok(Revision::default()) };
    version_in(&body).map_err(|error| CallError::Away(error.to_string()))
}

/// The versions that all resources of a selection are at now.
pub(crate) async fn versions(shared: &Shared, decoder: &Decoder, selection: &Selection) -> Result<Position, CallError> {
    let mut tasks = JoinSet::new();
    for source in Source::of(selection, decoder.group) {
        let (shared, decoder) = (shared.clone(), decoder.clone());
        let ask =
            async move { Ok::<_, CallError>((source.name(decoder.group), version(&shared, &decoder, source).await?)) };
        tasks.spawn_on(ask, runtime().handle());
    }
    position_of(tasks).await
}

/// One object as it is now.
pub(crate) async fn get(
    shared: &Shared,
    decoder: &Decoder,
    key: &tortie_api::Key,
) -> Result<Option<Stored>, CallError> {
    Ok(get_with_body(shared, decoder, key).await?.map(|(stored, _)| stored))
}

/// Gets an object, with the body of the server's answer.
pub(crate) async fn get_with_body(
    shared: &Shared,
    decoder: &Decoder,
    key: &tortie_api::Key,
) -> Result<Option<(Stored, Bytes)>, CallError> {
    let Some((source, namespace, name)) = source::place(key) else { return Ok(None) };
    let call = Call::get(source.path_of(decoder.group, &namespace, &name));
    let Some(body) = shared.client().find(&call).await? else { return Ok(None) };
    match decoder.object(source, &body).map_err(CallError::Away)? {
        // A workload endpoint's name also says on which node it is.
        Item::Object(stored) if stored.key == *key => Ok(Some((stored, body))),
        _ => Ok(None),
    }
}
