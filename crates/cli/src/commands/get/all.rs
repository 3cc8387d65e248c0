//! `get all`: the objects of every kind.

use std::sync::Arc;

use tortie_api::{Kind, Object};
use tortie_client::{BatchMode, Client, ClientError, Mode};
use tortie_store::memory::MemoryStore;

use super::{GetArgs, Request};
use crate::managed_by::follows_kubernetes;
use crate::output::GetResult;

/// What is looked up: every kind; with `-n` only the kinds that are in namespaces.
pub(super) fn requests(args: &GetArgs) -> Vec<Request> {
    let given = args.store.namespace.as_deref().filter(|namespace| !namespace.is_empty());
    let kinds = Kind::ALL.iter().copied().filter(|kind| kind.namespaced() || given.is_none());
    kinds
        .map(|kind| {
            let namespace = match kind.namespaced() && !args.all_namespaces {
                true => given.unwrap_or("default").to_owned(),
                false => String::new(),
            };
            Request { kind, namespace, name: None }
        })
        .collect()
}

/// Leaves out what a manifest for `apply` must not have: objects that nobody applies, and fields that belong to this store.
/// Which objects were left out, and why.
pub(super) fn for_apply(found: &mut [GetResult]) -> Vec<String> {
    // What `apply` refuses is asked of `apply`.
    let client = Client::new(Arc::new(MemoryStore::new()));
    let mut left_out = Vec::new();
    for one in found {
        let GetResult::List { items, .. } = one else { continue };
        items.retain_mut(|object| {
            if follows_kubernetes(object) {
                left_out.push(format!("{} follows from a Kubernetes object", object.key().as_argument()));
                return false;
            }
            strip(object);
            let outcomes = client.write(vec![object.clone()], Mode::Apply, BatchMode::AllOrNothing, None).outcomes;
            let refused = outcomes.into_iter().next().and_then(|outcome| outcome.result.err());
            let why = match refused {
                Some(ClientError::Unsupported { .. }) => "cannot be applied",
                Some(ClientError::BuiltIn { .. }) => "is built in",
                _ => return true,
            };
            left_out.push(format!("{} {why}", object.key().as_argument()));
            false
        });
    }
    left_out
}

/// Takes away what is of this store only; the namespace stays.
fn strip(object: &mut Object) {
    let metadata = &mut object.metadata;
    metadata.uid.clear();
    metadata.resource_version.clear();
    metadata.generation = 0;
    metadata.creation_timestamp = None;
    metadata.deletion_timestamp = None;
    metadata.deletion_grace_period_seconds = None;
    metadata.managed_fields.clear();
}
